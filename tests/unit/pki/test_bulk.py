"""Issuing for many: whoever has one is left out, and a kill costs nothing but numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from pki import bulk, keys, opening, shared_plan
from pki.bulk import Wanted
from pki.home import Home
from pki.keys import KeyKind
from pki.people import Person, Skipped
from pki.profiles import Profile
from pki.requests import RequestState
from pki.workbench import Made
from smimegw.addresses import Mailbox
from tests.unit.pki.steps import PASSPHRASE, issue

_PROJECT = Path(__file__).resolve().parents[3]
_PEOPLE = 70  # more than one batch
_POINTS = ("bulk.reserved", "bulk.keys-kept", "bulk.signed", "bulk.recorded", "bulk.written")
WANTED = Wanted(profiles=(Profile.BOTH,), key_kind=KeyKind.P_256, days=None, operator="otto")

_CHILD = """
import sys
from datetime import datetime
from pathlib import Path
from pki import opening
from tests.unit.pki.test_bulk import run
now = datetime.fromisoformat(sys.argv[2])
with opening.changing(Path(sys.argv[1]), now=now) as ca:
    run(ca, now)
"""


class Hand:
    """Makes keys one after the other, in this process, and lints nothing."""

    def make(self, blanks):
        for blank in blanks:
            key = keys.generate(blank.order.key_kind)
            yield Made(
                order=blank.order,
                public_der=keys.public_key_octets(key.public_key()),
                sealed=key.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)
                ),
                findings=(),
            )


def people(number: int = _PEOPLE) -> list[Person]:
    addresses = (Mailbox.parse(f"p{index}@corp.example") for index in range(number))
    return [Person(mailbox=address, name="") for address in addresses]


def run(ca: Home, now: datetime, number: int = _PEOPLE) -> list[bulk.Delivered]:
    plan = bulk.make_plan(ca, people(number), WANTED, now=now)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    return [*bulk.issue(ca, issuer, plan, Hand(), now=now, refused=[])]


@pytest.mark.parametrize("point", _POINTS)
def test_a_kill_loses_and_doubles_nothing(ca_path: Path, now: datetime, point: str) -> None:
    """Everybody has one certificate with its key afterwards, and no number is used twice (M22)."""
    environment = {**os.environ, "SMIMEGW_FAILPOINTS": f"{point}=kill@2"}
    killed = subprocess.run(
        [sys.executable, "-c", _CHILD, ca_path, now.isoformat()],
        env=environment,
        cwd=_PROJECT,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9
    with opening.changing(ca_path, now=now) as ca:
        assert ca.register.open_reservations() == ()
        recorded = 2 if point in ("bulk.recorded", "bulk.written") else 1
        before = [item for item in ca.register.certificates() if item.mailbox]
        assert len(before) == min(recorded * bulk.BATCH, _PEOPLE)
        run(ca, now)
        issued = [item for item in ca.register.certificates() if item.mailbox]
        assert set(Counter(str(item.mailbox) for item in issued).values()) == {1}
        assert len(issued) == _PEOPLE
        assert all(ca.key_path(item.serial).exists() for item in issued)
        entries = ca.register.ledger.entries()
    reserved = [entry.serial for entry in entries if entry.kind == "reserved"]
    assert len(reserved) == len(set(reserved))


def test_the_key_belongs_to_the_certificate(ca: Home, now: datetime) -> None:
    """Keys come from other processes; they must not be mixed up."""
    for item in run(ca, now, 5):
        key = keys.read_key(ca.key_path(item.certified.serial), PASSPHRASE)
        assert key.public_key() == item.certified.certificate.public_key()


def test_who_has_one_is_left_out(ca: Home, now: datetime) -> None:
    """So that doing it again is harmless."""
    issue(ca, now, "p1@corp.example")
    plan = bulk.make_plan(ca, people(3), WANTED, now=now)
    assert [str(order.mailbox) for order in plan.orders] == ["p0@corp.example", "p2@corp.example"]
    assert [str(item.mailbox) for item in plan.present] == ["p1@corp.example"]


def test_who_has_one_half_gets_the_other(ca: Home, now: datetime) -> None:
    """Killed between the two of a pair."""
    issue(ca, now, "p0@corp.example", profile=Profile.SIGN)
    pair = Wanted(
        profiles=(Profile.SIGN, Profile.ENCRYPT),
        key_kind=KeyKind.P_256,
        days=None,
        operator="otto",
    )
    plan = bulk.make_plan(ca, people(1), pair, now=now)
    assert [order.profile for order in plan.orders] == [Profile.ENCRYPT]


def _persons(*pairs: tuple[str, str]) -> list[Person]:
    return [Person(mailbox=Mailbox.parse(text), name="", dn=dn) for text, dn in pairs]


def test_an_address_that_two_entries_have_is_issued_for_nobody(ca: Home, now: datetime) -> None:
    """The first one may be the wrong one, and would read the other's mail (F11)."""
    found = _persons(
        ("alice@corp.example", "uid=alice"),
        ("bob@corp.example", "uid=bob"),
        ("ALICE@corp.example", "uid=alice2"),
    )
    plan = bulk.make_plan(ca, found, WANTED, now=now)
    assert [order.mailbox.address for order in plan.orders] == ["bob@corp.example"]
    assert [line.rpartition(": ")[2] for line in plan.skipped] == ["uid=alice", "uid=alice2"]


def test_an_address_that_one_entry_has_twice_is_issued_for_once(ca: Home, now: datetime) -> None:
    """The spelling makes no second mailbox."""
    found = _persons(("alice@corp.example", "uid=alice"), ("ALICE@corp.example", "uid=alice"))
    plan = bulk.make_plan(ca, found, WANTED, now=now)
    assert (len(plan.orders), plan.skipped) == (1, ())


def test_who_is_skipped_is_named(ca: Home, now: datetime) -> None:
    """Another domain, and an entry without address."""
    found = [
        Person(mailbox=Mailbox.parse("eve@evil.example"), name=""),
        Skipped(dn="cn=printer", reason="no mail attribute"),
    ]
    plan = bulk.make_plan(ca, found, WANTED, now=now)
    assert plan.orders == ()
    assert [line.partition(":")[0] for line in plan.skipped] == ["<eve@evil.example>", "cn=printer"]


def test_the_work_grows_with_the_people_and_not_faster(ca: Home, now: datetime) -> None:
    """One reservation and one record for each batch: entries of the ledger are read once each."""
    reads: list[int] = []
    original = ca.register.ledger.read

    def counted(*position):
        for entry in original(*position):
            reads.append(entry.number)
            yield entry

    ca.register.ledger.read = counted
    run(ca, now, 2 * bulk.BATCH)
    assert max(Counter(reads).values()) == 1


def test_two_persons_share_the_work(ca: Home, now: datetime) -> None:
    """The first one's command files requests, the second one's approves and issues them."""
    practice = replace(ca.settings.practice, second_person=True)
    two = replace(ca, settings=replace(ca.settings, practice=practice))

    def typed_by(operator: str) -> tuple[shared_plan.Share, int]:
        wanted = replace(WANTED, operator=operator)
        plan = bulk.make_plan(two, people(3), wanted, now=now)
        shared = shared_plan.share(two, plan, wanted, now=now)
        issuer = two.issuer(two.issuing, PASSPHRASE)
        issued = [*bulk.issue(two, issuer, shared.plan, Hand(), now=now, refused=[])]
        return shared, len(issued)

    first, issued = typed_by("rita")
    assert (first.filed, first.waiting, issued) == (3, 3, 0)
    again, issued = typed_by("RITA")
    assert (again.filed, again.waiting, issued) == (0, 3, 0)
    second, issued = typed_by("otto")
    assert (second.filed, second.waiting, issued) == (0, 0, 3)
    requests = ca.register.history.requests.values()
    assert {(item.requester, item.decided_by, item.state) for item in requests} == {
        ("rita", "otto", RequestState.ISSUED)
    }
    assert typed_by("otto")[1] == 0
