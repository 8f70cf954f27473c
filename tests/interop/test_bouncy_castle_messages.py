"""Whole messages both ways between the gateway and Bouncy Castle."""

from __future__ import annotations

import pytest

from tests.interop.exchange import Exchange
from tests.interop.mails import MAILS
from tests.interop.readers import BouncyCastleReader, shown
from tests.interop.writers import HEAD, BouncyCastleWriter, entity_of, pkcs7_mime
from tests.peers.bouncy_castle import BouncyCastle

MARKET = 'scheme = "pss", digest = "sha512", cipher = "aes-128-gcm", key_transport = "oaep"'
SIGNED = {
    "clear": 'protect = "sign"',
    "opaque": 'protect = "sign", form = "opaque"',
    "psssha512": 'protect = "sign", scheme = "pss", digest = "sha512"',
}
SEALED = {
    "sealed": 'protect = "sign-then-encrypt"',
    "sealedopaque": 'protect = "sign-then-encrypt", form = "opaque"',
    "market": f'protect = "sign-then-encrypt", {MARKET}',
}
AES_128_GCM, AES_256_GCM = "2.16.840.1.101.3.4.1.6", "2.16.840.1.101.3.4.1.46"
P256 = "ecdh 1.3.132.1.11.1 2.16.840.1.101.3.4.1.45"


@pytest.fixture(scope="module")
def company() -> Exchange:
    return Exchange(SIGNED | SEALED | {"gcm": 'protect = "encrypt", cipher = "aes-256-gcm"'})


@pytest.fixture(scope="module")
def curve() -> Exchange:
    """Alice and Bob with keys on P-256."""
    return Exchange({"clear": 'protect = "sign"', **SEALED}, alice="p256", bob="p256")


@pytest.fixture
def writer(company: Exchange, peer: BouncyCastle) -> BouncyCastleWriter:
    return BouncyCastleWriter(peer, company.bob, company.alice)


# --- ours to them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SIGNED)
def test_bouncy_castle_verifies_our_mail(
    company: Exchange, peer: BouncyCastle, rule: str, name: str
) -> None:
    """Clear and opaque, PKCS #1 and PSS (RFC 8551, 2.2)."""
    content = BouncyCastleReader(peer, company.bob).verified(company.write(rule, MAILS[name]))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SEALED)
def test_bouncy_castle_opens_and_verifies_our_mail(
    company: Exchange, peer: BouncyCastle, rule: str, name: str
) -> None:
    """Signed inside, encrypted outside; PSS, AES-GCM and OAEP, too (RFC 8551, 2; G16)."""
    reader = BouncyCastleReader(peer, company.bob)
    content = reader.verified(reader.opened(company.write(rule, MAILS[name])))
    assert shown(content) == shown(entity_of(MAILS[name]))


def test_bouncy_castle_opens_our_unsigned_mail(company: Exchange, peer: BouncyCastle) -> None:
    """Encrypted only."""
    content = BouncyCastleReader(peer, company.bob).opened(company.write("gcm", MAILS["chinese"]))
    assert shown(content) == shown(entity_of(MAILS["chinese"]))


def test_bouncy_castle_reads_our_mail_for_a_curve(curve: Exchange, peer: BouncyCastle) -> None:
    """ECDSA and ECDH on P-256 (RFC 5753)."""
    reader = BouncyCastleReader(peer, curve.bob)
    content = reader.verified(reader.opened(curve.write("sealed", MAILS["chinese"])))
    assert shown(content) == shown(entity_of(MAILS["chinese"]))


@pytest.mark.parametrize("key", ["p521", "brainpool384", "ed25519", "ed448"])
def test_bouncy_castle_verifies_our_mail_signed_with_any_key(peer: BouncyCastle, key: str) -> None:
    """Each key takes its own scheme and digest (RFC 5753, 2.1; RFC 8419, 3)."""
    company = Exchange({"clear": 'protect = "sign"'}, alice=key)
    content = BouncyCastleReader(peer, company.bob).verified(company.write("clear", MAILS["8bit"]))
    assert shown(content) == shown(entity_of(MAILS["8bit"]))


# --- theirs to us ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_signed_by_bouncy_castle_passes(
    company: Exchange, writer: BouncyCastleWriter, form: str, name: str
) -> None:
    """Clear and opaque (RFC 8551, 3.5; I01)."""
    seen = company.read(HEAD + getattr(writer, form)(entity_of(MAILS[name])))
    assert seen.result == "pass"
    assert seen.shown == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("signature", ["SHA384withRSA", "SHA512withRSA", "SHA256withRSAandMGF1"])
@pytest.mark.parametrize("form", [(), ("stream",), ("keyid",), ("hints",)], ids=str)
def test_every_signature_of_bouncy_castle_passes(
    company: Exchange, peer: BouncyCastle, signature: str, form: tuple[str, ...]
) -> None:
    """Digests, PSS, BER, key identifiers, more attributes (RFC 5652, 5.3)."""
    writer = BouncyCastleWriter(peer, company.bob, company.alice, signature, form=form)
    assert company.read(HEAD + writer.clear(entity_of(MAILS["text"]))).result == "pass"


def test_sha1_of_bouncy_castle_is_too_weak(company: Exchange, peer: BouncyCastle) -> None:
    """Told apart from a changed mail (RFC 8551, 2.1)."""
    writer = BouncyCastleWriter(peer, company.bob, company.alice, "SHA1withRSA")
    seen = company.read(HEAD + writer.clear(entity_of(MAILS["text"])))
    assert (seen.result, "weak-digest" in seen.field("Authentication-Results")) == ("policy", True)


def test_change_after_bouncy_castle_signed_is_noticed(
    company: Exchange, writer: BouncyCastleWriter
) -> None:
    """The comparison can fail (I03)."""
    mail = writer.clear(entity_of(MAILS["text"])).replace(b"Hello Bob", b"Hello Eve")
    assert company.read(HEAD + mail).result == "fail"


def test_mail_with_two_signers_of_bouncy_castle_does_not_pass(
    company: Exchange, peer: BouncyCastle
) -> None:
    """One of them would do for showing another's name (RFC 8551, 3.5)."""
    second = company.company.ca.issue("eve@partner.example")
    entity = entity_of(MAILS["text"])
    both = peer.signed("SHA256withRSA", entity, company.bob, second, form=["opaque"])
    seen = company.read(HEAD + pkcs7_mime("signed-data", both))
    assert seen.field("Authentication-Results").endswith('smime=policy reason="signers"')


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_sealed_by_bouncy_castle_is_opened_and_passes(
    company: Exchange, writer: BouncyCastleWriter, form: str, name: str
) -> None:
    """Signed, then encrypted to Alice (RFC 8551, 3.7; I15)."""
    seen = company.read(HEAD + writer.encrypted(getattr(writer, form)(entity_of(MAILS[name]))))
    assert seen.field("X-Smimegw-Status") == "signed=pass; encrypted=yes; integrity=signed"
    assert seen.shown == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("method", ["oaep SHA-256 SHA-256", "oaep SHA-512 SHA-1"])
@pytest.mark.parametrize("cipher", [AES_128_GCM, AES_256_GCM])
def test_mail_with_oaep_and_gcm_of_bouncy_castle_is_opened(
    company: Exchange, peer: BouncyCastle, cipher: str, method: str
) -> None:
    """AuthEnvelopedData keeps its own integrity (RFC 5083; RFC 8551, 2.7)."""
    writer = BouncyCastleWriter(peer, company.bob, company.alice, cipher=cipher, method=method)
    seen = company.read(HEAD + writer.encrypted(entity_of(MAILS["chinese"])))
    assert seen.field("X-Smimegw-Status") == "signed=none; encrypted=yes; integrity=authenticated"
    assert seen.shown == shown(entity_of(MAILS["chinese"]))


def test_mail_of_bouncy_castle_for_a_curve_is_opened(curve: Exchange, peer: BouncyCastle) -> None:
    """ECDSA inside, ECDH outside (RFC 5753)."""
    writer = BouncyCastleWriter(peer, curve.bob, curve.alice, "SHA256withECDSA", method=P256)
    seen = curve.read(HEAD + writer.encrypted(writer.clear(entity_of(MAILS["chinese"]))))
    assert seen.field("X-Smimegw-Status") == "signed=pass; encrypted=yes; integrity=signed"
    assert seen.shown == shown(entity_of(MAILS["chinese"]))


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        ("p521", "SHA512withECDSA"),
        ("brainpool384", "SHA384withECDSA"),
        ("ed25519", "Ed25519"),
        ("ed448", "Ed448"),
    ],
)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_signed_with_any_key_of_bouncy_castle_passes(
    peer: BouncyCastle, key: str, signature: str, form: str
) -> None:
    """The scheme stands in the result (RFC 5753, 2.1; RFC 8419, 3; I01)."""
    company = Exchange({}, bob=key)
    writer = BouncyCastleWriter(peer, company.bob, company.alice, signature)
    seen = company.read(HEAD + getattr(writer, form)(entity_of(MAILS["chinese"])))
    assert seen.result == "pass"
    assert (key if key.startswith("ed") else "ecdsa") in seen.field("X-Smimegw-Signature")


def test_triple_wrapped_mail_of_bouncy_castle_is_opened(
    company: Exchange, writer: BouncyCastleWriter
) -> None:
    """Signed, encrypted and signed again (RFC 2634, 1.1)."""
    inside = writer.encrypted(writer.clear(entity_of(MAILS["html and attachment"])))
    seen = company.read(HEAD + writer.clear(inside))
    assert seen.result == "pass"
    assert seen.shown == shown(entity_of(MAILS["html and attachment"]))


@pytest.mark.parametrize("order", ["outside", "inside", "between"])
def test_compressed_layer_of_bouncy_castle_comes_off(
    company: Exchange, writer: BouncyCastleWriter, order: str
) -> None:
    """Anywhere among the other layers (RFC 8551, 3.6)."""
    entity = entity_of(MAILS["chinese"])
    mail = {
        "outside": lambda: writer.compressed(writer.encrypted(writer.opaque(entity))),
        "between": lambda: writer.encrypted(writer.compressed(writer.opaque(entity))),
        "inside": lambda: writer.encrypted(writer.opaque(writer.compressed(entity))),
    }[order]()
    seen = company.read(HEAD + mail)
    assert seen.field("X-Smimegw-Status") == "signed=pass; encrypted=yes; integrity=signed"
    assert seen.shown == shown(entity)
