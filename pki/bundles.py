"""Makes the values of userSMIMECertificate that a CA publishes (RFC 2798, 2.8).

Without the people's keys a value carries certificates only, which mail programs take, and says
nothing of what its owner reads.  For whom the CA holds a signing key, it can let the owner say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache, partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import mldsa

from pki import keys
from pki.certified import Certified
from pki.home import Home
from pki.plan import issuer_certificate
from smimegw.adapters.ldap.publication import Bundle
from smimegw.cms.algorithms import ContentCipher, signature_scheme_for
from smimegw.cms.capabilities import OURS, Capabilities
from smimegw.cms.directory_value import signed_directory_value
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.sign import certificates_only
from smimegw.errors import UnsupportedAlgorithmError
from smimegw.x509.certificate import Certificate


class Reader(StrEnum):
    """Who opens the mail that is encrypted to a certificate."""

    GATEWAY = "gateway"
    PROGRAM = "program"

    @property
    def capabilities(self) -> Capabilities:
        """What it reads."""
        if self is Reader.GATEWAY:
            return OURS
        # RFC 8551, 2.7: what every mail program of the last fifteen years reads
        return Capabilities.of((ContentCipher.AES_256_CBC, ContentCipher.AES_128_CBC))


class Bundles(Protocol):
    """Makes values of userSMIMECertificate."""

    def bundle(self, certified: Certified) -> Bundle | None:
        """Return the value for a certificate; None for none."""


class NoBundles:
    """For servers whose schema does not know the attribute."""

    def bundle(self, certified: Certified) -> Bundle | None:  # noqa: ARG002
        """None."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesOnly:
    """Values that carry the certificate and its issuer's.

    Attributes:
        authorities: The CA's own certificates.
    """

    authorities: Sequence[Certified]

    def bundle(self, certified: Certified) -> Bundle | None:
        """A value without a signer (RFC 8551, 3.8)."""
        issuer = issuer_certificate(certified, self.authorities)
        return Bundle(make=partial(_certificates_only, certified, issuer))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedByOwner:
    """Values that the owner's key signs where the CA holds it, else with certificates only.

    Attributes:
        home: Where the keys are.
        passphrase: Opens them.
        reader: Whose capabilities they name.
        now: The time of signing.
        otherwise: For everybody else.
    """

    home: Home
    passphrase: bytes = field(repr=False)
    reader: Reader
    now: datetime
    otherwise: CertificatesOnly

    def bundle(self, certified: Certified) -> Bundle | None:
        """A value with the owner's word, if he can give it here."""
        signer = self._signer(certified)
        if signer is None:
            return self.otherwise.bundle(certified)
        return Bundle(make=partial(self._signed, certified, signer), signed=True)

    def _signer(self, certified: Certified) -> Certified | None:
        """The newest good certificate of the same mailbox that signs, and whose key is here."""
        assert certified.mailbox
        fitting = [
            item
            for item in self.home.register.find_mailbox(certified.mailbox)
            if item.profile and item.profile.signs and item.key_held
            if item.status(self.now) == "valid" and _can_sign(item)
        ]
        itself = [item for item in fitting if item.serial == certified.serial]
        return (itself or fitting)[-1] if fitting else None

    def _signed(self, certified: Certified, signer: Certified) -> bytes:
        """Read the key now and not before: most values stand in the directory already.

        Raises:
            PassphraseError: The key file does not open.
        """
        path = self.home.key_path(signer.serial)
        key = keys.read_signing_key(path, self.passphrase)
        assert not isinstance(key, mldsa.MLDSA65PrivateKey)  # `_can_sign`
        authorities = self.otherwise.authorities
        issuers = (issuer_certificate(item, authorities) for item in (signer, certified))
        return signed_directory_value(
            SigningCredential(
                Certificate.parse(signer.der),
                tuple(Certificate.parse(issuer.der) for issuer in issuers if issuer),
                SoftwareSigningKey(key),
            ),
            capabilities=self.reader.capabilities,
            encryption_certificate=Certificate.parse(certified.der),
            now=self.now,
        )


def _can_sign(certified: Certified) -> bool:
    """Whether CMS signatures can be made with its kind of key."""
    try:
        signature_scheme_for(Certificate.parse(certified.der))
    except UnsupportedAlgorithmError:
        return False
    return True


def _certificates_only(certified: Certified, issuer: Certified | None) -> bytes:
    above = [_authority(issuer.der)] if issuer else []
    return certificates_only([Certificate.parse(certified.der), *above])


@cache
def _authority(octets: bytes) -> Certificate:
    return Certificate.parse(octets)  # a few, met thousands of times
