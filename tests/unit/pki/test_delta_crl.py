"""Deltas say what changed, lists are made in time, their numbers never repeat (RFC 5280, 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from pki import crl, crl_schedule, issuance, responder
from pki.home import Home
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue

PLACE = "http://pki.corp.example/issuing-delta.crl"
HOUR = timedelta(hours=1)
Change = Callable[[], None]


@pytest.fixture
def ca(ca: Home) -> Home:
    """A CA that makes deltas."""
    return replace(ca, settings=replace(ca.settings, delta_urls=(PLACE,)))


def complete(ca: Home, now: datetime) -> x509.CertificateRevocationList:
    return crl.make(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=now).crl


def delta(ca: Home, now: datetime) -> x509.CertificateRevocationList:
    return crl.make_delta(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=now).crl


def reasons(made: x509.CertificateRevocationList) -> dict[int, str]:
    return {
        entry.serial_number: entry.extensions.get_extension_for_class(
            x509.CRLReason
        ).value.reason.value
        for entry in made
    }


def number(made: x509.CertificateRevocationList) -> int:
    return made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def base(made: x509.CertificateRevocationList) -> int:
    extension = made.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert extension.critical
    return extension.value.crl_number


def test_a_delta_lists_what_was_revoked_since_the_complete_crl(ca: Home, now: datetime) -> None:
    """And nothing that was on the complete one (RFC 5280, 5.2.4)."""
    old, new = issue(ca, now), issue(ca, now, "bob@corp.example")
    issuance.revoke(ca, old, "superseded", now=now)
    before = complete(ca, now)
    issuance.revoke(ca, new, "keyCompromise", now=now)
    made = delta(ca, now)
    assert reasons(made) == {new.serial: "keyCompromise"}
    assert base(made) == number(before)


def test_a_second_delta_repeats_the_first(ca: Home, now: datetime) -> None:
    """Each delta stands alone on its base; readers may miss one (RFC 5280, 5.2.4)."""
    first, second = issue(ca, now), issue(ca, now, "bob@corp.example")
    complete(ca, now)
    for certified in (first, second):
        issuance.revoke(ca, certified, "superseded", now=now)
        made = delta(ca, now)
    assert reasons(made).keys() == {first.serial, second.serial}


def test_deltas_and_complete_crls_share_their_numbers(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.2.3: one sequence; made together they have the same number."""
    numbers = [number(complete(ca, now)), number(delta(ca, now)), number(delta(ca, now))]
    numbers.append(number(complete(ca, now)))
    assert numbers == [2, 3, 4, 5]
    together = crl.lists(ca.register, "issuing").delta
    assert together is not None
    assert together.number == 5


def test_a_delta_made_with_a_complete_crl_serves_readers_of_the_one_before(
    ca: Home, now: datetime
) -> None:
    """Its base is the list that is about: nobody has the new one yet."""
    certified = issue(ca, now)
    before = complete(ca, now)
    issuance.revoke(ca, certified, "superseded", now=now)
    complete(ca, now)
    together = crl.lists(ca.register, "issuing").delta
    assert together is not None
    assert together.base == number(before)
    assert reasons(together.crl) == {certified.serial: "superseded"}


def test_a_released_hold_is_removed_by_the_delta(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.3.1: removeFromCRL takes an entry off its base."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    assert reasons(complete(ca, now)) == {certified.serial: "certificateHold"}
    issuance.release(ca, ca.register.find(f"{certified.serial:X}"), now=now + HOUR)
    assert reasons(delta(ca, now + HOUR)) == {certified.serial: "removeFromCRL"}


def test_a_hold_between_two_complete_crls_is_removed_as_well(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.2.4: readers of the delta in between must learn it, too."""
    certified = issue(ca, now)
    complete(ca, now)
    issuance.hold(ca, certified, now=now)
    assert reasons(delta(ca, now)) == {certified.serial: "certificateHold"}
    issuance.release(ca, ca.register.find(f"{certified.serial:X}"), now=now + HOUR)
    assert reasons(delta(ca, now + HOUR)) == {certified.serial: "removeFromCRL"}


def test_a_hold_that_became_final_is_listed_with_its_new_reason(ca: Home, now: datetime) -> None:
    """The reason on the base is not true any more."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    complete(ca, now)
    issuance.revoke(ca, ca.register.find(f"{certified.serial:X}"), "keyCompromise", now=now + HOUR)
    assert reasons(delta(ca, now + HOUR)) == {certified.serial: "keyCompromise"}


def test_a_complete_crl_says_where_its_deltas_are(ca: Home, now: datetime) -> None:
    """RFC 5280, 5.2.6; a delta itself must not."""
    made = complete(ca, now).extensions.get_extension_for_class(x509.FreshestCRL)
    assert not made.critical
    assert made.value[0].full_name[0].value == PLACE
    with pytest.raises(x509.ExtensionNotFound):
        delta(ca, now).extensions.get_extension_for_class(x509.FreshestCRL)


def test_a_certificate_says_where_its_deltas_are(ca: Home, now: datetime) -> None:
    """RFC 5280, 4.2.1.15."""
    made = issue(ca, now).certificate.extensions.get_extension_for_class(x509.FreshestCRL)
    assert made.value[0].full_name[0].value == PLACE


def test_without_a_place_there_is_no_delta(ca: Home, now: datetime) -> None:
    """Nobody would find it; the text says what to configure."""
    plain = replace(ca, settings=replace(ca.settings, delta_urls=()))
    with pytest.raises(UsageError, match=r"urls\.delta"):
        delta(plain, now)


def test_the_root_makes_no_deltas(ca: Home, now: datetime) -> None:
    """It revokes one certificate in ten years."""
    with pytest.raises(UsageError, match="root CA has no delta"):
        crl.make_delta(ca, "root", ca.issuer("root", PASSPHRASE), now=now)


def test_a_delta_is_written_beside_its_complete_crl(ca: Home, now: datetime) -> None:
    """A web server can hand it out."""
    complete(ca, now)
    made = delta(ca, now)
    assert x509.load_der_x509_crl(crl.delta_path(ca, "issuing").read_bytes()) == made


# --- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=900)])
def test_a_list_that_begins_in_the_future_is_due(ca: Home, now: datetime, ahead: timedelta) -> None:
    """The clock was ahead, and until it gets there no reader takes the list (RFC 5280, 5.1.2.4)."""
    issuer = ca.issuer("issuing", PASSPHRASE)
    crl.make(ca, "issuing", issuer, now=now + ahead)
    (reason,) = crl_schedule.due(ca, "issuing", now=now)
    assert "begins in the future" in reason
    crl_schedule.make_due(ca, "issuing", issuer, now=now)
    assert crl_schedule.due(ca, "issuing", now=now) == ()


@pytest.mark.parametrize("behind", [timedelta(days=3), timedelta(days=800)])
def test_a_clock_that_is_behind_signs_nothing(ca: Home, now: datetime, behind: timedelta) -> None:
    """Before the CA's own beginning there was no CA; a dead battery of the clock shows so."""
    issuer, early = ca.issuer("issuing", PASSPHRASE), now - behind
    before = len(ca.register.ledger.entries())
    for act in (
        lambda: crl.make(ca, "issuing", issuer, now=early),
        lambda: issue(ca, early),
        lambda: responder.appoint(ca, "issuing", issuer, now=early),
    ):
        with pytest.raises(UsageError, match="set the clock"):
            act()
    assert len(ca.register.ledger.entries()) == before


def test_nothing_is_due_right_after_both_were_made(ca: Home, now: datetime) -> None:
    """A timer that comes every hour does nothing then."""
    complete(ca, now)
    assert crl_schedule.due(ca, "issuing", now=now) == ()


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (timedelta(hours=11), ()),
        (timedelta(hours=13), ("delta: half its time is over",)),
        (timedelta(days=4), ("complete: half its time is over",)),
    ],
    ids=["young", "delta", "complete"],
)
def test_a_list_is_due_when_half_its_time_is_over(
    ca: Home, now: datetime, later: timedelta, expected: tuple[str, ...]
) -> None:
    """There is time to mend what goes wrong before readers have nothing valid."""
    complete(ca, now)
    assert crl_schedule.due(ca, "issuing", now=now + later) == expected


def test_a_revocation_makes_a_delta_due(ca: Home, now: datetime) -> None:
    """And a complete CRL where there are no deltas."""
    certified = issue(ca, now)
    complete(ca, now)
    issuance.revoke(ca, certified, "superseded", now=now)
    plain = replace(ca, settings=replace(ca.settings, delta_urls=()))
    assert crl_schedule.due(ca, "issuing", now=now) == ("delta: 1 changes are on no list",)
    assert crl_schedule.due(plain, "issuing", now=now) == ("complete: 1 changes are on no list",)


def test_a_release_makes_a_delta_due(ca: Home, now: datetime) -> None:
    """Who was held back waits for it."""
    certified = issue(ca, now)
    issuance.hold(ca, certified, now=now)
    complete(ca, now)
    issuance.release(ca, ca.register.find(f"{certified.serial:X}"), now=now)
    assert crl_schedule.due(ca, "issuing", now=now) == ("delta: 1 changes are on no list",)


def test_an_entry_that_only_expired_makes_nothing_due(ca: Home, now: datetime) -> None:
    """RFC 5280, 3.3: it goes with the next regular list."""
    certified = issue(ca, now, days=1)
    issuance.revoke(ca, certified, "superseded", now=now)
    complete(ca, now)
    after = certified.not_after + HOUR
    complete(ca, after)
    complete(ca, after + HOUR)
    assert crl_schedule.due(ca, "issuing", now=after + HOUR) == ()


def test_what_is_due_is_made(ca: Home, now: datetime) -> None:
    """After it nothing is due, whichever it was."""
    issuer = ca.issuer("issuing", PASSPHRASE)
    complete(ca, now)
    for later in (timedelta(hours=13), timedelta(days=4)):
        assert crl_schedule.due(ca, "issuing", now=now + later)
        crl_schedule.make_due(ca, "issuing", issuer, now=now + later)
        assert crl_schedule.due(ca, "issuing", now=now + later) == ()


def test_a_delta_that_a_crash_left_out_is_due(
    ca: Home, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the complete CRL and its delta, the next timer makes the delta."""
    monkeypatch.setattr(crl, "makes_deltas", lambda *_: False)
    complete(ca, now)
    monkeypatch.undo()
    assert crl_schedule.due(ca, "issuing", now=now) == ("delta: there is none yet",)
