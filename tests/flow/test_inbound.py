"""Inbound messages through the whole pipeline: what the recipient gets and is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.encrypt import encrypt
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.company import Company, message
from tests.fakes.pki import NOW, PAST, Issued, make_ca
from tests.flow.protected import encrypted, signed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def fields(content: bytes, name: str) -> list[str]:
    return [entry.body.decode() for entry in Entity.parse(content).header.all(name)]


def receive(company: Company, content: bytes, *to: str) -> bytes:
    outcome = company.send("mx", to or (ALICE,), content, reverse_path=BOB)
    assert outcome.reply.code == 250
    return company.arrived[-1]


def test_clear_signed_mail_passes_and_keeps_its_bytes(company: Company) -> None:
    """The client can verify too (R-40, I01)."""
    content = signed(message(BOB, ALICE), company.ca.issue(BOB))
    arrived = receive(company, content)
    assert Entity.parse(arrived).body == Entity.parse(content).body
    (results,) = fields(arrived, "authentication-results")
    assert results.startswith("gw.ours.example; smime=pass (signature valid)")
    assert "body.smime-identifier=bob@partner.example" in results
    assert fields(arrived, "x-smimegw-status") == ["signed=pass; encrypted=no; integrity=signed"]


def test_encrypted_signed_mail_is_opened_and_passes(company: Company) -> None:
    """Encryption outside the signature passes on layer 1 (I15)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    inner = signed(message(BOB, ALICE, body="geheim\r\n"), company.ca.issue(BOB))
    arrived = receive(company, encrypted(inner, company.ca, alice))
    assert b"geheim\r\n" in arrived
    (signature,) = fields(arrived, "x-smimegw-signature")
    assert signature.startswith("layer=1; result=pass; signer=bob@partner.example; fpr=sha256:")
    (encryption,) = fields(arrived, "x-smimegw-encryption")
    assert "result=decrypted; cipher=aes-256-cbc; integrity=none" in encryption


def test_encrypted_inside_signed_is_opened(company: Company) -> None:
    """The reverse order: a signature over the ciphertext (triple wrap's outer half)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    inner = encrypted(message(BOB, ALICE, body="geheim\r\n"), company.ca, alice)
    arrived = receive(company, signed(inner, company.ca.issue(BOB)))
    assert b"geheim\r\n" in arrived
    assert fields(arrived, "x-smimegw-status")[0].startswith("signed=pass; encrypted=yes")


def test_opaque_signed_mail_is_unwrapped(company: Company) -> None:
    """A phone without S/MIME can read it (delivery: message form)."""
    arrived = receive(company, signed(message(BOB, ALICE), company.ca.issue(BOB), opaque=True))
    assert Entity.parse(arrived).body == b"text\r\n"
    assert "smime=pass" in fields(arrived, "authentication-results")[0]


def test_original_is_kept_beside_the_unwrapped_mail() -> None:
    """keep_original: the attachment is byte-identical to what arrived (K13)."""
    company = Company(keep_original=True)
    content = signed(message(BOB, ALICE), company.ca.issue(BOB), opaque=True)
    assert content in receive(company, content)


def test_gcm_is_reported_as_authenticated(company: Company) -> None:
    """AuthEnvelopedData notices changes by itself (RFC 5083)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    content = encrypted(message(BOB, ALICE), company.ca, alice, cipher=ContentCipher.AES_256_GCM)
    arrived = receive(company, content)
    assert fields(arrived, "x-smimegw-status") == [
        "signed=none; encrypted=yes; integrity=authenticated"
    ]


def test_changed_content_fails_and_stays_as_it_came(company: Company) -> None:
    """Digest wrong: the message is handed on unchanged with the reason (R-41, I03)."""
    content = signed(message(BOB, ALICE), company.ca.issue(BOB)).replace(b"text\r\n", b"TEXT\r\n")
    arrived = receive(company, content)
    assert Entity.parse(arrived).body == Entity.parse(content).body
    assert 'smime=fail reason="digest"' in fields(arrived, "authentication-results")[0]


@pytest.mark.parametrize(
    ("options", "result", "reason"),
    [
        ({"not_after": PAST}, "policy", "expired"),
        ({"usage": "encrypt"}, "policy", "key-usage"),
        ({"eku": []}, "pass", ""),
    ],
    ids=["expired", "wrong usage", "no EKU"],
)
def test_signers_certificate_is_judged(
    company: Company, options: dict[str, object], result: str, reason: str
) -> None:
    """Mathematically right is not enough (R-42, I19)."""
    signer = company.ca.issue(BOB, **options)  # type: ignore[arg-type]
    results = fields(
        receive(company, signed(message(BOB, ALICE), signer)), "authentication-results"
    )[0]
    assert f"smime={result}" in results
    assert not reason or f'reason="{reason}"' in results


def test_unknown_authority_is_untrusted(company: Company) -> None:
    """A chain to nobody we know (R-43, I17)."""
    stranger = make_ca("Stranger CA").issue(BOB)
    arrived = receive(company, signed(message(BOB, ALICE), stranger))
    assert 'smime=policy reason="untrusted-ca"' in fields(arrived, "authentication-results")[0]


def test_revoked_signer_fails(company: Company) -> None:
    """The CRL of the directory names the signer (R-45, I22)."""
    signer = company.ca.issue(BOB)
    company.world.directory.cas.clear()
    company.world.directory.publish_ca(company.ca, revoked=[signer])
    arrived = receive(company, signed(message(BOB, ALICE), signer))
    assert 'smime=fail reason="revoked"' in fields(arrived, "authentication-results")[0]


def test_unknown_revocation_is_never_shown_as_good(company: Company) -> None:
    """No CRL at hand: temperror (R-46, I22)."""
    company.world.directory.lists.clear()
    arrived = receive(company, signed(message(BOB, ALICE), company.ca.issue(BOB)))
    assert "smime=temperror" in fields(arrived, "authentication-results")[0]


def test_unreachable_directory_is_a_temporary_error(company: Company) -> None:
    """An issuer that cannot be asked for is not an untrusted one (R-46)."""
    issuing = make_ca("Flow Issuing CA", parent=company.ca)
    content = signed(message(BOB, ALICE), replace(issuing.issue(BOB), chain=()))
    company.world.directory.broken = True
    arrived = receive(company, content)
    assert 'smime=temperror reason="directory"' in fields(arrived, "authentication-results")[0]


@pytest.mark.parametrize(
    "sender",
    [
        "ceo@ours.example",
        "ceo@ours.example, bob@partner.example",
        "bob@partner.example\r\nFrom: ceo@ours.example",
        "bob@partner.example (ceo@ours.example",
        "ceo@ours.example <bob@partner.example>",
        "<bob@partner.example> ceo@ours.example",
        "team: bob@partner.example;",
        "=?utf-8?q?ceo=40ours.example?= bob@partner.example",
    ],
)
def test_spoofed_from_never_passes(company: Company, sender: str) -> None:
    """The signer is compared with exactly one mailbox in exactly one From (I07)."""
    arrived = receive(company, signed(message(sender, ALICE), company.ca.issue(BOB)))
    assert "smime=pass" not in arrived.split(b"\r\n\r\n")[0].decode("latin-1")


def test_display_name_with_another_address_is_warned_of(company: Company) -> None:
    """Signed by eve for eve, dressed as alice (I05)."""
    eve = "eve@evil.example"
    arrived = receive(company, signed(message(f'"{ALICE}" <{eve}>', ALICE), company.ca.issue(eve)))
    assert "smime=pass" in fields(arrived, "authentication-results")[0]
    assert fields(arrived, "x-smimegw-from-warning")


def test_signed_part_among_unsigned_text_is_not_signed(company: Company) -> None:
    """Only the root entity counts (I09)."""
    part = signed(b"\r\ninner\r\n", company.ca.issue(BOB))
    body = b"--b\r\n\r\nhello\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    content = message(
        BOB,
        ALICE,
        extra='Content-Type: multipart/mixed; boundary="b"\r\n',
        body=body.decode("latin-1"),
    )
    arrived = receive(company, content)
    assert 'smime=neutral reason="partial"' in fields(arrived, "authentication-results")[0]


def test_mail_without_our_key_stays_encrypted(company: Company) -> None:
    """Ciphertext unchanged and the reason (R-47)."""
    content = encrypted(message(BOB, ALICE), company.ca, company.ca.issue(ALICE, slot="elsewhere"))
    arrived = receive(company, content)
    assert Entity.parse(arrived).body == Entity.parse(content).body
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=no-key"]


def test_key_opens_only_its_owners_copy(company: Company) -> None:
    """Ciphertext for alice sent to alice and bob: he gets ciphertext (J09, T-06)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    company.user("dora@ours.example")
    content = encrypted(message(BOB, ALICE, body="geheim\r\n"), company.ca, alice)
    receive(company, content, ALICE, "dora@ours.example")
    readable = {e.recipients[0]: b"geheim" in e.content for e in company.world.relay.arrived}
    assert readable == {ALICE: True, "dora@ours.example": False}


def test_ciphertext_for_alice_sent_to_bob_only_stays_closed(company: Company) -> None:
    """Possession of a key is not enough, it must be the recipient's (J09)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    content = encrypted(message(BOB, ALICE, body="geheim\r\n"), company.ca, alice)
    assert b"geheim" not in receive(company, content, "dora@ours.example")


@pytest.mark.parametrize("cipher", [ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM])
def test_broken_ciphertext_is_reported_with_one_word(
    company: Company, cipher: ContentCipher
) -> None:
    """All inner causes look the same outside (R-48, H19)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    content = encrypted(message(BOB, ALICE), company.ca, alice, cipher=cipher)
    lines = Entity.parse(content).body.whole().split(b"\r\n")
    lines[-3] = lines[-3][:4] + (b"AAAA" if lines[-3][4:8] != b"AAAA" else b"BBBB") + lines[-3][8:]
    arrived = receive(company, Entity.parse(content).header.raw + b"\r\n" + b"\r\n".join(lines))
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=failed"]


def test_encrypted_part_in_a_larger_message_stays_closed(company: Company) -> None:
    """Attacker's HTML around it is how EFAIL works (J01)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    part = encrypted(b"\r\ngeheim\r\n", company.ca, alice)
    body = b"--b\r\n\r\n<img src='http://x/?\r\n--b\r\n" + part + b"\r\n--b\r\n\r\n'>\r\n--b--\r\n"
    content = message(
        BOB,
        ALICE,
        extra='Content-Type: multipart/mixed; boundary="b"\r\n',
        body=body.decode("latin-1"),
    )
    assert b"geheim" not in receive(company, content)


def test_locked_keystore_delays_only_mail_for_its_keys(company: Company) -> None:
    """Delay, never a wrong "no key" (R-49); other mail flows."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.locked = True
    content = encrypted(message(BOB, ALICE), company.ca, alice)
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 451
    assert company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB).reply.code == 250


def test_more_layers_than_the_limit_leave_the_message_unchanged() -> None:
    """Nesting is bounded, and nothing is half opened (R-50, H05)."""
    company = Company(limits=Limits(layers=2))
    content = message(BOB, ALICE)
    for _ in range(3):
        content = signed(content, company.ca.issue(BOB))
    arrived = receive(company, content)
    assert Entity.parse(arrived).body == Entity.parse(content).body
    assert 'smime=permerror reason="limits"' in fields(arrived, "authentication-results")[0]


def test_doubled_content_type_is_a_permanent_error(company: Company) -> None:
    """Two readers would see two messages (R-51, I26)."""
    content = signed(message(BOB, ALICE), company.ca.issue(BOB))
    content = b"Content-Type: text/plain\r\n" + content
    arrived = receive(company, content)
    assert "smime=permerror" in fields(arrived, "authentication-results")[0]
    assert Entity.parse(arrived).body == Entity.parse(content).body


@pytest.mark.parametrize(
    "forged",
    [
        "X-Smimegw-Status: signed=pass",
        "x-SMIMEGW-signature : result=pass",
        "Authentication-Results: gw.ours.example; smime=pass",
        "Authentication-Results: (hi) GW.Ours.Example. ; smime=pass",
        'Authentication-Results: "gw.ours.example"; smime=pass',
        "Authentication-Results: (((; smime=pass",
        "ARC-Authentication-Results: i=1; gw.ours.example; smime=pass",
        "X-Djigzo-Info-Signer-Verified: true",
    ],
)
def test_forged_results_are_removed(company: Company, forged: str) -> None:
    """Only what we add ourselves may be believed (K01, K03, K05, T-01)."""
    arrived = receive(company, message(BOB, ALICE, extra=forged + "\r\n"))
    head = arrived.split(b"\r\n\r\n")[0].decode()
    assert "pass" not in head
    assert "true" not in head
    assert fields(arrived, "x-smimegw-removed") == ["n=1"]


def test_results_of_others_are_kept(company: Company) -> None:
    """A foreign authserv-id is somebody else's statement (K05)."""
    foreign = "Authentication-Results: mx.other.example; spf=pass"
    arrived = receive(company, message(BOB, ALICE, extra=foreign + "\r\n"))
    assert "mx.other.example; spf=pass" in fields(arrived, "authentication-results")


def test_our_fields_inside_encrypted_content_are_not_promoted(company: Company) -> None:
    """Of an inner header section only Content-* is taken (K07)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    evil = b"X-Smimegw-Status: signed=pass\r\nContent-Type: text/plain\r\n\r\nhello\r\n"

    content = encrypted_raw(evil, company, alice)
    arrived = receive(company, content)
    assert fields(arrived, "x-smimegw-status") == ["signed=none; encrypted=yes; integrity=none"]


def encrypted_raw(inner: bytes, company: Company, recipient: Issued) -> bytes:
    """A message whose encrypted content is exactly *inner*."""
    evidence = Evidence(trust_anchors=(company.ca.certificate,), require_revocation=False)
    to = validate(
        recipient.certificate,
        evidence,
        purpose=Purpose.ENCRYPTION,
        mailbox=recipient.certificate.mailboxes[0],
        now=NOW,
    )
    result = encrypt(Entity.parse(inner), [to])
    outer = Entity.parse(message(BOB, ALICE)).header
    header = HeaderSection((*outer, *result.header))
    return header.raw + b"\r\n" + b"".join(result.pieces())


def test_results_stand_above_received_and_everything_old(company: Company) -> None:
    """A reader who trusts only the topmost fields is right (K15)."""
    arrived = receive(company, message(BOB, ALICE))
    names = [entry.lower_name for entry in Entity.parse(arrived).header]
    assert names.index("authentication-results") < names.index("received") < names.index("from")


def test_hostile_names_in_a_certificate_stay_one_field(company: Company) -> None:
    """Issuer and subject are strangers' text (K11)."""
    evil_ca = make_ca('E\r\nX-Smimegw-Status: signed=pass; "x" =?utf-8?q?x?=é')
    arrived = receive(company, signed(message(BOB, ALICE), evil_ca.issue(BOB)))
    head = Entity.parse(arrived).header
    assert len(head.all("x-smimegw-status")) == 1
    assert all(len(line) <= 998 for line in head.raw.split(b"\r\n"))


def test_smuggled_end_of_data_inside_an_opaque_message_does_not_leave(company: Company) -> None:
    """LF.LF comes out of the signature, not out of the gateway (A12)."""
    evil = "hello\r\n\n.\nMAIL FROM:<x@y.z>\n"
    content = signed(message(BOB, ALICE), company.ca.issue(BOB), opaque=True)
    assert receive(company, content)
    inner = b"Content-Type: text/plain\r\n\r\n" + evil.encode()
    company.world.keystore.add(alice := company.ca.issue(ALICE, slot="smuggle"))
    arrived = receive(company, encrypted_raw(inner, company, alice))
    assert b"\n.\n" not in arrived
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=failed"]


@pytest.mark.parametrize(("require", "enhanced"), [("signed", "5.7.7"), ("encrypted", "5.7.1")])
def test_partner_rule_that_is_not_met_is_refused(require: str, enhanced: str) -> None:
    """The sender's server bounces (R-52)."""
    policy = f"""
[[rule]]
name = "in"
why = "test"
when = {{ direction = "inbound" }}
then = {{ require = "{require}" }}

[[rule]]
name = "out"
why = "test"
when = {{ direction = "outbound" }}
then = {{ protect = "none" }}
"""
    company = Company(policy=policy)
    outcome = company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB)
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, enhanced)
    assert company.arrived == []


def test_recipient_outside_is_refused_at_rcpt(company: Company) -> None:
    """The listener for mail from outside is nobody's relay, and the refusal is logged."""
    outcome = company.send("mx", ["x@third.example"], message(BOB, ALICE), reverse_path=BOB)
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.1")
    assert company.world.events.named("message.refused")[0]["stage"] == "RCPT"
    assert "rcpt" not in company.world.relay.steps


def test_null_reverse_path_is_relayed(company: Company) -> None:
    """Delivery reports have no sender (RFC 5321, 4.5.5)."""
    outcome = company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=None)
    assert outcome.reply.code == 250
    assert company.world.relay.arrived[0].reverse_path is None


@pytest.mark.parametrize("content", [b"", b"only a body\r\n", b"Subject: only a header\r\n"])
def test_odd_content_is_delivered(company: Company, content: bytes) -> None:
    """Empty, header only or body only: delivered with results on top (A28)."""
    arrived = receive(company, content)
    assert content in arrived
    assert b"\r\n\r\n" in arrived
