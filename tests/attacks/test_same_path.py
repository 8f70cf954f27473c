"""Good and bad keys and paddings take one way through us: nothing is timed, steps are compared.

Who measures long enough finds any step that only some ciphertexts take (Bleichenbacher, Vaudenay).
So it is shown that there is none: the functions that are entered, and their order, are the same.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.envelope import Enveloped, decrypt, parse_enveloped
from smimegw.cms.keys import DecryptionCredential
from smimegw.content import Content
from smimegw.errors import DecryptionError
from tests.attacks.test_cms_bad_input import (
    UNIFORM,
    _raw_rsa,
    _without_content,
)
from tests.fakes.pki import Issued
from tests.unit.cms.people import CountingKey, person, sealed

CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM
TRIES = 2000
KEY = b"k" * CBC.key_octets

Way = tuple[str, ...]


def way_of(function: Callable[[], object]) -> tuple[Way, object]:
    """The functions of ours that *function* enters, in their order, and what it comes to."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and "/smimegw/" in code.co_filename:
            entered.append(f"{code.co_filename.rpartition('/smimegw/')[2]}:{code.co_qualname}")

    sys.setprofile(note)
    try:
        result: object = function()
    except DecryptionError as exc:
        result = (type(exc), str(exc), exc.__cause__, exc.__context__)
    finally:
        sys.setprofile(None)
    return tuple(entered), result


def opening(enveloped: Enveloped, issued: Issued) -> tuple[Way, object, int]:
    """What *issued*'s key enters on *enveloped*, what comes of it, and how often it is used."""
    key = CountingKey(issued)
    credential = DecryptionCredential(issued.certificate, key)
    way, result = way_of(lambda: decrypt(enveloped, (credential,)))
    return way, result, key.uses


def alices(octets: bytes) -> Enveloped:
    """Opened once, so that what is remembered between messages is remembered."""
    enveloped = parse_enveloped(octets)
    opening(enveloped, person())
    return enveloped


def with_key(enveloped: Enveloped, encrypted_key: bytes) -> Enveloped:
    """The same message with another encrypted content key."""
    (info,) = enveloped.recipient_infos
    return replace(enveloped, recipient_infos=(replace(info, encrypted_key=encrypted_key),))


def bobs(octets: bytes, *positions: tuple[int, int]) -> Counter[tuple[Way, object, int]]:
    """What comes of *octets* when at each of *positions* the bits are changed."""
    bob = person("bob", "p256")
    opening(parse_enveloped(octets), bob)
    seen: Counter[tuple[Way, object, int]] = Counter()
    for at, bits in positions:
        changed = bytearray(octets)
        changed[at] ^= bits
        seen[opening(parse_enveloped(bytes(changed)), bob)] += 1
    return seen


def padded(chance: random.Random, key: bytes) -> bytes:
    """A proper block (RFC 8017, 7.2.1) around *key*."""
    filling = chance.randbytes(253 - len(key)).replace(b"\0", b"\1")
    return b"\x00\x02" + filling + b"\x00" + key


def _random(chance: random.Random) -> bytes:
    return b"\x00" + chance.randbytes(255)


def _structured(chance: random.Random) -> bytes:
    """Nearly a proper block: each of the ways to miss it in turn."""
    block = bytearray(padded(chance, KEY))
    match chance.randrange(7):
        case 0:
            block[1] = chance.choice([0, 1, 3, 0xFF])
        case 1:
            block[0] = 1
        case 2:
            block[2 + chance.randrange(8)] = 0
        case 3:
            block[256 - len(KEY) - 1] = 0xFF  # no separator, unless the key holds one
        case 4:
            return padded(chance, chance.randbytes(chance.randrange(32)))
        case 5:
            return padded(chance, chance.randbytes(chance.randrange(33, 200)))
        case _:
            return b"\x00\x02" + b"\xff" * 254
    return bytes(block)


BLOCKS: dict[str, Callable[[random.Random], bytes]] = {
    "another key": lambda chance: padded(chance, chance.randbytes(len(KEY))),
    "random": _random,
    "structured": _structured,
}


def test_6000_blocks_take_one_way_to_one_answer() -> None:
    """Proper, random and nearly proper blocks, 2,000 each (cases H17, T-07)."""
    alice = person()
    # without content, because one of 256 wrong keys makes good padding by chance
    enveloped = alices(_without_content(sealed([alice], CBC)))
    chance = random.Random(17)
    seen: Counter[tuple[Way, object, int]] = Counter()
    for make in BLOCKS.values():
        for _ in range(TRIES):
            seen[opening(with_key(enveloped, _raw_rsa(alice, make(chance))), alice)] += 1
    ((way, result, uses),) = seen
    assert sum(seen.values()) == 3 * TRIES
    assert (result, uses) == (UNIFORM, 1)
    assert "cms/content_ciphers.py:undo_cbc" in way  # with a key of chance where there is none


@pytest.mark.parametrize("kind", BLOCKS)
def test_bad_block_goes_the_way_of_a_good_one_to_the_end(kind: str) -> None:
    """Up to the look at the content, no step is missing and none is more (cases H17)."""
    alice = person()
    enveloped = alices(sealed([alice], CBC))
    good, content, _ = opening(enveloped, alice)
    assert isinstance(content, Content)
    block = _raw_rsa(alice, BLOCKS[kind](random.Random(4)))
    bad, result, _ = opening(with_key(enveloped, block), alice)
    assert result == UNIFORM
    assert tuple(step for step in bad if not step.startswith("errors.py:")) == good


def test_every_octet_of_the_padding_takes_one_way() -> None:
    """Each of the 16 octets that decide the padding, each of its bits (cases H19, T-07)."""
    octets = sealed([person("bob", "p256")], content=b"x" * 32)  # a whole block of 0x10
    seen = bobs(octets, *((-16 - back, 1 << bit) for back in range(1, 17) for bit in range(8)))
    ((_, result, uses),) = seen
    assert seen.total() == 128
    assert (result, uses) == (UNIFORM, 1)


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=lambda item: item.label)
def test_every_octet_of_a_wrapped_key_takes_one_way(cipher: ContentCipher) -> None:
    """RFC 3394's own check of a wrapped key says nothing outside, wherever it fails (T-07)."""
    octets = sealed([person("bob", "p256")], cipher)
    wrapped = parse_enveloped(octets).recipient_infos[0].encrypted_key
    start = octets.index(wrapped)
    seen = bobs(octets, *((at, 1) for at in range(start, start + len(wrapped))))
    ((_, result, uses),) = seen
    assert (result, uses) == (UNIFORM, 1)


def test_comparison_of_ways_can_fail() -> None:
    """A message to somebody else is another way, and is seen to be one."""
    alice = person()
    way, _, _ = opening(alices(sealed([alice], CBC)), alice)
    other, _, _ = opening(alices(sealed([alice], GCM)), alice)
    assert way != other
