"""Says who is at the other end of a Unix socket, by the word of the kernel (unix(7))."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """A process and its user, as they were when it connected or began to listen."""

    process: int
    user: int


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end (SO_PEERCRED)."""
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(octets)
    return Peer(process, user)


def owners_of(path: Path) -> frozenset[int]:
    """Whose a socket at *path* may be: of its directory's owner, of ourselves, or of root.

    Where others may write, too, such as in /tmp, any of them can put a socket in the agent's place.

    Raises:
        OSError: There is no such directory.
    """
    return frozenset({0, os.geteuid(), path.parent.stat().st_uid})
