"""Twice the stream is twice the work, whatever a client or a next hop sends (T-09)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from smimegw.limits import DEFAULT_LIMITS
from tests.meter.growth import METERED, is_linear

Make = Callable[[int], bytes]

ADDRESSES = METERED["smimegw.address_lists"]
AUTHSERV, COMMANDS = METERED["smimegw.smtp.authserv_id"], METERED["smimegw.smtp.commands"]
CONTENT, EXTENSIONS = METERED["smimegw.smtp.content"], METERED["smimegw.smtp.extensions"]
HEADERS, HTTP = METERED["smimegw.mime.headers"], METERED["smimegw.adapters.http.client"]
FILTER = METERED["smimegw.adapters.ldap.filter"]
REPLY, REPLIES = METERED["smimegw.smtp.reply"], METERED["smimegw.smtp.reply_reader"]
STRIP, TRACE = METERED["smimegw.pipeline.strip"], METERED["smimegw.smtp.trace"]
TRIGGERS, XFORWARD = METERED["smimegw.policy.triggers"], METERED["smimegw.adapters.smtp.xforward"]

ROOMY = replace(DEFAULT_LIMITS, command_line_octets=100_000)  # so that the grammar is at work


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


STREAMS: dict[str, Make] = {
    "lines": lambda n: b"line\r\n" * n,
    "one line": lambda n: b"a" * n,
    "dots": lambda n: b".\r\n." * n,
    "stuffed dots": lambda n: b"..\r\n" * n,
    "almost the end": lambda n: b"\r\n.\n" * n,
    "bare CR": lambda n: b"\r" * n,
    "bare LF": lambda n: b"\n" * n,
    "after the end": lambda n: b"a\r\n.\r\n" + b"NOOP\r\n" * n,
}


@pytest.mark.parametrize("shape", STREAMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_content_is_read_in_one_pass(shape: str, size: int) -> None:
    """In pieces of any size (RFC 5321, 4.5.2)."""

    def read(octets: bytes) -> None:
        reader = CONTENT.ContentReader()
        for piece in cut(octets, size):
            reader.feed(piece)
            if reader.done:  # the session takes back what follows
                return

    def make(size: int) -> bytes:
        # As much content comes before, so that the size shows where reading ends early.
        return b"a\r\n" * size + STREAMS[shape](size)

    assert is_linear(read, make, 60)


@pytest.mark.parametrize("shape", STREAMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_content_is_written_in_one_pass(shape: str, size: int) -> None:
    """The same the other way (RFC 5321, 4.5.2)."""

    def make(count: int) -> bytes:
        return b"a\r\n" * count + STREAMS[shape](count)

    assert is_linear(lambda octets: list(CONTENT.stuffed(cut(octets, size))), make, 60)


ANSWERS: dict[str, Make] = {
    "replies": lambda n: b"250 2.0.0 fine\r\n" * n,
    "lines of one reply": lambda n: b"250-SIZE\r\n" * n + b"250 end\r\n",
    "one long line": lambda n: b"250 " + b"a" * n + b"\r\n",
    "a line that does not end": lambda n: b"250 " + b"a" * n,
    "keywords": lambda n: b"250-x\r\n250 AUTH " + b"PLAIN " * n + b"\r\n",
    "lines with a code": lambda n: b"550-5.1.1 no\r\n" * n + b"550 5.1.1 no\r\n",
}


@pytest.mark.parametrize("shape", ANSWERS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_replies_are_read_in_one_pass(shape: str, size: int) -> None:
    """A line that comes octet by octet is not searched anew for each (RFC 5321, 4.2)."""

    def read(octets: bytes) -> None:
        reader = REPLIES.ReplyReader("mx.partner.example")
        for piece in cut(octets, size):
            reader.feed(piece)
            while (reply := reader.next()) is not None:
                EXTENSIONS.parse_extensions(reply)

    assert is_linear(read, ANSWERS[shape], 60)


ARGUMENTS: dict[str, Make] = {
    "local part": lambda n: b"<" + b"a" * n + b"@b.example>",
    "dots": lambda n: b"<" + b"a." * n + b"@b.example>",
    "quoted pairs": lambda n: b'<"' + b"\\a" * n + b'"@b.example>',
    "quotes": lambda n: b"<" + b'"a"' * n + b"@b.example>",
    "open quote": lambda n: b'<"' + b"\\a" * n,
    "open bracket": lambda n: b"<" + b"a" * n,
    "labels": lambda n: b"<a@" + b"b." * n + b"example>",
    "8-bit": lambda n: b"<" + "ü".encode() * n + b"@b.example>",
    "parameters": lambda n: b"<a@b.example>" + b"".join(b" X%d=1" % m for m in range(n)),
    "spaces": lambda n: b"<a@b.example>" + b" " * n + b"SIZE=1",
    "xtext": lambda n: b"<a@b.example> AUTH=" + b"+2B" * n,
    "broken xtext": lambda n: b"<a@b.example> AUTH=" + b"+2B" * n + b"+",
}


@pytest.mark.parametrize("shape", ARGUMENTS)
def test_commands_are_read_in_one_pass(shape: str) -> None:
    """Also when a longer line were allowed (RFC 5321, 4.1.2)."""

    def read(octets: bytes) -> None:
        COMMANDS.parse_mail(b"FROM:" + octets, ROOMY)

    assert is_linear(read, ARGUMENTS[shape], 60)


def test_xforward_is_read_in_one_pass() -> None:
    """Many attributes, long values; XCLIENT the same."""

    def read(octets: bytes) -> None:
        XFORWARD.parse_attributes(octets, ("NAME",))

    assert is_linear(read, lambda n: b"NAME=" + b"+2B " * n, 60)
    assert is_linear(read, lambda n: b"NAME=a " * n, 60)


LISTS: dict[str, Make] = {
    "addresses": lambda n: b", ".join([b"a@b.example"] * n),
    "names": lambda n: b", ".join([b'"A \\"B\\"" <a@b.example>'] * n),
    "words of one name": lambda n: b"a " * n + b"<a@b.example>",
    "glued words": lambda n: b"a." * n + b" <a@b.example>",
    "encoded words": lambda n: b"=?utf-8?Q?a?= " * n + b"<a@b.example>",
    "almost encoded words": lambda n: b"=?utf-8?Q?" * n + b" <a@b.example>",
    "quoted strings": lambda n: b'"a"' * n + b" <a@b.example>",
    "open quote": lambda n: b'"' + b"\\a" * n,
    "quoted pairs": lambda n: b'"' + b'\\"' * n + b'" <a@b.example>',
    "deep comment": lambda n: b"(" * n + b")" * n + b"a@b.example",
    "open comment": lambda n: b"(" * n,
    "comments": lambda n: b"(c)" * n + b"a@b.example",
    "groups": lambda n: b"g: a@b.example;" + b", g: a@b.example;" * n,
    "empty groups": lambda n: b"g:;" + b", g:;" * n,
    "brackets": lambda n: b"<" + b"a" * n,
    "quotes in brackets": lambda n: b"<" + b'"a"' * n,
    "literal": lambda n: b"a@[" + b"1" * n + b"]",
    "white space": lambda n: b"a" + b" " * n + b"<a@b.example>",
    "8-bit": lambda n: "ü ".encode() * n + b"<a@b.example>",
}


@pytest.mark.parametrize("shape", LISTS)
def test_address_lists_are_read_in_one_pass(shape: str) -> None:
    """Comments, quotation marks and groups in any number (RFC 5322, 3.4)."""
    assert is_linear(ADDRESSES.parse_mailboxes, LISTS[shape], 60)


RESULTS: dict[str, Make] = {
    **LISTS,
    "long name": lambda n: b"a" * n + b"; none",
    "labels": lambda n: b"a." * n + b"; none",
    "U-labels": lambda n: "ü".encode() * n + b"; none",
    "quoted name": lambda n: b'"' + b"\\a" * n + b'"; none',
    "instances": lambda n: b"i = 1; " * n,
    "versions": lambda n: b"gw " + b"1" * n + b" ;",
}


@pytest.mark.parametrize("shape", RESULTS)
def test_names_of_results_are_read_in_one_pass(shape: str) -> None:
    """Every field of that name is looked at before anything else (T-01)."""
    # Longer than a label or a name may be (63, 255), after which another way is taken.
    assert is_linear(AUTHSERV.authserv_id, RESULTS[shape], 260)


@pytest.mark.parametrize("line", [b"A: b", b"X-Smimegw-A: b", b"Authentication-Results: gw; none"])
def test_forged_fields_are_removed_in_one_pass(line: bytes) -> None:
    """As many as a header section holds (T-01)."""

    def read(octets: bytes) -> None:
        STRIP.strip_results(HEADERS.parse_header_section(octets), "gw.ours.example")

    assert is_linear(read, lambda n: (line + b"\r\n") * n, 60)


@pytest.mark.parametrize(
    "text", ["[", "[sig", "[signed]", "[sig[signed]ned]", "=?u?q?[?=", "\u0301"]
)
def test_marks_are_taken_out_of_a_subject_in_one_pass(text: str) -> None:
    """Those that taking out leaves, too (T-01, cases K09)."""

    def read(octets: bytes) -> None:
        header = HEADERS.parse_header_section(octets)
        STRIP.strip_results(header, "gw.ours.example", ("[signed]", "[encrypted]"))

    assert is_linear(read, lambda n: b"Subject: " + (text * n).encode() + b"\r\n", 60)


@pytest.mark.parametrize("text", ["a", '"', "\\", "ü", "=?", "("])
def test_values_of_strangers_are_written_in_bounded_length(text: str) -> None:
    """A name of any size makes one short word (T-12)."""

    def write(octets: bytes) -> None:
        TRACE.quoted(octets.decode())
        FILTER.escape(octets)

    assert is_linear(write, lambda n: (text * n).encode(), 300)


BODIES: dict[str, Make] = {
    "chunks": lambda n: b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * n + b"0\r\n\r\n",
    "extensions of chunks": lambda n: (
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1;ab\r\na\r\n" * n + b"0\r\n\r\n"
    ),
    "to the end": lambda n: b"\r\n" + b"a" * (8 * n),
    "fields": lambda n: b"A: b\r\n" * n + b"\r\n",
    "one long field": lambda n: b"A: " + b"b" * n + b"\r\n\r\n",
}


@pytest.mark.parametrize("shape", BODIES)
def test_http_answers_are_read_in_one_pass(shape: str) -> None:
    """In small chunks, too (RFC 9112, 7.1)."""

    async def ask(octets: bytes) -> None:
        reader = asyncio.StreamReader(limit=1_000_000)
        reader.feed_data(b"HTTP/1.1 200 OK\r\n" + octets)
        reader.feed_eof()
        await HTTP._reply(reader, 1_000_000)

    assert is_linear(lambda octets: asyncio.run(ask(octets)), BODIES[shape], 60)


SUBJECTS: dict[str, Make] = {
    "words": lambda n: b"[secure] " * n,
    "words in words": lambda n: b"[sec" * n + b"[secure]" + b"ure]" * n,
    "spaces": lambda n: b"[" + b" " * n + b"secure]",
    "marks that combine": lambda n: b"a" + "\u0308".encode() * n,
    "invisible letters": lambda n: "\u200b".encode() * n,
    "brackets": lambda n: b"[" * n,
    "full width": lambda n: "［ｓｅｃｕｒｅ］".encode() * n,
}


@pytest.mark.parametrize("shape", SUBJECTS)
def test_words_in_subjects_are_found_in_one_pass(shape: str) -> None:
    """Found and taken out, also when they hide in each other."""

    def read(octets: bytes) -> None:
        subject, word = octets.decode(), TRIGGERS.normalised("[secure]")
        TRIGGERS.contains_word(subject, word)
        TRIGGERS.without_words(subject, [word])

    assert is_linear(read, SUBJECTS[shape], 60)
