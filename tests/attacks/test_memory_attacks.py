"""Mail that wants the gateway to remember something wrong, through a real database."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from smimegw.adapters.chain.remembered import RememberedLast
from smimegw.adapters.database.access import Database
from smimegw.adapters.database.correspondents import DatabaseCorrespondents
from smimegw.adapters.database.harvest import HarvestDirectory
from smimegw.adapters.database.sightings import DatabaseSightings
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.capabilities import Capabilities, Capability
from smimegw.config.choices import Harvest
from smimegw.directories import ACTIVE_STATES
from smimegw.memory import CandidateState
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.fakes.clock import SetClock
from tests.fakes.company import Company, message
from tests.fakes.pki import CA, DAY, NOW, Issued, make_ca
from tests.fakes.ports import World
from tests.flow.protected import encrypted, signed

ALICE, BOB, EVE = "alice@ours.example", "bob@partner.example", "eve@elsewhere.example"
MAILBOX = Mailbox.parse(BOB)
POOR = Capabilities((Capability("2.16.840.1.101.3.4.1.2"),))
HOUR = timedelta(hours=1)


@dataclass
class Gate:
    """A company whose gateway has a database, and two CAs that it trusts."""

    company: Company
    other: CA
    known: DatabaseCorrespondents
    clock: SetClock

    def receive(self, content: bytes) -> bytes:
        reply = self.company.send("mx", [ALICE], content, reverse_path=BOB).reply
        assert reply.code == 250, reply
        return self.company.arrived[-1]

    def write(self) -> tuple[int, bytes]:
        """Alice writes to Bob; the code and, if there is one, the copy."""
        before = len(self.company.arrived)
        outcome = self.company.send("relay", [BOB], message(ALICE, BOB), reverse_path=ALICE)
        copies = self.company.arrived[before:]
        return outcome.reply.code, copies[0] if copies else b""

    def opens(self, content: bytes, issued: Issued) -> bool:
        """Whether *issued* is one whom *content* is encrypted to."""
        layer = layer_of(Entity.parse(content))
        assert isinstance(layer, EncryptedLayer)
        return any(entry.matches(issued.certificate) for entry in layer.recipient_ids)

    def states(self) -> dict[str, str]:
        learned = asyncio.run(self.known.candidates(MAILBOX))
        return {entry.certificate.fingerprint: entry.state.value for entry in learned}


@pytest.fixture
def gate(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gate]:
    harvest: Harvest = getattr(request, "param", Harvest.SAME_CA)
    clock = SetClock()
    company, other = Company(world=World(clock=clock)), make_ca("Careless CA")
    company.user(ALICE, key="p256")
    company.world.directory.publish_ca(other)
    anchors = (company.ca.certificate, other.certificate)
    settings = replace(
        company.settings,
        trust=replace(company.settings.trust, anchors=anchors),
        takes_verified=harvest is Harvest.VERIFIED,
    )
    database = Database(str(tmp_path / "smimegw.db"), deadline_seconds=10)
    database.open()
    known = DatabaseCorrespondents(database)
    harvested = HarvestDirectory(known, used=ACTIVE_STATES[harvest])
    ports = replace(
        company.world.ports,
        correspondents=known,
        sightings=DatabaseSightings(database),
        directory=RememberedLast(company.world.directory, harvested, clock),
    )
    company.gateway = Gateway(company.gateway.policy, ports, settings)
    yield Gate(company, other, known, clock)
    asyncio.run(database.close())


# --- another certificate (T-30, F22) -------------------------------------------------------------


def test_one_mail_does_not_change_whom_answers_are_encrypted_to(gate: Gate) -> None:
    """A certificate from another trusted CA for Bob's address, in a signed mail (T-30)."""
    bob = gate.company.partner(BOB, key="p256")
    eve = gate.other.issue(BOB, key="p256", slot="eve", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), eve))
    code, copy = gate.write()
    assert code == 250
    assert gate.opens(copy, bob)
    assert not gate.opens(copy, eve)


def test_one_mail_does_not_make_somebody_reachable(gate: Gate) -> None:
    """Nothing was known of Bob, and still nothing is used of what came (T-30, F22)."""
    gate.receive(signed(message(BOB, ALICE), gate.other.issue(BOB, key="p256")))
    assert gate.write()[0] == 550


def test_a_change_is_told(gate: Gate) -> None:
    """Somebody looks, with both fingerprints before him (T-30)."""
    bob = gate.company.partner(BOB, key="p256")
    eve = gate.other.issue(BOB, key="p256", slot="eve")
    gate.receive(signed(message(BOB, ALICE), eve))
    (event,) = gate.company.world.events.named("certificate.changed")
    assert event["was"] == bob.certificate.fingerprint
    assert event["cert"] == eve.certificate.fingerprint


def test_the_certificate_carried_beside_is_not_learned(gate: Gate) -> None:
    """The certificates of a SignedData are not signed; whoever carries the mail may add some."""
    bob = gate.company.ca.issue(BOB, key="p256", usage="sign")
    eve = gate.other.issue(BOB, key="p256", slot="eve")
    carrying = replace(bob, chain=(*bob.chain, eve.certificate))
    gate.receive(signed(message(BOB, ALICE), carrying))
    assert gate.states() == {}


def test_the_named_certificate_must_be_the_originators(gate: Gate) -> None:
    """Bob's signature may name Eve's certificate; it does not become Bob's (T-11)."""
    bob = gate.company.ca.issue(BOB, key="p256", usage="sign")
    eve = gate.company.ca.issue(EVE, key="p256")
    gate.receive(signed(message(BOB, ALICE), bob, encrypt_to=eve))
    assert gate.states() == {}


def test_the_named_certificate_must_be_of_a_trusted_ca(gate: Gate) -> None:
    """Self-made ones are not learned (T-30)."""
    bob = gate.company.ca.issue(BOB, key="p256", usage="sign")
    own = make_ca("Nobody's CA").issue(BOB, key="p256")
    gate.receive(signed(message(BOB, ALICE), bob, encrypt_to=own))
    assert gate.states() == {}


def test_a_revoked_certificate_is_not_learned(gate: Gate) -> None:
    """Signed with a good one, naming a revoked one (R-04)."""
    bob = gate.company.ca.issue(BOB, key="p256", usage="sign")
    lost = gate.company.ca.issue(BOB, key="p256", usage="encrypt")
    gate.company.world.directory.publish_ca(gate.company.ca, revoked=[lost])
    gate.receive(signed(message(BOB, ALICE), bob, encrypt_to=lost))
    assert gate.states() == {}


def test_a_successor_is_used_when_the_published_one_has_ended(gate: Gate) -> None:
    """Same CA, same address, newer: what the rule is for (F22)."""
    gate.company.partner(BOB, key="p256", not_after=NOW + HOUR)
    new = gate.company.ca.issue(BOB, key="p256", slot="new", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), new))
    gate.clock.advance(2 * HOUR)
    code, copy = gate.write()
    assert code == 250
    assert gate.opens(copy, new)


def test_a_successor_is_not_used_while_the_published_one_is_valid(gate: Gate) -> None:
    """Published before harvested (T-30, F22)."""
    bob = gate.company.partner(BOB, key="p256")
    new = gate.company.ca.issue(BOB, key="p256", slot="new", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), new))
    _, copy = gate.write()
    assert gate.opens(copy, bob)
    assert not gate.opens(copy, new)


def test_a_certificate_of_another_ca_is_not_used_when_the_published_one_has_ended(
    gate: Gate,
) -> None:
    """The end of one certificate is no door for another CA (T-30, F22)."""
    gate.company.partner(BOB, key="p256", not_after=NOW + HOUR)
    eve = gate.other.issue(BOB, key="p256", slot="eve", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), eve))
    gate.clock.advance(2 * HOUR)
    assert gate.write()[0] == 550


def test_a_revoked_certificate_is_not_replaced_by_mail(gate: Gate) -> None:
    """Its thief writes with a newer one of the same careless CA (R-04, F22)."""
    bob = gate.company.partner(BOB, key="p256")
    new = gate.company.ca.issue(BOB, key="p256", slot="new", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), new))
    gate.company.world.directory.publish_ca(gate.company.ca, revoked=[bob])
    assert gate.write()[0] == 550


def test_an_accepted_certificate_is_judged_like_any_other(gate: Gate) -> None:
    """An administrator's word does not outlive a revocation (R-04)."""
    bob = gate.company.ca.issue(BOB, key="p256")
    gate.receive(signed(message(BOB, ALICE), bob))
    decision = gate.known.decide(MAILBOX, bob.certificate.fingerprint, CandidateState.ACCEPTED)
    assert asyncio.run(decision)
    assert gate.write()[0] == 250
    gate.company.world.directory.publish_ca(gate.company.ca, revoked=[bob])
    assert gate.write()[0] == 550


def test_a_refused_certificate_does_not_come_back(gate: Gate) -> None:
    """However often it is sent (T-30)."""
    eve = gate.other.issue(BOB, key="p256")
    gate.receive(signed(message(BOB, ALICE), eve))
    asyncio.run(gate.known.decide(MAILBOX, eve.certificate.fingerprint, CandidateState.REFUSED))
    gate.receive(signed(message(BOB, ALICE), eve, now=NOW + HOUR))
    assert gate.states() == {eve.certificate.fingerprint: "refused"}
    assert gate.write()[0] == 550


# --- coming again --------------------------------------------------------------------------------

VERIFIED = pytest.mark.parametrize("gate", [Harvest.VERIFIED], indirect=True)


def comes_twice(gate: Gate, issued: Issued, *, after: timedelta = DAY) -> None:
    """Mail signed with *issued*, and again *after* a while."""
    gate.receive(signed(message(BOB, ALICE), issued))
    gate.clock.advance(after)
    gate.receive(signed(message(BOB, ALICE), issued, now=NOW + after))


@VERIFIED
def test_a_certificate_that_comes_again_later_is_verified_and_used(gate: Gate) -> None:
    """Candidate, verified, active: where the configuration says so (T-30)."""
    bob = gate.company.ca.issue(BOB, key="p256")
    comes_twice(gate, bob)
    assert gate.states() == {bob.certificate.fingerprint: "verified"}
    (event,) = gate.company.world.events.named("certificate.verified")
    assert event["cert"] == bob.certificate.fingerprint
    code, copy = gate.write()
    assert code == 250
    assert gate.opens(copy, bob)


def test_a_verified_certificate_is_not_used_where_nobody_wants_that(gate: Gate) -> None:
    """With same-ca the state is told, and a person decides (T-30)."""
    comes_twice(gate, gate.company.ca.issue(BOB, key="p256"))
    assert list(gate.states().values()) == ["verified"]
    assert gate.write()[0] == 550


@VERIFIED
def test_a_burst_of_mail_verifies_nothing(gate: Gate) -> None:
    """Many mails of one hour are one event (T-30)."""
    comes_twice(gate, gate.company.ca.issue(BOB, key="p256"), after=HOUR)
    assert list(gate.states().values()) == ["candidate"]


@VERIFIED
def test_two_that_contradict_each_other_wait_for_a_person(gate: Gate) -> None:
    """Whichever comes again, neither is used (T-30)."""
    bob = gate.company.ca.issue(BOB, key="p256")
    gate.receive(signed(message(BOB, ALICE), bob))
    comes_twice(gate, gate.other.issue(BOB, key="p256", slot="eve"))
    gate.receive(signed(message(BOB, ALICE), bob, now=NOW + DAY + HOUR))
    assert list(gate.states().values()) == ["candidate", "candidate"]
    assert gate.write()[0] == 550


@VERIFIED
def test_one_beside_a_published_certificate_is_never_verified(gate: Gate) -> None:
    """The directory has spoken (T-30)."""
    bob = gate.company.partner(BOB, key="p256")
    eve = gate.other.issue(BOB, key="p256", slot="eve")
    comes_twice(gate, eve)
    assert gate.states() == {eve.certificate.fingerprint: "candidate"}
    assert gate.opens(gate.write()[1], bob)


@VERIFIED
def test_one_that_comes_later_does_not_replace_a_verified_one(gate: Gate) -> None:
    """It is a conflict, and what was used is used on (T-30)."""
    bob = gate.company.ca.issue(BOB, key="p256")
    comes_twice(gate, bob)
    eve = gate.other.issue(BOB, key="p256", slot="eve")
    gate.receive(signed(message(BOB, ALICE), eve, now=NOW + DAY + HOUR))
    assert gate.states()[eve.certificate.fingerprint] == "candidate"
    _, copy = gate.write()
    assert gate.opens(copy, bob)
    assert not gate.opens(copy, eve)


@VERIFIED
def test_a_successor_of_a_verified_one_follows_it(gate: Gate) -> None:
    """Renewed by the same CA: no person is needed for that (F22)."""
    comes_twice(gate, gate.company.ca.issue(BOB, key="p256"))
    new = gate.company.ca.issue(BOB, key="p256", slot="new", not_before=NOW - HOUR)
    gate.receive(signed(message(BOB, ALICE), new, now=NOW + DAY + HOUR))
    assert gate.states()[new.certificate.fingerprint] == "successor"


# --- older capabilities --------------------------------------------------------------------------


def test_an_old_mail_does_not_bring_old_algorithms_back(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eve kept a mail from the time when Bob could read AES-128-CBC only, and sends it (G24)."""
    bob = gate.company.partner(BOB, key="p256")
    with monkeypatch.context() as patch:
        patch.setattr("smimegw.smime.sign.OURS", POOR)
        old = signed(message(BOB, ALICE), bob, now=NOW - DAY / 2)
    gate.receive(signed(message(BOB, ALICE), bob))
    gate.clock.advance(HOUR)
    gate.receive(old)
    found = asyncio.run(gate.known.find([MAILBOX]))
    capabilities = found[MAILBOX.key].capabilities
    assert capabilities
    assert ContentCipher.AES_256_GCM in capabilities.ciphers


def test_a_mail_signed_by_somebody_else_teaches_nothing_about_bob(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eve's valid signature under Bob's From (T-08)."""
    monkeypatch.setattr("smimegw.smime.sign.OURS", POOR)
    gate.receive(signed(message(BOB, ALICE), gate.company.ca.issue(EVE, key="p256")))
    assert asyncio.run(gate.known.find([MAILBOX, Mailbox.parse(EVE)])) == {}


def test_a_valid_signature_inside_a_false_one_teaches_nothing(gate: Gate) -> None:
    """What the whole message is worth decides (T-08)."""
    inner = signed(message(BOB, ALICE), gate.company.ca.issue(BOB, key="p256"), opaque=True)
    gate.receive(signed(inner, gate.company.ca.issue(EVE, key="p256"), opaque=True))
    assert asyncio.run(gate.known.find([MAILBOX])) == {}


# --- stolen ciphertext (T-05) --------------------------------------------------------------------


def stolen(content: bytes) -> bytes:
    return content.replace(f"From: {BOB}".encode(), f"From: {EVE}".encode())


def marked(arrived: bytes) -> bool:
    (entry,) = Entity.parse(arrived).header.all("x-smimegw-encryption")
    return entry.body.endswith(b"; replay=yes")


@pytest.mark.parametrize("cipher", [ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM])
def test_stolen_ciphertext_is_marked(gate: Gate, cipher: ContentCipher) -> None:
    """The reader is told before he answers (T-05)."""
    alice = gate.company.world.keystore.held[0]
    content = encrypted(message(BOB, ALICE), gate.company.ca, alice, cipher=cipher)
    assert not marked(gate.receive(content))
    assert marked(gate.receive(stolen(content)))


def test_stolen_ciphertext_in_other_clothes_is_marked(gate: Gate) -> None:
    """Another Subject, other lines: the encrypted octets are the same (T-05)."""
    alice = gate.company.world.keystore.held[0]
    content = encrypted(message(BOB, ALICE), gate.company.ca, alice)
    gate.receive(content)
    head, _, body = stolen(content).partition(b"\r\n\r\n")
    head = head.replace(b"Subject: hello", b"Subject: hi").replace(b"<1@test>", b"<2@test>")
    assert marked(gate.receive(head + b"\r\n\r\n" + _rewrapped(body)))


def test_stolen_ciphertext_under_the_thiefs_signature_is_marked(gate: Gate) -> None:
    """His signature is valid and says nothing about who encrypted (J03, T-05)."""
    alice = gate.company.world.keystore.held[0]
    content = encrypted(message(BOB, ALICE), gate.company.ca, alice)
    gate.receive(content)
    eve = gate.company.ca.issue(EVE, key="p256")
    assert marked(gate.receive(signed(stolen(content), eve)))


def test_changed_stolen_ciphertext_is_recognised(gate: Gate) -> None:
    """Shifted CBC blocks are another ciphertext, under the same wrapped key (T-04, T-05)."""
    alice = gate.company.world.keystore.held[0]
    content = encrypted(message(BOB, ALICE, body="text " * 200), gate.company.ca, alice)
    gate.receive(content)
    head, _, body = stolen(content).partition(b"\r\n\r\n")
    octets = base64.b64decode(body)
    layer = layer_of(Entity.parse(content))
    assert isinstance(layer, EncryptedLayer)
    (ciphertext,) = layer.enveloped.encrypted_content
    # The first blocks and the last ones are as they were, and so is every length.
    cut = bytes(ciphertext[:64]) + bytes(ciphertext[:16]) * 2 + bytes(ciphertext[96:])
    changed = base64.b64encode(octets.replace(bytes(ciphertext), cut))
    gate.receive(head + b"\r\n\r\n" + changed + b"\r\n")
    (event,) = gate.company.world.events.named("ciphertext.replayed")
    assert (event["from"], event["first_from"]) == (EVE, BOB)


def _rewrapped(body: bytes) -> bytes:
    """The same base64 in lines of another length."""
    text = body.replace(b"\r\n", b"")
    return b"".join(text[start : start + 60] + b"\r\n" for start in range(0, len(text), 60))
