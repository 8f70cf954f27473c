"""MAIL and RCPT arguments: exact values in, one reply code for every mistake."""

from __future__ import annotations

import pytest

from smimegw.errors import CommandError
from smimegw.smtp.commands import parse_mail, parse_rcpt


def test_values_of_parameters_are_untouched() -> None:
    """Names in upper case, values exactly as sent, xtext included (RFC 3461, 4)."""
    parsed = parse_mail(b"from:<Alice@Corp.example> Size=1000 body=8bitMIME ENVID=Q+2BQ ret=hdrs")
    assert str(parsed.mailbox) == "Alice@corp.example"
    assert parsed.parameters == (
        ("SIZE", "1000"),
        ("BODY", "8bitMIME"),
        ("ENVID", "Q+2BQ"),
        ("RET", "hdrs"),
    )
    assert parsed.size == 1000
    assert parsed.unknown == ()


def test_the_null_path_is_none() -> None:
    """Delivery reports come from <> (RFC 5321, 4.5.5)."""
    assert parse_mail(b"FROM:<>").mailbox is None


def test_a_quoted_local_part_may_hold_a_bracket() -> None:
    """The path ends at the bracket outside of quotes (RFC 5321, 4.1.2)."""
    parsed = parse_rcpt(b'TO:<"a> b"@corp.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@x.ex')
    assert parsed.mailbox is not None
    assert parsed.mailbox.local_part == "a> b"
    assert parsed.parameter("notify") == "SUCCESS,DELAY"
    assert parsed.parameter("ORCPT") == "rfc822;a+2Bb@x.ex"


def test_unknown_parameters_are_reported() -> None:
    """What we do not implement is answered with 555 (RFC 5321, 4.1.1.11)."""
    assert parse_mail(b"FROM:<a@b.example> X-FOO=1 SIZE=1 BY=3").unknown == ("X-FOO", "BY")
    assert parse_rcpt(b"TO:<a@b.example> SIZE=1").unknown == ("SIZE",)


def test_a_space_after_the_colon_is_read() -> None:
    """Many clients send it although RFC 5321, 3.3 forbids it."""
    assert str(parse_rcpt(b"TO: <a@b.example>").mailbox) == "a@b.example"


@pytest.mark.parametrize(
    ("argument", "code", "enhanced"),
    [
        (b"", 501, "5.5.4"),
        (b"TO:<a@b.example>", 501, "5.5.4"),
        (b"FROM:a@b.example", 501, "5.1.7"),
        (b"FROM:<a@b.example", 501, "5.1.7"),
        (b"FROM:<a@b@c.example>", 501, "5.1.7"),
        (b"FROM:<@relay.example>", 501, "5.1.7"),
        (b"FROM:<a(comment)@b.example>", 501, "5.1.7"),
        (b"FROM:<a\0@b.example>", 501, "5.1.7"),
        (b"FROM:<a@b.example>SIZE=1", 501, "5.5.4"),
        (b"FROM:<a@b.example> SIZE=", 501, "5.5.4"),
        (b"FROM:<a@b.example> SIZE=x", 501, "5.5.4"),
        (b"FROM:<a@b.example> SIZE", 501, "5.5.4"),
        (b"FROM:<a@b.example> SIZE=1 size=2", 501, "5.5.4"),
        (b"FROM:<a@b.example> BODY=BINARYMIME", 501, "5.5.4"),
        (b"FROM:<a@b.example> SMTPUTF8=1", 501, "5.5.4"),
        (b"FROM:<a@b.example> RET=some", 501, "5.5.4"),
        (b"FROM:<a@b.example> ENVID=a+2", 501, "5.5.4"),
        (b"FROM:<a@b.example> ENVID=a+2b", 501, "5.5.4"),
        (b"FROM:<a@b.example> ENVID=a+0D+0Ab", 501, "5.5.4"),
        (b"FROM:<a@b.example> X=\xff", 501, "5.5.4"),
        (b"FROM:<a@b.example> X=a\0b", 501, "5.5.4"),
        (b"FROM:<a@b.example>\tSIZE=1", 501, "5.5.4"),
        ("FROM:<ü@b.example>".encode(), 553, "5.6.7"),
        (b"FROM:<a@b.example> X=" + b"x" * 3000, 500, "5.5.2"),
    ],
)
def test_malformed_mail_commands_have_their_reply(
    argument: bytes, code: int, enhanced: str
) -> None:
    """Syntax errors are 501, never guessed around (RFC 5321, 4.2.2; A16)."""
    with pytest.raises(CommandError) as caught:
        parse_mail(argument)
    assert (caught.value.code, caught.value.enhanced) == (code, enhanced)


def test_smtputf8_allows_addresses_in_any_script() -> None:
    """RFC 6531, 3.4: asked for by a parameter without a value."""
    parsed = parse_mail("FROM:<ü@b.example> SMTPUTF8".encode())
    assert str(parsed.mailbox) == "ü@b.example"


@pytest.mark.parametrize(
    ("argument", "enhanced"),
    [
        (b"TO:<>", "5.1.3"),
        (b"TO:<a@b.example> NOTIFY=NEVER,DELAY", "5.5.4"),
        (b"TO:<a@b.example> NOTIFY=", "5.5.4"),
        (b"TO:<a@b.example> ORCPT=a@b.example", "5.5.4"),
        (b"TO:<a@b.example> ORCPT=rfc822;a=b", "5.5.4"),
        (b"TO:<a@b.example> ORCPT=rfc822;a+3db", "5.5.4"),
        (b"TO:<a@b.example> ORCPT=rfc822;a+0Ab", "5.5.4"),
        (b"TO:<a@b.example> ORCPT=rfc822;a+7Fb", "5.5.4"),
    ],
)
def test_malformed_rcpt_commands_have_their_reply(argument: bytes, enhanced: str) -> None:
    """An empty recipient and broken DSN parameters (RFC 3461, 4) are 501."""
    with pytest.raises(CommandError) as caught:
        parse_rcpt(argument)
    assert (caught.value.code, caught.value.enhanced) == (501, enhanced)
