"""A directory server that never stops sending: a bounded number of octets is read of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from tests.peers.tls import TLSFiles, make_tls

MIB = 2**20
_LIMIT = MIB
_IN_BUFFERS = 32 * MIB  # what the two kernels may hold between us
_ENDLESS = bytes.fromhex("30847fffffff")  # an LDAP message of 2 GiB begins
_BIND_GOOD = bytes.fromhex("61070a010004000400")


@dataclass
class Flood:
    """A server on loopback; *sent* counts what it got rid of."""

    listener: socket.socket
    files: TLSFiles
    tls: bool
    sent: int = 0

    @property
    def port(self) -> int:
        found: int = self.listener.getsockname()[1]
        return found

    def serve(self) -> None:
        """One connection: greet as far as must be, then flood."""
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            connection = stack.enter_context(self.listener.accept()[0])
            if self.tls:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.files.certificate, self.files.key)
                connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
                request = connection.recv(4096)
                message_id = request[2 : 4 + request[3]]
                body = message_id + _BIND_GOOD
                connection.sendall(bytes([0x30, len(body)]) + body)
            connection.recv(4096)
            self._flood(connection)

    def _flood(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        connection.sendall(_ENDLESS)
        piece = bytes(64 * 1024)
        with contextlib.suppress(OSError):
            while self.sent < 2**31:
                self.sent += connection.send(piece)


@pytest.fixture(params=[True, False], ids=["search over TLS", "before StartTLS"])
def flood(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flood]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Flood(listener, make_tls(tmp_path), request.param)
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        listener.close()
        thread.join(timeout=60)


def test_an_endless_answer_is_cut(flood: Flood) -> None:
    """Before it fills the memory, and long before the deadline (T-09; R-06)."""
    server = LDAPServer(host="127.0.0.1", port=flood.port, tls=flood.tls, start_tls=not flood.tls)
    settings = LDAPSettings(
        name="flood",
        servers=(server,),
        base="dc=partner,dc=example",
        ca=flood.files.ca,
        deadline_seconds=60.0,
        answer_octets=_LIMIT,
    )

    async def work() -> str:
        directory = LDAPDirectory(settings)
        try:
            with pytest.raises(DirectoryError) as caught:
                await directory.find(Mailbox.parse("bob@partner.example"))
            return str(caught.value)
        finally:
            await directory.close()

    assert "longer than any answer" in asyncio.run(work())
    assert flood.sent < _LIMIT + _IN_BUFFERS
