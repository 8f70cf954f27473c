"""Brings an entity into the form that survives transport unchanged, before it is signed.

RFC 8551, 3.1.1 to 3.1.3: CRLF line ends, 7-bit octets, short lines; no white space at line ends
and no line that begins with "From ", because relays change both.  A part that needs nothing keeps
its exact octets; the inside of what is already signed or encrypted is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from smimegw.content import MEMORY, Content, Store
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime import base64
from smimegw.mime.canonical_header import canonical_header
from smimegw.mime.content_type import TEXT_PLAIN, ContentType
from smimegw.mime.entity import IDENTITY, Entity, Multipart, read_multipart
from smimegw.mime.headers import field
from smimegw.mime.lines import (
    blocks_of_lines,
    has_crlf_only,
    has_endless_line,
    has_long_line,
    in_crlf_lines,
)
from smimegw.mime.quoted_printable import encode_quoted_printable

_SEALED = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
    }
)
# Their bodies begin with a header section of their own (RFC 2046, 5.2.1 and 5.2.3).
_ENCAPSULATED = frozenset({"message/rfc822", "message/global", "message/external-body"})
_MESSAGE = ContentType("message", "rfc822")
_DECLARED_8BIT = re.compile(
    rb"^content-transfer-encoding[ \t]*:\s*(?:8bit|binary)", re.MULTILINE | re.IGNORECASE
)
_DECLARATION_OCTETS = 1024


def canonical_for_signing(
    entity: Entity, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY
) -> Entity:
    """The same entity in canonical form, always with an empty line before its body.

    A body without a final line end stays without one: in multipart/signed the line end before
    the delimiter belongs to the delimiter.

    Args:
        entity: What will be signed: the inner header fields and the body.
        limits: Depth and number of parts.
        store: Keeps what must be written anew.

    Raises:
        MIMEError: Something must be changed and the structure is ambiguous, its transfer
            encoding is broken or unknown, or its type allows none; or it must not be changed,
            because it is signed or encrypted inside, and relays would.
        LimitError: Nested deeper than `mime_depth`, or too many parts.
    """
    if is_signable(entity):
        return entity
    canonical = _Writing(limits, store).canonical(entity, depth=0, default=TEXT_PLAIN)
    header = canonical_header(canonical.header)
    return replace(canonical, header=header, separator=b"\r\n")


def is_signable(entity: Entity, seen: Callable[[bytes], None] | None = None) -> bool:
    """Whether the entity can be signed as it is, seen from its octets alone.

    False may also mean that a text speaks of transfer encodings: then `canonical_for_signing`
    finds nothing to change.

    Args:
        entity: What will be signed.
        seen: Gets the octets in whole lines, all of them where the answer is True: what is long
            lies on a disk, and is read once.
    """
    return entity.separator == b"\r\n" and _needs_nothing(entity.content, seen)


def _needs_nothing(octets: Content, seen: Callable[[bytes], None] | None = None) -> bool:
    # A part labelled 8bit that holds 7-bit text is relabelled: relays that must go down to 7 bit
    # look at the label and would encode it anew.
    speaks_of_it = False
    for block in blocks_of_lines(octets):
        if not _is_clean_block(block):
            return False
        if seen is not None:
            seen(block)
        if not speaks_of_it:
            # The colon is found fastest, and what is long has none: base64.
            speaks_of_it = b"transfer-encoding" in block[: block.rfind(b":") + 1].lower()
    return not speaks_of_it or not octets.matches(_DECLARED_8BIT, _DECLARATION_OCTETS)


def _is_clean(octets: Content) -> bool:
    return all(_is_clean_block(block) for block in blocks_of_lines(octets))


def _is_clean_block(octets: bytes) -> bool:
    return (
        octets.isascii()
        and b"\0" not in octets
        and has_crlf_only(octets)
        and not has_long_line(octets)
        and not (b" " in octets and _has_space_that_relays_take(octets))
        and not (b"\t" in octets and (b"\t\r\n" in octets or octets.endswith(b"\t")))
    )


def _has_space_that_relays_take(octets: bytes) -> bool:
    return (
        b" \r\n" in octets
        or (b"F" in octets and b"\nFrom " in octets)
        or octets.endswith(b" ")
        or octets.startswith(b"From ")
    )


def _is_left_alone(octets: Content) -> bool:
    """Whether relays carry the octets as they are, although they are not in canonical form."""
    return (
        octets.isascii()
        and b"\0" not in octets
        and has_crlf_only(octets)
        and not has_long_line(octets)
        and not octets.matches(_DECLARED_8BIT, _DECLARATION_OCTETS)
    )


@dataclass(frozen=True, slots=True)
class _Writing:
    """Brings parts into canonical form, within *limits*; *store* keeps what is long."""

    limits: Limits
    store: Store

    def canonical(self, entity: Entity, depth: int, default: ContentType) -> Entity:
        """Canonical form; *default* is the media type without a Content-Type field."""
        if _needs_nothing(entity.content):
            return entity
        if depth > self.limits.mime_depth:
            raise LimitError("mime_depth", f"nested deeper than {self.limits.mime_depth}")
        content_type = entity.content_type if entity.header.all("content-type") else default
        if content_type.media_type in _SEALED:
            if not _is_left_alone(entity.content):
                raise MIMEError(
                    "a part that is signed or encrypted has 8-bit octets or long lines, which"
                    " relays change, and must stay as it is: sign opaque"
                )
            return entity
        if content_type.type == "multipart":
            return self._multipart(entity, depth)
        if content_type.media_type in _ENCAPSULATED and entity.transfer_encoding in IDENTITY:
            message = Entity.parse(entity.body, self.limits)
            inner = self.canonical(message, depth + 1, TEXT_PLAIN)
            return _with_body(entity, inner.content, encoding=None)
        return self._leaf(entity, content_type)

    def _multipart(self, entity: Entity, depth: int) -> Entity:
        multipart = read_multipart(entity, self.limits)
        # RFC 2046, 5.1.5: in a digest, parts without a type are messages.
        default = _MESSAGE if entity.content_type.subtype == "digest" else TEXT_PLAIN
        parts = [
            self.canonical(Entity.parse(part, self.limits), depth + 1, default)
            for part in multipart.parts
        ]
        body = _join(multipart, parts, entity.content_type.boundary)
        return _with_body(entity, body, encoding=None)

    def _leaf(self, entity: Entity, content_type: ContentType) -> Entity:
        encoding = entity.transfer_encoding
        is_text = content_type.type in {"text", "message"} and b"\0" not in entity.body
        if encoding in IDENTITY:
            body = in_crlf_lines(entity.body, self.store) if is_text else entity.body
            if _is_clean(body):
                return _with_body(entity, body, "7bit")
            if content_type.type == "message" and not content_type.subtype.startswith("global"):
                # RFC 2046, 5.2; RFC 3464, 2.1: readers do not decode them.
                raise MIMEError(f"{content_type.media_type} cannot be encoded")
            return self._encoded(entity, body, as_text=is_text)
        body = in_crlf_lines(entity.body, self.store)
        if _is_clean(body):
            return _with_body(entity, body, encoding)
        # Decoding refuses encodings that nobody could redo.
        decoded = entity.decoded_body(self.store)
        return self._encoded(entity, decoded, as_text=encoding == "quoted-printable")

    def _encoded(self, entity: Entity, octets: Content, *, as_text: bool) -> Entity:
        # Bare CR or LF are content here, which quoted-printable text could not keep apart.
        if as_text and has_crlf_only(octets) and not has_endless_line(octets):
            body = encode_quoted_printable(octets, self.store)
            return _with_body(entity, body, "quoted-printable")
        return _with_body(entity, base64.encoded(octets).settled(), "base64")


def _join(multipart: Multipart, parts: list[Entity], boundary: bytes) -> Content:
    """The body with its parts exchanged; what lies between them stays when it is clean."""
    body, spans = multipart.body, multipart.spans
    edges = [0, *(position for span in spans for position in span), len(body)]
    between = [body.part(edges[index], edges[index + 1]) for index in range(0, len(edges), 2)]
    if not multipart.closed or not all(map(_is_clean, between)):
        delimiter = b"\r\n--" + boundary
        written = [delimiter[2:] + b"\r\n", *[delimiter + b"\r\n"] * (len(parts) - 1)]
        between = [*map(Content, written), Content(delimiter + b"--\r\n")]
    pieces = [between[0]]
    for part, after in zip(parts, between[1:], strict=True):
        pieces += [part.content, after]
    return Content.joined(pieces)


def _with_body(entity: Entity, body: Content, encoding: str | None) -> Entity:
    """The entity with a canonical header section and *body*, labelled with *encoding*.

    None is for structures, whose label speaks of what is inside: 7-bit after us, except when a
    sealed part holds 8-bit octets.
    """
    header = canonical_header(entity.header)
    label = encoding
    if label is None and entity.transfer_encoding != "7bit" and body.isascii():
        label = "7bit"
    if label is not None and label != entity.transfer_encoding:
        header = header.replace(field("Content-Transfer-Encoding", label))
    separator = b"\r\n" if entity.separator or header.fields else b""
    return replace(entity, header=header, separator=separator, body=body)
