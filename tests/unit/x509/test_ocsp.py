"""What an OCSP response says, and when it says nothing (cases F18)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID

from smimegw.limits import Limits
from smimegw.x509 import ocsp, revocation
from smimegw.x509.revocation import RevocationStatus
from tests.fakes.pki import CA, DAY, EMAIL_PROTECTION, NOW, PAST, Issued, make_ca

DER = serialization.Encoding.DER
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING
NO_CHECK = (x509.OCSPNoCheck(), False)
ROOT = make_ca("OCSP Root")
ISSUING = make_ca("OCSP CA", parent=ROOT)
OTHER = make_ca("OCSP Other CA", parent=ROOT)
ALICE = ISSUING.issue("alice@ours.example", key="p256", slot="ocsp")
BOB = ISSUING.issue("bob@ours.example", key="p256", slot="ocsp")


def responder(ca: CA = ISSUING, **options: Any) -> Issued:
    """A delegated responder."""
    values = {
        "key": "p256",
        "usage": "sign",
        "eku": [OCSP_SIGNING],
        "common_name": "Responder",
        "extensions": [NO_CHECK],
    }
    return ca.issue(None, **(values | options))


@dataclass(frozen=True)
class Response:
    """A response about ALICE with one defect at a time."""

    about: Issued = ALICE
    issuer: CA = ISSUING
    signer: Issued = ISSUING
    status: library.OCSPCertStatus = library.OCSPCertStatus.GOOD
    reason: x509.ReasonFlags | None = None
    this_update: datetime = NOW - timedelta(hours=1)
    next_update: datetime | None = NOW + DAY
    algorithm: Any = hashes.SHA1
    signing: Any = hashes.SHA256
    nonce: bytes = b""
    critical: bool = False
    carried: tuple[Issued, ...] = ()
    by_name: bool = False

    @property
    def der(self) -> bytes:
        revoked = self.status is library.OCSPCertStatus.REVOKED
        builder = library.OCSPResponseBuilder().responder_id(
            library.OCSPResponderEncoding.NAME
            if self.by_name
            else library.OCSPResponderEncoding.HASH,
            self.signer.certificate.parsed,
        )
        builder = builder.add_response(
            cert=self.about.certificate.parsed,
            issuer=self.issuer.certificate.parsed,
            algorithm=self.algorithm(),
            cert_status=self.status,
            this_update=self.this_update,
            next_update=self.next_update,
            revocation_time=PAST if revoked else None,
            revocation_reason=self.reason,
        )
        if self.nonce:
            builder = builder.add_extension(x509.OCSPNonce(self.nonce), critical=False)
        if self.critical:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
            builder = builder.add_extension(unknown, critical=True)
        carried = [item.certificate.parsed for item in self.carried]
        if self.signer != self.issuer and not carried:
            carried = [self.signer.certificate.parsed]
        if carried:
            builder = builder.certificates(carried)
        signing = self.signing() if self.signing else None
        return builder.sign(self.signer.key, signing).public_bytes(DER)


GOOD = Response()


def ask(*responses: bytes, now: datetime = NOW, crls: Any = (), **options: Any) -> Any:
    return revocation.status(
        ALICE.certificate,
        ISSUING.certificate,
        crls,
        now,
        72 * 3600,
        ocsp_responses=responses,
        **options,
    )


def unknown(response: Response, **options: Any) -> bool:
    return ask(response.der, **options).status is RevocationStatus.UNKNOWN


def test_good_answer_of_the_issuer() -> None:
    """RFC 6960, 4.2.2.2: the CA who issued the certificate in question."""
    result = ask(GOOD.der)
    assert result.status is RevocationStatus.GOOD
    assert result.method == "ocsp"
    assert result.valid_until == NOW + DAY


@pytest.mark.parametrize("reason", [None, x509.ReasonFlags.key_compromise])
def test_revoked_answer(reason: x509.ReasonFlags | None) -> None:
    """With and without a reason."""
    response = replace(GOOD, status=library.OCSPCertStatus.REVOKED, reason=reason)
    result = ask(response.der)
    assert result.status is RevocationStatus.REVOKED
    assert result.reason == (reason.value if reason else "")


def test_good_answer_of_an_appointed_responder() -> None:
    """RFC 6960, 4.2.2.2: id-kp-OCSPSigning by that issuer, with id-pkix-ocsp-nocheck."""
    assert ask(replace(GOOD, signer=responder()).der).status is RevocationStatus.GOOD


@pytest.mark.parametrize("algorithm", [hashes.SHA256, hashes.SHA384, hashes.SHA512])
def test_other_hashes_name_the_issuer_too(algorithm: Any) -> None:
    """The hash of the CertID is the responder's choice."""
    assert ask(replace(GOOD, algorithm=algorithm).der).status is RevocationStatus.GOOD


@pytest.mark.parametrize("kind", ["rsa", "p384", "ed25519", "brainpool256"])
def test_keys_of_responders(kind: str) -> None:
    """RSA, ECDSA, EdDSA, Brainpool."""
    response = replace(
        GOOD, signer=responder(key=kind), signing=None if kind == "ed25519" else hashes.SHA256
    )
    assert ask(response.der).status is RevocationStatus.GOOD


@pytest.mark.parametrize(
    "code",
    [code for code in library.OCSPResponseStatus if code.name != "SUCCESSFUL"],
    ids=lambda code: code.name,
)
def test_unsuccessful_answer_is_unknown(code: library.OCSPResponseStatus) -> None:
    """tryLater and its kin (cases F18)."""
    der = library.OCSPResponseBuilder.build_unsuccessful(code).public_bytes(DER)
    assert ask(der).status is RevocationStatus.UNKNOWN


def test_responder_that_does_not_know_is_unknown() -> None:
    """RFC 6960, 2.2: unknown is not good."""
    assert unknown(replace(GOOD, status=library.OCSPCertStatus.UNKNOWN))


def test_answer_about_another_serial_is_unknown() -> None:
    """Same issuer, another certificate (cases F18)."""
    assert unknown(replace(GOOD, about=BOB))


def test_answer_about_another_issuer_is_unknown() -> None:
    """The same serial number under another CA."""
    twin = OTHER.issue(
        "alice@ours.example", key="p256", serial_number=ALICE.certificate.serial_number
    )
    assert unknown(replace(GOOD, about=twin, issuer=OTHER))
    assert unknown(replace(GOOD, about=twin, issuer=OTHER, signer=OTHER))


def test_answer_from_the_future_is_unknown() -> None:
    """thisUpdate lies ahead (cases F18); a responder's clock may be a little fast."""
    assert unknown(replace(GOOD, this_update=NOW + timedelta(minutes=2)))
    assert not unknown(replace(GOOD, this_update=NOW + timedelta(seconds=30)))


def test_answer_out_of_date_is_unknown() -> None:
    """One second after nextUpdate; there is no grace for OCSP."""
    assert not unknown(GOOD, now=NOW + DAY)
    assert unknown(GOOD, now=NOW + DAY + timedelta(seconds=1))


def test_answer_without_next_update_is_good_for_minutes() -> None:
    """RFC 6960, 2.4: newer information is available all the time."""
    response = replace(GOOD, this_update=NOW, next_update=None)
    assert not unknown(response, now=NOW + timedelta(minutes=10))
    assert unknown(response, now=NOW + timedelta(minutes=11))


def test_old_answer_that_says_revoked_still_revokes() -> None:
    """Withholding new answers must not bring a revoked certificate back (T-13)."""
    response = replace(GOOD, status=library.OCSPCertStatus.REVOKED)
    assert ask(response.der, now=NOW + 30 * DAY).status is RevocationStatus.REVOKED


@pytest.mark.parametrize(
    "options",
    [
        {"eku": [EMAIL_PROTECTION]},
        {"eku": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
        {"eku": None},
        {"usage": "encrypt"},
        {"not_after": PAST},
        {"not_before": NOW + DAY, "not_after": NOW + 2 * DAY},
        {"key": "p224"},
        {"extensions": []},
    ],
    ids=[
        "another EKU",
        "any EKU",
        "no EKU",
        "usage encrypt",
        "expired",
        "not yet valid",
        "weak key",
        "no nocheck",
    ],
)
def test_responder_that_was_not_appointed_is_unknown(options: dict[str, Any]) -> None:
    """Without ocspSigning, for another use, ended, not begun, weak, of unknown standing (F18)."""
    assert unknown(replace(GOOD, signer=responder(**options)))


def test_responder_of_another_ca_is_unknown() -> None:
    """RFC 6960, 4.2.2.2: appointed directly by the CA that issued the certificate."""
    assert unknown(replace(GOOD, signer=responder(OTHER)))
    assert unknown(replace(GOOD, signer=OTHER))
    assert unknown(replace(GOOD, signer=ROOT))


def test_colleague_cannot_answer() -> None:
    """Any certificate of the same CA is not a responder."""
    assert unknown(replace(GOOD, signer=BOB))


def test_responder_without_nocheck_must_be_known_good() -> None:
    """RFC 6960, 4.2.2.2.1: its own status comes from the issuer's list."""
    delegate = responder(extensions=[])
    response = replace(GOOD, signer=delegate)
    about_delegates_only = [ISSUING.crl([], this_update=NOW - 90 * DAY, next_update=NOW - 80 * DAY)]
    assert unknown(response, crls=about_delegates_only)
    result = ask(response.der, crls=[ISSUING.crl(this_update=NOW - 7 * DAY)])
    assert result.status is RevocationStatus.GOOD


@pytest.mark.parametrize("extensions", [[], [NO_CHECK]], ids=["checked", "nocheck"])
def test_revoked_responder_cannot_answer(extensions: Any) -> None:
    """A list that names the responder is stronger than nocheck."""
    delegate = responder(extensions=extensions)
    old = ISSUING.crl([delegate], this_update=NOW - 90 * DAY, next_update=NOW - 80 * DAY)
    assert unknown(replace(GOOD, signer=delegate), crls=[old])


def test_forged_answer_is_unknown() -> None:
    """The issuer's name, another key."""
    impostor = make_ca("OCSP CA", slot="impostor")
    assert unknown(replace(GOOD, signer=impostor, by_name=True))
    assert unknown(replace(GOOD, signer=impostor, carried=(ISSUING,), by_name=True))


def test_forged_answer_of_a_responder_is_unknown() -> None:
    """Its certificate is public, its key is not."""
    real, impostor = responder(), responder(OTHER, slot="impostor")
    response = replace(GOOD, by_name=True, carried=(real,))
    assert not unknown(replace(response, signer=real))
    assert unknown(replace(response, signer=impostor))


def test_changed_answer_is_unknown() -> None:
    """One bit of the signature."""
    der = bytearray(GOOD.der)
    der[-1] ^= 1
    assert ask(bytes(der)).status is RevocationStatus.UNKNOWN


def test_answer_signed_with_a_small_hash_is_unknown() -> None:
    """SHA-256, SHA-384 and SHA-512 only."""
    assert unknown(replace(GOOD, signing=hashes.SHA224))


def test_unknown_critical_extension_is_unknown() -> None:
    """RFC 6960, 4.4: it would have to be obeyed."""
    assert unknown(replace(GOOD, critical=True))


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x00", b"<html>", b"\x30\x80\x00\x00"])
def test_garbage_does_not_count(octets: bytes) -> None:
    """A good answer beside it is still used."""
    assert ask(octets).status is RevocationStatus.UNKNOWN
    assert ask(octets, GOOD.der).status is RevocationStatus.GOOD


def test_answer_longer_than_the_limit_is_not_looked_at() -> None:
    """`Limits.ocsp_octets`."""
    der = GOOD.der
    assert ask(der, limits=Limits(ocsp_octets=len(der))).status is RevocationStatus.GOOD
    assert ask(der, limits=Limits(ocsp_octets=len(der) - 1)).status is RevocationStatus.UNKNOWN


def test_newest_answer_decides() -> None:
    """Whatever their order."""
    old = replace(GOOD, status=library.OCSPCertStatus.REVOKED, this_update=NOW - 2 * DAY)
    assert ask(old.der, GOOD.der).status is RevocationStatus.GOOD
    assert ask(GOOD.der, old.der).status is RevocationStatus.GOOD


# --- with lists beside -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "answered", "expected", "method"),
    [
        ("revoked", "good", "revoked", "crl"),
        ("good", "revoked", "revoked", "ocsp"),
        ("unknown", "good", "good", "ocsp"),
        ("good", "unknown", "good", "crl"),
        ("good", "good", "good", "crl"),
        ("unknown", "unknown", "unknown", "none"),
    ],
)
def test_one_revoked_is_enough_then_one_good(
    listed: str, answered: str, expected: str, method: str
) -> None:
    """Lists and answers together; of two good ones the newer is named."""
    crls = {
        "revoked": [ISSUING.crl([ALICE])],
        "good": [ISSUING.crl(this_update=NOW - timedelta(minutes=5))],
        "unknown": [],
    }[listed]
    responses = {
        "revoked": [replace(GOOD, status=library.OCSPCertStatus.REVOKED).der],
        "good": [GOOD.der],
        "unknown": [],
    }[answered]
    result = ask(*responses, crls=crls)
    assert (result.status, result.method) == (expected, method)


def test_fresh_answer_goes_before_a_list_in_grace() -> None:
    """The note says what the judgement really rests on."""
    crl = ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    result = ask(GOOD.der, crls=[crl])
    assert (result.method, result.in_grace) == ("ocsp", False)


# --- the question ------------------------------------------------------------------------------


def test_question_names_the_certificate() -> None:
    """RFC 6960, 4.1.1."""
    request = library.load_der_ocsp_request(
        ocsp.request(ALICE.certificate, ISSUING.certificate, b"n" * 32)
    )
    assert request.serial_number == ALICE.certificate.serial_number
    assert request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32


def test_nonce_must_come_back_or_be_absent() -> None:
    """RFC 9654, 3.1; an answer with another nonce is a replay (cases F18)."""
    assert ocsp.answers_nonce(replace(GOOD, nonce=b"ours").der, b"ours")
    assert ocsp.answers_nonce(GOOD.der, b"ours")
    assert not ocsp.answers_nonce(replace(GOOD, nonce=b"another").der, b"ours")
    assert not ocsp.answers_nonce(b"garbage", b"ours")
