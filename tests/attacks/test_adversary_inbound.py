"""Odd inbound S/MIME: what is said of it is true, and whatever comes out can be delivered."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from smimegw.mime.entity import Entity
from smimegw.smtp.extensions import Extensions
from tests.fakes.company import Company
from tests.fakes.pki import Issued
from tests.interop.openssl import Files, openssl

ALICE, BOB = "alice@ours.example", "bob@partner.example"
HEAD = b"From: bob@partner.example\r\nTo: alice@ours.example\r\nSubject: s\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\nworld\r\n"


class Peer:
    """Bob, who writes to Alice with openssl."""

    def __init__(self, company: Company, directory: Path) -> None:
        self.alice: Issued = company.user(ALICE)
        self.bob: Issued = company.ca.issue(BOB)
        self._to = Files.of(self.alice, directory, "alice")
        self._own = Files.of(self.bob, directory, "bob")

    def signed(self, content: bytes, *options: str) -> bytes:
        """SignedData with *content* inside, octet for octet."""
        return openssl("cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-signer",
                       self._own.certificate, "-inkey", self._own.key, *options,
                       stdin=content)  # fmt: skip

    def clear_signed(self, content: bytes) -> bytes:
        """A multipart/signed entity with its Content-Type field."""
        signature = openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer",
                            self._own.certificate, "-inkey", self._own.key,
                            stdin=content)  # fmt: skip
        return (
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; '
            b"micalg=sha-256; boundary=B\r\n\r\n--B\r\n"
            + content
            + b"\r\n--B\r\nContent-Type: application/pkcs7-signature\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + lines(signature) + b"--B--\r\n"
        )

    def encrypted(self, content: bytes, cipher: str = "-aes256") -> bytes:
        """EnvelopedData or AuthEnvelopedData for Alice."""
        return openssl("cms", "-encrypt", "-binary", "-outform", "DER", cipher,
                       self._to.certificate, stdin=content)  # fmt: skip


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture
def peer(company: Company, tmp_path: Path) -> Peer:
    return Peer(company, tmp_path)


def lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def p7m(cms: bytes) -> bytes:
    """The entity around *cms*."""
    return (
        b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + lines(cms)
    )


def binary_p7m(cms: bytes) -> bytes:
    """The same as some programs nest it."""
    return (
        b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n" + cms
    )


def receive(company: Company, content: bytes) -> Entity:
    outcome = company.send("mx", (ALICE,), content, reverse_path=BOB)
    assert outcome.reply.code == 250, outcome.reply
    return Entity.parse(company.arrived[-1])


def status(entity: Entity) -> str:
    (field,) = entity.header.all("x-smimegw-status")
    return field.body.decode()


def test_lf_only_content_of_an_opaque_signature_is_delivered(company: Company, peer: Peer) -> None:
    """Tools on Unix sign LF lines; there is one way only to read them (A12)."""
    arrived = receive(company, HEAD + p7m(peer.signed(TEXT.replace(b"\r\n", b"\n"))))
    assert status(arrived).startswith("signed=pass")
    assert arrived.body == b"hello\r\nworld\r\n"


@pytest.mark.parametrize(
    "octets", [b"a\nb\r\n", b"\r\n\n.\nMAIL FROM:<x@y.z>\n", b"\0\r\n", b"a\rb"]
)
def test_signed_content_that_mail_cannot_carry_stays_wrapped(
    octets: bytes, company: Company, peer: Peer
) -> None:
    """Deferring it for ever would lose it; the recipient's program can open it (A12)."""
    entity = p7m(peer.signed(TEXT + octets))
    arrived = receive(company, HEAD + entity)
    assert arrived.body == Entity.parse(entity).body


def test_binary_signed_data_inside_encryption_is_read(company: Company, peer: Peer) -> None:
    """RFC 8551, 3.1.3: inside encryption nothing needs base64."""
    content = p7m(peer.encrypted(binary_p7m(peer.signed(TEXT))))
    arrived = receive(company, HEAD + content)
    assert status(arrived) == "signed=pass; encrypted=yes; integrity=signed"
    assert arrived.body == b"hello\r\nworld\r\n"


def test_binary_encryption_inside_a_signature_is_read(company: Company, peer: Peer) -> None:
    """Triple wrapping without base64 (RFC 2634, 1.1)."""
    inner = binary_p7m(peer.encrypted(binary_p7m(peer.signed(TEXT))))
    arrived = receive(company, HEAD + p7m(peer.signed(inner)))
    assert status(arrived) == "signed=pass; encrypted=yes; integrity=signed"
    assert arrived.body == b"hello\r\nworld\r\n"


def test_binary_attachment_under_an_authenticated_cipher_is_delivered(
    company: Company, peer: Peer
) -> None:
    """Nobody tampered with it; it gets a transfer encoding that mail can carry."""
    picture = b"Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\1\n\xff"
    arrived = receive(company, HEAD + p7m(peer.encrypted(picture, "-aes-256-gcm")))
    assert arrived.decoded_body() == b"\0\r\1\n\xff"


def test_noise_in_the_place_of_nested_cms_stays_closed(company: Company, peer: Peer) -> None:
    """Binary is no way past the look at what CBC decrypts to (J05)."""
    arrived = receive(company, HEAD + p7m(peer.encrypted(binary_p7m(b"\x17noise\x01"))))
    (field,) = arrived.header.all("x-smimegw-encrypted")
    assert field.body == b"not-decrypted; reason=failed"


@pytest.mark.parametrize(
    "line",
    [
        b"this is junk\r\n",
        b" From: boss@ours.example\r\n",
        b"From\r\n : boss@ours.example\r\n",
        b"X: y\r\n \r\n",
        b"X: y\r\n\t\r\nZ: z\r\n",
    ],
)
def test_signature_under_a_doubtful_header_section_does_not_pass(
    line: bytes, company: Company, peer: Peer
) -> None:
    """Where a reader ends the header section early he sees other content (I26, R-51)."""
    arrived = receive(company, line + HEAD + peer.clear_signed(TEXT))
    assert status(arrived).startswith("signed=permerror")


def test_envelope_line_of_a_mailbox_file_does_not_hide_the_signature(
    company: Company, peer: Peer
) -> None:
    """RFC 4155: it is dropped before anything is read."""
    line = b"From bob Mon Nov 23 12:00:00 2026\r\n"
    arrived = receive(company, line + HEAD + peer.clear_signed(TEXT))
    assert status(arrived).startswith("signed=pass")
    assert all(entry.name for entry in arrived.header)


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-gzip", b""])
def test_multipart_signed_with_a_transfer_encoding_does_not_pass(
    encoding: bytes, company: Company, peer: Peer
) -> None:
    """Who decodes it sees something else than who does not (RFC 2045, 6.4; R-51)."""
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    arrived = receive(company, HEAD + field + peer.clear_signed(TEXT))
    assert status(arrived).startswith("signed=permerror")


@pytest.mark.parametrize(
    "parameter", [b'boundary*0="B"', b"boundary*=us-ascii''B", b'boundary*0=""; boundary*1="B"']
)
def test_boundary_in_the_form_of_rfc_2231_does_not_pass(
    parameter: bytes, company: Company, peer: Peer
) -> None:
    """Readers without RFC 2231 see no parts at all, but what stands before them (I26)."""
    content = peer.clear_signed(TEXT).replace(b"boundary=B", parameter)
    arrived = receive(company, HEAD + content)
    assert status(arrived).startswith("signed=permerror")


@pytest.mark.parametrize("cipher", ["-des3", "-camellia128"])
def test_unknown_cipher_is_told_as_encrypted(cipher: str, company: Company, peer: Peer) -> None:
    """It is not malformed, and it is not clear either (R-48)."""
    content = p7m(peer.encrypted(TEXT, cipher))
    arrived = receive(company, HEAD + content)
    assert status(arrived) == "signed=none; encrypted=not-decrypted; integrity=none"
    assert arrived.body == Entity.parse(content).body


@pytest.mark.parametrize("inside_encryption", [False, True])
def test_footer_of_a_mailing_list_leaves_a_partial_signature(
    inside_encryption: bool, company: Company, peer: Peer
) -> None:
    """What the list added is not signed: neither pass nor none (I09)."""
    framed = (
        b"Content-Type: multipart/mixed; boundary=L\r\n\r\n--L\r\n"
        + peer.clear_signed(TEXT)
        + b"\r\n--L\r\nContent-Type: text/plain\r\n\r\nlist footer\r\n--L--\r\n"
    )
    arrived = receive(
        company, HEAD + (p7m(peer.encrypted(framed)) if inside_encryption else framed)
    )
    (results,) = arrived.header.all("authentication-results")
    assert b'smime=neutral reason="partial"' in results.body


def test_forwarded_signed_message_is_content(company: Company, peer: Peer) -> None:
    """A message inside says nothing about the one around it (L07)."""
    framed = (
        b"Content-Type: multipart/mixed; boundary=L\r\n\r\n--L\r\n"
        b"Content-Type: message/rfc822\r\n\r\n" + HEAD + peer.clear_signed(TEXT) + b"\r\n--L--\r\n"
    )
    assert status(receive(company, HEAD + framed)).startswith("signed=none")


EIGHT_BIT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4\r\n"


@pytest.mark.parametrize("form", ["encrypted", "opaque"])
def test_eight_bit_text_from_inside_is_encoded_for_a_seven_bit_next_hop(
    form: str, company: Company, peer: Peer
) -> None:
    """What nobody signed any more may be re-encoded (L05)."""
    company.world.relay.offers = Extensions()
    cms = peer.encrypted(EIGHT_BIT) if form == "encrypted" else peer.signed(EIGHT_BIT)
    arrived = receive(company, HEAD + p7m(cms))
    assert arrived.raw.isascii()
    assert arrived.decoded_body() == b"\xc3\xa4\r\n"


def test_signed_eight_bit_text_from_inside_is_refused_by_a_seven_bit_next_hop(
    company: Company, peer: Peer
) -> None:
    """Encoding would break the inner signature (L05)."""
    company.world.relay.offers = Extensions()
    content = HEAD + p7m(peer.signed(peer.clear_signed(EIGHT_BIT)))
    outcome = company.send("mx", (ALICE,), content, reverse_path=BOB)
    assert (outcome.reply.code, outcome.reply.enhanced) == (554, "5.6.3")
    assert not company.arrived


def test_ciphertext_that_a_seven_bit_next_hop_cannot_take_opened_stays_closed(
    company: Company, peer: Peer
) -> None:
    """A refusal would tell the sender that it could be opened (L05, J11)."""
    company.world.relay.offers = Extensions()
    arrived = receive(company, HEAD + p7m(peer.encrypted(peer.clear_signed(EIGHT_BIT))))
    (status,) = arrived.header.all("x-smimegw-encrypted")
    assert status.body == b"not-decrypted; reason=8bit"
    assert arrived.content_type.media_type == "application/pkcs7-mime"
