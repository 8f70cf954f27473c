"""SMTP smuggling at the framing: no shape but CRLF . CRLF ends data, and none leaves us."""

from __future__ import annotations

from collections import deque

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import MIMEError, NextHopError
from smimegw.smtp.client import Client, State
from smimegw.smtp.content import BARE_LINE_END, ContentReader, stuffed
from smimegw.smtp.reply import Reply

SMUGGLED = b"MAIL FROM:<boss@corp.example>\r\nRCPT TO:<bob@corp.example>\r\nDATA\r\nforged\r\n"
TRUE_END = b".\r\n"

_LINE_ENDS = {
    "LF": b"\n",
    "CR": b"\r",
    "CRLF": b"\r\n",
    "CRCR": b"\r\r",
    "LFCR": b"\n\r",
    "CRCRLF": b"\r\r\n",
    "NUL": b"\0",
    "CRLF NUL": b"\r\n\0",
    "NUL CRLF": b"\0\r\n",
    "CR NUL LF": b"\r\0\n",
    "LF NUL": b"\n\0",
}
# Every combination of what may stand before and after a dot, but for the true end itself.
SHAPES = {
    f"{before} . {after}": first + b"." + second
    for before, first in _LINE_ENDS.items()
    for after, second in _LINE_ENDS.items()
    if (not first.endswith(b"\r\n") or not second.startswith(b"\r\n"))
    and (first, second) != (b"\r\n", b"\r\n")
}

CHUNKINGS = [1, 2, 3, 7, 10_000]


def test_the_family_holds_the_known_shapes() -> None:
    """LF.LF, CRLF.LF, LF.CRLF, CRLF.CR, CR.CR and the NUL variants are all in (A01-A07)."""
    known = {"LF . LF", "CRLF . LF", "LF . CRLF", "CRLF . CR", "CR . CR"}
    assert known | {"CRLF NUL . CRLF", "CRLF . NUL CRLF", "CRLF . NUL"} <= set(SHAPES)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("size", CHUNKINGS)
def test_only_the_true_end_ends_the_data(shape: bytes, size: int) -> None:
    """One 550 5.5.2 after the true end; what follows is the next command (A01, A03, A05, A07)."""
    stream = b"Subject: x\r\n\r\nhello" + shape + SMUGGLED + TRUE_END + b"NOOP\r\n"
    reader = ContentReader()
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    assert reader.done
    assert reader.leftover == b"NOOP\r\n"
    assert reader.violation == Reply(550, "5.5.2", "bare CR or LF")
    with pytest.raises(MIMEError):
        reader.result()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_shape_right_after_data_ends_nothing(shape: bytes) -> None:
    """The CRLF of the DATA command must not complete a half terminator."""
    if shape.startswith(b"\r\n"):
        shape = shape[2:]
    reader = ContentReader()
    reader.feed(shape + SMUGGLED + TRUE_END)
    assert reader.done
    assert reader.leftover == b""
    assert reader.violation is BARE_LINE_END


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("size", CHUNKINGS)
def test_no_shape_is_ever_sent(shape: bytes, size: int) -> None:
    """The emitter raises and gives out nothing that another server takes for an end (A10, A12)."""
    content = b"Subject: x\r\n\r\nhello" + shape + SMUGGLED
    sent = bytearray()
    pieces = (content[start : start + size] for start in range(0, len(content), size))
    with pytest.raises(MIMEError):
        deque(map(sent.extend, stuffed(pieces)), maxlen=0)
    assert b"MAIL FROM" not in sent
    assert b"\r\n.\r\n" not in b"\r\n" + sent


@pytest.mark.parametrize("octet", [b"\n", b"\r", b"\0"], ids=["LF", "CR", "NUL"])
@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_a_lone_octet_is_refused_wherever_it_stands(octet: bytes, place: str) -> None:
    """Bare LF, bare CR and NUL raise in the emitter, also at the edges (A10)."""
    content = {"start": octet + b"x\r\n", "middle": b"x" + octet + b"y\r\n", "end": b"x" + octet}
    with pytest.raises(MIMEError):
        b"".join(stuffed([content[place]]))


def test_a_message_that_is_only_terminators_stays_one_message() -> None:
    """True terminators inside content are stuffed, so one transaction stays one (A12)."""
    content = b"x\r\n.\r\n" + SMUGGLED + b".\r\n.\r\n"
    wire = b"".join(stuffed([content]))
    assert b"\r\n.\r\n" not in wire
    reader = ContentReader()
    reader.feed(wire + TRUE_END)
    assert reader.done
    assert reader.leftover == b""
    assert reader.result() == content


def test_the_client_cannot_send_the_dot_after_refused_content() -> None:
    """The connection is closed undotted: the next hop drops what it has (A10)."""
    client = Client()
    client.receive(b"220 x\r\n")
    client.hello("gw")
    client.receive(b"250 x\r\n")
    client.mail(None)
    client.receive(b"250 x\r\n")
    client.recipient(Mailbox.parse("bob@corp.example"))
    client.receive(b"250 x\r\n")
    client.data()
    client.receive(b"354 x\r\n")
    with pytest.raises(MIMEError):
        list(client.content([b"fine\r\n" * 10, b"a\n.\n" + SMUGGLED]))
    assert client.state is State.CLOSED
    with pytest.raises(NextHopError):
        client.commit()
