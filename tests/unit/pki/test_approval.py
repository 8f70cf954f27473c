"""From a request to a certificate: who may decide what, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from pki import approval
from pki.approval import Filing
from pki.certified import Certified
from pki.errors import RequestError
from pki.home import Home
from pki.keys import KeyKind
from pki.practice import Duplicates
from pki.profiles import Profile
from pki.requests import Proof, Request, RequestState
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from tests.interop.openssl import openssl
from tests.unit.pki.steps import PASSPHRASE, issue

ALICE = Mailbox.parse("alice@corp.example")


def _practice(ca: Home, **changes: object) -> Home:
    settings = replace(ca.settings, practice=replace(ca.settings.practice, **changes))
    return replace(ca, settings=settings)


def _file(ca: Home, now: datetime, **changes: object) -> Request:
    values: dict[str, object] = {
        "mailbox": ALICE,
        "profiles": (Profile.BOTH,),
        "requester": "rita",
        "key_kind": KeyKind.P_256,
        **changes,
    }
    return approval.file(ca, Filing(**values), now=now)[0]


def _issue(ca: Home, request: Request, now: datetime) -> tuple[Certified, ...]:
    issuer = ca.issuer("issuing", PASSPHRASE)
    return approval.issue(ca, issuer, request, passphrase=PASSPHRASE, operator="otto", now=now)


def _csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_an_approved_request_is_issued(ca: Home, now: datetime) -> None:
    """Filed, approved, issued; the certificate tells its request."""
    request = approval.approve(ca, _file(ca, now), operator="otto", now=now)
    (certified,) = _issue(ca, request, now)
    assert certified.request == request.number
    assert approval.find(ca, request.number).state is RequestState.ISSUED
    kinds = [entry.kind for entry in ca.register.ledger.entries()][-4:]
    assert kinds == ["requested", "approved", "reserved", "issued"]


@pytest.mark.parametrize("field", ["csr", "public_key"])
def test_an_empty_file_asks_for_nothing(ca: Home, now: datetime, field: str) -> None:
    """Above all not for a key that the CA makes, which its owner never proved to have (M22)."""
    with pytest.raises(RequestError):
        _file(ca, now, **{field: b""})


def test_who_approves_sees_whom_the_request_names(ca: Home, now: datetime) -> None:
    """Else one person could have another's key certified under his own name (RFC 2986)."""
    name = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "bob@corp.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    filed = _file(ca, now, csr=signed.public_bytes(Encoding.PEM))
    assert "bob@corp.example" in filed.findings


def test_a_request_outlives_the_process(ca: Home, now: datetime) -> None:
    """It is in the ledger, with everything that was asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    filed = _file(ca, now, csr=_csr(key), name="Alice Adams", days=90)
    fresh = type(ca.register)(ca.register.ledger)
    assert fresh.history.requests[filed.number] == filed
    assert (filed.proof, filed.name, filed.days) == (Proof.SIGNATURE, "Alice Adams", 90)


def test_a_request_that_nobody_approved_is_not_issued(ca: Home, now: datetime) -> None:
    """Asking is not getting."""
    request = _file(ca, now)
    before = len(ca.register.ledger.entries())
    with pytest.raises(UsageError, match="is pending, not approved"):
        _issue(ca, request, now)
    assert len(ca.register.ledger.entries()) == before


def test_a_refused_request_is_not_issued(ca: Home, now: datetime) -> None:
    """And cannot be approved any more."""
    request = approval.refuse(ca, _file(ca, now), operator="otto", reason="left us", now=now)
    with pytest.raises(UsageError, match="is refused"):
        approval.approve(ca, request, operator="otto", now=now)
    with pytest.raises(UsageError, match="is refused"):
        _issue(ca, request, now)


def test_nobody_approves_his_own_request_where_two_are_wanted(ca: Home, now: datetime) -> None:
    """A second person, also when he writes his name in capitals."""
    two = _practice(ca, second_person=True)
    request = _file(two, now)
    with pytest.raises(UsageError, match="wants a second person"):
        approval.approve(two, request, operator="RITA", now=now)
    assert approval.approve(two, request, operator="otto", now=now).decided_by == "otto"


def test_one_person_may_do_both_where_that_is_enough(ca: Home, now: datetime) -> None:
    """The default, for small sites."""
    approved = approval.approve(ca, _file(ca, now), operator="rita", now=now)
    assert approved.state is RequestState.APPROVED


def test_nothing_is_issued_without_a_request_where_two_are_wanted(ca: Home, now: datetime) -> None:
    """Otherwise the second person is walked around."""
    with pytest.raises(UsageError, match="request create"):
        issue(_practice(ca, second_person=True), now)


@pytest.mark.parametrize("approved", [False, True])
def test_a_request_expires(ca: Home, now: datetime, approved: bool) -> None:
    """What was right a month ago may not be today, whether approved or not."""
    request = _file(ca, now)
    if approved:
        request = approval.approve(ca, request, operator="otto", now=now)
    later = now + timedelta(days=14)
    assert request.state_at(later) is RequestState.EXPIRED
    with pytest.raises(UsageError, match="is expired"):
        approval.approve(ca, request, operator="otto", now=later)
    with pytest.raises(UsageError, match="is expired"):
        _issue(ca, request, later)


def test_an_issued_request_is_issued_once(ca: Home, now: datetime) -> None:
    """Asking again gives the same certificates."""
    request = approval.approve(ca, _file(ca, now), operator="otto", now=now)
    first = _issue(ca, request, now)
    assert _issue(ca, approval.find(ca, request.number), now) == first


def test_a_pair_is_issued_when_both_are(ca: Home, now: datetime) -> None:
    """Two profiles, two keys, two certificates."""
    request = _file(ca, now, profiles=(Profile.SIGN, Profile.ENCRYPT))
    request = approval.approve(ca, request, operator="otto", now=now)
    sign, encrypt = _issue(ca, request, now)
    assert (sign.profile, encrypt.profile) == (Profile.SIGN, Profile.ENCRYPT)


def test_one_key_is_not_for_two_profiles(ca: Home, now: datetime) -> None:
    """The one for encryption may be recovered, the one for signing never is."""
    csr = _csr(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match="two keys"):
        _file(ca, now, csr=csr, profiles=(Profile.SIGN, Profile.ENCRYPT))


def test_a_request_for_somebody_elses_domain_is_not_filed(ca: Home, now: datetime) -> None:
    """Nobody has to decide what must not be."""
    with pytest.raises(UsageError, match="outside of the domains"):
        _file(ca, now, mailbox=Mailbox.parse("eve@evil.example"))


def test_a_mailbox_without_certificate_gets_one_where_twins_are_refused(
    ca: Home, now: datetime
) -> None:
    """Only the second one is refused, of the same profile."""
    strict = _practice(ca, duplicates=Duplicates.REFUSE)
    issue(strict, now, profile=Profile.SIGN)
    issue(strict, now, profile=Profile.ENCRYPT)
    with pytest.raises(UsageError, match="already"):
        issue(strict, now, profile=Profile.SIGN)
    with pytest.raises(UsageError, match="already"):
        _file(strict, now, profiles=(Profile.SIGN,))


def test_a_twin_supersedes_where_ca_toml_says_so(ca: Home, now: datetime) -> None:
    """The older one is revoked in the same step."""
    strict = _practice(ca, duplicates=Duplicates.SUPERSEDE)
    old = issue(strict, now)
    new = issue(strict, now)
    before, after = (ca.register.history.certificates[item.serial] for item in (old, new))
    assert before.revocation is not None
    assert before.revocation.reason == "superseded"
    assert after.revocation is None


def test_a_twin_is_remarked_for_whoever_approves(ca: Home, now: datetime) -> None:
    """Where both may be, a person should know."""
    issue(ca, now)
    assert "has a mailbox-both certificate already" in _file(ca, now).findings


def test_a_key_that_cannot_sign_is_proven_by_a_challenge(
    ca: Home, now: datetime, tmp_path: Path
) -> None:
    """Only the owner decrypts what he has to send back (RFC 4211, 4.2), here with openssl."""
    key = rsa.generate_private_key(65537, 3072)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    filing = Filing(mailbox=ALICE, profiles=(Profile.ENCRYPT,), requester="rita", public_key=public)
    request, challenge = approval.file(ca, filing, now=now)
    assert request.state is RequestState.UNPROVEN
    (tmp_path / "challenge.p7m").write_bytes(challenge)
    answer = openssl(
        *("cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "challenge.p7m"),
        *("-inkey", tmp_path / "key.pem"),
    )
    request = approval.prove(ca, request, answer + b"\n", now=now)
    request = approval.approve(ca, request, operator="otto", now=now)
    (certified,) = _issue(ca, request, now)
    assert certified.certificate.public_key() == key.public_key()
    assert not certified.key_held


def test_an_unproven_key_is_not_certified(ca: Home, now: datetime) -> None:
    """Somebody else's key would make mail unreadable, or be claimed as one's own."""
    public = x25519.X25519PrivateKey.generate().public_key()
    octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    request = _file(ca, now, public_key=octets, profiles=(Profile.ENCRYPT,))
    with pytest.raises(UsageError, match="is unproven"):
        approval.approve(ca, request, operator="otto", now=now)
    with pytest.raises(RequestError, match="not what was encrypted"):
        approval.prove(ca, request, b"00" * 32, now=now)


def test_the_answer_to_a_challenge_is_not_in_the_ledger(ca: Home, now: datetime) -> None:
    """Who reads the ledger could answer for the owner."""
    public = x25519.X25519PrivateKey.generate().public_key()
    octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    request = _file(ca, now, public_key=octets, profiles=(Profile.ENCRYPT,))
    assert len(request.challenge) == 64
    with pytest.raises(RequestError):
        approval.prove(ca, request, request.challenge.encode(), now=now)


def test_a_key_that_cannot_sign_gets_no_certificate_for_signing(ca: Home, now: datetime) -> None:
    """X25519 only agrees (RFC 8410)."""
    public = x25519.X25519PrivateKey.generate().public_key()
    octets = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(RequestError, match="cannot sign"):
        _file(ca, now, public_key=octets, profiles=(Profile.SIGN,))


def test_a_damaged_request_is_not_filed(ca: Home, now: datetime) -> None:
    """Its signature is the proof of possession (RFC 2986, 3)."""
    der = bytearray(
        x509.load_pem_x509_csr(_csr(ec.generate_private_key(ec.SECP256R1()))).public_bytes(
            Encoding.DER
        )
    )
    der[-1] ^= 1
    with pytest.raises(RequestError):
        _file(ca, now, csr=bytes(der))


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "two\nlines"])
def test_a_refusal_has_a_reason(ca: Home, now: datetime, reason: str) -> None:
    """Somebody will ask."""
    with pytest.raises(UsageError, match="reason"):
        approval.refuse(ca, _file(ca, now), operator="otto", reason=reason, now=now)
