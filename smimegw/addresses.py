"""The one address parser: SMTP paths, certificate names and `address_lists` come through here.

It is strict on purpose.  Two programs that read one address differently are how a signer is
forged (cases I07), so whatever leaves room for two readings is refused, even where RFC 5322 has
an obsolete form for it.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

from smimegw.errors import AddressError

_LOCAL_PART_OCTETS = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_OCTETS = 255  # RFC 5321, 4.5.3.1.2
_REMEMBERED = 1024  # addresses; one message asks some forty times for the same few

ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322, 3.2.3
_DOT_ATOM = re.compile(rf"[{ATEXT}\u0080-\U0010ffff]+(?:\.[{ATEXT}\u0080-\U0010ffff]+)*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
QUOTED_PAIR = re.compile(r"\\(.)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
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
        text = text_of(text)
        if CONTROL.search(text):
            raise AddressError("control character in an address")
        quoted = _QUOTED.match(text)
        if quoted:
            local_part, end = QUOTED_PAIR.sub(r"\1", quoted[1]), quoted.end()
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


def text_of(octets: str | bytes) -> str:
    """Read *octets* as ASCII or UTF-8 (RFC 6532).

    Raises:
        AddressError: They are neither.
    """
    if isinstance(octets, str):
        return octets
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError("an address is neither ASCII nor UTF-8") from None


# --- addr-spec -----------------------------------------------------------------------------------


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
