"""Tells what decision records say of one transaction, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All records of one transaction, oldest first.

    Attributes:
        txn: The transaction id.
        records: What is known of it.
    """

    txn: str
    records: Sequence[Record]

    def of_kind(self, kind: str) -> Record | None:
        """The first record of *kind*; records from before there were kinds are decisions."""
        found = (r for r in self.records if r.get("kind", "decision") == kind)
        return next(found, None)

    @property
    def began(self) -> str:
        """For sorting."""
        return min((str(record.get("at", "")) for record in self.records), default="")


def tell(story: Story) -> Iterator[str]:
    """The lines of *story*; nothing in them can move a terminal's cursor."""
    for line in _lines(story):
        yield "".join(letter if letter.isprintable() else "?" for letter in line)


def _lines(story: Story) -> Iterator[str]:
    decision, reply = story.of_kind("decision"), story.of_kind("reply")
    first = reply or decision or story.records[0]
    yield _title(story.txn, decision or first, first)
    if first.get("received_at"):
        yield _line(first["received_at"], "received", _reception(first))
    if decision is not None:
        yield from _decided(decision)
        yield from _made(decision)
    rehearsal = story.of_kind("rehearsal")
    if rehearsal is not None:
        text = f"shadow: would have answered {rehearsal.get('reply', '')}{_row(rehearsal)}"
        yield _line(rehearsal.get("at", ""), "rehearsed", text)
    for record in story.records:
        if record.get("kind") == "delivery":
            yield from _delivered(record)
    if reply is not None:
        yield from _answered(reply)
    elif (aborted := story.of_kind("aborted")) is not None:
        yield _line(aborted.get("at", ""), "aborted", _ABORTED.get(str(aborted.get("why")), ""))
    else:
        text = "no answer is recorded: the process ended before, or still works on it"
        yield f"{'':<12}  {'unknown':<10} {text}"
        yield f"{'':<12}  {'':<10} what is in doubt is in the log: grep {story.txn}"
    for record in story.records:
        if record.get("kind") == "late":
            yield from _late(record)


def _title(txn: str, decision: Record, first: Record) -> str:
    when = _time(str(first.get("received_at") or first.get("at", "")))
    day = when.strftime("%Y-%m-%d %z") if when else ""
    parts = [
        txn,
        day,
        str(first.get("direction", "")),
        f"from <{decision.get('from') or first.get('reverse_path', '')}>",
        f"message-id {first['message_id']}" if first.get("message_id") else "",
        f"on {first['node']}" if first.get("node") else "",
        "SHADOW: handed on unchanged" if first.get("shadow") else "",
    ]
    return "  ".join(filter(None, parts))


def _reception(first: Record) -> str:
    upstream = first.get("upstream_id")
    parts = [
        str(first.get("listener", "")),
        str(first.get("peer", "")),
        str(first.get("tls", "")),
        f"user {first['user']}" if first.get("user") else "",
        f"upstream id {upstream}" if upstream else "",
        f"{first['size']:,} octets" if first.get("size") else "",
    ]
    return "  ".join(filter(None, parts))


def _decided(decision: Record) -> Iterator[str]:
    for entry in decision.get("recipients", ()):
        if "protect" in entry:
            what = f"refused ({entry['refusal']})" if entry.get("refusal") else entry["protect"]
        else:
            what = f"signed {entry.get('signed', '?')}, encrypted {entry.get('encrypted', '?')}"
        rule = entry.get("rule_source", "")
        name = f'"{entry["rule"]}"' if entry.get("rule") else ""
        text = f"<{entry.get('rcpt', '')}> {what}  {rule} {name}".rstrip()
        yield _line(decision.get("at", ""), "decided", text)
        for key, label in (
            ("cert", "certificate"),
            ("source", "from"),
            ("status_of_cert", "status"),
            ("algo", "algorithm"),
            ("fallback", "weaker than the rule's wish, certificate"),
            ("note", "note"),
            ("reason", "because"),
            ("decrypt_reason", "not opened because"),
        ):
            if entry.get(key):
                yield f"{'':<24}  {label} {entry[key]}"


def _made(decision: Record) -> Iterator[str]:
    groups = [group for group in decision.get("groups", ()) if group.get("protect") != "none"]
    for group in groups:
        who = ", ".join(f"<{address}>" for address in group.get("recipients", ()))
        cipher = f", {group['cipher']}" if group.get("cipher") else ""
        text = f"{group.get('protect', '')}{cipher}, {group.get('size', 0):,} octets for {who}"
        yield _line(decision.get("at", ""), "protected", text)


_NEWS = {
    "answer": "late answer of the next hop",
    "crash": "IN DOUBT: the process ended before the next hop answered",
    "untold": "accepted, and the client was not told; its retry leaves this recipient out",
    "ledger": "IN DOUBT: accepted, but the ledger could not be told",
}


_ABORTED = {
    "session": "the session ended before there was an answer; the client comes again",
    "crash": "the process ended before anything was sent; the client comes again",
}


def _late(record: Record) -> Iterator[str]:
    news = _NEWS.get(str(record.get("news")), "")
    for entry in record.get("recipients", ()):
        who = f"<{entry.get('rcpt', '')}> → {entry.get('relay', '')}  {entry.get('reply', '')}"
        yield _line(record.get("at", ""), "later", f"{who.rstrip()}  ({news})")


def _delivered(record: Record) -> Iterator[str]:
    for entry in record.get("recipients", ()):
        reply = str(entry.get("reply", ""))
        word = "relayed" if reply.startswith("2") else "not taken"
        if entry.get("in_doubt"):
            word = "IN DOUBT"
        reported = "  (the sender was told by a report)" if entry.get("reported") else ""
        text = f"<{entry.get('rcpt', '')}> → {entry.get('relay', '')}  {reply}{reported}"
        yield _line(record.get("at", ""), word, text)


def _answered(reply: Record) -> Iterator[str]:
    yield _line(reply.get("at", ""), "answered", f"{reply.get('reply', '')}{_row(reply)}")
    for entry in reply.get("recipients", ()):
        if entry.get("reply") != reply.get("reply"):
            yield f"{'':<24}  <{entry.get('rcpt', '')}> {entry.get('reply', '')}"


def _row(record: Record) -> str:
    row = str(record.get("refusal", ""))
    return f"  ({row})" if row and row not in str(record.get("reply", "")) else ""


def _line(at: object, word: str, text: str) -> str:
    when = _time(str(at))
    clock = f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}" if when else ""
    return f"{clock:<12}  {word:<10} {text}"


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):  # the latter at the ends of time
        return None
