"""Arguments of MAIL and RCPT: the path and the ESMTP parameters, values exactly as sent."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smimegw.addresses import Mailbox, parse_path
from smimegw.errors import AddressError, CommandError
from smimegw.limits import DEFAULT_LIMITS, Limits

Parameters = tuple[tuple[str, str], ...]

MAIL_PARAMETERS = frozenset({"BODY", "SIZE", "SMTPUTF8", "RET", "ENVID", "AUTH"})
RCPT_PARAMETERS = frozenset({"NOTIFY", "ORCPT"})

# RFC 5321, 4.1.2: esmtp-param; values may hold UTF-8 under SMTPUTF8 (RFC 6531, 3.3).
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\xff]+))?")
_PATH = re.compile(rb'<(?:[^"<>\\]|"(?:[^"\\]|\\.)*")*>')
_XTEXT = r"(?:[!-*,-<>-~]|\+(?-i:[0-9A-F]{2}))"  # RFC 3461, 4: hexadecimal in upper case
# RFC 3461, 4.2 and 4.4: what stands in reports must be printable once it is decoded.
_PRINTABLE = r"(?:[!-*,-<>-~]|\+(?-i:[2-6][0-9A-F]|7[0-9A-E]))"
_EVENTS = r"(?:SUCCESS|FAILURE|DELAY)"
_VALUES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "SIZE": r"[0-9]{1,20}",  # RFC 1870, 5
        "BODY": r"7BIT|8BITMIME",  # RFC 6152, 2
        "SMTPUTF8": r"",  # RFC 6531, 3.4
        "AUTH": rf"{_XTEXT}+",  # RFC 4954, 5
        "RET": r"FULL|HDRS",  # RFC 3461, 4
        "ENVID": rf"{_PRINTABLE}{{1,100}}",
        "NOTIFY": rf"NEVER|{_EVENTS}(?:,{_EVENTS}){{0,2}}",
        "ORCPT": rf"[A-Z0-9-]{{1,40}};(?:{_PRINTABLE}|[\x80-\U0010ffff]){{1,500}}",
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathArgument:
    """What MAIL FROM or RCPT TO carried.

    Attributes:
        mailbox: None for the null path ``<>``.
        parameters: In order; names in upper case, values untouched, empty when there is none.
        unknown: Names we do not implement: the answer is 555 5.5.4 (RFC 5321, 4.1.1.11).
    """

    mailbox: Mailbox | None
    parameters: Parameters = ()
    unknown: tuple[str, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The value of one parameter, None when it is absent."""
        return dict(self.parameters).get(name.upper())

    @property
    def size(self) -> int | None:
        """The declared size of MAIL, when given (RFC 1870, 5)."""
        value = self.parameter("SIZE")
        return None if value is None else int(value)


def parse_mail(argument: bytes, limits: Limits = DEFAULT_LIMITS) -> PathArgument:
    """Read what follows ``MAIL``, such as ``FROM:<alice@corp.example> SIZE=1000``.

    Raises:
        CommandError: Malformed; carries code and enhanced code for the reply.
    """
    parsed = _parse(argument, b"FROM:", MAIL_PARAMETERS, "5.1.7", limits)
    if parsed.mailbox and parsed.mailbox.needs_smtputf8 and parsed.parameter("SMTPUTF8") is None:
        raise CommandError(553, "5.6.7", "address needs SMTPUTF8")
    return parsed


def parse_rcpt(argument: bytes, limits: Limits = DEFAULT_LIMITS) -> PathArgument:
    """Read what follows ``RCPT``, such as ``TO:<bob@partner.example> NOTIFY=NEVER``.

    Raises:
        CommandError: Malformed, or the null path; carries code and enhanced code for the reply.
    """
    parsed = _parse(argument, b"TO:", RCPT_PARAMETERS, "5.1.3", limits)
    if parsed.mailbox is None:
        raise CommandError(501, "5.1.3", "a recipient cannot be empty")
    return parsed


def _parse(
    argument: bytes, keyword: bytes, known: frozenset[str], enhanced: str, limits: Limits
) -> PathArgument:
    if len(argument) > limits.command_line_octets:
        raise CommandError(500, "5.5.2", "command line too long")
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(501, "5.5.4", f"syntax: {keyword.decode()}<address>")
    # QUIRK 2026-03 many clients: put a space after the colon, which RFC 5321, 3.3 forbids.
    rest = argument[len(keyword) :].lstrip(b" ")
    match = _PATH.match(rest)
    if match is None:
        raise CommandError(501, enhanced, "address must stand in angle brackets")
    try:
        mailbox = parse_path(match[0])
    except AddressError:
        raise CommandError(501, enhanced, "malformed address") from None
    parameters = _parse_parameters(rest[match.end() :])
    for name, value in parameters:
        if name in known and not _VALUES[name].fullmatch(value):
            raise CommandError(501, "5.5.4", f"malformed parameter {name}")
    unknown = tuple(name for name, _ in parameters if name not in known)
    return PathArgument(mailbox=mailbox, parameters=parameters, unknown=unknown)


def _parse_parameters(octets: bytes) -> Parameters:
    if not octets.strip(b" "):
        return ()
    if not octets.startswith(b" "):
        raise CommandError(501, "5.5.4", "a space must follow the address")
    found: dict[str, str] = {}
    for word in octets.strip(b" ").split(b" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise CommandError(501, "5.5.4", "malformed parameter")
        name = match[1].decode("ascii").upper()
        if name in found:
            raise CommandError(501, "5.5.4", f"parameter {name} is there twice")
        try:
            found[name] = (match[2] or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise CommandError(501, "5.5.4", f"parameter {name} is not UTF-8") from None
    return tuple(found.items())
