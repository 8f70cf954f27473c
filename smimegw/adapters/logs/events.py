"""The `Events` port: one call becomes a log line and the metrics that belong to it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Protocol, TextIO

from smimegw.adapters.logs.catalogue import CATALOGUE, EventKind, Level
from smimegw.adapters.logs.lines import Value, json_line, postfix_lines
from smimegw.adapters.logs.privacy import AddressMask
from smimegw.addresses import Mailbox
from smimegw.config.choices import LogAddresses, LogFormat, LogLevel
from smimegw.errors import SmimegwError

_FRAMES = 12
_TELLING_BLANK = frozenset({"from", "to", "rcpt"})  # an empty reverse-path says something
_LEVELS = {
    LogLevel.INFO: Level.INFO,
    LogLevel.WARNING: Level.WARNING,
    LogLevel.ERROR: Level.ERROR,
}


class EventObserver(Protocol):
    """Somebody else who wants every event, such as the metrics."""

    def observe(self, event: str, values: Mapping[str, Value]) -> None:
        """Count *event*."""
        ...


class LoggedEvents:
    """Writes events to a stream and hands them to observers; never fails a mail.

    Args:
        stream: Where lines go; standard error by default, which systemd and containers collect.
        form: Postfix grammar or JSON.
        level: Events below it are counted but not written.
        mask: How addresses are shown.
        observers: Who else gets every event.
        strict: Raise for an event or key outside the catalogue (tests); else the key is left out
            and an ``internal.error`` tells its name.
    """

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        form: LogFormat = LogFormat.POSTFIX,
        level: LogLevel = LogLevel.INFO,
        mask: AddressMask | None = None,
        observers: Sequence[EventObserver] = (),
        strict: bool = False,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._form = form
        self._level = _LEVELS[level]
        self._mask = mask or AddressMask(LogAddresses.FULL)
        self._observers = tuple(observers)
        self._strict = strict
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def emit(self, event: str, *, txn: str = "", **values: object) -> None:
        """Write one event.

        Raises:
            TypeError: Only when strict: *event* or a key is not in the catalogue.
        """
        kind = CATALOGUE.get(event)
        error = values.get("error")
        unknown = [event] if kind is None else [key for key in values if key not in kind.keys]
        if unknown and isinstance(error, BaseException):
            unknown = [key for key in unknown if key != "error"]
        if unknown:
            if self._strict:
                raise TypeError(f"event {event}: {', '.join(unknown)} not in the catalogue")
            self._write(
                CATALOGUE["internal.error"], "", {"error": f"unlisted:{event}:{unknown[0]}"}
            )
        if kind is None:
            return
        plain: dict[str, Value] = {}
        hides = self._mask.hides
        for key in kind.keys:
            value = values.get(key)
            if value is None or (value == "" and key not in _TELLING_BLANK):
                continue
            plain[key] = self._masked(key, _plain(value)) if hides else _plain(value)
        if isinstance(error, BaseException):
            plain.update(_error_values(error))
        self._write(kind, txn, plain)

    def _masked(self, key: str, value: Value) -> Value:
        # A Message-ID only looks like an address, and without it nobody can follow a mail.
        return self._mask(value) if isinstance(value, str) and key != "message-id" else value

    def _write(self, kind: EventKind, txn: str, values: Mapping[str, Value]) -> None:
        for observer in self._observers:
            observer.observe(kind.name, values)
        if kind.level < self._level:
            return
        if self._form is LogFormat.JSON:
            lines = [json_line(kind, self._pid, txn, values, datetime.now(UTC))]
        else:
            lines = postfix_lines(kind, self._pid, txn, values)
        text = "".join(f"{line}\n" for line in lines)
        with self._lock:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                # A log that cannot be written must not stop mail: the decision record, which is
                # written durably, is the proof.
                for observer in self._observers:
                    observer.observe("log.lost", {})


def _plain(value: object) -> Value:
    match value:
        case str() if type(value) is str:  # nearly all
            return value
        case bool() | int() | float():
            return value
        case Enum():
            return str(value.value)
        case Mailbox():
            return value.address
        case bytes():
            return value.decode("utf-8", "replace")
        case tuple() | list() if value and all(isinstance(v, int | float) for v in value):
            return tuple(float(v) for v in value)
        case tuple() | list() | set() | frozenset():
            return ",".join(str(_plain(item)) for item in value)
        case BaseException():
            return type(value).__name__
        case _:
            return str(value)


def _error_values(error: object) -> dict[str, Value]:
    """Class and place of an exception; its text only where our own rules keep secrets out."""
    if not isinstance(error, BaseException):
        return {}
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames]
    cause = error.__cause__ or error.__context__
    name = type(error).__name__ + (f"<{type(cause).__name__}" if cause else "")
    values: dict[str, Value] = {"error": name}
    if isinstance(error, SmimegwError):
        values["text"] = str(error)
    if places:
        values["at"] = " ".join(places)
    return values


class LibraryHandler(logging.Handler):
    """Turns warnings of libraries into events: who warned, not what, for texts may hold content."""

    def __init__(self, events: LoggedEvents) -> None:
        super().__init__(level=logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        """Log the logger's name and level."""
        self._events.emit("library.warning", logger=record.name, level=record.levelname.lower())
