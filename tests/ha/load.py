"""Clients that send each message until they are told 250, and remember every attempt."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.failpoints.client import Gone, send
from tests.ha.cluster import Cluster
from tests.ha.mails import Mail
from tests.peers.ports import wait_until

_ATTEMPT_SECONDS = 70.0
_PAUSE_SECONDS = 0.2  # a mail server would wait for minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try.

    Attributes:
        mail: The Message-ID.
        number: 1 for the first try.
        begun: Monotonic time.
        code: What it was answered with; 0 when the connection broke.
    """

    mail: str
    number: int
    begun: float
    code: int


@dataclass(slots=True)
class Sent:
    """What clients did so far."""

    attempts: list[Attempt] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    begun: int = 0


class Load:
    """Sends *mails* through the balancer until `stop` or their end; a context manager.

    Leaving it waits until every message that was begun has its 250.

    Args:
        cluster: Where to.
        mails: What.
        clients: How many send at the same time.
    """

    def __init__(self, cluster: Cluster, mails: Iterator[Mail], *, clients: int = 4) -> None:
        self.sent = Sent()
        self._cluster = cluster
        self._mails = mails
        self.clients = clients
        self._stopped = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join(timeout=10 if error else 120)
        assert error or not self._thread.is_alive(), "somebody is not told 250"
        if self._errors and not error:
            raise self._errors[0]

    def wait_for(self, more: int, *, seconds: float = 60.0) -> None:
        """Return when so many more recipients have been told 250."""
        goal = len(self.sent.told) + more
        wait_until(
            lambda: len(self.sent.told) >= goal or not self._thread.is_alive(),
            f"{more} more recipients; the last attempts: {self.sent.attempts[-5:]}",
            seconds=seconds,
        )

    def stop(self) -> None:
        """Begin no message any more."""
        self._stopped.set()

    def join(self) -> None:
        """Wait for the end of the mails."""
        self._thread.join()

    @property
    def running(self) -> bool:
        """Whether somebody still sends."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as exc:
            self._errors.append(exc)

    async def _all(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self) -> None:
        while not self._stopped.is_set():
            mail = next(self._mails, None)
            if mail is None:
                return
            self.sent.begun += 1
            await self._until_told(mail)

    async def _until_told(self, mail: Mail) -> None:
        port = self._cluster.port if mail.outbound else self._cluster.mx_port
        number = code = 0
        while code != 250:
            if number:
                await asyncio.sleep(_PAUSE_SECONDS)
            number, begun = number + 1, time.monotonic()
            code = await self._try(mail, port)
            self.sent.attempts.append(Attempt(mail=mail.id, number=number, begun=begun, code=code))
            if code >= 500:
                return  # a bounce; the reckoning says so
        self.sent.told += [(mail.id, recipient) for recipient in mail.recipients]

    async def _try(self, mail: Mail, port: int) -> int:
        try:
            codes = await send(
                port,
                mail.sender,
                mail.recipients,
                mail.content,
                lmtp=False,
                seconds=_ATTEMPT_SECONDS,
            )
        except Gone:
            return 0
        [code] = set(codes.values())
        return code
