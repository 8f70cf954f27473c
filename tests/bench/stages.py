"""Where the processor time of one message goes, stage by stage, in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography.hazmat.primitives import hashes

from smimegw.addresses import Mailbox
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.encrypt import encrypt
from smimegw.smime.media_types import EncryptedLayer, Layer, SignedLayer, layer_of
from smimegw.smime.sign import sign_clear
from smimegw.smime.verify import verify
from smimegw.smtp.content import ContentReader, stuffed
from smimegw.x509.cache import ValidationCache
from smimegw.x509.certificate import Certificate
from smimegw.x509.path import Purpose, ValidatedCertificate
from tests.bench.cast import READER, SIZES, cast_of, inbound, outbound
from tests.fakes.smime import reader, signer

_CHUNK = 65536
T = TypeVar("T")


class _Watch:
    """Adds up processor time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what is done inside for *stage*."""
        began = time.process_time()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - began


def measure(seconds: float) -> list[dict[str, Any]]:
    """One row for each direction and size: milliseconds for each stage, in order."""
    rows = []
    for direction, make, work in (("outbound", outbound, _out), ("inbound", inbound, _in)):
        for size in ("5 KB", "50 KB", "25 MB"):
            message = make(SIZES[size])
            row = {"direction": direction, "size": size, "stages": _stages(work, message, seconds)}
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def _stages(
    work: Callable[[_Watch, bytes], None], message: bytes, seconds: float
) -> dict[str, float]:
    work(_Watch(), message)  # caches are full in a gateway that runs
    watch, count, began = _Watch(), 0, time.monotonic()
    while count < 3 or time.monotonic() - began < seconds:
        work(watch, message)
        count += 1
    return {stage: spent / count * 1000 for stage, spent in watch.seconds.items()}


_JUDGEMENTS = ValidationCache()


def _received(watch: _Watch, message: bytes) -> Entity:
    wire = b"".join(stuffed([message])) + b".\r\n"
    reader = ContentReader(DEFAULT_LIMITS)
    with watch.of("DATA read, line ends checked"):
        for at in range(0, len(wire), _CHUNK):
            reader.feed(wire[at : at + _CHUNK])
        octets = reader.result()
    with watch.of("header section parsed"):
        return Entity.parse(octets)


def _out(watch: _Watch, message: bytes) -> None:
    cast, now = cast_of("RSA-2048"), datetime.now(UTC)
    content = _received(watch, message)
    with watch.of("recipient's certificate judged (remembered)"):
        recipient = _judged(cast.reader.certificate, READER, now)
    with watch.of("canonical form looked for"):
        canonical = canonical_for_signing(content)
    with watch.of("digest"):
        state = hashes.Hash(hashes.SHA256())
        for piece in canonical.pieces():
            state.update(piece)
        state.finalize()
    with watch.of("form, digest and signature"):
        signed = sign_clear(content, signer(cast.signer), now=now)
    with watch.of("key transport, cipher, base64"):  # what is long is encrypted while it is read
        pieces = list(encrypt(signed, [recipient]).pieces())
    with watch.of("dots, line ends checked"):
        for piece in stuffed(pieces):
            assert piece


def _in(watch: _Watch, message: bytes) -> None:
    cast, now = cast_of("RSA-2048"), datetime.now(UTC)
    content = _received(watch, message)
    with watch.of("outer layer read (base64, CMS)"):
        outer = _is(EncryptedLayer, layer_of(content))
    with watch.of("content key, cipher, well-formedness"):
        opened = decrypt(outer, [reader(cast.signer)])
    with watch.of("inner layer read (MIME, CMS)"):
        inner = _is(SignedLayer, layer_of(opened.entity))
    with watch.of("digest, signature, signer's path (remembered)"):
        verified = verify(
            inner,
            cast.evidence,
            originator=Mailbox.parse(READER),
            sender=None,
            now=now,
            judgements=_JUDGEMENTS,
        )
    with watch.of("dots, line ends checked"):
        for piece in stuffed(verified.entity.pieces()):
            assert piece


def _judged(certificate: Certificate, address: str, now: datetime) -> ValidatedCertificate:
    return _JUDGEMENTS.validate(
        certificate,
        cast_of("RSA-2048").evidence,
        purpose=Purpose.ENCRYPTION,
        mailbox=Mailbox.parse(address),
        now=now,
    )


def _is(kind: type[T], layer: Layer | None) -> T:
    assert isinstance(layer, kind)
    return layer
