"""Of every certificate that is not used the record, the log and `explain` say why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from smimegw.x509.certificate import Certificate
from tests.fakes.company import Company, message
from tests.fakes.pki import DAY, NOW, PAST, SERVER_AUTH, Issued, make_ca

ALICE, BOB = "alice@ours.example", "bob@partner.example"
Make = Callable[[Company], Issued]


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def looked_up(company: Company, to: str = BOB) -> dict[str, Any]:
    """What the decision record says of the recipient's certificates."""
    company.send("relay", [to], message(ALICE, to))
    (record,) = [entry for entry in company.world.records.written if entry["kind"] == "decision"]
    (recipient,) = record["recipients"]
    assert isinstance(recipient, dict)
    return recipient


def digest(certificate: Certificate) -> str:
    return certificate.fingerprint.removeprefix("sha256:")


def _of_a_stranger(company: Company) -> Issued:
    issued = make_ca("A stranger's CA").issue(BOB, slot="stranger")
    company.world.directory.publish(BOB, issued.certificate)
    return issued


def _for_somebody_else(company: Company) -> Issued:
    issued = company.ca.issue("eve@evil.example", slot="eve")
    company.world.directory.publish(BOB, issued.certificate)
    return issued


def _revoked(company: Company) -> Issued:
    issued = company.partner(BOB, slot="revoked")
    company.world.directory.publish_ca(company.ca, revoked=[issued])
    return issued


def _without_status(company: Company) -> Issued:
    issuing = make_ca("Issuing without a list", parent=company.ca)
    company.world.directory.cas.append(issuing.certificate)
    issued = issuing.issue(BOB, slot="no list")
    company.world.directory.publish(BOB, issued.certificate)
    return issued


def _with(**options: Any) -> Make:
    return lambda company: company.partner(BOB, slot="bad", **options)


JUDGED: dict[str, Make] = {
    "expired": _with(not_after=PAST),
    "not-yet-valid": _with(not_before=NOW + DAY, not_after=NOW + 9 * DAY),
    "extended-key-usage": _with(eku=[SERVER_AUTH]),
    "key-usage": _with(usage="sign"),
    "weak-key": _with(key="rsa1024"),
    "untrusted-ca": _of_a_stranger,
    "address-mismatch": _for_somebody_else,
    "revoked": _revoked,
    "revocation-unknown": _without_status,
}


@pytest.mark.parametrize("reason", JUDGED)
def test_a_certificate_that_is_judged_bad_has_its_reason(company: Company, reason: str) -> None:
    """One good certificate beside, so that the mail goes out (R-03, R-04, R-05, R-07, R-08)."""
    bad = JUDGED[reason](company)
    good = company.partner(BOB, slot="good", key="p256")
    told = looked_up(company)
    assert told["cert"] == good.certificate.fingerprint
    assert [(entry["sha256"], entry["reason"]) for entry in told["not_used"]] == [
        (digest(bad.certificate), reason)
    ]


def test_the_log_has_the_same_reason(company: Company) -> None:
    """One line for each certificate that is not used (R-03)."""
    bad = JUDGED["expired"](company)
    company.partner(BOB, slot="good", key="p256")
    looked_up(company)
    (line,) = company.world.events.named("certificate.not_usable")
    assert (line["cert"], line["reason"]) == (bad.certificate.fingerprint, "expired")


# --- good, and not used all the same --------------------------------------------------------------


def begun(company: Company, days: int, **options: Any) -> Issued:
    """A good certificate that began *days* ago."""
    return company.partner(BOB, not_before=NOW - days * DAY, **{"slot": f"{days} days", **options})


def reasons(told: dict[str, Any]) -> dict[str, str]:
    return {entry["sha256"]: entry["reason"] for entry in told["not_used"]}


def test_more_than_three_are_too_many(company: Company) -> None:
    """The oldest is left out, the newest comes first (R-09; cases F24)."""
    made = [begun(company, days, key="p256") for days in (40, 10, 20, 30)]
    told = looked_up(company)
    assert told["cert"].split(",") == [made[n].certificate.fingerprint for n in (1, 2, 3)]
    assert reasons(told) == {digest(made[0].certificate): "surplus"}


def test_of_one_key_the_newest_certificate_is_used(company: Company) -> None:
    """A renewed certificate opens with the same key (R-09)."""
    old = begun(company, 20, slot="one key", key="p256")
    new = begun(company, 5, slot="one key", key="p256")
    told = looked_up(company)
    assert told["cert"] == new.certificate.fingerprint
    assert reasons(told) == {digest(old.certificate): "same-key"}


def test_a_revoked_key_is_not_used_through_another_certificate(company: Company) -> None:
    """Whoever lost the key lost it in every certificate (R-04)."""
    revoked = company.partner(BOB, slot="lost")
    again = begun(company, 3, slot="lost")
    company.world.directory.publish_ca(company.ca, revoked=[revoked])
    told = looked_up(company)
    assert reasons(told) == {
        digest(revoked.certificate): "revoked",
        digest(again.certificate): "revoked-key",
    }


def test_two_people_leave_none(company: Company) -> None:
    """Nobody is chosen by chance (R-01; cases F11)."""
    made = []
    for name in ("Bob Baker", "Bob Butcher"):
        issued = company.ca.issue(BOB, common_name=name, slot=name)
        company.world.directory.publish(BOB, issued.certificate, owner=f"cn={name}")
        made.append(digest(issued.certificate))
    assert reasons(looked_up(company)) == dict.fromkeys(made, "ambiguous")


@pytest.mark.parametrize(
    ("weaker", "stronger"), [("rsa2048", "p256"), ("p256", "p384"), ("rsa2048", "x25519")]
)
def test_of_one_day_the_stronger_comes_first(company: Company, weaker: str, stronger: str) -> None:
    """A CA may issue one of each kind at once (R-09; NIST SP 800-57-1, table 2)."""
    later = NOW - DAY + timedelta(seconds=1)
    made = {
        key: company.partner(BOB, slot=key, key=key, not_before=begins)
        for key, begins in ((weaker, later), (stronger, NOW - DAY))
    }
    first, second = looked_up(company)["cert"].split(",")
    assert first == made[stronger].certificate.fingerprint
    assert second == made[weaker].certificate.fingerprint


def test_a_newer_day_comes_before_a_stronger_key(company: Company) -> None:
    """Whoever renewed meant it (R-09)."""
    old, new = begun(company, 9, key="p384"), begun(company, 2, key="p256")
    assert looked_up(company)["cert"].split(",") == [
        new.certificate.fingerprint,
        old.certificate.fingerprint,
    ]


# --- sources --------------------------------------------------------------------------------------


def test_the_record_says_what_the_directory_said(company: Company) -> None:
    """Found here, or nowhere, or not known: three different things (R-01, R-06)."""
    company.partner(BOB)
    name = company.world.directory.name
    assert looked_up(company)["sources"] == [{"source": name, "said": "found", "count": 1}]


def test_the_record_says_that_the_directory_failed(company: Company) -> None:
    """With its words, so that somebody can repair it (R-06)."""
    company.world.directory.broken = True
    told = looked_up(company)
    name, text = company.world.directory.name, "connection refused"
    assert told["sources"] == [{"source": name, "said": "failed", "text": text}]
    assert (told["not_used"], told["refusal"]) == ([], "R-06")
