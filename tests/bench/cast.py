"""Who writes to whom in the measurements, and what."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

from smimegw.addresses import Mailbox
from smimegw.mime.entity import Entity
from smimegw.smime.encrypt import encrypt
from smimegw.smime.sign import sign_clear
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import CA, Issued, make_ca
from tests.fakes.smime import signer as credential_of

SIGNER, READER = "alice@ours.example", "bob@partner.example"
SIZES = {"5 KB": 5_000, "50 KB": 50_000, "1 MB": 1_000_000, "25 MB": 25_000_000}
KEYS = {"RSA-2048": "rsa2048", "RSA-3072": "rsa3072", "P-256": "p256"}
_WORDS = ("price", "offer", "pumps", "valves", "Monday", "Ghent", "delivery", "and", "of", "as")


@dataclass(frozen=True)
class Cast:
    """A signer and a reader with keys of one kind, below two authorities."""

    root: CA
    issuing: CA
    signer: Issued
    reader: Issued

    @cached_property
    def evidence(self) -> Evidence:
        """What their paths are judged with."""
        return Evidence(
            trust_anchors=(self.root.certificate,),
            intermediates=(self.issuing.certificate,),
            crls=(self.root.crl(), self.issuing.crl()),
        )

    def write(self, directory: Path) -> list[Path]:
        """Signer, its key, reader, its key, authorities: PEM files in that order."""
        contents = {
            "signer.pem": self.signer.pem,
            "signer.key": self.signer.key_pem,
            "reader.pem": self.reader.pem,
            "reader.key": self.reader.key_pem,
            "authorities.pem": self.root.pem + self.issuing.pem,
        }
        for name, content in contents.items():
            (directory / name).write_bytes(content)
        return [directory / name for name in contents]


@cache
def cast_of(key: str) -> Cast:
    """The cast whose keys are of *key*, one of `KEYS`; the authorities have RSA-3072."""
    root = make_ca("Bench Root", key="rsa3072")
    issuing = make_ca("Bench Issuing", parent=root, key="rsa3072")
    people = [issuing.issue(address, key=KEYS[key]) for address in (SIGNER, READER)]
    return Cast(root, issuing, *people)


def text(octets: int, seed: int = 1) -> bytes:
    """Lines of words with CRLF, about *octets* of them."""
    chance = random.Random(seed)
    block = b"".join(" ".join(chance.choices(_WORDS, k=12)).encode() + b"\r\n" for _ in range(200))
    lines = (block * (octets // len(block) + 1))[: octets - 2]
    lines = lines[: lines.rfind(b"\r\n") + 2]
    return lines + b"x" * (octets - len(lines) - 2) + b"\r\n"


def entity(octets: int) -> bytes:
    """A text/plain entity of that size."""
    header = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    return header + text(octets - len(header))


def outbound(octets: int, number: int = 1, *, to: str = READER) -> bytes:
    """A message of the signer's, as the user's program sends it."""
    return _header(SIGNER, to, number) + entity(octets)


def inbound(octets: int, number: int = 1) -> bytes:
    """A message from outside: signed by the reader, and encrypted to our signer."""
    cast, now = cast_of("RSA-2048"), datetime.now(UTC)
    credential = credential_of(cast.reader)
    ours = validate(
        cast.signer.certificate,
        cast.evidence,
        purpose=Purpose.ENCRYPTION,
        mailbox=Mailbox.parse(SIGNER),
        now=now,
    )
    protected = encrypt(sign_clear(Entity.parse(entity(octets)), credential, now=now), [ours])
    header = _header(READER, SIGNER, number) + protected.header.raw
    return b"".join((header, b"\r\n", *protected.pieces()))


def plain_from_outside(octets: int, number: int = 1) -> bytes:
    """A message from outside that nobody protected."""
    return _header(READER, SIGNER, number) + entity(octets)


def _header(sender: str, recipient: str, number: int) -> bytes:
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nMessage-ID: <{number}.{sender}>\r\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: figures\r\nMIME-Version: 1.0\r\n"
    ).encode()
