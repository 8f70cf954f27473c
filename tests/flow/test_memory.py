"""What inbound mail teaches the gateway, and what it remembers of what it saw."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import OURS, Capabilities, Capability
from smimegw.memory import (
    Candidate,
    CandidateState,
    Correspondent,
    NoCorrespondents,
    NoSightings,
)
from smimegw.mime.entity import Entity
from smimegw.pipeline import harvest
from smimegw.pipeline.admit import Gateway
from smimegw.smtp.reply import Reply
from tests.fakes.clock import SetClock
from tests.fakes.company import Company, message
from tests.fakes.pki import DAY, NOW, PAST, Issued, make_ca
from tests.fakes.ports import ListedEvents, World
from tests.flow.protected import encrypted, signed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
EVE = "eve@elsewhere.example"
POOR = Capabilities((Capability("2.16.840.1.101.3.4.1.2"),))
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def company(clock: SetClock) -> Company:
    company = Company(world=World(clock=clock))
    company.user(ALICE, key="p256")
    return company


def fields(content: bytes, name: str) -> list[str]:
    return [entry.body.decode() for entry in Entity.parse(content).header.all(name)]


def receive(company: Company, content: bytes, *to: str) -> bytes:
    outcome = company.send("mx", to or (ALICE,), content, reverse_path=BOB)
    assert outcome.reply.code == 250
    return company.arrived[-1]


def learned(company: Company, address: str = BOB) -> Correspondent | None:
    mailbox = Mailbox.parse(address)
    found = asyncio.run(company.world.correspondents.find([mailbox]))
    return found.get(mailbox.key)


def candidates(company: Company, address: str = BOB) -> list[tuple[str, str]]:
    entries = company.world.correspondents.learned
    key = Mailbox.parse(address).key
    return [(e.certificate.fingerprint, e.state.value) for e in entries if e.mailbox_key == key]


def mail(company: Company, signer: Issued, **options: object) -> bytes:
    return signed(message(BOB, ALICE), signer, **options)  # type: ignore[arg-type]


def alices_key(company: Company) -> Issued:
    return company.world.keystore.held[0]


# --- capabilities --------------------------------------------------------------------------------


def test_verified_mail_teaches_capabilities(company: Company) -> None:
    """What stands under the signature is kept for the mailbox (RFC 8551, 2.5.2)."""
    bob = company.ca.issue(BOB, key="p256")
    receive(company, mail(company, bob))
    found = learned(company)
    assert found
    assert (found.capabilities, found.learned_at) == (OURS, NOW)
    assert found.fingerprint == bob.certificate.fingerprint


def test_mail_signed_inside_the_encryption_teaches_too(company: Company) -> None:
    """The usual order."""
    inner = mail(company, company.ca.issue(BOB, key="p256"))
    receive(company, encrypted(inner, company.ca, alices_key(company)))
    assert learned(company)


def test_without_an_attribute_the_certificate_tells(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its issuer was told what its owner reads (RFC 4262)."""
    monkeypatch.setattr("smimegw.smime.sign.OURS", None)
    oid = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
    extension = x509.UnrecognizedExtension(oid, POOR.write())
    bob = company.ca.issue(BOB, key="p256", extensions=[(extension, False)])
    receive(company, mail(company, bob))
    found = learned(company)
    assert found
    assert found.capabilities == POOR


def test_mail_that_says_nothing_teaches_nothing(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence does not mean that it can read nothing."""
    receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    monkeypatch.setattr("smimegw.smime.sign.OURS", None)
    later = mail(company, company.ca.issue(BOB, key="p256"), now=NOW + HOUR)
    receive(company, later)
    found = learned(company)
    assert found
    assert found.capabilities == OURS


@pytest.mark.parametrize(
    "options", [{"not_after": PAST}, {"usage": "encrypt"}], ids=["expired", "not for signatures"]
)
def test_mail_that_is_not_verified_teaches_nothing(
    company: Company, options: dict[str, object]
) -> None:
    """Anybody could say anything (T-30)."""
    receive(company, mail(company, company.ca.issue(BOB, key="p256", **options)))  # type: ignore[arg-type]
    assert learned(company) is None
    assert candidates(company) == []
    assert company.world.sightings.seen == {}


def test_our_own_people_are_not_learned_about(company: Company) -> None:
    """The directories know them, and mail from outside has no say in it."""
    content = signed(message(ALICE, ALICE), alices_key(company))
    receive(company, content)
    assert learned(company, ALICE) is None
    assert candidates(company, ALICE) == []


def test_refused_mail_teaches_nothing(company: Company) -> None:
    """It was never delivered; the client comes again with it."""
    company.world.relay.script["dot"] = [Reply(451, "4.3.0", "later")]
    content = mail(company, company.ca.issue(BOB, key="p256"))
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 451
    assert learned(company) is None


def test_a_late_mail_is_not_learned_from(company: Company, clock: SetClock) -> None:
    """The clock of the reply must not run out after the delivery: that would be a 451 (D08)."""

    class SlowEvents(ListedEvents):
        def emit(self, event: str, *, txn: str = "", **values: object) -> None:
            super().emit(event, txn=txn, **values)
            if event == "recipient.delivered":
                clock.advance(timedelta(seconds=company.limits.inbound_reply_seconds))

    company.world.events = SlowEvents()
    policy = company.gateway.policy
    company.gateway = Gateway(policy, company.world.ports, company.settings)
    receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    assert learned(company) is None
    (event,) = company.world.events.named("memory.error")
    assert event["text"] == "no time to learn from this mail"


# --- candidates ----------------------------------------------------------------------------------


def test_the_signers_certificate_becomes_a_candidate(company: Company) -> None:
    """Kept, and not used (T-30)."""
    bob = company.ca.issue(BOB, key="p256")
    receive(company, mail(company, bob))
    assert candidates(company) == [(bob.certificate.fingerprint, "candidate")]
    (event,) = company.world.events.named("certificate.learned")
    assert (event["from"], event["cert"]) == (BOB, bob.certificate.fingerprint)


def test_the_named_certificate_is_taken_instead(company: Company) -> None:
    """sMIMEEncryptionKeyPreference says which one answers are for (RFC 8551, 2.5.3)."""
    signer = company.ca.issue(BOB, key="p256", usage="sign")
    own = company.ca.issue(BOB, key="p256", usage="encrypt")
    receive(company, mail(company, signer, encrypt_to=own))
    assert candidates(company) == [(own.certificate.fingerprint, "candidate")]


def test_a_certificate_for_signatures_only_is_no_candidate(company: Company) -> None:
    """Nothing can be encrypted to it."""
    receive(company, mail(company, company.ca.issue(BOB, key="p256", usage="sign")))
    assert candidates(company) == []


def test_a_published_certificate_is_no_candidate(company: Company) -> None:
    """The directory has it already."""
    receive(company, mail(company, company.partner(BOB, key="p256")))
    assert candidates(company) == []


def test_the_same_certificate_is_told_once(company: Company) -> None:
    """A busy correspondent fills no log."""
    bob = company.ca.issue(BOB, key="p256")
    receive(company, mail(company, bob))
    receive(company, mail(company, bob, now=NOW + HOUR))
    assert len(company.world.events.named("certificate.learned")) == 1
    assert company.world.events.named("certificate.changed") == []


def test_switched_off_nothing_is_kept(clock: SetClock) -> None:
    """memory.harvest = "off"."""
    company = Company(world=World(clock=clock))
    company.gateway.settings = replace(company.settings, harvest=False)
    receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    assert candidates(company) == []
    assert learned(company)


def test_what_cannot_be_learned_does_not_change_the_reply(company: Company) -> None:
    """The message is delivered; a 451 now would bring it twice (R-22)."""
    company.world.correspondents.broken = True
    arrived = receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    assert "smime=pass" in fields(arrived, "authentication-results")[0]
    (event,) = company.world.events.named("memory.error")
    assert "connection refused" in str(event["text"])


def test_a_fault_of_ours_after_delivery_is_no_451(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same reason."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(harvest, "preferred_certificate", fail)
    receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    assert len(company.world.events.named("internal.error")) == 1


# --- the rule for successors (F22) ---------------------------------------------------------------


def newer(company: Company, **options: object) -> Issued:
    options = {"key": "p256", "not_before": NOW - HOUR, **options}
    return company.ca.issue(BOB, **options)  # type: ignore[arg-type]


def test_a_newer_certificate_of_the_same_ca_is_a_successor(company: Company) -> None:
    """Same CA, same address, newer; and the change is told (F22)."""
    old, new = company.partner(BOB, key="p256"), newer(company)
    receive(company, mail(company, new))
    assert candidates(company) == [(new.certificate.fingerprint, "successor")]
    (event,) = company.world.events.named("certificate.changed")
    assert (event["was"], event["cert"], event["state"]) == (
        old.certificate.fingerprint,
        new.certificate.fingerprint,
        "successor",
    )


def test_an_older_certificate_of_the_same_ca_is_no_successor(company: Company) -> None:
    """Its key may be the lost one (F22)."""
    company.partner(BOB, key="p256", not_before=NOW - HOUR)
    old = company.ca.issue(BOB, key="p256", not_before=NOW - 20 * DAY)
    receive(company, mail(company, old))
    assert candidates(company) == [(old.certificate.fingerprint, "candidate")]


def test_a_certificate_of_another_ca_is_no_successor(company: Company) -> None:
    """Any trusted CA could be the careless one (T-30, F22)."""
    other = make_ca("Other CA")
    company.world.directory.publish_ca(other)
    anchors = (company.ca.certificate, other.certificate)
    trust = replace(company.settings.trust, anchors=anchors)
    company.gateway.settings = replace(company.settings, trust=trust)
    company.partner(BOB, key="p256")
    foreign = other.issue(BOB, key="p256", not_before=NOW - HOUR)
    receive(company, mail(company, foreign))
    assert candidates(company) == [(foreign.certificate.fingerprint, "candidate")]


def test_a_newer_certificate_with_nothing_known_is_no_successor(company: Company) -> None:
    """Whom should it follow? The first one needs a person's word (F22)."""
    first, second = company.ca.issue(BOB, key="p256"), newer(company)
    for each in (first, second):
        receive(company, mail(company, each))
    assert [state for _, state in candidates(company)] == ["candidate", "candidate"]
    (event,) = company.world.events.named("certificate.changed")
    assert event["was"] == first.certificate.fingerprint


def test_the_successor_of_an_accepted_one_is_a_successor(company: Company) -> None:
    """An administrator's word counts like a directory (F22)."""
    first, second = company.ca.issue(BOB, key="p256"), newer(company)
    receive(company, mail(company, first))
    fingerprint = first.certificate.fingerprint
    decision = company.world.correspondents.decide(
        Mailbox.parse(BOB), fingerprint, CandidateState.ACCEPTED
    )
    assert asyncio.run(decision)
    receive(company, mail(company, second))
    assert candidates(company)[1] == (second.certificate.fingerprint, "successor")


def test_a_refused_one_has_no_successors(company: Company) -> None:
    """Whoever was refused does not come in by a newer one (T-30)."""
    first = company.ca.issue(BOB, key="p256")
    refused = Candidate(
        mailbox_key=Mailbox.parse(BOB).key,
        certificate=first.certificate,
        state=CandidateState.REFUSED,
        first_seen=NOW,
    )
    company.world.correspondents.learned.append(refused)
    receive(company, mail(company, newer(company)))
    assert [state for _, state in candidates(company)] == ["refused", "candidate"]


def test_a_certificate_without_authority_key_is_no_successor(company: Company) -> None:
    """The CA's name alone does not say that it is the same CA (F22)."""
    certificate = newer(company).certificate
    published = company.ca.issue(BOB, key="p256").certificate
    object.__setattr__(certificate, "authority_key_identifier", None)
    found = harvest.proposed(BOB, certificate, [published], [], NOW)
    assert found.state is CandidateState.CANDIDATE


# --- ciphertexts ---------------------------------------------------------------------------------


def ciphertext(company: Company, author: str = BOB, **options: object) -> bytes:
    content = message(author, ALICE, **options)  # type: ignore[arg-type]
    return encrypted(content, company.ca, alices_key(company))


def test_the_same_ciphertext_from_somebody_else_is_marked(company: Company) -> None:
    """Who holds old ciphertext sends it under his own name (T-05)."""
    content = ciphertext(company)
    assert "replay" not in fields(receive(company, content), "x-smimegw-encryption")[0]
    stolen = content.replace(f"From: {BOB}".encode(), f"From: {EVE}".encode())
    arrived = receive(company, stolen)
    assert fields(arrived, "x-smimegw-encryption")[0].endswith("; replay=yes")
    (event,) = company.world.events.named("ciphertext.replayed")
    assert (event["from"], event["first_from"]) == (EVE, BOB)


def test_the_integrity_is_told_as_before(company: Company) -> None:
    """A mark more, no other word for what the cipher proves."""
    content = ciphertext(company)
    before = fields(receive(company, content), "x-smimegw-status")
    stolen = content.replace(f"From: {BOB}".encode(), f"From: {EVE}".encode())
    assert fields(receive(company, stolen), "x-smimegw-status") == before


def test_the_same_mail_again_is_no_replay(company: Company) -> None:
    """A retry, or another recipient's copy."""
    content = ciphertext(company)
    receive(company, content)
    assert "replay" not in fields(receive(company, content), "x-smimegw-encryption")[0]


def test_the_same_mail_for_several_recipients_is_no_replay(company: Company) -> None:
    """Each of them opens it with a key of his own."""
    carol = company.user("carol@ours.example", key="p256")
    content = encrypted(message(BOB, ALICE), company.ca, alices_key(company), carol)
    receive(company, content, ALICE, "carol@ours.example")
    assert company.world.events.named("ciphertext.replayed") == []


def test_when_the_thief_is_first_the_other_one_is_marked(company: Company) -> None:
    """The register knows who came first, not who is right."""
    content = ciphertext(company)
    receive(company, content.replace(f"From: {BOB}".encode(), f"From: {EVE}".encode()))
    assert fields(receive(company, content), "x-smimegw-encryption")[0].endswith("replay=yes")


def test_a_second_from_field_is_somebody_else(company: Company) -> None:
    """Who it is from is then nobody's word (T-08)."""
    content = ciphertext(company)
    receive(company, content)
    arrived = receive(company, f"From: {EVE}\r\n".encode() + content)
    assert fields(arrived, "x-smimegw-encryption")[0].endswith("replay=yes")


def test_what_nobody_here_can_open_is_not_remembered(company: Company) -> None:
    """Strangers do not fill the register."""
    ca = make_ca("Other CA")
    other = ca.issue(ALICE, key="p256")
    receive(company, encrypted(message(BOB, ALICE), ca, other))
    assert company.world.sightings.seen == {}


def test_the_register_is_asked_whether_or_not_it_opens(company: Company) -> None:
    """Else the time of our reply would tell whether the padding was right (T-07)."""
    head, _, body = ciphertext(company).partition(b"\r\n\r\n")
    octets = bytearray(base64.b64decode(body))
    octets[-1] ^= 1  # of the last block
    arrived = receive(company, head + b"\r\n\r\n" + base64.b64encode(octets) + b"\r\n")
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=failed"]
    assert len(company.world.sightings.seen) == 3  # the content, its key as wrapped, the thread


# --- when a signature was seen first (R-44) ------------------------------------------------------


def short_lived(company: Company) -> bytes:
    return mail(company, company.ca.issue(BOB, key="p256", not_after=NOW + HOUR))


def result(arrived: bytes) -> str:
    return fields(arrived, "authentication-results")[0]


def test_a_signature_seen_in_time_counts_after_the_end(company: Company, clock: SetClock) -> None:
    """The gateway's own memory is the witness (R-44)."""
    content = short_lived(company)
    receive(company, content)
    clock.advance(2 * HOUR)
    assert "smime=pass" in result(receive(company, content))


def test_a_signature_not_seen_in_time_has_expired(company: Company, clock: SetClock) -> None:
    """Its signing time is its signer's claim and no evidence (R-44)."""
    clock.advance(2 * HOUR)
    content = short_lived(company)
    assert 'smime=policy reason="expired"' in result(receive(company, content))
    assert 'smime=policy reason="expired"' in result(receive(company, content))


def test_another_signature_of_the_same_key_has_expired(company: Company, clock: SetClock) -> None:
    """This very one must have been seen, not its signer (R-44)."""
    bob = company.ca.issue(BOB, key="p256", not_after=NOW + HOUR)
    receive(company, mail(company, bob))
    clock.advance(2 * HOUR)
    assert 'reason="expired"' in result(receive(company, mail(company, bob)))


def test_a_certificate_revoked_since_does_not_count(company: Company, clock: SetClock) -> None:
    """Revocation is judged now, whatever was seen before (R-44, R-45)."""
    bob = company.ca.issue(BOB, key="p256", not_after=NOW + HOUR)
    content = mail(company, bob)
    receive(company, content)
    clock.advance(2 * HOUR)
    company.world.directory.publish_ca(company.ca, revoked=[bob])
    assert 'smime=fail reason="revoked"' in result(receive(company, content))


def test_a_ca_no_longer_trusted_does_not_count(company: Company, clock: SetClock) -> None:
    """Nor is trust remembered (R-44)."""
    content = short_lived(company)
    receive(company, content)
    clock.advance(2 * HOUR)
    trust = replace(company.settings.trust, anchors=())
    company.gateway.settings = replace(company.settings, trust=trust)
    assert "smime=policy" in result(receive(company, content))


def test_the_same_signature_with_changed_content_fails(company: Company, clock: SetClock) -> None:
    """What was seen was seen with its content (R-44, R-41)."""
    content = short_lived(company)
    receive(company, content)
    clock.advance(2 * HOUR)
    arrived = receive(company, content.replace(b"text\r\n", b"TEXT\r\n"))
    assert 'smime=fail reason="digest"' in result(arrived)


# --- the database is down (R-22) -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["signed", "encrypted"])
def test_mail_that_must_be_remembered_waits(company: Company, kind: str) -> None:
    """451 4.3.0: the client keeps it (R-22)."""
    company.world.sightings.broken = True
    bob = company.ca.issue(BOB, key="p256")
    content = mail(company, bob) if kind == "signed" else ciphertext(company)
    reply = company.send("mx", [ALICE], content, reverse_path=BOB).reply
    assert (reply.code, reply.enhanced) == (451, "4.3.0")
    assert company.arrived == []
    (event,) = company.world.events.named("memory.error")
    assert event["code"] == "R-22"


def test_other_mail_flows(company: Company) -> None:
    """Mail without S/MIME needs no memory (R-22)."""
    company.world.sightings.broken = True
    company.world.correspondents.broken = True
    receive(company, message(BOB, ALICE))
    assert company.world.events.named("memory.error") == []


def test_mail_that_nobody_here_can_open_flows(company: Company) -> None:
    """It is handed on as it came (R-47)."""
    company.world.sightings.broken = True
    ca = make_ca("Other CA")
    receive(company, encrypted(message(BOB, ALICE), ca, ca.issue(ALICE, key="p256")))


def test_a_gateway_without_memory_still_verifies(company: Company) -> None:
    """The ports have implementations that remember nothing."""
    ports = replace(company.world.ports, correspondents=NoCorrespondents(), sightings=NoSightings())
    policy = company.gateway.policy
    company.gateway = Gateway(policy, ports, company.settings)
    assert "smime=pass" in result(
        receive(company, mail(company, company.ca.issue(BOB, key="p256")))
    )
