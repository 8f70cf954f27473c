"""Archives and senders who can open every encrypted copy, and that nothing leaves without them."""

from __future__ import annotations

import pytest

from smimegw.errors import DirectoryError
from smimegw.mime.entity import Entity
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import PAST, Issued
from tests.flow.protected import encrypted
from tests.flow.test_outbound import opened

ALICE = "alice@ours.example"
BOB, EVA, DAVE = "bob@partner.example", "eva@partner.example", "dave@partner.example"
ARCHIVE = "archive@ours.example"


def company_with(then: str = f', also_encrypt_for = ["{ARCHIVE}"]') -> Company:
    """A company whose rule for partners says *then*, too."""
    company = Company(policy=POLICY.replace('"refuse" }', f'"refuse"{then} }}'))
    company.user(ALICE)
    return company


def layer(content: bytes) -> EncryptedLayer:
    found = layer_of(Entity.parse(content))
    assert isinstance(found, EncryptedLayer)
    return found


def names(content: bytes, *people: Issued) -> list[bool]:
    """Who can open it."""
    ids = layer(content).recipient_ids
    return [any(entry.matches(person.certificate) for entry in ids) for person in people]


def test_archive_can_open_the_copy_and_gets_none() -> None:
    """One more RecipientInfo, no more recipients (G11)."""
    company = company_with()
    bob, archive = company.partner(BOB), company.partner(ARCHIVE)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    (arrived,) = company.world.relay.arrived
    assert arrived.recipients == [BOB]
    assert opened(arrived.content, archive) == opened(arrived.content, bob)
    assert len(layer(arrived.content).recipient_ids) == 2


def test_hidden_recipient_is_in_no_copy_but_his_own() -> None:
    """Visible recipients and the archive in one, Dave and the archive in the other (G09, G11)."""
    company = company_with()
    people = [company.partner(address) for address in (BOB, EVA, DAVE, ARCHIVE)]
    content = message(ALICE, f"{BOB}, {EVA}")
    assert company.send("relay", [BOB, EVA, DAVE], content).reply.code == 250
    copies = {tuple(e.recipients): e.content for e in company.world.relay.arrived}
    assert names(copies[(BOB, EVA)], *people) == [True, True, False, True]
    assert names(copies[(DAVE,)], *people) == [False, False, True, True]
    assert [len(layer(copy).recipient_ids) for copy in copies.values()] == [3, 2]


@pytest.mark.parametrize(
    ("options", "reply"),
    [
        (None, "no usable certificate, encryption required (R-01)"),
        ({"not_after": PAST}, f"certificate expired {PAST.date().isoformat()} (R-03)"),
        ({"usage": "sign"}, "certificate not suitable: key-usage (R-08)"),
    ],
)
def test_nothing_leaves_that_the_archive_could_not_open(
    options: dict[str, object] | None, reply: str
) -> None:
    """The reply names the archive, so that the help desk looks in the right place."""
    company = company_with()
    company.partner(BOB)
    if options is not None:
        company.partner(ARCHIVE, **options)
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert outcome.reply.code == 550
    assert outcome.reply.text == f"<{ARCHIVE}>: {reply}"
    assert company.arrived == []


def test_directory_that_does_not_know_the_archive_now_defers() -> None:
    """Unknown is not "none" (R-06)."""
    company = company_with()
    company.partner(BOB)
    find = company.world.directory.find

    async def without_archive(mailbox: object) -> object:
        if str(getattr(mailbox, "address", "")) == ARCHIVE:
            raise DirectoryError("connection refused", server="memory")
        return await find(mailbox)  # type: ignore[arg-type]

    company.world.directory.find = without_archive  # type: ignore[method-assign,assignment]
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.4.3")
    assert outcome.reply.text.startswith(f"<{ARCHIVE}>")
    assert company.arrived == []


def test_lmtp_recipients_without_an_archive_are_not_touched() -> None:
    """Only the rule with the archive needs it."""
    company = company_with()
    company.partner(BOB)
    recipients = [BOB, "x@signed.example"]
    content = message(ALICE, ", ".join(recipients))
    outcome = company.send("relay", recipients, content, protocol="LMTP")
    assert [reply.code for reply in outcome.per_recipient] == [550, 250]
    assert [entry.recipients for entry in company.world.relay.arrived] == [["x@signed.example"]]


def test_recipient_who_is_the_archive_is_named_once() -> None:
    """One RecipientInfo for each certificate."""
    company = company_with(f', also_encrypt_for = ["{BOB}"]')
    company.partner(BOB)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert len(layer(company.arrived[0]).recipient_ids) == 1


def test_sender_can_open_the_copy_where_the_rule_says_so() -> None:
    """`encrypt_to_sender` (G11)."""
    company = company_with(", encrypt_to_sender = true")
    bob, alice = company.partner(BOB), company.partner(ALICE)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert names(company.arrived[0], bob, alice) == [True, True]


def test_sender_cannot_open_the_copy_where_no_rule_says_so() -> None:
    """Nobody but the recipients is named (G11)."""
    company = company_with("")
    bob, alice = company.partner(BOB), company.partner(ALICE)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    assert names(company.arrived[0], bob, alice) == [True, False]


def test_what_the_client_encrypted_without_the_archive_is_refused() -> None:
    """A layer around it would hold one that the archive cannot open (R-26)."""
    company = company_with()
    bob, _ = company.partner(BOB), company.partner(ARCHIVE)
    outcome = company.send("relay", [BOB], encrypted(message(ALICE, BOB), company.ca, bob))
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.5")
    assert f"not for <{ARCHIVE}>" in outcome.reply.text
    assert company.arrived == []


def test_what_the_client_encrypted_with_the_archive_stays_untouched() -> None:
    """All who must read it are named (R-26)."""
    company = company_with()
    bob, archive = company.partner(BOB), company.partner(ARCHIVE)
    content = encrypted(message(ALICE, BOB), company.ca, bob, archive)
    assert company.send("relay", [BOB], content).reply.code == 250
    assert Entity.parse(company.arrived[0]).body == Entity.parse(content).body
    (decided,) = company.world.events.named("recipient.decided")
    assert decided["algo"] == "own"


def test_record_says_who_can_open_a_copy_and_how() -> None:
    """Years later somebody asks who could read it."""
    company = company_with()
    company.partner(BOB)
    company.partner(ARCHIVE, key="p256")
    company.send("relay", [BOB], message(ALICE, BOB))
    (group,) = company.world.records.written[-1]["groups"]
    assert (group["recipients"], group["readers"]) == ([BOB], [BOB, ARCHIVE])
    assert (group["cipher"], group["keys"]) == ("aes-256-cbc", ["rsa-pkcs1v15", "ecdh-sha256kdf"])


def test_record_says_who_else_is_missing() -> None:
    """The recipient's line has the refusal."""
    company = company_with()
    company.partner(BOB)
    company.send("relay", [BOB], message(ALICE, BOB))
    (recorded,) = company.world.records.written[-1]["recipients"]
    assert (recorded["refusal"], recorded["note"]) == ("R-01", f"because of <{ARCHIVE}>")
