"""Trace fields: one well-formed field whatever strangers put into their names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from smimegw.errors import MIMEError
from smimegw.limits import Limits
from smimegw.mime.headers import decode_words, parse_header_section
from smimegw.smtp.authserv_id import authserv_id
from smimegw.smtp.trace import (
    RESULTS,
    authentication_results,
    date_time,
    is_loop,
    quoted,
    received_count,
    received_field,
)

NOW = datetime(2026, 11, 3, 2, 5, 9, tzinfo=UTC)


def received(**changes: str) -> bytes:
    given = {
        "helo": "client.corp.example",
        "peer": "192.0.2.10",
        "host": "gw.corp.example",
        "protocol": "ESMTPSA",
        "transaction_id": "4ZkRjG3vXpz2T8",
        **changes,
    }
    return received_field(now=NOW, **given).raw


def test_received_names_client_server_protocol_and_time() -> None:
    """RFC 5321, 4.4; the protocol word of RFC 3848."""
    assert received(recipient="bob@partner.example") == (
        b"Received: from client.corp.example ([192.0.2.10])\r\n"
        b" by gw.corp.example with ESMTPSA id 4ZkRjG3vXpz2T8\r\n"
        b" for <bob@partner.example>;\r\n"
        b" Tue, 3 Nov 2026 02:05:09 +0000\r\n"
    )


def test_an_ipv6_peer_is_a_tagged_literal() -> None:
    """RFC 5321, 4.1.3: [IPv6:...]; a zone is of no interest to others."""
    assert b"([IPv6:fe80::1])" in received(peer="fe80::1%eth0")


@pytest.mark.parametrize("helo", ["a b\r\nX-Evil: 1", "(comment", "x;y", "\u4e2d", "a" * 5000, ""])
def test_a_hostile_helo_stays_one_word(helo: str) -> None:
    """What a client calls itself cannot end the field or open a comment (T-12)."""
    raw = received(helo=helo)
    (entry,) = parse_header_section(raw)
    assert entry.flaw == ""
    assert entry.body.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert re.match(rb"from [^ ();]+ \(\[192", entry.body)


def test_dates_need_a_zone_and_no_locale() -> None:
    """RFC 5322, 3.3; naive times would be somebody's guess."""
    there = timezone(timedelta(hours=-3, minutes=-30))
    assert date_time(NOW.astimezone(there)) == "Mon, 2 Nov 2026 22:35:09 -0330"
    with pytest.raises(ValueError, match="zone"):
        date_time(datetime(2026, 11, 3))


@pytest.mark.parametrize(("count", "loop"), [(0, False), (3, False), (4, True)])
def test_too_many_received_fields_are_a_loop(count: int, loop: bool) -> None:
    """RFC 5321, 6.3 (R-54)."""
    header = parse_header_section(b"Received: x\r\nreceived : y\r\n"[:13] * count)
    assert received_count(header) == count
    assert is_loop(header, Limits(received_fields=3)) is loop


@pytest.mark.parametrize(("turns", "loop"), [(2, False), (3, True)])
def test_the_fourth_turn_through_us_is_a_loop(turns: int, loop: bool) -> None:
    """Out and, forwarded, in again (P03); a name that only ends like ours is another's."""
    ours = b"Received: from a.example\r\n\tby gw.corp.example with ESMTP id x; date\r\n"
    other = b"Received: from gw.corp.example by not-gw.corp.example with ESMTP id y; date\r\n"
    header = parse_header_section((ours + other) * 2 * turns)
    assert is_loop(header, host="gw.corp.example") is loop
    assert not is_loop(header, host="mail.corp.example")


def test_results_have_the_documented_form() -> None:
    """RFC 8601, 2.2 with the S/MIME properties of RFC 7281."""
    entry = authentication_results(
        "gw.corp.example",
        "pass",
        explanation="signature valid",
        identifier="alice@partner.example",
        part="1",
        serial="0a1b",
        issuer="CN=Partner CA,O=Partner",
    )
    assert entry.raw == (
        b"Authentication-Results: gw.corp.example;\r\n"
        b" smime=pass (signature valid) body.smime-identifier=alice@partner.example\r\n"
        b' body.smime-part=1 body.smime-serial="0a1b"'
        b' body.smime-issuer="CN=Partner CA,O=Partner"\r\n'
    )


@pytest.mark.parametrize("result", sorted(RESULTS))
def test_every_result_word_is_written(result: str) -> None:
    """The closed vocabulary of RFC 8601, 2.7; a reason is quoted."""
    entry = authentication_results("gw.corp.example", result, reason="untrusted-ca")
    assert entry.body == f'gw.corp.example; smime={result} reason="untrusted-ca"'.encode()


def test_other_words_are_refused() -> None:
    """No free text where a verdict stands."""
    with pytest.raises(MIMEError, match="result"):
        authentication_results("gw.corp.example", "good")


@pytest.mark.parametrize("given", [{"serial": "0a"}, {"issuer": "CN=x"}])
def test_serial_and_issuer_stand_together(given: dict[str, str]) -> None:
    """Each alone names no certificate (RFC 7281, 3)."""
    with pytest.raises(MIMEError, match="together"):
        authentication_results("gw.corp.example", "pass", **given)


HOSTILE = [
    "CN=x\r\nX-Smimegw-Status: signed=pass",
    'CN="x"; smime=pass',
    "CN=x; smime=pass",
    "CN=(x",
    "CN=x)\\",
    "CN=" + "y" * 4096,
    "CN=" + "\u4e2d\u6587" * 2000,
    "CN==?utf-8?Q?=0D=0ABcc:_eve?=",
    "CN=a\0b\x7f\x85\u2028\u202e",
    "CN=\ud800",
    "\\" * 500,
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["issuer", "identifier", "reason", "explanation", "part"])
def test_hostile_names_stay_inside_one_field(name: str, place: str) -> None:
    """CR LF, semicolons, quotes, 4 KB, UTF-8 and encoded words: one field, lines <= 998 (K11)."""
    given = {place: name}
    if place == "issuer":
        given["serial"] = "0a1b"
    entry = authentication_results("gw.corp.example", "fail", **given)
    (parsed,) = parse_header_section(entry.raw)
    assert parsed.flaw == ""
    assert parsed.lower_name == "authentication-results"
    assert entry.raw.isascii()
    assert all(len(line) <= 998 for line in entry.raw.split(b"\r\n"))
    assert decode_words(entry.body) == entry.body.decode()
    assert authserv_id(entry.body) == "gw.corp.example"
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", re.sub(r"\([^()]*\)", "", entry.body.decode()))
    assert bare.count(";") == 1
    assert bare.count("smime=") == 1
    assert '"' not in bare


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\u00fc", '"\\\\C3\\\\BC"'),
        ("a\r\nb", '"a\\\\0D\\\\0Ab"'),
        ("=?x", '"=\\\\3Fx"'),
        ("", '""'),
    ],
)
def test_quoted_values_are_reversible(text: str, expected: str) -> None:
    """Octets outside printable ASCII as in distinguished names (RFC 4514, 2.4)."""
    assert quoted(text) == expected


def test_a_quoted_local_part_is_a_quoted_identifier() -> None:
    """An address that is no plain word cannot break out of the property."""
    entry = authentication_results(
        "gw.corp.example", "pass", identifier='"a b; smime=fail"@x.example'
    )
    assert b'body.smime-identifier="\\"a b; smime=fail\\"@x.example"' in entry.body
