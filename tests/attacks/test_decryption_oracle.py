"""What the world outside sees of a ciphertext that opens and of one that does not (J11, T-07)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

import pytest

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher
from smimegw.mime.entity import Entity
from smimegw.smime.media_types import EncryptedLayer, layer_of
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Recipient, ReversePath
from tests.fakes.company import Company, message
from tests.fakes.pki import make_ca
from tests.fakes.ports import ALL_EXTENSIONS, MemoryRelay, MemoryRelaySession, World
from tests.flow.protected import encrypted, signed

ALICE, DORA, BOB = "alice@ours.example", "dora@ours.example", "bob@partner.example"
CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM
POLICY = """
[[rule]]
name = "in"
why = "test"
when = { direction = "inbound" }
then = { require = "encrypted" }

[[rule]]
name = "out"
why = "test"
when = { direction = "outbound" }
then = { protect = "none" }
"""
_TRANSACTION = re.compile(r"\S{12,}")


@dataclass
class WatchedRelay(MemoryRelay):
    """Remembers everything that is said to the next hop but the content."""

    said: list[object] = field(default_factory=list)

    async def open(
        self, next_hop: str, *, login: tuple[str, str] | None = None
    ) -> MemoryRelaySession:
        self.said.append(("open", next_hop, login))
        self.next("open")
        self.open_sessions += 1
        return _Session(self)


class _Session(MemoryRelaySession):
    async def mail(self, reverse_path: ReversePath) -> Reply:
        self.relay.said.append(("mail", reverse_path))
        return await super().mail(reverse_path)

    async def recipient(self, recipient: Recipient) -> Reply:
        self.relay.said.append(("rcpt", recipient))
        return await super().recipient(recipient)

    async def commit(self) -> tuple[Reply, ...]:
        self.relay.said.append("dot")
        return await super().commit()


def _changed(content: bytes, old: bytes, new: bytes) -> bytes:
    entity = Entity.parse(content)
    octets = entity.decoded_body().whole()
    assert octets.count(old) == 1
    body = base64.encodebytes(octets.replace(old, new)).replace(b"\n", b"\r\n")
    return entity.header.raw + b"\r\n" + body


def _flip(octets: bytes, at: int) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


def _variants(company: Company, cipher: ContentCipher) -> dict[str, bytes]:
    """An honest message, and what an attacker makes of it; no length changes."""
    alice = company.user(ALICE)
    company.user(DORA)
    plain = message(BOB, ALICE, body="the price is 100 EUR\r\n" * 9)
    honest = encrypted(plain, company.ca, alice, cipher=cipher)
    layer = layer_of(Entity.parse(honest))
    assert isinstance(layer, EncryptedLayer)
    blocks = b"".join(layer.enveloped.encrypted_content)
    key = layer.enveloped.recipient_infos[0].encrypted_key  # type: ignore[union-attr]
    made = {
        name: _changed(honest, blocks, _flip(blocks, at))
        for name, at in (("last", -1), ("padding", -17), ("middle", 64), ("first", 0))
    }
    made["key"] = _changed(honest, key, _flip(key, 40))
    made["empty"] = encrypted(b"X: y\r\n\r\n", company.ca, alice, cipher=cipher)
    inner = signed(plain, company.ca.issue(BOB))
    made["html"] = encrypted(
        message(BOB, ALICE, extra="Content-Type: text/html\r\n", body="<img src=http://a.example>"),
        company.ca,
        alice,
        cipher=cipher,
    )
    made["twice"] = encrypted(honest, company.ca, alice, cipher=cipher)
    stranger = make_ca("Oracle CA").issue(BOB)
    made["signed by a stranger"] = encrypted(
        signed(plain, stranger), company.ca, alice, cipher=cipher
    )
    made["signed"] = encrypted(inner, company.ca, alice, cipher=cipher)
    made["signed and changed"] = encrypted(
        inner.replace(b"100", b"900"), company.ca, alice, cipher=cipher
    )
    return {"honest": honest, **made}


def _seen(
    content: bytes, company: Company, recipients: list[Recipient], path: ReversePath
) -> tuple[object, ...]:
    relay = company.world.relay
    relay.said = []
    outcome = company.send("mx", recipients, content, reverse_path=path)
    text = _TRANSACTION.sub("<t>", outcome.reply.text)
    said = [repr(entry) for entry in relay.said]
    return outcome.reply.code, outcome.reply.enhanced, text, said


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=["cbc", "gcm"])
@pytest.mark.parametrize("to", [(ALICE,), (ALICE, DORA)], ids=["alone", "two"])
@pytest.mark.parametrize("offers", [ALL_EXTENSIONS, Extensions()], ids=["modern", "old"])
@pytest.mark.parametrize("required", [False, True], ids=["any mail", "must be encrypted"])
def test_success_and_failure_look_the_same_outside(
    cipher: ContentCipher, to: tuple[str, ...], offers: Extensions, required: bool
) -> None:
    """Reply, commands to the next hop, DSN parameters and order: all alike (cases J11)."""
    relay = WatchedRelay(offers=offers)
    options = {"policy": POLICY} if required else {}
    company = Company(world=World(relay=relay), **options)
    wants = (("RET", "FULL"), ("ENVID", "e1")) if offers.dsn else ()
    path = ReversePath(mailbox=Mailbox("eve", "partner.example"), parameters=wants)
    notify = (("NOTIFY", "SUCCESS,FAILURE"),) if offers.dsn else ()
    recipients = [Recipient(mailbox=Mailbox.parse(name), parameters=notify) for name in to]
    seen = {
        name: _seen(content, company, recipients, path)
        for name, content in _variants(company, cipher).items()
    }
    assert len(company.arrived) == len(seen) * len(to)
    assert b"100 EUR" in company.arrived[0]
    assert {str(view) for view in seen.values()} == {str(seen["honest"])}
    assert seen["honest"][0] == 250


@pytest.mark.parametrize("trouble", ["directory", "no lists"])
def test_trouble_around_us_tells_nothing_either(trouble: str) -> None:
    """What is looked up for an inner signature is looked up of what opened only (cases J11)."""
    company = Company(world=World(relay=WatchedRelay()))
    contents = _variants(company, CBC)
    if trouble == "directory":
        company.world.directory.broken = True
    else:
        company.world.directory.lists.clear()
    path = ReversePath(mailbox=Mailbox("eve", "partner.example"))
    recipients = [Recipient(mailbox=Mailbox.parse(ALICE))]
    seen = {name: _seen(content, company, recipients, path) for name, content in contents.items()}
    assert {str(view) for view in seen.values()} == {str(seen["honest"])}
    assert seen["honest"][0] == 250


def test_reports_differ_inside() -> None:
    """The measuring device works: the recipient is told which of them it was."""
    company = Company()
    told = set()
    for content in _variants(company, CBC).values():
        company.send("mx", [ALICE], content, reverse_path=BOB)
        header = Entity.parse(company.arrived[-1]).header
        told |= {entry.body for entry in header.all("x-smimegw-status")}
    assert len(told) > 2
