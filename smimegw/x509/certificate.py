"""One X.509 certificate as the gateway sees it: the DER octets and what we read from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    NameOID,
    PublicKeyAlgorithmOID,
)

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits

_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598, 3
_UTF8_STRING = 0x0C

PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for malformed certificates and lists, some of it only when asked."""

_SUBJECT_TEXT_LETTERS = 200
_PLACES = 4  # where revocation is asked: real certificates name one or two
_URL_OCTETS = 1024


@dataclass(frozen=True, repr=False)
class Certificate:
    """A parsed certificate; equal and hashable by its DER octets.

    Made by `Certificate.parse` only, so every instance is well-formed and its addresses are clean.

    Attributes:
        der: The octets as received.
        parsed: The same as the library's object.
        mailboxes: Whose certificate it is: rfc822Name and SmtpUTF8Mailbox of the subjectAltName;
            the subject's emailAddress only where there is no subjectAltName at all.
    """

    der: bytes
    parsed: x509.Certificate = field(compare=False)
    mailboxes: tuple[Mailbox, ...] = field(compare=False)

    @classmethod
    def parse(cls, octets: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Certificate:
        """Read one DER certificate.

        Raises:
            CertificateError: ``malformed``, ``void`` or ``limits``.
        """
        octets = bytes(octets)
        try:
            parsed = x509.load_der_x509_certificate(octets)
            extensions = parsed.extensions
            _ = (parsed.subject, parsed.issuer, parsed.not_valid_before_utc)
            _ = (parsed.not_valid_after_utc, parsed.signature_algorithm_oid)
        except PARSE_ERRORS as exc:
            raise CertificateError("malformed", "not a certificate in DER") from exc
        try:
            names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            mailboxes = _subject_mailboxes(parsed.subject)
        else:
            if len(names) > limits.subject_alt_names:
                raise CertificateError("limits", f"more than {limits.subject_alt_names} names")
            mailboxes = _alternative_mailboxes(names)
        return cls(octets, parsed, tuple(dict.fromkeys(mailboxes)))

    @cached_property
    def has_alternative_name(self) -> bool:
        """There is a subjectAltName, so that `mailboxes` come from it."""
        extensions = self.parsed.extensions
        return any(isinstance(e.value, x509.SubjectAlternativeName) for e in extensions)

    def __repr__(self) -> str:
        return f"<Certificate {self.fingerprint[:19]} {self.subject_text}>"

    @cached_property
    def fingerprint(self) -> str:
        """``sha256:`` and 64 hexadecimal digits."""
        return "sha256:" + hashlib.sha256(self.der).hexdigest()

    @cached_property
    def issuer_der(self) -> bytes:
        """The issuer's Name, DER."""
        return self.parsed.issuer.public_bytes()

    @cached_property
    def subject_der(self) -> bytes:
        """The subject's Name, DER."""
        return self.parsed.subject.public_bytes()

    @cached_property
    def subject_text(self) -> str:
        """The subject for people: RFC 4514, one line, nothing unprintable, bounded."""
        text = self.parsed.subject.rfc4514_string()
        text = "".join(
            letter if letter.isprintable() else "".join(f"\\{octet:02X}" for octet in raw)
            for letter, raw in ((letter, letter.encode("utf-8", "replace")) for letter in text)
        )
        if len(text) > _SUBJECT_TEXT_LETTERS:
            return text[: _SUBJECT_TEXT_LETTERS - 1] + "…"
        return text

    @cached_property
    def serial_number(self) -> int:
        """The serial number as issued."""
        return self.parsed.serial_number

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """Value of the SubjectKeyIdentifier extension, if there is one (RFC 5280, 4.2.1.2)."""
        try:
            extension = self.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return extension.value.digest

    @cached_property
    def authority_key_identifier(self) -> bytes | None:
        """Its keyIdentifier, if the issuer gave one (RFC 5280, 4.2.1.1)."""
        try:
            extension = self.parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return extension.value.key_identifier

    @cached_property
    def key_usage(self) -> x509.KeyUsage | None:
        """The KeyUsage extension; None means that every use is allowed (RFC 5280, 4.2.1.3)."""
        try:
            return self.parsed.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def extended_key_usage(self) -> frozenset[x509.ObjectIdentifier] | None:
        """Purposes of the ExtendedKeyUsage extension, None without one (RFC 5280, 4.2.1.12)."""
        try:
            extension = self.parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except x509.ExtensionNotFound:
            return None
        return frozenset(extension.value)

    @cached_property
    def is_ca(self) -> bool:
        """BasicConstraints says that it may issue certificates (RFC 5280, 4.2.1.9)."""
        try:
            extension = self.parsed.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            return False
        return extension.value.ca

    @cached_property
    def is_self_issued(self) -> bool:
        """Subject and issuer are the same name; says nothing about the signature."""
        return self.subject_der == self.issuer_der

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The subject's public key.

        Raises:
            CertificateError: ``weak-key``: unknown algorithm, unnamed curve, point not on curve.
        """
        try:
            return self.parsed.public_key()
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise CertificateError("weak-key", "a key that is broken or of unknown kind") from exc

    @cached_property
    def rsa_exponent(self) -> int:
        """The public exponent of an RSA key; 0 of other keys.

        Raises:
            CertificateError: As `public_key`.
        """
        key = self.public_key
        return key.public_numbers().e if isinstance(key, rsa.RSAPublicKey) else 0

    @cached_property
    def is_bound_to_pss(self) -> bool:
        """It is an id-RSASSA-PSS key: one that signs, in this way only (RFC 4055, 1.2)."""
        return self.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS

    @cached_property
    def subject_public_key_info(self) -> bytes:
        """The same in DER (RFC 5280, 4.1.2.7); equal for equal keys.

        Raises:
            CertificateError: As `public_key`.
        """
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def crl_points(self) -> tuple[tuple[str, ...], ...]:
        """URLs of each CRL distribution point, freshest ones too (RFC 5280, 4.2.1.13, 4.2.1.15)."""
        return crl_places(self.parsed.extensions)

    @cached_property
    def crl_issuers(self) -> frozenset[bytes]:
        """Names, DER, of those who sign indirect lists about it (RFC 5280, 4.2.1.13)."""
        try:
            points = self.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        except x509.ExtensionNotFound:
            return frozenset()
        names = [name for point in points.value for name in point.crl_issuer or ()]
        found = [n.value.public_bytes() for n in names if isinstance(n, x509.DirectoryName)]
        return frozenset(found[:_PLACES])

    @cached_property
    def ocsp_urls(self) -> tuple[str, ...]:
        """Where its OCSP responders are, in the issuer's order (RFC 5280, 4.2.2.1)."""
        return self._access_urls(AuthorityInformationAccessOID.OCSP)

    @cached_property
    def issuer_urls(self) -> tuple[str, ...]:
        """Where its issuer's certificates are, in the issuer's order (RFC 5280, 4.2.2.1)."""
        return self._access_urls(AuthorityInformationAccessOID.CA_ISSUERS)

    def _access_urls(self, method: x509.ObjectIdentifier) -> tuple[str, ...]:
        try:
            access = self.parsed.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
        except x509.ExtensionNotFound:
            return ()
        return _urls(e.access_location for e in access.value if e.access_method == method)

    @property
    def not_before(self) -> datetime:
        """Start of validity, UTC, aware."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, UTC, aware."""
        return self.parsed.not_valid_after_utc


def crl_places(extensions: x509.Extensions) -> tuple[tuple[str, ...], ...]:
    """URLs of each point that *extensions* of a certificate or a list name for finding lists.

    The URLs of one point lead to the same list.  Points for some reasons only are left out: their
    lists cannot prove "good".
    """
    points = [
        point
        for extension in extensions
        if isinstance(extension.value, x509.CRLDistributionPoints | x509.FreshestCRL)
        for point in extension.value
    ]
    places = [_urls(point.full_name or ()) for point in points if not point.reasons]
    return tuple(dict.fromkeys(place for place in places if place))[:_PLACES]


def _urls(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    # Whoever made the certificate chose them, so only plain ones, and not many.
    urls = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    clean = [
        url
        for url in urls
        if url.lower().startswith(("http://", "https://"))
        and len(url) <= _URL_OCTETS
        and url.isascii()
        and url.isprintable()
        and " " not in url
    ]
    return tuple(dict.fromkeys(clean))[:_PLACES]


def _alternative_mailboxes(names: x509.SubjectAlternativeName) -> list[Mailbox]:
    mailboxes = []
    for name in names:
        if isinstance(name, x509.RFC822Name):
            mailboxes += _ascii_mailbox(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id == _SMTP_UTF8_MAILBOX:
            mailboxes += _smtp_utf8_mailbox(name.value)
    return mailboxes


def _subject_mailboxes(subject: x509.Name) -> list[Mailbox]:
    mailboxes = []
    for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        value = attribute.value
        mailboxes += _ascii_mailbox(value if isinstance(value, str) else value.decode("latin-1"))
    return mailboxes


def _ascii_mailbox(text: str) -> list[Mailbox]:
    # IA5String.  The library lets NUL and UTF-8 pass, and "alice@corp.example\0.evil" ends at the
    # NUL for some readers (cases F28), so such a certificate is worth nothing.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CertificateError("void", "address with NUL, control, space or 8-bit characters")
    try:
        return [Mailbox.parse(text)]
    except AddressError:
        return []  # a bare domain or other text; names nobody


def _smtp_utf8_mailbox(der: bytes) -> list[Mailbox]:
    # RFC 9598, 3: UTF8String; only for local parts that are not ASCII, or an rfc822Name
    # constraint could be evaded.
    if len(der) < 2 or der[0] != _UTF8_STRING:
        raise CertificateError("void", "SmtpUTF8Mailbox is not a UTF8String")
    header = 2 if der[1] < 0x80 else 3
    if der[1] > 0x81 or len(der) - header != der[header - 1]:
        raise CertificateError("void", "SmtpUTF8Mailbox is too long or has a wrong length")
    if b" " in der:  # a quoted local part may hold one, but no honest address does
        raise CertificateError("void", "SmtpUTF8Mailbox is not a clean address")
    try:
        mailbox = Mailbox.parse(der[header:])
    except AddressError as exc:
        raise CertificateError("void", "SmtpUTF8Mailbox is not a clean address") from exc
    return [mailbox] if mailbox.needs_smtputf8 else []
