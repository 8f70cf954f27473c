"""DATA framing under random input: chunks never matter, and what is written is read back."""

from __future__ import annotations

import contextlib
import re
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smimegw.errors import AddressError, CommandError, MIMEError, NextHopError
from smimegw.limits import Limits
from smimegw.smtp.authserv_id import authserv_id
from smimegw.smtp.client import Client
from smimegw.smtp.commands import parse_mail, parse_rcpt
from smimegw.smtp.content import FINAL_DOT, ContentReader, stuffed

# The alphabet that matters comes up often, every other octet sometimes.
OCTETS = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"\r\n.\r\n", b"\r\n."]),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)
CUTS = st.lists(st.integers(min_value=0, max_value=150), max_size=20)
CLEAN = st.lists(
    st.sampled_from([b"\r\n", b".", b"a", b"..", b"\r\n.\r\n", b"\xff"]), max_size=40
).map(b"".join)


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(octets)) for place in cuts), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges)]


def outcome(chunks: list[bytes]) -> tuple[object, ...]:
    reader = ContentReader(Limits(message_octets=60))
    for chunk in chunks:
        reader.feed(chunk)
    content = reader.result() if reader.done and reader.violation is None else None
    return reader.done, reader.leftover, reader.size, reader.violation, content


@settings(max_examples=400, deadline=None)
@given(OCTETS, CUTS)
@example(b"\0\n.\n\na.\ra\0\r\n\r\n.\r\n", list(range(20)))
def test_chunked_feeding_equals_whole_feeding(octets: bytes, cuts: list[int]) -> None:
    """Where TCP cuts the stream decides nothing."""
    assert outcome(cut(octets, cuts)) == outcome([octets])


@settings(max_examples=400, deadline=None)
@given(OCTETS, OCTETS)
def test_the_reader_agrees_with_the_definition(octets: bytes, after: bytes) -> None:
    """The first CRLF . CRLF ends, all else is content; bare octets are exactly the violations."""
    stream = octets + b"\r\n.\r\n" + after
    reader = ContentReader()
    reader.feed(stream)
    lines = b"\r\n" + stream
    end = lines.index(b"\r\n.\r\n")
    content = lines[2 : end + 2]
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n|\0", lines[: end + 2])
    assert reader.done
    assert reader.leftover == lines[end + 5 :]
    assert (reader.violation is not None) == (bare is not None)
    if bare is None:
        assert reader.result() == re.sub(rb"(?m)^\.", b"", content)


@settings(max_examples=400, deadline=None)
@given(CLEAN, CUTS)
def test_what_is_stuffed_is_read_back(content: bytes, cuts: list[int]) -> None:
    """Round trip for every content with clean line ends, cut anywhere."""
    wire = b"".join(stuffed(cut(content, cuts)))
    reader = ContentReader()
    reader.feed(wire + FINAL_DOT + b"QUIT\r\n")
    complete = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert reader.result() == complete
    assert reader.leftover == b"QUIT\r\n"


@settings(max_examples=400, deadline=None)
@given(OCTETS, CUTS)
def test_the_writer_refuses_exactly_bare_octets(content: bytes, cuts: list[int]) -> None:
    """Nothing else is refused, and nothing bare gets out (A10)."""
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content) is not None
    try:
        wire = b"".join(stuffed(cut(content, cuts)))
    except MIMEError:
        assert bare
    else:
        assert not bare
        assert b"\r\n.\r\n" not in b"\r\n" + wire


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), CUTS)
def test_a_client_gets_replies_or_one_error(octets: bytes, cuts: list[int]) -> None:
    """Whatever a next hop sends: parsed replies, or NextHopError and nothing afterwards."""
    client = Client()
    with contextlib.suppress(NextHopError):
        for chunk in cut(b"220 x\r\n" + octets, cuts):
            client.receive(chunk)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), OCTETS))
def test_commands_are_parsed_or_refused(octets: bytes) -> None:
    """MAIL and RCPT arguments never raise anything but CommandError (A26)."""
    for parse, keyword in ((parse_mail, b"FROM:<"), (parse_rcpt, b"TO:<")):
        for argument in (octets, keyword + octets, keyword + b"a@b.example> " + octets):
            with contextlib.suppress(CommandError):
                parsed = parse(argument)
                if parsed.mailbox is not None and not parsed.unknown:
                    assert str(parsed.mailbox)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(alphabet='gw.(")\\; =i1\u3002', max_size=40)))
def test_any_field_has_a_name_or_none(body: bytes | str) -> None:
    """Reading an authserv-id never raises; a name is in comparison form."""
    name = authserv_id(body.encode() if isinstance(body, str) else body)
    if name is not None:
        assert name == name.lower()
        assert name.isascii()


def test_the_error_classes_are_told_apart() -> None:
    """A malformed command is no malformed address: the listener answers each in its way."""
    assert not issubclass(CommandError, AddressError)
