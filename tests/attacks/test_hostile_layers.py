"""Hostile and broken layers at the door: taken like any mail, left as they came, one word why."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import DigestAlgorithm, signature_scheme_for
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.sign import sign_detached
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.x509 import search
from tests.attacks.test_cms_bad_input import (
    _content_info,
    _crowd,
    _nested,
    _ours,
    _parts,
    _with_certificates,
    _with_recipient_infos,
)
from tests.fakes.company import Company, message
from tests.fakes.pki import NOW, Issued, make_ca
from tests.fakes.smime import assembled, signer
from tests.flow.protected import encrypted, protected

ALICE, BOB = "alice@ours.example", "bob@partner.example"
PART = (
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    + "one\r\n\r\ntext\r\ntwo  \r\nFrom here\r\n.dot\r\n\ttab ü\r\n".encode()
)
ACCUSING = ("attack", "tamper", "forged", "fraud", "malicious", "hack")


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


@pytest.fixture
def bob(company: Company) -> Issued:
    return company.ca.issue(BOB)


def in_place(content: bytes, entity: Entity) -> bytes:
    """*content* with another inner entity."""
    return protected(content, lambda _: entity)


def p7m(octets: bytes, kind: str = "application/pkcs7-mime; name=smime.p7m") -> Entity:
    """CMS in base64."""
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return Entity.parse(head.encode() + base64.encodebytes(octets).replace(b"\n", b"\r\n"))


def two_parts(part: bytes, signature: bytes, micalg: str = "sha-256") -> Entity:
    """multipart/signed of any octets and any signature."""
    head = (
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; '
        f"micalg={micalg}; boundary=b\r\n\r\n--b\r\n"
    )
    end = p7m(signature, "application/pkcs7-signature; name=smime.p7s").raw
    return Entity.parse(head.encode() + part + b"\r\n--b\r\n" + end + b"\r\n--b--\r\n")


def signature_over(part: bytes, issued: Issued) -> bytes:
    """As a program signs that encodes nothing."""
    state = hashes.Hash(hashes.SHA256())
    state.update(part)
    return sign_detached(
        state.finalize(),
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=signer(issued),
        scheme=signature_scheme_for(issued.certificate),
        signing_time=NOW,
        capabilities=None,
    )


def received(company: Company, content: bytes) -> Entity:
    outcome = company.send("mx", [ALICE], content, reverse_path=BOB)
    assert outcome.reply.code == 250, outcome
    return Entity.parse(company.arrived[-1])


def fields(entity: Entity, name: str) -> list[str]:
    return [entry.body.decode() for entry in entity.header.all(name)]


def result(entity: Entity) -> str:
    (only,) = fields(entity, "authentication-results")
    return only.partition("; ")[2]


def sealed(company: Company, alice: Issued) -> bytes:
    return encrypted(message(BOB, ALICE, body="geheim\r\n"), company.ca, alice)


def changed_envelope(content: bytes, infos: bytes) -> bytes:
    octets = Entity.parse(content).decoded_body()
    return in_place(content, p7m(_with_recipient_infos(octets, infos)))


# --- recipients ----------------------------------------------------------------------------------


def test_ours_behind_10000_recipients_is_told_as_a_limit(company: Company) -> None:
    """The scan stops at 2,000: ``reason=limits``, the ciphertext as it came (cases H01, R-50)."""
    alice = company.user(ALICE)
    content = sealed(company, alice)
    ours = _ours(Entity.parse(content).decoded_body())
    crowded = changed_envelope(content, b"".join((*_crowd(10_000), ours)))
    arrived = received(company, crowded)
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=limits"]
    assert arrived.body == Entity.parse(crowded).body
    (event,) = company.world.events.named("limit.hit")
    assert event["limit"] == "recipient_infos"


def test_ours_within_2000_recipients_is_opened_at_the_door(company: Company) -> None:
    """Being the last of those that are scanned is early enough (cases H01)."""
    alice = company.user(ALICE)
    content = sealed(company, alice)
    ours = _ours(Entity.parse(content).decoded_body())
    crowd = _crowd(DEFAULT_LIMITS.recipient_infos - 1)
    arrived = received(company, changed_envelope(content, b"".join((*crowd, ours))))
    assert arrived.body == b"geheim\r\n"


# --- certificates --------------------------------------------------------------------------------


def test_a_thousand_cross_signed_authorities_in_the_message_are_a_budget(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``policy``, after a hundred signature checks at most, whatever is carried (cases H03)."""
    checks: list[object] = []
    original = search._is_issued_by

    def counted(*arguments: object) -> bool:
        checks.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_is_issued_by", counted)
    circle = [make_ca(f"Circle {number}", slot="circle") for number in range(8)]
    crossed = b"".join(
        make_ca(f"Circle {below}", parent=circle[above], slot="circle").certificate.der
        for below in range(8)
        for above in range(8)
        if below != above
    )
    eve = circle[0].issue(BOB)
    crowded = _with_certificates(signature_over(PART, eve), eve.certificate.der + crossed * 18)
    arrived = received(company, in_place(message(BOB, ALICE), two_parts(PART, crowded)))
    assert result(arrived).startswith('smime=policy reason="limits"')
    assert 0 < len(checks) <= DEFAULT_LIMITS.path_signatures


# --- ASN.1 ---------------------------------------------------------------------------------------


def _first_field(octets: bytes) -> bytes:
    """A SignedData whose version is *octets*."""
    empty = der.set_of(())
    content = der.sequence(der.oid(DATA), der.explicit(0, der.octet_string(b"x")))
    return _content_info(SIGNED_DATA, octets, empty, content, empty)


MALFORMED = {
    "1 MB arc": (der.sequence(
        der.value(asn1.OBJECT_IDENTIFIER, b"\x2a" + b"\x81" * 1_000_000 + b"\1"),
        der.explicit(0, der.sequence()),
    ), "cms"),
    "1 MB integer": (_first_field(der.value(asn1.INTEGER, b"\x7f" * 1_000_000)), "cms"),
    "padded integer": (_first_field(der.value(asn1.INTEGER, b"\x00\x01")), "cms"),
    "33 levels": (_nested(33, indefinite=False), "limits"),
    "33 levels, indefinite": (_nested(33, indefinite=True), "limits"),
    "5,000 levels": (_nested(5000, indefinite=False), "limits"),
    "5,000 levels, indefinite": (_nested(5000, indefinite=True), "limits"),
    "truncated": (_first_field(der.integer(1))[:-1], "cms"),
    "octets behind": (_first_field(der.integer(1)) + b"\0", "cms"),
    "nothing": (b"", "cms"),
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
def test_broken_cms_is_a_permanent_error_and_arrives_as_it_came(
    company: Company, what: str
) -> None:
    """One field, one word, no exception (cases H07, H10, R-50, R-51)."""
    octets, reason = MALFORMED[what]
    content = in_place(
        message(BOB, ALICE), p7m(octets, "application/pkcs7-mime; smime-type=signed-data")
    )
    arrived = received(company, content)
    assert result(arrived).startswith(f'smime=permerror reason="{reason}"')
    assert arrived.body == Entity.parse(content).body
    assert company.world.events.named("internal.error") == []


def test_key_with_nine_unused_bits_opens_nothing(company: Company) -> None:
    """The BIT STRING of the sender's key in a key agreement (cases H10; X.690, 8.6.2)."""
    alice = company.user(ALICE, key="p256", slot="p256")
    content = sealed(company, alice)
    octets = Entity.parse(content).decoded_body()
    (info,) = _parts(octets)[1].elements()
    key = info.elements()[1].elements()[0].elements()[1]  # originator's publicKey
    assert key.encoded.count(b"\x03\x42\x00") == 1
    broken = info.encoded.replace(key.encoded, b"\x03\x42\x09" + key.encoded[3:])
    changed = changed_envelope(content, broken)
    arrived = received(company, changed)
    assert fields(arrived, "x-smimegw-encrypted") == ["not-decrypted; reason=failed"]
    assert arrived.body == Entity.parse(changed).body


# --- what a relay or a forger changed ------------------------------------------------------------

CHANGES = {
    "trailing space": (b"\r\ntext\r\n", b"\r\ntext \r\n"),
    "trailing tab": (b"\r\ntext\r\n", b"\r\ntext\t\r\n"),
    "trailing space removed": (b"two  \r\n", b"two\r\n"),
    "line added": (b"\r\ntext\r\n", b"\r\ntext\r\n\r\n"),
    "line removed": (b"one\r\n\r\n", b"one\r\n"),
    "from escaped": (b"\r\nFrom here", b"\r\n>From here"),
    "dot doubled": (b"\r\n.dot", b"\r\n..dot"),
    "tabs expanded": (b"\ttab", b"        tab"),
    "8 bits lost": ("ü".encode(), b"?"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_relay_changed_is_a_digest_and_no_accusation(
    company: Company, bob: Issued, change: str
) -> None:
    """``fail`` with ``digest``; nothing speaks of an attack (cases I03, R-41)."""
    good = in_place(message(BOB, ALICE), two_parts(PART, signature_over(PART, bob)))
    assert result(received(company, good)).startswith("smime=pass")
    old, new = CHANGES[change]
    assert good.count(old) == 1
    content = good.replace(old, new)
    arrived = received(company, content)
    assert result(arrived).startswith('smime=fail reason="digest"')
    assert arrived.body == Entity.parse(content).body
    told = arrived.header.raw.decode().lower()
    assert not [word for word in ACCUSING if word in told]


def test_detached_signature_that_carries_other_content_fails_at_the_door(
    company: Company, bob: Issued
) -> None:
    """``mismatch``: one reader would check what the other does not show (cases H21)."""
    truth = b"Content-Type: text/plain\r\n\r\ntruth\r\n"
    octets = assembled(signature_over(truth, bob), encapsulated=truth)
    content = in_place(message(BOB, ALICE), two_parts(PART, octets))
    arrived = received(company, content)
    assert result(arrived).startswith('smime=fail reason="mismatch"')
    assert arrived.body == Entity.parse(content).body


@pytest.mark.parametrize("micalg", ["md5", "sha-512", "none", '"sha-1,md5"'])
def test_wrong_micalg_passes_by_what_was_really_digested(
    company: Company, bob: Issued, micalg: str
) -> None:
    """The parameter is a hint for one-pass readers, and nothing is trusted in it (cases H23)."""
    good = in_place(message(BOB, ALICE), two_parts(PART, signature_over(PART, bob), micalg))
    arrived = received(company, good)
    assert result(arrived).startswith("smime=pass")
    (signature,) = fields(arrived, "x-smimegw-signature")
    assert "algo=rsa-pkcs1v15-sha256" in signature
    bad = good.replace(b"\r\ntext\r\n", b"\r\nTEXT\r\n")
    assert result(received(company, bad)).startswith('smime=fail reason="digest"')
