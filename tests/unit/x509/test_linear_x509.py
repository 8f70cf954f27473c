"""Twice the names, points and entries are twice the work, and no more than is needed (T-09).

The library that parses certificates and lists is not ours: it is charged by the octets it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from tests.fakes.pki import NOW, directory_name, make_ca, raw_rfc822, smtp_utf8
from tests.meter.growth import METERED, is_linear

Make = Callable[[int], bytes]

CERTIFICATE, OCSP = METERED["smimegw.x509.certificate"], METERED["smimegw.x509.ocsp"]
REVOCATION, STATUS = METERED["smimegw.x509.revocation"], METERED["smimegw.x509.status"]
VALUES = METERED["smimegw.adapters.ldap.values"]

CA = make_ca("Linear CA")
ALICE = CA.issue("alice@ours.example", key="p256", slot="linear")
# A name may be longer than the library likes.
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")

LIMITS = METERED["smimegw.limits"].Limits(subject_alt_names=100_000)  # so that names are read
PROPERTIES = (
    *("has_alternative_name", "fingerprint", "issuer_der", "subject_der", "subject_text"),
    *("key_usage", "extended_key_usage", "is_ca", "is_self_issued", "crl_points", "crl_issuers"),
    *("ocsp_urls", "subject_key_identifier", "authority_key_identifier"),
)


def certificate(*extensions: x509.ExtensionType, subject: x509.Name | None = None) -> bytes:
    """One of the CA, with anything in it."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or directory_name("a"))
        .issuer_name(CA.name)
        .public_key(CA.key.public_key())  # type: ignore[arg-type]  # it is P-256
        .serial_number(5)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(CA.key, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


def url(number: int) -> x509.UniformResourceIdentifier:
    """Where somebody wants us to ask."""
    return x509.UniformResourceIdentifier(f"http://a{number}.example/")


def point(number: int) -> x509.DistributionPoint:
    """One by URL."""
    return x509.DistributionPoint([url(number)], None, None, None)


def indirect_point(number: int) -> x509.DistributionPoint:
    """One by the name of another authority."""
    issuer = [x509.DirectoryName(directory_name(f"a{number}"))]
    return x509.DistributionPoint(None, None, None, issuer)


def access(number: int) -> x509.AccessDescription:
    """A responder."""
    return x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, url(number))


CERTIFICATES: dict[str, Make] = {
    "rfc822Names": lambda n: certificate(
        x509.SubjectAlternativeName([raw_rfc822(f"a{m}@ours.example") for m in range(n)])
    ),
    "SmtpUTF8Mailboxes": lambda n: certificate(
        x509.SubjectAlternativeName([smtp_utf8(f"ä{m}@ours.example") for m in range(n)])
    ),
    "emailAddresses of the subject": lambda n: certificate(
        subject=x509.Name(
            [x509.NameAttribute(NameOID.EMAIL_ADDRESS, f"a{m}@ours.example") for m in range(n)]
        )
    ),
    "relative names": lambda n: certificate(
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")] * n)
    ),
    "long name": lambda n: certificate(
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "\0é" * n, _validate=False)])
    ),
    "distribution points": lambda n: certificate(
        x509.CRLDistributionPoints([point(m) for m in range(n)])
    ),
    "cRLIssuers": lambda n: certificate(
        x509.CRLDistributionPoints([indirect_point(m) for m in range(n)])
    ),
    "names of one point": lambda n: certificate(
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([url(m) for m in range(n)], None, None, None)]
        )
    ),
    "responders": lambda n: certificate(
        x509.AuthorityInformationAccess([access(m) for m in range(n)])
    ),
    "purposes": lambda n: certificate(
        x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.3.{m}") for m in range(n)])
    ),
    "extensions": lambda n: certificate(
        *(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{m}"), b"\x05\x00")
            for m in range(n)
        )
    ),
}


@pytest.mark.parametrize("shape", CERTIFICATES)
def test_certificates_are_read_in_one_pass(shape: str) -> None:
    """Whatever whoever made it put in (T-14)."""

    def read(octets: bytes) -> None:
        parsed = CERTIFICATE.Certificate.parse(octets, limits=LIMITS)
        for name in PROPERTIES:
            getattr(parsed, name)

    assert is_linear(read, CERTIFICATES[shape], 50)


def _indirect(count: int) -> bytes:
    """A list about certificates of others, none of which is Alice's."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CA.name)
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + timedelta(hours=1))
        .add_extension(
            x509.IssuingDistributionPoint(None, None, False, False, None, True, False),
            critical=True,
        )
    )
    for number in range(count):
        other = x509.CertificateIssuer([x509.DirectoryName(directory_name(f"a{number}"))])
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(ALICE.certificate.serial_number)
            .revocation_date(NOW - timedelta(hours=1))
            .add_extension(other, critical=True)
            .build()
        )
    signed = builder.sign(CA.key, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


LISTS: dict[str, Make] = {
    "entries": lambda n: CA.crl(range(1, n + 1)),
    "entries with a reason": lambda n: CA.crl(
        range(1, n + 1), reason=x509.ReasonFlags.key_compromise
    ),
    "entries about certificates of others": _indirect,
}


@pytest.mark.parametrize("shape", LISTS)
def test_lists_are_read_in_one_pass(shape: str) -> None:
    """Real ones have 100,000 entries and more (RFC 5280, 5)."""
    alice = CERTIFICATE.Certificate.parse(ALICE.certificate.der)
    authority = CERTIFICATE.Certificate.parse(CA.certificate.der)

    def read(octets: bytes) -> None:
        said = REVOCATION.status(alice, authority, [octets], NOW, 0)
        assert said.status is STATUS.RevocationStatus.GOOD

    assert is_linear(read, LISTS[shape], 50)


def test_many_lists_are_one_question_each() -> None:
    """A message or a directory may bring any number of them."""
    alice = CERTIFICATE.Certificate.parse(ALICE.certificate.der)
    authority = CERTIFICATE.Certificate.parse(CA.certificate.der)

    def read(octets: bytes) -> None:
        lists = [octets[at : at + size] for at in range(0, len(octets), size)]
        REVOCATION.status(alice, authority, lists, NOW, 0)

    size = len(CA.crl())

    def make(count: int) -> bytes:
        found: list[bytes] = []
        while len(found) < count:  # an ECDSA signature has no fixed length
            octets = CA.crl(number=len(found) + 1)
            found += [octets] if len(octets) == size else []
        return b"".join(found)

    assert is_linear(read, make, 8)


def _response(count: int) -> bytes:
    """One with so many certificates of the responder."""
    builder = ocsp.OCSPResponseBuilder().add_response(
        ALICE.certificate.parsed,
        CA.certificate.parsed,
        hashes.SHA256(),
        ocsp.OCSPCertStatus.GOOD,
        NOW - timedelta(hours=1),
        NOW + timedelta(hours=1),
        None,
        None,
    )
    stranger = make_ca("Linear CA", slot="another key of the same name")
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, stranger.certificate.parsed)
    builder = builder.certificates([stranger.certificate.parsed] * count)
    signed = builder.sign(stranger.key, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


def test_responses_are_read_in_one_pass() -> None:
    """Many certificates that could be the responder's (RFC 6960, 4.2.2.2)."""
    alice = CERTIFICATE.Certificate.parse(ALICE.certificate.der)
    authority = CERTIFICATE.Certificate.parse(CA.certificate.der)

    def read(octets: bytes) -> None:
        OCSP.status(
            alice,
            authority,
            [octets],
            NOW,
            revocation_of=lambda _: STATUS.RevocationStatus.GOOD,
        )

    assert is_linear(read, _response, 20)


@pytest.mark.parametrize("shape", ["relative names", "long name", "rfc822Names"])
def test_directory_values_are_read_in_one_pass(shape: str) -> None:
    """What an entry holds, and what an authority is called."""

    def read(octets: bytes) -> None:
        for certificate in VALUES.parse_certificates(octets):
            VALUES.entry_name(certificate.subject_der)

    assert is_linear(read, CERTIFICATES[shape], 50)
