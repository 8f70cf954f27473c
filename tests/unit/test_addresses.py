"""Rules of the address parser."""

from __future__ import annotations

import dataclasses

import pytest

from smimegw.address_lists import NamedMailbox, parse_mailboxes, sole_mailbox
from smimegw.addresses import Mailbox, parse_path
from smimegw.errors import AddressError
from smimegw.limits import DEFAULT_LIMITS


def mailboxes(value: bytes | str) -> list[str]:
    return [named.mailbox.address for named in parse_mailboxes(value)]


# --- one mailbox -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("alice@corp.example", "alice", "corp.example"),
        ("Alice@Corp.EXAMPLE", "Alice", "corp.example"),
        ("a.b+tag@x.example", "a.b+tag", "x.example"),
        ("!#$%&'*+-/=?^_`{|}~@x.example", "!#$%&'*+-/=?^_`{|}~", "x.example"),
        ('"a b"@x.example', "a b", "x.example"),
        ('"a\\"b\\\\c"@x.example', 'a"b\\c', "x.example"),
        ('"a@b"@x.example', "a@b", "x.example"),
        ("alice@corp.example.", "alice", "corp.example"),
        ("alice@localhost", "alice", "localhost"),
        ("alice@bücher.example", "alice", "xn--bcher-kva.example"),
        ("alice@XN--BCHER-KVA.example", "alice", "xn--bcher-kva.example"),
        ("用户@例子.example", "用户", "xn--fsqu00a.example"),
        ("alice@[192.0.2.1]", "alice", "[192.0.2.1]"),
        ("alice@[ipv6:2001:DB8:0::1]", "alice", "[IPv6:2001:db8::1]"),
    ],
)
def test_an_address_is_read(text: str, local_part: str, domain: str) -> None:
    """Local part and domain as RFC 5321, 4.1.2 and RFC 6531, 3.3 have them."""
    assert Mailbox.parse(text) == Mailbox(local_part, domain)
    assert Mailbox.parse(text.encode()) == Mailbox(local_part, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@corp.example",
        "alice@@corp.example",
        "alice@corp.example@evil.example",
        ".alice@corp.example",
        "alice.@corp.example",
        "al..ice@corp.example",
        "al ice@corp.example",
        " alice@corp.example",
        "alice@corp.example ",
        "alice @corp.example",
        "alice@ corp.example",
        "alice(hi)@corp.example",
        "alice@corp.example(hi)",
        "<alice@corp.example>",
        "@relay.example:alice@corp.example",
        '"alice@corp.example',
        'alice"@corp.example',
        '"alice"bob@corp.example',
        'bob."alice"@corp.example',
        '""@corp.example',
        '"alice\\"@corp.example',
        "alice\\@evil@corp.example",
        "alice@corp..example",
        "alice@.corp.example",
        "alice@corp.example..",
        "alice@-corp.example",
        "alice@corp-.example",
        "alice@corp_x.example",
        "alice@192.0.2.1",
        "alice@[192.0.2.1",
        "alice@[192.0.2.256]",
        "alice@[192.0.2.01]",
        "alice@[IPv6:fe80::1%eth0]",
        "alice@[corp.example]",
        "alice@[]",
        "alice@corp.example\0.evil.example",
        "ali\0ce@corp.example",
        '"ali\0ce"@corp.example',
        "alice@corp.example\r\nRCPT TO:<eve@evil.example>",
        "alice@corp.example\n",
        '"ali\tce"@corp.example',
        "ali\x7fce@corp.example",
        "ali\x85ce@corp.example",
        "ali\u200bce@corp.example",
        "ali\u202ece@corp.example",
        "ali\u00a0ce@corp.example",
        "ali\ud800ce@corp.example",
        "\u212aevin@corp.example",
        "alice@co\u00adrp.example",
        "alice@corp\u2100example",
        "alice,bob@corp.example",
        "alice;bob@corp.example",
    ],
)
def test_what_is_not_one_address_is_refused(text: str) -> None:
    """Routes, comments, NUL, controls, loose quotes, dots and spaces have no place (cases I07)."""
    with pytest.raises(AddressError):
        Mailbox.parse(text)


def test_octets_that_are_not_utf8_are_refused() -> None:
    """RFC 6531, 3.3 knows UTF-8 only."""
    with pytest.raises(AddressError):
        Mailbox.parse(b"al\xefce@corp.example")


def test_local_part_may_have_64_octets_and_no_more() -> None:
    """RFC 5321, 4.5.3.1.1, in octets and not characters."""
    assert Mailbox.parse("a" * 64 + "@x.example").local_part == "a" * 64
    assert Mailbox.parse("ü" * 32 + "@x.example").local_part == "ü" * 32
    for local_part in ("a" * 65, "ü" * 33):
        with pytest.raises(AddressError):
            Mailbox.parse(local_part + "@x.example")


def test_domain_may_have_255_octets_and_no_more() -> None:
    """RFC 5321, 4.5.3.1.2; a label has 63."""
    label = "a" * 63
    assert Mailbox.parse(f"x@{label}.{label}.{label}.{label}").domain.count("a") == 252
    for domain in (f"{label}.{label}.{label}.{label}.b", "a" * 64 + ".example"):
        with pytest.raises(AddressError):
            Mailbox.parse("x@" + domain)


def test_local_part_is_normalised_to_nfc() -> None:
    """RFC 6532, 3.1: one letter, one form."""
    assert Mailbox.parse("ju\u0308rg@x.example") == Mailbox.parse("j\u00fcrg@x.example")


def test_address_quotes_only_where_needed() -> None:
    """RFC 5321, 4.1.2: the quoted form is for what no dot-string can say."""
    assert Mailbox.parse('"alice"@x.example').address == "alice@x.example"
    assert Mailbox.parse('"a b\\"\\\\"@x.example').address == '"a b\\"\\\\"@x.example'
    assert str(Mailbox.parse('"a..b"@x.example')) == '"a..b"@x.example'


def test_ascii_case_of_the_local_part_is_ignored_unless_strict() -> None:
    """Practically every mail store ignores it; `strict_local_part` does not."""
    alice, shouted = Mailbox.parse("alice@x.example"), Mailbox.parse("ALICE@X.example")
    assert alice.key == shouted.key
    assert alice.same_as(shouted)
    assert not alice.same_as(shouted, strict_local_part=True)
    assert alice.same_as(Mailbox.parse("alice@X.EXAMPLE"), strict_local_part=True)


def test_other_local_parts_are_compared_exactly() -> None:
    """Case folding beyond ASCII depends on the language, so nobody does it for addresses."""
    assert not Mailbox.parse("jürg@x.example").same_as(Mailbox.parse("JÜRG@x.example"))


def test_a_quoted_at_sign_is_not_the_separator_of_the_key() -> None:
    """Two mailboxes never share a key by moving the @."""
    assert Mailbox("a@b", "c").key != Mailbox("a", "b@c").key


def test_only_a_non_ascii_local_part_needs_smtputf8() -> None:
    """A domain can always be written as A-labels (RFC 6531, 3.2)."""
    assert Mailbox.parse("jürg@x.example").needs_smtputf8
    assert not Mailbox.parse("juerg@bücher.example").needs_smtputf8


def test_a_mailbox_is_a_frozen_value() -> None:
    """Nobody changes an address after it was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Mailbox.parse("a@x.example").domain = "evil.example"  # type: ignore[misc]


# --- paths -----------------------------------------------------------------------------------


def test_path_is_an_address_in_angle_brackets() -> None:
    """RFC 5321, 4.1.2: Path."""
    assert parse_path(b"<alice@corp.example>") == Mailbox("alice", "corp.example")
    assert parse_path("<jürg@corp.example>".encode()) == Mailbox("jürg", "corp.example")


@pytest.mark.parametrize(
    "octets",
    [
        b"<@relay.example:alice@corp.example>",
        b"<@a.example,@b.example:alice@corp.example>",
        b"<@[192.0.2.1]:alice@corp.example>",
    ],
)
def test_source_route_is_taken_and_ignored(octets: bytes) -> None:
    """It must be accepted and should be ignored; the mailbox is the last one (RFC 5321, 4.1.2)."""
    mailbox = parse_path(octets)
    assert mailbox is not None
    assert mailbox.address == "alice@corp.example"


def test_null_path_is_none() -> None:
    """RFC 5321, 4.5.5: notifications have no reverse-path."""
    assert parse_path(b"<>") is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<",
        b">",
        b"< >",
        b"alice@corp.example",
        b"<alice@corp.example",
        b"alice@corp.example>",
        b" <alice@corp.example>",
        b"<alice@corp.example> ",
        b"<<alice@corp.example>>",
        b"<@relay.example>",
        b"<@relay.example:>",
        b"<@:alice@corp.example>",
        b"<@a.example,:alice@corp.example>",
        b"<@a.example,b.example:alice@corp.example>",
        b"<@a.example,b@b.example:alice@corp.example>",
        b"<@a.example:@b.example:alice@corp.example>",
        b"<alice@corp.example> SIZE=1",
        b"<a(comment)@b.example>",
        b"<alice@corp.example\0>",
    ],
)
def test_anything_else_is_no_path(octets: bytes) -> None:
    """Half a source route is no path, comments never were allowed (RFC 5321, 4.1.2)."""
    with pytest.raises(AddressError):
        parse_path(octets)


# --- address lists ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("alice@x.example", "", "alice@x.example"),
        ("<alice@x.example>", "", "alice@x.example"),
        ("  Alice <alice@x.example>  ", "Alice", "alice@x.example"),
        ("Alice B. Carroll <alice@x.example>", "Alice B. Carroll", "alice@x.example"),
        ('"Carroll, Alice" <alice@x.example>', "Carroll, Alice", "alice@x.example"),
        ('"a@x" <b@y.example>', "a@x", "b@y.example"),
        ('"say \\"hi\\"" <b@y.example>', 'say "hi"', "b@y.example"),
        ("alice@x.example (Alice)", "", "alice@x.example"),
        ("(a (nested) one) Alice (two) <alice@x.example> (three)", "Alice", "alice@x.example"),
        ("Alice<alice@x.example>", "Alice", "alice@x.example"),
        ("\tAlice\t<alice@x.example>", "Alice", "alice@x.example"),
        ("=?utf-8?B?w4RsaWNl?= <alice@x.example>", "Älice", "alice@x.example"),
        ("=?utf-8?q?=C3=84?= =?iso-8859-1?q?l_ice?= B <a@x.example>", "Äl ice B", "a@x.example"),
        ("Ärger <alice@x.example>", "Ärger", "alice@x.example"),
        ('"=?utf-8?q?no?=" <alice@x.example>', "=?utf-8?q?no?=", "alice@x.example"),
        ("=?x-unknown?q?no?= <alice@x.example>", "=?x-unknown?q?no?=", "alice@x.example"),
        ('"a b"@x.example', "", '"a b"@x.example'),
        ('"<evil@e.example>" <b@y.example>', "<evil@e.example>", "b@y.example"),
    ],
)
def test_a_mailbox_with_its_display_name_is_read(value: str, name: str, address: str) -> None:
    """RFC 5322, 3.4, with encoded-words in display names only (RFC 2047, 5)."""
    expected = (NamedMailbox(name, Mailbox.parse(address)),)
    assert parse_mailboxes(value) == expected
    assert parse_mailboxes(value.encode()) == expected


def test_lists_and_groups_are_flattened() -> None:
    """RFC 5322, 3.4: address-list and group."""
    value = b"a@x.example, Friends: b@x.example, Carl <c@x.example>;, d@x.example"
    assert mailboxes(value) == ["a@x.example", "b@x.example", "c@x.example", "d@x.example"]
    assert mailboxes(b"undisclosed-recipients:;") == []
    assert mailboxes(b"") == []


@pytest.mark.parametrize(
    "value",
    [
        "a@x.example <b@y.example>",
        "a@x.example b@y.example",
        "<a@x.example> <b@y.example>",
        "<a@x.example><b@y.example>",
        "<a@x.example> b",
        "a@x.example,",
        ",a@x.example",
        "a@x.example,,b@x.example",
        "a@x.example; b@x.example",
        "Group: a@x.example",
        "Group: a@x.example,;",
        "Group: Inner: a@x.example;;",
        "Group: a@x.example; b@x.example",
        ": a@x.example;",
        "a@x: b@x.example;",
        "a @x.example",
        "a@ x.example",
        "a@x(comment).example",
        "a(comment)@x.example",
        "< a@x.example>",
        "<a@x.example",
        "a@x.example>",
        "<@relay.example:a@x.example>",
        "a@x.example (comment",
        "a@x.example )",
        '"Alice <a@x.example>',
        "Alice",
        "<>",
        "Alice <>",
        ". <a@x.example>",
        "=?utf-8?q?a=40x.example?=",
        "=?utf-8?q?a?=@x.example",
        "a@x.example\r\n",
        "a@x.example\r\nBcc: eve@evil.example",
        "a@x.example\0",
        "\0a@x.example",
        '"a\0b" <a@x.example>',
        "[a] <a@x.example>",
        "a\\@x.example",
    ],
)
def test_lists_with_two_readings_are_refused(value: str) -> None:
    """Whatever two mail programs could read differently (cases I07)."""
    with pytest.raises(AddressError):
        parse_mailboxes(value)


def test_display_name_holds_no_control_characters() -> None:
    """An encoded-word can bring CR LF or NUL, and the name ends in fields and logs."""
    (named,) = parse_mailboxes("=?utf-8?q?a=0D=0ABcc=3A_x=00?= <a@x.example>")
    assert named.display_name == "a\ufffd\ufffdBcc: x\ufffd"


def test_number_of_addresses_is_limited() -> None:
    """`Limits.addresses`, at the limit and above."""
    limits = dataclasses.replace(DEFAULT_LIMITS, addresses=3)
    assert len(parse_mailboxes(", ".join(["a@x.example"] * 3), limits=limits)) == 3
    with pytest.raises(AddressError):
        parse_mailboxes(", ".join(["a@x.example"] * 4), limits=limits)


def test_sole_mailbox_is_returned() -> None:
    """RFC 5322, 3.6.2: the author."""
    assert sole_mailbox([b"Alice <alice@x.example>"]).mailbox == Mailbox("alice", "x.example")


@pytest.mark.parametrize(
    "bodies",
    [
        [],
        [b"a@x.example", b"a@x.example"],
        [b"a@x.example, b@x.example"],
        [b"a@x.example, a@x.example"],
        [b""],
        [b"undisclosed-recipients:;"],
        [b"Group: a@x.example;"],
    ],
)
def test_not_exactly_one_field_with_one_mailbox_is_refused(bodies: list[bytes]) -> None:
    """Two From fields make the signer comparison meaningless (RFC 5322, 3.6; cases I07)."""
    with pytest.raises(AddressError):
        sole_mailbox(bodies)
