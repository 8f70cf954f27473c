"""The mailboxes that a certificate's names hold: whose it is (RFC 5280, 4.2.1.6; RFC 9598)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, CertificateError

_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598, 3
_UTF8_STRING = 0x0C


def alternative_mailboxes(names: x509.SubjectAlternativeName) -> list[Mailbox]:
    """Every rfc822Name and SmtpUTF8Mailbox of a subjectAltName.

    Raises:
        CertificateError: ``void``: one that different readers would read differently.
    """
    mailboxes = []
    for name in names:
        if isinstance(name, x509.RFC822Name):
            mailboxes += _ascii_mailbox(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id == _SMTP_UTF8_MAILBOX:
            mailboxes += _smtp_utf8_mailbox(name.value)
    return mailboxes


def subject_mailboxes(subject: x509.Name) -> list[Mailbox]:
    """Every emailAddress of a subject; they count where there is no subjectAltName.

    Raises:
        CertificateError: ``void``: one that different readers would read differently.
    """
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
