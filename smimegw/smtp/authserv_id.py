"""Reads whose results an Authentication-Results field claims to hold, for removing forged ones."""

from __future__ import annotations

import re

import idna

# A token (RFC 2045, 5.1), or letters beyond ASCII; "gw/1" and "gw:25" are no name, but near to one.
_ATOM = re.compile(r'[^\s;"()\\<>,=@:/?\[\]\x00-\x1f\x7f]+')
_INSTANCE = re.compile(r"i[ \t]*=[ \t]*[0-9]{1,3}[ \t]*;")  # RFC 8617, 4.1.1: ARC puts it first


def authserv_id(field_body: bytes) -> str | None:
    """The authserv-id in comparison form, None when the field cannot be parsed (RFC 8601, 2.2).

    Comments, folding, quotes, case, a trailing dot and the difference between U-labels and
    A-labels are removed, so that two spellings of one name compare equal.
    """
    try:
        text = field_body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    plain = _without_comments(text)
    if plain is None:
        return None
    plain = plain.strip(" \t\r\n")
    instance = _INSTANCE.match(plain)
    if instance:
        plain = plain[instance.end() :].lstrip(" \t\r\n")
    word, rest = _first_word(plain)
    if word is None or not re.match(r"[ \t\r\n]*([0-9]+[ \t\r\n]*)?(;|$)", rest):
        return None
    return comparable(word)


def comparable(name: str) -> str | None:
    """A host name in comparison form: lower case, A-labels, no trailing dot; None for no name."""
    lowered = name.strip().rstrip(".").lower()
    if not lowered or any(letter.isspace() or not letter.isprintable() for letter in lowered):
        return None
    try:
        return idna.encode(lowered, uts46=True).decode("ascii").rstrip(".")
    except (idna.IDNAError, UnicodeError):
        # Names such as gw_1 are no host names, yet somebody's authserv-id.
        return lowered if lowered.isascii() else None


def _without_comments(text: str) -> str | None:
    """The text with every comment replaced by a space; None when something does not end."""
    kept: list[str] = []
    depth = 0
    in_quotes = False
    position = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            if position + 1 >= len(text):
                return None
            if depth == 0:
                kept.append(text[position : position + 2])
            position += 2
            continue
        if letter == '"' and depth == 0:
            in_quotes = not in_quotes
        elif not in_quotes and letter == "(":
            depth += 1
            if depth == 1:
                kept.append(" ")
        elif not in_quotes and letter == ")":
            depth -= 1
            if depth < 0:
                return None
            position += 1
            continue
        if depth == 0:
            kept.append(letter)
        position += 1
    return None if depth or in_quotes else "".join(kept)


def _first_word(text: str) -> tuple[str | None, str]:
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), text[quoted.end() :]
    atom = _ATOM.match(text)
    return (atom[0], text[atom.end() :]) if atom else (None, text)
