"""Finds certificates in files of every usual form: PEM, DER, PKCS #7, PKCS #12."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from smimegw.adapters.keys.pkcs12_cost import check_pkcs12
from smimegw.cms import asn1
from smimegw.cms.content_info import content_type_of
from smimegw.cms.signed_data import parse_signed_data
from smimegw.errors import CertificateError, CMSError, LimitError, UsageError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----")
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_BUNDLES = (b"PKCS7", b"CMS")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]{64,}")
_NONE = "no certificate in it"
_KEY_REMARK = "the private key in it is ignored; smimegw key import takes those of our own people"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file holds.

    Attributes:
        certificates: In the order of the file.
        flaws: Of each part that cannot be read, why.
        remark: What else was noticed.
    """

    certificates: tuple[Certificate, ...] = ()
    flaws: tuple[str, ...] = ()
    remark: str = ""


def contents_of(octets: bytes, password: bytes | None = None) -> Contents:
    """Read a file of any of the forms.

    Args:
        octets: The whole file.
        password: For PKCS #12.
    """
    if b"-----BEGIN " in octets:
        return _of_pem(octets, password)
    if _BASE64.fullmatch(octets.strip()):
        try:
            octets = base64.b64decode(b"".join(octets.split()), validate=True)
        except binascii.Error:
            return Contents(flaws=("neither DER, PEM nor base64",))
    return _of_der(octets, password)


def _of_pem(octets: bytes, password: bytes | None) -> Contents:
    certificates: list[Certificate] = []
    flaws: list[str] = []
    remarks: dict[str, None] = {}
    for label, text in _PEM.findall(octets):
        if label.endswith(b"PRIVATE KEY"):
            remarks[_KEY_REMARK] = None
            continue
        if label not in (*_CERTIFICATES, *_BUNDLES, b"PKCS12"):
            continue
        try:
            part = _of_der(base64.b64decode(b"".join(text.split()), validate=True), password)
        except binascii.Error:
            part = Contents(flaws=("damaged base64 between BEGIN and END",))
        certificates += part.certificates
        flaws += part.flaws
        remarks |= {part.remark: None} if part.remark else {}
    if not (certificates or flaws):
        flaws.append(_NONE)
    return Contents(certificates=tuple(certificates), flaws=tuple(flaws), remark="; ".join(remarks))


def _of_der(octets: bytes, password: bytes | None) -> Contents:
    try:
        first = asn1.read_document(octets).children().next_tag()
        if first == asn1.OBJECT_IDENTIFIER:
            if content_type_of(octets) != "signed-data":
                return Contents(flaws=("a CMS structure without certificates",))
            found = tuple(parse_signed_data(octets).certificates)
            return Contents(certificates=found, flaws=() if found else (_NONE,))
        if first == asn1.INTEGER:
            return _of_pkcs12(octets, password)
        return Contents(certificates=(Certificate.parse(octets),))
    except UsageError as exc:
        return Contents(flaws=(str(exc),))
    except (CertificateError, CMSError, LimitError) as exc:
        return Contents(flaws=(f"no certificate that can be read: {exc}",))


def _of_pkcs12(octets: bytes, password: bytes | None) -> Contents:
    check_pkcs12(octets, DEFAULT_LIMITS)
    try:
        opened = pkcs12.load_pkcs12(octets, password)
    except PARSE_ERRORS:
        advice = "give its password with --password-file" if password is None else "another file?"
        raise UsageError(f"PKCS #12 that this password does not open; {advice}") from None
    entries = [entry for entry in (opened.cert, *opened.additional_certs) if entry is not None]
    certificates = tuple(_parsed(entries))
    remark = _KEY_REMARK if opened.key is not None else ""
    return Contents(
        certificates=certificates, flaws=() if certificates else (_NONE,), remark=remark
    )


def _parsed(entries: list[pkcs12.PKCS12Certificate]) -> Iterator[Certificate]:
    for entry in entries:
        yield Certificate.parse(entry.certificate.public_bytes(Encoding.DER))
