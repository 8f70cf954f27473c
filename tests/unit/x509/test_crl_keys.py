"""CAs with more than one key: whose lists count, and for what."""

from __future__ import annotations

from typing import Any

import pytest

from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import RevocationQuestion, answer
from smimegw.x509.revocation import RevocationStatus, status
from tests.fakes.pki import CA, DAY, NOW, PAST, Issued, make_ca

GRACE = 72 * 3600
ROOT = make_ca("Keys Root")
OLD = make_ca("Keys CA", parent=ROOT, slot="keys old")
ALICE = OLD.issue("alice@ours.example", key="p256", slot="keys")


def ask(*crls: bytes, authorities: tuple[CA, ...], issuer: CA = OLD, issued: Issued = ALICE) -> Any:
    return status(
        issued.certificate,
        issuer.certificate,
        crls,
        NOW,
        GRACE,
        authorities=[authority.certificate for authority in authorities],
    ).status


def renewed(parent: CA = ROOT, **what: Any) -> CA:
    return make_ca("Keys CA", parent=parent, slot="keys new", **what)


@pytest.mark.parametrize("parent", [ROOT, OLD], ids=["beside", "below"])
def test_list_by_the_new_key_revokes(parent: CA) -> None:
    """The new key speaks for the same CA (RFC 5280, 6.3.3 (f); PKITS 4.5.5)."""
    new = renewed(parent)
    crls = (new.crl([ALICE]), OLD.crl(), ROOT.crl())
    assert ask(*crls, authorities=(new, ROOT)) is RevocationStatus.REVOKED


def test_list_by_the_key_that_certified_the_issuers_revokes() -> None:
    """Old with new: the issuer's certificate is signed by the new key (PKITS 4.5.2)."""
    new = renewed()
    old = make_ca("Keys CA", parent=new, slot="keys old")
    found = ask(new.crl([ALICE]), authorities=(new,), issuer=old)
    assert found is RevocationStatus.REVOKED


def test_absence_from_the_list_by_the_new_key_proves_nothing() -> None:
    """AD CS makes a list for each key, about what that key issued."""
    new = renewed()
    crls = (new.crl(), ROOT.crl())
    assert ask(*crls, authorities=(new, ROOT)) is RevocationStatus.UNKNOWN


def test_newer_list_by_the_new_key_does_not_replace_that_by_the_old() -> None:
    """AD CS again: revoked stands in the old key's list only."""
    new = renewed()
    crls = (new.crl(number=9), OLD.crl([ALICE], this_update=NOW - DAY), ROOT.crl())
    assert ask(*crls, authorities=(new, ROOT)) is RevocationStatus.REVOKED


def lists_apart() -> tuple[CA, CA, Issued]:
    """A CA whose certificate key may not sign lists, the other one, and somebody it certified."""
    issuing = make_ca("Keys Apart", parent=ROOT, slot="apart", usage="cert sign")
    listing = make_ca("Keys Apart", parent=ROOT, slot="apart lists", usage="crl sign", ca=False)
    return issuing, listing, issuing.issue("alice@ours.example", key="p256", slot="keys")


def test_key_for_lists_only_proves_good() -> None:
    """There are no other lists (PKITS 4.4.19)."""
    issuing, listing, alice = lists_apart()
    for revoked, expected in (((), "good"), ((alice,), "revoked")):
        crls = (listing.crl(revoked), ROOT.crl())
        assert ask(*crls, authorities=(listing, ROOT), issuer=issuing, issued=alice) == expected


@pytest.mark.parametrize("defect", ["revoked", "unknown", "expired", "stranger", "no root"])
def test_key_for_lists_must_itself_hold(defect: str) -> None:
    """RFC 5280, 6.3.3 (f): the path of the list's issuer holds (PKITS 4.4.21)."""
    issuing, listing, alice = lists_apart()
    parents, above = ROOT, (ROOT,)
    if defect == "expired":
        listing = make_ca("Keys Apart", parent=ROOT, usage="crl sign", ca=False, not_after=PAST)
    if defect == "stranger":
        parents = make_ca("Keys Root", slot="stranger")
        above = (parents, ROOT)
        listing = make_ca("Keys Apart", parent=parents, slot="x", usage="crl sign", ca=False)
    if defect == "no root":
        above = ()
    crls = [listing.crl()]
    if defect != "unknown":
        crls.append(parents.crl([listing] if defect == "revoked" else []))
    found = ask(*crls, authorities=(listing, *above), issuer=issuing, issued=alice)
    assert found is RevocationStatus.UNKNOWN


def test_self_made_namesake_revokes_nobody() -> None:
    """Whoever sends a message chooses the certificates and lists in it."""
    fake = make_ca("Keys CA", slot="keys fake")
    below = make_ca("Keys CA", parent=fake, slot="keys fake 2")
    crls = (fake.crl([ALICE, below]), below.crl([ALICE]), OLD.crl())
    assert ask(*crls, authorities=(fake, below, ROOT)) is RevocationStatus.GOOD


def test_trust_anchors_are_among_the_authorities() -> None:
    """The key beside the issuer's may come from the anchor itself."""
    issuing, listing, alice = lists_apart()
    evidence = Evidence(
        trust_anchors=(ROOT.certificate,),
        intermediates=(listing.certificate,),
        crls=(listing.crl(), ROOT.crl()),
    )
    question = RevocationQuestion(alice.certificate, issuing.certificate)
    assert answer(question, evidence, NOW).status is RevocationStatus.GOOD
