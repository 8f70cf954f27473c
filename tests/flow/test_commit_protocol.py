"""The commit protocol, row by row: several copies, retries, reports, one clock.

Bob's copy is encrypted, Plain's is clear, Sig's is signed: up to three copies of one message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smimegw.addresses import Mailbox
from smimegw.limits import Limits
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.dots import IN_DOUBT
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath
from tests.fakes.company import Company, message
from tests.fakes.custody import MemoryJournal, MemoryLedger
from tests.fakes.ports import MemoryRelay

ALICE, BOB = "alice@ours.example", "bob@partner.example"
PLAIN, SIG = "plain@else.example", "sig@signed.example"
TWO, THREE = [BOB, PLAIN], [BOB, PLAIN, SIG]
LATER = Reply(452, "4.3.1", "disk full at mail-01.internal")
NEVER = Reply(550, "5.7.1", "not here")


def mail(*recipients: str, extra: str = "") -> bytes:
    return message(ALICE, ", ".join(recipients), extra=extra)


@pytest.fixture(scope="module")
def people() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    company.partner(BOB, key="p256")
    return company


@pytest.fixture
def company(people: Company) -> Company:
    """The same people; next hop, ledger, journal and log anew."""
    world = people.world
    world.relay, world.ledger, world.journal = MemoryRelay(), MemoryLedger(), MemoryJournal()
    world.events.emitted.clear()
    people.reaches_clients = True
    return node(people)


def node(company: Company, **limits: Any) -> Company:
    """Another node with the same ledger and next hop (or the same one after a restart)."""
    settings = replace(company.settings, limits=Limits(**limits))
    company.gateway = Gateway(company.gateway.policy, company.world.ports, settings)
    return company


def got(company: Company) -> dict[str, int]:
    """How often each recipient got the message; reports not counted."""
    counts: dict[str, int] = {}
    for entry in company.world.relay.arrived:
        for name in entry.recipients if entry.reverse_path else ():
            counts[name] = counts.get(name, 0) + 1
    return counts


def reports(company: Company) -> list[tuple[list[str], bytes]]:
    arrived = company.world.relay.arrived
    return [(entry.recipients, entry.content) for entry in arrived if entry.reverse_path is None]


def send(company: Company, *people: str, **options: Any) -> Outcome:
    return company.send("relay", people, mail(*people), **options)


# --- one 4yz or in doubt after the canary --------------------------------------------------------


def test_a_retry_reaches_only_who_is_missing(company: Company) -> None:
    """Canary 250, the second 452: 451, and the retry leaves out whom the ledger names (N-10)."""
    company.world.relay.script["dot"] = [None, LATER]
    first = send(company, *TWO)
    assert str(first.reply).startswith("451 4.3.1 delivered to 1 of 2, send again to finish")
    assert got(company) == {BOB: 1}
    second = send(node(company), *TWO)
    assert second.reply.code == 250
    assert got(company) == {BOB: 1, PLAIN: 1}


def test_in_doubt_after_the_canary_asks_to_send_again(company: Company) -> None:
    """Nobody knows whether Plain has it; the retry may reach him twice, Bob never (N-10)."""
    company.world.relay.script["dot"] = [None, "break"]
    first = send(company, *TWO)
    assert "delivered to 1 of 2" in first.reply.text
    [doubt] = company.world.events.named("delivery.in_doubt")
    assert (doubt["to"], doubt["message-id"]) == (PLAIN, "<1@test>")
    assert send(node(company), *TWO).reply.code == 250
    assert got(company)[BOB] == 1


def test_copies_without_a_dot_are_not_in_doubt(company: Company) -> None:
    """The canary's answer is lost: the line names Bob alone, the others stayed undotted (D10)."""
    company.world.relay.script["dot"] = ["break"]
    first = send(company, *THREE)
    assert first.reply == IN_DOUBT
    [doubt] = company.world.events.named("delivery.in_doubt")
    assert doubt["to"] == BOB
    assert got(company) == {}


def test_an_identical_retry_after_everything_is_answered_from_the_ledger(
    company: Company,
) -> None:
    """250 already accepted, nothing sent again (N-15)."""
    company.reaches_clients = False
    assert send(company, *THREE).reply.code == 250
    company.reaches_clients = True
    again = send(node(company), *THREE)
    assert str(again.reply).startswith("250 2.0.0 already accepted ")
    assert got(company) == {BOB: 1, PLAIN: 1, SIG: 1}
    assert len(company.world.events.named("delivery.already_accepted")) == 3


def test_a_client_that_was_not_told_of_one_copy_is_known_as_well(company: Company) -> None:
    """A single copy costs no entry, unless the client is gone when its reply is sent (C16)."""
    company.reaches_clients = False
    send(company, PLAIN)
    assert company.world.ledger.calls == ["accepted", "accept"]
    company.reaches_clients = True
    assert "already accepted" in send(node(company), PLAIN).reply.text
    assert got(company) == {PLAIN: 1}


class CrossingLedger(MemoryLedger):
    """Its second answer is older than the entry that is made while it is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.entering, self.asked, self.entered = (asyncio.Event() for _ in range(3))

    async def accepted(self, fingerprint: str) -> frozenset[str]:
        found = await super().accepted(fingerprint)
        if self.calls.count("accepted") == 2:
            self.asked.set()
            await self.entered.wait()
        return found

    async def accept(self, fingerprint: str, tokens: Collection[str], **claim: str) -> None:
        self.entering.set()
        await self.asked.wait()
        await super().accept(fingerprint, tokens, **claim)


def test_a_retry_gets_no_second_copy_while_its_first_try_is_entered(company: Company) -> None:
    """What has left the journal when the ledger's answer comes was there before (N-15)."""
    company.world.ledger = ledger = CrossingLedger()
    company.reaches_clients = False
    node(company)

    async def twice() -> Outcome:
        first = asyncio.create_task(company.begin_and_finish("relay", [PLAIN], mail(PLAIN)))
        await ledger.entering.wait()
        second = asyncio.create_task(company.begin_and_finish("relay", [PLAIN], mail(PLAIN)))
        await first
        ledger.entered.set()
        return await second

    assert "already accepted" in asyncio.run(twice()).reply.text
    assert got(company) == {PLAIN: 1}


def test_one_copy_costs_the_ledger_one_question(company: Company) -> None:
    """Nearly every message has one copy and no past."""
    assert send(company, PLAIN).reply.code == 250
    assert company.world.ledger.calls == ["accepted"]
    assert company.world.journal.calls == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"text\r\n", b"other text\r\n"),
        lambda content: content.replace(b"<1@test>", b"<2@test>"),
    ],
    ids=["content", "message-id"],
)
def test_another_message_is_not_taken_for_a_retry(company: Company, change: Any) -> None:
    """Somebody writes the same again and means it: another Message-ID or one more octet."""
    company.world.relay.script["dot"] = [None, LATER]
    content = mail(*TWO)
    company.send("relay", TWO, content)
    assert company.send("relay", TWO, change(content)).reply.code == 250
    assert got(company)[BOB] == 2


def test_another_sender_is_not_taken_for_a_retry(company: Company) -> None:
    """The fingerprint holds sender identity and reverse-path."""
    company.world.relay.script["dot"] = [None, LATER]
    send(company, *TWO)
    send(company, *TWO, reverse_path="bounces@ours.example")
    assert got(company)[BOB] == 2


def test_without_message_id_a_complete_message_is_forgotten(company: Company) -> None:
    """A program that writes "disk full" twice wants two mails; its retry is known all the same."""
    content = mail(*TWO).replace(b"Message-ID: <1@test>\r\n", b"")
    company.world.relay.script["dot"] = [None, LATER]
    assert company.send("relay", TWO, content).reply.code == 451
    assert company.send("relay", TWO, content).reply.code == 250
    assert got(company) == {BOB: 1, PLAIN: 1}
    assert company.send("relay", TWO, content).reply.code == 250
    assert got(company) == {BOB: 2, PLAIN: 2}


def test_the_same_octets_at_once_go_through_one_node(company: Company) -> None:
    """C35, N-16: one proceeds, the other gets 451 4.3.0; exactly one each."""
    relay = company.world.relay
    relay.pause_before_dot = asyncio.Event()

    async def both() -> list[Outcome]:
        first = asyncio.create_task(company.begin_and_finish("relay", TWO, mail(*TWO)))
        await relay.reached_dot.wait()
        second = await company.begin_and_finish("relay", TWO, mail(*TWO))
        assert relay.pause_before_dot is not None
        relay.pause_before_dot.set()
        return [await first, second]

    first, second = asyncio.run(both())
    assert first.reply.code == 250
    assert (second.reply.code, second.reply.enhanced) == (451, "4.3.0")
    assert got(company) == {BOB: 1, PLAIN: 1}


def test_one_message_in_two_transactions_does_not_wait_for_itself(company: Company) -> None:
    """A mail server splits many recipients; the parts go at the same time, each all or nothing."""
    relay = company.world.relay
    relay.pause_before_dot = asyncio.Event()
    content = mail(*THREE)

    async def both() -> list[Outcome]:
        first = asyncio.create_task(company.begin_and_finish("relay", [PLAIN, SIG], content))
        await relay.reached_dot.wait()
        second = asyncio.create_task(
            company.begin_and_finish("relay", [BOB, "p@else.example"], content)
        )
        while len(company.world.journal.dots) < 2:
            await asyncio.sleep(0)
        assert relay.pause_before_dot is not None
        relay.pause_before_dot.set()
        return [await first, await second]

    assert [outcome.reply.code for outcome in asyncio.run(both())] == [250, 250]
    assert got(company) == {BOB: 1, PLAIN: 1, SIG: 1, "p@else.example": 1}


# --- ledger and journal in trouble ---------------------------------------------------------------


def test_without_the_ledger_several_copies_wait(company: Company) -> None:
    """R-22, N-17: 451 4.3.0 before any dot; one copy needs no ledger and goes."""
    company.world.ledger.broken_from = 1
    outcome = send(company, *TWO)
    assert str(outcome.reply) == "451 4.3.0 ledger not reachable, try later (R-22)"
    assert got(company) == {}
    assert send(company, PLAIN).reply.code == 250


def test_a_ledger_that_fails_after_the_canary_ends_the_rest_undotted(company: Company) -> None:
    """Its entry cannot be written: the others are kept back, and Bob is named as in doubt."""
    company.world.ledger.broken_from = 2  # the claim works
    outcome = send(company, *THREE)
    assert "delivered to 1 of 3" in outcome.reply.text
    assert got(company) == {BOB: 1}
    [doubt] = company.world.events.named("delivery.in_doubt")
    assert (doubt["to"], doubt["reason"]) == (BOB, "ledger")


def test_a_ledger_that_comes_back_learns_of_the_canary(company: Company) -> None:
    """The journal still knows it: entered before the client is answered, nobody gets it twice."""
    ledger = company.world.ledger
    accept, failures = ledger.accept, iter([True])

    async def fails_once(*args: Any, **kwargs: Any) -> None:
        if next(failures, False):
            ledger.broken_from = 0
        try:
            await accept(*args, **kwargs)
        finally:
            ledger.broken_from = None

    ledger.accept = fails_once  # type: ignore[method-assign]
    assert "delivered to 1 of 2" in send(company, *TWO).reply.text
    assert send(node(company), *TWO).reply.code == 250
    assert got(company) == {BOB: 1, PLAIN: 1}


@pytest.mark.parametrize(("fail_at", "arrived"), [(1, {}), (2, {BOB: 1})])
def test_without_its_line_in_the_journal_no_dot_goes(
    company: Company, fail_at: int, arrived: dict[str, int]
) -> None:
    """The line stands before the dot; a full disk delays, and a retry completes (N-18)."""
    company.world.journal.fail_at = fail_at
    outcome = send(company, *TWO)
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.3.0")
    assert got(company) == arrived
    assert send(node(company), *TWO).reply.code == 250
    assert got(company) == {BOB: 1, PLAIN: 1}


@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_failing_disk_ends_the_session(company: Company, fail_at: int) -> None:
    """C27, N-18: 421 4.3.2, also when some have it; another node goes on from the ledger."""
    journal = company.world.journal
    journal.fail_at, journal.fatal = fail_at, True
    outcome = send(company, *TWO)
    assert (outcome.reply.code, outcome.reply.enhanced) == (421, "4.3.2")
    assert send(node(company), *TWO).reply.code == 250
    assert got(company) == {BOB: 1, PLAIN: 1}


def test_every_dot_has_a_line_and_an_answer(company: Company) -> None:
    """With recipient and Message-ID, and nothing stays open when the client was told."""
    send(company, *THREE)
    journal = company.world.journal
    assert [dot.recipients for dot in journal.dots] == [(BOB,), (PLAIN,), (SIG,)]
    assert {dot.message_id for dot in journal.dots} == {"<1@test>"}
    assert [outcome for _, outcome in journal.answers] == ["accepted"] * 3
    assert journal.open == {}


# --- one 5yz after the canary --------------------------------------------------------------------


def test_who_is_refused_after_others_is_reported(company: Company) -> None:
    """D12, N-11: 250 and one report that names only him, headers only."""
    company.world.relay.script["dot"] = [None, NEVER]
    outcome = send(company, *TWO)
    assert str(outcome.reply).startswith("250 2.0.0 OK ")
    [(readers, report)] = reports(company)
    assert readers == [ALICE]
    assert b"Final-Recipient: rfc822; plain@else.example" in report
    assert BOB.encode() not in report.partition(b"text/rfc822-headers")[0]
    assert b"\r\ntext\r\n" not in report
    assert company.world.events.named("recipient.delivered")[1]["status"] == "bounced"


def test_a_report_that_cannot_be_handed_over_keeps_the_message_with_the_client(
    company: Company,
) -> None:
    """451, and the retry, which is refused again, tries the report again (C19)."""
    company.world.relay.script["dot"] = [None, NEVER, LATER, NEVER]
    first = send(company, *TWO)
    assert "delivered to 1 of 2, send again to finish" in first.reply.text
    assert reports(company) == []
    second = send(node(company), *TWO)
    assert second.reply.code == 250
    assert [readers for readers, _ in reports(company)] == [[ALICE]]
    assert got(company) == {BOB: 1}


def test_an_answered_report_is_not_written_twice(company: Company) -> None:
    """The client did not hear our 250: its retry is answered from the ledger."""
    company.world.relay.script["dot"] = [None, NEVER]
    company.reaches_clients = False
    send(company, *TWO)
    company.reaches_clients = True
    assert "already accepted" in send(node(company), *TWO).reply.text
    assert len(reports(company)) == 1


def test_refused_and_deferred_together_wait_for_the_retry(company: Company) -> None:
    """One 4yz decides: the client comes again, and only then somebody is reported."""
    company.world.relay.script["dot"] = [None, NEVER, LATER]
    first = send(company, *THREE)
    assert "delivered to 1 of 3" in first.reply.text
    assert reports(company) == []
    company.world.relay.script["dot"] = [NEVER]
    assert send(node(company), *THREE).reply.code == 250
    assert len(reports(company)) == 1
    assert got(company) == {BOB: 1, SIG: 1}


def test_a_retry_refused_at_rcpt_time_is_reported_too(company: Company) -> None:
    """Others have it already, so 554 would tell the client something that is not true."""
    company.world.relay.script["dot"] = [None, LATER]
    send(company, *TWO)
    # of the retry: two recipients asked for the client, then Plain's own copy
    company.world.relay.script["rcpt"] = [None, None, NEVER]
    assert send(node(company), *TWO).reply.code == 250
    assert len(reports(company)) == 1


def test_a_retry_that_the_policy_refuses_is_no_refusal_for_everybody(company: Company) -> None:
    """Plain has it; that Bob's certificate is gone since says a report (N-13)."""
    company.world.relay.script["dot"] = [None, LATER]
    assert "delivered to 1 of 2" in send(company, PLAIN, BOB).reply.text
    entries = company.world.directory.entries
    kept = entries.pop(BOB)
    try:
        assert send(node(company), PLAIN, BOB).reply.code == 250
        assert got(company) == {PLAIN: 1}
        [(readers, report)] = reports(company)
        assert readers == [ALICE]
        assert b"Diagnostic-Code: smtp; 550 5.7.5 <bob@partner.example>: no usable" in report
    finally:
        entries[BOB] = kept


def test_a_retry_that_cannot_be_judged_now_waits(company: Company) -> None:
    """R-06, N-13, in a retry: whoever has it keeps it, the rest comes again."""
    company.world.relay.script["dot"] = [None, LATER]
    send(company, PLAIN, BOB)
    company.world.directory.broken = True
    try:
        outcome = send(node(company), PLAIN, BOB)
    finally:
        company.world.directory.broken = False
    assert "delivered to 1 of 2" in outcome.reply.text
    assert send(node(company), PLAIN, BOB).reply.code == 250
    assert got(company) == {PLAIN: 1, BOB: 1}


@pytest.mark.parametrize(("notify", "count"), [("NEVER", 0), ("SUCCESS", 0), ("FAILURE,DELAY", 1)])
def test_notify_is_honoured(company: Company, notify: str, count: int) -> None:
    """A sender who wants no report gets none (RFC 3461, 4.1)."""
    company.world.relay.script["dot"] = [None, NEVER]
    plain = Recipient(mailbox=Mailbox.parse(PLAIN), parameters=(("NOTIFY", notify),))
    outcome = company.send("relay", [BOB, plain], mail(*TWO))
    assert outcome.reply.code == 250
    assert len(reports(company)) == count


def test_envid_and_orcpt_come_back(company: Company) -> None:
    """P08: what the client's own server needs to know which message this is about."""
    company.world.relay.script["dot"] = [None, NEVER]
    plain = Recipient(
        mailbox=Mailbox.parse(PLAIN), parameters=(("ORCPT", "rfc822;list+2Bx@else.example"),)
    )
    path = ReversePath(
        mailbox=Mailbox.parse(ALICE), parameters=(("RET", "FULL"), ("ENVID", "QQ+3D314159"))
    )
    company.send("relay", [BOB, plain], mail(*TWO), reverse_path=path)
    [(_, report)] = reports(company)
    assert b"Original-Envelope-Id: QQ=314159\r\n" in report
    assert b"Original-Recipient: rfc822; list+x@else.example\r\n" in report
    assert b"\r\ntext\r\n" not in report  # RET=FULL or not (P08)


def test_a_report_shows_no_subject(company: Company) -> None:
    """P08: it travels in clear, whatever the message did."""
    company.world.relay.script["dot"] = [None, NEVER]
    send(company, PLAIN, BOB)
    [(_, report)] = reports(company)
    assert b"Subject: hello" not in report
    assert b"Message-ID: <1@test>" in report


def test_nothing_is_reported_to_the_null_path(company: Company) -> None:
    """P06: a report that cannot be delivered goes to the postmaster, no further."""
    company.world.relay.script["dot"] = [None, NEVER]
    outcome = send(company, *TWO, reverse_path=None)
    assert outcome.reply.code == 250
    reported = [e for e in company.world.relay.arrived if b"report-type" in e.content]
    assert [entry.recipients for entry in reported] == [["postmaster@gw.ours.example"]]


def test_mail_from_outside_is_never_bounced(company: Company) -> None:
    """T-26: the refused recipient and the postmaster hear of it, a forged sender does not."""
    eve = company.user("eve@ours.example", key="p256")
    assert eve
    company.world.relay = MemoryRelay(lmtp=True)
    node(company)
    company.world.relay.script["dot"] = [None, NEVER]
    outcome = company.send("mx", [ALICE, "eve@ours.example"], message(BOB, ALICE), reverse_path=BOB)
    assert outcome.reply.code == 250
    readers = {name for names, _ in reports(company) for name in names}
    assert readers == {"eve@ours.example", "postmaster@gw.ours.example"}


def test_the_log_names_only_whom_a_report_reached(company: Company) -> None:
    """Who was refused may be refused the notice, too; the postmaster has it (T-26, N-11)."""
    eve = company.user("eve@ours.example", key="p256")
    assert eve
    company.world.relay = MemoryRelay(lmtp=True)
    node(company)
    company.world.relay.script["dot"] = [None, NEVER]
    company.world.relay.script["rcpt"] = [None, None, NEVER]
    outcome = company.send("mx", [ALICE, "eve@ours.example"], message(BOB, ALICE), reverse_path=BOB)
    assert outcome.reply.code == 250
    assert [readers for readers, _ in reports(company)] == [["postmaster@gw.ours.example"]]
    told = [values["to"] for values in company.world.events.named("report.sent")]
    assert told == ["postmaster@gw.ours.example"]


def test_the_log_names_only_whom_an_lmtp_next_hop_gave_the_report(company: Company) -> None:
    """It has a reply for each reader (RFC 2033, 4.2; N-11)."""
    eve = company.user("eve@ours.example", key="p256")
    assert eve
    company.world.relay = MemoryRelay(lmtp=True)
    node(company)
    company.world.relay.script["dot"] = [None, NEVER, NEVER, None]
    outcome = company.send("mx", [ALICE, "eve@ours.example"], message(BOB, ALICE), reverse_path=BOB)
    assert outcome.reply.code == 250
    told = [values["to"] for values in company.world.events.named("report.sent")]
    assert told == ["postmaster@gw.ours.example"]


# --- LMTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "code"), [([None, None], 250), ([LATER, LATER], 451), ([NEVER, NEVER], 554)]
)
def test_an_lmtp_next_hop_of_one_mind_is_mirrored(
    company: Company, replies: list[Reply | None], code: int
) -> None:
    """All 2yz, all 4yz, all 5yz (N-01)."""
    company.world.relay = MemoryRelay(lmtp=True)
    node(company).world.relay.script["dot"] = list(replies)
    assert send(company, PLAIN, "p2@else.example").reply.code == code
    assert reports(company) == []


def test_an_lmtp_next_hop_of_several_minds_is_as_step_7(company: Company) -> None:
    """D19, N-14: 250, 452, 550: the retry reaches the second only, the third is reported once."""
    company.world.relay = MemoryRelay(lmtp=True)
    people = [PLAIN, "p2@else.example", "p3@else.example"]
    node(company).world.relay.script["dot"] = [None, LATER, NEVER]
    assert "delivered to 1 of 3" in send(company, *people).reply.text
    company.world.relay.script["dot"] = [None, NEVER]
    assert send(node(company), *people).reply.code == 250
    assert got(company) == {PLAIN: 1, "p2@else.example": 1}
    assert [readers for readers, _ in reports(company)] == [[ALICE]]


def test_an_lmtp_client_gets_exactly_each_outcome(company: Company) -> None:
    """One reply per recipient and no report (N-12)."""
    company.world.relay.script["dot"] = [None, NEVER, LATER]
    outcome = send(company, *THREE, protocol="LMTP")
    assert [reply.code for reply in outcome.per_recipient] == [250, 554, 451]
    assert reports(company) == []


def test_a_copy_refused_before_its_dot_does_not_end_the_others_of_an_lmtp_client(
    company: Company,
) -> None:
    """Each recipient has a fate of its own (RFC 2033, 4.2)."""
    company.world.relay.script["data"] = [None, NEVER]
    outcome = send(company, *TWO, protocol="LMTP")
    assert sorted(reply.code for reply in outcome.per_recipient) == [250, 554]
    assert sum(got(company).values()) == 1


def test_an_lmtp_next_hop_that_breaks_off_among_its_replies_has_answered_the_first(
    company: Company,
) -> None:
    """Only who got no reply is in doubt; the retry leaves the others out (N-08, RFC 2033, 4.2)."""
    company.world.relay = MemoryRelay(lmtp=True)
    people = [PLAIN, "p2@else.example", "p3@else.example"]
    node(company).world.relay.script["dot"] = [None, None, "break"]
    outcome = send(company, *people, protocol="LMTP")
    assert [str(reply.code) for reply in outcome.per_recipient] == ["250", "250", "451"]
    doubts = company.world.events.named("delivery.in_doubt")
    assert [values["to"] for values in doubts] == ["p3@else.example"]
    assert send(node(company), *people).reply.code == 250
    assert got(company) == {PLAIN: 1, "p2@else.example": 1, "p3@else.example": 1}


def test_a_recipient_named_twice_gets_each_reply(company: Company) -> None:
    """One reply for each RCPT, in their order, also for the same mailbox (RFC 2033, 4.2)."""
    company.world.relay = MemoryRelay(lmtp=True)
    node(company).world.relay.script["dot"] = [None, NEVER, LATER]
    outcome = send(company, PLAIN, "p2@else.example", PLAIN, protocol="LMTP")
    assert [reply.code for reply in outcome.per_recipient] == [250, 554, 451]


# --- before the first dot ------------------------------------------------------------------------


@pytest.mark.parametrize(("reply", "code"), [(LATER, 451), (NEVER, 554)])
def test_a_refusal_while_copies_are_held_delivers_nothing(
    company: Company, reply: Reply, code: int
) -> None:
    """Every copy is ended undotted, the reply is by class (N-07)."""
    company.world.relay.script["data"] = [None, None, reply]
    assert send(company, *THREE).reply.code == code
    assert got(company) == {}
    assert company.world.journal.dots == []
    assert company.world.ledger.claims == {}


def test_a_client_that_goes_before_the_canary_leaves_nothing(company: Company) -> None:
    """Nothing delivered, nothing kept (N-22)."""
    relay = company.world.relay
    relay.pause_before_data = asyncio.Event()

    async def goes() -> None:
        sending = asyncio.create_task(company.begin_and_finish("relay", TWO, mail(*TWO)))
        await relay.reached_data.wait()
        sending.cancel()
        await asyncio.wait([sending])

    asyncio.run(goes())
    assert got(company) == {}
    assert company.world.ledger.claims == {}
    assert relay.open_sessions == 0


def test_one_copy_that_comes_twice_at_once_is_delivered_once(company: Company) -> None:
    """N-16: the second one is sent away, and answered from the ledger when it comes again (C35)."""
    relay = company.world.relay
    relay.pause_before_dot = asyncio.Event()

    async def both() -> list[Outcome]:
        first = asyncio.create_task(company.begin_and_finish("relay", [PLAIN], mail(PLAIN)))
        await relay.reached_dot.wait()
        second = await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))
        assert relay.pause_before_dot is not None
        relay.pause_before_dot.set()
        return [await first, second, await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))]

    replies = [outcome.reply for outcome in asyncio.run(both())]
    assert [reply.code for reply in replies] == [250, 451, 250]
    assert "being delivered just now" in replies[1].text
    assert "already accepted" in replies[2].text
    assert got(company) == {PLAIN: 1}


def test_one_copy_that_failed_is_delivered_by_whoever_comes_next(company: Company) -> None:
    """C35: what was sent away in vain is no loss."""
    relay = company.world.relay
    relay.pause_before_dot = asyncio.Event()
    relay.script["dot"] = [LATER]

    async def both() -> list[Outcome]:
        first = asyncio.create_task(company.begin_and_finish("relay", [PLAIN], mail(PLAIN)))
        await relay.reached_dot.wait()
        second = await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))
        assert relay.pause_before_dot is not None
        relay.pause_before_dot.set()
        return [await first, second, await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))]

    assert [outcome.reply.code for outcome in asyncio.run(both())] == [451, 451, 250]
    assert got(company) == {PLAIN: 1}


# --- one clock -----------------------------------------------------------------------------------


def test_the_reply_comes_in_time_whatever_the_next_hop_does(company: Company) -> None:
    """D08: in doubt for the client; the late answer is logged, and the ledger knows it."""
    relay = company.world.relay
    relay.pause_before_dot = asyncio.Event()
    node(company, outbound_reply_seconds=3)

    async def late() -> Outcome:
        outcome = await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))
        assert got(company) == {}
        assert relay.pause_before_dot is not None
        relay.pause_before_dot.set()
        async with asyncio.timeout(10):
            while not company.world.ledger.entries:
                await asyncio.sleep(0)
        return outcome

    assert asyncio.run(late()).reply == IN_DOUBT
    [entry] = company.world.events.named("delivery.late")
    assert entry["to"] == PLAIN
    relay.pause_before_dot = None
    assert "already accepted" in send(node(company), PLAIN).reply.text
    assert got(company) == {PLAIN: 1}
    assert relay.open_sessions == 0


def test_an_lmtp_next_hop_that_forgets_a_reply_has_answered_the_others(company: Company) -> None:
    """N-14, D08: only who got no reply is in doubt; the retry leaves out who was answered."""
    company.world.relay = relay = MemoryRelay(lmtp=True)
    relay.pause_before_second_reply = asyncio.Event()
    people = [PLAIN, "p2@else.example"]
    node(company, outbound_reply_seconds=3)

    async def late() -> Outcome:
        outcome = await company.begin_and_finish("relay", people, mail(*people), protocol="LMTP")
        assert relay.pause_before_second_reply is not None
        relay.pause_before_second_reply.set()
        async with asyncio.timeout(10):
            while not company.world.events.named("delivery.late"):
                await asyncio.sleep(0)
        return outcome

    outcome = asyncio.run(late())
    assert [reply.code for reply in outcome.per_recipient] == [250, 451]
    assert outcome.per_recipient[1] == IN_DOUBT
    doubts = company.world.events.named("delivery.in_doubt")
    assert [values["to"] for values in doubts] == [people[1]]
    news = company.world.events.named("delivery.late")
    assert [values["to"] for values in news] == [people[1]]


class _SteppingClock:
    """Goes wrong by *step* when a message has been received."""

    def __init__(self, step: timedelta) -> None:
        self.step = step
        self.asked = 0

    def now(self) -> datetime:
        self.asked += 1
        return datetime.now(UTC) + (self.step if self.asked > 2 else timedelta())


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
def test_a_clock_that_is_set_meanwhile_delays_no_reply(company: Company, hours: int) -> None:
    """The time that is left is never more than the whole; a step forward is a 451 (T-27)."""
    relay, world = company.world.relay, company.world
    relay.pause_before_dot = asyncio.Event()
    before, world.clock = world.clock, _SteppingClock(timedelta(hours=hours))
    node(company, outbound_reply_seconds=0.2)

    async def in_time() -> Outcome:
        async with asyncio.timeout(20):
            outcome = await company.begin_and_finish("relay", [PLAIN], mail(PLAIN))
        relay.pause_before_dot.set()
        return outcome

    try:
        assert asyncio.run(in_time()).reply.code == 451
    finally:
        world.clock = before


def test_a_next_hop_that_does_not_take_the_content_is_left_in_time(company: Company) -> None:
    """The clock runs while copies are held, too; nothing was dotted (N-09)."""
    relay = company.world.relay
    relay.pause_before_data = asyncio.Event()
    node(company, outbound_reply_seconds=0.2)
    outcome = send(company, *TWO)
    assert str(outcome.reply) == "451 4.4.7 next hop too slow, try later"
    assert got(company) == {}
    assert relay.open_sessions == 0
