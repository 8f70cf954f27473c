"""Encoded words: text in header fields that ASCII cannot hold (RFC 2047)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from smimegw.mime.charsets import decode_octets

# RFC 2047, 2; RFC 2231, 5 adds *language.  Longer words than the allowed 75 are common and read.
_WORD = re.compile(rb"=\?([^\s?*]{1,40})(?:\*[^\s?]*)?\?([BbQq])\?([^\s?]*|[^?\r\n]*)\?=")
_WORD_OCTETS = 39  # 64 characters a word: with "Subject: " still within the 76 of RFC 2047, 2


def decode_words(body: bytes) -> str:
    """The text of a field's body, encoded words decoded; never fails.

    White space between two encoded words is dropped (RFC 2047, 6.2), and neighbours of the same
    charset are decoded together, because many programs cut multi-octet characters in two.
    Unknown charsets and broken octets become U+FFFD.
    """
    parts: list[str] = []
    run: list[tuple[str, bytes]] = []
    position = 0
    for match in _WORD.finditer(body):
        octets = _word_octets(match[2].upper(), match[3])
        if octets is None:
            continue
        between = body[position : match.start()]
        if between.strip(b" \t\r\n") or not run:
            parts.extend(_decode_run(run))
            run = []
            parts.append(_plain(between))
        run.append((match[1].decode("ascii", "replace").lower(), octets))
        position = match.end()
    parts.extend(_decode_run(run))
    parts.append(_plain(body[position:]))
    return "".join(parts)


def _word_octets(encoding: bytes, text: bytes) -> bytes | None:
    if encoding == b"Q":
        return binascii.a2b_qp(text, header=True)
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


def _decode_run(run: list[tuple[str, bytes]]) -> Iterator[str]:
    start = 0
    for index in range(1, len(run) + 1):
        if index == len(run) or run[index][0] != run[start][0]:
            yield decode_octets(b"".join(octets for _, octets in run[start:index]), run[start][0])
            start = index


def _plain(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def encoded_words(text: str) -> tuple[str, ...]:
    """*text* as UTF-8 encoded words, each short enough for a line and of whole characters."""
    words: list[str] = []
    chunk = b""
    for letter in text:
        octets = letter.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _WORD_OCTETS:
            words.append(_word(chunk))
            chunk = b""
        chunk += octets
    if chunk:
        words.append(_word(chunk))
    return tuple(words)


def _word(octets: bytes) -> str:
    return f"=?utf-8?B?{binascii.b2a_base64(octets, newline=False).decode('ascii')}?="
