"""A recording cable: passes TCP on and keeps every octet, to see what really left the house."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.peers.ports import free_port, wait_until

_CHUNK = 65536


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

    @property
    def octets(self) -> bytes:
        """Everything that clients sent, of all connections."""
        with self._lock:
            return b"".join(bytes(stream) for stream in self._streams)

    @property
    def messages(self) -> list[bytes]:
        """The content of every message that was sent completely, dots unstuffed."""
        with self._lock:
            streams = [bytes(stream) for stream in self._streams]
        return [message for stream in streams for message in _contents(stream)]

    def wait_for(self, count: int, *, seconds: float = 60.0) -> list[bytes]:
        """Return the messages as soon as there are *count*."""
        wait_until(
            lambda: len(self.messages) >= count, f"{count} messages on the wire", seconds=seconds
        )
        return self.messages

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


def _contents(stream: bytes) -> list[bytes]:
    found = []
    _, data, rest = stream.partition(b"\r\nDATA\r\n")
    while data:
        content, dot, after = rest.partition(b"\r\n.\r\n")
        if not dot:
            break
        found.append((content + b"\r\n").replace(b"\r\n..", b"\r\n."))
        _, data, rest = (b"\r\n" + after).partition(b"\r\nDATA\r\n")
    return found
