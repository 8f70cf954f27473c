"""Splits a secret among several people so that some of them together have it, and fewer nothing.

Shamir's scheme over GF(256): each octet of the secret is the value at 0 of a random polynomial of
degree *needed* - 1, a share is the value of all of them at its number (A. Shamir, How to Share a
Secret, CACM 22(11), 1979).  A share is one line of text that can be printed and typed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from smimegw.errors import UsageError

_VERSION = 1
_SET_OCTETS = 4
_CHECK_OCTETS = 5
_GROUP = 5
_REDUCTION = 0x11B  # x^8 + x^4 + x^3 + x + 1, as in AES (FIPS 197, 4.2)
MOST_SHARES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One part of a secret.

    Attributes:
        set_id: The same for all shares of one secret.
        needed: How many give the secret.
        number: Which one this is, from 1.
        octets: Its values, one for each octet of the secret.
    """

    set_id: bytes
    needed: int
    number: int
    octets: bytes = field(repr=False)

    def __str__(self) -> str:
        """The line for paper: base32 in groups, with a checksum."""
        body = bytes((_VERSION, self.needed, self.number)) + self.set_id + self.octets
        text = base64.b32encode(body + _checksum(body)).decode("ascii").rstrip("=")
        return "-".join(text[i : i + _GROUP] for i in range(0, len(text), _GROUP))

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read the line; blanks, hyphens, case, and 0 for O or 1 for I do not matter.

        Raises:
            UsageError: Not a share, or mistyped.
        """
        letters = re.sub(r"[\s-]", "", text).upper().replace("0", "O").replace("1", "I")
        try:
            octets = base64.b32decode(letters + "=" * (-len(letters) % 8))
        except (binascii.Error, ValueError):
            raise UsageError("a share holds letters and the digits 2 to 7 only") from None
        if base64.b32encode(octets).decode("ascii").rstrip("=") != letters:
            raise UsageError("the share was mistyped or cut off: its checksum is wrong")
        body, check = octets[:-_CHECK_OCTETS], octets[-_CHECK_OCTETS:]
        begin = 3 + _SET_OCTETS
        if len(body) <= begin or _checksum(body) != check:
            raise UsageError("the share was mistyped or cut off: its checksum is wrong")
        if body[0] != _VERSION or not 1 <= body[1] <= MOST_SHARES or not body[2]:
            raise UsageError("the share is of a kind that this version does not know")
        return cls(set_id=body[3:begin], needed=body[1], number=body[2], octets=body[begin:])


def split(secret: bytes, *, needed: int, shares: int) -> tuple[Share, ...]:
    """Split *secret* into *shares* parts, of which any *needed* give it back.

    Raises:
        UsageError: Numbers that make no sense; one person alone is never enough.
    """
    if not 2 <= needed <= shares <= MOST_SHARES:
        raise UsageError(
            f"{needed} of {shares} shares make no sense: at least 2 must be needed, so that nobody"
            f" can do it alone, and there are {MOST_SHARES} at most"
        )
    set_id = secrets.token_bytes(_SET_OCTETS)
    polynomials = [bytes((octet,)) + secrets.token_bytes(needed - 1) for octet in secret]
    return tuple(
        Share(
            set_id=set_id,
            needed=needed,
            number=number,
            octets=bytes(_value_at(number, polynomial) for polynomial in polynomials),
        )
        for number in range(1, shares + 1)
    )


def join(shares: Sequence[Share]) -> bytes:
    """Return the secret.

    Raises:
        UsageError: Too few, of different secrets, or one twice.
    """
    if not shares or len({(share.set_id, share.needed, len(share.octets)) for share in shares}) > 1:
        raise UsageError("these shares are not all of one secret; which recovery key are they of?")
    needed = shares[0].needed
    by_number = {share.number: share for share in shares}
    if len(by_number) < needed:
        raise UsageError(f"{needed} different shares are needed, there are {len(by_number)}")
    chosen = [by_number[number] for number in sorted(by_number)[:needed]]
    weights = [_weight(share.number, [other.number for other in chosen]) for share in chosen]
    secret = bytearray(len(chosen[0].octets))
    for share, weight in zip(chosen, weights, strict=True):
        for place, octet in enumerate(share.octets):
            secret[place] ^= _times(octet, weight)
    return bytes(secret)


def _value_at(x: int, polynomial: bytes) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = _times(value, x) ^ coefficient
    return value


def _weight(number: int, numbers: Sequence[int]) -> int:
    """Lagrange's coefficient at 0; subtraction in this field is exclusive or."""
    weight = 1
    for other in numbers:
        if other != number:
            weight = _times(weight, _times(other, _inverse(other ^ number)))
    return weight


def _times(left: int, right: int) -> int:
    product = 0
    for _ in range(8):  # every bit alike, so that time tells nothing of them
        product ^= -(right & 1) & left
        right >>= 1
        left = (left << 1) ^ (-(left >> 7) & _REDUCTION)
    return product


def _inverse(value: int) -> int:
    inverse = 1
    for _ in range(254):  # value^254 (Fermat)
        inverse = _times(inverse, value)
    return inverse


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"smimegw share\0" + body).digest()[:_CHECK_OCTETS]
