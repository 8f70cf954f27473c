"""Recognises the S/MIME layer that an entity is: signed, encrypted, compressed, or none.

Only the root is looked at.  What is nested in a larger MIME tree is somebody else's frame around
it: a signature there does not cover what is shown (cases I09), and decrypting there is how EFAIL
works (cases J01).  Media types and file names only say where to look; what it is, the CMS
content type says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from smimegw.cms.compressed_data import CompressedData, parse_compressed_data
from smimegw.cms.content_info import content_type_of
from smimegw.cms.envelope import Enveloped, parse_enveloped
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.signed_data import SignedData, parse_signed_data
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import CMSError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime import base64
from smimegw.mime.build import SignedForm
from smimegw.mime.content_type import ContentType, parse_disposition
from smimegw.mime.entity import IDENTITY, Entity, read_multipart
from smimegw.mime.headers import HeaderSection
from smimegw.mime.lines import blocks_of_lines
from smimegw.mime.one_reading import require_one_reading
from smimegw.x509.certificate import Certificate

_SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
MIME_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_CMS_TYPES = MIME_TYPES | _SIGNATURE_TYPES
_BLANK_LINE = re.compile(rb"\n[ \t]+\r?(?:\n|\Z)")  # relays that trim lines empty it
_DESCRIPTIONS = ("content-type", "content-disposition")
_OTHER_PROTOCOLS = re.compile(r"pgp|pem|moss")  # whose signatures are not CMS
_CLAIMS = (b"signed", b"pkcs7", b".p7")
# Base64 up to its padding, or up to an empty line
_BASE64_LINES = re.compile(rb"(?:[A-Za-z0-9+/]++\r?\n)*+")
_LAST_LINE = re.compile(rb"((?:[A-Za-z0-9+/]++={1,2})?+)[ \t]*+(?:\r?\n|\Z)")
_LAST_LINE_OCTETS = 64 * 1024
_SUFFIXES = (".p7m", ".p7s", ".p7c", ".p7z")  # RFC 8551, 3.2.1 and 3.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLayer:
    """A signature around something, not verified.

    Attributes:
        entity: The layer's own entity.
        content: The signed octets exactly: the first part of multipart/signed or the encapsulated
            content; empty when only certificates are carried.
        micalg: What multipart/signed says about the digests; lower case, never trusted.
    """

    form: SignedForm
    entity: Entity = field(repr=False)
    signed_data: SignedData = field(repr=False)
    content: Content = field(repr=False)
    micalg: tuple[str, ...] = ()

    @property
    def signer_certificates(self) -> tuple[Certificate, ...]:
        """Carried certificates that a SignerInfo names: their issuers are worth asking for."""
        return tuple(
            certificate
            for certificate in self.signed_data.certificates
            if any(info.identifier.matches(certificate) for info in self.signed_data.signer_infos)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedLayer:
    """Something encrypted, not opened.

    Attributes:
        entity: The layer's own entity.
        octets: The CMS in it.
    """

    entity: Entity = field(repr=False)
    octets: Content = field(repr=False)
    enveloped: Enveloped = field(repr=False)

    @property
    def recipient_ids(self) -> tuple[CertificateIdentifier, ...]:
        """Who can open it: names of certificates."""
        return self.enveloped.recipient_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedLayer:
    """Something compressed, not inflated (RFC 8551, 3.6)."""

    entity: Entity = field(repr=False)
    compressed: CompressedData = field(repr=False)


Layer = SignedLayer | EncryptedLayer | CompressedLayer


def layer_of(
    entity: Entity, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY
) -> Layer | None:
    """Return the S/MIME layer that *entity* is; None when it is none that we know.

    Other CMS content types, and OpenPGP, are none.  What is decoded, *store* keeps.

    Raises:
        MIMEError: It claims to be one and is malformed or ambiguous.
        CMSError: The CMS octets are malformed.
        LimitError: A limit was passed.
    """
    layer = _read_layer(entity, limits, store)
    if layer is not None:
        _refuse_two_readings(entity.header)
    return layer


def _refuse_two_readings(header: HeaderSection) -> None:
    """Where readers may see the end of the header section too early, they show other content."""
    if any(not entry.name for entry in header) or _BLANK_LINE.search(header.raw):
        raise MIMEError("a line in the header section is no field: readers see another content")


def _claims_smime(header: HeaderSection) -> bool:
    """Whether a reader who takes malformed fields differently could see S/MIME here."""
    said = b"".join(entry.body for name in _DESCRIPTIONS for entry in header.all(name)).lower()
    return any(word in said for word in _CLAIMS)


def _read_layer(entity: Entity, limits: Limits, store: Store) -> Layer | None:
    try:
        content_type = entity.content_type
        is_cms = content_type.media_type in _CMS_TYPES or _has_file_name(entity, content_type)
    except MIMEError:
        if _claims_smime(entity.header):
            raise
        return None  # a careless newsletter, for instance: nobody says that it is protected
    if content_type.media_type == "multipart/signed":
        return _clear_signed(entity, content_type, limits, store)
    return _cms_layer(entity, limits, store) if is_cms else None


def _clear_signed(
    entity: Entity, content_type: ContentType, limits: Limits, store: Store
) -> SignedLayer | None:
    protocol = (content_type.parameter("protocol") or "").lower()
    if _OTHER_PROTOCOLS.search(protocol):
        return None
    if entity.transfer_encoding not in IDENTITY:
        raise MIMEError("multipart/signed with a transfer encoding (RFC 2045, 6.4)")
    multipart = read_multipart(entity, limits)
    parts = multipart.parts
    signature = Entity.parse(parts[-1], limits)
    # QUIRK some programs leave the protocol out or write another; the part says what it is.
    is_signature = _is_signature(signature)
    if protocol not in _SIGNATURE_TYPES and not is_signature:
        return None
    if len(parts) != 2 or not multipart.closed:
        raise MIMEError("multipart/signed has not exactly two parts (RFC 1847, 2.1)")
    require_one_reading(entity)
    if not is_signature:
        # Readers that go by the part's own type would show something else (RFC 1847, 2.1).
        raise MIMEError("the second part of multipart/signed is not the signature it announces")
    micalg = content_type.parameter("micalg") or ""
    return SignedLayer(
        form=SignedForm.CLEAR,
        entity=entity,
        signed_data=parse_signed_data(_cms_octets(signature, limits, store), limits, store),
        content=parts[0],
        micalg=tuple(name.strip().lower() for name in micalg.split(",") if name.strip()),
    )


def _is_signature(part: Entity) -> bool:
    content_type = part.content_type
    by_name = _has_file_name(part, content_type, (".p7s",))
    return by_name or content_type.media_type in _SIGNATURE_TYPES


def _cms_octets(entity: Entity, limits: Limits, store: Store) -> Content:
    """The CMS that *entity* carries, without what gateways put behind it on the way.

    A footer of a mailing list, for instance.  Octets that are no base64 may stand behind the
    padding or behind an empty line; CMS itself says where it ends, so that all readers see the
    same (RFC 2045, 6.8).
    """
    if entity.transfer_encoding != "base64":
        return _without_line_end(entity.decoded_body(store), limits)
    try:
        return entity.decoded_body(store)
    except MIMEError:
        end = _end_before_footer(entity.body)
        if not end:
            raise
        return base64.decode(entity.body.part(0, end), store)


def _end_before_footer(body: Content) -> int:
    """Where base64 ends at its padding or at an empty line; 0 when it does not."""
    end = 0
    for block in blocks_of_lines(body):
        lines = _BASE64_LINES.match(block)
        length = lines.end() if lines else 0
        end += length
        if length < len(block):
            break
    last = _LAST_LINE.match(body.read(end, end + _LAST_LINE_OCTETS))
    return end + last.end(1) if last else 0


def _without_line_end(octets: Content, limits: Limits) -> Content:
    """*octets* of a binary body without the line end that mail has after every body."""
    if octets.endswith(b"\r\n"):
        try:
            content_type_of(octets, limits)
        except CMSError:
            return octets.part(0, len(octets) - 2)
    return octets


def _has_file_name(
    entity: Entity, content_type: ContentType, suffixes: tuple[str, ...] = _SUFFIXES
) -> bool:
    # RFC 8551, 3.9: gateways and old programs send application/octet-stream.
    if content_type.media_type != "application/octet-stream":
        return False
    names = [content_type.parameter("name")]
    disposition = entity.header.sole("content-disposition")
    if disposition is not None:
        names.append(dict(parse_disposition(disposition.body)[1]).get("filename"))
    return any(name.lower().endswith(suffixes) for name in names if name)


def _cms_layer(entity: Entity, limits: Limits, store: Store) -> Layer | None:
    octets = _cms_octets(entity, limits, store)
    # QUIRK Outlook leaves the smime-type parameter out, others write it in capitals or wrongly:
    # the CMS content type decides.
    match content_type_of(octets, limits):
        case "signed-data":
            signed_data = parse_signed_data(octets, limits, store)
            return SignedLayer(
                form=SignedForm.OPAQUE,
                entity=entity,
                signed_data=signed_data,
                content=signed_data.encapsulated or Content(),
            )
        case "enveloped-data" | "auth-enveloped-data":
            enveloped = parse_enveloped(octets, limits)
            return EncryptedLayer(entity=entity, octets=octets, enveloped=enveloped)
        case "compressed-data":
            compressed = parse_compressed_data(octets, limits)
            return CompressedLayer(entity=entity, compressed=compressed)
        case _:
            return None
