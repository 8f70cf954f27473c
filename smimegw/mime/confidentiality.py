"""Says which header fields are protected and what of them stays readable (RFC 9788, 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum
from typing import Final

from smimegw.address_lists import parse_mailboxes
from smimegw.errors import AddressError, LimitError
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.headers import HeaderField, HeaderSection, field

OBSCURED_SUBJECT: Final = "[...]"
HP_OUTER: Final = "hp-outer"

# RFC 9787, 1.1.1: they describe the body and are no message's header fields.
_STRUCTURAL_PREFIX: Final = "content-"
_STRUCTURAL: Final = frozenset({"mime-version"})
# Not the author's: written on the way, about the way, or about what others found.  Whoever reads
# would take them for the author's word if they stood inside.
_OF_THE_WAY: Final = frozenset(
    {
        "apparently-to",
        "authentication-results",
        "bcc",  # nobody else may see it (RFC 5322, 3.6.3; RFC 9788, 11.4)
        "delivered-to",
        "dkim-signature",
        "domainkey-signature",
        HP_OUTER,  # means something inside only, and there it is ours to write
        "received",
        "received-spf",
        "return-path",
        "x-original-to",
        "x-received",
    }
)
_OF_THE_WAY_PREFIXES: Final = ("arc-", "resent-", "x-smimegw-")
# What a relay or a reader without our key cannot do without; RFC 9788's policies keep them, too.
NEVER_HIDDEN: Final = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "date", "message-id", "subject"}
)
# Outlook repeats the Subject in Thread-Topic, filters and lists in Old-Subject and the like.
_NOWHERE_IN_BASELINE: Final = frozenset({"keywords", "comments", "thread-topic"})


class HeaderConfidentiality(StrEnum):
    """Header Confidentiality Policies (RFC 9788, 3.2), and none at all."""

    OFF = "off"  # header fields are not protected
    NONE = "none"  # hcp_no_confidentiality: protected against change, readable outside
    # hcp_baseline: the Subject obscured, Keywords and Comments removed; here also its repetitions
    BASELINE = "baseline"
    SHY = "shy"  # hcp_shy: and no display names, no time zone

    @property
    def hides(self) -> bool:
        """Something that stands inside is not readable outside."""
        return self in {HeaderConfidentiality.BASELINE, HeaderConfidentiality.SHY}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderProtection:
    """How a copy's header section is protected.

    Attributes:
        confidentiality: The policy.
        hidden_fields: Lower-case names of further fields that stand inside only.
        legacy_display: Repeat what is hidden at the top of the text, for mail programs that do
            not know RFC 9788.
    """

    confidentiality: HeaderConfidentiality = HeaderConfidentiality.OFF
    hidden_fields: tuple[str, ...] = ()
    legacy_display: bool = True


UNPROTECTED: Final = HeaderProtection()


def is_structural(name: str) -> bool:
    """Whether the field of that lower-case name describes the body."""
    return name.startswith(_STRUCTURAL_PREFIX) or name in _STRUCTURAL


def is_protected(name: str) -> bool:
    """Whether the field of that lower-case name is the author's, and so has a copy inside."""
    if not name or is_structural(name) or name in _OF_THE_WAY:
        return False
    return not name.startswith(_OF_THE_WAY_PREFIXES)


def concealed(header: HeaderSection, wish: HeaderProtection) -> HeaderSection:
    """*header* as it goes outside an encrypted message; what need not change keeps its octets."""
    if not wish.confidentiality.hides:
        return header
    subjects = {_text(entry) for entry in header.all("subject")} - {""}
    outside = (_outside(entry, wish) for entry in header if not _repeats(entry, subjects))
    return HeaderSection(tuple(entry for entry in outside if entry is not None))


def _repeats(entry: HeaderField, subjects: set[str]) -> bool:
    """Whether the field tells one of *subjects* under another name."""
    name = entry.lower_name
    if name in NEVER_HIDDEN or not is_protected(name):
        return False
    return "subject" in name or (bool(subjects) and _text(entry) in subjects)


def _text(entry: HeaderField) -> str:
    return " ".join(decode_words(entry.body).split()).casefold()


def _outside(entry: HeaderField, wish: HeaderProtection) -> HeaderField | None:
    name = entry.lower_name
    if name == "subject":
        return field("Subject", OBSCURED_SUBJECT)
    if name in _NOWHERE_IN_BASELINE or name in wish.hidden_fields:
        return None
    if wish.confidentiality is HeaderConfidentiality.SHY:
        return _shy(entry)
    return entry


def _shy(entry: HeaderField) -> HeaderField:
    """hcp_shy (RFC 9788, 3.2.2); what cannot be read stays as it is, as the RFC has it."""
    try:
        match entry.lower_name:
            case "from" | "to" | "cc":
                mailboxes = [named.mailbox.address for named in parse_mailboxes(entry.body)]
                if mailboxes:
                    return field(entry.name.decode("ascii"), ", ".join(mailboxes).encode())
            case "date":
                written = parsedate_to_datetime(entry.body.decode("ascii"))
                # "-0000" says that the zone is unknown and the time is UTC (RFC 5322, 3.3).
                moment = written.replace(tzinfo=written.tzinfo or UTC).astimezone(UTC)
                return field("Date", format_datetime(moment))
            case _:
                pass
    except (AddressError, LimitError, ValueError, OverflowError):
        pass
    return entry
