"""A key that stays elsewhere signs the same as one in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki import signing
from pki.authority import Issuer, authority_key_identifier
from pki.errors import LedgerError
from pki.keys import KeyKind, SoftwareSigningKey, VerifyingKey
from pki.profiles import Profile
from pki.signing import Digest, RemoteKey
from tests.fakes import authorities
from tests.fakes.authorities import NOW, SIGNING_KINDS


@dataclass(frozen=True)
class Elsewhere:
    """A key that can only be asked, as one in a token."""

    inner: SoftwareSigningKey

    def public_key(self) -> VerifyingKey:
        """See `RemoteKey`."""
        return self.inner.public_key()

    def sign_octets(self, octets: bytes, digest: Digest | None) -> bytes:
        """See `RemoteKey`."""
        if isinstance(self.inner, rsa.RSAPrivateKey):
            return self.inner.sign(octets, padding.PKCS1v15(), digest)
        if isinstance(self.inner, ec.EllipticCurvePrivateKey):
            return self.inner.sign(octets, ec.ECDSA(digest))
        return self.inner.sign(octets)


def _elsewhere(issuer: Issuer) -> Issuer:
    remote: RemoteKey = Elsewhere(issuer.key)
    return Issuer(certificate=issuer.certificate, key=remote)


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_a_certificate_differs_in_the_signature_alone(kind: KeyKind) -> None:
    """What is signed is the same to the octet, wherever the key is."""
    here = authorities.chain(kind).issuing
    builder = authorities.compose(Profile.SIGN, KeyKind.P_256, issuer=here)
    far = _elsewhere(here).sign_certificate(builder)
    near = here.sign_certificate(builder)
    far.verify_directly_issued_by(here.certificate)
    assert far.tbs_certificate_bytes == near.tbs_certificate_bytes
    assert far.signature_algorithm_oid == near.signature_algorithm_oid


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_a_crl_verifies(kind: KeyKind) -> None:
    """The list of a CA whose key is elsewhere (RFC 5280, 5.1.1.3)."""
    issuer = _elsewhere(authorities.chain(kind).issuing)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=7))
        .add_extension(authority_key_identifier(issuer.certificate), critical=False)
    )
    assert issuer.sign_crl(builder).is_signature_valid(issuer.certificate.public_key())


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_a_request_bears_its_own_key_and_proves_it(kind: KeyKind) -> None:
    """The stand-in's key must not get into the request (RFC 2986, 4.2)."""
    issuer = authorities.chain(kind).issuing
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(issuer.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    made = signing.sign_request(builder, Elsewhere(issuer.key))
    assert made.is_signature_valid
    assert made.public_key() == issuer.certificate.public_key()
    assert made.subject == issuer.certificate.subject
    assert len(made.extensions) == 1


def test_a_signature_of_another_key_does_not_leave() -> None:
    """A token that was exchanged, or a fault in it, is seen before anything is recorded."""
    good, other = authorities.chain(KeyKind.P_256), authorities.chain(KeyKind.P_384)
    mixed = Issuer(certificate=good.issuing.certificate, key=Elsewhere(other.issuing.key))
    builder = authorities.compose(Profile.SIGN, KeyKind.P_256, issuer=mixed)
    with pytest.raises(LedgerError, match="do not belong together"):
        mixed.sign_certificate(builder)


def test_a_stand_in_signs_no_request_of_a_software_key() -> None:
    """A key in memory signs directly; nothing is exchanged."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    octets = signing.sign_request(builder, key).public_bytes(Encoding.DER)
    assert x509.load_der_x509_csr(octets).public_key() == key.public_key()
