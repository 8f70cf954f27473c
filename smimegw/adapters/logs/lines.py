"""Renders events as lines: Postfix's grammar for people and log analysers, JSON for collectors.

Whatever comes from outside (addresses, reply texts, names) is escaped: one event is one line, and
no value can end its own quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from smimegw.adapters.logs.catalogue import (
    ADDRESS_KEYS,
    FINGERPRINT_KEYS,
    SECONDS_KEYS,
    EventKind,
    Form,
)

Value = str | int | float | bool | tuple[float, ...]
Values = Mapping[str, Value]

_BARE = re.compile(r'[^\s,"=()\x00-\x1f\x7f]+')
_LIST_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,])+')
_VALUE_LETTERS = 1000  # a line is for reading; 200 recipients belong into the record
_SHORT_FINGERPRINT = 12
# These lines look as in Postfix; every other one starts with its event's name.
_KNOWN_BY_THEIR_KEYS = frozenset({"session.connected", "recipient.decided"})


def postfix_lines(kind: EventKind, pid: int, txn: str, values: Values) -> list[str]:
    """One line, or two where Postfix writes two, without line ends."""
    prefix = f"smimegw/{kind.tag}[{pid}]: {_word(txn) if txn else 'NOTXN'}: "
    match kind.form:
        case Form.DELIVERY:
            bodies = [_delivery(values)]
        case Form.REJECT:
            bodies = [_reject(values)]
        case Form.RECEIVED:
            first = {key: value for key, value in values.items() if key == "message-id"}
            rest = {key: value for key, value in values.items() if key != "message-id"}
            bodies = [_pairs(first), _pairs(rest)] if first else [_pairs(rest)]
        case _:
            known = kind.name in _KNOWN_BY_THEIR_KEYS
            named: Values = values if known else {"event": kind.name, **values}
            bodies = [_pairs(named)]
    return [prefix + (body or f"event={kind.name}") for body in bodies]


def json_line(kind: EventKind, pid: int, txn: str, values: Values, at: datetime) -> str:
    """One JSON object with the same keys."""
    entry: dict[str, object] = {
        "ts": at.isoformat(timespec="milliseconds"),
        "level": kind.level.name.lower(),
        "event": kind.name,
        "tag": kind.tag,
        "pid": pid,
    }
    if txn:
        entry["txn"] = txn
    entry.update((key.replace("-", "_"), value) for key, value in values.items())
    return json.dumps(entry, ensure_ascii=True)


def _pairs(values: Values) -> str:
    return ", ".join(f"{key}={_pair_value(key, value)}" for key, value in values.items())


def _pair_value(key: str, value: Value) -> str:
    if key in ADDRESS_KEYS:
        return _addresses(str(value))
    if key == "message-id" and isinstance(value, str):
        return value if _BARE.fullmatch(value) else _quoted(value)
    if key in SECONDS_KEYS:
        return _seconds(value)
    if key in FINGERPRINT_KEYS:
        return ",".join(_short(part) for part in str(value).split(","))
    if key == "client":
        return _client(str(value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if _BARE.fullmatch(text) and len(text) <= _VALUE_LETTERS else _quoted(text)


def _delivery(values: Values) -> str:
    head = {key: value for key, value in values.items() if key not in ("status", "text")}
    line = f"{_pairs(head)}, status={_word(str(values.get('status', '')))}"
    return f"{line} ({_printable(str(values.get('text', '')))})"


def _reject(values: Values) -> str:
    reply, code = _printable(str(values.get("reply", ""))), str(values.get("code", ""))
    if code and f"({code})" not in reply:
        reply += f" ({code})"
    texts = {key: str(values.get(key, "")) for key in ("stage", "client", "from", "to", "proto")}
    return (
        f"reject: {_word(texts['stage'])} from {_client(texts['client'])}: {reply};"
        f" from={_addresses(texts['from'])} to={_addresses(texts['to'])}"
        f" proto={_word(texts['proto'])} helo=<{_inside_brackets(str(values.get('helo', '')))}>"
    )


# --- single values -------------------------------------------------------------------------------


def _printable(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= _VALUE_LETTERS else clean[: _VALUE_LETTERS - 1] + "…"


def _quoted(text: str) -> str:
    return '"' + _printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _word(text: str) -> str:
    return re.sub(r'[\s,"=()]', "?", _printable(text)) or "-"


def _inside_brackets(text: str) -> str:
    return re.sub(r"[<>\s]", "?", _printable(text))


def _addresses(text: str) -> str:
    """``<a@b>`` or several with commas; quoted local parts keep their commas."""
    parts = [match[0] for match in _LIST_ITEM.finditer(text)] or [text]
    return _printable(",".join(f"<{_inside_brackets(part)}>" for part in parts))


def _client(text: str) -> str:
    clean = _word(text)
    return clean if "[" in clean else f"unknown[{clean}]"


def _short(fingerprint: str) -> str:
    digest = fingerprint.removeprefix("sha256:").replace(":", "").lower()
    return "sha256:" + _word(digest)[:_SHORT_FINGERPRINT]


def _seconds(value: Value) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "/".join(_postfix_rounding(number) for number in value)
    return _postfix_rounding(value) if isinstance(value, int | float) else _word(value)


def _postfix_rounding(seconds: float) -> str:
    """Two digits that say something, at most two behind the point, as Postfix does."""
    seconds = max(seconds, 0.0)
    if seconds >= 10:
        return f"{seconds:.0f}"
    text = f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}"
    return text.rstrip("0").rstrip(".") or "0"
