"""A content reads like the bytes that it stands for, however it is put together."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.content import MEMORY, Content, evenly
from smimegw.errors import LimitError

OCTETS = bytes(range(256)) * 1200  # above what is given in one piece


def made(octets: bytes) -> Content:
    """Made anew for every reader, in odd pieces."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(octets), 1000):
            yield octets[start : start + 1000]

    return Content.made(len(octets), pieces)


def joint(octets: bytes) -> Content:
    """Of all kinds of stretches, a view of something longer among them."""
    thirds = len(octets) // 3
    longer = Content(b"before" + octets[thirds : 2 * thirds] + b"behind")
    return Content.joined(
        (octets[:thirds], longer.part(6, 6 + thirds), b"", made(octets[2 * thirds :]))
    )


def view(octets: bytes) -> Content:
    """One stretch in the middle of something longer."""
    return Content(b"before" + octets + b"behind").part(6, 6 + len(octets))


def joined(octets: bytes) -> Content:
    """Bytes alone, which are copied when they are few."""
    return Content.joined((octets[:7], view(octets[7:])))


FORMS = {"bytes": Content, "made": made, "joint": joint, "view": view, "joined": joined}
forms = pytest.mark.parametrize("form", list(FORMS))


@forms
def test_has_length_and_octets(form: str) -> None:
    """What went in comes out."""
    content = FORMS[form](OCTETS)
    assert len(content) == len(OCTETS)
    assert b"".join(content) == OCTETS
    assert b"".join(content.pieces()) == OCTETS  # as often as wanted


@forms
@given(start=st.integers(0, 500), end=st.integers(0, 500))
def test_part_is_a_slice(form: str, start: int, end: int) -> None:
    """A part, what is read, and pieces are the same octets as of a slice of bytes."""
    octets = OCTETS[:400]
    content = FORMS[form](octets)
    expected = octets[start:end]
    assert content.read(start, end) == expected
    assert content.part(start, end).whole() == expected
    assert b"".join(content.pieces(start, end)) == expected
    assert len(content.part(start, end)) == len(expected)


@forms
@given(needle=st.binary(min_size=1, max_size=4), start=st.integers(0, 400))
def test_finds_like_bytes(form: str, needle: bytes, start: int) -> None:
    """Also where pieces meet."""
    octets = OCTETS[:300] + b"\x00\x00\x01\xff" * 9
    assert FORMS[form](octets).find(needle, start) == octets.find(needle, start)


@forms
@pytest.mark.parametrize("at", range(990, 1010))
def test_finds_across_pieces(form: str, at: int) -> None:
    """A needle that lies in two pieces is found where it begins."""
    octets = b"." * at + b"needle" + b"." * 2000
    assert FORMS[form](octets).find(b"needle") == at
    assert FORMS[form](octets).find(b"needle", at + 1) == -1


@forms
@pytest.mark.parametrize("at", range(990, 1010))
def test_pattern_sees_line_beginnings_across_pieces(form: str, at: int) -> None:
    """A line begins behind a line end, not where a piece begins."""
    pattern = re.compile(rb"^ab", re.MULTILINE)
    assert FORMS[form](b"." * at + b"\nab" + b"." * 2000).matches(pattern, 8)
    assert not FORMS[form](b"." * at + b"-ab" + b"." * 2000).matches(pattern, 8)
    assert FORMS[form](b"ab" + b"." * 2000).matches(pattern, 8)


@forms
def test_equals_by_octets(form: str) -> None:
    """Whatever it is made of; different octets of the same length are different."""
    content = FORMS[form](OCTETS)
    assert content == Content(OCTETS)
    assert hash(content) == hash(Content(OCTETS))
    assert content != FORMS[form](OCTETS[:-1] + b"x")
    assert content != FORMS[form](OCTETS[:-1])


@forms
def test_begins_and_ends(form: str) -> None:
    """As bytes do, also with more than there is."""
    content = FORMS[form](b"Subject: x\r\n")
    assert content.startswith(b"Subject")
    assert content.startswith(b"x", 9)
    assert not content.startswith(b"Subject: x\r\n.")
    assert content.endswith(b"\r\n")
    assert not content.endswith(b". Subject: x\r\n")


def test_whole_is_limited() -> None:
    """What is long is not joined by accident."""
    with pytest.raises(LimitError, match="memory_octets"):
        made(OCTETS).whole(1000)
    assert made(OCTETS).whole(len(OCTETS)) == OCTETS


def test_repr_shows_nothing() -> None:
    """What people write stands in no log."""
    assert repr(Content(b"secret")) == "Content(6 octets)"


def test_memory_keeps() -> None:
    """The store of tests and small things."""
    writer = MEMORY.writer()
    writer.append(b"one ")
    writer.append(b"two")
    assert writer.finish() == MEMORY.store((b"one", b" two")) == b"one two"


@given(st.lists(st.binary(max_size=9)), st.integers(1, 5))
def test_cut_evenly(pieces: list[bytes], octets: int) -> None:
    """The same octets; all pieces but the last have the same length."""
    cut = list(evenly(pieces, octets))
    assert b"".join(cut) == b"".join(pieces)
    assert all(len(piece) == octets for piece in cut[:-1])
    assert all(0 < len(piece) <= octets for piece in cut)
