"""Protects or opens one message again and again in this process, and prints how often it could.

python -m tests.bench.core_worker protect|open OCTETS SECONDS CIPHER KEY
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear
from smimegw.smime.verify import verify
from smimegw.x509.cache import ValidationCache
from smimegw.x509.path import Purpose, validate
from tests.bench.cast import READER, SIGNER, cast_of, entity
from tests.fakes.smime import reader, signer

_CIPHERS = {cipher.label: cipher for cipher in ContentCipher}


def main() -> int:
    """Work as the arguments say."""
    operation, octets, seconds, cipher, key = sys.argv[1:]
    protect, open_it = works(int(octets), _CIPHERS[cipher], key)
    work: Callable[[], Iterable[bytes]] = protect
    if operation == "open":
        work = partial(open_it, b"".join(protect()))
    consume(work())
    count, began, cpu = 0, time.monotonic(), time.process_time()
    while count < 3 or time.monotonic() - began < float(seconds):
        consume(work())
        count += 1
    print(count, time.process_time() - cpu, time.monotonic() - began)
    return 0


def works(
    octets: int, cipher: ContentCipher, key: str
) -> tuple[Callable[[], Iterable[bytes]], Callable[[bytes], Iterable[bytes]]]:
    """Sign and encrypt; decrypt, verify and judge.

    Both give pieces, as the relay takes them; what is long is encrypted while they are read.
    """
    cast = cast_of(key)
    evidence, now = cast.evidence, datetime.now(UTC)
    original = entity(octets)
    credential, opening = signer(cast.signer), reader(cast.reader)
    judgements = ValidationCache()
    recipient = validate(
        cast.reader.certificate,
        evidence,
        purpose=Purpose.ENCRYPTION,
        mailbox=Mailbox.parse(READER),
        now=now,
    )

    def protect() -> Iterable[bytes]:
        signed = sign_clear(Entity.parse(original), credential, now=datetime.now(UTC))
        protected = encrypt(signed, [recipient], cipher=cipher)
        return itertools.chain([protected.header.raw, b"\r\n"], protected.pieces())

    def open_it(message: bytes) -> Iterable[bytes]:
        outer = layer_of(Entity.parse(message))
        assert isinstance(outer, EncryptedLayer)
        inner = layer_of(decrypt(outer, [opening]).entity)
        assert isinstance(inner, SignedLayer)
        verified = verify(
            inner,
            evidence,
            originator=Mailbox.parse(SIGNER),
            sender=None,
            now=datetime.now(UTC),
            judgements=judgements,
        )
        return verified.entity.pieces()

    return protect, open_it


def consume(pieces: Iterable[bytes]) -> None:
    """Look at every piece, as who writes it to a socket does."""
    assert sum(map(len, pieces))


if __name__ == "__main__":
    raise SystemExit(main())
