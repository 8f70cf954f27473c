"""OCSP requests are read strictly, answers say what the CA knows and nothing else (RFC 6960)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import ocsp
from pki.ocsp import NOT_ISSUED, Failure, Responder, Standing
from pki.ocsp_request import REQUEST_OCTETS, CertID, Request, parse_request
from pki.revocation import Revocation
from smimegw.cms import asn1, der
from smimegw.errors import CMSError, LimitError
from smimegw.x509 import ocsp as reader
from smimegw.x509.status import RevocationStatus
from tests.fakes.pki import NOW, Issued, make_ca

CA = make_ca("Responding CA of ours")
OTHER = make_ca("Another CA")
ALICE = CA.issue("alice@ours.example", key="p256")
BOB = CA.issue("bob@ours.example", key="p256")
DELEGATE = CA.issue(
    None,
    key="p256",
    usage="sign",
    common_name="Responder of ours",
    eku=[ExtendedKeyUsageOID.OCSP_SIGNING],
    extensions=[(x509.OCSPNoCheck(), False)],
)
assert isinstance(DELEGATE.key, ec.EllipticCurvePrivateKey)
RESPONDER = Responder(
    issuer=CA.certificate.parsed, certificate=DELEGATE.certificate.parsed, key=DELEGATE.key
)
GOOD = Standing(issued=True)
REVOKED = Standing(
    issued=True, revocation=Revocation(revoked_at=NOW - timedelta(hours=1), reason="keyCompromise")
)
NONCE = "1.3.6.1.5.5.7.48.1.2"


def asking(
    about: Issued, issuer: Issued = CA, algorithm: hashes.HashAlgorithm | None = None
) -> bytes:
    """A request as the library makes it."""
    builder = library.OCSPRequestBuilder().add_certificate(
        about.certificate.parsed, issuer.certificate.parsed, algorithm or hashes.SHA256()
    )
    return builder.build().public_bytes(Encoding.DER)


def cert_id(about: Issued) -> bytes:
    """The CertID in such a request."""
    (tbs,) = asn1.read_document(asking(about)).elements()
    (several,) = tbs.elements()
    (single,) = several.elements()
    return single.children().read().encoded


def request_of(
    *singles: bytes, extensions: Sequence[bytes] = (), version: bytes = b"", after: bytes = b""
) -> bytes:
    """A request put together by hand."""
    asked = der.sequence(*singles)
    more = der.explicit(2, der.sequence(*extensions)) if extensions else b""
    return der.sequence(der.sequence(version, asked, more), after)


def nonce(octets: bytes) -> bytes:
    return der.sequence(der.oid(NONCE), der.octet_string(der.octet_string(octets)))


def single(about: Issued, *more: bytes) -> bytes:
    return der.sequence(cert_id(about), *more)


def answered(
    request: bytes | Request, standing: Standing = GOOD, **options: bool
) -> library.OCSPResponse:
    """The answer to a request, as the library reads it."""
    parsed = parse_request(request) if isinstance(request, bytes) else request
    times = ocsp.times_from(NOW, 4, RESPONDER)
    octets = ocsp.answer(parsed, lambda _: standing, RESPONDER, times, **options)
    return library.load_der_ocsp_response(octets)


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm",
    [hashes.SHA1(), hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()],
    ids=lambda algorithm: algorithm.name,
)
def test_the_issuer_is_known_by_every_hash(algorithm: hashes.HashAlgorithm) -> None:
    """RFC 6960, 4.1.1: the reader chooses the hash."""
    (asked,) = parse_request(asking(ALICE, algorithm=algorithm)).certificates
    assert RESPONDER.answers_for(asked)
    assert asked.serial == ALICE.certificate.serial_number


def test_another_issuer_is_not_ours() -> None:
    """RFC 6960, 2.2: nobody answers for a CA that did not appoint him."""
    (asked,) = parse_request(asking(OTHER.issue("x@ours.example"), OTHER)).certificates
    assert not RESPONDER.answers_for(asked)


def test_an_unknown_hash_is_not_ours() -> None:
    """Nothing can be compared."""
    (asked,) = parse_request(asking(ALICE)).certificates
    assert not RESPONDER.answers_for(replace(asked, algorithm="1.2.3.4"))


@pytest.mark.parametrize("octets", [1, 16, 32, 128])
def test_a_nonce_of_1_to_128_octets_is_returned(octets: int) -> None:
    """RFC 9654, 2.1."""
    wanted = b"n" * octets
    response = answered(request_of(single(ALICE), extensions=[nonce(wanted)]))
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == wanted


@pytest.mark.parametrize("octets", [0, 129, 1000])
def test_another_length_of_nonce_is_refused(octets: int) -> None:
    """RFC 9654, 2.1: malformedRequest."""
    with pytest.raises(CMSError, match="1 to 128"):
        parse_request(request_of(single(ALICE), extensions=[nonce(b"n" * octets)]))


def test_without_a_nonce_there_is_none() -> None:
    """So that a cache may keep the answer (RFC 5019, 2.1)."""
    with pytest.raises(x509.ExtensionNotFound):
        answered(asking(ALICE)).extensions.get_extension_for_class(x509.OCSPNonce)


def test_an_unknown_critical_extension_is_refused() -> None:
    """RFC 6960, 4.4: whoever does not understand it must not go on."""
    critical = der.sequence(der.oid("1.2.3.4"), der.value(1, b"\xff"), der.octet_string(b""))
    with pytest.raises(CMSError, match="critical"):
        parse_request(request_of(single(ALICE), extensions=[critical]))


def test_an_unknown_critical_extension_of_one_certificate_is_refused() -> None:
    """RFC 6960, 4.1.1: singleRequestExtensions as well."""
    critical = der.sequence(der.oid("1.2.3.4"), der.value(1, b"\xff"), der.octet_string(b""))
    with pytest.raises(CMSError, match="critical"):
        parse_request(request_of(single(ALICE, der.explicit(0, der.sequence(critical)))))


def test_an_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    """RFC 6960, 4.4."""
    other = der.sequence(der.oid("1.2.3.4"), der.octet_string(b""))
    assert parse_request(request_of(single(ALICE), extensions=[other])).nonce == b""


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1",
        asking(ALICE)[:-1],
        asking(ALICE) + b"\0",
        der.sequence(),
        request_of(der.octet_string(b"x")),
        request_of(single(ALICE), version=der.explicit(0, der.integer(1))),
        request_of(single(ALICE), after=der.explicit(1, der.NULL)),
        request_of(der.sequence(der.sequence(der.oid("1.2.3")))),
    ],
    ids=[
        "nothing", "nul", "text", "cut", "more behind", "empty", "no sequence", "version 2",
        "more inside", "half a CertID",
    ],
)  # fmt: skip
def test_garbage_is_refused(octets: bytes) -> None:
    """RFC 6960, 2.3: malformedRequest."""
    with pytest.raises(CMSError):
        parse_request(octets)


def test_too_many_certificates_are_refused() -> None:
    """T-09: each costs a look-up."""
    with pytest.raises(LimitError):
        parse_request(request_of(*[single(ALICE)] * 33))


def test_no_certificate_is_refused() -> None:
    """RFC 6960, 4.1.1: there is nothing to answer."""
    with pytest.raises(LimitError):
        parse_request(request_of())


def test_a_long_request_is_refused() -> None:
    """T-09."""
    with pytest.raises(LimitError):
        parse_request(b"\x30" * (REQUEST_OCTETS + 1))


# --- answers -------------------------------------------------------------------------------------


def test_an_issued_certificate_is_good() -> None:
    """RFC 6960, 2.2."""
    response = answered(asking(ALICE))
    assert response.certificate_status is library.OCSPCertStatus.GOOD
    assert response.serial_number == ALICE.certificate.serial_number


def test_a_revoked_certificate_is_revoked_with_time_and_reason() -> None:
    """RFC 6960, 4.2.1: RevokedInfo."""
    response = answered(asking(ALICE), REVOKED)
    assert response.certificate_status is library.OCSPCertStatus.REVOKED
    assert response.revocation_reason is x509.ReasonFlags.key_compromise
    assert response.revocation_time_utc == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    "reason", [flag.value for flag in x509.ReasonFlags if flag.name != "remove_from_crl"]
)
def test_every_reason_is_told(reason: str) -> None:
    """RFC 5280, 5.3.1; unspecified is left out."""
    standing = Standing(issued=True, revocation=Revocation(revoked_at=NOW, reason=reason))
    told = answered(asking(ALICE), standing).revocation_reason
    assert (told.value if told else "unspecified") == reason


def test_a_number_never_issued_is_unknown() -> None:
    """RFC 6960, 2.2: never good."""
    response = answered(asking(ALICE), NOT_ISSUED)
    assert response.certificate_status is library.OCSPCertStatus.UNKNOWN


def test_a_number_never_issued_can_be_revoked() -> None:
    """RFC 6960, 2.2: certificateHold since 1970, and the extension that says so."""
    response = answered(asking(ALICE), NOT_ISSUED, unissued_is_revoked=True)
    assert response.certificate_status is library.OCSPCertStatus.REVOKED
    assert response.revocation_reason is x509.ReasonFlags.certificate_hold
    assert response.revocation_time_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert "1.3.6.1.5.5.7.48.1.9" in {each.oid.dotted_string for each in response.extensions}


def test_several_certificates_are_answered_in_their_order() -> None:
    """RFC 6960, 4.2.1: one SingleResponse each."""
    request = parse_request(request_of(single(ALICE), single(BOB)))
    standings = {ALICE.certificate.serial_number: GOOD, BOB.certificate.serial_number: REVOKED}

    def standing_of(asked: CertID) -> Standing:
        return standings[asked.serial]

    octets = ocsp.answer(request, standing_of, RESPONDER, ocsp.times_from(NOW, 4, RESPONDER))
    told = [
        (each.serial_number, each.certificate_status)
        for each in library.load_der_ocsp_response(octets).responses
    ]
    assert told == [
        (ALICE.certificate.serial_number, library.OCSPCertStatus.GOOD),
        (BOB.certificate.serial_number, library.OCSPCertStatus.REVOKED),
    ]


def test_a_certificate_of_another_issuer_is_unknown() -> None:
    """RFC 6960, 2.2: beside one of ours it cannot be refused."""
    stranger = parse_request(asking(OTHER.issue("x@ours.example"), OTHER)).certificates
    ours = parse_request(asking(ALICE)).certificates
    response = answered(Request(certificates=ours + stranger))
    statuses = [each.certificate_status for each in response.responses]
    assert statuses == [library.OCSPCertStatus.GOOD, library.OCSPCertStatus.UNKNOWN]


def test_the_gateway_believes_the_answer() -> None:
    """The reader of the gateway accepts the delegate and its times (RFC 6960, 4.2.2.2)."""
    octets = ocsp.answer(
        parse_request(reader.request(ALICE.certificate, CA.certificate)),
        lambda _: GOOD,
        RESPONDER,
        ocsp.times_from(NOW, 4, RESPONDER),
    )
    result = reader.status(
        ALICE.certificate,
        CA.certificate,
        [octets],
        NOW,
        revocation_of=lambda _: RevocationStatus.UNKNOWN,
    )
    assert result.status is RevocationStatus.GOOD
    assert result.next_update == NOW + timedelta(hours=4)


def test_an_answer_counts_from_before_it_was_made() -> None:
    """Clocks of readers run behind; producedAt tells the truth (RFC 6960, 4.2.2.1)."""
    response = answered(asking(ALICE))
    assert response.produced_at_utc == NOW
    assert response.this_update_utc == NOW - timedelta(minutes=5)


def test_an_answer_ends_with_its_responder() -> None:
    """After it nobody could check the signature."""
    end = RESPONDER.certificate.not_valid_after_utc
    times = ocsp.times_from(end - timedelta(hours=1), 4, RESPONDER)
    assert times.next_update == end


@pytest.mark.parametrize("status", list(Failure), ids=lambda status: status.name)
def test_a_failure_is_a_status_alone(status: Failure) -> None:
    """RFC 6960, 4.2.1: no responseBytes, and so no signature."""
    response = library.load_der_ocsp_response(ocsp.failure(status))
    assert response.response_status.value == status
