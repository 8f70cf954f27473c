"""One message, two delimiters: what was verified is what every reader shows (I26, R-51)."""

from __future__ import annotations

import email
import re

import pytest

from smimegw.mime.entity import Entity
from smimegw.smime.disarm import disarm
from tests.attacks.remote import references
from tests.attacks.test_header_protection import ALICE, BOB, Scene, fields, sign
from tests.fakes.company import message

TRUTH = b"Content-Type: text/plain\r\n\r\nThe price is 100.\r\n"
LIE = b"Content-Type: text/plain\r\n\r\nPay 900 to Eve.\r\n"
# How the parameter is written (B is the honest one), and what other readers take for it.
SPELLINGS = {
    "quoted pair": (r'; boundary="\B"', r"\B"),
    "quoted pair inside": (r'; x="\""; boundary="B"', "B"),
    "comment before": ("; boundary=(x)B", "(x)B"),
    "comment before quotes": ('; boundary=(x)"B"', '(x)"B"'),
    "comment behind the name": ("; boundary(x)=B", "zzz"),
    "comment with a parameter": (' (; boundary=x); boundary="B"', "x)"),
    "comment behind": ('; boundary="B" (x)', 'B" (x)'),
    "comment at the end": ('; boundary="B"; (boundary=y)', "y)"),
    "in another value": ('; x="; boundary=y"; boundary="B"', "y"),
    "in a later value": ('; boundary="B"; x="; boundary=y"', "y"),
    "spaces around": ('; boundary = "B"', "zzz"),
    "space before": ("; boundary =B", "zzz"),
    "folded": ('; boundary="B\r\n B"', "B"),
    "no semicolon behind the type": (' boundary="B"', "zzz"),
    "something behind the type": (' x; boundary="B"', "zzz"),
}


def _spelled(signed: Entity, name: str) -> bytes:
    boundary = signed.content_type.boundary.decode()
    written, other = (text.replace("B", boundary) for text in SPELLINGS[name])
    field = f'Content-Type: multipart/signed{written}; protocol="application/pkcs7-signature"'
    lie = b"--%b\r\n%b--%b--\r\n" % (other.encode(), LIE, other.encode())
    behind = (b"" if other == boundary else lie) + signed.body.whole()
    return f"{field}; micalg=sha-256\r\n\r\n".encode() + behind


@pytest.mark.parametrize("name", SPELLINGS)
def test_signature_under_a_delimiter_with_two_readings_does_not_pass(name: str) -> None:
    """Bob's signed mail behind Eve's text: Python's reader, for one, shows hers (I26)."""
    scene = Scene()
    signed = sign(Entity.parse(TRUTH), scene.bob)
    outer = Entity.parse(message(BOB, ALICE)).header.without(
        lambda entry: entry.lower_name == "mime-version"
    )
    content = outer.raw + b"MIME-Version: 1.0\r\n" + _spelled(signed, name)
    assert scene.company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    (status,) = fields(scene.company.arrived[-1], "x-smimegw-status")
    assert not status.startswith("signed=pass")


def test_the_device_measures() -> None:
    """Python's reader does see Eve's text where the spelling deceives it."""
    scene = Scene()
    signed = sign(Entity.parse(TRUTH), scene.bob)
    shown = email.message_from_bytes(_spelled(signed, "comment before")).as_bytes()
    parts = [part.get_payload() for part in email.message_from_bytes(shown).walk()]
    assert any(str(part).startswith("Pay 900") for part in parts)


@pytest.mark.parametrize("name", SPELLINGS)
def test_parts_under_a_delimiter_with_two_readings_are_an_attachment(name: str) -> None:
    """Text for one reader is markup for the other (T-04, J03)."""
    written, other = (text.replace("B", "bb") for text in SPELLINGS[name])
    armed = b"Content-Type: text/html\r\n\r\n<img src=http://evil.example/s>\r\n"
    body = b"--bb\r\n\r\ntext\r\n--%b\r\n%b--%b--\r\n--bb--\r\n" % (
        other.encode(),
        armed,
        other.encode(),
    )
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed" + written.encode()
    result = disarm(Entity.parse(head + b"\r\n\r\n" + body))
    assert references(result.raw) == []


@pytest.mark.parametrize(
    "written",
    [
        '; boundary="B"',
        "; boundary=B",
        ';boundary="B";',
        ";\r\n\tBoundary=B",
        '; boundary="B" ; x=y',
        '; boundary="MCBoundary=_12 (3) B"',
    ],
)
def test_delimiter_as_programs_write_it_passes(written: str) -> None:
    """The other side: quotes or none, other parameters, brackets and spaces inside quotes."""
    scene = Scene()
    signed = sign(Entity.parse(TRUTH), scene.bob)
    boundary = signed.content_type.boundary
    parameter = written.encode().replace(b"B", boundary).replace(b"MC" + boundary, b"MCB")
    parameter = parameter.replace(boundary + b"oundary", b"Boundary")
    raw = re.sub(rb';\s*boundary="[^"]*"', lambda _: parameter, signed.raw, count=1)
    if b"MCBoundary" in written.encode():
        inner = parameter.partition(b'"')[2].rstrip(b'"')
        raw = raw.replace(b"--" + boundary, b"--" + inner)
    arrived = scene.receive(Entity.parse(raw))
    assert fields(arrived, "x-smimegw-status")[0].startswith("signed=pass")
