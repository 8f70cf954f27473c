"""Takes from opened content whatever a mail program might load, run or send by itself.

Who holds a ciphertext under CBC can put pieces of HTML around the unknown text without breaking
anything (EFAIL).  Where neither a signature nor the cipher vouches for what came out, it is given
on so that showing it tells nobody anything: HTML keeps words and layout only, types that a mail
program might interpret become attachments, each part stays a part of its own (cases J03).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from smimegw.content import MEMORY, Content, Store
from smimegw.errors import LimitError, MessageError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime import base64
from smimegw.mime.build import SignedForm
from smimegw.mime.charsets import decode_octets
from smimegw.mime.content_type import TEXT_PLAIN, ContentType, parse_disposition, write_parameters
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import IDENTITY, Entity, Multipart, read_multipart
from smimegw.mime.headers import HeaderField, HeaderSection
from smimegw.mime.headers import field as header_field
from smimegw.mime.inert_html import cost, inert_html, plain_text
from smimegw.mime.one_reading import require_one_reading
from smimegw.smime.media_types import CompressedLayer, SignedLayer, layer_of

_DEPTH = 8  # of multiparts and messages; deeper ones become attachments
_TAGS = 500_000  # of all parts; half a second of work for what becomes plain text
_DESCRIPTIONS = frozenset({"content-type", "content-disposition"})
_BASES = frozenset({"content-base", "content-location"})  # what cid: and relative names resolve to
# Shown as letters, or as dots of colour: nothing in them is looked up anywhere.
_SHOWN = frozenset(
    {"text/plain", "text/rfc822-headers", "message/delivery-status"}
    | {"message/disposition-notification", "message/feedback-report"}
    | {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff"}
)
_MESSAGES = frozenset({"message/rfc822", "message/global"})
# Of the types that are not shown these are opened by mail programs, or by what they call.
_ACTIVE = re.compile(r"html|xml|svg|script|json|tnef|mpegurl|scpls|asf|flash|x-java|calendar|vcard")
# Dots and spaces at the end of a name are dropped by some systems.
_OPENED_BY_NAME = re.compile(
    r"\.(p7[cmsz]|eml|[xs]?html?|mht(ml)?|svgz?|xml|hta|url|ics|vcf)[.\s]{0,255}\Z", re.IGNORECASE
)
_CHARSETS = re.compile(
    r"utf-?8|(us-)?ascii|latin-?[1-9]|iso[-_]?8859[-_]\d{1,2}|windows-?\d{3,4}|cp\d{3,4}|koi8-[ru]|"
    r"gb2312|gbk|gb18030|big5|euc-(jp|kr)|shift_jis|iso-2022-(jp|kr)|macintosh",
    re.IGNORECASE,
)
_ENCODED_FILE = re.compile(
    rb"^(?:begin(?:-base64)? [0-7]{3}|=ybegin |\(This file must)", re.MULTILINE
)
_ENCODED_FILE_OCTETS = 64
_TYPE_ONLY = re.compile(rb"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+[ \t]*(?:;|\Z)")
# Markup, header fields, delimiters of parts that some reader may see outside of all parts.
_PART_LIKE = re.compile(rb"[<:]|^-", re.MULTILINE)
_FIELD = re.compile(rb"^[!-9;-~]{1,998}+[ \t]{0,998}+:", re.MULTILINE)
_FIELD_OCTETS = 2000
_BLANK_LINE = re.compile(rb"\n[ \t]+(?:\r?\n|\Z)")


@dataclass(slots=True)
class _Work:
    """What may still be done for one message, so that many parts cost no more than one."""

    limits: Limits
    store: Store
    parts: int = field(init=False)
    html: int = field(init=False)
    tags: int = _TAGS

    def __post_init__(self) -> None:
        self.parts, self.html = self.limits.mime_parts, self.limits.html_cost


def disarm(entity: Entity, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY) -> Entity:
    """Return *entity* without references to anything outside itself; itself if it had none.

    Text in a plain part stays as it is, addresses in it too: no program follows them by itself.
    What cannot be taken apart for certain is one attachment.

    Args:
        entity: What was decrypted, or what other layers around it held.
        limits: Numeric limits.
        store: Keeps what must be read to be judged.
    """
    return _disarmed(entity, _Work(limits, store), 0)


def _disarmed(entity: Entity, work: _Work, depth: int, default: ContentType = TEXT_PLAIN) -> Entity:
    work.parts -= 1
    try:
        if depth > _DEPTH or work.parts < 0:
            raise LimitError("mime_parts", "more parts or levels than are looked at")
        clean = entity.with_header(_without_bases(entity.header))
        if _looks_like_fields(entity) and (default is TEXT_PLAIN or not entity.separator):
            clean = _described(clean, header_field("Content-Type", "text/plain"))
        named = clean.header.sole("content-type")
        content_type = default if named is None else clean.content_type
        if named is not None and not _TYPE_ONLY.match(named.body):
            raise MIMEError("something between the media type and its parameters")
        _ = clean.transfer_encoding, _file_names(clean)  # no one else shall read them differently
        if content_type.type == "multipart":
            result = _multipart(clean, content_type, work, depth)
        elif content_type.media_type in _MESSAGES:
            result = _message(clean, work, depth)
        else:
            result = _leaf(clean, content_type, work)
    except MessageError:
        result = _attached(entity, work.store)
    return entity if result.content == entity.content else result


def _looks_like_fields(entity: Entity) -> bool:
    """It has no header section, but a reader who skips the first lines may see one."""
    return not entity.header.fields and entity.body.matches(_FIELD, _FIELD_OCTETS)


def _without_bases(header: HeaderSection) -> HeaderSection:
    """Without addresses to resolve others against, and without what readers end a header at."""
    return header.without(
        lambda entry: (
            entry.lower_name in _BASES
            or bool(entry.flaw)
            or _BLANK_LINE.search(entry.raw) is not None
        )
    )


def _multipart(entity: Entity, content_type: ContentType, work: _Work, depth: int) -> Entity:
    if entity.transfer_encoding not in IDENTITY:
        raise MIMEError("a multipart with a transfer encoding (RFC 2045, 6.4)")
    require_one_reading(entity)
    multipart = read_multipart(entity, work.limits)
    # RFC 2046, 5.1.5: in a digest a part without a type is a message
    default = ContentType("message", "rfc822") if content_type.subtype == "digest" else TEXT_PLAIN
    before = [Entity.parse(part, work.limits) for part in multipart.parts]
    after = [_disarmed(part, work, depth + 1, default) for part in before]
    mark = b"--" + content_type.boundary
    if all(new is old for new, old in zip(after, before, strict=True)):
        if multipart.closed and not _around(multipart).matches(_PART_LIKE, 1):
            return entity
    elif content_type.subtype == "signed":
        # No longer what was signed; the signature stays beside it as an attachment.
        mixed = ContentType("multipart", "mixed", (("boundary", _ascii_boundary(content_type)),))
        entity = entity.with_header(
            entity.header.replace(header_field("Content-Type", mixed.write()))
        )
    pieces = [piece for part in after for piece in (mark + b"\r\n", part.content, b"\r\n")]
    return Entity(entity.header, Content.joined((*pieces, mark + b"--\r\n")))


def _around(multipart: Multipart) -> Content:
    """The lines before the first delimiter and behind the last, which readers do not show."""
    first, last = multipart.around
    body = multipart.body
    return Content.joined((body.part(0, first), b"\n", body.part(last)))


def _ascii_boundary(content_type: ContentType) -> str:
    if not content_type.boundary.isascii():
        raise MIMEError("a boundary that is not ASCII")
    return content_type.boundary.decode("ascii")


def _message(entity: Entity, work: _Work, depth: int) -> Entity:
    if entity.transfer_encoding not in IDENTITY:
        raise MIMEError("a message with a transfer encoding (RFC 2046, 5.2.1)")
    inner = Entity.parse(entity.body, work.limits)
    result = _disarmed(inner, work, depth + 1)
    return entity if result is inner else Entity(entity.header, result.content)


def _leaf(entity: Entity, content_type: ContentType, work: _Work) -> Entity:
    media_type = content_type.media_type
    if media_type == "text/html":
        return _html(entity, content_type, work)
    is_opened_by_name = any(_OPENED_BY_NAME.search(name) for name in _file_names(entity))
    if media_type in _SHOWN and is_opened_by_name:
        return _attached(entity, work.store)
    if not entity.header.all("content-type") and entity.body.matches(
        _ENCODED_FILE, _ENCODED_FILE_OCTETS
    ):
        # Programs look for files in a body whose type nobody named, and show them.
        return _described(entity, header_field("Content-Type", "text/plain"))
    if media_type in _SHOWN:
        return entity
    layer = layer_of(entity, work.limits, work.store)
    if isinstance(layer, CompressedLayer) or (
        isinstance(layer, SignedLayer) and layer.form is SignedForm.OPAQUE and layer.content
    ):
        return _attached(entity, work.store)  # a mail program would look for what is inside
    if layer is not None:
        return entity
    is_active = content_type.type in {"text", "message", "image"} or _ACTIVE.search(media_type)
    if is_active or is_opened_by_name:
        return _attached(entity, work.store)
    found = entity.header.sole("content-disposition")
    if found is not None and parse_disposition(found.body)[0] == "attachment":
        return entity
    return _described(entity, _disposition(entity))


def _html(entity: Entity, content_type: ContentType, work: _Work) -> Entity:
    charset = content_type.parameter("charset") or "utf-8"
    if not _CHARSETS.fullmatch(charset):
        raise MIMEError("HTML in a character set that has several readings")
    if len(entity.body) > work.limits.text_octets:
        raise LimitError("text_octets", "more HTML than anybody reads")
    octets = entity.decoded_body().whole(work.limits.text_octets)
    markup = decode_octets(octets, charset)
    work.tags -= markup.count("<") + markup.count("&")
    if work.tags < 0:
        raise LimitError("html_cost", "more tags than are even taken out")
    work.html -= cost(markup)
    if work.html < 0 or len(octets) > work.limits.html_octets:
        text, kind = plain_text(markup), "text/plain; charset=utf-8"
    else:
        text, kind = inert_html(markup), "text/html; charset=utf-8"
    return _encoded(_described(entity, header_field("Content-Type", kind)), Content(text.encode()))


def _attached(entity: Entity, store: Store) -> Entity:
    """*entity* as octets to be saved, not shown."""
    fields = (
        header_field("Content-Type", "application/octet-stream"),
        _disposition(entity, neutral=True),
    )
    header = _without_bases(entity.header).without(lambda e: e.lower_name in _DESCRIPTIONS)
    result = Entity(header.append(fields), entity.body)
    try:
        entity.decoded_body(store)
    except MIMEError:
        return _encoded(result, entity.body)
    return result


def _encoded(entity: Entity, octets: Content) -> Entity:
    encoding = header_field("Content-Transfer-Encoding", "base64")
    body = base64.encoded(octets).settled()
    return Entity(_described(entity, encoding).header, body)


def _described(entity: Entity, new: HeaderField) -> Entity:
    return entity.with_header(entity.header.replace(new))


def _disposition(entity: Entity, *, neutral: bool = False) -> HeaderField:
    try:
        name = _file_names(entity)[0]
    except (MIMEError, IndexError):
        name = ""
    # Never a path (cases L09), and never longer than a line whatever the letters are.
    name = re.split(r"[/\\]", name)[-1][-60:].lstrip(". ")
    name = "".join(letter for letter in name if letter.isprintable())
    if neutral and _OPENED_BY_NAME.search(name):
        name += ".bin"
    parameters = (("filename", name),) if name else ()
    return header_field("Content-Disposition", write_parameters("attachment", parameters))


def _file_names(entity: Entity) -> list[str]:
    """What the part may be called: mail programs disagree on which of two names counts."""
    found = entity.header.sole("content-disposition")
    named = dict(parse_disposition(found.body)[1]).get("filename") if found else None
    names = [name for name in (named, entity.content_type.parameter("name")) if name]
    # Encoded words are not allowed in parameters (RFC 2047, 5), written by many, read by most.
    return [decode_words(name.encode("utf-8", "surrogateescape")) for name in names]
