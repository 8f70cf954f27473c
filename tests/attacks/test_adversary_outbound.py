"""Odd outbound mail keeps what it says, and its signature holds, as OpenSSL sees it."""

from __future__ import annotations

import email
from pathlib import Path

import pytest

from smimegw.mime.entity import Entity
from tests.fakes.company import POLICY, Company
from tests.fakes.pki import Issued
from tests.interop.openssl import Files, openssl

ALICE = "alice@ours.example"
SIGNED, ENCRYPTED = "x@signed.example", "bob@partner.example"
UMLAUT = "ä".encode()

TRIGGER = """
[[rule]]
name = "trigger"
why = "test"
when = { direction = "outbound", subject_word = ["[secret]"] }
then = { protect = "sign" }
"""


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


@pytest.fixture
def bob(company: Company) -> Issued:
    return company.partner(ENCRYPTED)


def send(company: Company, rest: bytes, *, to: str = SIGNED, subject: bytes = b"s") -> bytes:
    """Send a message with *rest* after its usual fields; return what the next hop got."""
    head = b"From: alice@ours.example\r\nTo: " + to.encode() + b"\r\nSubject: " + subject + b"\r\n"
    outcome = company.send("relay", (to,), head + rest)
    assert outcome.reply.code == 250, outcome.reply
    return company.arrived[-1]


def verified(message: bytes, company: Company, directory: Path) -> bytes:
    """The signed octets, if openssl accepts the signature."""
    files = Files.of(company.ca, directory, "ca")
    return openssl("cms", "-verify", "-CAfile", files.root, "-purpose", "any", stdin=message)


def leaves(message: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded content of every leaf, as the standard library reads the message."""
    return [
        (part.get_content_type(), (part.get_payload(decode=True) or b"").rstrip())
        for part in email.message_from_bytes(message).walk()
        if not part.is_multipart()
    ]


def deep(levels: int) -> bytes:
    """8-bit text inside *levels* multiparts."""
    frames = (
        b"Content-Type: multipart/mixed; boundary=b%dx\r\n\r\n--b%dx\r\n" % (level, level)
        for level in range(levels)
    )
    return b"".join(frames) + b"\r\n" + UMLAUT + b"\r\n"


_MIXED = b"Content-Type: multipart/mixed; boundary=A\r\n\r\n"
WITHOUT_CANONICAL_FORM = {
    "nested-boundary-goes-on": (
        b'Content-Type: multipart/mixed; boundary="A"\r\n\r\n--A\r\n'
        b'Content-Type: multipart/alternative; boundary="A_1"\r\n\r\n--A_1\r\n\r\n'
        + UMLAUT
        + b"\r\n--A_1--\r\n\r\n--A--\r\n"
    ),
    "multipart-without-parts": _MIXED + b"--A--\r\n" + UMLAUT + b"\r\n",
    "multipart-without-delimiter": _MIXED + UMLAUT + b"\r\n",
    "multipart-without-boundary": b"Content-Type: multipart/mixed\r\n\r\n" + UMLAUT + b"\r\n",
    "unknown-transfer-encoding": b"Content-Transfer-Encoding: x-uuencode\r\n\r\n#86)C \r\n",
    "8bitmime-is-no-transfer-encoding": (
        b"Content-Transfer-Encoding: 8bitmime\r\n\r\n" + UMLAUT + b"\r\n"
    ),
    "empty-transfer-encoding": b"Content-Transfer-Encoding:\r\n\r\n" + UMLAUT + b"\r\n",
    "doubled-content-type": (
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n" + UMLAUT + b"\r\n"
    ),
    "empty-content-type": b"Content-Type:\r\n\r\n" + UMLAUT + b"\r\n",
    "space-before-colon": b"Content-Type : text/plain\r\n\r\n" + UMLAUT + b"\r\n",
    "junk-in-a-part's-header": (
        _MIXED + b"--A\r\nContent-Type: text/plain\r\njunk " + UMLAUT + b"\r\n\r\nx\r\n--A--\r\n"
    ),
    "51-levels": deep(51),
    "1001-parts": _MIXED + (b"--A\r\n\r\n" + UMLAUT + b"\r\n") * 1001 + b"--A--\r\n",
    "name-of-20000-letters": (
        b'Content-Type: text/plain; name="' + b"y" * 20000 + b'"\r\n\r\n' + UMLAUT + b"\r\n"
    ),
    "message-partial": (
        b'Content-Type: message/partial; id="x"; number=1; total=2\r\n\r\nX: y\r\n\r\nspace \r\n'
    ),
}


@pytest.mark.parametrize("name", WITHOUT_CANONICAL_FORM)
def test_mail_without_canonical_form_is_signed_as_it_is(
    name: str, company: Company, tmp_path: Path
) -> None:
    """Structure nobody can rewrite is no reason to refuse: it travels as opaque body (L11)."""
    rest = WITHOUT_CANONICAL_FORM[name]
    signed = verified(send(company, rest), company, tmp_path)
    assert signed == b"".join(_inner(rest))


@pytest.mark.parametrize("name", ["51-levels", "doubled-content-type", "empty-transfer-encoding"])
def test_mail_without_canonical_form_is_encrypted(
    name: str, company: Company, bob: Issued, tmp_path: Path
) -> None:
    """The same under sign-then-encrypt; nothing leaves in clear (L11)."""
    rest = WITHOUT_CANONICAL_FORM[name]
    arrived = send(company, rest, to=ENCRYPTED)
    assert UMLAUT not in arrived
    files = Files.of(bob, tmp_path, "bob")
    inner = openssl("cms", "-decrypt", "-recip", files.certificate, "-inkey", files.key,
                    stdin=arrived)  # fmt: skip
    assert verified(inner, company, tmp_path) == b"".join(_inner(rest))


def _inner(rest: bytes) -> tuple[bytes, bytes, bytes]:
    entity = Entity.parse(rest)
    return entity.header.raw, b"\r\n", entity.body.whole()


def test_digest_parts_are_messages(company: Company, tmp_path: Path) -> None:
    """RFC 2046, 5.1.5: what is encoded is the text inside, not the message."""
    rest = (
        b"Content-Type: multipart/digest; boundary=A\r\n\r\n--A\r\n\r\nFrom: a@b.example\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + UMLAUT + b"\r\n--A--\r\n"
    )
    signed = verified(send(company, rest), company, tmp_path)
    assert leaves(signed) == [("text/plain", UMLAUT)]


def test_external_body_keeps_its_fields_readable(company: Company, tmp_path: Path) -> None:
    """RFC 2046, 5.2.3: the body begins with fields, which nobody decodes."""
    rest = (
        b'Content-Type: message/external-body; access-type=URL; url="http://x.example/"\r\n\r\n'
        b"Content-Type: text/plain \r\n\r\n"
    )
    assert b"Content-Type: text/plain\r\n\r\n" in verified(send(company, rest), company, tmp_path)


def test_delivery_status_is_not_encoded(company: Company, tmp_path: Path) -> None:
    """RFC 3464, 2.1: readers of reports do not decode message/delivery-status."""
    status = b"Reporting-MTA: dns; x \r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n"
    rest = b"Content-Type: message/delivery-status\r\n\r\n" + status
    assert verified(send(company, rest), company, tmp_path).endswith(status)


def test_body_without_empty_line_before_it_does_not_leave_in_clear(
    company: Company, bob: Issued
) -> None:
    """The first line that is no field begins the body, as mail servers read it (T-23)."""
    head = b"From: alice@ours.example\r\nTo: bob@partner.example\r\nSubject: s\r\n"
    company.send("relay", (ENCRYPTED,), head + b"Dear Bob,\r\nthe secret\r\n\r\nfollows\r\n")
    (arrived,) = company.arrived
    assert b"secret" not in arrived
    assert b"Dear Bob" not in arrived


def test_body_without_empty_line_before_it_is_signed_whole(
    company: Company, tmp_path: Path
) -> None:
    """The same for signatures: they cover what recipients see."""
    signed = verified(send(company, b"Dear Bob,\r\nyes\r\n\r\nA.\r\n"), company, tmp_path)
    assert signed == b"\r\nDear Bob,\r\nyes\r\n\r\nA.\r\n"


def test_mail_whose_from_follows_a_line_that_is_no_field_is_refused(
    company: Company, bob: Issued
) -> None:
    """Nobody could say from whom the protected copy is, were the header section to end there."""
    content = b" junk\r\nFrom: alice@ours.example\r\nTo: bob@partner.example\r\n\r\nx\r\n"
    outcome = company.send("relay", (ENCRYPTED,), content)
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.6.0")


def test_envelope_line_of_a_mailbox_file_is_dropped(company: Company) -> None:
    """RFC 4155: under our Received field it would end the header section for the next server."""
    content = b"From alice Mon Nov 23 12:00:00 2026\r\nFrom: alice@ours.example\r\n\r\nx\r\n"
    company.send("relay", ("x@clear.example",), content)
    (arrived,) = company.arrived
    assert all(entry.name for entry in Entity.parse(arrived).header)


@pytest.mark.parametrize(
    "subject",
    [
        b"[secret]\r\n\tfolded with\ttabs",
        b"=?utf-8?Q?=5Bsecret=5D=0D=0AX-Injected:_yes?=",
        b"=?utf-8?Q?=5Bsecret=5D=00=07x?=",
    ],
)
def test_subject_with_tabs_or_hidden_controls_loses_its_trigger_only(subject: bytes) -> None:
    """What was readable is sent readable, on one line and as one field (G18)."""
    company = Company(policy=TRIGGER + POLICY)
    company.user(ALICE)
    header = Entity.parse(send(company, b"\r\nx\r\n", subject=subject)).header
    (field,) = header.all("subject")
    assert b"secret" not in field.body
    assert not header.all("x-injected")
    assert b"\r" not in field.raw.removesuffix(b"\r\n")
