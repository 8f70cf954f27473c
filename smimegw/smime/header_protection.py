"""Puts a message's header fields under its protection before it is signed or encrypted (RFC 9788).

The root entity inside all layers is the Cryptographic Payload.  Its header section takes a copy of
every field that the author wrote, ``hp`` in its Content-Type says with which aim, and under
encryption ``HP-Outer`` fields say what was left readable outside (RFC 9788, 2 and 5.2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from smimegw.address_lists import parse_mailboxes
from smimegw.content import Content
from smimegw.errors import AddressError, LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.build import boundary
from smimegw.mime.canonical_header import canonical_header
from smimegw.mime.confidentiality import HeaderProtection, concealed, is_protected
from smimegw.mime.content_type import ContentType, parse_content_type
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.mime.legacy_display import with_legacy_display
from smimegw.mime.lines import has_long_line

_ADDRESSES = frozenset({"from", "sender", "reply-to", "to", "cc"})
_PARAMETERS = frozenset({"hp", "protected-headers"})  # the client's own word on an outer entity


def protect_header(
    outer: HeaderSection,
    entity: Entity,
    wish: HeaderProtection,
    *,
    encrypts: bool,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[HeaderSection, Entity]:
    """Return the outer fields as they may be read, and *entity* with all of them inside.

    Args:
        outer: What `split_for_protection` leaves outside: nothing in it describes the body.
        entity: What will be protected; neither signed nor encrypted yet.
        wish: What is hidden; nothing is when the copy is only signed (RFC 9788, 5.2.1).
        encrypts: The copy is encrypted, signed before or not.
        limits: Of the MIME structure.

    Raises:
        MIMEError: A field cannot be written inside without changing what it says.
    """
    protected = HeaderSection(tuple(_proper(entry) for entry in outer if _goes_inside(entry)))
    readable = concealed(outer, wish) if encrypts else outer
    if encrypts and wish.legacy_display:
        entity = with_legacy_display(entity, _changed(protected, wish), limits)
    entity = _marked(entity, "cipher" if encrypts else "clear")
    inside = [*protected]
    if encrypts:
        inside += _outer_fields(concealed(protected, wish))
    header = HeaderSection((*inside, *entity.header))
    if len(header) > limits.header_fields or len(header.raw) > limits.header_section_octets:
        raise MIMEError("so many header fields, twice inside, are more than readers take")
    return readable, Entity(header, entity.body, b"\r\n")


def _goes_inside(entry: HeaderField) -> bool:
    if not is_protected(entry.lower_name):
        return False
    # Inside is ASCII (RFC 8551, 3.1.2), which such an address has no form in (RFC 6532, 3.2):
    # written as anything else it would be another one, and the signature would not pass.
    return entry.raw.isascii() or entry.lower_name not in _ADDRESSES or _has_ascii_form(entry)


def _has_ascii_form(entry: HeaderField) -> bool:
    try:
        return not any(named.mailbox.needs_smtputf8 for named in parse_mailboxes(entry.body))
    except (AddressError, LimitError):
        return False


def _proper(entry: HeaderField) -> HeaderField:
    """The field in the form that a signature survives, without a space before the colon."""
    if entry.flaw == "space-before-colon":
        entry = HeaderField.parse(entry.name + b":" + entry.raw.partition(b":")[2])
    return canonical_header(HeaderSection((entry,))).fields[0]


def _changed(protected: HeaderSection, wish: HeaderProtection) -> tuple[HeaderField, ...]:
    """The fields that a reader of the outer header section does not see as they are."""
    readable = {entry.raw for entry in concealed(protected, wish)}
    return tuple(entry for entry in protected if entry.raw not in readable)


def _outer_fields(outside: HeaderSection) -> Iterator[HeaderField]:
    for entry in outside:
        raw = b"HP-Outer: " + entry.raw
        if has_long_line(raw):
            yield field("HP-Outer", entry.name + b": " + entry.body)
        else:
            yield HeaderField.parse(raw)


def _marked(entity: Entity, aim: str) -> Entity:
    """*entity* with the hp parameter, in a multipart of its own where it cannot take one."""
    try:
        written = _with_parameter(entity, aim)
    except MIMEError:
        return _wrapped(entity, aim)
    return Entity(entity.header.replace(written), entity.body, b"\r\n")


def _with_parameter(entity: Entity, aim: str) -> HeaderField:
    kind = entity.content_type
    found = entity.header.sole("content-type")
    others = tuple(pair for pair in kind.parameters if pair[0] not in _PARAMETERS)
    written = ContentType(kind.type, kind.subtype, others).write().encode("ascii")
    if found is not None and others == kind.parameters:
        written = found.body.rstrip(b"; \t")  # as the author wrote it
    # Quoted, as all examples of RFC 9788 have it: some readers only look.
    marked = field("Content-Type", written + f'; hp="{aim}"'.encode("ascii"))
    if parse_content_type(marked.body).parameters != (*others, ("hp", aim)):
        raise MIMEError("the Content-Type field takes no further parameter")
    return marked


def _wrapped(entity: Entity, aim: str) -> Entity:
    """Nobody can say what *entity* is, so it becomes a part, octet for octet."""
    mark = boundary(os.urandom)
    kind = field("Content-Type", f'multipart/mixed; boundary="{mark}"; hp="{aim}"')
    delimiter = b"--" + mark.encode("ascii")
    body = Content.joined(
        (delimiter + b"\r\n", entity.content, b"\r\n" + delimiter + b"--\r\n"),
    )
    return Entity(HeaderSection((kind,)), body)
