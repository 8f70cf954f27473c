"""Changes good inputs into bad ones, the same ones for the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

# Lengths, tags, line ends and terminators sit on these.
_EDGES = (0x00, 0x01, 0x0A, 0x0D, 0x20, 0x22, 0x28, 0x30, 0x5C, 0x7F, 0x80, 0x81, 0x84, 0xFE, 0xFF)
_MOST_CHANGES = 6
_LONGEST_COPY = 64


def mutations(
    seeds: Sequence[bytes], words: Sequence[bytes], random: Random, count: int
) -> Iterator[bytes]:
    """Yield the seeds themselves, then *count* changed ones."""
    yield from seeds
    for _ in range(count):
        octets = random.choice(seeds)
        for _ in range(random.randint(1, _MOST_CHANGES)):
            octets = _changed(octets, seeds, words, random)
        yield octets


def _changed(
    octets: bytes, seeds: Sequence[bytes], words: Sequence[bytes], random: Random
) -> bytes:
    at = random.randint(0, len(octets))
    size = random.randint(1, random.choice((1, 4, _LONGEST_COPY)))
    match random.randrange(7):
        case 0:
            return octets[:at] + octets[at + size :]
        case 1:
            return octets[:at] + bytes((random.choice(_EDGES),)) + octets[at + 1 :]
        case 2:
            return octets[:at] + random.randbytes(size) + octets[at:]
        case 3 if words:
            return octets[:at] + random.choice(words) + octets[at:]
        case 4:
            return (
                octets[:at] + octets[at : at + size] * random.randint(2, 20) + octets[at + size :]
            )
        case 5:
            other = random.choice(seeds)
            return octets[:at] + other[random.randint(0, len(other)) :]
        case _ if octets:
            flipped = bytearray(octets)
            flipped[at % len(octets)] ^= 1 << random.randrange(8)
            return bytes(flipped)
    return octets
