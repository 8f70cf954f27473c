"""Lists of addresses as From, To, Cc … hold them (RFC 5322, 3.4), with groups and display names.

What leaves room for two readings is refused here as in `addresses`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from smimegw.addresses import ATEXT, CONTROL, QUOTED_PAIR, Mailbox, text_of
from smimegw.errors import AddressError
from smimegw.limits import DEFAULT_LIMITS, Limits

_TOKEN = re.compile(
    rf"""(?P<space>[ \t]+)
    | (?P<atom>[{ATEXT}\u0080-\U0010ffff]+)
    | (?P<quoted>"(?:[^"\\]|\\.)*+")
    | (?P<angle><(?:[^<>"\\]|"(?:[^"\\]|\\.)*+")*+>)
    | (?P<literal>\[[^\[\]\\]*+\])
    | (?P<special>[.@,:;(])""",
    re.VERBOSE,
)
_COMMENT_PIECE = re.compile(r"[^()\\]+|\\.|[()]")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_-]+)(?:\*[^?]*)?\?([BbQq])\?([^? ]*)\?=")
# A list, because codecs such as "unicode_escape" or "punycode" are no character sets.
_CHARSETS = re.compile(
    r"(?:us-ascii|utf-8|iso-8859-\d{1,2}|windows-12\d\d|koi8-[ru]|gb2312|gbk|gb18030|big5"
    r"|shift_jis|iso-2022-(?:jp|kr)|euc-(?:jp|kr))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox with the display name that stood before it (decoded, empty when absent).

    Attributes:
        display_name: As people read it.
        mailbox: What counts.
        comment: What stood in (brackets) in a field of one mailbox; some readers show it as a name.
    """

    display_name: str
    mailbox: Mailbox
    comment: str = ""


def parse_mailboxes(
    value: bytes | str, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[NamedMailbox, ...]:
    """Read the unfolded body of From, Sender, To, Cc … (RFC 5322, 3.4), groups flattened.

    Raises:
        AddressError: Anything that is not an address list in every reader's eyes, or more than
            *limits.addresses* mailboxes.
    """
    return _AddressList(value, limits).mailboxes


def sole_mailbox(field_bodies: Sequence[bytes], *, limits: Limits = DEFAULT_LIMITS) -> NamedMailbox:
    """Return the one mailbox of the one field, as a From that is to be trusted must have it.

    Raises:
        AddressError: No field or several, no mailbox or several, a group, or not parsable.
    """
    if len(field_bodies) != 1:
        raise AddressError(f"{len(field_bodies)} fields where exactly one is allowed")
    addresses = _AddressList(field_bodies[0], limits)
    if addresses.has_group or len(addresses.mailboxes) != 1:
        raise AddressError("a group or not exactly one mailbox where one is demanded")
    return replace(addresses.mailboxes[0], comment=" ".join(addresses.comments))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    glued: bool  # no white space or comment before it


class _AddressList:
    """Reads one list, token by token, without recursion."""

    def __init__(self, value: bytes | str, limits: Limits) -> None:
        if len(value) > limits.header_field_octets:
            raise AddressError("an address field beyond every limit")
        text = text_of(value)
        if CONTROL.search(text.replace("\t", " ")):
            raise AddressError("control character in an address field")
        self.has_group = False
        self.comments: list[str] = []
        self._limit = limits.addresses
        self._found: list[NamedMailbox] = []
        self._read(text)
        self.mailboxes = tuple(self._found)

    def _read(self, text: str) -> None:
        element: list[_Token] = []
        in_group = after_group = False
        follows_comma = False
        for token in _tokens(text, self.comments):
            if after_group and token.text != ",":
                raise AddressError("text after a group")
            match token.text if token.kind == "special" else "":
                case ":":
                    if in_group or not element:
                        raise AddressError("misplaced : in an address list")
                    _display_name(element)  # a group's name is a phrase
                    in_group, self.has_group, follows_comma, element = True, True, False, []
                case ";":
                    if not in_group or (follows_comma and not element):
                        raise AddressError("misplaced ; in an address list")
                    if element:
                        self._add(element)
                    in_group, after_group, follows_comma, element = False, True, False, []
                case ",":
                    if not after_group:
                        self._add(element)
                    after_group, follows_comma, element = False, True, []
                case _:
                    element.append(token)
        if in_group:
            raise AddressError("a group that does not end")
        if element or follows_comma:
            self._add(element)

    def _add(self, element: list[_Token]) -> None:
        if not element:
            raise AddressError("empty place in an address list")
        if len(self._found) >= self._limit:
            raise AddressError(f"more than {self._limit} addresses in one field")
        *phrase, last = element
        if last.kind == "angle":
            name, address = _display_name(phrase), last.text[1:-1]
        else:
            if not all(token.glued for token in element[1:]):
                raise AddressError("several words where one address was expected")
            name, address = "", "".join(token.text for token in element)
        mailbox = Mailbox.parse(address)
        if "=?" in mailbox.local_part:  # some readers decode it and see another address
            raise AddressError("encoded-word in an address (RFC 2047, 5)")
        self._found.append(NamedMailbox(name, mailbox))


def _tokens(text: str, comments: list[str]) -> Iterator[_Token]:
    position, glued = 0, False
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token or not token.lastgroup:
            raise AddressError("character or unbalanced bracket that no address list may hold")
        position = token.end()
        if token.lastgroup == "space":
            glued = False
        elif token[0] == "(":
            begin, position = position, _end_of_comment(text, position)
            comments.append(CONTROL.sub("\ufffd", text[begin : position - 1]))
            glued = False
        else:
            yield _Token(token.lastgroup, token[0], glued)
            glued = True


def _end_of_comment(text: str, position: int) -> int:
    depth = 1
    while depth:
        piece = _COMMENT_PIECE.match(text, position)
        if not piece:
            raise AddressError("a comment that does not end")
        depth += (piece[0] == "(") - (piece[0] == ")")
        position = piece.end()
    return position


def _display_name(phrase: list[_Token]) -> str:
    # phrase = 1*word, or obs-phrase with dots: "John Q. Public" is everywhere (RFC 5322, 4.1).
    if phrase and phrase[0].text == ".":
        raise AddressError("a display name that begins with a dot")
    words: list[tuple[str, bool]] = []  # text, whether it was an encoded-word
    run = ""
    for token in [*phrase, _Token("end", "", False)]:
        if run and not (token.glued and (token.kind == "atom" or token.text == ".")):
            words.append(_decode_word(run))
            run = ""
        if token.kind == "quoted":
            words.append((QUOTED_PAIR.sub(r"\1", token.text[1:-1]), False))
        elif token.kind == "atom" or token.text == ".":
            run += token.text
        elif token.kind != "end":
            raise AddressError("a display name that is not a phrase; quotation marks are missing")
    name = ""
    encoded_before = True
    for text, encoded in words:
        name += text if encoded and encoded_before else (" " if name else "") + text
        encoded_before = encoded
    return CONTROL.sub("\ufffd", name)


def _decode_word(word: str) -> tuple[str, bool]:
    encoded = _ENCODED_WORD.fullmatch(word)
    if not encoded or not _CHARSETS.fullmatch(encoded[1]):
        return word, False
    try:
        if encoded[2] in "Bb":
            octets = binascii.a2b_base64(encoded[3])
        else:
            octets = binascii.a2b_qp(encoded[3].encode("ascii"), header=True)
        return octets.decode(encoded[1], "replace"), True
    except (binascii.Error, UnicodeError, LookupError, ValueError):
        return word, False
