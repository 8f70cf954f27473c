"""Fuzz targets in what strangers send to the certificate authority: requests and keys."""

from __future__ import annotations

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp as library

from pki import ocsp, ocsp_request
from pki.errors import RequestError
from pki.possession import parse_public_key
from pki.request import parse_request
from pki.serve.office import mailbox_of
from smimegw.errors import CMSError, LimitError
from tests.fakes.pki import NOW, make_ca, raw_rfc822, smtp_utf8
from tests.fuzz.cms_targets import TAGS
from tests.fuzz.target import Target

CA = make_ca("Fuzz Responder", key="p256")
ALICE = CA.issue("alice@ours.example", key="p256", slot="f")
assert isinstance(CA.key, ec.EllipticCurvePrivateKey)
_RESPONDER = ocsp.Responder(
    issuer=CA.certificate.parsed, certificate=CA.certificate.parsed, key=CA.key
)
_TIMES = ocsp.Times(produced_at=NOW, this_update=NOW, next_update=NOW + timedelta(hours=1))


def read_ocsp_request(octets: bytes) -> None:
    """Whatever is accepted can be answered, and the answer is about what was asked."""
    asked = ocsp_request.parse_request(octets)
    der = ocsp.answer(asked, lambda _: ocsp.NOT_ISSUED, _RESPONDER, _TIMES)
    said = library.load_der_ocsp_response(der)
    assert said.response_status is library.OCSPResponseStatus.SUCCESSFUL


def read_pkcs10(octets: bytes) -> None:
    """Whatever is accepted has a key that is proven, and one mailbox or a reason."""
    mailbox_of(parse_request(octets))


def read_public_key(octets: bytes) -> None:
    """Whatever is accepted is a key that certificates may be issued for, and reads the same."""
    bare = parse_public_key(octets)
    assert parse_public_key(bare.der).public_key == bare.public_key


def _public_keys() -> list[bytes]:
    keys = (ALICE.key.public_key(), x25519.X25519PrivateKey.generate().public_key())
    forms = (Encoding.DER, Encoding.PEM)
    return [
        key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo) for key in keys for form in forms
    ]


def _ocsp_requests() -> list[bytes]:
    builder = library.OCSPRequestBuilder().add_certificate(
        ALICE.certificate.parsed, CA.certificate.parsed, hashes.SHA256()
    )
    with_nonce = builder.add_extension(x509.OCSPNonce(b"n" * 16), critical=False)
    return [each.build().public_bytes(Encoding.DER) for each in (builder, with_nonce)]


def _pkcs10() -> list[bytes]:
    assert isinstance(ALICE.key, ec.EllipticCurvePrivateKey)
    found = []
    for name in (raw_rfc822("alice@ours.example"), smtp_utf8("älice@ours.example")):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        request = builder.sign(ALICE.key, hashes.SHA256())
        found += [request.public_bytes(form) for form in (Encoding.DER, Encoding.PEM)]
    return found


TARGETS = (
    Target("ocsp-request", read_ocsp_request, (CMSError, LimitError), _ocsp_requests, TAGS),
    Target("pkcs10", read_pkcs10, (RequestError,), _pkcs10, TAGS),
    Target("public-key", read_public_key, (RequestError,), _public_keys, TAGS),
)
