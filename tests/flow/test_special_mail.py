"""Meeting requests, reports, and mail that the client protected: the rule decides for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from tests.fakes.company import POLICY, Company, message
from tests.flow.protected import encrypted, signed
from tests.flow.test_outbound import opened

POLICIES = Path(__file__).parents[2] / "policies"
ALICE = "alice@ours.example"
BOB, EVA = "bob@partner.example", "eva@partner.example"
SIGNED = "x@signed.example"
SPECIAL = """
[[rule]]
name = "meeting requests"
why = "test"
when.direction = "outbound"
when.media_type = ["text/calendar"]
when.recipient_domain = ["signed.example"]
then = { protect = "none" }

[[rule]]
name = "reports"
why = "test"
when = { direction = "outbound", null_reverse_path = true, recipient_domain = ["partner.example"] }
then = { protect = "sign-then-encrypt", without_certificate = "refuse", signature = "optional" }
"""
CALENDAR = (
    "--b\r\nContent-Type: text/plain\r\n\r\nPlease come.\r\n"
    "--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n--b--\r\n"
)
ALTERNATIVE = "Content-Type: multipart/alternative; boundary=b\r\n"
REPORT = (
    "--r\r\nContent-Type: text/plain\r\n\r\nYour mail could not be delivered.\r\n"
    "--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\n--r--\r\n"
)
REPORTING = (
    'Content-Type: multipart/report; report-type=delivery-status; boundary="r"\r\n'
    "Auto-Submitted: auto-replied\r\n"
)


@pytest.fixture
def company() -> Company:
    company = Company(policy=SPECIAL + POLICY)
    company.user(ALICE)
    return company


def test_meeting_request_gets_what_its_rule_says(company: Company) -> None:
    """The part may be anywhere; other mail to the same recipient is signed as before (G22)."""
    content = message(ALICE, SIGNED, body=CALENDAR, extra=ALTERNATIVE)
    company.send("relay", [SIGNED], content)
    assert Entity.parse(company.arrived[0]).body == Entity.parse(content).body
    company.send("relay", [SIGNED], message(ALICE, SIGNED))
    assert isinstance(layer_of(Entity.parse(company.arrived[1])), SignedLayer)


def test_meeting_request_is_encrypted_where_that_is_required(company: Company) -> None:
    """Never in clear because it is a calendar (G22)."""
    bob = company.partner(BOB)
    content = message(ALICE, BOB, body=CALENDAR, extra=ALTERNATIVE)
    assert company.send("relay", [BOB], content).reply.code == 250
    inner = layer_of(opened(company.arrived[0], bob))
    assert isinstance(inner, SignedLayer)
    assert Entity.parse(inner.content).content_type.media_type == "multipart/alternative"
    assert b"text/calendar; method=REQUEST" in inner.content


def test_report_needs_no_signature_but_the_encryption(company: Company) -> None:
    """Nobody has a key for MAILER-DAEMON; what it quotes stays secret (G22)."""
    bob = company.partner(BOB)
    content = message("MAILER-DAEMON@ours.example", BOB, body=REPORT, extra=REPORTING)
    assert company.send("relay", [BOB], content, reverse_path=None).reply.code == 250
    assert opened(company.arrived[0], bob).content_type.media_type == "multipart/report"


def test_report_is_not_sent_in_clear_where_encryption_is_required(company: Company) -> None:
    """No certificate, no report (G22, R-01)."""
    content = message("MAILER-DAEMON@ours.example", BOB, body=REPORT, extra=REPORTING)
    outcome = company.send("relay", [BOB], content, reverse_path=None)
    assert "(R-01)" in outcome.reply.text
    assert company.arrived == []


def test_letter_of_the_same_sender_still_needs_the_signature(company: Company) -> None:
    """Only the null reverse-path makes it a report (R-10)."""
    company.partner(BOB)
    content = message("MAILER-DAEMON@ours.example", BOB, body=REPORT, extra=REPORTING)
    outcome = company.send("relay", [BOB], content)
    assert "(R-10)" in outcome.reply.text


def test_report_that_is_signed_has_its_delivery_status_untouched(company: Company) -> None:
    """message/delivery-status is never encoded (RFC 3464, 2.1; G16)."""
    content = message(ALICE, SIGNED, body=REPORT, extra=REPORTING)
    company.send("relay", [SIGNED], content, reverse_path=None)
    layer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(layer, SignedLayer)
    assert layer.form is SignedForm.CLEAR
    assert layer.content.endswith(REPORT.encode())


RECEIPT = (
    "--r\r\n\r\nSeen.\r\n--r\r\nContent-Type: message/disposition-notification\r\n\r\n"
    "Disposition: manual-action/MDN-sent-manually; displayed\r\n\r\n--r--\r\n"
)
KINDS = {
    "out-of-office note": ("I am away.\r\n", "Auto-Submitted: auto-replied\r\n"),
    "read receipt": (
        RECEIPT,
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="r"\r\n',
    ),
    "bounce": (REPORT, REPORTING),
    "answer to an invitation": (CALENDAR.replace("REQUEST", "REPLY"), ALTERNATIVE),
}


@pytest.fixture(scope="module")
def strict() -> Company:
    """The shipped policy that demands encryption of everything; alice has a key, others none."""
    text = (POLICIES / "examples" / "strict.toml").read_text()
    company = Company(policy=text.replace("corp.example", "ours.example"))
    company.user(ALICE)
    company.partner("archive@ours.example")
    company.partner(BOB)
    return company


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sender", [ALICE, "MAILER-DAEMON@ours.example"])
def test_automatic_mail_is_encrypted_like_any_other(
    strict: Company, kind: str, sender: str
) -> None:
    """Signed by whoever has a key (G22)."""
    body, fields = KINDS[kind]
    before = len(strict.arrived)
    content = message(sender, BOB, body=body, extra=fields)
    assert strict.send("relay", [BOB], content, reverse_path=None).reply.code == 250
    (arrived,) = strict.arrived[before:]
    assert isinstance(layer_of(Entity.parse(arrived)), EncryptedLayer)
    (recorded,) = strict.world.records.written[-1]["recipients"]
    assert recorded["protect"] == ("sign+encrypt" if sender == ALICE else "encrypt")


@pytest.mark.parametrize("kind", KINDS)
def test_automatic_mail_never_leaves_in_clear_where_encryption_is_required(
    strict: Company, kind: str
) -> None:
    """What cannot be encrypted is refused (G22, R-01)."""
    body, fields = KINDS[kind]
    before = len(strict.arrived)
    content = message(ALICE, "carol@stranger.example", body=body, extra=fields)
    outcome = strict.send("relay", ["carol@stranger.example"], content, reverse_path=None)
    assert "(R-01)" in outcome.reply.text
    assert len(strict.arrived) == before


def test_whom_the_client_encrypted_for_shares_no_copy_with_whom_it_did_not(
    company: Company,
) -> None:
    """Bob's stays as the client made it, Eva's is encrypted for her (R-26)."""
    bob, eva = company.partner(BOB), company.partner(EVA)
    content = encrypted(message(ALICE, f"{BOB}, {EVA}"), company.ca, bob)
    assert company.send("relay", [BOB, EVA], content).reply.code == 250
    copies = {e.recipients[0]: e.content for e in company.world.relay.arrived}
    assert Entity.parse(copies[BOB]).body == Entity.parse(content).body
    opened(copies[EVA], eva)


def test_who_signs_himself_needs_no_key_here(company: Company) -> None:
    """His signature holds, so none of ours is wanted and none is missing (R-10, R-26)."""
    carol = company.ca.issue("carol@ours.example")
    content = signed(message("carol@ours.example", SIGNED), carol)
    assert company.send("relay", [SIGNED], content).reply.code == 250
    assert Entity.parse(company.arrived[0]).body == Entity.parse(content).body


def test_who_signs_himself_is_not_delayed_by_a_locked_keystore(company: Company) -> None:
    """No key of ours is used (R-13, R-26)."""
    company.world.keystore.locked = True
    carol, bob = company.ca.issue("carol@ours.example"), company.partner(BOB)
    content = signed(message("carol@ours.example", BOB), carol)
    assert company.send("relay", [BOB], content).reply.code == 250
    assert opened(company.arrived[0], bob).body == Entity.parse(content).body


def test_own_signature_that_does_not_hold_is_none(company: Company) -> None:
    """Signing is required and nobody signed (R-10)."""
    carol = company.ca.issue("carol@ours.example")
    content = signed(message("carol@ours.example", SIGNED, body="10 EUR\r\n"), carol)
    outcome = company.send("relay", [SIGNED], content.replace(b"10 EUR", b"90 EUR"))
    assert "(R-10)" in outcome.reply.text


def test_outer_signature_of_triple_wrap_needs_a_key_here() -> None:
    """The client's signature is inside (R-10; RFC 2634, 1.1)."""
    company = Company(policy=POLICY.replace("sign-then-encrypt", "sign-encrypt-sign"))
    carol = company.ca.issue("carol@ours.example")
    company.partner(BOB)
    outcome = company.send("relay", [BOB], signed(message("carol@ours.example", BOB), carol))
    assert "(R-10)" in outcome.reply.text


def test_what_the_client_encrypted_and_then_signed_stays_untouched(company: Company) -> None:
    """Encrypted for the recipient under a signature that holds: nothing is missing (R-26)."""
    alice, bob = company.user(ALICE), company.partner(BOB)
    content = signed(encrypted(message(ALICE, BOB), company.ca, bob), alice)
    assert company.send("relay", [BOB], content).reply.code == 250
    assert Entity.parse(company.arrived[0]).body == Entity.parse(content).body


def test_what_the_client_encrypted_for_another_and_signed_is_encrypted(company: Company) -> None:
    """Only a RecipientInfo of the recipient counts, whatever is around it (R-26)."""
    alice, bob, eva = company.user(ALICE), company.partner(BOB), company.partner(EVA)
    content = signed(encrypted(message(ALICE, EVA), company.ca, bob), alice)
    assert company.send("relay", [EVA], content).reply.code == 250
    assert opened(company.arrived[0], eva).body == Entity.parse(content).body


def test_own_signature_is_kept_inside_and_outside_of_triple_wrap() -> None:
    """The inner one is the client's, the outer one ours (R-26; RFC 2634, 1.1)."""
    company = Company(policy=POLICY.replace("sign-then-encrypt", "sign-encrypt-sign"))
    alice, bob = company.user(ALICE), company.partner(BOB)
    content = signed(message(ALICE, BOB), alice)
    assert company.send("relay", [BOB], content).reply.code == 250
    outer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(outer, SignedLayer)
    inner = opened(outer.content, bob)
    assert inner.body == Entity.parse(content).body


def test_triple_wrapped_mail_is_opened_by_its_receiver_s_gateway() -> None:
    """Both signatures pass, the content is what Alice wrote (RFC 2634, 1.1)."""
    carol = "carol@ours.example"
    policy = POLICY.replace("sign-then-encrypt", "sign-encrypt-sign")
    company = Company(policy=policy.replace("partner.example", "ours.example"))
    company.user(ALICE)
    company.world.directory.publish(carol, company.user(carol).certificate)
    content = message(ALICE, carol, body="geheim\r\n")
    assert company.send("relay", [carol], content).reply.code == 250
    assert company.send("mx", [carol], company.arrived[0], reverse_path=ALICE).reply.code == 250
    arrived = Entity.parse(company.arrived[1])
    passed = [b"result=pass" in entry.body for entry in arrived.header.all("x-smimegw-signature")]
    assert passed == [True, True]
    assert b"geheim" in arrived.body


def test_triple_wrapped_mail_is_signed_encrypted_and_signed() -> None:
    """Three layers, the ciphertext in the middle, and the log says so (RFC 2634, 1.1)."""
    company = Company(policy=POLICY.replace("sign-then-encrypt", "sign-encrypt-sign"))
    company.user(ALICE)
    bob = company.partner(BOB)
    assert company.send("relay", [BOB], message(ALICE, BOB, body="geheim\r\n")).reply.code == 250
    outer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(outer, SignedLayer)
    assert isinstance(layer_of(Entity.parse(outer.content)), EncryptedLayer)
    assert isinstance(layer_of(opened(outer.content, bob)), SignedLayer)
    assert b"geheim" not in company.arrived[0]
    (decided,) = company.world.events.named("recipient.decided")
    assert decided["protect"] == "sign+encrypt+sign"
