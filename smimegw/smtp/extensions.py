"""ESMTP extensions: what a next hop announced, and what we announce in front of it (RFC 5321)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.smtp.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What one server announced after EHLO or LHLO.

    Attributes:
        size: Largest message in octets (RFC 1870); None when it names no limit.
        eightbitmime: RFC 6152.
        smtputf8: RFC 6531.
        dsn: RFC 3461.
        pipelining: RFC 2920.
        starttls: RFC 3207.
        auth: Mechanisms in upper case (RFC 4954).
    """

    size: int | None = None
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    pipelining: bool = False
    starttls: bool = False
    auth: frozenset[str] = frozenset()


NO_EXTENSIONS = Extensions()


def parse_extensions(reply: Reply) -> Extensions:
    """Read the reply to EHLO; the first line is the server's name, unknown keywords are ignored."""
    keywords: dict[str, list[str]] = {}
    for line in reply.text.split("\n")[1:]:
        # QUIRK 2026-03 old servers: write "AUTH=LOGIN PLAIN" besides "AUTH LOGIN PLAIN".
        words = line.replace("AUTH=", "AUTH ", 1).upper().split()
        if words:
            keywords.setdefault(words[0], []).extend(words[1:])
    return Extensions(
        size=_size(keywords.get("SIZE", [])),
        eightbitmime="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        pipelining="PIPELINING" in keywords,
        starttls="STARTTLS" in keywords,
        auth=frozenset(keywords.get("AUTH", [])),
    )


def _size(words: list[str]) -> int | None:
    # RFC 1870, 4: no number or 0 means that no fixed limit is in force.
    if words and words[0].isascii() and words[0].isdigit() and len(words[0]) <= 20:
        return int(words[0]) or None
    return None


def size_to_offer(next_hop: Extensions, limits: Limits = DEFAULT_LIMITS) -> int:
    """The SIZE we announce: what the next hop takes less the growth that protection causes."""
    if next_hop.size is None:
        return limits.message_octets
    return min(limits.message_octets, int(next_hop.size / limits.growth))


def offer(
    next_hop: Extensions,
    limits: Limits = DEFAULT_LIMITS,
    *,
    starttls: bool = False,
    auth: Iterable[str] = (),
    xforward: Iterable[str] = (),
    xclient: Iterable[str] = (),
) -> tuple[str, ...]:
    """The EHLO lines of a listener in front of *next_hop*.

    8BITMIME, SMTPUTF8 and DSN are promises about the whole way, so they are made only when the next
    hop makes them; PIPELINING and ENHANCEDSTATUSCODES concern us alone.
    """
    lines = ["PIPELINING", "ENHANCEDSTATUSCODES", f"SIZE {size_to_offer(next_hop, limits)}"]
    if next_hop.eightbitmime:
        lines.append("8BITMIME")
    if next_hop.smtputf8 and next_hop.eightbitmime:  # RFC 6531, 3.1 item 8: not without 8BITMIME
        lines.append("SMTPUTF8")
    if next_hop.dsn:
        lines.append("DSN")
    if starttls:
        lines.append("STARTTLS")
    for keyword, words in (("AUTH", auth), ("XFORWARD", xforward), ("XCLIENT", xclient)):
        joined = " ".join(words)
        if joined:
            lines.append(f"{keyword} {joined}")
    return tuple(lines)


_NEEDS_DSN = frozenset({"RET", "ENVID", "NOTIFY", "ORCPT"})
_PROMISED_BY_DSN = frozenset({"SUCCESS", "NEVER"})
_GONE = "next hop does not offer {} any more, try later"
NO_8BITMIME = Reply(451, "4.3.3", _GONE.format("8BITMIME"))
NO_DSN = Reply(451, "4.3.3", _GONE.format("DSN"))


def withdrawn(parameters: Iterable[tuple[str, str]], next_hop: Extensions) -> Reply | None:
    """The reply to a client that relies on what *next_hop* offered earlier and now does not.

    For now, because the client's next EHLO gets the new offer.  8-bit content must not go where it
    was not asked for (RFC 6152, 3).  Of DSN only a NOTIFY with SUCCESS or NEVER asks for something
    that would be left undone; the other parameters may be left out (RFC 3461, 5.2.2).
    """
    for name, value in parameters:
        if name == "BODY" and value.upper() == "8BITMIME" and not next_hop.eightbitmime:
            return NO_8BITMIME
        special = name == "NOTIFY" and _PROMISED_BY_DSN & set(value.upper().split(","))
        if special and not next_hop.dsn:
            return NO_DSN
    return None


def passable(
    parameters: Iterable[tuple[str, str]], next_hop: Extensions
) -> tuple[tuple[str, str], ...]:
    """The ESMTP parameters of a client that may be repeated to *next_hop*.

    Left out: what the next hop did not announce, SIZE (our content has another size) and AUTH
    (RFC 4954, 5: only between servers that trust each other).  SMTPUTF8 stays: without it the
    addresses would be wrong, so the next hop has to refuse.
    """
    return tuple(
        (name, value)
        for name, value in parameters
        if name not in {"SIZE", "AUTH"}
        and (name not in _NEEDS_DSN or next_hop.dsn)
        and (name != "BODY" or next_hop.eightbitmime)
    )
