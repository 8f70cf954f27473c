"""Sockets that stop reading when an answer becomes longer than any answer is.

The LDAP library keeps whatever a server sends until the message is complete, and a message may say
that it is gigabytes long (T-09).
"""

from __future__ import annotations

import socket
import ssl


class TooLongError(OSError):
    """The server sent more than one answer may have."""


class _Bounded(socket.socket):
    left: int = 0
    """Octets that may still come; set anew for each question."""

    def _counted(self, octets: bytes) -> bytes:
        self.left -= len(octets)
        if self.left < 0:
            raise TooLongError("its answer is longer than any answer can be")
        return octets


class BoundedSocket(_Bounded):
    """A TCP socket."""

    @classmethod
    def instead_of(cls, plain: socket.socket) -> BoundedSocket:
        """Take the connection of *plain* over."""
        timeout = plain.gettimeout()
        taken = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        taken.settimeout(timeout)
        return taken

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read, and count."""
        return self._counted(super().recv(bufsize, flags))


class BoundedTLSSocket(ssl.SSLSocket, _Bounded):
    """A socket with TLS."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read, and count."""
        return self._counted(super().recv(buflen, flags))
