"""A sender's certificate is renewed before it ends, and nobody's mail waits for that."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from smimegw.adapters.est.renewal import AT_ONCE, RenewingEnrolment
from smimegw.addresses import Mailbox
from tests.fakes.est import HANG, Answer, ScriptedEST, http, issuing, scripted_est
from tests.fakes.pki import DAY, NOW, Issued, make_ca
from tests.peers.tls import TLSFiles, make_tls
from tests.unit.est.desk import Desk

ROOT = make_ca("Root of renewals")
CA = make_ca("CA of renewals", parent=ROOT)
ALICE = Mailbox.parse("alice@ours.example")
END = NOW + timedelta(days=200)


class Office:
    """A gateway that renews, and what it told."""

    def __init__(self, desk: Desk, server: ScriptedEST, *, seconds: float = 60.0) -> None:
        self.told: list[tuple[Mailbox, str]] = []
        self.renewing = RenewingEnrolment(
            desk.worker(server),
            desk.clock,
            lambda mailbox, trouble: self.told.append((mailbox, trouble)),
            before=timedelta(days=30),
            seconds=seconds,
        )

    async def look_at(self, issued: Issued, mailbox: Mailbox = ALICE) -> None:
        self.renewing.renew_when_due(mailbox, issued.certificate)
        await self.renewing.settled()


Work = Callable[[Office, ScriptedEST], Awaitable[None]]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def desk(tmp_path: Path, tls: TLSFiles) -> Desk:
    return Desk(tmp_path, tls)


def own(desk: Desk, *, mailbox: Mailbox = ALICE, begin: timedelta = 100 * DAY) -> Issued:
    """A certificate that ends at `END`, kept in the keystore."""
    issued = CA.issue(mailbox.address, not_before=NOW - begin, not_after=END)
    desk.keystore.add(issued)
    return issued


def run(desk: Desk, answer: Answer, work: Work, **options: float) -> ScriptedEST:
    async def go() -> ScriptedEST:
        async with scripted_est(desk.tls, answer) as server:
            await work(Office(desk, server, **options), server)
            return server

    return asyncio.run(go())


def asked(server: ScriptedEST) -> list[tuple[str, bytes]]:
    """Requests to certify something."""
    return [(path, body) for path, body in server.asked if path.endswith("enroll")]


@pytest.mark.parametrize(("left", "renewed"), [(31, 0), (29, 1), (1, 1)])
def test_it_is_renewed_in_its_last_month(desk: Desk, left: int, renewed: int) -> None:
    """On a clock that is set; the new one comes beside the old one."""
    old = own(desk)
    desk.clock.time = END - left * DAY

    async def work(office: Office, _: ScriptedEST) -> None:
        await office.look_at(old)
        assert office.told == [(ALICE, "")] * renewed

    server = run(desk, issuing(CA, not_after=END + 365 * DAY), work)
    assert len(asked(server)) == len(desk.kept) == renewed
    assert desk.files == []


@pytest.mark.parametrize(("left", "renewed"), [(3, 0), (2, 1)])
def test_one_for_a_week_is_renewed_in_its_last_third(desk: Desk, left: int, renewed: int) -> None:
    """Else each mail would bring a new one."""
    old = own(desk, begin=END - NOW)
    short = CA.issue(ALICE.address, not_before=END - 8 * DAY, not_after=END)
    desk.clock.time = END - left * DAY

    async def work(office: Office, _: ScriptedEST) -> None:
        await office.look_at(short)

    assert old.certificate.not_after == short.certificate.not_after
    assert len(asked(run(desk, issuing(CA, not_after=END + 8 * DAY), work))) == renewed


def test_the_request_bears_the_names_of_the_old_one_and_a_new_key(desk: Desk) -> None:
    """RFC 7030, 4.2.2: subject and SubjectAltName are identical."""
    old = own(desk)
    desk.clock.time = END - DAY

    async def work(office: Office, _: ScriptedEST) -> None:
        await office.look_at(old)

    ((path, body),) = asked(run(desk, issuing(CA, not_after=END + 365 * DAY), work))
    request = x509.load_der_x509_csr(base64.b64decode(body))
    parsed = old.certificate.parsed
    assert path.endswith("/simplereenroll")
    assert request.subject == parsed.subject
    names = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
             for each in (request, parsed)]  # fmt: skip
    assert names[0] == names[1]
    assert request.public_key() != parsed.public_key()


def test_what_another_worker_renewed_is_left_alone(desk: Desk) -> None:
    """Looked at again once it is our turn; that is no news."""
    old = own(desk)
    desk.clock.time = END - DAY
    desk.keystore.add(CA.issue(ALICE.address, slot="newer", not_after=END + 300 * DAY))

    async def work(office: Office, _: ScriptedEST) -> None:
        await office.look_at(old)
        assert office.told == []

    assert asked(run(desk, issuing(CA), work)) == []


def test_a_refusal_is_told_once_a_day(desk: Desk) -> None:
    """A certificate of another CA, for example; its owner can sign with it meanwhile."""
    old = own(desk)
    desk.clock.time = END - 20 * DAY

    async def work(office: Office, server: ScriptedEST) -> None:
        for _ in range(3):
            await office.look_at(old)
        assert len(office.told) == len(asked(server)) == 1
        assert "no such certificate" in office.told[0][1]
        desk.clock.time += timedelta(days=1, minutes=1)
        await office.look_at(old)
        assert len(asked(server)) == 2

    run(desk, lambda *_: http(400, b"no such certificate", Content_Type="text/plain"), work)


def test_mail_does_not_wait(desk: Desk) -> None:
    """The server says nothing; the call is back at once, and the deadline is told."""
    old = own(desk)
    desk.clock.time = END - DAY

    async def work(office: Office, server: ScriptedEST) -> None:
        office.renewing.renew_when_due(ALICE, old.certificate)
        assert office.told == []
        await office.renewing.settled()
        assert "did not answer" in office.told[0][1]

    run(desk, lambda *_: HANG, work, seconds=0.2)
    (kept,) = desk.files
    assert kept.parent.name == "renewal"


def test_many_mails_are_one_renewal(desk: Desk) -> None:
    """One at a time for a mailbox."""
    old = own(desk)
    desk.clock.time = END - DAY

    async def work(office: Office, _: ScriptedEST) -> None:
        for _ in range(5):
            office.renewing.renew_when_due(ALICE, old.certificate)
        await office.renewing.settled()

    assert len(asked(run(desk, issuing(CA, not_after=END + 365 * DAY), work))) == 1


def test_who_was_enrolled_together_is_renewed_a_few_at_a_time(desk: Desk) -> None:
    """All of them in the end."""
    mailboxes = [Mailbox.parse(f"u{number}@ours.example") for number in range(AT_ONCE + 2)]
    olds = [own(desk, mailbox=mailbox) for mailbox in mailboxes]
    desk.clock.time = END - DAY

    async def work(office: Office, _: ScriptedEST) -> None:
        for mailbox, old in zip(mailboxes, olds, strict=True):
            office.renewing.renew_when_due(mailbox, old.certificate)
        await office.renewing.settled()
        assert sorted(mailbox.address for mailbox, _ in office.told) == [
            mailbox.address for mailbox in mailboxes
        ]

    run(desk, issuing(CA, not_after=END + 365 * DAY), work)


def test_a_gateway_that_stops_keeps_the_key_for_the_next_time(desk: Desk) -> None:
    """What the server may have certified is not thrown away."""
    old = own(desk)
    desk.clock.time = END - DAY

    async def work(office: Office, server: ScriptedEST) -> None:
        office.renewing.renew_when_due(ALICE, old.certificate)
        await server.question.wait()
        await office.renewing.close()

    run(desk, lambda *_: HANG, work)
    (kept,) = desk.files
    assert b'"key": ""' not in kept.read_bytes()
