"""Renews senders' certificates before they end, while their mail goes on with the old ones.

Whoever sends is looked at: a certificate that ends soon is followed by one with a new key
(RFC 7030, 4.2.2), in the background.  What fails is told, and tried again with a later mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from smimegw.adapters.est.enrolment import ESTEnrolment
from smimegw.addresses import Mailbox
from smimegw.errors import EnrolmentError
from smimegw.ports import Clock
from smimegw.x509.certificate import Certificate

AT_ONCE = 4  # people who were enrolled on one day are due on one day
_SHARE = 3  # a certificate for a week is renewed in its last third, not with every mail

Report = Callable[[Mailbox, str], None]


class RenewingEnrolment:
    """Implements `ports.Enrolment` for a server that enrols and renews.

    Args:
        enrolment: Asks the server.
        clock: The time.
        report: Told of every renewal that ended: whose, and why it failed or "".
        before: How long before its end a certificate is renewed.
        seconds: How long the server may take.
    """

    def __init__(
        self,
        enrolment: ESTEnrolment,
        clock: Clock,
        report: Report,
        *,
        before: timedelta,
        seconds: float,
    ) -> None:
        self._enrolment = enrolment
        self._clock = clock
        self._report = report
        self._before = before
        self._seconds = seconds
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def enrol(self, mailbox: Mailbox) -> None:
        """See `ports.Enrolment`.

        Raises:
            EnrolmentError: There is none, for a reason that the text tells.
        """
        await self._enrolment.enrol(mailbox)

    def renew_when_due(self, mailbox: Mailbox, certificate: Certificate) -> None:
        """See `ports.Enrolment`."""
        if mailbox.key in self._running or not self._is_due(certificate):
            return
        task = asyncio.create_task(self._renew(mailbox, certificate))
        self._running[mailbox.key] = task
        task.add_done_callback(lambda _: self._running.pop(mailbox.key, None))

    async def settled(self) -> None:
        """Return when every renewal that was begun has ended."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def close(self) -> None:
        """End what is under way; its key and request are kept for the next time."""
        for task in self._running.values():
            task.cancel()
        await self.settled()

    def _is_due(self, certificate: Certificate) -> bool:
        whole = certificate.not_after - certificate.not_before
        left = certificate.not_after - self._clock.now()
        return left < min(self._before, whole / _SHARE)

    async def _renew(self, mailbox: Mailbox, certificate: Certificate) -> None:
        async with self._turns:
            try:
                async with asyncio.timeout(self._seconds):
                    done = await self._enrolment.renew(mailbox, certificate)
            except (EnrolmentError, TimeoutError) as exc:
                late = f"the certificate authority did not answer within {self._seconds:.0f} s"
                self._report(mailbox, str(exc) or late)
            else:
                if done:
                    self._report(mailbox, "")
