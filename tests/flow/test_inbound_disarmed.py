"""What the gateway delivers of content that nobody vouches for, and says of it (cases J03)."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.mime.entity import Entity
from tests.attacks.remote import references
from tests.fakes.company import Company, message
from tests.fakes.pki import make_ca
from tests.flow.protected import encrypted, signed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
IMAGE = '<p>Dear Alice</p><img src="http://tracker.example/1.png">'


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def _html(body: str = IMAGE) -> bytes:
    return message(BOB, ALICE, extra="Content-Type: text/html; charset=utf-8\r\n", body=body)


def _received(company: Company, content: bytes, cipher: ContentCipher | None = None) -> bytes:
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    sealed = encrypted(content, company.ca, alice, cipher=cipher)
    assert company.send("mx", [ALICE], sealed, reverse_path=BOB).reply.code == 250
    return company.arrived[-1]


def _field(content: bytes, name: str) -> str:
    (entry,) = Entity.parse(content).header.all(name)
    return entry.body.decode()


def test_unsigned_html_under_cbc_loads_nothing(company: Company) -> None:
    """No valid inner signature: marked, and its remote references are gone (cases J03, T-04)."""
    arrived = _received(company, _html())
    assert references(arrived) == []
    assert b"Dear Alice" in Entity.parse(arrived).decoded_body()
    encryption = _field(arrived, "x-smimegw-encryption")
    assert "integrity=none" in encryption
    assert encryption.endswith("references=disarmed")
    assert _field(arrived, "x-smimegw-status").endswith("integrity=none")


def test_valid_signature_inside_leaves_every_octet(company: Company) -> None:
    """Inner signature valid: delivered unchanged (cases J03)."""
    inner = signed(_html(), company.ca.issue(BOB))
    arrived = _received(company, inner)
    assert Entity.parse(arrived).body == Entity.parse(inner).body
    assert "references" not in _field(arrived, "x-smimegw-encryption")
    assert _field(arrived, "x-smimegw-status").endswith("integrity=signed")


def test_authenticated_cipher_leaves_every_octet(company: Company) -> None:
    """Under GCM nobody put anything in (cases J03; RFC 5083)."""
    arrived = _received(company, _html(), ContentCipher.AES_256_GCM)
    assert IMAGE.encode() in arrived
    assert "references" not in _field(arrived, "x-smimegw-encryption")


@pytest.mark.parametrize("opaque", [False, True], ids=["clear", "opaque"])
def test_signature_inside_that_does_not_pass_does_not_vouch(company: Company, opaque: bool) -> None:
    """Whoever signed, it was nobody we trust: as if unsigned, and the result says why (J03)."""
    stranger = make_ca("Stranger CA").issue(BOB)
    arrived = _received(company, signed(_html(), stranger, opaque=opaque))
    assert references(arrived) == []
    assert "smime=policy" in _field(arrived, "authentication-results")


def test_invalid_signature_inside_fails_and_is_disarmed(company: Company) -> None:
    """Inner signature invalid: also ``fail`` (cases J03)."""
    inner = signed(_html(), company.ca.issue(BOB)).replace(b"Dear", b"Bear")
    arrived = _received(company, inner)
    assert references(arrived) == []
    assert "smime=fail" in _field(arrived, "authentication-results")


def test_invalid_opaque_signature_inside_is_an_attachment(company: Company) -> None:
    """Nobody knows what the content was, and no mail program shall show it (cases J03)."""
    inner = signed(_html(), company.ca.issue("eve@evil.example"), opaque=True)
    arrived = _received(company, inner)
    assert references(arrived) == []
    assert b"application/pkcs7-mime" not in arrived
    assert b'filename="smime.p7m.bin"' in arrived


def test_signature_around_the_ciphertext_does_not_vouch(company: Company) -> None:
    """Eve can sign what she changed without knowing what is in it (cases J03)."""
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    content = signed(encrypted(_html(), company.ca, alice), company.ca.issue(BOB))
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    assert references(company.arrived[-1]) == []
    assert "smime=pass" in _field(company.arrived[-1], "authentication-results")


def test_plain_text_under_cbc_stays_as_it_is(company: Company) -> None:
    """Nothing to take away, so nothing is said to be (cases J03)."""
    arrived = _received(company, message(BOB, ALICE, body="see http://partner.example/\r\n"))
    assert Entity.parse(arrived).body == b"see http://partner.example/\r\n"
    assert "references" not in _field(arrived, "x-smimegw-encryption")


def test_original_beside_the_disarmed_content_is_ciphertext() -> None:
    """keep_original keeps what arrived, not what was opened (cases J03, K13)."""
    company = Company(keep_original=True)
    company.user(ALICE)
    stranger = make_ca("Stranger CA").issue(BOB)
    arrived = _received(company, signed(_html(), stranger, opaque=True))
    assert b"tracker.example" not in arrived
    assert b'filename="original.eml"' in arrived


def test_decision_record_and_log_say_so(company: Company) -> None:
    """The administrator can find out why a mail looks plain (cases J03)."""
    _received(company, _html())
    (event,) = [e for e in company.world.events.emitted if e[0] == "message.opened"]
    assert event[1]["references"] == "disarmed"
