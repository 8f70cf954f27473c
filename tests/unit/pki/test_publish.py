"""Publishing brings a directory to where the ledger is, and repeating it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pki import issuance, renewal
from pki.home import Home
from pki.plan import Keep, Plan, make_plan
from pki.profiles import Profile
from pki.publish import carry_out
from pki.serial_numbers import serial_text
from pki.targets import EmbeddedTarget
from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError, UsageError
from tests.unit.pki.steps import PASSPHRASE, issue, revoke_and_list

ALICE = Mailbox.parse("alice@corp.example")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "smimegw.db")


@pytest.fixture
def target(database: str, now: datetime) -> Iterator[EmbeddedTarget]:
    opened = EmbeddedTarget.open(database, now=now)
    yield opened
    opened.close()


def _found(database: str) -> set[bytes]:
    async def ask() -> set[bytes]:
        directory = EmbeddedDirectory(open_database(database))
        try:
            return {found.certificate.der for found in await directory.find(ALICE)}
        finally:
            await directory.close()

    return asyncio.run(ask())


def test_what_is_published_is_found(
    ca: Home, now: datetime, target: EmbeddedTarget, database: str
) -> None:
    """The gateway's own directory answers with exactly the certificate issued."""
    certified = issue(ca, now)
    outcome = carry_out(make_plan(ca, now=now), target)
    assert (outcome.published, outcome.authorities, outcome.crls) == (1, 2, 2)
    assert _found(database) == {certified.der}


def test_a_second_run_changes_nothing(ca: Home, now: datetime, target: EmbeddedTarget) -> None:
    """An interrupted run is mended by the next one, a whole one is left alone."""
    issue(ca, now)
    carry_out(make_plan(ca, now=now), target)
    again = carry_out(make_plan(ca, now=now), target)
    assert (again.published, again.withdrawn, again.authorities, again.crls) == (0, 0, 0, 0)


def test_signing_certificates_are_not_published(
    ca: Home, now: datetime, target: EmbeddedTarget, database: str
) -> None:
    """Nobody can encrypt to them, and they travel with each signature anyway."""
    issue(ca, now, profile=Profile.SIGN)
    assert carry_out(make_plan(ca, now=now), target).published == 0
    assert _found(database) == set()


def test_a_revoked_certificate_is_withdrawn(
    ca: Home, now: datetime, target: EmbeddedTarget, database: str
) -> None:
    """It is gone from the directory, and the CRL says why (F15)."""
    certified = issue(ca, now)
    carry_out(make_plan(ca, now=now), target)
    revoke_and_list(ca, certified, now, "keyCompromise")
    outcome = carry_out(make_plan(ca, now=now), target)
    assert (outcome.withdrawn, outcome.crls) == (1, 1)
    assert _found(database) == set()


def test_after_a_renewal_both_are_found_until_the_old_one_ends(
    ca: Home, now: datetime, target: EmbeddedTarget, database: str
) -> None:
    """The gateway takes the newest that is valid; the old one leaves with its last day."""
    old = issue(ca, now, days=10)
    order = renewal.renewal(ca, old, passphrase=PASSPHRASE, keep_key=False, days=400)
    issuer = ca.issuer("issuing", PASSPHRASE)
    new = issuance.issue(ca, issuer, order, passphrase=PASSPHRASE, now=now)
    carry_out(make_plan(ca, now=now), target)
    assert _found(database) == {old.der, new.der}
    carry_out(make_plan(ca, now=old.not_after + timedelta(days=1)), target)
    assert _found(database) == {new.der}


def test_a_revoked_issuing_ca_withdraws_everybody(ca: Home, now: datetime) -> None:
    """Nothing under it is good any more."""
    certified = issue(ca, now)
    issuance.revoke(ca, ca.authority("issuing"), "cACompromise", now=now)
    plan = make_plan(ca, now=now)
    assert plan.publish == ()
    assert plan.withdraw == (certified,)
    assert [item.serial for item in plan.authorities] == [ca.authority("root").serial]


def test_an_older_crl_never_replaces_a_newer_one(
    ca: Home, now: datetime, target: EmbeddedTarget
) -> None:
    """A CA restored from an old backup must not bring revoked certificates back to life."""
    old_plan = make_plan(ca, now=now)
    revoke_and_list(ca, issue(ca, now), now, "keyCompromise")
    carry_out(make_plan(ca, now=now), target)
    with pytest.raises(UsageError, match="not newer"):
        carry_out(old_plan, target)


class _OddDirectory:
    """Refuses one person's entry, as a directory does whose entry breaks its schema."""

    def __init__(self, refused: str, *, retryable: bool) -> None:
        self.refused = refused
        self.retryable = retryable
        self.published: list[str] = []

    def publish_certificate(self, certified) -> bool:
        if serial_text(certified.serial) == self.refused:
            raise DirectoryError("object class violation", retryable=self.retryable)
        self.published.append(serial_text(certified.serial))
        return True

    def withdraw_certificate(self, certified) -> bool:
        return False

    publish_authority = publish_crl = withdraw_certificate
    publish_crossed = withdraw_authority = withdraw_certificate

    def prepare(self, people) -> None:
        pass

    def close(self) -> None:
        pass


def test_one_odd_entry_does_not_stop_the_others(ca: Home, now: datetime) -> None:
    """It is reported, the rest is done."""
    first, second = issue(ca, now), issue(ca, now, "bob@corp.example")
    directory = _OddDirectory(serial_text(first.serial), retryable=False)
    outcome = carry_out(make_plan(ca, now=now), directory)
    assert directory.published == [serial_text(second.serial)]
    assert outcome.refused == ("<alice@corp.example>: object class violation",)


def test_a_silent_directory_stops_the_run(ca: Home, now: datetime) -> None:
    """To go on would wait for a time-out per person."""
    first = issue(ca, now)
    directory = _OddDirectory(serial_text(first.serial), retryable=True)
    with pytest.raises(DirectoryError):
        carry_out(make_plan(ca, now=now), directory)


def test_a_directory_that_refuses_everybody_stops_the_run(ca: Home, now: datetime) -> None:
    """Missing rights are told once, not once per person."""

    class Closed(_OddDirectory):
        tried = 0

        def publish_certificate(self, certified) -> bool:
            self.tried += 1
            raise DirectoryError("insufficient access", retryable=False)

    directory = Closed("", retryable=False)
    with pytest.raises(DirectoryError, match="20 entries were refused"):
        carry_out(Plan(publish=(issue(ca, now),) * 21), directory)
    assert directory.tried == 20


def test_an_expired_certificate_may_stay_for_a_while(ca: Home, now: datetime) -> None:
    """Neither written anew nor withdrawn, until its days are over."""
    certified = issue(ca, now, days=10)
    keep = Keep(expired=timedelta(days=30))
    soon, late = certified.not_after + timedelta(days=29), certified.not_after + timedelta(days=31)
    assert make_plan(ca, now=soon).withdraw == (certified,)
    plan = make_plan(ca, now=soon, keep=keep)
    assert (plan.publish, plan.withdraw) == ((), ())
    assert make_plan(ca, now=late, keep=keep).withdraw == (certified,)


def test_a_revoked_certificate_may_stay_for_a_while(ca: Home, now: datetime) -> None:
    """Whoever finds it there finds it on the CRL, too (F15)."""
    certified = issue(ca, now)
    revoke_and_list(ca, certified, now, "superseded")
    plan = make_plan(ca, now=now + timedelta(days=6), keep=Keep(revoked=timedelta(days=7)))
    assert (plan.publish, plan.withdraw) == ((), ())
    plan = make_plan(ca, now=now + timedelta(days=8), keep=Keep(revoked=timedelta(days=7)))
    assert [item.serial for item in plan.withdraw] == [certified.serial]


def test_a_revoked_ca_leaves_the_directory(
    ca: Home, now: datetime, target: EmbeddedTarget, database: str
) -> None:
    """No path may be built with it."""
    carry_out(make_plan(ca, now=now), target)
    issuing = ca.authority("issuing")
    issuance.revoke(ca, issuing, "cACompromise", now=now)
    assert carry_out(make_plan(ca, now=now), target).authorities == 1

    async def ask() -> tuple[object, ...]:
        directory = EmbeddedDirectory(open_database(database))
        try:
            return await directory.authorities(issuing.certificate.subject.public_bytes())
        finally:
            await directory.close()

    assert asyncio.run(ask()) == ()
