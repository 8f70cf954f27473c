"""Fuzz targets on the wire (SMTP, HTTP, LDAP) and in the files that administrators write."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from smimegw.adapters.http import client as http
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.smtp.xforward import (
    XCLIENT_ATTRIBUTES,
    XFORWARD_ATTRIBUTES,
    client_address,
    parse_attributes,
)
from smimegw.addresses import Mailbox
from smimegw.errors import (
    CommandError,
    ConfigurationError,
    MIMEError,
    NextHopError,
    RevocationError,
)
from smimegw.limits import Limits
from smimegw.policy.choices import Protection
from smimegw.policy.matrix import Trouble, Verdict
from smimegw.policy.parse import parse_policy
from smimegw.policy.parse_matrix import FILE_NAME, parse_matrix
from smimegw.policy.triggers import contains_word, normalised, without_words
from smimegw.smtp.commands import parse_mail, parse_rcpt
from smimegw.smtp.content import ContentReader, stuffed
from smimegw.smtp.extensions import parse_extensions
from smimegw.smtp.reply import Reply
from smimegw.smtp.reply_reader import ReplyReader
from smimegw.toml.document import Document
from tests.fuzz.target import Target

_POLICIES = Path(__file__).parents[2] / "policies"
_PIECES = (1, 2, 3, 7, 64)
_SMTP_WORDS = (
    b"\r\n.\r\n",
    b"\r\n..",
    b"\n.\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"250-",
    b"250 ",
    b"2.0.0 ",
    b"FROM:<",
    b"TO:<",
    b'<"',
    b"> SIZE=",
    b" ORCPT=rfc822;",
    b"+2B",
    b"\xc3\xa4",
)
_HTTP_WORDS = (
    b"HTTP/1.1 200 OK\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"Location: http://a.example/\r\n",
)
_TOML_WORDS = (b"[[rule]]\n", b"'''", b'"""', b"\\u0000", b"why = ", b"[", b"]", b"{", b"}", b"=")


def _cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def read_command(octets: bytes) -> None:
    """An address that is taken is one that is written as it was meant; or a reply."""
    for parse, keyword in ((parse_mail, b"FROM:"), (parse_rcpt, b"TO:")):
        for argument in (octets, keyword + octets):
            with contextlib.suppress(CommandError):
                parsed = parse(argument)
                if parsed.mailbox is not None:
                    assert Mailbox.parse(parsed.mailbox.address) == parsed.mailbox
                assert parse is parse_rcpt or (parsed.size or 0) >= 0
    for offered in (XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES):
        with contextlib.suppress(CommandError):
            said = parse_attributes(octets, offered)
            assert all(value.isprintable() for value in said.values())
            client_address(said.get("ADDR", ""))


def read_replies(octets: bytes) -> None:
    """Where TCP cuts the stream decides nothing."""
    whole = _replies([octets])
    for size in _PIECES[:3]:
        assert _replies(_cut(octets, size)) == whole
    for reply in whole[0]:
        parse_extensions(reply)


def _replies(pieces: Sequence[bytes]) -> tuple[list[Reply], bool]:
    reader = ReplyReader("mx.partner.example", Limits(reply_octets=4096))
    found: list[Reply] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (reply := reader.next()) is not None:
                found.append(reply)
    except NextHopError:
        return found, False
    return found, True


def read_data(octets: bytes) -> None:
    """Where TCP cuts the stream decides nothing, and what was read can be sent again."""
    whole = _content([octets])
    for size in _PIECES:
        assert _content(_cut(octets, size)) == whole
    with contextlib.suppress(MIMEError):
        wire = b"".join(stuffed([octets])) + b".\r\n"
        reader = ContentReader()
        reader.feed(wire)
        assert reader.result() in (octets, octets + b"\r\n")


def _content(pieces: Sequence[bytes]) -> tuple[object, ...]:
    reader = ContentReader(Limits(message_octets=2000))
    for piece in pieces:
        reader.feed(piece)
    content = reader.result() if reader.done and reader.violation is None else None
    return reader.done, reader.leftover, reader.size, reader.violation, content


def read_http(octets: bytes) -> None:
    """Where TCP cuts the stream decides nothing, and nothing longer than allowed is taken."""
    whole = asyncio.run(_http_reply([octets]))
    assert whole is None or len(whole.content) <= 1000
    assert asyncio.run(_http_reply(_cut(octets, 3))) == whole


async def _http_reply(pieces: Sequence[bytes]) -> http.Reply | None:
    reader = asyncio.StreamReader(limit=16 * 1024)

    async def send() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    sending = asyncio.create_task(send())
    try:
        return await http._reply(reader, 1000)
    except (RevocationError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None  # `HTTPClient.ask` turns the latter into the former
    finally:
        await sending


def write_filter(octets: bytes) -> None:
    """What is escaped stays one assertion value that means the same octets (RFC 4515, 3)."""
    written = escape(octets)
    assert not set(written) & set("()*\0 ")
    assert re.sub(r"\\(..)", lambda hit: chr(int(hit[1], 16)), written).encode("latin-1") == octets
    FilterTemplate(octets.decode("utf-8", "replace"))


def read_policy(octets: bytes) -> None:
    """A policy, or every mistake in it."""
    parse_policy([("policy.toml", octets)])


def read_matrix(octets: bytes) -> None:
    """Every cell, and none that could send less than a rule asked for; or every mistake."""
    matrix = parse_matrix(FILE_NAME, octets)
    for trouble in Trouble:
        for protection in filter(trouble.touches, Protection):
            verdict = matrix.verdict(trouble, protection)
            assert verdict is not Verdict.POLICY or trouble.named_by


def read_toml(octets: bytes) -> None:
    """Lines are found in whatever is TOML."""
    document = Document.parse("a.toml", octets)
    assert all(0 < line <= document.text.count("\n") + 1 for line in document.lines.values())


def read_subject(octets: bytes) -> None:
    """Taking a word out of a Subject adds nothing to it and keeps the order."""
    subject = octets.decode("utf-8", "replace")
    left = without_words(subject, [normalised("[secure]")])
    letters = iter(subject)
    assert all(letter in letters for letter in left)
    assert left == subject or contains_word(subject, "[secure]")


TARGETS = (
    Target(
        "smtp-command",
        read_command,
        (),
        lambda: [
            b"<alice@ours.example> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
            b'<"a b"@partner.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@partner.example',
            "<älice@bücher.example> SMTPUTF8".encode(),
            b"NAME=mx ADDR=192.0.2.1 IDENT=a+20b",
        ],
        _SMTP_WORDS,
    ),
    Target(
        "smtp-reply",
        read_replies,
        (),
        lambda: [b"220 mx ESMTP\r\n250-mx\r\n250-SIZE 1000\r\n250 AUTH PLAIN\r\n550 5.1.1 no\r\n"],
        _SMTP_WORDS,
    ),
    Target(
        "smtp-data",
        read_data,
        (),
        lambda: [b"Subject: a\r\n\r\n..b\r\n.\r\nQUIT\r\n", b"a\r\n", b".\r\n"],
        _SMTP_WORDS,
    ),
    Target(
        "http",
        read_http,
        (),
        lambda: [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.0 302 Found\r\nLocation: http://a.example/\r\n\r\n",
        ],
        _HTTP_WORDS,
    ),
    Target(
        "ldap-filter",
        write_filter,
        (ConfigurationError,),
        lambda: [b"(&(objectClass=person)(|(mail=%{address})(mail=*@%{domain})))"],
        (b"(", b")", b"*", b"\\", b"\\2a", b"%{address}", b"\0", b":dn:="),
    ),
    Target(
        "failure-matrix",
        read_matrix,
        (ConfigurationError,),
        lambda: [(_POLICIES / FILE_NAME).read_bytes()],
        (*_TOML_WORDS, b'"policy"', b'"send-clear"', b"[thread]", b"[[signing]]", b"encrypt"),
    ),
    Target(
        "policy",
        read_policy,
        (ConfigurationError,),
        lambda: [
            path.read_bytes()
            for path in sorted(_POLICIES.rglob("*.toml"))
            if path.name != FILE_NAME
        ],
        _TOML_WORDS,
    ),
    Target(
        "toml",
        read_toml,
        (ConfigurationError,),
        lambda: [b'[a.b]\nc = [1, {d = "e"}]\n[[f]]\n"g h" = """x\n"""\n', b"a.'b' = 1 # c\n"],
        _TOML_WORDS,
    ),
    Target(
        "subject",
        read_subject,
        (),
        lambda: [b"[secure] Totals", "［ｓｅｃｕｒｅ］ a [sec[secure]ure]".encode()],
        (b"[", b"]", b" ", b"[secure]", b"\xcc\x88", b"\xe2\x80\x8b", b"\xef\xbc\xbb"),
    ),
)
