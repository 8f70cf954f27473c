"""What follows a certificate: when it is due, when it is shown, and what becomes of the old one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki import issuance, renewal
from pki.certified import Certified
from pki.home import Home
from pki.plan import make_plan
from pki.profiles import Profile
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue, order

_MONTH = timedelta(days=30)


def _renewed(ca: Home, old: Certified, now: datetime) -> Certified:
    successor = renewal.renewal(ca, old, passphrase=PASSPHRASE, keep_key=False, days=None)
    successor = renewal.overlapping(ca, successor, old, now=now)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    return issuance.issue(ca, issuer, successor, passphrase=PASSPHRASE, now=now)


def _fresh(ca: Home, certified: Certified) -> Certified:
    return ca.register.history.certificates[certified.serial]


def test_what_ends_soon_is_due(ca: Home, now: datetime) -> None:
    """What ends later, has ended, is revoked or was renewed is not."""
    soon = issue(ca, now, "soon@corp.example", days=30)
    issue(ca, now, "later@corp.example", days=50)
    issue(ca, now, "ended@corp.example", days=5)
    revoked = issue(ca, now, "revoked@corp.example", days=30)
    issuance.revoke(ca, revoked, "superseded", now=now)
    held = issue(ca, now, "held@corp.example", days=30)
    issuance.hold(ca, held, now=now)
    renewed = issue(ca, now, "renewed@corp.example", days=30)
    _renewed(ca, renewed, now)
    assert renewal.due(ca, within=_MONTH, now=now + timedelta(days=10)) == (soon,)


def test_a_new_encryption_certificate_is_shown_fourteen_days_before_the_old_ends(
    ca: Home, now: datetime
) -> None:
    """Not before: the new key has to reach its owner first."""
    old = issue(ca, now, days=20, profile=Profile.ENCRYPT)
    new = _renewed(ca, old, now)
    assert new.publish_from == old.not_after - timedelta(days=14)
    assert make_plan(ca, now=now).publish == (old,)
    assert make_plan(ca, now=new.publish_from).publish == (old, new)
    assert make_plan(ca, now=old.not_after + timedelta(days=1)).publish == (new,)


def test_what_is_renewed_late_is_shown_at_once(ca: Home, now: datetime) -> None:
    """Less overlap is better than none."""
    old = issue(ca, now, days=10, profile=Profile.ENCRYPT)
    new = _renewed(ca, old, now)
    assert new.publish_from is None
    assert make_plan(ca, now=now).publish == (old, new)


def test_a_new_signing_certificate_waits_for_nobody(ca: Home, now: datetime) -> None:
    """It travels with the signature."""
    assert _renewed(ca, issue(ca, now, days=20, profile=Profile.SIGN), now).publish_from is None


def test_the_day_of_publication_survives_the_process(ca: Home, now: datetime) -> None:
    """It is in the ledger."""
    new = _renewed(ca, issue(ca, now, days=20), now)
    assert type(ca.register)(ca.register.ledger).certificates()[-1] == new


def test_a_replacement_revokes_in_the_same_step(ca: Home, now: datetime) -> None:
    """There is no moment with two good ones, nor with none."""
    old = issue(ca, now, days=90)
    wanted = renewal.replacement(ca, old, reason="keyCompromise", days=None)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    new = issuance.issue(ca, issuer, wanted, passphrase=PASSPHRASE, now=now)
    revocation = _fresh(ca, old).revocation
    assert revocation is not None
    assert revocation.reason == "keyCompromise"
    assert new.certificate.public_key() != old.certificate.public_key()
    assert [entry.kind for entry in ca.register.ledger.entries()][-2:] == ["issued", "revoked"]


def test_what_is_on_hold_is_replaced_and_not_renewed(ca: Home, now: datetime) -> None:
    """A lost card that was stolen gets a new key; one that is looked for waits."""
    old = issue(ca, now)
    issuance.hold(ca, old, now=now)
    held = _fresh(ca, old)
    with pytest.raises(UsageError, match="on hold"):
        renewal.renewal(ca, held, passphrase=PASSPHRASE, keep_key=False, days=None)
    wanted = renewal.replacement(ca, held, reason="keyCompromise", days=None)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    issuance.issue(ca, issuer, wanted, passphrase=PASSPHRASE, now=now + timedelta(days=1))
    revocation = _fresh(ca, old).revocation
    assert revocation is not None
    assert (revocation.reason, revocation.revoked_at) == ("keyCompromise", now)


def test_what_is_revoked_is_not_replaced(ca: Home, now: datetime) -> None:
    """Whoever lost it is looked at again before he gets a new one."""
    old = issue(ca, now)
    issuance.revoke(ca, old, "superseded", now=now)
    with pytest.raises(UsageError, match="revoked"):
        renewal.replacement(ca, _fresh(ca, old), reason="superseded", days=None)


def test_an_owners_key_is_replaced_by_its_owner(ca: Home, now: datetime) -> None:
    """The CA never had it."""
    old = issue(ca, now, public_key=ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(UsageError, match="new request"):
        renewal.replacement(ca, old, reason="superseded", days=None)


@pytest.mark.parametrize(
    "changes", [{"address": "bob@corp.example"}, {"profile": Profile.SIGN}], ids=["who", "what"]
)
def test_nobody_follows_somebody_elses_certificate(
    ca: Home, now: datetime, changes: dict[str, object]
) -> None:
    """A successor needs no approval, so it has to be one."""
    old = issue(ca, now)
    wrong = replace(order(**changes), renews=old.serial)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    with pytest.raises(UsageError, match="cannot follow"):
        issuance.issue(ca, issuer, wrong, passphrase=PASSPHRASE, now=now)
