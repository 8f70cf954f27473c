"""Random and mutated addresses: a value that survives a round trip, or an AddressError."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smimegw.address_lists import parse_mailboxes, sole_mailbox
from smimegw.addresses import Mailbox, parse_path
from smimegw.errors import AddressError

ATEXT = "abcxyzABC0189!#$%&'*+-/=?^_`{|}~"
atoms = st.text(st.sampled_from(ATEXT + "äßЖ用户"), min_size=1, max_size=8)
dot_atoms = st.lists(atoms, min_size=1, max_size=3).map(".".join)
quotable = st.text(st.sampled_from([chr(code) for code in range(32, 127)] + ["ü"]), min_size=1)
quoted = quotable.map(lambda text: '"' + text[:20].replace("\\", "\\\\").replace('"', '\\"') + '"')
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9]{0,10}[a-zA-Z0-9])?", fullmatch=True)
u_labels = st.text(st.sampled_from("abcäöüßжяλ例"), min_size=1, max_size=8)
domains = st.lists(labels | u_labels, min_size=1, max_size=3).map(
    lambda parts: ".".join([*parts, "example"])
)
addresses = st.builds("{}@{}".format, dot_atoms | quoted, domains)

# Text made of what the grammars are made of gets deeper than plain noise.
pieces = st.sampled_from(
    [*'"\\()<>[]@.,:; \t\0\r\n', "=?utf-8?q?", "=?utf-8?b?", "?=", "a", "b.c", "x.example", "é"]
)
noise = st.text(max_size=60) | st.lists(pieces, max_size=25).map("".join)


@given(addresses)
@settings(max_examples=300, deadline=None)
def test_every_address_survives_the_round_trip(text: str) -> None:
    """What we write is what we read, and keys agree (RFC 5321, 4.1.2)."""
    mailbox = Mailbox.parse(text)
    again = Mailbox.parse(mailbox.address)
    assert again == mailbox
    assert again.key == mailbox.key
    assert parse_path(b"<" + mailbox.address.encode() + b">") == mailbox
    assert Mailbox.parse(mailbox.key).key == mailbox.key


@given(noise)
@example("\u212a@x")
@example('"\\')
@example("a@" + "\u00ad" * 300)
@example("a@xn--a.example")
@settings(max_examples=500, deadline=None)
def test_noise_is_an_address_or_an_address_error(text: str) -> None:
    """No other exception ever leaves the parser, and what it takes is clean."""
    try:
        mailbox = Mailbox.parse(text)
    except AddressError:
        return
    assert Mailbox.parse(mailbox.address) == mailbox
    assert unicodedata.is_normalized("NFC", mailbox.local_part)
    assert mailbox.domain.isascii()
    assert mailbox.domain == mailbox.domain.strip()
    assert not any(unicodedata.category(letter) in {"Cc", "Cf"} for letter in mailbox.address)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_octets_are_an_address_or_an_address_error(octets: bytes) -> None:
    """The envelope and From come as octets."""
    for read in (Mailbox.parse, parse_path, parse_mailboxes, lambda body: sole_mailbox([body])):
        try:
            read(octets)
        except AddressError:
            continue


@given(noise)
@settings(max_examples=500, deadline=None)
def test_lists_of_noise_are_mailboxes_or_an_address_error(value: str) -> None:
    """Every mailbox found is one that `Mailbox.parse` takes, every name is printable."""
    try:
        found = parse_mailboxes(value)
    except AddressError:
        return
    for named in found:
        assert Mailbox.parse(named.mailbox.address) == named.mailbox
        assert not any(unicodedata.category(letter) == "Cc" for letter in named.display_name)


@given(st.lists(st.tuples(st.text(max_size=20), addresses), max_size=4))
@settings(max_examples=200, deadline=None)
def test_written_lists_are_read_back(entries: list[tuple[str, str]]) -> None:
    """Any display name in quotation marks, any address in brackets (RFC 5322, 3.4)."""
    mailboxes = [Mailbox.parse(address) for _, address in entries]
    clean = ["".join(letter for letter in name if letter.isprintable()) for name, _ in entries]
    names = [name.replace("\\", "\\\\").replace('"', '\\"') for name in clean]
    value = ", ".join(
        f'"{name}" <{mailbox.address}>' for name, mailbox in zip(names, mailboxes, strict=True)
    )
    if any("=?" in mailbox.local_part for mailbox in mailboxes):
        return
    found = parse_mailboxes(value)
    assert [named.mailbox for named in found] == mailboxes
    assert [named.display_name for named in found] == clean


@given(u_labels, atoms)
@settings(max_examples=200, deadline=None)
def test_u_label_and_a_label_are_one_mailbox(label: str, local_part: str) -> None:
    """U-label in RCPT, A-label in the certificate (cases F26)."""
    typed = Mailbox.parse(f"{local_part}@{label.upper().replace('SS', 'ß')}.example")
    written = Mailbox.parse(typed.address)
    assert written == typed
    assert written.same_as(Mailbox.parse(f"{local_part}@{typed.domain.upper()}"))
