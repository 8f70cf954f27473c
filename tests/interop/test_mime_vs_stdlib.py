"""Our MIME against the standard library's on the kinds of messages that people send."""

from __future__ import annotations

import quopri
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest

from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.mime.headers import decode_words
from smimegw.mime.quoted_printable import decode_quoted_printable, encode_quoted_printable
from tests.fakes.multiparts import split_multipart

EIGHT_BIT = policy.SMTP.clone(cte_type="8bit", max_line_length=78)


def message(subject: str) -> EmailMessage:
    made = EmailMessage(policy=EIGHT_BIT)
    made["From"] = "Alice Müller <alice@corp.example>"
    made["To"] = "bob@partner.example, 李明 <li@partner.example>"
    made["Subject"] = subject
    made["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
    made["Message-ID"] = "<1@corp.example>"
    return made


def plain() -> EmailMessage:
    made = message("Hello")
    made.set_content("Hello Bob,\n\nhow are you? \n-- \nAlice\n")
    return made


def chinese() -> EmailMessage:
    made = message("关于二〇二六年度采购合同的补充说明和付款安排,请尽快回复")
    made.set_content("你好,\n\n合同在附件里。\n" * 20, cte="8bit")
    return made


def html_with_attachment() -> EmailMessage:
    made = message("Grüße aus Köln – the report")
    made.set_content("Grüße\n")
    made.add_alternative("<p>Grüße <b>Bob</b></p>\n" + "<p>x</p>" * 200 + "\n", subtype="html")
    made.add_attachment(
        bytes(range(256)) * 40, maintype="application", subtype="pdf", filename="Übersicht 2026.pdf"
    )
    made.add_attachment("a;b\n1;2\n", subtype="csv", filename="table.csv")
    return made


def with_image() -> EmailMessage:
    made = message("picture")
    made.set_content("see picture\n")
    made.add_alternative('<img src="cid:1@x">\n', subtype="html")
    html = made.get_payload()[1]
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG" * 100, maintype="image", subtype="png", cid="<1@x>")
    return made


def forwarded() -> EmailMessage:
    made = message("Fwd: Grüße")
    made.set_content("see below\n")
    made.add_attachment(html_with_attachment())
    return made


def latin() -> EmailMessage:
    made = message("old charset")
    made.set_content("gr\xfc\xdfe\n" * 3, charset="iso-8859-1", cte="quoted-printable")
    return made


MESSAGES = {
    build.__name__: build
    for build in (plain, chinese, html_with_attachment, with_image, forwarded, latin)
}


@pytest.fixture(params=MESSAGES.values(), ids=MESSAGES.keys())
def octets(request: pytest.FixtureRequest) -> bytes:
    made: bytes = request.param().as_bytes()
    return made


def leaves(entity: Entity) -> Iterator[Entity]:
    """Every entity in document order, structures before their parts."""
    yield entity
    content_type = entity.content_type
    if content_type.type == "multipart":
        for part in split_multipart(entity):
            yield from leaves(Entity.parse(part))
    elif content_type.media_type == "message/rfc822":
        yield from leaves(Entity.parse(entity.body))


def pairs(octets: bytes) -> list[tuple[Entity, Message]]:
    ours = list(leaves(Entity.parse(octets)))
    theirs = list(message_from_bytes(octets, policy=policy.compat32).walk())
    assert len(ours) == len(theirs)
    return list(zip(ours, theirs, strict=True))


def test_header_and_body_are_split_alike(octets: bytes) -> None:
    """Names, order and unfolded bodies of every header section agree."""
    for ours, theirs in pairs(octets):
        expected = [
            (name, value.replace("\r\n", "").replace("\n", "").strip())
            for name, value in theirs.raw_items()
        ]
        found = [
            (entry.name.decode(), entry.body.decode("ascii", "surrogateescape"))
            for entry in ours.header
        ]
        assert found == [(name, str(value)) for name, value in expected]


def test_types_and_parameters_agree(octets: bytes) -> None:
    """Media type, boundary, charset and file name are read alike."""
    for ours, theirs in pairs(octets):
        assert ours.content_type.media_type == theirs.get_content_type()
        assert ours.content_type.parameter("boundary") == theirs.get_boundary()
        charset = ours.content_type.parameter("charset")
        if theirs["content-type"] is not None:
            assert (charset or "").lower() == (theirs.get_content_charset() or "")
        assert ours.content_type.parameter("name") == theirs.get_param("name")


def test_decoded_bodies_agree(octets: bytes) -> None:
    """base64, quoted-printable and 8bit give the same octets."""
    compared = 0
    for ours, theirs in pairs(octets):
        if not theirs.is_multipart():
            assert ours.decoded_body() == theirs.get_payload(decode=True)
            compared += 1
    assert compared


def test_subjects_agree(octets: bytes) -> None:
    """Encoded words are read as the standard library reads them."""
    subject = Entity.parse(octets).header.sole("subject")
    assert subject is not None
    assert decode_words(subject.body) == str(
        message_from_bytes(octets, policy=policy.default)["subject"]
    )


def test_canonical_form_shows_the_same_message(octets: bytes) -> None:
    """What a mail program shows is the same before and after (RFC 8551, 3.1; G16)."""
    canonical = canonical_for_signing(Entity.parse(octets)).raw
    assert canonical.isascii()
    before = message_from_bytes(octets, policy=policy.default)
    after = message_from_bytes(canonical, policy=policy.default)
    for old, new in zip(before.walk(), after.walk(), strict=True):
        assert old.get_content_type() == new.get_content_type()
        assert old.get_filename() == new.get_filename()
        assert str(old["subject"]) == str(new["subject"])
        if not old.is_multipart():
            assert old.get_payload(decode=True) == new.get_payload(decode=True)


@pytest.mark.parametrize(
    "text",
    ["plain\r\n", "gr\xfc\xdfe \r\n", "a=b\t\r\nFrom x\r\n.\r\n", "你好" * 100, "x" * 500, ""],
)
def test_quoted_printable_agrees_both_ways(text: str) -> None:
    """The standard library reads what we write, and we what it writes."""
    octets = text.encode()
    assert quopri.decodestring(encode_quoted_printable(octets).whole()) == octets
    theirs = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    assert decode_quoted_printable(theirs) == octets
