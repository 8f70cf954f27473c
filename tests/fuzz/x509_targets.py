"""Fuzz targets in certificates, CRLs, OCSP responses and what directories hold."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import ocsp as ocsp_builder

from smimegw.adapters.ldap.values import (
    UNREADABLE,
    entry_name,
    issuer_of_crl,
    parse_authorities,
    parse_certificates,
)
from smimegw.cms.capabilities import certificate_capabilities
from smimegw.errors import CertificateError
from smimegw.x509 import ocsp
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from smimegw.x509.revocation import status
from smimegw.x509.status import RevocationStatus
from tests.fakes.pki import NOW, make_ca, raw_rfc822, smtp_utf8
from tests.fuzz.cms_targets import TAGS
from tests.fuzz.target import Target
from tests.unit.cms.people import detached, person

# The library warns of oddities (serial number zero …) that a changed octet brings about.
warnings.simplefilter("ignore", CryptographyDeprecationWarning)

ROOT = make_ca("Fuzz Root", key="p256")
ISSUING = make_ca("Fuzz CA", parent=ROOT, key="p256")
ALICE = ISSUING.issue(
    san=[raw_rfc822("alice@ours.example"), smtp_utf8("älice@ours.example")], key="p256", slot="f"
)
_EVIDENCE = Evidence(
    trust_anchors=(ROOT.certificate,),
    intermediates=(ISSUING.certificate,),
    require_revocation=False,
)

_PROPERTIES = (
    *("has_alternative_name", "fingerprint", "issuer_der", "subject_der", "subject_text"),
    *("serial_number", "subject_key_identifier", "authority_key_identifier", "key_usage"),
    *("extended_key_usage", "is_ca", "is_self_issued", "crl_points", "crl_issuers", "ocsp_urls"),
    *("not_before", "not_after"),
)


def read_certificate(octets: bytes) -> None:
    """Every property; only the certificate that was issued is valid."""
    certificate = Certificate.parse(octets)
    for name in _PROPERTIES:
        getattr(certificate, name)
    certificate_capabilities(certificate)
    assert certificate.subject_text.isprintable()
    for mailbox in certificate.mailboxes:
        assert mailbox.address.isprintable()
    with contextlib.suppress(CertificateError):
        validate(certificate, _EVIDENCE, purpose=Purpose.SIGNATURE, mailbox=None, now=NOW)
        assert octets == ALICE.certificate.der


def read_crl(octets: bytes) -> None:
    """A list that was changed says nothing; what is around the signed octets may have changed."""
    said = status(ALICE.certificate, ISSUING.certificate, [octets], NOW, 0)
    assert said.status is RevocationStatus.UNKNOWN or _listed(octets) in map(_listed, CRLS)


def read_ocsp(octets: bytes) -> None:
    """A response that was changed says nothing; what is around the signed octets may have."""
    ocsp.answers_nonce(octets, b"n" * 16)
    said = ocsp.status(
        ALICE.certificate,
        ISSUING.certificate,
        [octets],
        NOW,
        revocation_of=lambda _: RevocationStatus.GOOD,
    )
    assert said.status is RevocationStatus.UNKNOWN or _said(octets) in map(_said, RESPONSES)


def read_directory_value(octets: bytes) -> None:
    """What directories hold of people and authorities."""
    for read in (parse_certificates, parse_authorities, entry_name):
        with contextlib.suppress(*UNREADABLE):
            read(octets)
    issuer_of_crl(octets)


def _listed(crl: bytes) -> bytes:
    return x509.load_der_x509_crl(crl).tbs_certlist_bytes


def _said(response: bytes) -> bytes:
    return ocsp_builder.load_der_ocsp_response(response).tbs_response_bytes


def _response(builder: ocsp_builder.OCSPResponseBuilder) -> bytes:
    response = builder.add_response(
        ALICE.certificate.parsed,
        ISSUING.certificate.parsed,
        hashes.SHA256(),
        ocsp_builder.OCSPCertStatus.GOOD,
        NOW - timedelta(hours=1),
        NOW + timedelta(hours=1),
        None,
        None,
    ).responder_id(ocsp_builder.OCSPResponderEncoding.HASH, ISSUING.certificate.parsed)
    signed = response.sign(ISSUING.key, hashes.SHA256())  # type: ignore[arg-type]  # it is P-256
    return signed.public_bytes(Encoding.DER)


CRLS = (ISSUING.crl([ALICE]), ISSUING.crl())
RESPONSES = (
    _response(ocsp_builder.OCSPResponseBuilder()),
    _response(
        ocsp_builder.OCSPResponseBuilder().add_extension(x509.OCSPNonce(b"n" * 16), critical=False)
    ),
)


def _directory_values() -> Sequence[bytes]:
    return [
        ALICE.certificate.der,
        detached(person("bob", "p256")),
        ISSUING.certificate.subject_der,
        CRLS[0],
    ]


TARGETS = (
    Target(
        "certificate",
        read_certificate,
        (CertificateError,),
        lambda: [ALICE.certificate.der, ISSUING.certificate.der],
        TAGS,
    ),
    Target("crl", read_crl, (), lambda: CRLS, TAGS),
    Target("ocsp", read_ocsp, (), lambda: RESPONSES, TAGS),
    Target("directory-value", read_directory_value, (), _directory_values, TAGS),
)
