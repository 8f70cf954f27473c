"""Certificate profiles: one table of what each kind of certificate holds.

Follows RFC 8550, RFC 3183 for gateways, RFC 6960 for responders and, where a CA asks for it, the
CA/Browser Forum's S/MIME Baseline Requirements (S/MIME BR).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from asn1crypto.core import UTF8String
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mlkem, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki import keys
from pki.errors import RequestError
from pki.keys import PublicKey
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

SMTP_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598, 3
_BASELINE_DAYS = 825  # S/MIME BR, 6.3.2
_MAIL = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)


class Profile(StrEnum):
    """What a certificate is for."""

    SIGN = "mailbox-sign"
    ENCRYPT = "mailbox-encrypt"
    BOTH = "mailbox-both"
    SPONSOR_SIGN = "sponsor-sign"
    SPONSOR_ENCRYPT = "sponsor-encrypt"
    SPONSOR_BOTH = "sponsor-both"
    DOMAIN_SIGN = "domain-sign"
    DOMAIN_ENCRYPT = "domain-encrypt"
    OCSP = "ocsp-responder"
    ISSUING = "issuing-ca"
    ROOT = "root-ca"

    @property
    def shape(self) -> Shape:
        """Its row of the table."""
        return _SHAPES[self]

    @property
    def signs(self) -> bool:
        """Signatures may be verified with it."""
        return self.shape.signs

    @property
    def encrypts(self) -> bool:
        """Others may encrypt to it; only such certificates go into a directory."""
        return self.shape.encrypts


class Baseline(StrEnum):
    """Which generation of the S/MIME BR certificates follow and say so; or none of them."""

    NONE = "none"
    MULTIPURPOSE = "multipurpose"
    STRICT = "strict"


class Level(StrEnum):
    """What the CA validated about a subject (S/MIME BR, 1.2)."""

    MAILBOX = "mailbox-validated"
    SPONSORED = "sponsor-validated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One row: what a profile puts into a certificate.

    Attributes:
        purposes: ExtendedKeyUsage; empty leaves it out.
        level: None for certificates that are not for mailboxes.
        days: The longest validity; None leaves it to the issuer's own.
        local_part: The only one that a mailbox of this profile may have (RFC 3183, 3.1.1, 4.1).
    """

    signs: bool = False
    encrypts: bool = False
    certifies: bool = False
    purposes: tuple[ObjectIdentifier, ...] = _MAIL
    level: Level | None = None
    days: int | None = _BASELINE_DAYS
    local_part: str = ""


_SHAPES = {
    Profile.SIGN: Shape(signs=True, level=Level.MAILBOX),
    Profile.ENCRYPT: Shape(encrypts=True, level=Level.MAILBOX),
    Profile.BOTH: Shape(signs=True, encrypts=True, level=Level.MAILBOX),
    Profile.SPONSOR_SIGN: Shape(signs=True, level=Level.SPONSORED),
    Profile.SPONSOR_ENCRYPT: Shape(encrypts=True, level=Level.SPONSORED),
    Profile.SPONSOR_BOTH: Shape(signs=True, encrypts=True, level=Level.SPONSORED),
    Profile.DOMAIN_SIGN: Shape(
        signs=True, level=Level.MAILBOX, local_part="domain-signing-authority"
    ),
    Profile.DOMAIN_ENCRYPT: Shape(
        encrypts=True, level=Level.MAILBOX, local_part="domain-confidentiality-authority"
    ),
    Profile.OCSP: Shape(signs=True, purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,), days=90),
    Profile.ISSUING: Shape(certifies=True, days=None),
    Profile.ROOT: Shape(certifies=True, purposes=(), days=None),
}

SUBSCRIBER = tuple(profile for profile in Profile if profile.shape.level)
PAIR, SPONSOR_PAIR = "pair", "sponsor-pair"
# Two keys: the one for encryption may be recovered, the one for signing never is.
CHOICES: dict[str, tuple[Profile, ...]] = {
    **{profile.value: (profile,) for profile in SUBSCRIBER},
    PAIR: (Profile.SIGN, Profile.ENCRYPT),
    SPONSOR_PAIR: (Profile.SPONSOR_SIGN, Profile.SPONSOR_ENCRYPT),
}

# S/MIME BR, 7.1.6.1: {validation level} . {generation}
_LEVEL_OIDS = {Level.MAILBOX: "2.23.140.1.5.1", Level.SPONSORED: "2.23.140.1.5.3"}
_GENERATIONS = {Baseline.MULTIPURPOSE: "2", Baseline.STRICT: "3"}


def policies(profile: Profile, key: PublicKey, baseline: Baseline) -> tuple[str, ...]:
    """Return the reserved policy OID that a certificate has to bear, if any.

    A key that the S/MIME BR do not allow gets none: saying otherwise would be untrue.
    """
    level = profile.shape.level
    if level is None or baseline is Baseline.NONE or not keys.baseline_allows(key):
        return ()
    return (f"{_LEVEL_OIDS[level]}.{_GENERATIONS[baseline]}",)


def check_key(profile: Profile, key: PublicKey) -> None:
    """Make sure that a key of this kind can do what the profile is for.

    Raises:
        RequestError: It cannot sign, or nobody can encrypt to it.
    """
    kind = keys.kind_of(key)
    if profile.signs and not kind.signs:
        raise RequestError(
            f"A key of kind {kind} cannot sign, so it does not fit {profile}. Take "
            f"{Profile.ENCRYPT}, and another key with {Profile.SIGN}."
        )
    if profile.encrypts and not kind.encrypts:
        raise RequestError(
            f"Nobody can encrypt to a key of kind {kind}, so it does not fit {profile}. Take "
            f"{Profile.SIGN}, and another key with {Profile.ENCRYPT}."
        )


def check_mailbox(profile: Profile, mailbox: Mailbox) -> None:
    """Make sure that a gateway's certificate bears a gateway's name, and no other one does.

    Raises:
        UsageError: The local part is not the profile's.
    """
    reserved = {shape.local_part for shape in _SHAPES.values()} - {""}
    wanted, given = profile.shape.local_part, mailbox.address.rpartition("@")[0]
    if wanted and given.lower() != wanted:
        raise UsageError(
            f"{profile} is for <{wanted}@{mailbox.domain}> only (RFC 3183). Give that address, or "
            f"take {Profile.BOTH} for <{mailbox}>."
        )
    if not wanted and given.lower() in reserved:
        raise UsageError(
            f"<{mailbox}> is a gateway's name, which speaks for its whole domain (RFC 3183). "
            f"Take {Profile.DOMAIN_SIGN} or {Profile.DOMAIN_ENCRYPT} for it."
        )


def key_usage(profile: Profile, key: PublicKey) -> x509.KeyUsage:
    """Return the KeyUsage for *profile* and this kind of key (RFC 8550, 4.4.2)."""
    # EC keys agree (RFC 8410, 5 for X25519); a KEM counts as enciphering (RFC 9935, 5)
    transport = isinstance(key, rsa.RSAPublicKey | mlkem.MLKEM768PublicKey)
    shape = profile.shape
    return x509.KeyUsage(
        digital_signature=shape.signs,
        content_commitment=False,
        key_encipherment=shape.encrypts and transport,
        data_encipherment=False,
        key_agreement=shape.encrypts and not transport,
        key_cert_sign=shape.certifies,
        crl_sign=shape.certifies,
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
