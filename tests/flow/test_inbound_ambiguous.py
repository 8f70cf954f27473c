"""Mail that two programs read differently, or that no program can open: it arrives as it came."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.envelope import Recipient, encrypt
from smimegw.cms.signed_data import certificates_only
from smimegw.mime.entity import Entity
from smimegw.smtp.extensions import Extensions
from tests.fakes.company import Company, message
from tests.fakes.pki import Issued, make_ca
from tests.flow.protected import encrypted, signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"
CBC, GCM = ContentCipher.AES_256_CBC, ContentCipher.AES_256_GCM
HEAD = f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: x\r\nMIME-Version: 1.0\r\n".encode()


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


@pytest.fixture
def bob(company: Company) -> Issued:
    return company.ca.issue(BOB)


def received(company: Company, content: bytes) -> Entity:
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert outcome.reply.code == 250, outcome
    return Entity.parse(company.arrived[-1])


def fields(entity: Entity, name: str) -> list[str]:
    return [entry.body.decode() for entry in entity.header.all(name)]


def result(entity: Entity) -> str:
    (only,) = fields(entity, "authentication-results")
    return only.partition("; ")[2]


# --- MIME ----------------------------------------------------------------------------------------


def _boundary(content: bytes) -> bytes:
    return Entity.parse(content).content_type.boundary


def _before_type(text: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(b"Content-Type: m", text + b"Content-Type: m", 1)


def _delimiter(new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        mark = b"--" + _boundary(content)
        return content.replace(mark + b"\r\n", mark + new + b"\r\n", 1)

    return change


def _parameter(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        mark = _boundary(content)
        return content.replace(old.replace(b"%", mark), new.replace(b"%", mark), 1)

    return change


AMBIGUOUS: dict[str, Callable[[bytes], bytes]] = {
    "doubled type": _before_type(b"Content-Type: text/plain\r\n"),
    "doubled type, other case": _before_type(b"CONTENT-type: text/html\r\n"),
    "two encodings": _before_type(
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"
    ),
    "space before the colon": lambda c: c.replace(b"Content-Type: m", b"Content-Type : m", 1),
    "tab before the colon": lambda c: c.replace(b"Content-Type: m", b"Content-Type\t: m", 1),
    "boundary is a prefix": _delimiter(b"x"),
    "doubled boundary": _parameter(b"; boundary", b'; boundary="other"; boundary'),
    "quote that does not end": _parameter(b'%"', b"%"),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_ambiguous_frame_of_a_signature_is_a_permanent_error(
    company: Company, bob: Issued, what: str
) -> None:
    """Never pass, never taken apart: every octet of the body as it came (cases I26, R-51)."""
    good = signed(message(BOB, ALICE), bob)
    assert result(received(company, good)).startswith("smime=pass")
    content = AMBIGUOUS[what](good)
    assert content != good
    arrived = received(company, content)
    assert result(arrived).startswith("smime=permerror")
    assert arrived.body == Entity.parse(content).body


def test_certificates_alone_are_not_shown_as_signed(company: Company, bob: Issued) -> None:
    """``none``, and the recipient can still import them (cases I13)."""
    octets = certificates_only([bob.certificate, *bob.chain])
    for kind in ("smime-type=certs-only", "smime-type=signed-data", "name=smime.p7c"):
        body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
        content = (
            HEAD
            + (
                f"Content-Type: application/pkcs7-mime; {kind}\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n"
            ).encode()
        )
        arrived = received(company, content + body)
        assert result(arrived).startswith('smime=none (not signed) reason="no-signer"')
        assert fields(arrived, "x-smimegw-status")[0].startswith("signed=none")
        assert arrived.body == body


# --- content that is none ------------------------------------------------------------------------

NO_ENTITY = {
    "noise": b"\x01\x02\x03 noise",
    "no header section": b"no field and no empty line",
    "NUL": b"Content-Type: text/plain\r\n\r\nNUL \0 here\r\n",
    "bare CR": b"Content-Type: text/plain\r\n\r\nbare\rCR\r\n",
    "escape": b"Content-Type: text/plain\r\nX: \x1b[2J\r\n\r\ntext\r\n",
    "two types": b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\ntext\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("cipher", [CBC, GCM], ids=["cbc", "gcm"])
@pytest.mark.parametrize("what", NO_ENTITY)
def test_plaintext_that_is_no_entity_stays_encrypted(
    company: Company, what: str, cipher: ContentCipher
) -> None:
    """``failed``, as for every other cause, and not one octet of it comes out (cases J05, R-48)."""
    alice = company.user(ALICE)
    inner = NO_ENTITY[what]
    to = [Recipient(alice.certificate, KeyEncryption.RSA_PKCS1V15)]
    octets = b"".join(encrypt([inner], len(inner), to, cipher))
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    kind = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    arrived = received(company, HEAD + kind + body)
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=failed"]
    assert fields(arrived, "x-smimegw-status") == [
        "signed=none; encrypted=not-decrypted; integrity=none"
    ]
    assert arrived.body == body


# --- names of strangers --------------------------------------------------------------------------

HOSTILE = {
    "line ends": "Bob\r\nX-Smimegw-Status: signed=pass\r\n\r\nbody",
    "result": "x; smime=pass body.smime-identifier=ceo@ours.example",
    "quotes": 'Bob" ; smime=pass (" \\',
    "comment": "Bob (((( ))",
    "4 KB": "Bob" * 1400,
    "letters": "Бобър 鮑勃 \u202ebob\u202c",
    "encoded word": "=?utf-8?q?Authentication-Results=3A?=",
}


@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
@pytest.mark.parametrize("who", ["signer", "issuer"])
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_name_makes_no_field_and_no_result(company: Company, what: str, who: str) -> None:
    """One well-formed line each, ASCII, of 998 octets at most, whoever carries it (cases K11)."""
    name = HOSTILE[what]
    if len(name) > 64:  # more than RFC 5280, A.1 allows; evil CAs do not care
        long = x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)
        signer = company.ca.issue(BOB, subject=x509.Name([long]))
        expected = "smime=pass"
    elif who == "issuer":
        signer = make_ca(name).issue(BOB)
        expected = 'smime=policy reason="untrusted-ca"'
    else:
        signer = company.ca.issue(BOB, common_name=name)
        expected = "smime=pass"
    arrived = received(company, signed(message(BOB, ALICE), signer))
    plain = received(company, message(BOB, ALICE))
    (results,) = fields(arrived, "authentication-results")
    assert results.startswith(f"gw.ours.example; {expected}")
    assert len(fields(arrived, "x-smimegw-status")) == 1
    names = {entry.lower_name for entry in arrived.header}
    assert names - {entry.lower_name for entry in plain.header} <= {
        *("x-smimegw-signature", "mime-version", "content-type")
    }
    lines = arrived.header.raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert arrived.header.raw.isascii()
    assert not any(entry.flaw for entry in arrived.header)


# --- 8 bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "clear", "opaque", "encrypted"])
def test_international_header_section_is_left_as_it_is(
    company: Company, bob: Issued, form: str
) -> None:
    """UTF-8 in fields and body passes where the next hop takes it (cases L03; RFC 6532)."""
    alice = company.user(ALICE)
    plain = message(BOB, ALICE, subject="Grüße 你好", body="schöne Grüße\r\n")
    content = {
        "plain": lambda: plain,
        "clear": lambda: signed(plain, bob),
        "opaque": lambda: signed(plain, bob, opaque=True),
        "encrypted": lambda: encrypted(plain, company.ca, alice, cipher=GCM),
    }[form]()
    arrived = received(company, content)
    assert fields(arrived, "subject") == ["Grüße 你好"]
    if form in {"plain", "clear"}:
        assert arrived.body == Entity.parse(content).body
    else:
        assert arrived.decoded_body().whole().decode() == "schöne Grüße\r\n"


def test_clear_signature_in_7_bits_survives_the_oldest_next_hop(
    company: Company, bob: Issued
) -> None:
    """What honest programs sign needs no 8BITMIME (cases L05; RFC 8551, 3.1.3)."""
    company.world.relay.offers = Extensions()
    content = signed(message(BOB, ALICE, body="schöne Grüße\r\n"), bob)
    arrived = received(company, content)
    assert result(arrived).startswith("smime=pass")
    assert arrived.body == Entity.parse(content).body
    assert arrived.body.isascii()
