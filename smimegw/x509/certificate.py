"""One X.509 certificate as the gateway sees it: the DER octets and what we read from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError


@dataclass(frozen=True)
class Certificate:
    """A parsed certificate; equal and hashable by its DER octets.

    Made by `Certificate.parse` only, so every instance is well-formed and its addresses are clean.
    """

    der: bytes
    parsed: x509.Certificate = field(repr=False, compare=False)
    mailboxes: tuple[Mailbox, ...] = field(compare=False)

    @classmethod
    def parse(cls, octets: bytes) -> Certificate:
        """Read one DER certificate.

        Raises:
            CertificateError: ``malformed``, ``void`` or ``limits``.
        """
        raise CertificateError("malformed")

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

    @property
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

    @property
    def not_before(self) -> datetime:
        """Start of validity, UTC, aware."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, UTC, aware."""
        return self.parsed.not_valid_after_utc
