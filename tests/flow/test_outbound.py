"""Outbound messages through the whole pipeline: what leaves, what is refused, what never leaks."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.limits import Limits
from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.mime.headers import field
from smimegw.pipeline.dots import IN_DOUBT
from smimegw.policy.choices import Protection
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Delivery, ReversePath
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import DAY, NOW, PAST, Issued, smtp_utf8
from tests.flow.canary import is_readable

ROOT = Path(__file__).parents[2]
ALICE = "alice@ours.example"
BOB = "bob@partner.example"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def opened(content: bytes, recipient: Issued) -> Entity:
    """What *recipient*'s own mail program would find inside."""
    layer = layer_of(Entity.parse(content))
    assert isinstance(layer, EncryptedLayer)
    key = DecryptionCredential(recipient.certificate, SoftwareDecryptionKey(recipient.key))
    return decrypt(layer, [key]).entity


def test_partner_mail_leaves_signed_inside_and_encrypted_outside(company: Company) -> None:
    """Sign-then-encrypt is a multipart/signed inside an enveloped-data (RFC 8551, 3.7)."""
    bob = company.partner(BOB)
    outcome = company.send("relay", [BOB], message(ALICE, BOB, body="geheim\r\n"))
    assert outcome.reply.code == 250
    inner = opened(company.arrived[0], bob)
    layer = layer_of(inner)
    assert isinstance(layer, SignedLayer)
    assert layer.content.endswith(b"\r\n\r\ngeheim\r\n") or b"geheim\r\n" in layer.content


def test_subject_and_addresses_stay_outside(company: Company) -> None:
    """Outer fields are those the client wrote (RFC 8551, 3.1)."""
    company.partner(BOB)
    company.send("relay", [BOB], message(ALICE, BOB, subject="plan"))
    header = Entity.parse(company.arrived[0]).header
    assert [entry.body for entry in header.all("subject")] == [b"plan"]
    assert [entry.body for entry in header.all("mime-version")] == [b"1.0"]


def test_clear_text_never_leaves_when_encryption_is_required(company: Company) -> None:
    """No certificate and refuse: nothing arrives (R-01)."""
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert str(outcome.reply) == (
        "550 5.7.5 <bob@partner.example>: no usable certificate, encryption required (R-01)"
    )
    assert company.arrived == []


def test_unreachable_directory_defers(company: Company) -> None:
    """Unknown is not "no certificate" (R-06)."""
    company.world.directory.broken = True
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.4.3")
    assert company.arrived == []


def test_unreachable_directory_defers_even_where_clear_would_be_allowed(company: Company) -> None:
    """A fall-back to clear needs the directory's own "none" (R-06)."""
    company.world.directory.broken = True
    outcome = company.send("relay", ["m@maybe.example"], message(ALICE, "m@maybe.example"))
    assert outcome.reply.code == 451
    assert company.arrived == []


def test_expired_certificate_is_named_with_its_date(company: Company) -> None:
    """The sender's help desk can act on the reply (R-03)."""
    company.partner(BOB, not_after=PAST)
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert outcome.reply.code == 550
    assert f"certificate expired {PAST.date().isoformat()}" in outcome.reply.text


def test_revoked_certificate_is_refused(company: Company) -> None:
    """A CRL in the directory that lists the serial counts (R-04, F15)."""
    bob = company.partner(BOB)
    company.world.directory.cas.clear()
    company.world.directory.publish_ca(company.ca, revoked=[bob])
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert "certificate revoked (R-04)" in outcome.reply.text


def test_unknown_revocation_status_defers(company: Company) -> None:
    """No CRL: neither good nor revoked (R-05)."""
    company.partner(BOB)
    company.world.directory.lists.clear()
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.7.5")


def test_certificate_of_another_address_is_as_good_as_none(company: Company) -> None:
    """A directory cannot redirect mail to somebody else's key (R-07, T-11)."""
    eve = company.ca.issue("eve@evil.example")
    company.world.directory.publish(BOB, eve.certificate)
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert "(R-01)" in outcome.reply.text


def test_signing_only_certificate_is_unsuitable(company: Company) -> None:
    """keyUsage without keyEncipherment is never encrypted to (R-08)."""
    company.partner(BOB, usage="sign")
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.6")


def test_two_people_with_one_address_get_nothing(company: Company) -> None:
    """Two entries with the same address and different subjects are a conflict (F11)."""
    for name in ("Bob Baker", "Bob Butcher"):
        issued = company.ca.issue(BOB, common_name=name)
        company.world.directory.publish(BOB, issued.certificate, owner=f"cn={name}")
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert outcome.reply.code == 550
    assert company.arrived == []


def test_good_certificate_is_found_beside_bad_ones(company: Company) -> None:
    """Expired, wrong usage and good: the good one is used (F05)."""
    company.partner(BOB, not_after=PAST)
    company.partner(BOB, usage="sign")
    bob = company.partner(BOB)
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    opened(company.arrived[0], bob)


def test_old_and_new_key_can_both_open_during_roll_over(company: Company) -> None:
    """Two valid certificates: the copy is for both keys (F24, R-09)."""
    old = company.partner(BOB, key="rsa", slot="old")
    new = company.partner(BOB, key="p256", slot="new")
    company.send("relay", [BOB], message(ALICE, BOB))
    assert opened(company.arrived[0], old) == opened(company.arrived[0], new)


def test_missing_signing_certificate_refuses_where_signing_is_required(company: Company) -> None:
    """The reply names whose certificate is missing (R-10)."""
    company.partner(BOB)
    outcome = company.send("relay", [BOB], message("carol@ours.example", BOB))
    assert "no signing certificate for <carol@ours.example> (R-10)" in outcome.reply.text


def test_locked_keystore_defers(company: Company) -> None:
    """Locked is for now, not for good (R-13)."""
    company.partner(BOB)
    company.world.keystore.locked = True
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.7.5")


@pytest.mark.parametrize(
    "sender",
    ["eve@evil.example", "a@ours.example, b@ours.example", "", "alice@ours.example\r\nFrom: b@x.y"],
    ids=["foreign domain", "two mailboxes", "empty", "two fields"],
)
def test_from_that_is_not_ours_is_refused(company: Company, sender: str) -> None:
    """The gateway is no signing oracle (R-12)."""
    outcome = company.send("relay", ["x@signed.example"], message(sender, "x@signed.example"))
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.1")
    assert company.arrived == []


def test_sender_field_of_somebody_else_is_refused(company: Company) -> None:
    """Sender: boss, From: alice by alice needs both to be owned (G14)."""
    content = message(ALICE, "x@signed.example", extra="Sender: boss@ours.example\r\n")
    outcome = company.send("submission", ["x@signed.example"], content, user=ALICE)
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.1")


def test_login_owns_only_its_own_address(company: Company) -> None:
    """On submission the From address belongs to the login (T-19)."""
    outcome = company.send(
        "submission",
        ["x@signed.example"],
        message(ALICE, "x@signed.example"),
        user="mallory@ours.example",
    )
    assert outcome.reply.code == 550


def test_message_without_from_is_refused(company: Company) -> None:
    """Nobody to sign for (A28)."""
    outcome = company.send("submission", ["x@signed.example"], b"just a body\r\n")
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.6.0")


def test_bcc_recipient_gets_a_copy_of_his_own(company: Company) -> None:
    """The visible copy's RecipientInfos do not name him (G09, T-22)."""
    bob, dave = company.partner(BOB), company.partner("dave@partner.example")
    content = message(ALICE, BOB, extra="Bcc: dave@partner.example\r\n")
    assert company.send("relay", [BOB, "dave@partner.example"], content).reply.code == 250
    by_recipient = {e.recipients[0]: e.content for e in company.world.relay.arrived}
    visible = layer_of(Entity.parse(by_recipient[BOB]))
    assert isinstance(visible, EncryptedLayer)
    assert len(visible.recipient_ids) == 1
    assert not visible.recipient_ids[0].matches(dave.certificate)
    opened(by_recipient["dave@partner.example"], dave)
    opened(by_recipient[BOB], bob)
    assert all(
        b"dave@partner.example" not in e.split(b"\r\n\r\n")[0]
        or e is by_recipient["dave@partner.example"]
        for e in by_recipient.values()
    )


def test_clear_copy_reaches_only_the_recipient_whose_rule_allows_it(company: Company) -> None:
    """Three treatments, three copies, the canary in one of them only (G05)."""
    canary = secrets.token_hex(16).encode()
    company.partner(BOB)
    company.partner("m@maybe.example")
    recipients = [BOB, "m@maybe.example", "plain@else.example"]
    content = message(ALICE, ", ".join(recipients), body=canary.decode() + "\r\n")
    assert company.send("relay", recipients, content).reply.code == 250
    readable = [e.recipients for e in company.world.relay.arrived if is_readable(canary, e.content)]
    assert readable == [["plain@else.example"]]


def test_default_policy_leaves_mail_between_our_own_people_alone() -> None:
    """Nobody would open it for them; the trigger word is removed all the same."""
    company = Company(policy=(ROOT / "policies" / "default.toml").read_text())
    company.user(ALICE)
    company.partner("dora@ours.example")
    content = message(ALICE, "dora@ours.example", subject="[secure] lunch")
    assert company.send("relay", ["dora@ours.example"], content).reply.code == 250
    arrived = Entity.parse(company.arrived[0])
    assert arrived.body == Entity.parse(content).body
    assert arrived.header.all("subject")[0].body == b"lunch"


def test_too_many_hidden_recipients_are_refused_with_advice() -> None:
    """Each needs a connection of his own while the copies are held."""
    company = Company(limits=Limits(copies=2))
    company.user(ALICE)
    hidden = [f"h{number}@partner.example" for number in range(3)]
    for address in hidden:
        company.partner(address, key="p256")
    outcome = company.send("relay", hidden, message(ALICE, "undisclosed-recipients:;"))
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.5.3")
    assert "3 different copies" in outcome.reply.text
    assert company.arrived == []


def test_next_hop_that_breaks_at_mail_leaves_no_connection(company: Company) -> None:
    """The reply is 451 and the half-open transaction is ended."""
    company.world.relay.script["mail"] = ["break"]
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert outcome.reply.code == 451
    assert company.world.relay.open_sessions == 0


def test_recipients_with_one_treatment_share_one_copy(company: Company) -> None:
    """Grouping saves transactions; each can open the shared copy."""
    bob, eva = company.partner(BOB), company.partner("eva@partner.example")
    content = message(ALICE, f"{BOB}, eva@partner.example")
    company.send("relay", [BOB, "eva@partner.example"], content)
    assert len(company.arrived) == 1
    assert opened(company.arrived[0], bob) == opened(company.arrived[0], eva)


def test_one_refused_recipient_refuses_the_whole_message(company: Company) -> None:
    """all_or_nothing: nobody gets anything, the sender is told who is the reason."""
    company.partner(BOB)
    recipients = [BOB, "none@partner.example"]
    outcome = company.send("relay", recipients, message(ALICE, ", ".join(recipients)))
    assert outcome.reply.text.startswith("<none@partner.example>: no usable certificate")
    assert company.arrived == []


def test_lmtp_client_gets_each_recipients_own_outcome(company: Company) -> None:
    """LMTP has one reply per recipient, so the others go out (RFC 2033, 4.2)."""
    company.partner(BOB)
    recipients = [BOB, "none@partner.example"]
    outcome = company.send(
        "relay", recipients, message(ALICE, ", ".join(recipients)), protocol="LMTP"
    )
    assert [reply.code for reply in outcome.per_recipient] == [250, 550]
    assert len(company.arrived) == 1


@pytest.mark.parametrize("step", ["open", "mail", "rcpt", "data"])
def test_trouble_before_the_first_dot_delivers_nothing(company: Company, step: str) -> None:
    """A second group's trouble ends the first group's held transaction (D10)."""
    company.partner(BOB)
    # the probe uses up the first answers: one open, one mail, two recipients
    used = {"open": 1, "mail": 1, "rcpt": 2, "data": 0}[step]
    company.world.relay.script[step] = [*([None] * used), None, "break"]
    recipients = [BOB, "plain@else.example"]
    outcome = company.send("relay", recipients, message(ALICE, ", ".join(recipients)))
    assert outcome.reply.code == 451
    assert company.arrived == []
    assert company.world.relay.open_sessions == 0


def test_refused_canary_delivers_nothing(company: Company) -> None:
    """The other copies stay undotted (D10)."""
    company.partner(BOB)
    company.world.relay.script["dot"] = [Reply(452, "4.3.1", "disk full")]
    recipients = [BOB, "plain@else.example"]
    outcome = company.send("relay", recipients, message(ALICE, ", ".join(recipients)))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.3.1")
    assert company.arrived == []


def test_dot_without_reply_is_in_doubt(company: Company) -> None:
    """Never counted as success, logged with the recipient."""
    company.world.relay.script["dot"] = ["break"]
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert outcome.reply == IN_DOUBT
    assert company.world.events.named("delivery.in_doubt")


def test_partial_delivery_asks_to_send_again(company: Company) -> None:
    """250 only after every next hop's 250."""
    company.partner(BOB)
    company.world.relay.script["dot"] = [None, Reply(451, "4.3.0", "later")]
    recipients = [BOB, "plain@else.example"]
    outcome = company.send("relay", recipients, message(ALICE, ", ".join(recipients)))
    assert outcome.reply.code == 451
    assert "delivered to 1 of 2, send again to finish" in outcome.reply.text


@pytest.mark.parametrize(
    ("code", "ours"), [(250, 250), (421, 451), (452, 451), (554, 554), (550, 554)]
)
def test_reply_to_the_dot_is_mirrored_by_class(company: Company, code: int, ours: int) -> None:
    """One group: 250, 451 or 554, with a text of our own (D17)."""
    company.world.relay.script["dot"] = [Reply(code, "", "mail-01.internal says hello")]
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert outcome.reply.code == ours
    assert "internal" not in outcome.reply.text


def test_unwritable_record_sends_nothing(company: Company) -> None:
    """No unaudited send (R-20)."""
    company.world.records.broken = True
    outcome = company.send("relay", ["x@else.example"], message(ALICE, "x@else.example"))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.3.0")
    assert company.arrived == []


def test_unexpected_exception_sends_nothing(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug costs time, never secrecy (R-17, T-23)."""
    company.partner(BOB)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret text")

    monkeypatch.setattr("smimegw.pipeline.protect.seal", broken)
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.3.0")
    assert "secret" not in outcome.reply.text
    assert company.arrived == []


def test_too_large_copy_is_refused_before_sending(company: Company) -> None:
    """The transformed size counts, not the received one (R-19)."""
    company.partner(BOB)
    company.world.relay.offers = Extensions(size=4000, eightbitmime=True)
    outcome = company.send("relay", [BOB], message(ALICE, BOB, body="x" * 70 * 20 + "\r\n"))
    assert (outcome.reply.code, outcome.reply.enhanced) == (552, "5.3.4")
    assert company.arrived == []


def test_loop_is_refused() -> None:
    """More Received fields than a real way has (R-54, P01)."""
    company = Company(limits=Limits(received_fields=5))
    extra = "Received: from a by b; Mon, 23 Nov 2026 12:00:00 +0000\r\n" * 6
    outcome = company.send(
        "relay", ["x@else.example"], message(ALICE, "x@else.example", extra=extra)
    )
    assert (outcome.reply.code, outcome.reply.enhanced) == (554, "5.4.6")


def test_forwarding_in_a_circle_ends() -> None:
    """Alice forwards to x, who forwards to Alice: after three turns it is refused (P03, R-54)."""
    company = Company()
    content, replies = message(ALICE, "x@else.example"), []
    for number in range(10):
        outbound = number % 2 == 0
        role, recipient = ("relay", "x@else.example") if outbound else ("mx", ALICE)
        replies.append(company.send(role, [recipient], content).reply)
        if not replies[-1].is_positive:
            break
        content = company.arrived[-1]
    assert [reply.code for reply in replies] == [250] * 6 + [554]
    assert replies[-1].enhanced == "5.4.6"


def test_own_encrypted_message_for_the_recipient_stays_untouched(company: Company) -> None:
    """A client that encrypted for that recipient has done the job (R-26)."""
    bob = company.partner(BOB)
    company.send("relay", [BOB], message(ALICE, BOB))
    protected = company.arrived[0]
    company.send("relay", [BOB], protected)
    first, second = Entity.parse(protected), Entity.parse(company.arrived[1])
    assert second.body == first.body
    opened(company.arrived[1], bob)


def test_own_encrypted_message_for_somebody_else_is_encrypted(company: Company) -> None:
    """Counted as protected only if it is encrypted for that recipient (R-26)."""
    company.partner(BOB)
    eva = company.partner("eva@partner.example")
    company.send("relay", [BOB], message(ALICE, BOB))
    company.send("relay", ["eva@partner.example"], company.arrived[0])
    opened(company.arrived[1], eva)


def test_own_signed_message_is_encrypted_and_not_signed_again(company: Company) -> None:
    """pkcs7-mime or multipart/signed is not yet encryption (G20, R-26)."""
    bob = company.partner(BOB)
    company.send("relay", ["x@signed.example"], message(ALICE, BOB))
    signed = Entity.parse(company.arrived[0])
    company.send("relay", [BOB], company.arrived[0])
    assert opened(company.arrived[1], bob).body == signed.body


def test_own_signature_of_another_spelling_does_not_count_where_spelling_does() -> None:
    """A domain with strict local parts tells Alice from alice, outbound as well as inbound."""
    company = Company()
    company.settings = replace(company.settings, strict_local_part=frozenset({"ours.example"}))
    company.gateway.settings = company.settings
    company.user(ALICE)
    company.user("Alice@ours.example")
    company.send("relay", ["x@signed.example"], message(ALICE, BOB))
    body = Entity.parse(company.arrived[0])
    from_other = body.header.replace(field("From", "Alice@ours.example"))
    company.send("relay", ["x@signed.example"], body.with_header(from_other).raw)
    layer = layer_of(Entity.parse(company.arrived[1]))
    assert isinstance(layer, SignedLayer)
    assert isinstance(layer_of(Entity.parse(layer.content)), SignedLayer)


def test_configured_limits_hold_for_signing() -> None:
    """What has more parts than we walk through is signed opaque, octet for octet."""
    company = Company(limits=Limits(mime_parts=1))
    company.user(ALICE)
    parts = "--b\r\n\r\n1 \r\n--b\r\n\r\n2 \r\n--b--\r\n"
    kind = "Content-Type: multipart/mixed; boundary=b\r\n"
    company.send("relay", ["x@signed.example"], message(ALICE, BOB, body=parts, extra=kind))
    layer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(layer, SignedLayer)
    assert layer.form is SignedForm.OPAQUE


def test_encrypting_delivery_cannot_be_built_without_proof() -> None:
    """The type state of the relay's parameter (G03, T-23)."""
    with pytest.raises(TypeError, match="Protected"):
        Delivery(
            reverse_path=ReversePath(mailbox=None),
            recipients=(),
            pieces=(b"clear text\r\n",),
            protection=Protection.ENCRYPT,
        )


def test_header_of_the_decision_is_recorded_without_content(company: Company) -> None:
    """The record says why; subject and content are nobody's business."""
    company.partner(BOB)
    company.send("relay", [BOB], message(ALICE, BOB, subject="topsecret", body="topsecret\r\n"))
    written = str(company.world.records.written) + str(company.world.events.emitted)
    assert "must encrypt" in written
    assert "topsecret" not in written


def test_client_gone_between_two_dots_does_not_stop_the_second(company: Company) -> None:
    """A commit that has begun runs to its end and is logged for everybody."""
    company.partner(BOB)
    recipients = [BOB, "plain@else.example"]
    relay = company.world.relay

    async def scenario() -> None:
        sending = asyncio.create_task(
            company.begin_and_finish("relay", recipients, message(ALICE, ", ".join(recipients)))
        )
        relay.pause_before_dot = asyncio.Event()
        await relay.reached_dot.wait()
        sending.cancel()
        await asyncio.sleep(0)
        relay.pause_before_dot.set()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(scenario())
    assert len(company.arrived) == 2
    assert len(company.world.events.named("recipient.delivered")) == 2
    assert relay.open_sessions == 0


def test_client_gone_before_the_first_dot_delivers_nothing(company: Company) -> None:
    """Nothing delivered, nothing kept."""
    relay = company.world.relay

    async def scenario() -> None:
        relay.pause_before_data = asyncio.Event()
        content = message(ALICE, "x@else.example")
        sending = asyncio.create_task(
            company.begin_and_finish("relay", ["x@else.example"], content)
        )
        await relay.reached_data.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(scenario())
    assert company.arrived == []
    assert relay.open_sessions == 0


def test_internationalised_address_is_encrypted_to(company: Company) -> None:
    """A non-ASCII local part is matched through SmtpUTF8Mailbox (RFC 9598, RFC 6531)."""
    address = "büro@partner.example"
    issued = company.ca.issue(None, san=[smtp_utf8(address)])
    company.world.directory.publish(address, issued.certificate)
    content = message(ALICE, address, subject="Grüße")
    assert company.send("relay", [address], content).reply.code == 250
    opened(company.arrived[0], issued)
    header = Entity.parse(company.arrived[0]).header
    assert [entry.body for entry in header.all("subject")] == ["Grüße".encode()]


def test_domain_in_national_letters_matches_its_ascii_form() -> None:
    """U-label in RCPT, A-label in the certificate (F26)."""
    company = Company(policy=POLICY.replace('"partner.example"', '"bücher.example"'))
    company.user(ALICE)
    bob = company.partner("bob@xn--bcher-kva.example")
    address = "bob@bücher.example"
    assert company.send("relay", [address], message(ALICE, address)).reply.code == 250
    opened(company.arrived[0], bob)


def test_overdue_crl_is_used_within_its_grace_time_and_named(company: Company) -> None:
    """A late CRL delays nobody for three days, and log and record say so (R-05)."""
    company.partner(BOB)
    overdue = company.ca.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    company.world.directory.lists[company.ca.certificate.subject_der] = [overdue]
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250
    (decided,) = company.world.events.named("recipient.decided")
    assert "overdue" in str(decided["status_of_cert"])
    assert "overdue" in str(company.world.records.written)
