"""Protected header fields, with the openssl command and Python's mail package as other programs.

The messages are those of RFC 9788, Appendix C and E, made anew with our own CA: same structures,
same fields, other people.
"""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from smimegw.mime.entity import Entity
from smimegw.mime.lines import with_crlf
from tests.fakes.company import Company, message
from tests.fakes.pki import Issued
from tests.flow.test_header_protection import ALICE, BOB, Pair, fields
from tests.interop.openssl import Files, openssl

AUTHOR = (
    f"Date: Sat, 20 Feb 2021 10:09:02 -0500\r\nFrom: Bob Example <{BOB}>\r\n"
    f"To: Alice Example <{ALICE}>\r\nSubject: Dinner plans\r\nMessage-ID: <1@lhp.example>\r\n"
    "User-Agent: Sample MUA Version 1.0\r\n"
)
BASELINE = AUTHOR.replace("Dinner plans", "[...]")
SHY = (
    f"Date: Sat, 20 Feb 2021 15:09:02 +0000\r\nFrom: {BOB}\r\nTo: {ALICE}\r\n"
    "Subject: [...]\r\nMessage-ID: <1@lhp.example>\r\nUser-Agent: Sample MUA Version 1.0\r\n"
)
SHOWN = "Subject: Dinner plans\r\n\r\n"
HTML = "<html><head></head><body>\r\n{element}<p>Shall we meet?</p>\r\n</body></html>\r\n"
ELEMENT = (
    '<div class="header-protection-legacy-display">\r\n'
    "<pre>Subject: Dinner plans</pre>\r\n</div>\r\n"
)


def noted(outer: str) -> str:
    return "".join(f"HP-Outer: {line}\r\n" for line in outer.splitlines())


def text(outer: str, *, hp: str, legacy: bool = False) -> str:
    mark = ' hp-legacy-display="1";' if legacy else ""
    notes = noted(outer) if hp == "cipher" else ""
    return (
        f"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n{AUTHOR}{notes}"
        f'Content-Type: text/plain; charset="us-ascii";{mark}\r\n hp="{hp}"\r\n\r\n'
        f"{SHOWN if legacy else ''}Shall we meet?\r\n"
    )


def complex_one(outer: str, *, hp: str, legacy: bool = False) -> str:
    """multipart/mixed of an alternative of text and HTML, and an image."""
    mark = '; hp-legacy-display="1"' if legacy else ""
    notes = noted(outer) if hp == "cipher" else ""
    return (
        f"MIME-Version: 1.0\r\n{AUTHOR}{notes}"
        f'Content-Type: multipart/mixed; boundary="e68"; hp="{hp}"\r\n\r\n'
        '--e68\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="f11"\r\n\r\n'
        f'--f11\r\nContent-Type: text/plain; charset="us-ascii"{mark}\r\n\r\n'
        f"{SHOWN if legacy else ''}Shall we meet?\r\n"
        f'--f11\r\nContent-Type: text/html; charset="us-ascii"{mark}\r\n\r\n'
        f"{HTML.format(element=ELEMENT if legacy else '')}"
        "--f11--\r\n\r\n"
        "--e68\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
        "Content-Disposition: inline\r\n\r\niVBORw0KGgo=\r\n--e68--\r\n"
    )


def wrapped(outer: str, *, hp: str, legacy: bool = False) -> str:
    """The older form: a whole message (RFC 8551, 3.1)."""
    return (
        'MIME-Version: 1.0\r\nContent-Type: message/rfc822; forwarded="no"\r\n\r\n'
        f"MIME-Version: 1.0\r\n{AUTHOR}Content-Type: text/plain\r\n\r\nShall we meet?\r\n"
    )


class Writer:
    """Bob's mail program, which is openssl, and Alice's gateway."""

    def __init__(self, directory: Path) -> None:
        self.company = Company()
        self.alice: Issued = self.company.user(ALICE)
        bob = self.company.ca.issue(BOB)
        self.bob_files = Files.of(bob, directory, "bob")
        self.alice_files = Files.of(self.alice, directory, "alice")

    def sign(self, payload: bytes, *options: str) -> bytes:
        return openssl("cms", "-sign", *options, "-signer", self.bob_files.certificate,
                       "-inkey", self.bob_files.key, "-crlfeol", "-binary",
                       stdin=payload)  # fmt: skip

    def encrypt(self, entity: bytes, cipher: str) -> bytes:
        return openssl("cms", "-encrypt", "-binary", f"-{cipher}", "-recip",
                       self.alice_files.certificate, stdin=with_crlf(entity))  # fmt: skip

    def receive(self, outer: str, entity: bytes) -> bytes:
        content = outer.encode() + with_crlf(entity)
        outcome = self.company.send("mx", [ALICE], content, reverse_path=BOB)
        assert outcome.reply.code == 250, outcome
        return self.company.arrived[-1]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.mark.parametrize("form", ["clear", "opaque"])
@pytest.mark.parametrize("make", [text, complex_one, wrapped])
def test_signed_examples_of_the_rfc_pass_and_hide_nothing(
    writer: Writer, make: object, form: str
) -> None:
    """Signed only, one-part and multipart (RFC 9788, Appendix C)."""
    payload = make(AUTHOR, hp="clear").encode()  # type: ignore[operator]
    signed = writer.sign(payload, *(("-nodetach",) if form == "opaque" else ()))
    arrived = writer.receive(AUTHOR, signed)
    assert "smime=pass" in fields(arrived, "authentication-results")[0]
    assert fields(arrived, "subject") == ["Dinner plans"]
    (told,) = fields(arrived, "x-smimegw-header")
    assert told.endswith("; protected=From,To,Date,Message-ID,Subject")


@pytest.mark.parametrize("cipher", ["aes256", "aes-256-gcm"])
@pytest.mark.parametrize("outer", [BASELINE, SHY], ids=["baseline", "shy"])
@pytest.mark.parametrize("legacy", [False, True], ids=["", "legacy"])
@pytest.mark.parametrize("make", [text, complex_one])
def test_encrypted_examples_of_the_rfc_get_their_subject_back(
    writer: Writer, make: object, legacy: bool, outer: str, cipher: str
) -> None:
    """Baseline and shy, with and without legacy display (RFC 9788, Appendix C)."""
    payload = make(outer, hp="cipher", legacy=legacy).encode()  # type: ignore[operator]
    arrived = writer.receive(outer, writer.encrypt(writer.sign(payload, "-nodetach"), cipher))
    assert fields(arrived, "x-smimegw-status")[0].startswith("signed=pass; encrypted=yes")
    assert fields(arrived, "subject") == ["Dinner plans"]
    (told,) = fields(arrived, "x-smimegw-header")
    assert told.startswith("form=cipher; protected=From,To,Date,Message-ID,Subject; adopted=")
    assert b"legacy-display" not in arrived
    assert b"Shall we meet?" in arrived


def test_older_form_gives_subject_and_text(writer: Writer) -> None:
    """A message inside (RFC 8551, 3.1; RFC 9788, 4.10): its text is the text."""
    payload = wrapped(BASELINE, hp="").encode()
    arrived = writer.receive(BASELINE, writer.encrypt(writer.sign(payload, "-nodetach"), "aes256"))
    assert fields(arrived, "subject") == ["Dinner plans"]
    assert Entity.parse(arrived).body.whole().strip() == b"Shall we meet?"
    assert "form=message" in fields(arrived, "x-smimegw-header")[0]


def test_subject_of_thunderbirds_form_comes_back(writer: Writer) -> None:
    """protected-headers="v1" and "..." outside, as Thunderbird and mutt write."""
    payload = (
        b'Content-Type: text/plain; charset=utf-8; protected-headers="v1"\r\n'
        b"From: Bob Example <bob@partner.example>\r\nSubject: Dinner plans\r\n\r\ntext\r\n"
    )
    outer = AUTHOR.replace("Dinner plans", "...")
    arrived = writer.receive(outer, writer.encrypt(writer.sign(payload, "-nodetach"), "aes256"))
    assert fields(arrived, "subject") == ["Dinner plans"]
    assert "form=draft" in fields(arrived, "x-smimegw-header")[0]


@pytest.mark.parametrize("policy", ["none", "baseline", "shy"])
def test_openssl_opens_and_verifies_what_we_write(policy: str, tmp_path: Path) -> None:
    """Fields inside do not disturb who does not know them; Python's mail package reads them."""
    pair = Pair(keys=f'header_confidentiality = "{policy}"')
    bob = Files.of(pair.bob, tmp_path, "bob")
    root = tmp_path / "ca.pem"
    root.write_bytes(pair.company.ca.pem)
    wire = pair.send(message(f"Alice A. <{ALICE}>", BOB, subject="[hide] Grüße"))
    opened = openssl("cms", "-decrypt", "-recip", bob.certificate, "-inkey", bob.key, stdin=wire)
    content = openssl("cms", "-verify", "-CAfile", root, "-purpose", "any", stdin=opened)
    inner = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(inner, EmailMessage)
    assert inner["Subject"] == "Grüße"
    assert inner["From"].addresses[0].display_name == "Alice A."
    assert inner["Content-Type"].params["hp"] == "cipher"
    notes = email.message_from_bytes(content).get_all("HP-Outer")
    outer = email.message_from_bytes(wire)
    names = ("From", "To", "Subject", "Message-ID", "Date")
    assert notes is not None
    assert sorted(notes) == sorted(f"{name}: {outer[name]}" for name in names)
