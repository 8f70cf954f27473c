"""Lines that no server need take (RFC 5321, 4.5.3.1.6): what was opened is delivered without."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.mime.entity import Entity
from tests.attacks.test_header_protection import CBC, GCM, Scene, fields, sign

LONG = b"x y " * 2000
HTML = b"Content-Type: text/html; charset=utf-8\r\n"


def _longest(content: bytes) -> int:
    return max(map(len, content.split(b"\r\n")))


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("cipher", [CBC, GCM])
@pytest.mark.parametrize("encoding", [b"7bit", b"8bit", b"binary"])
@pytest.mark.parametrize("kind", [b"text/plain", b"text/html", b"image/png"])
def test_long_lines_of_what_was_opened_are_encoded(
    scene: Scene, kind: bytes, encoding: bytes, cipher: ContentCipher
) -> None:
    """Inside any length is allowed (RFC 8551, 3.1.3); outside Exim refuses, others break them."""
    inner = b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n"
    arrived = scene.receive(scene.encrypt(Entity.parse(inner % (kind, encoding, LONG)), cipher))
    assert _longest(arrived) <= 998
    assert LONG.strip() in Entity.parse(arrived).decoded_body()


def test_long_line_of_a_part_is_encoded(scene: Scene) -> None:
    """And its neighbours keep their octets."""
    parts = b"--b\r\n\r\nshort\r\n--b\r\n" + HTML + b"\r\n<p>" + LONG + b"</p>\r\n--b--\r\n"
    inner = Entity.parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts)
    arrived = scene.receive(scene.encrypt(inner))
    assert _longest(arrived) <= 998
    assert b"--b\r\n\r\nshort\r\n--b\r\n" in arrived


def test_long_line_under_a_signature_inside_stays_as_it_was_signed(scene: Scene) -> None:
    """Readable matters more than a server that may break a line: it was verified here (R-40)."""
    signed = sign(Entity.parse(b"Content-Type: text/plain\r\n\r\nmark\r\n"), scene.bob)
    frame = b"Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n" + signed.raw
    frame += b"\r\n--f\r\n\r\n" + LONG + b"\r\n--f--\r\n"
    arrived = scene.receive(scene.encrypt(Entity.parse(frame)))
    assert signed.body.whole() in arrived
    assert _longest(arrived) <= 998


SEALED = (
    b"Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n"
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=s\r\n\r\n'
    b"--s\r\n\r\n" + LONG + b"\r\n--s\r\nContent-Type: application/pgp-signature\r\n"
    b"Content-Disposition: attachment\r\n\r\nx\r\n"
    b"--s--\r\n--f--\r\n"
)


def test_long_line_that_nobody_vouches_for_and_nobody_may_encode_stays_closed(
    scene: Scene,
) -> None:
    """A next hop that refuses it would tell whether the padding was right (J11, T-07)."""
    arrived = scene.receive(scene.encrypt(Entity.parse(SEALED), CBC))
    assert _longest(arrived) <= 998
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=8bit"]


def test_the_same_under_an_authenticated_cipher_is_delivered(scene: Scene) -> None:
    """Its author wrote it so, and nobody changed it."""
    arrived = scene.receive(scene.encrypt(Entity.parse(SEALED), GCM))
    assert LONG.strip() in arrived


@pytest.mark.parametrize("name", [b"Content-Description", b"Content-Disposition"])
def test_long_field_of_what_was_opened_is_folded(scene: Scene, name: bytes) -> None:
    """Header lines as well; servers refuse or cut them."""
    value = b"attachment; filename=" + b"; x=y" * 300 if name.endswith(b"ition") else LONG[:3000]
    inner = Entity.parse(b"Content-Type: text/plain\r\n" + name + b": " + value + b"\r\n\r\nx\r\n")
    assert _longest(scene.receive(scene.encrypt(inner))) <= 998


def test_field_that_cannot_be_folded_keeps_unvouched_content_closed(scene: Scene) -> None:
    """One word of 3,000 letters, under CBC (J11)."""
    inner = Entity.parse(
        b"Content-Type: text/plain\r\nContent-Description: " + b"x" * 3000 + b"\r\n\r\nx\r\n"
    )
    arrived = scene.receive(scene.encrypt(inner, CBC))
    assert _longest(arrived) <= 998
