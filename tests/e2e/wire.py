"""A recording cable: passes TCP on and keeps every octet, to see what really left the house."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.e2e.mail import message_id
from tests.peers.ports import free_port, wait_until

_CHUNK = 65536
_DATA = b"\r\nDATA\r\n"


class Wire:
    """Listens on `port` and passes every connection on to *target*.

    Args:
        target: Port of the server at the other end; may be set until the first connection.
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.port = free_port()
        self._streams: list[bytearray] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        # The machine may be slow, but nobody who accepts can be interrupted otherwise.
        self._listener.settimeout(0.2)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._accepting.join(timeout=10)
        self._listener.close()
        with self._lock:
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def saw(self, octets: bytes) -> bool:
        """Whether anything of the message *octets* passed, be it a header field."""
        mark = message_id(octets).encode()
        with self._lock:
            return any(mark in stream for stream in self._streams)

    def copies(self, octets: bytes) -> list[bytes]:
        """The content that passed for the message *octets*, as often as it passed completely."""
        mark = message_id(octets).encode()
        with self._lock:
            return [copy for stream in self._streams for copy in _copies(stream, mark)]

    def wait_for(self, octets: bytes, *, seconds: float = 60.0) -> bytes:
        """Return what passed for the message *octets*, as soon as it has."""
        wait_until(lambda: bool(self.copies(octets)), "the message on the wire", seconds=seconds)
        [copy] = self.copies(octets)
        return copy

    def _accept(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                client, _ = self._listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        client.settimeout(None)
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        stream = bytearray()
        with self._lock:
            self._streams.append(stream)
            self._sockets += [client, server]
        threading.Thread(target=self._pump, args=(client, server, stream), daemon=True).start()
        threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, stream: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(_CHUNK):
                if stream is not None:
                    with self._lock:
                        stream += octets
                sink.sendall(octets)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _copies(stream: bytearray, mark: bytes) -> list[bytes]:
    found = []
    at = stream.find(mark)
    while at >= 0:
        begin = stream.rfind(_DATA, 0, at) + len(_DATA)
        end = stream.find(b"\r\n.\r\n", at)
        if end < 0:
            break
        found.append(bytes(stream[begin : end + 2]).replace(b"\r\n..", b"\r\n."))
        at = stream.find(mark, end)
    return found
