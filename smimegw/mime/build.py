"""Builds the MIME form of protected mail: multipart/signed, application/pkcs7-mime."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache

from smimegw.content import Content
from smimegw.errors import MIMEError
from smimegw.mime import base64
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection, field

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")  # RFC 2046, 5.1.1
_MICALG = re.compile(r"[0-9a-z-]+")
PREAMBLE = b"This is an S/MIME signed message\r\n"

SMIME_TYPES = frozenset({"signed-data", "enveloped-data", "authEnveloped-data", "compressed-data"})

Fields = tuple[HeaderField, ...]


class SignedForm(StrEnum):
    """Where a signed message keeps what is signed (RFC 8551, 3.5)."""

    CLEAR = "clear"  # multipart/signed: readable without S/MIME
    OPAQUE = "opaque"  # inside the SignedData of application/pkcs7-mime


def boundary(rng: Callable[[int], bytes]) -> str:
    """A boundary that cannot occur in content: 128 random bits and ``=_``, which neither base64
    nor quoted-printable can write (RFC 2046, 5.1.1)."""
    return f"=_smimegw_{rng(16).hex()}"


def split_for_protection(header: HeaderSection) -> tuple[HeaderSection, HeaderSection]:
    """Outer and inner fields: Content-* describe the body and move inside, all others stay."""

    def moves(entry: HeaderField) -> bool:
        return entry.lower_name.startswith("content-")

    return header.without(moves), header.without(lambda entry: not moves(entry))


def multipart_signed(
    signed_entity: Entity, signature_der: bytes, micalg: str, delimiter: str
) -> tuple[Fields, Content]:
    """Fields and body of a clear-signed message (RFC 1847, 2.1; RFC 8551, 3.5.3).

    Args:
        signed_entity: Exactly what was signed, in canonical form.
        signature_der: The detached SignedData.
        micalg: Such as ``sha-256``.
        delimiter: See `boundary`; the caller has made sure that no line begins with it.

    Raises:
        MIMEError: The delimiter is none, or *micalg* is no such name.
    """
    if not _BOUNDARY.fullmatch(delimiter) or not _MICALG.fullmatch(micalg):
        raise MIMEError("not a boundary (RFC 2046, 5.1.1) or not the name of a digest")
    mark = b"--" + delimiter.encode("ascii")
    value = (
        'multipart/signed; protocol="application/pkcs7-signature";\r\n'
        f' micalg={micalg}; boundary="{delimiter}"\r\n'
    )
    fields = (HeaderField(b"Content-Type", b"Content-Type: " + value.encode("ascii")),)
    before = PREAMBLE + b"\r\n" + mark + b"\r\n"
    between = b"\r\n" + mark + b"\r\n" + _signature_header() + b"\r\n"
    signature = b"".join(base64.encode_lines((signature_der,)))
    behind = signature + b"\r\n" + mark + b"--\r\n"
    return fields, Content.joined((before, signed_entity.content, between, behind))


@cache
def _signature_header() -> bytes:
    fields = (
        field("Content-Type", 'application/pkcs7-signature; name="smime.p7s"'),
        field("Content-Transfer-Encoding", "base64"),
        field("Content-Disposition", 'attachment; filename="smime.p7s"'),
        field("Content-Description", "S/MIME Cryptographic Signature"),
    )
    return HeaderSection(fields).raw


def pkcs7_mime(smime_type: str, octets: bytes | Content) -> tuple[Fields, Content]:
    """Fields and body of an opaque-signed or encrypted message (RFC 8551, 3.2 and 3.3).

    Args:
        smime_type: One of `SMIME_TYPES`.
        octets: The DER octets; the body is made of them when it is read.

    Raises:
        MIMEError: *smime_type* is not one that RFC 8551, 3.2.2 names.
    """
    if smime_type not in SMIME_TYPES:
        raise MIMEError("unknown smime-type (RFC 8551, 3.2.2)")
    return pkcs7_fields(smime_type), base64.encoded(Content.of(octets))


@cache
def pkcs7_fields(smime_type: str) -> Fields:
    """The fields alone."""
    suffix = "p7z" if smime_type == "compressed-data" else "p7m"
    return (
        _folded(
            "Content-Type",
            f"application/pkcs7-mime; smime-type={smime_type}",
            f'name="smime.{suffix}"',
        ),
        field("Content-Transfer-Encoding", "base64"),
        field("Content-Disposition", f'attachment; filename="smime.{suffix}"'),
    )


def _folded(name: str, *lines: str) -> HeaderField:
    """A field whose parameters are folded after a semicolon, as mail programs write it."""
    whole = field(name, "; ".join(lines))  # refuses what must not be in a field
    raw = f"{name}: " + ";\r\n ".join(lines) + "\r\n"
    return HeaderField(whole.name, raw.encode("ascii"))
