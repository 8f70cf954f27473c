"""Reads what a gateway delivered and says which attack got through.

It reads as a careless mail program does, not as the gateway: every line of the header section that
looks like a field counts, whatever stands before its colon.
"""

from __future__ import annotations

import email
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from tests.attacks.cast import EVE, SECRET
from tests.attacks.catalogue import CONTROL
from tests.attacks.remote import references

_NAME = re.compile(rb"<([a-z]+)\.([a-z0-9-]+)@attacks\.invalid>")
_MAY_BE_EVES = frozenset({"display", "replay"})
_OPENING = frozenset({"efail", "covert"})
_CLOSED = ("application/pkcs7-mime", "application/x-pkcs7-mime")
MARKS = (
    r"x-smimegw-status:.*\bsigned=pass",
    r"x-djigzo-info-signer-verified[0-9-]*:\s*true",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one delivered message.

    Attributes:
        name: Group and name of the attack.
        trouble: What is wrong; empty when nothing is.
    """

    name: str
    trouble: str = ""


def judge(octets: bytes, *, authserv_id: str = "", marks: Sequence[str] = ()) -> Verdict | None:
    """Judge one delivered message; None when it is none of ours.

    Args:
        octets: As delivered.
        authserv_id: Only Authentication-Results that hold this name count; empty for all.
        marks: More regular expressions of marks, for ``name: value`` in lower case.
    """
    found = _NAME.search(_header_section(octets))
    if found is None:
        return None
    group, name = found[1].decode(), f"{found[1].decode()}.{found[2].decode()}"
    passes = [field for field in _fields(octets) if _is_mark(field, authserv_id, marks)]
    if group == CONTROL:
        return Verdict(name, "" if passes else "an honest message does not pass")
    if group in _MAY_BE_EVES and _names_eve(passes):
        return Verdict(name)  # said as whom
    if passes:
        return Verdict(name, f"passes: {passes[0][:120]}")
    if group in _OPENING and _shows(octets, SECRET):
        return Verdict(name, "opened: the recipient's secret came out")
    if group == "hidden" and SECRET in _header_section(octets):
        return Verdict(name, "told outside: the hidden Subject")
    if group == "armed" and email.message_from_bytes(octets).get_content_type() not in _CLOSED:
        return Verdict(name, ", ".join(references(octets))[:120])
    return Verdict(name)


def _names_eve(passes: Sequence[str]) -> bool:
    results = [field for field in passes if "authentication-results:" in field]
    return bool(results) and all(f"smime-identifier={EVE} " in f"{field} " for field in results)


def _header_section(octets: bytes) -> bytes:
    return re.split(rb"\r?\n\r?\n", octets, maxsplit=1)[0]


def _fields(octets: bytes) -> list[str]:
    """``name: value`` as it looks to people: unfolded, lower case, without what is not seen."""
    text = re.sub(r"\r?\n(?=[ \t])", "", _header_section(octets).decode("utf-8", "replace"))
    seen = unicodedata.normalize("NFKC", text).lower()
    seen = "".join(letter for letter in seen if unicodedata.category(letter) != "Cf")
    return [re.sub(r"\s*:\s*", ": ", line, count=1).strip() for line in seen.splitlines()]


def _is_mark(field: str, authserv_id: str, marks: Sequence[str]) -> bool:
    if re.match(r"(arc-)?authentication-results:", field):
        torn = re.sub(r"\s", "", field)
        is_theirs = authserv_id.lower() in torn
        return is_theirs and re.search(r"smime=pass", torn) is not None
    return any(re.search(mark, field) for mark in (*MARKS, *marks))


def _shows(octets: bytes, text: bytes) -> bool:
    """Some part holds *text* after its transfer encoding is undone."""
    whole: Message = email.message_from_bytes(octets)
    parts = (part.get_payload(decode=True) for part in whole.walk())
    return text in octets or any(isinstance(part, bytes) and text in part for part in parts)
