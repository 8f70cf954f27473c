"""What a next hop announces and what we announce in front of it."""

from __future__ import annotations

import pytest

from smimegw.limits import Limits
from smimegw.smtp.extensions import Extensions, offer, parse_extensions, passable
from smimegw.smtp.reply import Reply

POSTFIX = """mail.corp.example
PIPELINING
SIZE 10240000
ETRN
starttls
AUTH PLAIN LOGIN
AUTH=PLAIN LOGIN
ENHANCEDSTATUSCODES
8BITMIME
DSN
SMTPUTF8
XFORWARD NAME ADDR IDENT
CHUNKING"""


def test_the_reply_to_ehlo_is_read() -> None:
    """Keywords in any case; unknown ones are ignored (RFC 5321, 4.1.1.1)."""
    assert parse_extensions(Reply(250, "", POSTFIX)) == Extensions(
        size=10_240_000,
        eightbitmime=True,
        smtputf8=True,
        dsn=True,
        pipelining=True,
        starttls=True,
        auth=frozenset({"PLAIN", "LOGIN"}),
    )


def test_the_servers_name_is_no_keyword() -> None:
    """A server may be called STARTTLS."""
    assert parse_extensions(Reply(250, "", "STARTTLS\nSIZE")) == Extensions()


@pytest.mark.parametrize("value", ["", " 0", " x", " -1", " " + "9" * 30, " ²"])
def test_a_size_that_is_no_limit_is_none(value: str) -> None:
    """0 and nothing mean no fixed limit (RFC 1870, 4); nonsense is not trusted."""
    assert parse_extensions(Reply(250, "", f"x\nSIZE{value}")).size is None


def test_size_is_discounted_for_growth() -> None:
    """A message that fits before protection must still fit after it (R-19)."""
    limits = Limits(message_octets=10_000, growth=1.45)
    assert "SIZE 689" in offer(Extensions(size=1000), limits)
    assert "SIZE 10000" in offer(Extensions(size=1_000_000), limits)
    assert "SIZE 10000" in offer(Extensions(), limits)


def test_only_promises_of_the_next_hop_are_repeated() -> None:
    """8BITMIME, SMTPUTF8 and DSN concern the whole way (L03)."""
    assert offer(Extensions(), Limits(message_octets=1)) == (
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        "SIZE 1",
    )
    everything = Extensions(eightbitmime=True, smtputf8=True, dsn=True)
    lines = offer(everything, starttls=True, auth=("PLAIN", "LOGIN"), xforward=("NAME",))
    assert {"8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "AUTH PLAIN LOGIN"} <= set(lines)
    assert "XFORWARD NAME" in lines


def test_smtputf8_needs_8bitmime() -> None:
    """RFC 6531, 3.1: a server that offers SMTPUTF8 offers 8BITMIME."""
    assert "SMTPUTF8" not in offer(Extensions(smtputf8=True))


def test_parameters_are_repeated_only_where_they_are_understood() -> None:
    """DSN and BODY need the extension; SIZE and AUTH are never repeated (B16)."""
    given = (
        ("SIZE", "1"),
        ("BODY", "8BITMIME"),
        ("RET", "HDRS"),
        ("ENVID", "x"),
        ("AUTH", "boss@corp.example"),
        ("SMTPUTF8", ""),
    )
    assert passable(given, Extensions()) == (("SMTPUTF8", ""),)
    assert passable(given, Extensions(dsn=True, eightbitmime=True)) == (
        ("BODY", "8BITMIME"),
        ("RET", "HDRS"),
        ("ENVID", "x"),
        ("SMTPUTF8", ""),
    )
