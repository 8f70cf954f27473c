"""Accepts TCP connections and brings each to the point where SMTP can begin.

That is: the PROXY header of a balancer, then the handshake where TLS is implicit.  What fails
before is closed without a word, because no SMTP was spoken yet, and logged with its peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable

from smimegw.adapters.smtp.proxy import read_proxy_header
from smimegw.adapters.smtp.settings import ListenerSettings, contains, plain_address
from smimegw.adapters.smtp.tls import tls_failure
from smimegw.errors import CommandError
from smimegw.limits import Limits
from smimegw.ports import Events

_BACKLOG = 1024
_BREATH_SECONDS = 0.5  # when the system has no file descriptor left: sessions end meanwhile


class Acceptor:
    """The listening sockets of one listener."""

    def __init__(
        self,
        settings: ListenerSettings,
        limits: Limits,
        events: Events,
        protocol: Callable[[str], asyncio.Protocol],
    ) -> None:
        """Prepare; *protocol* makes the protocol for a client's address."""
        self._settings = settings
        self._limits = limits
        self._events = events
        self._protocol = protocol
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: dict[asyncio.Task[None], str] = {}
        self._beginning: dict[asyncio.Task[None] | None, socket.socket | None] = {}
        self._per_address: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return int(self._sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen on every address of the host.

        Raises:
            OSError: The address is not ours, or taken.
        """
        loop = asyncio.get_running_loop()
        settings = self._settings
        found = await loop.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_listening(family, address, settings.reuse_port))
        except OSError:
            await self.close()
            raise
        self._accepting = [loop.create_task(self._accept(entry)) for entry in self._sockets]

    def use(self, settings: ListenerSettings) -> None:
        """Take *settings* for connections that come from now on; the address stays."""
        self._settings = settings

    async def close(self) -> None:
        """Accept nobody any more, and drop who has not come to SMTP yet.

        Who is just getting there is let through: a task that is cancelled in between leaves a
        session behind whose socket is gone.
        """
        tasks = [*self._accepting, *self._arriving]
        for task in tasks:
            if task not in self._beginning:
                task.cancel()
        for connection in self._beginning.values():
            if connection is not None:  # a handshake that would take its time
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if tasks:
            await asyncio.wait(tasks)
        for entry in self._sockets:
            entry.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except ConnectionError:  # it went away before we came
                continue
            except OSError as exc:  # EMFILE, ENFILE, ENOBUFS, ENOMEM: worse than waiting is ending
                self._events.emit("limit.hit", limit="sockets", text=str(exc.strerror))
                await asyncio.sleep(_BREATH_SECONDS)
                continue
            self._arrive(connection, plain_address(str(address[0])))

    def _arrive(self, connection: socket.socket, address: str) -> None:
        if not self._has_room(address):
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._bring(connection, address))
        self._arriving[task] = address
        self._per_address[address] += 1
        task.add_done_callback(self._arrived)

    def _has_room(self, address: str) -> bool:
        """Whether one more may stand before the door; the sessions behind it count for themselves.

        A balancer brings everybody's connections, so only the total binds it.  Who has nothing to
        bring before SMTP is at the door at once, and hears there what is to be said.
        """
        if not (self._settings.proxy_from or self._settings.tls_implicit):
            return True
        if len(self._arriving) >= self._limits.sessions:
            return False
        if contains(self._settings.proxy_from, address):
            return True
        return self._per_address[address] < self._limits.sessions_per_peer

    def _arrived(self, task: asyncio.Task[None]) -> None:
        address = self._arriving.pop(task)
        self._beginning.pop(task, None)
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.emit("internal.error", error=error)

    async def _bring(self, connection: socket.socket, address: str) -> None:
        try:
            client = await self._client(connection, address)
            if client:
                task = asyncio.current_task()
                self._beginning[task] = connection if self._settings.tls_implicit else None
                await self._begin(connection, client)
                return
        except asyncio.CancelledError:
            connection.close()
            raise
        connection.close()

    async def _client(self, connection: socket.socket, address: str) -> str:
        """The client's address; empty when the connection must be closed."""
        if not self._settings.proxy_from:
            return address
        if not contains(self._settings.proxy_from, address):
            self._reject(address, "not one of the balancers in proxy_from")
            return ""
        try:
            told = await read_proxy_header(connection, self._limits.proxy_header_seconds)
        except CommandError as exc:
            self._reject(address, str(exc))
        except TimeoutError:
            self._reject(address, "no PROXY header in time")
        except OSError:
            self._reject(address, "closed before its PROXY header was complete")
        else:
            return plain_address(told) if told else address
        return ""

    async def _begin(self, connection: socket.socket, client: str) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        implicit = self._settings.tls if self._settings.tls_implicit else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(client),
                connection,
                ssl=implicit,
                ssl_handshake_timeout=self._limits.command_seconds if implicit else None,
            )
        except OSError as exc:  # ssl.SSLError is one, and so is the time-out
            self._reject(client, f"TLS handshake failed: {tls_failure(exc)}")
            connection.close()

    def _reject(self, client: str, reason: str) -> None:
        self._events.emit(
            "session.rejected", client=client, listener=self._settings.name, reason=reason
        )


def _listening(
    family: socket.AddressFamily, address: tuple[object, ...], reuse_port: bool
) -> socket.socket:
    entry = socket.socket(family, socket.SOCK_STREAM)
    try:
        entry.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            entry.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            entry.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        entry.setblocking(False)
        entry.bind(address)
        entry.listen(_BACKLOG)
    except OSError:
        entry.close()
        raise
    return entry
