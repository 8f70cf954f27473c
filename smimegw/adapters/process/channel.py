"""The line between supervisor and worker: an order at the start, then words down and reports up.

It is one end of a socket pair that the worker inherits.  When the supervisor dies, however it
does, the worker reads the end of the line and drains.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any

from smimegw.config.model import Configuration
from smimegw.oversight import Condition

BEAT_SECONDS = 1.0
LINE_OCTETS = 4 * 1024 * 1024  # a report with its metrics has some 50 KB
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a worker is started with.

    Attributes:
        worker: Its number, from 1.
        configuration: As the supervisor read it: a file that was edited since waits for a restart.
    """

    worker: int
    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says.

    Attributes:
        what: ``beat``, ``ready``, ``reloaded`` or ``failed``.
        reasons: Why it takes no mail now.
        policy: Digest of its policy.
        metrics: Its /metrics.
        text: Why it failed.
        code: The exit code that belongs to that.
    """

    what: str
    reasons: tuple[str, ...] = ()
    policy: str = ""
    metrics: str = ""
    text: str = ""
    code: int = 0


def order_octets(order: Order) -> bytes:
    """*order* as the first octets on the line."""
    octets = pickle.dumps(order)
    return _LENGTH.pack(len(octets)) + octets


def read_order(connection: socket.socket) -> Order:
    """Take the order, in the worker.

    Raises:
        EOFError: The supervisor is gone.
    """
    size = _LENGTH.unpack(_exactly(connection, _LENGTH.size))[0]
    # Only our own supervisor holds the other end of this socket pair.
    order = pickle.loads(_exactly(connection, size))  # noqa: S301
    assert isinstance(order, Order)
    return order


def _exactly(connection: socket.socket, size: int) -> bytes:
    octets = bytearray()
    while len(octets) < size:
        piece = connection.recv(size - len(octets))
        if not piece:
            raise EOFError("the supervisor is gone")
        octets += piece
    return bytes(octets)


def write_failure(connection: socket.socket, text: str, code: int) -> None:
    """The last word of a worker that must end; no event loop is needed."""
    connection.setblocking(True)
    connection.settimeout(1.0)
    connection.sendall(_line({"what": "failed", "text": text, "code": code}))


def parse_report(line: bytes) -> Report:
    """Read one line of a worker.

    Raises:
        ValueError: It is none.
    """
    values = json.loads(line)
    try:
        return Report(**{**values, "reasons": tuple(values.get("reasons", ()))})
    except (TypeError, AttributeError) as error:
        raise ValueError("not a report") from error


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode("ascii") + b"\n"


class SupervisorOverseer:
    """Implements `Overseer` in a worker: everything goes up the line.

    Args:
        writer: The line; a supervisor that does not read it is not waited for.
    """

    every_seconds = BEAT_SECONDS

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def ready(self, condition: Condition) -> None:
        """Clients are let in."""
        self._report("ready", condition)

    def beat(self, condition: Condition) -> None:
        """The event loop is alive."""
        self._report("beat", condition)

    def reloading(self) -> None:
        """The supervisor knows: it gave the word."""

    def reloaded(self, condition: Condition) -> None:
        """The new policy is in use, or the old one stays."""
        self._report("reloaded", condition)

    def stopping(self) -> None:
        """The supervisor sees the process end."""

    def _report(self, what: str, condition: Condition) -> None:
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > LINE_OCTETS:
            return
        values = {
            "what": what,
            "reasons": condition.reasons,
            "policy": condition.policy,
            "metrics": condition.metrics().decode(),
        }
        self._writer.write(_line(values))
