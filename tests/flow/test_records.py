"""What is recorded of every transaction, and what can be told and asked from it later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smimegw.adapters.logs.open_decisions import newest_records, open_decisions
from smimegw.adapters.logs.privacy import AddressMask
from smimegw.adapters.logs.record_chain import verify
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.cli.main import main
from smimegw.config.choices import LogAddresses
from smimegw.custody import Dot, Unfinished
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.known_facts import known_facts
from smimegw.pipeline.unfinished import explain
from smimegw.policy.model import Policy
from smimegw.policy.parse import parse_policy
from smimegw.policy.replay import ask_again
from smimegw.smtp.content import BARE_LINE_END, NO_ROOM, TOO_LARGE
from smimegw.smtp.reply import Reply
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import PAST

ALICE, BOB = "alice@ours.example", "bob@partner.example"

WORDS = """
[[rule]]
name = "asked for"
why = "test"
when = { direction = "outbound", subject_word = ["[secure]", "[geheim]"] }
then = { protect = "sign-then-encrypt" }

[[rule]]
name = "field"
why = "test"
when = { direction = "outbound", header = { name = "X-Protect", value = "yes" } }
then = { protect = "sign" }
"""


@pytest.fixture
def company() -> Company:
    company = Company(policy=WORDS + POLICY)
    company.user(ALICE)
    return company


def kinds(company: Company) -> dict[str, Mapping[str, Any]]:
    """The last record of each kind."""
    records = company.world.records
    return {entry["kind"]: entry for entry in (*records.written, *records.noted)}


def test_decision_names_rule_certificate_and_evidence(company: Company) -> None:
    """Per recipient: rule, its place, certificate, source, status, algorithm."""
    bob = company.partner(BOB)
    company.send("relay", [BOB], message(ALICE, BOB))
    decision = kinds(company)["decision"]
    assert decision["policy"] == company.gateway.policy.digest
    (entry,) = decision["recipients"]
    assert entry["rule"] == "must encrypt"
    assert entry["rule_source"].startswith("test.toml:")
    assert entry["cert"] == bob.certificate.fingerprint
    assert entry["source"] == "fake:memory"
    assert entry["status_of_cert"].startswith("good/crl")
    assert entry["algo"].startswith("aes-")


def test_delivery_holds_the_next_hops_words(company: Company) -> None:
    """Where it went and under which queue id it goes on."""
    company.world.relay.script["dot"] = [Reply(250, "2.0.0", "queued as 4ZkRkC0Qm1z3Fs")]
    company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    (entry,) = kinds(company)["delivery"]["recipients"]
    assert entry["relay"] == "memory[127.0.0.1]:25"
    assert entry["reply"] == "250 2.0.0 queued as 4ZkRkC0Qm1z3Fs"
    assert len(kinds(company)["delivery"]["seconds"]) == 4


def test_reply_is_what_the_client_was_told(company: Company) -> None:
    """With the envelope, so that also a message without a decision can be found."""
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    reply = kinds(company)["reply"]
    assert reply["reply"] == str(outcome.reply)
    assert reply["reverse_path"] == ALICE
    assert reply["message_id"] == "<1@test>"
    assert "refusal" not in reply


def test_refused_message_has_its_row_and_no_delivery(company: Company) -> None:
    """No certificate, and one is required (R-01)."""
    company.send("relay", [BOB], message(ALICE, BOB))
    found = kinds(company)
    assert found["decision"]["recipients"][0]["refusal"] == "R-01"
    assert found["reply"]["reply"].startswith("550 ")
    assert "delivery" not in found


def test_message_that_was_never_decided_is_recorded(company: Company) -> None:
    """Somebody else's From ends before any rule (R-12)."""
    company.send("relay", [BOB], message("x@else.example", BOB))
    found = kinds(company)
    assert found["reply"]["refusal"] == "R-12"
    assert "decision" not in found


def test_inbound_message_that_misses_a_requirement_is_recorded() -> None:
    """Why it was refused can be told later (R-52)."""
    company = Company(policy=POLICY.replace('require = "none"', 'require = "signed"'))
    company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB)
    found = kinds(company)
    assert found["reply"]["refusal"] == "R-52-signed"
    (entry,) = found["decision"]["recipients"]
    assert (entry["rule"], entry["signed"]) == ("open", "none")


def test_doubt_is_recorded(company: Company) -> None:
    """A dot without an answer: the one licensed source of a duplicate (C27)."""
    company.world.relay.script["dot"] = ["break"]
    company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    (entry,) = kinds(company)["delivery"]["recipients"]
    assert entry["in_doubt"] is True


def test_what_a_crash_left_in_doubt_is_recorded(company: Company) -> None:
    """The next start says it of the transaction that nobody could finish (C27)."""
    dot = Dot(
        id="T/1", txn="T", message_id="<1@test>", relay="hop", recipients=(BOB,), fingerprint="f"
    )
    asyncio.run(explain(Unfinished(in_doubt=(dot,)), company.world.ports))
    late = kinds(company)["late"]
    assert (late["txn"], late["news"]) == ("T", "crash")
    assert late["recipients"] == [{"rcpt": BOB, "relay": "hop", "in_doubt": True}]


def test_what_the_client_was_not_told_is_recorded(company: Company) -> None:
    """Accepted by the next hop, and the client is gone when the reply is written."""
    company.reaches_clients = False
    company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert kinds(company)["late"]["news"] == "untold"


def test_trigger_words_are_recorded_and_the_subject_is_not(company: Company) -> None:
    """Which words a policy waits for, and whether they were there; nothing else of it."""
    company.partner(BOB)
    content = message(ALICE, BOB, subject="[SECURE] Uebernahme", extra="X-Other: Geheimnis\r\n")
    company.send("relay", [BOB], content)
    facts = kinds(company)["decision"]["facts"]
    assert facts["words"] == {"[secure]": True, "[geheim]": False}
    assert facts["fields"] == {"x-protect: yes": False}
    records = company.world.records
    assert not {"Uebernahme", "Geheimnis"} & set(str([records.written, records.noted]).split("'"))
    assert "Uebernahme" not in str([records.written, records.noted])


def test_record_that_cannot_be_written_stops_the_message(company: Company) -> None:
    """R-20, as before; the note of the reply is no second failure."""
    company.world.records.broken = True
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert outcome.reply.code == 451
    assert company.arrived == []


# --- asked again ---------------------------------------------------------------------------------


def _send_all(company: Company) -> None:
    """Mail of every kind that the policy knows, with every answer of the look-ups."""
    company.partner("valid@partner.example")
    company.partner("old@partner.example", not_after=PAST)
    company.partner("valid@maybe.example")
    to = [
        *("valid@partner.example", "old@partner.example", "none@partner.example"),
        *("valid@maybe.example", "none@maybe.example", "x@signed.example", "x@else.example"),
    ]
    for address in to:
        for subject, extra in (
            ("plain", ""),
            ("[secure] words", ""),
            ("plain", "X-Protect: yes\r\n"),
        ):
            company.send("relay", [address], message(ALICE, address, subject=subject, extra=extra))
    company.send("relay", ["x@else.example"], message("none@ours.example", "x@else.example"))
    company.send("relay", ["x@signed.example"], message("none@ours.example", "x@signed.example"))


def test_same_policy_says_the_same_again(company: Company) -> None:
    """A record knows all that its policy asks: each replay gives the decision that was made."""
    _send_all(company)
    written = company.world.records.written
    assert len(written) > 20
    for record in written:
        for known, entry in zip(known_facts(record), record["recipients"], strict=True):
            answer = ask_again(company.gateway.policy, known)
            made = f"refuse {entry['refusal']}" if entry.get("refusal") else entry["protect"]
            expected = {"none": "clear", "sign+encrypt": "sign-then-encrypt"}.get(made, made)
            assert answer.label == expected, entry
            assert answer.rules[-1] == entry["rule"]


def test_stricter_policy_shows_whom_it_refuses(company: Company) -> None:
    """The record knows that there was no certificate."""
    company.send("relay", ["a@maybe.example"], message(ALICE, "a@maybe.example"))
    stricter = _policy(POLICY.replace('"send-clear"', '"refuse"'))
    assert _asked(company, stricter) == "refuse R-01"


def test_question_that_nobody_asked_has_every_answer(company: Company) -> None:
    """No certificate was looked up for clear mail: it may be there or not."""
    company.send("relay", ["a@else.example"], message(ALICE, "a@else.example"))
    encrypting = _policy(POLICY.replace('protect = "none"', 'protect = "encrypt"'))
    assert _asked(company, encrypting) == "encrypt or refuse R-01"


def test_word_that_nobody_looked_for_may_be_there(company: Company) -> None:
    """The Subject is not in the record: both rules are possible."""
    company.send("relay", ["a@signed.example"], message(ALICE, "a@signed.example"))
    assert _asked(company, _policy(WORDS.replace("[geheim]", "[privat]") + POLICY)) == (
        "refuse R-01 or sign or sign-then-encrypt"
    )


@pytest.mark.parametrize(
    ("subject", "word", "label"),
    [
        ("[secure] x", "secure", "refuse R-01 or sign-then-encrypt"),
        ("x", "[secure] now", "clear"),
    ],
)
def test_parts_of_known_words_are_known(
    company: Company, subject: str, word: str, label: str
) -> None:
    """What is in a word that was there was there; what holds a missing word was missing."""
    company.send("relay", ["a@else.example"], message(ALICE, "a@else.example", subject=subject))
    facts = company.world.records.written[-1]["facts"]
    facts["readers"] = {}
    policy = _policy(WORDS.replace('"[secure]", "[geheim]"', f'"{word}"') + POLICY)
    assert _asked(company, policy) == label


def test_inbound_requirement_is_asked_again(company: Company) -> None:
    """What was found inside is in the record."""
    company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB)
    demanding = _policy(POLICY.replace('require = "none"', 'require = "encrypted"'))
    assert _asked(company, demanding) == "refuse R-52-encrypted"


def _policy(text: str) -> Policy:
    return parse_policy([("other.toml", text.encode())])


def _asked(company: Company, policy: Policy) -> str:
    (known,) = known_facts(company.world.records.written[-1])
    return ask_again(policy, known).label


# --- told ----------------------------------------------------------------------------------------


@pytest.fixture
def written(company: Company, tmp_path: Path) -> Path:
    """A state directory with the records of two messages and their configuration."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/p.toml").write_text(company.policy)
    (tmp_path / "smimegw.toml").write_text(
        f'version = 1\n[gateway]\nhostname = "gw.ours.example"\n'
        f'internal_domains = ["ours.example"]\nstate_directory = "{tmp_path}"\n'
        f'[listener.relay]\naddress = "127.0.0.1:0"\npeers = ["127.0.0.1"]\n'
        f'[next_hop.out]\naddress = "127.0.0.1:9"\n[policies]\npath = "{tmp_path}/policies"\n'
    )
    records = JSONLinesRecords(tmp_path / "decisions.jsonl")
    company.world.records = records  # type: ignore[assignment]
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    company.partner(BOB)
    company.world.relay.script["dot"] = [Reply(250, "2.0.0", "Ok: queued as 4ZkRkC0Qm1z3Fs")]
    company.send("relay", [BOB], message(ALICE, BOB))
    company.send("relay", ["x@partner.example"], message(ALICE, "x@partner.example"))
    records.close()
    return tmp_path


def call(place: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(
        main, [*arguments, "-c", str(place / "smimegw.toml")], catch_exceptions=False
    )
    assert "bug of ours" not in result.stderr
    return result


def _txns(place: Path) -> list[str]:
    lines = (place / "decisions.jsonl").read_text().splitlines()
    return list(dict.fromkeys(json.loads(line)["txn"] for line in lines))


def test_records_of_the_pipeline_are_a_chain(written: Path) -> None:
    """Decisions and notes alike."""
    with (written / "decisions.jsonl").open("rb") as file:
        report = verify(file)
    assert (report.records, report.broken_line) == (5, 0)


def test_trace_tells_the_story(written: Path) -> None:
    """Received, decided, protected, relayed, answered; in this order."""
    result = call(written, "trace", _txns(written)[0])
    assert result.exit_code == 0
    words = [line[14:24].strip() for line in result.stdout.splitlines()[1:] if line[:2].isdigit()]
    assert words == ["received", "decided", "protected", "relayed", "answered"]
    assert "queued as 4ZkRkC0Qm1z3Fs" in result.stdout


@pytest.mark.parametrize(
    "what", [BOB, "BOB@Partner.example", "4ZkRkC0Qm1z3Fs", "<bob@partner.example>"]
)
def test_trace_finds_by_address_and_queue_id(written: Path, what: str) -> None:
    """Only the message that it is about."""
    result = call(written, "trace", what, "--json")
    assert [json.loads(line)["txn"] for line in result.stdout.splitlines()] == _txns(written)[:1]


@pytest.mark.parametrize("what", ["<1@test>", "1@test", ALICE, "*@ours.example"])
def test_trace_finds_every_message_of_a_sender_or_id(written: Path, what: str) -> None:
    """By Message-ID with or without brackets, and an address as the log hides it (domain)."""
    result = call(written, "trace", what, "--json")
    assert [json.loads(line)["txn"] for line in result.stdout.splitlines()] == _txns(written)


def test_trace_finds_an_address_as_the_log_hides_it(written: Path) -> None:
    """log.addresses = hash: the key is in the state directory."""
    key = bytes(range(32))
    (written / "address-hash.key").write_bytes(key)
    hidden = AddressMask(LogAddresses.HASH, key)(BOB)
    result = call(written, "trace", hidden, "--json")
    assert [json.loads(line)["txn"] for line in result.stdout.splitlines()] == _txns(written)[:1]


def test_trace_tells_of_a_refusal(written: Path) -> None:
    """The row and the words that the client got."""
    result = call(written, "trace", "x@partner.example")
    assert "refused (R-01)" in result.stdout
    assert "answered   550 5.7.5" in result.stdout


def test_trace_of_a_process_that_ended_says_so(written: Path, company: Company) -> None:
    """A decision without an answer is an open question; the next start answers it."""
    path = written / "decisions.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    (txn,) = _txns(written)
    assert "no answer is recorded" in call(written, "trace", BOB).stdout
    dot = Dot(
        id=f"{txn}/1", txn=txn, message_id="", relay="hop", recipients=(BOB,), fingerprint="f"
    )
    company.world.records = JSONLinesRecords(path)  # type: ignore[assignment]
    asyncio.run(explain(Unfinished(in_doubt=(dot,)), company.world.ports))
    assert "IN DOUBT: the process ended" in call(written, "trace", txn).stdout


def test_trace_reads_the_files_of_several_nodes(written: Path) -> None:
    """A first try on one node, the retry on another."""
    other = written / "node2"
    other.mkdir()
    text = (written / "decisions.jsonl").read_text()
    for txn in _txns(written):
        text = text.replace(txn, txn[:-1] + "_")
    (other / "decisions.jsonl").write_text(text)
    result = call(written, "trace", BOB, "-r", str(written), "-r", str(other), "--json")
    assert len(result.stdout.splitlines()) == 2


def test_trace_of_nothing_is_no(written: Path) -> None:
    """Exit 1, and how much was read."""
    result = call(written, "trace", "nobody@nowhere.example")
    assert result.exit_code == 1
    assert "nothing about nobody@nowhere.example in 1 files" in result.stderr
    assert "what was refused at MAIL or RCPT" in result.stderr


@pytest.mark.parametrize(
    ("reply", "row"),
    [(BARE_LINE_END, "R-53"), (TOO_LARGE, "R-55"), (NO_ROOM, "R-21")],
    ids=["R-53", "R-55", "R-21"],
)
def test_trace_tells_of_data_that_the_listener_refused(
    written: Path, company: Company, reply: Reply, row: str
) -> None:
    """Nothing was decided, and what the client was told is recorded all the same (R-53, R-55)."""
    path = written / "decisions.jsonl"
    company.world.records = JSONLinesRecords(path)  # type: ignore[assignment]
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)

    async def refused() -> None:
        incoming = await company.begin("mx", [ALICE], reverse_path="eve@outside.example")
        incoming.refused(reply)
        await incoming.abandon()

    asyncio.run(refused())
    result = call(written, "trace", "eve@outside.example")
    assert f"answered   {reply}  ({row})" in result.stdout
    assert "octets" not in result.stdout  # nobody counted them
    refusal = company.world.events.named("message.refused")[-1]
    assert (refusal["stage"], refusal["code"]) == ("END-OF-MESSAGE", row)


def test_a_next_hop_that_broke_off_among_recipients_is_recorded(company: Company) -> None:
    """N-06: the data that follow are answered 451 4.4.2, and trace finds that."""
    company.world.relay.script["rcpt"] = [None, "break"]

    async def broken() -> None:
        incoming = await company.begin("relay", [BOB, "carol@partner.example"])
        await incoming.finish(Entity.parse(message(ALICE, BOB)))

    asyncio.run(broken())
    reply = kinds(company)["reply"]
    assert (reply["refusal"], reply["message_id"]) == ("N-06", "<1@test>")
    assert reply["reply"] == "451 4.4.2 next hop broke off, try later"
    assert reply["recipients"] == [{"rcpt": BOB, "reply": reply["reply"]}]


def test_trace_writes_no_control_characters(written: Path) -> None:
    """A Message-ID from outside does not steer the terminal (T-12)."""
    path = written / "decisions.jsonl"
    path.write_text(path.read_text().replace("<1@test>", "<\\u001b[2J@test>"))
    assert "\x1b" not in call(written, "trace", BOB).stdout


def test_policy_diff_shows_whom_a_draft_treats_otherwise(written: Path) -> None:
    """Exit 1 as diff does; counted by what becomes of what."""
    draft = written / "draft.toml"
    stricter = 'protect = "sign-then-encrypt", without_certificate = "refuse"'
    draft.write_text(POLICY.replace(stricter, 'protect = "sign"'))
    result = call(
        written, "policy", "diff", str(written / "policies"), str(draft), "--on", str(written)
    )
    assert result.exit_code == 1
    assert "2 records, 2 decisions: 0 same" in result.stdout
    assert "1 sign-then-encrypt→sign" in result.stdout
    assert "1 refuse R-01→sign" in result.stdout


def test_policy_diff_of_the_same_policy_is_empty(written: Path) -> None:
    """Exit 0; the last hour is enough here."""
    policies = str(written / "policies")
    result = call(written, "policy", "diff", policies, policies, "--on", "last-1h")
    assert (result.exit_code, result.stdout) == (0, "2 records, 2 decisions: 2 same\n")


def test_policy_diff_counts_records_of_old_releases(written: Path) -> None:
    """They hold no facts: nothing is said of them."""
    (written / "old.jsonl").write_text('{"txn": "a", "recipients": [{"rcpt": "b@x.example"}]}\n')
    policies = str(written / "policies")
    result = call(written, "policy", "diff", policies, policies, "--on", str(written / "old.jsonl"))
    assert "1 records without the facts" in result.stdout


def test_records_unfinished_lists_what_was_decided_only(written: Path) -> None:
    """Nothing at first; then what a killed process left (C06)."""
    assert call(written, "records", "unfinished").exit_code == 0
    path = written / "decisions.jsonl"
    decided, *_ = (line for line in path.read_text().splitlines() if '"decision"' in line)
    killed = json.loads(decided) | {"txn": "killed", "at": "2026-11-23T12:00:00+00:00"}
    with path.open("a") as file:
        file.write(json.dumps(killed) + "\n")
    result = call(written, "records", "unfinished", "--json")
    assert result.exit_code == 1
    [entry] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (entry["txn"], entry["recipients"]) == ("killed", [BOB])
    assert "killed" in call(written, "records", "unfinished").stdout


@pytest.mark.parametrize("kind", ["reply", "delivery", "late", "aborted"])
def test_every_outcome_closes_a_decision(kind: str) -> None:
    """An answer, a delivery, late news or a known end; another message's do not (C06)."""
    decided = [{"kind": "decision", "txn": "a"}, {"kind": "decision", "txn": "b"}]
    left = open_decisions([*decided, {"kind": kind, "txn": "a"}])
    assert [record["txn"] for record in left] == ["b"]


def test_only_the_newest_records_are_read(tmp_path: Path) -> None:
    """A start does not read a file of years, and no half line (C06)."""
    path = tmp_path / "decisions.jsonl"
    pad = "x" * 4000
    with path.open("w") as file:
        for number in range(1000):
            at = f"2026-11-23T{number // 60:02}:{number % 60:02}:00+00:00"
            record = {"kind": "decision", "txn": str(number), "at": at, "pad": pad}
            file.write(json.dumps(record) + "\n")
    assert [int(record["txn"]) for record in newest_records(path)] == list(range(989, 1000))


def test_client_gone_before_an_answer_is_recorded(company: Company) -> None:
    """Nobody else would say why there is a decision and nothing else (C06)."""
    company.world.relay.pause_before_data = asyncio.Event()

    async def gone() -> None:
        sending = asyncio.create_task(
            company.begin_and_finish("relay", ["x@else.example"], message(ALICE, "x@else.example"))
        )
        await company.world.relay.reached_data.wait()
        sending.cancel()
        await asyncio.wait({sending})

    asyncio.run(gone())
    found = kinds(company)
    assert found["aborted"]["why"] == "session"
    assert found["aborted"]["txn"] == found["decision"]["txn"]
    assert "delivery" not in found


def test_records_verify_says_that_all_is_well(written: Path) -> None:
    """With the tip to be noted elsewhere."""
    result = call(written, "records", "verify", "--json")
    values = json.loads(result.stdout)
    assert (result.exit_code, values["ok"], values["records"]) == (0, True, 5)
    again = call(written, "records", "verify", "--tip", values["tip"])
    assert again.exit_code == 0


def test_records_verify_finds_the_changed_record(written: Path) -> None:
    """File, line, and exit 1."""
    path = written / "decisions.jsonl"
    path.write_text(path.read_text().replace("must encrypt", "may be clear", 1))
    result = call(written, "records", "verify")
    assert result.exit_code == 1
    assert "decisions.jsonl:2: it does not follow the line before it" in result.stdout


def test_records_verify_finds_a_cut_end_by_the_tip(written: Path) -> None:
    """What no chain can tell by itself."""
    tip = json.loads(call(written, "records", "verify", "--json").stdout)["tip"]
    path = written / "decisions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert call(written, "records", "verify").exit_code == 0
    result = call(written, "records", "verify", "--tip", tip)
    assert result.exit_code == 1
    assert "the end was cut off" in result.stderr


def test_records_verify_finds_a_missing_file(written: Path) -> None:
    """Only the oldest file of a chain may lack what was before it."""

    async def three_files() -> None:
        for number in (3, 2, 1):
            records = JSONLinesRecords(written / "decisions.jsonl")
            await records.write({"n": number})
            records.close()
            (written / "decisions.jsonl").rename(written / f"decisions.jsonl.{number}")

    asyncio.run(three_files())
    assert call(written, "records", "verify").exit_code == 0
    (written / "decisions.jsonl.2").unlink()
    result = call(written, "records", "verify")
    assert result.exit_code == 1
    assert "records between them are missing" in result.stderr
