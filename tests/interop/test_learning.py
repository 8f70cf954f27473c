"""What the gateway learns of programs that sign: the algorithms their owners can read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher
from tests.fakes.pki import Issued
from tests.interop.exchange import BOB, Exchange
from tests.interop.gnupg import gnupg
from tests.interop.nss import nss
from tests.interop.openssl import Files
from tests.interop.writers import GnuPGWriter, NSSWriter, OpenSSLWriter, Writer

Writers = Callable[[Issued, Path], Iterator[Writer]]
HEAD = f"From: {BOB}\r\nTo: alice@ours.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n".encode()
ENTITY = b"Content-Type: text/plain\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange({})


def openssl_writer(bob: Issued, directory: Path) -> Iterator[Writer]:
    yield OpenSSLWriter(Files.of(bob, directory, "bob"), directory)


def gnupg_writer(bob: Issued, _: Path) -> Iterator[Writer]:
    with gnupg(bob) as home:
        yield GnuPGWriter(home, BOB, BOB)


def nss_writer(bob: Issued, _: Path) -> Iterator[Writer]:
    with nss(bob) as database:
        yield NSSWriter(database, BOB, BOB)


@pytest.mark.parametrize(
    ("writer", "ciphers"),
    [
        (openssl_writer, ["aes-256-cbc", "aes-192-cbc", "aes-128-cbc"]),
        (gnupg_writer, ["aes-128-cbc"]),
        (nss_writer, ["aes-256-cbc", "aes-128-cbc"]),
    ],
    ids=["openssl", "gpgsm", "nss"],
)
def test_capabilities_are_learned_as_announced(
    exchange: Exchange, tmp_path: Path, writer: Writers, ciphers: list[str]
) -> None:
    """In the order of preference; nobody is taken to read what he did not say (RFC 8551, 2.5.2)."""
    known = exchange.company.world.correspondents
    known.known.clear()
    known.dated.clear()
    for program in writer(exchange.bob, tmp_path):
        seen = exchange.read(HEAD + program.clear(ENTITY))
        assert seen.result == "pass"
    found = asyncio.run(known.find([Mailbox.parse(BOB)]))
    entry = found.get(BOB)
    learned = entry.capabilities.ciphers if entry and entry.capabilities else ()
    assert [cipher.label for cipher in learned] == ciphers
    assert ContentCipher.AES_256_GCM not in learned
