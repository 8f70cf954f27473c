"""One mail of fifty MiB through a whole gateway, in a process of its own; tells what it needed.

Called as ``python -m tests.flow.large_mail DIRECTION SPOOL``; writes two numbers: the most memory
that the process ever had resident before the large mail and after it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smimegw.adapters.spool.file import FileStore
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.content import Content
from smimegw.mime.entity import Entity, read_multipart
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smtp.content import stuffed
from smimegw.smtp.reply import Reply
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.company import Company
from tests.fakes.pki import Issued
from tests.fakes.ports import MemoryRelay, MemoryRelaySession, World

OCTETS = 49 * 1024 * 1024
ALICE, BOB = "alice@ours.example", "bob@partner.example"
HEAD = b"From: %b\r\nTo: %b\r\nSubject: large\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
LINE = b"JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PmVuZG9i\r\n"
PARTS = (
    b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\n\r\nSee the file.\r\n--=_b\r\n'
    b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)


class KeepingRelay(MemoryRelay):
    """A next hop that keeps the last content in the spool, as it comes."""

    store: FileStore
    kept: Content = Content()

    async def open(
        self, next_hop: str, *, login: tuple[str, str] | None = None
    ) -> MemoryRelaySession:
        self.next("open")
        self.open_sessions += 1
        return _KeepingSession(self)


@dataclass
class _KeepingSession(MemoryRelaySession):
    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        assert isinstance(self.relay, KeepingRelay)
        self.relay.kept = self.relay.store.store(stuffed(content))
        self.held = b"kept"
        return None


def lines(octets: int) -> Iterator[bytes]:
    """An attachment, and the end of what is around it."""
    block = LINE * 800
    for _ in range(octets // len(block)):
        yield block
    yield b"\r\n--=_b--\r\n"


def written(store: FileStore, octets: int) -> Entity:
    """The entity that somebody wrote, in the spool."""
    return Entity.parse(store.store((PARTS, *lines(octets))))


def protected(company: Company, entity: Entity, form: str, alice: Issued, bob: Issued) -> Content:
    """Bob's mail to Alice."""
    credential = SigningCredential(bob.certificate, bob.chain, SoftwareSigningKey(bob.key))
    now = company.world.clock.now()
    reader = validate(
        alice.certificate,
        Evidence(trust_anchors=(company.ca.certificate,), crls=(company.ca.crl(),)),
        purpose=Purpose.ENCRYPTION,
        mailbox=alice.certificate.mailboxes[0],
        now=now,
    )
    is_clear = form == "clear"
    signed = (sign_clear if is_clear else sign_opaque)(entity, credential, now=now)
    cipher = ContentCipher.AES_256_CBC if is_clear else ContentCipher.AES_256_GCM
    sealed = encrypt(signed, [reader], cipher=cipher)
    head = HEAD % (BOB.encode(), ALICE.encode())
    return Content.joined(
        (head + b"MIME-Version: 1.0\r\n", sealed.header.raw, b"\r\n", sealed.body)
    )


def opened(content: Content, bob: Issued, store: FileStore) -> Content:
    """What Bob reads."""
    layer = layer_of(Entity.parse(content), store=store)
    assert isinstance(layer, EncryptedLayer)
    reader = DecryptionCredential(bob.certificate, SoftwareDecryptionKey(bob.key))
    inner = layer_of(decrypt(layer, [reader], store=store).entity, store=store)
    assert isinstance(inner, SignedLayer)
    return inner.content


async def run(direction: str, store: FileStore, octets: int) -> None:
    """One mail; it must arrive as it was written."""
    relay = KeepingRelay()
    relay.store = store
    company = Company(world=World(relay=relay, spool=store))
    alice, bob = company.user(ALICE, key="p256"), company.partner(BOB, key="p256")
    entity = written(store, octets)
    if direction == "outbound":
        head = HEAD % (ALICE.encode(), BOB.encode())
        content = Content.joined((head, entity.content))
        outcome = await company.begin_and_finish("relay", [BOB], content)
        found = opened(relay.kept, bob, store)
    else:
        content = store.store(protected(company, entity, direction, alice, bob))
        outcome = await company.begin_and_finish("mx", [ALICE], content, BOB)
        arrived = Entity.parse(relay.kept)
        found = arrived.body
        if direction == "clear":
            found = Entity.parse(read_multipart(arrived).parts[0]).body
        assert b"signed=pass; encrypted=yes" in arrived.header.raw
    assert outcome.reply.is_positive, outcome.reply
    body = found if direction != "outbound" else Entity.parse(found).body
    assert body == entity.body


def most_resident() -> int:
    """The most memory that this process ever had resident, in octets."""
    status = Path("/proc/self/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def main() -> None:
    """A small mail, then a large one, the same way."""
    direction, directory = sys.argv[1:]
    store = FileStore(Path(directory))
    asyncio.run(run(direction, store, 3 * 1024 * 1024))
    before = most_resident()
    asyncio.run(run(direction, store, OCTETS))
    print(before, most_resident())


if __name__ == "__main__":
    main()
