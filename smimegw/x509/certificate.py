"""One X.509 certificate as the gateway sees it: the DER octets and what we read from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, PublicKeyAlgorithmOID

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.locations import PLACES, access_urls, crl_places
from smimegw.x509.mailboxes import alternative_mailboxes, subject_mailboxes

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
            mailboxes = subject_mailboxes(parsed.subject)
        else:
            if len(names) > limits.subject_alt_names:
                raise CertificateError("limits", f"more than {limits.subject_alt_names} names")
            mailboxes = alternative_mailboxes(names)
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
        return frozenset(found[:PLACES])

    @cached_property
    def ocsp_urls(self) -> tuple[str, ...]:
        """Where its OCSP responders are, in the issuer's order (RFC 5280, 4.2.2.1)."""
        return access_urls(self.parsed.extensions, AuthorityInformationAccessOID.OCSP)

    @cached_property
    def issuer_urls(self) -> tuple[str, ...]:
        """Where its issuer's certificates are, in the issuer's order (RFC 5280, 4.2.2.1)."""
        return access_urls(self.parsed.extensions, AuthorityInformationAccessOID.CA_ISSUERS)

    @property
    def not_before(self) -> datetime:
        """Start of validity, UTC, aware."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, UTC, aware."""
        return self.parsed.not_valid_after_utc
