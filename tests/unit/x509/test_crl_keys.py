"""CAs with more than one key: whose lists count, and for what."""

from __future__ import annotations

from typing import Any

import pytest

from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import Inquiry
from smimegw.x509.path import Purpose, validate
from smimegw.x509.revocation import RevocationStatus, status
from tests.fakes.pki import CA, DAY, NOW, PAST, Issued, make_ca

GRACE = 72 * 3600
ROOT = make_ca("Keys Root")
OLD = make_ca("Keys CA", parent=ROOT, slot="keys old")
ALICE = OLD.issue("alice@ours.example", key="p256", slot="keys")


def ask(
    *crls: bytes,
    authorities: tuple[CA, ...],
    issuer: CA = OLD,
    issued: Issued = ALICE,
    above: CA | None = ROOT,
) -> Any:
    return status(
        issued.certificate,
        issuer.certificate,
        crls,
        NOW,
        GRACE,
        above=above.certificate if above else None,
        authorities=[authority.certificate for authority in authorities],
    ).status


def renewed(parent: CA = ROOT, **what: Any) -> CA:
    return make_ca("Keys CA", parent=parent, slot="keys new", **what)


@pytest.mark.parametrize("parent", [ROOT, OLD], ids=["beside", "below"])
def test_list_by_the_new_key_revokes(parent: CA) -> None:
    """The new key speaks for the same CA (RFC 5280, 6.3.3 (f); PKITS 4.5.5)."""
    new = renewed(parent)
    crls = (new.crl([ALICE]), OLD.crl(), ROOT.crl())
    assert ask(*crls, authorities=(new,)) is RevocationStatus.REVOKED


def test_list_by_the_key_that_certified_the_issuers_revokes() -> None:
    """Old with new: the issuer's certificate is signed by the new key (PKITS 4.5.2)."""
    new = renewed()
    old = make_ca("Keys CA", parent=new, slot="keys old")
    found = ask(new.crl([ALICE]), authorities=(), issuer=old, above=new)
    assert found is RevocationStatus.REVOKED


def test_absence_from_the_list_by_the_new_key_proves_nothing() -> None:
    """AD CS makes a list for each key, about what that key issued."""
    new = renewed()
    crls = (new.crl(), ROOT.crl())
    assert ask(*crls, authorities=(new,)) is RevocationStatus.UNKNOWN


def test_newer_list_by_the_new_key_does_not_replace_that_by_the_old() -> None:
    """AD CS again: revoked stands in the old key's list only."""
    new = renewed()
    crls = (new.crl(number=9), OLD.crl([ALICE], this_update=NOW - DAY), ROOT.crl())
    assert ask(*crls, authorities=(new,)) is RevocationStatus.REVOKED


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
        assert ask(*crls, authorities=(listing,), issuer=issuing, issued=alice) == expected


@pytest.mark.parametrize("defect", ["revoked", "unknown", "expired", "stranger"])
def test_key_for_lists_must_itself_hold(defect: str) -> None:
    """RFC 5280, 6.3.3 (f): the path of the list's issuer holds (PKITS 4.4.21)."""
    issuing, listing, alice = lists_apart()
    parents: CA = ROOT
    if defect == "expired":
        listing = make_ca("Keys Apart", parent=ROOT, usage="crl sign", ca=False, not_after=PAST)
    if defect == "stranger":
        parents = make_ca("Keys Root", slot="stranger")
        listing = make_ca("Keys Apart", parent=parents, slot="x", usage="crl sign", ca=False)
    crls = [listing.crl()]
    if defect != "unknown":
        crls.append(parents.crl([listing] if defect == "revoked" else []))
    found = ask(*crls, authorities=(listing, parents), issuer=issuing, issued=alice)
    assert found is RevocationStatus.UNKNOWN


def test_self_made_namesake_revokes_nobody() -> None:
    """Whoever sends a message chooses the certificates and lists in it."""
    fake = make_ca("Keys CA", slot="keys fake")
    below = make_ca("Keys CA", parent=fake, slot="keys fake 2")
    crls = (fake.crl([ALICE, below]), below.crl([ALICE]), OLD.crl())
    assert ask(*crls, authorities=(fake, below)) is RevocationStatus.GOOD


def test_the_next_in_the_path_is_known_when_it_is_judged() -> None:
    """The key beside the issuer's comes from the anchor, which is nobody's intermediate."""
    issuing, listing, alice = lists_apart()
    evidence = Evidence(
        trust_anchors=(ROOT.certificate,),
        intermediates=(issuing.certificate, listing.certificate),
        crls=(listing.crl(), ROOT.crl()),
    )
    what = {"purpose": Purpose.SIGNATURE, "mailbox": None, "now": NOW}
    assert validate(alice.certificate, evidence, **what).revocation is RevocationStatus.GOOD
    assert Inquiry().open_questions(alice.certificate, evidence, NOW) == ()
