"""Header fields that travel inside, between two gateways: hidden on the wire, back for Bob."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.policy.parse import parse_policy
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.fakes.company import Company, message
from tests.fakes.pki import Issued
from tests.flow.canary import is_readable
from tests.flow.protected import signed
from tests.flow.test_outbound import opened

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
SECRET = f"merger {secrets.token_hex(16)}"

POLICY = """
[[rule]]
name = "hide"
why = "test"
when = {{ direction = "outbound", recipient_domain = ["*.example"], subject_word = ["[hide]"] }}
then = {{ protect = "sign-then-encrypt", {keys} }}

[[rule]]
name = "rest"
why = "test"
when = {{ direction = "outbound" }}
then = {{ protect = "sign", header_confidentiality = "baseline" }}

[[rule]]
name = "open"
why = "test"
when = {{ direction = "inbound" }}
then = {{ require = "none" }}
"""


class Pair:
    """Alice's gateway and Bob's."""

    def __init__(self, keys: str = 'header_confidentiality = "baseline"') -> None:
        policy = POLICY.format(keys=keys)
        self.company, self.partner = Company(policy=policy), Company()
        self.company.user(ALICE)
        self.bob: Issued = self.company.partner(BOB)
        self.partner.world.directory.publish_ca(self.company.ca)
        self.partner.world.keystore.add(self.bob)
        settings = replace(
            self.partner.settings,
            hostname="gw.partner.example",
            internal_domains=frozenset({"partner.example"}),
            trust=self.company.settings.trust,
        )
        rules = parse_policy([("test.toml", policy.encode())])
        self.partner.gateway = Gateway(rules, self.partner.world.ports, settings)

    def send(self, content: bytes) -> bytes:
        """What Alice's gateway makes of *content*."""
        outcome = self.company.send("relay", [BOB], content)
        assert outcome.reply.code == 250, outcome
        return self.company.arrived[-1]

    def receive(self, wire: bytes, reverse_path: str | None = ALICE) -> bytes:
        """What Bob gets of *wire*."""
        outcome = self.partner.send("mx", [BOB], wire, reverse_path=reverse_path)
        assert outcome.reply.code == 250, outcome
        return self.partner.arrived[-1]


def fields(content: bytes, name: str) -> list[str]:
    return [entry.body.decode() for entry in Entity.parse(content).header.all(name)]


def hidden(subject: str = SECRET, **options: str) -> bytes:
    return message(f"Alice A. <{ALICE}>", BOB, subject=f"[hide] {subject}", **options)


def test_subject_is_hidden_on_the_wire_and_back_in_place_for_the_reader() -> None:
    """Outside stands [...], inside the Subject, at Bob's the Subject again (RFC 9788, 3.2.1)."""
    pair = Pair()
    wire = pair.send(hidden())
    assert fields(wire, "subject") == ["[...]"]
    assert not is_readable(SECRET.encode(), wire)
    arrived = pair.receive(wire)
    assert fields(arrived, "subject") == [SECRET]
    assert fields(arrived, "x-smimegw-header") == [
        "form=cipher; protected=From,To,Date,Message-ID,Subject; adopted=Subject"
    ]
    assert fields(arrived, "x-smimegw-status") == ["signed=pass; encrypted=yes; integrity=signed"]
    (recorded,) = pair.partner.world.records.written[-1]["recipients"]
    assert recorded["header"] == fields(arrived, "x-smimegw-header")[0]
    assert SECRET not in str(pair.partner.world.records.written)


def test_fields_keep_their_places_and_are_there_once() -> None:
    """What is adopted takes the place of what stood for it; the others are left alone."""
    pair = Pair()
    arrived = Entity.parse(pair.receive(pair.send(hidden()))).header
    names = [entry.lower_name for entry in arrived if not entry.lower_name.startswith("x-smimegw")]
    assert names[-6:] == ["to", "subject", "message-id", "date", "mime-version", "content-type"]
    assert len(names) == len(set(names) - {"received"}) + names.count("received")


def test_signed_mail_has_its_fields_inside_and_hides_nothing() -> None:
    """Signed only: hp="clear", and the outer fields as they were (RFC 9788, 2.1.1)."""
    pair = Pair()
    wire = pair.send(message(ALICE, BOB, subject="open"))
    assert fields(wire, "subject") == ["open"]
    assert b'hp="clear"' in wire
    assert b"HP-Outer" not in wire
    arrived = pair.receive(wire)
    assert Entity.parse(arrived).body == Entity.parse(wire).body
    assert fields(arrived, "x-smimegw-header") == [
        "form=clear; protected=From,To,Date,Message-ID,Subject"
    ]


def test_without_the_key_header_fields_stay_outside() -> None:
    """Nothing changes for who does not ask."""
    pair = Pair(keys='signature = "required"')
    wire = pair.send(hidden())
    assert fields(wire, "subject") == [SECRET]
    inner = opened(wire, pair.bob)
    assert b"hp=" not in inner.raw
    assert b"Subject" not in inner.raw


def test_no_confidentiality_protects_the_fields_and_hides_none() -> None:
    """hcp_no_confidentiality (RFC 9788, 3.2.3): inside and outside are the same."""
    pair = Pair(keys='header_confidentiality = "none"')
    wire = pair.send(hidden())
    assert fields(wire, "subject") == [SECRET]
    inner = opened(wire, pair.bob).raw
    assert b"HP-Outer: Subject: " + SECRET.encode() in inner
    assert b"hp-legacy-display" not in inner
    assert "adopted" not in fields(pair.receive(wire), "x-smimegw-header")[0]


def test_shy_takes_display_names_and_the_time_zone_away() -> None:
    """hcp_shy (RFC 9788, 3.2.2)."""
    pair = Pair(keys='header_confidentiality = "shy"')
    content = hidden().replace(b"12:00:00 +0000", b"14:30:00 +0230")
    wire = pair.send(content)
    assert fields(wire, "from") == [ALICE]
    assert fields(wire, "date") == ["Mon, 23 Nov 2026 12:00:00 +0000"]
    inner = opened(wire, pair.bob).raw
    assert b"From: Alice A. <alice@ours.example>\r\n" in inner
    assert b"Date: Mon, 23 Nov 2026 14:30:00 +0230\r\n" in inner
    arrived = pair.receive(wire)
    assert fields(arrived, "from") == [ALICE]  # never replaced
    assert fields(arrived, "date") == ["Mon, 23 Nov 2026 14:30:00 +0230"]


def test_configured_fields_travel_inside_only() -> None:
    """hidden_fields names more than the RFC's policy does; Bob gets them back."""
    pair = Pair(
        keys='header_confidentiality = "baseline", hidden_fields = ["user-agent", "organization"]'
    )
    wire = pair.send(hidden(extra=f"User-Agent: {SECRET}\r\nOrganization: Ours\r\n"))
    assert not is_readable(SECRET.encode(), wire)
    assert fields(wire, "organization") == []
    arrived = pair.receive(wire)
    assert fields(arrived, "organization") == ["Ours"]
    assert fields(arrived, "user-agent") == [SECRET]


def test_trigger_word_is_neither_outside_nor_inside() -> None:
    """The word was for the gateway (delivery: triggers are removed)."""
    pair = Pair()
    wire = pair.send(hidden())
    assert b"[hide]" not in wire
    assert b"[hide]" not in opened(wire, pair.bob).raw


@pytest.mark.parametrize("name", ["Bcc", "Resent-Bcc", "Received", "Return-Path", "HP-Outer"])
def test_what_is_not_the_authors_is_not_inside(name: str) -> None:
    """Bcc nowhere, trace fields outside only (RFC 9788, 11.4; RFC 5322, 3.6.3)."""
    pair = Pair()
    wire = pair.send(hidden(extra=f"{name}: carol@{SECRET.split()[1]}.example\r\n"))
    assert SECRET.split()[1].encode() + b".example" not in opened(wire, pair.bob).raw


def test_text_shows_what_is_hidden_to_programs_that_do_not_look_inside() -> None:
    """Legacy Display Element (RFC 9788, 5.2.2), taken off again where the field is back."""
    pair = Pair()
    wire = pair.send(hidden("plan", body="see you\r\n"))
    inner = opened(wire, pair.bob).raw
    assert b'hp-legacy-display="1"' in inner
    assert b"\r\n\r\nSubject: plan\r\n\r\nsee you\r\n" in inner
    # It is signed inside and keeps its octets there.
    assert b"\r\n\r\nSubject: plan\r\n\r\nsee you\r\n" in pair.receive(wire)


def test_repetition_is_taken_off_unsigned_text() -> None:
    """Nobody signed it, and the Subject is in its place."""
    pair = Pair(keys='header_confidentiality = "baseline", cipher = "aes-256-gcm", form = "opaque"')
    arrived = pair.receive(pair.send(hidden("plan", body="see you\r\n")))
    assert fields(arrived, "subject") == ["plan"]
    assert Entity.parse(arrived).body == b"see you\r\n"


def test_legacy_display_can_be_switched_off() -> None:
    """The body then is what the author wrote."""
    pair = Pair(keys='header_confidentiality = "baseline", legacy_display = false')
    inner = opened(pair.send(hidden("plan", body="see you\r\n")), pair.bob).raw
    assert b"legacy" not in inner
    assert b"\r\n\r\nsee you\r\n" in inner


def test_list_that_writes_into_the_subject_is_noticed_and_undone() -> None:
    """What was hidden is restored whatever stands outside now; the change is told."""
    pair = Pair()
    wire = pair.send(hidden()).replace(b"Subject: [...]", b"Subject: [EXTERNAL] [...]")
    arrived = pair.receive(wire)
    assert fields(arrived, "subject") == [SECRET]
    assert "; changed=Subject" in fields(arrived, "x-smimegw-header")[0]


def test_subject_that_was_not_hidden_is_never_replaced() -> None:
    """A mark that a later server set stays; that it was not the author is told."""
    pair = Pair(keys='header_confidentiality = "none"')
    wire = pair.send(hidden()).replace(b"Subject: merger", b"Subject: ***SPAM*** merger")
    arrived = pair.receive(wire)
    assert fields(arrived, "subject") == [f"***SPAM*** {SECRET}"]
    assert "; changed=Subject" in fields(arrived, "x-smimegw-header")[0]


@pytest.mark.parametrize(
    ("reverse_path", "adopted"),
    [
        (None, True),
        ("bounces@lists.ours.example", True),
        ("eve@evil.example", False),
        ("eve@notours.example", False),
    ],
)
def test_subject_does_not_go_where_a_report_would_show_it(
    reverse_path: str | None, adopted: bool
) -> None:
    """A report quotes the header section to the reverse-path (T-31)."""
    pair = Pair()
    arrived = pair.receive(pair.send(hidden()), reverse_path)
    assert fields(arrived, "subject") == [SECRET if adopted else "[...]"]
    assert ("reason=reverse-path" in fields(arrived, "x-smimegw-header")[0]) is not adopted


def test_mail_that_the_client_signed_is_not_given_fields() -> None:
    """Its octets are the client's (R-26)."""
    pair = Pair()
    content = signed(hidden("plan"), pair.company.ca.issue(ALICE))
    wire = pair.send(content)
    assert fields(wire, "subject") == ["plan"]
    assert b"hp=" not in opened(wire, pair.bob).raw


def test_triple_wrapped_mail_has_its_fields_in_the_middle() -> None:
    """The Cryptographic Payload is inside all layers (RFC 9787, 4; RFC 2634, 1.1)."""
    pair = Pair(keys='header_confidentiality = "baseline"')
    policy = POLICY.format(keys='header_confidentiality = "baseline"')
    policy = policy.replace('"sign-then-encrypt"', '"sign-encrypt-sign"')
    pair.company.gateway = Gateway(
        parse_policy([("test.toml", policy.encode())]),
        pair.company.world.ports,
        pair.company.settings,
    )
    wire = pair.send(hidden())
    assert not is_readable(SECRET.encode(), wire)
    arrived = pair.receive(wire)
    assert fields(arrived, "subject") == [SECRET]
    assert len(fields(arrived, "x-smimegw-signature")) == 2


def _is_for(content: bytes, recipient: Issued) -> bool:
    layer = layer_of(Entity.parse(content))
    assert isinstance(layer, EncryptedLayer)
    return any(named.matches(recipient.certificate) for named in layer.recipient_ids)


def test_bcc_recipient_gets_the_same_header_section() -> None:
    """His copy is made apart and names him nowhere, inside or outside (T-22)."""
    pair = Pair()
    dave = pair.company.partner("dave@partner.example")
    outcome = pair.company.send("relay", [BOB, "dave@partner.example"], hidden())
    assert outcome.reply.code == 250
    copies = pair.company.arrived[-2:]
    (his,) = (copy for copy in copies if _is_for(copy, dave))
    inner = opened(his, dave).raw
    assert b"Subject: " + SECRET.encode() in inner
    assert b"dave@" not in inner
    assert all(fields(copy, "subject") == ["[...]"] for copy in copies)


def test_message_whose_fields_cannot_go_inside_is_refused() -> None:
    """Rather than sent with a Subject that a rule hides (T-23)."""
    pair = Pair()
    outcome = pair.company.send("relay", [BOB], hidden(extra=f"X-Long: {'x' * 2000}\r\n"))
    assert outcome.reply.code == 550
    assert pair.company.arrived == []


def test_fields_of_8_bits_go_inside_in_7_and_come_back() -> None:
    """As a client with SMTPUTF8 writes them (RFC 6532)."""
    pair = Pair()
    arrived = pair.receive(pair.send(hidden("Grüße")))
    (subject,) = Entity.parse(arrived).header.all("subject")
    assert decode_words(subject.body) == "Grüße"
