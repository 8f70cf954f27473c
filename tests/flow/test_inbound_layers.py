"""Layers in every order, wrappers between them, and messages inside that are nobody's layer."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from tests.fakes.company import Company, message
from tests.fakes.pki import Issued
from tests.flow.protected import encrypted, protected, signed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"
CAROL = "carol@third.example"
TEXT = "the price is 100 EUR\r\n"


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture
def alice(company: Company) -> Issued:
    return company.user(ALICE)


@pytest.fixture
def bob(company: Company) -> Issued:
    return company.ca.issue(BOB)


def _plain(author: str = BOB) -> bytes:
    return message(author, ALICE, body=TEXT)


def _wrapped(content: bytes, kind: str = "message/rfc822", author: str = BOB) -> bytes:
    """*content* as a part of its own: the whole message goes inside."""
    extra = f"Content-Type: {kind}\r\n"
    return message(author, ALICE, subject="...", extra=extra, body=content.decode())


def _received(company: Company, content: bytes) -> Entity:
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    return Entity.parse(company.arrived[-1])


def _fields(entity: Entity, name: str) -> list[str]:
    return [entry.body.decode() for entry in entity.header.all(name)]


@pytest.mark.parametrize("opaque", [False, True], ids=["clear", "opaque"])
def test_triple_wrap_is_opened(company: Company, alice: Issued, bob: Issued, opaque: bool) -> None:
    """Signed, encrypted, signed: all three are judged (RFC 2634, 1.1; cases I15)."""
    inner = signed(_plain(), bob, opaque=opaque)
    content = signed(encrypted(inner, company.ca, alice), bob, opaque=opaque)
    arrived = _received(company, content)
    assert TEXT.encode() in arrived.body
    assert [text[:20] for text in _fields(arrived, "x-smimegw-signature")] == [
        "layer=0; result=pass",
        "layer=2; result=pass",
    ]
    assert _fields(arrived, "x-smimegw-status") == ["signed=pass; encrypted=yes; integrity=signed"]


def test_triple_wrap_by_two_signers_is_only_as_good_as_the_worse(
    company: Company, alice: Issued, bob: Issued
) -> None:
    """The outer signature is Carol's, under Bob's name (RFC 2634, 1.1; cases I07)."""
    carol = company.ca.issue(CAROL)
    content = signed(encrypted(signed(_plain(), bob), company.ca, alice), carol)
    arrived = _received(company, content)
    assert "smime=fail" in _fields(arrived, "authentication-results")[0]
    assert TEXT.encode() not in arrived.body


@pytest.mark.parametrize("parameters", ["", "; forwarded=no"])
@pytest.mark.parametrize("form", ["clear", "opaque", "encrypted", "both"])
def test_wrapper_inside_a_layer_is_taken_off(
    company: Company, alice: Issued, bob: Issued, form: str, parameters: str
) -> None:
    """RFC 8551, 3.1: the whole message was protected, header section and all."""
    content = _wrapped(_plain(), "message/rfc822" + parameters)
    if form != "encrypted":
        content = signed(content, bob, opaque=form == "opaque")
    if form in {"encrypted", "both"}:
        content = encrypted(content, company.ca, alice)
    arrived = _received(company, content)
    assert TEXT.encode() in arrived.body
    if form in {"opaque", "encrypted"}:  # clear-signed content keeps its octets
        assert arrived.body == TEXT.encode()
    expected = "smime=none" if form == "encrypted" else "smime=pass"
    assert expected in _fields(arrived, "authentication-results")[0]


def test_layer_inside_a_wrapper_is_opened(company: Company, alice: Issued, bob: Issued) -> None:
    """Signature, wrapper, encryption, wrapper, signature (RFC 8551, 3.1 and 3.7)."""
    inner = _wrapped(encrypted(_wrapped(signed(_plain(), bob)), company.ca, alice))
    arrived = _received(company, signed(inner, bob))
    assert TEXT.encode() in arrived.body
    assert [text[:20] for text in _fields(arrived, "x-smimegw-signature")] == [
        "layer=0; result=pass",
        "layer=4; result=pass",
    ]


def test_wrapper_counts_as_a_layer(bob: Issued, company: Company) -> None:
    """Many wrappers are many layers (R-50; T-09)."""
    content = _plain()
    for _ in range(4):
        content = _wrapped(content)
    limited = Company(limits=Limits(layers=3))
    signer = limited.ca.issue(BOB)
    arrived = _received(limited, signed(content, signer, opaque=True))
    assert arrived.body.whole().count(b"Content-Type: message/rfc822") == 1  # the third is the root
    assert "smime=pass" in _fields(arrived, "authentication-results")[0]


def test_subject_inside_a_vouched_wrapper_comes_back(
    company: Company, alice: Issued, bob: Issued
) -> None:
    """It was why the wrapper was there (RFC 8551, 3.1); unvouched it stays hidden (cases K09)."""
    sealed = encrypted(signed(_wrapped(_plain()), bob, opaque=True), company.ca, alice)
    assert _fields(_received(company, sealed), "subject") == ["hello"]
    unsigned = encrypted(_wrapped(_plain()), company.ca, alice)
    assert _fields(_received(company, unsigned), "subject") == ["..."]


@pytest.mark.parametrize(
    ("kind", "author"),
    [
        ("message/rfc822", CAROL),
        ("message/rfc822; forwarded=yes", BOB),
        ("message/rfc822\r\nContent-Disposition: attachment", BOB),
        ("message/rfc822\r\nContent-Transfer-Encoding: base64", BOB),
    ],
    ids=["of somebody else", "forwarded", "attached", "encoded"],
)
def test_forwarded_message_inside_a_layer_is_content(
    company: Company, alice: Issued, bob: Issued, kind: str, author: str
) -> None:
    """It stays a part of its own, and what is encrypted in it stays closed (cases L07, J01)."""
    forwarded = encrypted(_plain(author), company.ca, alice)
    arrived = _received(company, signed(_wrapped(forwarded, kind), bob, opaque=True))
    assert arrived.content_type.media_type == "message/rfc822"
    assert arrived.body == forwarded
    assert "smime=pass" in _fields(arrived, "authentication-results")[0]


@pytest.mark.parametrize("form", ["signed", "opaque", "encrypted"])
@pytest.mark.parametrize("kind", ["message/rfc822", "message/rfc822; forwarded=no"])
def test_message_at_the_root_with_smime_inside_is_untouched(
    company: Company, alice: Issued, bob: Issued, form: str, kind: str
) -> None:
    """No layer is around it: it is what somebody forwarded (cases L07)."""
    inner = (
        encrypted(_plain(), company.ca, alice)
        if form == "encrypted"
        else signed(_plain(), bob, opaque=form == "opaque")
    )
    arrived = _received(company, _wrapped(inner, kind))
    assert arrived.body == inner
    assert arrived.content_type.media_type == "message/rfc822"
    assert _fields(arrived, "x-smimegw-status") == ["signed=none; encrypted=no; integrity=none"]


def test_wrapper_of_another_author_does_not_pass(company: Company, bob: Issued) -> None:
    """The outer From is what signatures are compared with, always (T-08)."""
    content = _wrapped(signed(_plain(CAROL), company.ca.issue(CAROL)), author=BOB)
    arrived = _received(company, signed(content, bob, opaque=True))
    results = _fields(arrived, "x-smimegw-signature")
    assert len(results) == 1
    assert "signer=bob@partner.example" in results[0]


@pytest.mark.parametrize(
    "kind",
    [
        "application/octet-stream; name=smime.p7m",
        "application/octet-stream\r\nContent-Disposition: attachment; filename=SMIME.P7M",
        "APPLICATION/X-PKCS7-MIME; SMIME-TYPE=SIGNED-DATA; NAME=smime.p7m",
        "application/x-pkcs7-mime",
        "application/pkcs7-mime; smime-type=certs-only",
    ],
)
def test_spellings_of_an_encrypted_message(company: Company, alice: Issued, kind: str) -> None:
    """Exchange and old programs; the CMS says what it is (RFC 8551, 3.9; cases I28)."""
    content = encrypted(_plain(), company.ca, alice)

    def respelled(entity: Entity) -> Entity:
        head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        return Entity.parse(head.encode() + entity.body.whole())

    assert _received(company, protected(content, respelled)).body == TEXT.encode()


@pytest.mark.parametrize("kind", ["application/ms-tnef", "application/octet-stream"])
def test_winmail_dat_arrives_as_it_was_sent(company: Company, alice: Issued, kind: str) -> None:
    """Ciphertext in it is not opened, a signature not judged (cases J07)."""
    sealed = Entity.parse(encrypted(_plain(), company.ca, alice)).body.whole().decode()
    extra = f"Content-Type: {kind}; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n"
    arrived = _received(company, message(BOB, ALICE, extra=extra, body=sealed))
    assert arrived.body == sealed.encode()
    assert _fields(arrived, "x-smimegw-status") == ["signed=none; encrypted=no; integrity=none"]


_ODD = {
    "empty attachment": b"--b\r\n\r\nx\r\n--b\r\nContent-Disposition: attachment\r\n\r\n\r\n--b--",
    "empty part": b"--b\r\n\r\ntext\r\n--b\r\n--b--\r\n",
    "headers only": b"--b\r\nContent-Type: text/plain\r\n--b--\r\n",
    "no end": b"--b\r\n\r\ntext\r\n--b\r\n\r\nmore\r\n",
    "no part": b"no boundary at all\r\n",
    "1,001 parts": b"--b\r\n\r\nx\r\n" * 1001 + b"--b--\r\n",
    "51 levels": b"".join(
        b"--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n" % (b"b" * n, b"b" * (n + 1))
        for n in range(1, 52)
    ),
    "names": b'--b\r\nContent-Type: a/b; name="'
    + b"x" * 2000
    + b'"\r\n\r\n--b\r\nContent-Type: a/b;'
    b" name*0*=utf-8''%2e%2e%2f; name*1=passwd\r\n\r\nx\r\n--b--\r\n",
}


@pytest.mark.parametrize("name", _ODD)
def test_odd_structure_arrives_unchanged(company: Company, name: str) -> None:
    """Without a layer nothing is taken apart (cases L09, L11, L13)."""
    content = message(BOB, ALICE, extra="Content-Type: multipart/mixed; boundary=b\r\n")
    content += _ODD[name] + b"\r\n"
    assert _received(company, content).body == Entity.parse(content).body


def test_signed_message_with_too_many_parts_is_left_alone(company: Company, bob: Issued) -> None:
    """``reason=limits`` and the original (R-50, cases L11)."""
    content = signed(_plain(), bob)
    entity = Entity.parse(content)
    mark = b"--" + entity.content_type.boundary + b"\r\n"
    content = content.replace(mark, mark + (b"\r\nx\r\n" + mark) * 1001, 1)
    arrived = _received(company, content)
    assert arrived.body == Entity.parse(content).body
    assert 'smime=permerror reason="limits"' in _fields(arrived, "authentication-results")[0]


def test_deep_structure_inside_an_authenticated_layer_is_unchanged(
    company: Company, alice: Issued
) -> None:
    """What the cipher vouches for is not looked into (cases L11)."""

    content = message(BOB, ALICE, extra="Content-Type: multipart/mixed; boundary=b\r\n")
    content += _ODD["51 levels"]
    sealed = encrypted(content, company.ca, alice, cipher=ContentCipher.AES_256_GCM)
    assert _received(company, sealed).body == Entity.parse(content).body
