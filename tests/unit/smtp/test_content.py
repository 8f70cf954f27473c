"""DATA framing: one true end, dots unstuffed and stuffed, limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.adapters.spool.file import FileStore
from smimegw.content import Content, Memory, Writer
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.smtp.content import FINAL_DOT, TOO_LARGE, ContentReader, stuffed


def read(stream: bytes, limits: Limits | None = None) -> ContentReader:
    reader = ContentReader(limits or Limits())
    reader.feed(stream)
    return reader


@pytest.mark.parametrize(
    ("stream", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"A: b\r\n\r\nbody\r\n.\r\n", b"A: b\r\n\r\nbody\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..x\r\n.y\r\n.\r\n", b"..\r\n.x\r\ny\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
    ],
)
def test_content_ends_at_a_lone_dot(stream: bytes, content: bytes) -> None:
    """CRLF . CRLF, where the CRLF of DATA counts as the first one (RFC 5321, 4.1.1.4 and 4.5.2)."""
    reader = read(stream)
    assert reader.done
    assert reader.violation is None
    assert reader.result() == content


class _NoMemory(Memory):
    """Has room for one line."""

    def writer(self) -> Writer:
        return _OneLine()


class _OneLine:
    def append(self, octets: bytes) -> None:
        if octets != b"beginning":
            raise MemoryError

    def finish(self) -> Content:
        raise MemoryError


@pytest.mark.parametrize("where", ["memory", "spool"])
def test_no_room_for_the_content_is_452_after_the_true_end(where: str, tmp_path: Path) -> None:
    """What cannot be kept is read over, so that none of it is taken for commands (C29, R-21)."""
    spool = FileStore(tmp_path / "absent", memory_octets=20)
    reader = ContentReader(store=_NoMemory() if where == "memory" else spool)
    reader.feed(b"beginning\r\n")
    reader.feed(b"MAIL FROM:<evil@partner.example>\r\n")
    reader.feed(b"\r\n.\r\nQUIT\r\n")
    assert reader.done
    assert reader.leftover == b"QUIT\r\n"
    assert str(reader.violation) == "452 4.3.1 no room for the message, try later"
    with pytest.raises(LimitError):
        reader.result()


def test_octets_after_the_end_are_kept() -> None:
    """A client may have sent its next commands already (RFC 2920)."""
    reader = read(b"x\r\n.\r\nMAIL FROM:<>\r\n")
    reader.feed(b"QUIT\r\n")
    assert reader.leftover == b"MAIL FROM:<>\r\nQUIT\r\n"


def test_unfinished_content_has_no_result() -> None:
    """A lost connection must not become a message."""
    reader = read(b"x\r\n.\r")
    assert not reader.done
    with pytest.raises(MIMEError, match="not ended"):
        reader.result()


def test_size_counts_unstuffed_octets_at_the_limit() -> None:
    """Exactly the limit passes, one octet more is 552 5.3.4 after the true end (A20)."""
    limits = Limits(message_octets=100)
    exact = b"." + b"." * 97 + b"x\r\n"
    assert read(exact + b".\r\n", limits).result() == exact[1:]
    over = read(b"x" * 99 + b"\r\n.\r\nNOOP\r\n", limits)
    assert over.done
    assert over.violation is TOO_LARGE
    assert over.leftover == b"NOOP\r\n"
    with pytest.raises(LimitError) as caught:
        over.result()
    assert caught.value.limit == "message_octets"


def test_more_than_twice_the_limit_is_worth_closing() -> None:
    """A client that ignores every limit is not read to its end (A20)."""
    reader = read(b"x" * 200, Limits(message_octets=100))
    assert not reader.overrun
    reader.feed(b"x" * 10)
    assert reader.overrun


def test_nothing_is_kept_of_refused_content() -> None:
    """Memory does not grow after a violation."""
    reader = read(b"x\ny" + b"z" * 1000)
    reader.feed(b"z" * 1000)
    assert not reader._content


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b""),
        (b"x\r\n", b"x\r\n"),
        (b"x", b"x\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n"),
        (b"\r\n", b"\r\n"),
        (b"a.\r\n", b"a.\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_leading_dots_are_doubled(content: bytes, wire: bytes, size: int) -> None:
    """Also when a piece ends right before the dot; a missing last CRLF is added (4.1.1.4)."""
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    assert b"".join(stuffed(pieces)) == wire


def test_the_final_dot_is_not_written_with_the_content() -> None:
    """Content and dot are two steps of the commit protocol."""
    assert not b"".join(stuffed([b"x\r\n"])).endswith(FINAL_DOT)
    assert read(b"".join(stuffed([b"x\r\n"])) + FINAL_DOT).result() == b"x\r\n"


def test_empty_pieces_change_nothing() -> None:
    """A generator may give out empty pieces anywhere."""
    assert b"".join(stuffed([b"", b"a\r", b"", b"\n", b"", b".b"])) == b"a\r\n..b\r\n"
