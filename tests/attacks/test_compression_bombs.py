"""Compression bombs, nested ones too: bounded work, and the message stays as it came (H05)."""

from __future__ import annotations

import base64
import tracemalloc
import zlib

import pytest

from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.errors import LimitError
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.smime.decompress import decompress
from smimegw.smime.media_types import CompressedLayer, layer_of
from tests.fakes.company import Company, message
from tests.unit.cms.people import compressed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
MIB = 1024 * 1024
TYPE = b"Content-Type: application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z\r\n"


def _bomb(octets: int) -> bytes:
    """A zlib stream of a text with *octets* spaces, made without holding them."""
    stream = zlib.compressobj(9)
    pieces = [stream.compress(b"Content-Type: text/plain\r\n\r\n")]
    pieces += [stream.compress(b" " * MIB) for _ in range(octets // MIB)]
    return b"".join((*pieces, stream.flush()))


def _entity(cms: bytes) -> Entity:
    return Entity.parse(TYPE + b"Content-Transfer-Encoding: binary\r\n\r\n" + cms)


def _mail(cms: bytes) -> bytes:
    extra = TYPE.decode() + "Content-Transfer-Encoding: base64\r\n"
    body = base64.encodebytes(cms).replace(b"\n", b"\r\n").decode()
    return message(BOB, ALICE, extra=extra, body=body)


def _layer(entity: Entity) -> CompressedLayer:
    layer = layer_of(entity)
    assert isinstance(layer, CompressedLayer)
    return layer


def test_bomb_ends_at_the_ratio_in_little_memory() -> None:
    """128 MiB from 128 KiB: 100 times what came is inflated at most (cases H05)."""
    octets = compressed(stream=_bomb(128 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="decompression_ratio"):
            inflate(parse_compressed_data(octets), Limits(message_octets=4 * MIB))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


def test_bomb_inside_a_compressed_layer_does_not_multiply() -> None:
    """The ratio is that of the message which came, not of the layer before (cases H05)."""
    inner = TYPE + b"Content-Transfer-Encoding: binary\r\n\r\n" + compressed(stream=_bomb(8 * MIB))
    outer = _entity(compressed(inner))
    received = len(outer.raw)
    middle = decompress(_layer(outer), received_octets=received)
    with pytest.raises(LimitError, match="decompression_ratio"):
        decompress(_layer(middle), received_octets=received)


def test_quine_like_nesting_ends_at_the_layer_limit() -> None:
    """Ten layers of compression: the message stays as it came (cases H05, R-50)."""
    company = Company()
    company.user(ALICE)
    octets = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    for _ in range(10):
        octets = TYPE + b"Content-Transfer-Encoding: binary\r\n\r\n" + compressed(octets)
    content = _mail(octets[octets.index(b"\r\n\r\n") + 4 :])
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert outcome.reply.code == 250
    arrived = Entity.parse(company.arrived[-1])
    assert arrived.body == Entity.parse(content).body
    (results,) = arrived.header.all("authentication-results")
    assert b'smime=permerror reason="limits"' in results.body


def test_mail_with_a_bomb_arrives_as_it_came() -> None:
    """Nothing of it is inflated for the recipient (cases H05, R-50)."""
    company = Company()
    company.user(ALICE)
    content = _mail(compressed(stream=_bomb(8 * MIB)))
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert outcome.reply.code == 250
    arrived = Entity.parse(company.arrived[-1])
    assert arrived.body == Entity.parse(content).body
    (results,) = arrived.header.all("authentication-results")
    assert b'smime=permerror reason="limits"' in results.body
