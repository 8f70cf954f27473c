"""Paths, and the proof that only a good one gives."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from smimegw.x509.revocation import RevocationStatus
from tests.fakes.pki import (
    CA,
    DAY,
    FUTURE,
    NOW,
    PAST,
    SERVER_AUTH,
    Issued,
    make_ca,
    private_key,
    raw_rfc822,
)

ROOT = make_ca("Path Root")
ISSUING = make_ca("Path CA", parent=ROOT, path_length=0)
ALICE = ISSUING.issue("alice@ours.example", key="p256", slot="path")
MAILBOX = Mailbox("alice", "ours.example")
OCSP = "1.3.6.1.5.5.7.48.1"


def evidence(*authorities: CA, anchors: tuple[CA, ...] = (ROOT,), **values: Any) -> Evidence:
    """Intermediates, and a fresh empty CRL of each and of the anchors."""
    values.setdefault("crls", tuple(authority.crl() for authority in (*anchors, *authorities)))
    return Evidence(
        trust_anchors=tuple(anchor.certificate for anchor in anchors),
        intermediates=tuple(authority.certificate for authority in authorities),
        **values,
    )


def judged(
    issued: Issued | Certificate,
    given: Evidence,
    *,
    purpose: Purpose = Purpose.SIGNATURE,
    mailbox: Mailbox | None = None,
    now: datetime = NOW,
    **more: Any,
) -> ValidatedCertificate:
    certificate = issued.certificate if isinstance(issued, Issued) else issued
    return validate(certificate, given, purpose=purpose, mailbox=mailbox, now=now, **more)


def refusal(issued: Issued, given: Evidence, **how: Any) -> str:
    with pytest.raises(CertificateError) as caught:
        judged(issued, given, **how)
    return caught.value.reason


@pytest.mark.parametrize("purpose", list(Purpose))
def test_good_path_gives_proof(purpose: Purpose) -> None:
    """RFC 5280, 6: end-entity, intermediate, anchor, and a list for each but the anchor."""
    proof = judged(ALICE, evidence(ISSUING), purpose=purpose, mailbox=MAILBOX)
    assert proof.certificate == ALICE.certificate
    assert proof.path == (ALICE.certificate, ISSUING.certificate, ROOT.certificate)
    assert proof.purpose is purpose
    assert proof.mailbox == MAILBOX
    assert proof.revocation is RevocationStatus.GOOD
    assert proof.evidence == f"crl {NOW - timedelta(hours=1):%Y-%m-%dT%H:%MZ}"


@pytest.mark.parametrize("key", ["rsa", "p384", "p521", "brainpool256", "ed25519"])
def test_authorities_may_have_any_strong_key(key: str) -> None:
    """RFC 5280 leaves the algorithm open; some authorities use Brainpool."""
    root = make_ca("Any Key Root", key=key, slot="any key")
    issued = root.issue(key="p256", slot="path")
    assert judged(issued, evidence(anchors=(root,))).path[-1] == root.certificate


def test_rsa_pss_signatures_of_authorities_are_checked() -> None:
    """RFC 4055."""
    root = make_ca("PSS Root", key="rsa", pss=True)
    assert judged(root.issue(key="p256", slot="path"), evidence(anchors=(root,)))


def test_validation_works_inside_a_running_event_loop() -> None:
    """The core does not await, and its caller may be a coroutine."""

    async def caller() -> ValidatedCertificate:
        return judged(ALICE, evidence(ISSUING))

    assert asyncio.run(caller()).path[-1] == ROOT.certificate


def test_validation_works_in_worker_threads() -> None:
    """Crypto is done off the event loop, by several threads at once."""
    given = evidence(ISSUING)
    with ThreadPoolExecutor(4) as pool:
        proofs = list(pool.map(lambda _: judged(ALICE, given), range(16)))
    assert {proof.path[-1] for proof in proofs} == {ROOT.certificate}


# --- the proof --------------------------------------------------------------------------------


def fields_of(proof: ValidatedCertificate) -> dict[str, Any]:
    return {field.name: getattr(proof, field.name) for field in dataclasses.fields(proof)}


def test_proof_cannot_be_constructed() -> None:
    """Only `validate` makes one; `smime.encrypt` relies on it."""
    values = fields_of(judged(ALICE, evidence(ISSUING)))
    with pytest.raises(TypeError):
        ValidatedCertificate(**values)
    with pytest.raises(TypeError, match=r"only smimegw\.x509\.path\.validate"):
        ValidatedCertificate(**values, proof=object())
    with pytest.raises(TypeError, match=r"only smimegw\.x509\.path\.validate"):
        ValidatedCertificate(**values, proof=None)


def test_proof_cannot_be_altered() -> None:
    """Neither in place nor by a changed copy."""
    proof = judged(ALICE, evidence(ISSUING))
    with pytest.raises(dataclasses.FrozenInstanceError):
        proof.mailbox = MAILBOX  # type: ignore[misc]
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(proof, mailbox=MAILBOX)
    assert copy.copy(proof) == proof


def test_proof_ends_with_the_first_thing_that_ends() -> None:
    """The shortest of notAfter on the path and nextUpdate with grace."""
    short = ISSUING.issue(key="p256", slot="path", not_after=NOW + DAY)
    assert judged(short, evidence(ISSUING)).valid_until == NOW + DAY
    given = evidence(ISSUING, crl_grace_seconds=3600)
    assert judged(ALICE, given).valid_until == NOW + 7 * DAY + timedelta(hours=1)


# --- one defect each ---------------------------------------------------------------------------


def test_unknown_authority_is_untrusted() -> None:
    """No anchor at the end of the path (cases I17)."""
    assert refusal(ALICE, evidence(ISSUING, anchors=(make_ca("Other Root"),))) == "untrusted-ca"


def test_namesake_of_the_anchor_is_untrusted() -> None:
    """The name says nothing, the signature does."""
    impostor = make_ca("Path Root", slot="impostor")
    issued = impostor.issue(key="p256", slot="path")
    assert refusal(issued, evidence(impostor)) == "untrusted-ca"


def test_missing_intermediate_is_untrusted() -> None:
    """Nothing is fetched; what is missing is missing (cases F20)."""
    assert refusal(ALICE, evidence()) == "untrusted-ca"


def test_self_signed_end_entity_is_untrusted() -> None:
    """Anyone can make one (cases I17)."""
    own = make_ca("Self", ca=False, usage="sign")
    assert refusal(own, evidence()) == "untrusted-ca"


def test_self_signed_end_entity_may_be_pinned() -> None:
    """Only this very certificate, and only by the administrator."""
    key = private_key("p256", "pinned")
    pinned, other = (
        make_ca(
            "Pinned",
            key=key,
            ca=False,
            usage="sign",
            extensions=[(x509.SubjectAlternativeName([raw_rfc822(address)]), False)],
        )
        for address in ("alice@ours.example", "boss@ours.example")
    )
    given = Evidence(trust_anchors=(pinned.certificate,), intermediates=(other.certificate,))
    proof = judged(pinned, given, mailbox=MAILBOX)
    assert proof.path == (pinned.certificate,)
    assert proof.evidence == "pinned"
    assert refusal(pinned, given, mailbox=Mailbox("boss", "ours.example")) == "address-mismatch"
    assert refusal(other, given) == "path"


def test_pinned_certificate_ends_like_any_other() -> None:
    """Trusting a certificate does not prolong it."""
    pinned = make_ca("Pinned Old", ca=False, usage="sign", not_after=PAST)
    assert refusal(pinned, Evidence(trust_anchors=(pinned.certificate,))) == "expired"


def test_expired_end_entity_is_refused() -> None:
    """R-03."""
    assert refusal(ISSUING.issue(key="p256", not_after=PAST), evidence(ISSUING)) == "expired"


def test_end_entity_of_the_future_is_refused() -> None:
    """R-03."""
    issued = ISSUING.issue(key="p256", not_before=FUTURE)
    assert refusal(issued, evidence(ISSUING)) == "not-yet-valid"


def test_expired_intermediate_is_refused() -> None:
    """RFC 5280, 6.1.3 (a) (2)."""
    old = make_ca("Old CA", parent=ROOT, not_after=PAST)
    assert refusal(old.issue(key="p256"), evidence(old)) == "expired"


def test_expired_anchor_is_refused() -> None:
    """RFC 5280 leaves it open; an administrator expects it."""
    old = make_ca("Old Root", not_after=PAST)
    assert refusal(old.issue(key="p256"), evidence(anchors=(old,))) == "expired"


@pytest.mark.parametrize(
    ("usage", "purpose", "expected"),
    [("sign", Purpose.ENCRYPTION, "key-usage"), ("encrypt", Purpose.SIGNATURE, "key-usage")],
)
def test_wrong_key_usage_is_refused(usage: str, purpose: Purpose, expected: str) -> None:
    """RFC 8550, 4.4.2 (R-08, cases I19)."""
    issued = ISSUING.issue(key="p256", usage=usage)
    assert refusal(issued, evidence(ISSUING), purpose=purpose) == expected


def test_wrong_extended_key_usage_is_refused() -> None:
    """A web server's certificate (R-08, cases I19)."""
    issued = ISSUING.issue(key="p256", eku=[SERVER_AUTH])
    assert refusal(issued, evidence(ISSUING)) == "extended-key-usage"


def test_authority_for_web_servers_cannot_issue_for_mail() -> None:
    """A CA whose ExtendedKeyUsage leaves e-mail out."""
    web = make_ca("Web CA", parent=ROOT, eku=[SERVER_AUTH])
    assert refusal(web.issue(key="p256"), evidence(web)) == "extended-key-usage"


def test_weak_key_on_the_path_is_refused() -> None:
    """Whoever breaks the CA's key issues what he likes (R-08)."""
    weak = make_ca("Weak CA", parent=ROOT, key="rsa1024")
    assert refusal(weak.issue(key="p256"), evidence(weak)) == "weak-key"


def test_address_of_somebody_else_is_refused() -> None:
    """R-07."""
    assert refusal(ALICE, evidence(ISSUING), mailbox=Mailbox("bob", "ours.example")) == (
        "address-mismatch"
    )


def test_strict_local_part_is_passed_on() -> None:
    """The switch of the domain."""
    shouted = Mailbox("ALICE", "ours.example")
    assert judged(ALICE, evidence(ISSUING), mailbox=shouted).mailbox == MAILBOX
    assert (
        refusal(ALICE, evidence(ISSUING), mailbox=shouted, strict_local_part=True)
        == "address-mismatch"
    )


def test_end_entity_cannot_issue() -> None:
    """RFC 5280, 6.1.4 (k): basicConstraints cA."""
    fake = make_ca("No CA", parent=ROOT, ca=False)
    assert refusal(fake.issue(key="p256"), evidence(fake)) == "path"


def test_authority_without_cert_sign_cannot_issue() -> None:
    """RFC 5280, 6.1.4 (n): keyCertSign."""
    mute = make_ca("Mute Path CA", parent=ROOT, usage="sign")
    assert refusal(mute.issue(key="p256"), evidence(mute, require_revocation=False)) == "path"


def test_anchor_that_is_no_authority_cannot_issue() -> None:
    """A pinned person is not a CA."""
    person = make_ca("Person", ca=False, usage="sign")
    assert refusal(person.issue(key="p256"), evidence(anchors=(person,))) == "path"


def test_path_length_is_kept() -> None:
    """RFC 5280, 6.1.4 (l): ISSUING has pathLenConstraint 0."""
    below = make_ca("Too Deep", parent=ISSUING)
    assert refusal(below.issue(key="p256"), evidence(ISSUING, below)) == "path"


def test_path_length_of_the_anchor_is_kept() -> None:
    """The anchor's own constraint counts too (RFC 5937)."""
    root = make_ca("Short Root", path_length=0)
    below = make_ca("Below Short", parent=root)
    assert refusal(below.issue(key="p256"), evidence(below, anchors=(root,))) == "path"
    assert judged(root.issue(key="p256"), evidence(anchors=(root,)))


def test_unknown_critical_extension_is_refused() -> None:
    """RFC 5280, 6.1.5 (f)."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    critical = ISSUING.issue(key="p256", extensions=[(extension, True)])
    assert refusal(critical, evidence(ISSUING)) == "path"
    assert judged(ISSUING.issue(key="p256", extensions=[(extension, False)]), evidence(ISSUING))


def test_changed_certificate_is_untrusted() -> None:
    """One bit of the signature."""
    der = bytearray(ALICE.certificate.der)
    der[-1] ^= 1
    changed = dataclasses.replace(ALICE, certificate=Certificate.parse(bytes(der)))
    assert refusal(changed, evidence(ISSUING)) == "untrusted-ca"


def test_path_of_six_certificates_is_accepted_and_of_seven_not() -> None:
    """`Limits.path_depth`."""
    authorities = [make_ca("Deep Root")]
    for number in range(5):
        authorities.append(make_ca(f"Deep {number}", parent=authorities[-1], slot="deep"))
    root, *chain = authorities
    given = evidence(*chain, anchors=(root,))
    assert len(judged(chain[3].issue(key="p256"), given).path) == 6
    assert refusal(chain[4].issue(key="p256"), given) == "limits"


# --- revocation --------------------------------------------------------------------------------


def test_revoked_end_entity_is_refused() -> None:
    """R-04, cases F15."""
    given = evidence(ISSUING, crls=(ROOT.crl(), ISSUING.crl([ALICE])))
    assert refusal(ALICE, given) == "revoked"
    lenient = dataclasses.replace(given, require_revocation=False)
    assert refusal(ALICE, lenient) == "revoked"


def test_revoked_intermediate_is_refused() -> None:
    """Every certificate of the path but the anchor is judged."""
    given = evidence(ISSUING, crls=(ROOT.crl([ISSUING]), ISSUING.crl()))
    assert refusal(ALICE, given) == "revoked"


@pytest.mark.parametrize("crls", [(), (ROOT.crl(),), (ISSUING.crl(),)])
def test_unknown_revocation_is_refused_when_required(crls: tuple[bytes, ...]) -> None:
    """R-05: a missing list of any CA on the path."""
    assert refusal(ALICE, evidence(ISSUING, crls=crls)) == "revocation-unknown"


def test_unknown_revocation_is_said_when_not_required() -> None:
    """Never shown as good."""
    proof = judged(ALICE, evidence(ISSUING, crls=(ROOT.crl(),), require_revocation=False))
    assert proof.revocation is RevocationStatus.UNKNOWN
    assert proof.evidence == "no crl"


def test_overdue_list_is_marked() -> None:
    """R-05: flagged in the records."""
    late = ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    proof = judged(ALICE, evidence(ISSUING, crls=(ROOT.crl(), late)))
    assert proof.revocation is RevocationStatus.GOOD
    assert proof.evidence.endswith(" overdue")
    assert proof.valid_until == NOW - DAY + timedelta(hours=72)


# --- nothing is fetched --------------------------------------------------------------------------


def with_addresses_everywhere() -> Issued:
    """CRL distribution points and AIA that lead to places a gateway must not visit."""
    urls = [
        x509.UniformResourceIdentifier(url)
        for url in ("http://169.254.169.254/a", "http://127.0.0.1:1/b", "ldap://127.0.0.1/c")
    ]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(urls, None, None, None)])
    methods = (x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.ObjectIdentifier(OCSP))
    access = [x509.AccessDescription(method, url) for method in methods for url in urls]
    extensions = [(points, False), (x509.AuthorityInformationAccess(access), False)]
    return ISSUING.issue("alice@ours.example", key="p256", extensions=extensions)


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses in a certificate are the sender's choice (cases F20, T-14)."""

    def forbidden(*arguments: object, **values: object) -> None:
        raise AssertionError("the path judge opened a socket")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    issued = with_addresses_everywhere()
    assert judged(issued, evidence(ISSUING)).path[-1] == ROOT.certificate
    assert refusal(issued, evidence(ISSUING, crls=())) == "revocation-unknown"
    assert refusal(issued, evidence()) == "untrusted-ca"


def test_operating_systems_trust_list_is_never_asked() -> None:
    """Without anchors nothing is trusted, and oscrypto stays unloaded (it does not work)."""
    assert refusal(ALICE, Evidence(trust_anchors=())) == "untrusted-ca"
    assert not {"oscrypto.asymmetric", "oscrypto.trust_list"} & sys.modules.keys()


# --- several paths -----------------------------------------------------------------------------


def cross_signed() -> tuple[CA, CA, CA, CA]:
    """One issuing CA, certified by two roots with the same key."""
    good, bad = make_ca("Cross Good"), make_ca("Cross Bad")
    key = private_key("p256", "cross")
    return (
        good,
        bad,
        make_ca("Cross", parent=good, key=key),
        make_ca("Cross", parent=bad, key=key),
    )


def test_the_other_path_is_tried() -> None:
    """A cross-certificate towards an unknown root does not hide the good one."""
    good, _, by_good, by_bad = cross_signed()
    proof = judged(by_good.issue(key="p256"), evidence(by_bad, by_good, anchors=(good,)))
    assert proof.path[1] == by_good.certificate


def test_expired_cross_certificate_is_passed_over() -> None:
    """Both lead to an anchor, one has ended."""
    good, bad, by_good, _ = cross_signed()
    old = make_ca("Cross", parent=bad, key=private_key("p256", "cross"), not_after=PAST)
    proof = judged(by_good.issue(key="p256"), evidence(old, by_good, anchors=(bad, good)))
    assert proof.path[1] == by_good.certificate


def test_revoked_cross_certificate_is_passed_over() -> None:
    """A CA may leave one root for another."""
    good, bad, by_good, by_bad = cross_signed()
    given = evidence(
        by_bad,
        by_good,
        anchors=(bad, good),
        crls=(bad.crl([by_bad]), good.crl(), by_good.crl()),
    )
    assert judged(by_good.issue(key="p256"), given).path[1] == by_good.certificate


def test_limits_are_arguments() -> None:
    """One signature check is not enough for two certificates."""
    limits = dataclasses.replace(DEFAULT_LIMITS, path_signatures=1)
    assert refusal(ALICE, evidence(ISSUING), limits=limits) == "limits"
