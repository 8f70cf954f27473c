"""Encoded words are read as people see them and written so that they come back."""

from __future__ import annotations

import pytest

from smimegw.errors import MIMEError
from smimegw.mime.headers import decode_words, encode_text_field


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain text", "plain text"),
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  \t =?ISO-8859-2?Q?_b?=", "a b"),
        (b"(=?iso-8859-1?q?Keld_J=F8rn?=)", "(Keld Jørn)"),
        (b"=?utf-8?B?5L2?= =?utf-8?b?oA==?=", "你"),
        (b"=?utf-8*zh?B?5L2g?=", "你"),
        (b"=?gb2312?B?zOHKvg==?=", "提示"),
        (b"=?utf-8?q?broken words with spaces?=", "broken words with spaces"),
        (b"raw \xc3\xbc", "raw ü"),
        (b"=?utf-8?x?unknown?=", "=?utf-8?x?unknown?="),
    ],
)
def test_words_are_decoded(body: bytes, text: str) -> None:
    """Examples of RFC 2047, 8 and of real programs that cut characters in two."""
    assert decode_words(body) == text


@pytest.mark.parametrize(
    "charset", ["x-none", "idna", "punycode", "unicode_escape", "hex", "rot13"]
)
def test_unknown_charsets_never_raise(charset: str) -> None:
    """Codecs that are no charsets are not reached by a name from a message."""
    assert decode_words(f"=?{charset}?q?a=FF?=".encode()) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "关于合同的问题" * 10,
        "Grüße und so weiter " * 8 + "Ende",
        "=?utf-8?q?not a word?=",
        " leading and trailing ",
        "a  b   c",
        "x" * 2000,
        "\U0001f512" * 40,
        "",
    ],
)
def test_written_text_comes_back(text: str) -> None:
    """`decode_words` of what we write is the text; lines stay within 76 (RFC 2047, 2)."""
    entry = encode_text_field("Subject", text)
    assert decode_words(entry.body) == text
    if not text.isascii():
        assert all(len(line) <= 76 for line in entry.raw.split(b"\r\n"))


def test_text_with_line_ends_is_refused() -> None:
    """A Subject must not carry a second field, encoded or not (T-12)."""
    with pytest.raises(MIMEError, match="control"):
        encode_text_field("Subject", "ü\r\nBcc: eve@evil.example")
