"""The one address parser: SMTP paths, From fields and certificate names all come through here.

It is strict on purpose.  Two programs that read one address differently are how a signer is
forged (cases I07), so whatever leaves room for two readings is refused, even where RFC 5322 has
an obsolete form for it.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import idna

from smimegw.errors import AddressError
from smimegw.limits import DEFAULT_LIMITS, Limits

_LOCAL_PART_OCTETS = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_OCTETS = 255  # RFC 5321, 4.5.3.1.2
_REMEMBERED = 1024  # addresses; one message asks some forty times for the same few

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322, 3.2.3
_DOT_ATOM = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 5321, 4.1.2: sub-domain


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A local part and a domain (RFC 5321, 4.1.2; RFC 6531, 3.3).

    Attributes:
        local_part: Unquoted, as given (case kept), NFC.
        domain: A-label form, lower case, no trailing dot; or an address literal in brackets.
    """

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str | bytes) -> Mailbox:
        """Read one addr-spec such as ``alice@corp.example`` or ``"a b"@corp.example``.

        Raises:
            AddressError: Not exactly one mailbox, or comments, routes, NUL, control characters.
        """
        text = _decode(text)
        if _CONTROL.search(text):
            raise AddressError("control character in an address")
        quoted = _QUOTED.match(text)
        if quoted:
            local_part, end = _QUOTED_PAIR.sub(r"\1", quoted[1]), quoted.end()
        else:
            atoms = _DOT_ATOM.match(text)
            if not atoms:
                raise AddressError("no local part where an address was expected")
            local_part, end = atoms[0], atoms.end()
        if text[end : end + 1] != "@":
            raise AddressError("no @ after the local part of an address")
        return cls(_clean_local_part(local_part), _clean_domain(text[end + 1 :]))

    @property
    def address(self) -> str:
        """The addr-spec, local part quoted where needed; what SMTP, fields and people see."""
        return _address(self.local_part, self.domain)

    @property
    def key(self) -> str:
        """Comparison form: ASCII local parts in lower case, others exact (NFC); domain A-label."""
        return _key(self.local_part, self.domain)

    @property
    def needs_smtputf8(self) -> bool:
        """The address cannot be sent without SMTPUTF8 (RFC 6531): its local part is not ASCII."""
        return not self.local_part.isascii()

    def same_as(self, other: Mailbox, *, strict_local_part: bool = False) -> bool:
        """Whether both name one mailbox; *strict_local_part* compares ASCII case too."""
        return self == other if strict_local_part else self.key == other.key

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox with the display name that stood before it (decoded, empty when absent)."""

    display_name: str
    mailbox: Mailbox


def parse_path(octets: bytes) -> Mailbox | None:
    """Read the argument of MAIL FROM: or RCPT TO:, brackets included; None for ``<>``.

    A source route must be taken and is ignored: mail goes to the mailbox behind it (RFC 5321,
    4.1.2 and C).

    Raises:
        AddressError: Not exactly ``<addr-spec>``, or ``<@domain,@domain:addr-spec>``.
    """
    if octets == b"<>":
        return None
    if not (octets.startswith(b"<") and octets.endswith(b">")):
        raise AddressError("a path must stand in angle brackets")
    path = octets[1:-1]
    if path.startswith(b"@"):
        route, _, path = path.partition(b":")
        for hop in route.split(b","):
            if not hop.startswith(b"@"):
                raise AddressError("a source route is no list of domains")
            Mailbox.parse(b"x" + hop)  # for its domain
    return Mailbox.parse(path)


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
    return addresses.mailboxes[0]


# --- addr-spec -----------------------------------------------------------------------------------


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError("an address is neither ASCII nor UTF-8") from None


def _clean_local_part(local_part: str) -> str:
    if not local_part.isascii():
        for letter in local_part:
            if letter.isascii():
                continue
            # Spaces, format characters (bidi, zero width) and unassigned ones look like nothing or
            # like something else; letters that NFC turns into ASCII (KELVIN SIGN) fake an ASCII
            # address.  Nobody needs them in a mailbox.
            if _is_invisible(letter):
                raise AddressError("invisible or undefined character in a local part")
            if unicodedata.normalize("NFC", letter).isascii():
                raise AddressError("look-alike of an ASCII character in a local part")
        local_part = unicodedata.normalize("NFC", local_part)
    if not local_part:
        raise AddressError("empty local part")
    if len(_write_local_part(local_part).encode()) > _LOCAL_PART_OCTETS:
        raise AddressError(f"local part longer than {_LOCAL_PART_OCTETS} octets")
    return local_part


def _is_invisible(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "CZ"


def _write_local_part(local_part: str) -> str:
    if _DOT_ATOM.fullmatch(local_part):
        return local_part
    return '"' + local_part.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(_REMEMBERED)
def _address(local_part: str, domain: str) -> str:
    return f"{_write_local_part(local_part)}@{domain}"


@lru_cache(_REMEMBERED)
def _key(local_part: str, domain: str) -> str:
    return _address(local_part.lower() if local_part.isascii() else local_part, domain)


def _clean_domain(domain: str) -> str:
    if domain.startswith("["):
        return _clean_address_literal(domain)
    if len(domain) > _DOMAIN_OCTETS:
        raise AddressError(f"domain longer than {_DOMAIN_OCTETS} octets")
    if not domain.isascii():
        # UTS 46 drops soft hyphens and the like; a domain that holds one wants to deceive.
        if any(_is_invisible(letter) and letter not in "\u200c\u200d" for letter in domain):
            raise AddressError("invisible or undefined character in a domain")
        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise AddressError("domain is not a valid internationalised name") from None
    domain = domain.lower().removesuffix(".")
    if len(domain) > _DOMAIN_OCTETS:
        raise AddressError(f"domain longer than {_DOMAIN_OCTETS} octets")
    labels = domain.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError("domain has an empty, too long or malformed label")
    if labels[-1].isdigit():  # 192.0.2.1 without brackets: neither name nor literal
        raise AddressError("domain ends in a number; an address literal stands in brackets")
    return domain


def _clean_address_literal(literal: str) -> str:
    # RFC 5321, 4.1.3; the general form with other tags has no registered use.
    inner = literal[1:-1] if literal.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:" and "%" not in inner:
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressError("malformed address literal") from None


# --- address lists (RFC 5322, 3.4) ---------------------------------------------------------------

_TOKEN = re.compile(
    rf"""(?P<space>[ \t]+)
    | (?P<atom>[{_ATEXT}\u0080-\U0010ffff]+)
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
class _Token:
    kind: str
    text: str
    glued: bool  # no white space or comment before it


class _AddressList:
    """Reads one list, token by token, without recursion."""

    def __init__(self, value: bytes | str, limits: Limits) -> None:
        if len(value) > limits.header_field_octets:
            raise AddressError("an address field beyond every limit")
        text = _decode(value)
        if _CONTROL.search(text.replace("\t", " ")):
            raise AddressError("control character in an address field")
        self.has_group = False
        self._limit = limits.addresses
        self._found: list[NamedMailbox] = []
        self._read(text)
        self.mailboxes = tuple(self._found)

    def _read(self, text: str) -> None:
        element: list[_Token] = []
        in_group = after_group = False
        follows_comma = False
        for token in _tokens(text):
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


def _tokens(text: str) -> Iterator[_Token]:
    position, glued = 0, False
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token or not token.lastgroup:
            raise AddressError("character or unbalanced bracket that no address list may hold")
        position = token.end()
        if token.lastgroup == "space":
            glued = False
        elif token[0] == "(":
            position = _end_of_comment(text, position)
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
            words.append((_QUOTED_PAIR.sub(r"\1", token.text[1:-1]), False))
        elif token.kind == "atom" or token.text == ".":
            run += token.text
        elif token.kind != "end":
            raise AddressError("a display name that is not a phrase; quotation marks are missing")
    name = ""
    encoded_before = True
    for text, encoded in words:
        name += text if encoded and encoded_before else (" " if name else "") + text
        encoded_before = encoded
    return _CONTROL.sub("\ufffd", name)


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
