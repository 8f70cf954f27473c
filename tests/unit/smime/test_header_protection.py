"""Header fields under protection: what goes inside, what stays readable, what is read back."""

from __future__ import annotations

import pytest

from smimegw.errors import MIMEError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.confidentiality import HeaderConfidentiality, HeaderProtection
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.header_protection import protect_header
from smimegw.smime.protected_header import HeaderForm, ProtectedHeader, read_protected_header

AUTHOR = (
    b"Date: Mon, 23 Nov 2026 14:00:00 +0100\r\nFrom: Alice <alice@ours.example>\r\n"
    b"To: Bob <bob@partner.example>\r\nSubject: Dinner plans\r\nMessage-ID: <1@ours.example>\r\n"
)
TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nLet us meet.\r\n"
BASELINE = HeaderProtection(confidentiality=HeaderConfidentiality.BASELINE, legacy_display=False)
OUTSIDE = AUTHOR.replace(b"Dinner plans", b"[...]")


def header(octets: bytes) -> HeaderSection:
    return Entity.parse(octets + b"\r\n").header


def protect(
    octets: bytes = AUTHOR,
    inner: bytes = TEXT,
    wish: HeaderProtection = BASELINE,
    *,
    encrypts: bool = True,
) -> tuple[HeaderSection, Entity]:
    return protect_header(header(octets), Entity.parse(inner), wish, encrypts=encrypts)


def payload(inside: bytes, *, hp: str = "cipher", outer: bytes = OUTSIDE) -> Entity:
    """A Cryptographic Payload as another program writes it."""
    noted = b"".join(b"HP-Outer: " + line + b"\r\n" for line in outer.split(b"\r\n") if line)
    kind = b'Content-Type: text/plain; charset="us-ascii"; hp="' + hp.encode() + b'"\r\n'
    return Entity.parse(inside + kind + (noted if hp == "cipher" else b"") + b"\r\ntext\r\n")


def read(entity: Entity, outer: bytes = OUTSIDE) -> ProtectedHeader:
    found = read_protected_header(entity, header(outer))
    assert found is not None
    return found


def adopted(inside: bytes, outer: bytes = OUTSIDE) -> list[bytes]:
    return [entry.raw for entry in read(payload(inside, outer=outer), outer).hidden]


# --- writing -------------------------------------------------------------------------------------


def test_encrypted_payload_is_that_of_the_rfc() -> None:
    """Fields, HP-Outer for each one left outside, hp="cipher" (RFC 9788, 5.2.1)."""
    outer, inner = protect()
    assert outer.raw == OUTSIDE
    noted = b"".join(b"HP-Outer: " + line + b"\r\n" for line in OUTSIDE.split(b"\r\n") if line)
    assert inner.raw == (
        AUTHOR + noted + b'Content-Type: text/plain; charset=us-ascii; hp="cipher"\r\n\r\n'
        b"Let us meet.\r\n"
    )


def test_signed_payload_notes_nothing_about_outside() -> None:
    """hp="clear": all fields, no HP-Outer, nothing hidden (RFC 9788, 5.2.1)."""
    outer, inner = protect(encrypts=False)
    assert outer.raw == AUTHOR
    assert inner.header.raw == (
        AUTHOR + b'Content-Type: text/plain; charset=us-ascii; hp="clear"\r\n'
    )


def test_body_without_content_type_gets_one() -> None:
    """hp has to stand somewhere; the type is the one that no field means (RFC 2045, 5.2)."""
    _, inner = protect(inner=b"\r\ntext\r\n", encrypts=False)
    assert inner.header.fields[-1].raw == (
        b'Content-Type: text/plain; charset=us-ascii; hp="clear"\r\n'
    )


@pytest.mark.parametrize(
    "kind",
    [
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
        b"Content-Type: nonsense\r\n",
        b"Content-Type: text/plain; charset=utf-8; charset=utf-7\r\n",
        b'Content-Type: text/plain; charset="utf-8\r\n',
    ],
    ids=["two", "no type", "parameter twice", "open quotes"],
)
def test_body_of_unclear_type_becomes_a_part(kind: bytes) -> None:
    """Its octets stay, and the Subject is hidden all the same (T-23)."""
    outer, inner = protect(inner=kind + b"\r\ntext\r\n")
    assert b"Dinner" not in outer.raw
    assert inner.content_type.media_type == "multipart/mixed"
    assert inner.content_type.parameter("hp") == "cipher"
    assert kind + b"\r\ntext\r\n" in inner.body


def test_hp_parameter_of_the_client_is_not_believed() -> None:
    """What stood on the outer entity says nothing; the parameter is there once."""
    kind = b'Content-Type: text/plain; hp="clear"; protected-headers="v1"\r\n\r\ntext\r\n'
    _, inner = protect(inner=kind)
    assert inner.content_type.parameters == (("hp", "cipher"),)


def test_field_of_8_bits_goes_inside_in_7() -> None:
    """Signed parts are 7-bit (RFC 8551, 3.1.2)."""
    _, inner = protect(AUTHOR.replace(b"Dinner plans", "Grüße".encode()))
    assert inner.raw.isascii()
    assert b"Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n" in inner.raw


def test_space_before_the_colon_does_not_go_inside() -> None:
    """Readers differ over such a field; it is the author's all the same (RFC 5322, 4.5.8)."""
    outer, inner = protect(AUTHOR.replace(b"Subject:", b"Subject :"))
    assert b"\r\nSubject: Dinner plans\r\n" in inner.raw
    assert b"Dinner" not in outer.raw


def test_field_that_cannot_be_written_inside_stops_the_message() -> None:
    """Rather refused than sent with a field outside that should be hidden (T-23)."""
    with pytest.raises(MIMEError):
        protect(AUTHOR + b"X-Odd: a\rb\r\n")


def test_every_subject_is_hidden_when_there_are_two() -> None:
    """None of them may be seen."""
    outer, _ = protect(AUTHOR + b"subject: Also secret\r\n")
    assert b"secret" not in outer.raw


def test_keywords_and_comments_are_removed_outside() -> None:
    """hcp_baseline (RFC 9788, 3.2.1)."""
    outer, inner = protect(AUTHOR + b"Keywords: a\r\nComments: b\r\n")
    assert outer.raw == OUTSIDE
    assert b"Keywords: a\r\nComments: b\r\n" in inner.header.raw
    assert b"HP-Outer: Keywords" not in inner.header.raw


def test_long_field_is_noted_in_lines_that_mail_carries() -> None:
    """The prefix HP-Outer must not push a line over 998 octets (RFC 5322, 2.1.1)."""
    words = b" ".join([b"a" * 60] * 16)
    _, inner = protect(AUTHOR + b"X-Long: " + words + b"\r\n")
    assert max(map(len, inner.header.raw.split(b"\r\n"))) <= 998
    assert inner.header.all("hp-outer")[-1].body == b"X-Long: " + words


# --- reading -------------------------------------------------------------------------------------


def test_what_is_written_is_read() -> None:
    """Own reader, own writer: the Subject comes back as it was."""
    outer, inner = protect()
    found = read_protected_header(inner, outer)
    assert found is not None
    assert [entry.raw for entry in found.hidden] == [b"Subject: Dinner plans\r\n"]
    assert (found.form, found.changed, found.same_from) == (HeaderForm.CIPHER, (), True)


def test_payload_of_the_rfcs_example_is_read() -> None:
    """MIME-Version and User-Agent inside, HP-Outer after Content-Type (RFC 9788, Appendix C)."""
    entity = Entity.parse(
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n" + AUTHOR +
        b"User-Agent: Sample MUA Version 1.0\r\n"
        b'Content-Type: text/plain; charset="us-ascii"; hp-legacy-display="1";\r\n hp="cipher"\r\n'
        b"HP-Outer: Subject: [...]\r\nHP-Outer: From: Alice <alice@ours.example>\r\n"
        b"HP-Outer: Date: Mon, 23 Nov 2026 14:00:00 +0100\r\n"
        b"HP-Outer: To: Bob <bob@partner.example>\r\nHP-Outer: Message-ID: <1@ours.example>\r\n"
        b"HP-Outer: User-Agent: Sample MUA Version 1.0\r\n\r\ntext\r\n"
    )  # fmt: skip
    found = read(entity)
    assert [entry.lower_name for entry in found.hidden] == ["subject"]


@pytest.mark.parametrize(
    "kind",
    [b"text/plain", b'text/plain; hp="Cipher"', b'text/plain; hp="sealed"', b"message/rfc822"],
)
def test_without_a_known_hp_nothing_is_read(kind: bytes) -> None:
    """Fields inside that nobody announces are content (RFC 9788, 4.1)."""
    entity = Entity.parse(AUTHOR + b"Content-Type: " + kind + b"\r\n\r\n" + AUTHOR + b"\r\n")
    assert read_protected_header(entity, header(OUTSIDE)) is None


def test_nothing_is_hidden_by_clear() -> None:
    """hp="clear" says that the author hid nothing; a difference came on the way."""
    found = read(payload(AUTHOR, hp="clear"))
    assert (found.hidden, found.changed) == ((), ("Subject",))


def test_field_without_a_note_was_left_out_outside() -> None:
    """No HP-Outer of a name means that it stood inside only (RFC 9788, 2.2)."""
    assert adopted(AUTHOR + b"Keywords: x\r\n") == [
        b"Subject: Dinner plans\r\n",
        b"Keywords: x\r\n",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date", "Message-ID"),
        *("Received", "Return-Path", "Authentication-Results", "X-Smimegw-Status"),
        *("Resent-From", "List-Unsubscribe", "Disposition-Notification-To", "DKIM-Signature"),
        *("Content-Type", "MIME-Version", "X-Spam-Status", "Auto-Submitted"),
    ],
)
def test_field_that_servers_or_programs_act_on_is_not_adopted(name: str) -> None:
    """Who it is from, where answers go, what others found: only as it was outside (K07)."""
    outer = OUTSIDE.replace(b"Subject", b"X-Other")
    extra = name.encode() + b": eve@evil.example\r\n"
    entity = Entity.parse(extra + b'Content-Type: text/plain; hp="cipher"\r\n\r\ntext\r\n')
    found = read_protected_header(entity, header(outer))
    assert found is None or found.hidden == ()


@pytest.mark.parametrize(
    "subject",
    [
        b"Subject: one\r\nSubject: two\r\n",
        b"Subject : spaced\r\n",
        b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n",
        b"Subject: a\rX-Smimegw-Status: signed=pass\r\n",
        b"Subject: a\0b\r\n",
        b"Subject: =?utf-8?q?a=0D=0AX-Smimegw-Status:_signed=3Dpass?=\r\n",
        b"Subject: =?utf-8?q?a=E2=80=A8b?=\r\n",
        b"Subject: " + b"x " * 5000 + b"\r\n",
        b"Subject: " + b"x" * 2000 + b"\r\n",
    ],
    ids=[
        *("twice", "space before colon", "8 bit", "bare CR", "NUL", "encoded line end"),
        *("line separator", "huge", "one long word"),
    ],
)
def test_malformed_subject_is_not_adopted(subject: bytes) -> None:
    """What no mail program writes stays inside; it is counted."""
    inside = AUTHOR.replace(b"Subject: Dinner plans\r\n", subject)
    found = read(payload(inside))
    assert (found.hidden, found.withheld) == ((), 1)


def test_adopted_field_is_written_anew() -> None:
    """Odd folding inside is not carried outside."""
    inside = AUTHOR.replace(b"Dinner plans", b"Dinner\r\n\t \r\n plans")
    (raw,) = adopted(inside)
    assert raw.count(b"\r\n") == 1
    assert raw.split() == [b"Subject:", b"Dinner", b"plans"]


@pytest.mark.parametrize(
    ("inner", "same"),
    [
        (b"From: Alice <ALICE@ours.example>\r\n", True),
        (b"From: alice@ours.example\r\n", True),
        (b"From: Alice <alice@evil.example>\r\n", False),
        (b"From: alice@ours.example, eve@evil.example\r\n", False),
        (b"From: alice@ours.example\r\nFrom: eve@evil.example\r\n", False),
        (b"From: nonsense\r\n", False),
        (b"", None),
    ],
)
def test_inner_from_is_compared_by_its_mailbox(inner: bytes, same: bool | None) -> None:
    """Anything but the one same mailbox is another author (T-08)."""
    inside = AUTHOR.replace(b"From: Alice <alice@ours.example>\r\n", inner)
    assert read(payload(inside)).same_from is same


def test_change_on_the_way_is_noticed_by_the_notes() -> None:
    """HP-Outer says how the author left it; folding and encoding do not count (RFC 9788, 4.2)."""
    entity = payload(AUTHOR)
    folded = OUTSIDE.replace(b"To: Bob <", b"To: =?utf-8?q?Bob?=\r\n <")
    assert read(entity, folded).changed == ()
    added = OUTSIDE.replace(b"To: Bob", b"To: Eve <eve@evil.example>, Bob")
    assert read(entity, added).changed == ("To",)


@pytest.mark.parametrize(
    ("outside", "hidden"),
    [(b"...", True), (b"[...]", True), (b"Encrypted Message", True), (b"Re: lunch", False)],
)
def test_forms_before_the_rfc_hide_what_is_obscured(outside: bytes, hidden: bool) -> None:
    """protected-headers="v1" has no notes: only a Subject that says nothing is replaced."""
    entity = Entity.parse(
        b'Subject: Dinner plans\r\nContent-Type: text/plain; protected-headers="v1"\r\n\r\ntext\r\n'
    )
    found = read(entity, AUTHOR.replace(b"Dinner plans", outside))
    assert bool(found.hidden) is hidden


def test_message_inside_is_read_when_it_says_that_it_is_no_forwarded_one() -> None:
    """message/rfc822; forwarded=no (RFC 8551, 3.1)."""
    entity = Entity.parse(
        b"Content-Type: message/rfc822; forwarded=no\r\n\r\n" + AUTHOR + b"\r\ntext\r\n"
    )
    found = read(entity)
    assert found.form is HeaderForm.MESSAGE
    assert [entry.raw for entry in found.hidden] == [b"Subject: Dinner plans\r\n"]


@pytest.mark.parametrize(
    ("outside", "adopted_names"),
    [
        (b"To: bob@partner.example\r\nDate: Mon, 23 Nov 2026 13:00:00 +0000\r\n", ["date", "to"]),
        (b"To: bob@partner.example\r\nDate: Mon, 23 Nov 2026 13:00:01 +0000\r\n", ["to"]),
        (b"To: eve@evil.example\r\nDate: Mon, 23 Nov 2026 13:00:00 +0000\r\n", ["date"]),
        (b"To: bob@partner.example, eve@evil.example\r\nDate: nonsense\r\n", []),
        (b"", []),
    ],
)
def test_display_names_and_zones_come_back_where_nothing_else_differs(
    outside: bytes, adopted_names: list[str]
) -> None:
    """hcp_shy takes them away; who gets an answer stays as it was outside (RFC 9788, 3.2.2)."""
    outer = b"From: alice@ours.example\r\n" + outside
    found = read(payload(AUTHOR, outer=b"Message-ID: <1@ours.example>\r\n" + outer), outer)
    names = [entry.lower_name for entry in found.hidden if entry.lower_name != "subject"]
    assert names == adopted_names


@pytest.mark.parametrize(
    ("author", "inside"),
    [
        ("Jörg <j@ours.example>", b"From: =?utf-8?B?SsO2cmc=?= <j@ours.example>\r\n"),
        ("Jörg <jörg@ours.example>", b""),
        ("Jörg <nonsense", b""),
    ],
)
def test_address_without_a_form_in_ascii_stays_outside(author: str, inside: bytes) -> None:
    """Inside it would be another address; the display name alone can be encoded (RFC 6532, 3.2)."""
    octets = AUTHOR.replace(b"Alice <alice@ours.example>", author.encode())
    outer, inner = protect(octets)
    assert outer.all("from")[0].raw == f"From: {author}\r\n".encode()
    assert b"".join(entry.raw for entry in inner.header.all("from")) == inside
    assert inner.raw.isascii()


def test_more_fields_than_readers_take_stop_the_message() -> None:
    """Our own reader would leave such a message closed (R-50)."""
    many = b"".join(b"X-A: b\r\n" for _ in range(DEFAULT_LIMITS.header_fields // 2))
    with pytest.raises(MIMEError, match="header fields"):
        protect(AUTHOR + many)
    assert protect(AUTHOR + many, encrypts=False)
