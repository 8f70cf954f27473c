"""Trace fields we write: Received and Authentication-Results (RFC 5321, 4.4; RFC 8601)."""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_address

from smimegw.errors import MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.headers import HeaderField, HeaderSection

RESULTS = frozenset({"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"})

_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")  # RFC 2045, 5.1
_COMMENT_LETTERS = re.compile(r"[^A-Za-z0-9 .,:_/+@=\-]")
_VALUE_CHARACTERS = 200  # of one quoted value; a certificate's names may be of any size
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def date_time(moment: datetime) -> str:
    """RFC 5322, 3.3: ``Mon, 23 Nov 2026 12:00:00 +0000``; independent of the locale."""
    if moment.tzinfo is None:
        raise ValueError("a point in time needs its zone")
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day} {month} {moment:%Y %H:%M:%S %z}"


def received_field(
    *,
    helo: str,
    peer: str,
    host: str,
    protocol: str,
    transaction_id: str,
    now: datetime,
    recipient: str = "",
) -> HeaderField:
    """A Received field (RFC 5321, 4.4).

    Args:
        helo: What the client called itself; whatever it is, it stays one harmless word.
        peer: The client's IP address; empty when it has none (Unix socket).
        host: Our name.
        protocol: ``ESMTPSA`` and the like (RFC 3848).
        transaction_id: Goes into the id clause.
        now: Time of receipt.
        recipient: For the *for* clause; give it only when there is exactly one recipient.
    """
    lines = [
        f"from {_host_word(helo)}" + (f" ([{_address(peer)}])" if peer else ""),
        f"by {_host_word(host)} with {_host_word(protocol)} id {_host_word(transaction_id)}",
    ]
    if recipient and recipient.isascii() and recipient.isprintable():
        lines.append(f"for <{recipient}>")
    lines[-1] += ";"
    return _field("Received", [*lines, date_time(now)])


def received_count(header: HeaderSection) -> int:
    """How many servers the message has passed."""
    return len(header.all("received"))


def is_loop(header: HeaderSection, limits: Limits = DEFAULT_LIMITS, *, host: str = "") -> bool:
    """Whether the message goes in circles (RFC 5321, 6.3).

    It has passed more servers than `received_fields`, or *host* as often as
    `own_received_fields`: somebody forwards outside what is forwarded back (cases P03).
    """
    if received_count(header) > limits.received_fields:
        return True
    ours = re.compile(rb"\bby\s+" + re.escape(host.encode()) + rb"\s", re.IGNORECASE)
    passed = sum(ours.search(entry.body) is not None for entry in header.all("received"))
    return bool(host) and passed >= limits.own_received_fields


def authentication_results(
    authserv_id: str,
    result: str,
    *,
    explanation: str = "",
    reason: str = "",
    identifier: str = "",
    part: str = "",
    serial: str = "",
    issuer: str = "",
) -> HeaderField:
    """An Authentication-Results field for method *smime* (RFC 8601, 2.2; RFC 7281).

    Args:
        authserv_id: Our name.
        result: One of `RESULTS`.
        explanation: A comment for people.
        reason: One word why it did not pass.
        identifier: The matching address from the certificate.
        part: MIME part that was signed, such as ``1``.
        serial: Hexadecimal; only together with *issuer*.
        issuer: Distinguished name; may be anything a stranger put into a certificate.

    Raises:
        MIMEError: *result* is no result word, or only one of *serial* and *issuer* is given.
    """
    if result not in RESULTS:
        raise MIMEError("unknown result word (RFC 8601, 2.7)")
    if bool(serial) != bool(issuer):
        raise MIMEError("serial number and issuer stand together or not at all (RFC 7281, 3)")
    first = f"smime={result}"
    if explanation:
        first += f" ({_COMMENT_LETTERS.sub('_', explanation)[:_VALUE_CHARACTERS]})"
    if reason:
        first += f" reason={quoted(reason)}"
    if identifier:
        first += f" body.smime-identifier={_identifier(identifier)}"
    second = []
    if part:
        second.append(f"body.smime-part={quoted(part, needed=False)}")
    if serial:
        second.append(f"body.smime-serial={quoted(serial)} body.smime-issuer={quoted(issuer)}")
    lines = [f"{_host_word(authserv_id)};", first, " ".join(second)]
    return _field("Authentication-Results", [line for line in lines if line])


def quoted(text: str, *, needed: bool = True) -> str:
    """*text* as a quoted string of printable ASCII on one line, cut to a bounded length.

    Other octets of its UTF-8 form become ``\\XX`` as in distinguished names (RFC 4514, 2.4), also
    the second half of ``=?``, so that no reader takes a value for an encoded word.
    With *needed* false a plain token stays without quotes.
    """
    if not needed and _TOKEN.fullmatch(text) and len(text) <= _VALUE_CHARACTERS:
        return text
    units: list[str] = []
    before = 0
    length = 0
    for octet in text.encode("utf-8", "replace"):
        if not 32 <= octet < 127 or (octet == ord("?") and before == ord("=")):
            unit = f"\\\\{octet:02X}"
        elif octet in b'"\\':
            unit = f"\\{chr(octet)}"
        else:
            unit = chr(octet)
        length += len(unit)
        if length > _VALUE_CHARACTERS:
            units.append("...")
            break
        units.append(unit)
        before = octet
    return f'"{"".join(units)}"'


def _identifier(address: str) -> str:
    local_part, at, domain = address.rpartition("@")
    if at and _TOKEN.fullmatch(local_part) and _TOKEN.fullmatch(domain) and len(address) <= 320:
        return address
    return quoted(address)


def _host_word(text: str) -> str:
    """A name given by others as one word of letters that mean nothing in a header field."""
    return re.sub(r"[^A-Za-z0-9.:_\[\]\-]", "?", text)[:255] or "unknown"


def _address(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    return f"IPv6:{address}" if address.version == 6 else str(address)


def _field(name: str, lines: list[str]) -> HeaderField:
    raw = f"{name}: " + "\r\n ".join(lines) + "\r\n"
    return HeaderField(name.encode("ascii"), raw.encode("ascii"))
