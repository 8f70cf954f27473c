"""Secrets split among people: any k give it back, fewer give nothing."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.adapters.keys.shares import Share, join, split
from smimegw.errors import UsageError

SECRET = bytes(range(32))


@pytest.mark.parametrize(("needed", "shares"), [(2, 2), (2, 3), (3, 5), (5, 5)])
def test_any_k_shares_give_the_secret(needed: int, shares: int) -> None:
    """Every choice, in any order."""
    parts = split(SECRET, needed=needed, shares=shares)
    for chosen in combinations(parts, needed):
        assert join(chosen) == SECRET
        assert join(chosen[::-1]) == SECRET


def test_more_shares_than_needed_do_no_harm() -> None:
    """All of them together are fine."""
    assert join(split(SECRET, needed=2, shares=5)) == SECRET


def test_fewer_shares_are_refused() -> None:
    """One of two is nothing (cases M13)."""
    parts = split(SECRET, needed=2, shares=3)
    with pytest.raises(UsageError, match="2 different shares are needed, there are 1"):
        join([parts[0], parts[0]])


def test_one_share_tells_nothing_of_the_secret() -> None:
    """Whatever the secret is, a single share of two takes every value (Shamir, 1979)."""
    seen: Counter[int] = Counter()
    for _ in range(4000):
        seen[split(b"\x00", needed=2, shares=2)[0].octets[0]] += 1
    assert len(seen) > 250
    assert max(seen.values()) < 60


def test_shares_of_another_secret_are_refused() -> None:
    """Two ceremonies do not mix."""
    one, other = split(SECRET, needed=2, shares=2), split(SECRET, needed=2, shares=2)
    with pytest.raises(UsageError, match="not all of one secret"):
        join([one[0], other[1]])


@pytest.mark.parametrize(("needed", "shares"), [(1, 3), (0, 0), (3, 2), (2, 33)])
def test_one_person_alone_is_never_enough(needed: int, shares: int) -> None:
    """Two persons at least, and numbers that work."""
    with pytest.raises(UsageError, match="make no sense"):
        split(SECRET, needed=needed, shares=shares)


@given(st.binary(min_size=1, max_size=40), st.integers(2, 6), st.integers(0, 4))
def test_lines_read_back(secret: bytes, needed: int, more: int) -> None:
    """What is typed from paper is the share, in lower case and without hyphens, too."""
    parts = split(secret, needed=needed, shares=needed + more)
    typed = [Share.parse(str(part).lower().replace("-", " ")) for part in parts]
    assert tuple(typed) == parts
    assert join(typed[-needed:]) == secret


def test_letters_that_look_like_digits() -> None:
    """0 is read as O, and 1 as I: base32 has neither digit (RFC 4648, 6)."""
    part = split(SECRET, needed=2, shares=2)[0]
    assert Share.parse(str(part).replace("O", "0").replace("I", "1")) == part


@pytest.mark.parametrize("place", [0, 5, 20, -1])
def test_mistyped_share_is_noticed(place: int) -> None:
    """One wrong letter anywhere fails the checksum; nothing is computed from it."""
    letters = list(str(split(SECRET, needed=2, shares=2)[0]).replace("-", ""))
    letters[place] = "A" if letters[place] != "A" else "B"
    with pytest.raises(UsageError, match="checksum"):
        Share.parse("".join(letters))


@pytest.mark.parametrize("text", ["", "AAAA", "not a share!", "ÄÖÜ"])
def test_other_text_is_no_share(text: str) -> None:
    """Any text ends in an error of ours."""
    with pytest.raises(UsageError):
        Share.parse(text)


def test_share_is_not_in_its_repr() -> None:
    """Logs and exceptions never hold one."""
    part = split(SECRET, needed=2, shares=2)[0]
    assert part.octets.hex() not in repr(part)
    assert str(part) not in repr(part)
