"""Certificate profiles: which uses a subscriber's certificate may have, and its names.

Follows RFC 8550 and, where cheap, the CA/Browser Forum's S/MIME Baseline Requirements (S/MIME BR).
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum

from asn1crypto.core import UTF8String
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pki.keys import PublicKey
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

SMTP_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598, 3
_COMMON_NAME_CHARACTERS = 64  # RFC 5280, appendix A: ub-common-name


class Profile(StrEnum):
    """What a mailbox certificate is for."""

    SIGN = "mailbox-sign"
    ENCRYPT = "mailbox-encrypt"
    BOTH = "mailbox-both"

    @property
    def signs(self) -> bool:
        """Signatures may be verified with it."""
        return self is not Profile.ENCRYPT

    @property
    def encrypts(self) -> bool:
        """Others may encrypt to it; only such certificates go into a directory."""
        return self is not Profile.SIGN


PAIR = "pair"
CHOICES: dict[str, tuple[Profile, ...]] = {
    **{profile.value: (profile,) for profile in Profile},
    PAIR: (Profile.SIGN, Profile.ENCRYPT),  # two keys: the encryption key may be recoverable
}


def key_usage(profile: Profile, key: PublicKey) -> x509.KeyUsage:
    """Return the KeyUsage for *profile* and this kind of key (RFC 8550, 4.4.2)."""
    transport = isinstance(key, rsa.RSAPublicKey)  # EC keys agree, they do not encipher
    return x509.KeyUsage(
        digital_signature=profile.signs,
        content_commitment=False,
        key_encipherment=profile.encrypts and transport,
        data_encipherment=False,
        key_agreement=profile.encrypts and not transport,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def alternative_name(mailbox: Mailbox) -> x509.SubjectAlternativeName:
    """Return the SubjectAltName that carries exactly this mailbox.

    An ASCII address is an rfc822Name; any other local part needs SmtpUTF8Mailbox (RFC 9598, 3).
    """
    if mailbox.needs_smtputf8:
        value = UTF8String(mailbox.address).dump()
        return x509.SubjectAlternativeName([x509.OtherName(SMTP_UTF8_MAILBOX, value)])
    return x509.SubjectAlternativeName([x509.RFC822Name(mailbox.address)])


def subject(mailbox: Mailbox, name: str, *, organization: str, country: str) -> x509.Name:
    """Return the subject: who, as people read it.  May be empty, then the SubjectAltName tells.

    Raises:
        UsageError: *name* cannot stand in a certificate.
    """
    common_name = clean_name(name) if name else mailbox.address
    attributes = []
    if country:
        attributes.append(x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if len(common_name) <= _COMMON_NAME_CHARACTERS:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def clean_name(name: str) -> str:
    """Return a person's or authority's name in NFC.

    Raises:
        UsageError: Empty, longer than 64 characters, or with invisible characters.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > _COMMON_NAME_CHARACTERS:
        raise UsageError(
            f"A name in a certificate has 1 to {_COMMON_NAME_CHARACTERS} characters, this one has "
            f"{len(name)} (RFC 5280, appendix A). Give a shorter --name."
        )
    if any(unicodedata.category(letter)[0] in "CZ" and letter != " " for letter in name):
        raise UsageError(
            "The name holds a control or invisible character, which makes two names look the "
            "same. Write the name without it."
        )
    return name
