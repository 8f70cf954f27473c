"""The exact reply of rows that refuse a message, and that docs/failures.md says the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from smimegw.errors import AuthenticationError, KeystoreError, NextHopError, NextHopTLSError
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.extensions import Extensions
from smimegw.transaction import Outcome
from tests.fakes.company import Company, message, opaque_signed
from tests.fakes.pki import PAST, make_ca
from tests.fakes.ports import MemoryRelay
from tests.flow.protected import encrypted

ALICE, BOB, PLAIN = "alice@ours.example", "bob@partner.example", "plain@else.example"
PAGE = (Path(__file__).parents[2] / "docs/failures.md").read_text("utf-8")


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    return company


def _expired(company: Company) -> None:
    company.partner(BOB, key="p256", not_after=PAST)


def _revoked(company: Company) -> None:
    bob = company.partner(BOB, key="p256")
    company.world.directory.cas.clear()
    company.world.directory.publish_ca(company.ca, revoked=[bob])


def _no_crl(company: Company) -> None:
    company.partner(BOB, key="p256")
    company.world.directory.lists.clear()


def _directory_down(company: Company) -> None:
    company.world.directory.broken = True


def _other_address(company: Company) -> None:
    eve = company.ca.issue("eve@else.example", key="p256")
    company.world.directory.publish(BOB, eve.certificate)


def _untrusted(company: Company) -> None:
    other = make_ca("Other CA")
    company.world.directory.publish(BOB, other.issue(BOB, key="p256").certificate)


def _two_people(company: Company) -> None:
    for name in ("Bob Baker", "Bob Butcher"):
        issued = company.ca.issue(BOB, common_name=name, key="p256")
        company.world.directory.publish(BOB, issued.certificate, owner=f"cn={name}")


def _no_signer(company: Company) -> None:
    company.partner(BOB, key="p256")
    company.world.keystore.held.clear()


def _locked(company: Company) -> None:
    company.partner(BOB, key="p256")
    company.world.keystore.locked = True


def _silent_keystore(company: Company) -> None:
    company.partner(BOB, key="p256")

    async def fails(_: object) -> None:
        raise KeystoreError("token lost")

    company.world.keystore.signing_credentials = fails  # type: ignore[method-assign,assignment]


def _small_next_hop(company: Company) -> None:
    company.partner(BOB, key="p256")
    company.world.relay = MemoryRelay(offers=Extensions(size=600))
    _again(company)


def _records_broken(company: Company) -> None:
    company.partner(BOB, key="p256")
    company.world.records.broken = True


def _no_policy(company: Company) -> None:
    company.gateway.policy = None


def _again(company: Company) -> None:
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)


TO_BOB: tuple[tuple[str, Callable[[Company], None], str], ...] = (
    ("R-01", lambda _: None, "550 5.7.5 <rcpt>: no usable certificate, encryption required (R-01)"),
    ("R-01", _two_people, "550 5.7.5 <rcpt>: no usable certificate, encryption required (R-01)"),
    ("R-03", _expired, f"550 5.7.5 <rcpt>: certificate expired {PAST:%Y-%m-%d} (R-03)"),
    ("R-04", _revoked, "550 5.7.5 <rcpt>: certificate revoked (R-04)"),
    (
        "R-05",
        _no_crl,
        "451 4.7.5 <rcpt>: revocation status of the certificate is not known now, try later (R-05)",
    ),
    ("R-06", _directory_down, "451 4.4.3 <rcpt>: directory not reachable, try later (R-06)"),
    (
        "R-07",
        _other_address,
        "550 5.7.5 <rcpt>: no usable certificate, encryption required (R-01)",
    ),
    ("R-08", _untrusted, "550 5.7.6 <rcpt>: certificate not suitable: untrusted-ca (R-08)"),
    ("R-10", _no_signer, f"550 5.7.5 no signing certificate for <{ALICE}> (R-10)"),
    ("R-13", _locked, "451 4.7.5 key store locked, try later (R-13)"),
    ("R-14", _silent_keystore, "451 4.7.5 key store did not answer, try later (R-14)"),
    ("R-16", _no_policy, "451 4.3.5 no policy loaded, try later (R-16)"),
    (
        "R-19",
        _small_next_hop,
        "552 5.3.4 protected message of N octets is too large for the next hop (R-19)",
    ),
    ("R-20", _records_broken, "451 4.3.0 decision record could not be written, try later (R-20)"),
)


def said(outcome: Outcome) -> str:
    text = str(outcome.reply).replace(f"<{BOB}>", "<rcpt>").replace(f"<{PLAIN}>", "<rcpt>")
    return re.sub(r"of \d+ octets", "of N octets", text)


def explained(row: str, reply: str) -> bool:
    """The page has the reply, or its words up to what is different each time."""
    [line] = re.findall(rf"^\| {row} \|.*$", PAGE, re.MULTILINE)
    if f"as {reply[-5:-1]}" in line:
        return True
    [quoted] = re.findall(r"`(\d\d\d \d\.\d\.\d [^`]*)`", line)[:1]
    pattern = re.sub(r"<from>|DATE|REASON|WHY|ID", ".*", re.escape(quoted))
    return re.fullmatch(pattern, reply.removesuffix(f" ({row})")) is not None


@pytest.mark.parametrize(("row", "spoil", "reply"), TO_BOB, ids=[case[0] for case in TO_BOB])
def test_protecting_fails(
    company: Company, row: str, spoil: Callable[[Company], None], reply: str
) -> None:
    """R-01, R-03 to R-08, R-10, R-13, R-14, R-16, R-19, R-20: to the letter; nothing is sent."""
    spoil(company)
    outcome = company.send("relay", [BOB], message(ALICE, BOB, body="x" * 70 + "\r\n"))
    assert said(outcome) == reply
    assert explained(row, reply)
    assert company.world.relay.arrived == []
    assert company.world.relay.open_sessions == 0


@dataclass(frozen=True)
class Sent:
    """One message that is refused whatever the recipient has."""

    row: str
    content: bytes
    reply: str
    role: str = "relay"


REFUSED = (
    Sent(
        "R-12",
        message("eve@evil.example", PLAIN),
        "550 5.7.1 From not permitted: From <eve@evil.example> is not yours (R-12)",
    ),
    Sent(
        "R-54",
        b"Received: x\r\n" * 51 + message(ALICE, PLAIN),
        "554 5.4.6 too many hops, this looks like a loop (R-54)",
    ),
)


@pytest.mark.parametrize("sent", REFUSED, ids=[sent.row for sent in REFUSED])
def test_message_is_refused(company: Company, sent: Sent) -> None:
    """R-12, R-54: whatever the recipient has."""
    outcome = company.send(sent.role, [PLAIN], sent.content)
    assert said(outcome) == sent.reply
    assert explained(sent.row, sent.reply)
    assert company.arrived == []


def test_opening_waits_for_a_locked_keystore(company: Company) -> None:
    """R-49: mail for a key that we hold, nothing else."""
    content = encrypted(message(BOB, ALICE), company.ca, company.world.keystore.held[0])
    company.world.keystore.locked = True
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert str(outcome.reply) == "451 4.7.5 key store locked, try later (R-13)"
    assert company.send("mx", [ALICE], message(BOB, ALICE)).reply.code == 250


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_keystore_that_fails_once_is_asked_again(company: Company, direction: str) -> None:
    """R-14: once, and what needs a key goes on."""
    company.partner(BOB, key="p256")
    keystore = company.world.keystore
    content = encrypted(message(BOB, ALICE), company.ca, keystore.held[0])
    name = "signing_credentials" if direction == "outbound" else "decryption_credentials"
    answers, asked = getattr(keystore, name), []

    async def flaps(*arguments: object) -> object:
        asked.append(arguments)
        if len(asked) == 1:
            raise KeystoreError("token lost")
        return await answers(*arguments)

    setattr(keystore, name, flaps)
    if direction == "outbound":
        outcome = company.send("relay", [BOB], message(ALICE, BOB))
    else:
        outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert outcome.reply.code == 250
    assert len(asked) == 2


@pytest.mark.parametrize(
    "error",
    [KeystoreError("sealed", locked=True), KeystoreError("no answer", retryable=False)],
    ids=["locked", "slow"],
)
def test_keystore_that_cannot_know_better_is_asked_once(
    company: Company, error: KeystoreError
) -> None:
    """R-13, R-14: asking again would only take time."""
    company.partner(BOB, key="p256")
    asked = []

    async def fails(_: object) -> None:
        asked.append(1)
        raise error

    company.world.keystore.signing_credentials = fails  # type: ignore[method-assign,assignment]
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 451
    assert len(asked) == 1


def test_opening_waits_for_the_database(company: Company) -> None:
    """R-22: what must be remembered; other mail flows."""
    content = encrypted(message(BOB, ALICE), company.ca, company.world.keystore.held[0])
    company.world.sightings.broken = True
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert str(outcome.reply) == "451 4.3.0 database not reachable, try later (R-22)"
    assert company.send("mx", [ALICE], message(BOB, ALICE)).reply.code == 250


@pytest.mark.parametrize(
    ("required", "reply"),
    [
        ("signed", "550 5.7.7 a valid signature is required from this sender (R-52)"),
        ("encrypted", "550 5.7.1 encryption is required from this sender (R-52)"),
    ],
)
def test_requirement_is_not_met(required: str, reply: str) -> None:
    """R-52: the sender's server hears which of the two."""
    rules = '[[rule]]\nname = "r"\nwhy = "w"\nthen = {{ protect = "none", require = "{}" }}\n'
    company = Company(policy=rules.format(required))
    outcome = company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB)
    assert str(outcome.reply) == reply
    assert f"`{reply.removesuffix(' (R-52)')}`" in PAGE


def test_requirement_cannot_be_judged_now() -> None:
    """R-52: a directory that is down makes no sender's mail bounce."""
    rules = '[[rule]]\nname = "r"\nwhy = "w"\nthen = { protect = "none", require = "signed" }\n'
    company = Company(policy=rules)
    content = opaque_signed(company.ca.issue(BOB), BOB, ALICE)
    company.world.directory.broken = True
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    reply = "451 4.7.7 the signature cannot be judged now, try later (R-52)"
    assert str(outcome.reply) == reply
    assert f"`{reply.removesuffix(' (R-52)')}`" in PAGE
    company.world.directory.broken = False
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250


# --- the next hop and one message of several copies -----------------------------------------------


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (
            AuthenticationError("next hop refused the login: 535"),
            "451 4.7.0 next hop refused the login, try later",
        ),
        (
            NextHopTLSError("certificate verify failed"),
            "451 4.7.0 TLS with next hop not as required, try later",
        ),
        (NextHopError("connection refused"), "451 4.4.1 next hop not reachable, try later"),
    ],
    ids=["N-05", "N-26", "N-04"],
)
def test_next_hop_lets_nobody_in(company: Company, error: Exception, reply: str) -> None:
    """N-04, N-05, N-26: for now, and without the next hop's words."""

    async def refuses(*_: object, **__: object) -> None:
        raise error

    company.world.relay.open = refuses  # type: ignore[method-assign,assignment]
    outcome = company.send("relay", [PLAIN], message(ALICE, PLAIN))
    assert str(outcome.reply) == reply
    assert f"`{reply}`" in PAGE


@pytest.mark.parametrize(
    ("spoil", "reply"),
    [
        (lambda _: None, "550 5.7.5 <rcpt>: no usable certificate, encryption required (R-01)"),
        (_directory_down, "451 4.4.3 <rcpt>: directory not reachable, try later (R-06)"),
        (_no_crl, TO_BOB[4][2]),
    ],
    ids=["for good", "for now", "unknown"],
)
def test_one_copy_that_cannot_be_made_ends_all(
    company: Company, spoil: Callable[[Company], None], reply: str
) -> None:
    """N-19, N-21: nothing is sent to anybody, and the reply says because of whom."""
    spoil(company)
    people: Sequence[str] = [PLAIN, BOB]
    outcome = company.send("relay", people, message(ALICE, ", ".join(people)))
    assert said(outcome) == reply
    assert company.arrived == []
