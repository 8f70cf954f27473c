"""Reads the header fields that lie inside an opened message's layers (RFC 9788, 2 and 4).

Only reads: whether anybody vouches for what was read, and whether it may stand in the header
section that is delivered, is for the caller to say.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from smimegw.address_lists import parse_mailboxes, sole_mailbox
from smimegw.errors import AddressError, LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.confidentiality import HP_OUTER, is_protected
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import IDENTITY, Entity
from smimegw.mime.headers import HeaderField, HeaderSection, field

# What people read and programs sort by.  Never who it is from or where answers go (From, Sender,
# Reply-To, Resent-*, List-*): servers and filters decided by the outer ones.  Never what
# makes a mail program act on its own (Disposition-Notification-To).  Never what others wrote on
# the way (Received, Return-Path, Authentication-Results, our own).
ADOPTABLE: Final = {
    name.lower(): name
    for name in (
        *("Subject", "Keywords", "Comments", "Organization", "In-Reply-To", "References"),
        *("Thread-Topic", "Thread-Index", "Importance", "Priority", "X-Priority", "Sensitivity"),
        *("User-Agent", "X-Mailer"),
    )
}
# Adopted where they only say the same in more words: display names, the author's time zone.
_FULLER: Final = {"to": "To", "cc": "Cc", "date": "Date"}
_SEVERAL: Final = {"keywords": 10, "comments": 10}  # of all others one (RFC 5322, 3.6)
COMPARED: Final = ("From", "To", "Cc", "Reply-To", "Date", "Message-ID", "Subject")
# Where answers go: added outside, they are a change.  Servers add Date and Message-ID, and a To
# without addresses.
_ANSWERED: Final = frozenset({"Reply-To", "Cc"})
# What programs write outside that say nothing inside about it; "..." is Thunderbird's and mutt's.
_OBSCURED: Final = frozenset({"", "...", "[...]", "\u2026", "encrypted message"})


class HeaderForm(StrEnum):
    """How the fields came inside."""

    CIPHER = "cipher"  # hp="cipher"
    CLEAR = "clear"  # hp="clear"
    DRAFT = "draft"  # protected-headers="v1", before RFC 9788
    MESSAGE = "message"  # a whole message/rfc822 (RFC 8551, 3.1; RFC 9788, 4.10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedHeader:
    """What the Cryptographic Payload says of the message's header section.

    Attributes:
        form: How it says so.
        names: Of `COMPARED`, those that are inside.
        hidden: Fields that the author meant not to be readable outside, and that have a form in
            which they may stand outside now; written anew.
        withheld: How many more he hid.
        changed: Of `COMPARED`, those that are not outside as the author left them; Reply-To and Cc
            also when he wrote none.
        same_from: Whether inner and outer From are one and the same mailbox; None without an
            inner one.
    """

    form: HeaderForm
    names: tuple[str, ...]
    hidden: tuple[HeaderField, ...] = ()
    withheld: int = 0
    changed: tuple[str, ...] = ()
    same_from: bool | None = None


def read_protected_header(
    payload: Entity,
    outer: HeaderSection,
    *,
    is_wrapped: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> ProtectedHeader | None:
    """Return what *payload* says; None when it does not speak of a header section.

    Args:
        payload: The root entity inside all layers.
        outer: The message's header section as it arrived.
        is_wrapped: *payload* is a message that was the whole content of the innermost layer.
        limits: Of header sections and fields.
    """
    form = _form(payload) or (HeaderForm.MESSAGE if is_wrapped else None)
    header = payload.header
    if form is HeaderForm.MESSAGE and not is_wrapped:
        try:
            header = _message_inside(payload, limits).header
        except (MIMEError, LimitError):
            return None
    if form is None:
        return None
    inside = header.without(lambda entry: not is_protected(entry.lower_name))
    left = _left_outside(form, header, inside, outer)
    hidden, withheld = _hidden(form, inside, left, outer, limits)
    return ProtectedHeader(
        form=form,
        names=tuple(name for name in COMPARED if inside.all(name)),
        hidden=hidden,
        withheld=withheld,
        changed=tuple(_changed(form, inside, left, outer)),
        same_from=_same_from(inside, outer),
    )


def _message_inside(payload: Entity, limits: Limits) -> Entity:
    if payload.transfer_encoding not in IDENTITY and len(payload.body) > limits.text_octets:
        raise LimitError("text_octets", "a message with a transfer encoding, and a long one")
    return Entity.parse(payload.decoded_body(), limits)


def _form(payload: Entity) -> HeaderForm | None:
    try:
        kind = payload.content_type
    except MIMEError:
        return None
    match kind.parameter("hp"):
        case "cipher":
            return HeaderForm.CIPHER
        case "clear":
            return HeaderForm.CLEAR
        case _:
            pass
    if kind.parameter("protected-headers") == "v1":
        return HeaderForm.DRAFT
    # Without the parameter it is a forwarded message, which is content (RFC 8551, 3.1).
    if kind.media_type == "message/rfc822" and kind.parameter("forwarded") == "no":
        return HeaderForm.MESSAGE
    return None


def _left_outside(
    form: HeaderForm, header: HeaderSection, inside: HeaderSection, outer: HeaderSection
) -> HeaderSection:
    """What the author left outside: said by HP-Outer, all of it, or to be guessed."""
    if form is HeaderForm.CIPHER:
        entries = (HeaderField.parse(entry.body + b"\r\n") for entry in header.all(HP_OUTER))
        return HeaderSection(tuple(entry for entry in entries if not entry.flaw))
    if form is HeaderForm.CLEAR:
        return inside
    shown = " ".join(_texts(outer, "subject")).lower()
    if shown in _OBSCURED:
        return inside.without(lambda entry: entry.lower_name == "subject")
    return inside


def _hidden(
    form: HeaderForm,
    inside: HeaderSection,
    left: HeaderSection,
    outer: HeaderSection,
    limits: Limits,
) -> tuple[tuple[HeaderField, ...], int]:
    if form is HeaderForm.CLEAR:
        return (), 0
    # Grouped once: a thousand names may be there, and each would be searched among all.
    inner, kept = _by_name(inside), _by_name(left)
    hidden = [name for name in inner if _read(inner[name]) != _read(kept.get(name, []))]
    shown = _by_name(outer)
    fields: list[HeaderField] = []
    withheld = 0
    for name in hidden:
        written = _written(name, tuple(inner[name]), tuple(shown.get(name, [])), limits)
        fields += written
        withheld += not written
    return tuple(fields), withheld


def _written(
    name: str,
    entries: tuple[HeaderField, ...],
    outside: tuple[HeaderField, ...],
    limits: Limits,
) -> tuple[HeaderField, ...]:
    """The fields as we write them; none when one of them is not what a mail program writes."""
    if name not in ADOPTABLE and not (name in _FULLER and _mean_the_same(name, entries, outside)):
        return ()
    if len(entries) > _SEVERAL.get(name, 1):
        return ()
    if not all(_is_plain(entry, limits) for entry in entries):
        return ()
    try:
        return tuple(field((ADOPTABLE | _FULLER)[name], entry.body) for entry in entries)
    except MIMEError:
        return ()


def _mean_the_same(
    name: str, inside: tuple[HeaderField, ...], outside: tuple[HeaderField, ...]
) -> bool:
    try:
        return _meaning(name, inside) == _meaning(name, outside)
    except (AddressError, LimitError, ValueError, OverflowError):
        return False


def _meaning(name: str, entries: tuple[HeaderField, ...]) -> list[object]:
    if name == "date":
        written = [parsedate_to_datetime(entry.body.decode("ascii")) for entry in entries]
        return [moment.replace(tzinfo=moment.tzinfo or UTC) for moment in written]
    return [named.mailbox.key for entry in entries for named in parse_mailboxes(entry.body)]


def _is_plain(entry: HeaderField, limits: Limits) -> bool:
    if entry.flaw or not entry.raw.isascii() or len(entry.raw) > limits.adopted_field_octets:
        return False
    # Encoded words can hold line ends, which some program may write out.
    text = decode_words(entry.body.replace(b"\t", b" "))
    return not any(unicodedata.category(letter) in {"Cc", "Zl", "Zp"} for letter in text)


def _changed(
    form: HeaderForm, inside: HeaderSection, left: HeaderSection, outer: HeaderSection
) -> Iterator[str]:
    for name in COMPARED:
        if form in {HeaderForm.DRAFT, HeaderForm.MESSAGE}:
            # What the author left is not known there, only what he hid is guessed.
            if not left.all(name):
                continue
        elif not inside.all(name) and not (name in _ANSWERED and outer.all(name)):
            continue
        if _texts(left, name) != _texts(outer, name):
            yield name


def _texts(header: HeaderSection, name: str) -> list[str]:
    """The fields of that name as people read them."""
    return _read(header.all(name))


def _read(entries: Iterable[HeaderField]) -> list[str]:
    """As people read them: folding and encoding do not count."""
    return [" ".join(decode_words(entry.body).split()) for entry in entries]


def _by_name(header: HeaderSection) -> dict[str, list[HeaderField]]:
    found: dict[str, list[HeaderField]] = {}
    for entry in header:
        found.setdefault(entry.lower_name, []).append(entry)
    return found


def _same_from(inside: HeaderSection, outer: HeaderSection) -> bool | None:
    inner = [entry.body for entry in inside.all("from")]
    if not inner:
        return None
    try:
        author = sole_mailbox(inner).mailbox
        return author.same_as(sole_mailbox([entry.body for entry in outer.all("from")]).mailbox)
    except (AddressError, LimitError):
        return False
