"""Whole messages both ways between the gateway and NSS, the library inside Thunderbird."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.exchange import ALICE, BOB, Exchange
from tests.interop.mails import MAILS
from tests.interop.nss import NSS, nss
from tests.interop.readers import NSSReader, cms_of, shown
from tests.interop.writers import HEAD, NSSWriter, entity_of

SIGNED = {
    "clear": 'protect = "sign"',
    "opaque": 'protect = "sign", form = "opaque"',
    "sha384": 'protect = "sign", digest = "sha384"',
    "sha512": 'protect = "sign", digest = "sha512"',
    "pss": 'protect = "sign", scheme = "pss"',
}
SEALED = {
    "sealed": 'protect = "sign-then-encrypt"',
    "sealedopaque": 'protect = "sign-then-encrypt", form = "opaque"',
    "sealedaes128": 'protect = "sign-then-encrypt", cipher = "aes-128-cbc"',
    "sealedaes192": 'protect = "sign-then-encrypt", cipher = "aes-192-cbc"',
}
ENCRYPTED = {"encrypted": 'protect = "encrypt"'}
BEYOND = {
    "gcm": 'protect = "encrypt", cipher = "aes-256-gcm"',
    "oaep": 'protect = "encrypt", key_transport = "oaep"',
}


@pytest.fixture(scope="module")
def company() -> Exchange:
    return Exchange(SIGNED | SEALED | ENCRYPTED | BEYOND)


@pytest.fixture(scope="module")
def database(company: Exchange) -> Iterator[NSS]:
    """Bob's, who knows Alice."""
    with nss(company.bob) as database:
        database.meet(company.alice)
        yield database


@pytest.fixture(scope="module", params=["p256", "p384", "p521"])
def curve(request: pytest.FixtureRequest) -> Iterator[tuple[Exchange, NSS]]:
    """Alice and Bob with keys on one curve."""
    company = Exchange(SIGNED, alice=request.param, bob=request.param)
    with nss(company.bob) as database:
        yield company, database


# --- ours to them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SIGNED)
def test_nss_verifies_our_mail(company: Exchange, database: NSS, rule: str, name: str) -> None:
    """Clear and opaque, three digests, PSS (RFC 8551, 2.2)."""
    content = NSSReader(database).verified(company.write(rule, MAILS[name]))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("rule", ["clear", "opaque", "sha384", "sha512"])
def test_nss_verifies_our_mail_signed_on_a_curve(curve: tuple[Exchange, NSS], rule: str) -> None:
    """ECDSA on the NIST curves with each digest (RFC 5753, 2.1)."""
    company, database = curve
    content = NSSReader(database).verified(company.write(rule, MAILS["chinese"]))
    assert shown(content) == shown(entity_of(MAILS["chinese"]))


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SEALED)
def test_nss_opens_and_verifies_our_mail(
    company: Exchange, database: NSS, rule: str, name: str
) -> None:
    """Signed inside, encrypted outside, with each AES-CBC (RFC 8551, 2.7; G16)."""
    reader = NSSReader(database)
    content = reader.verified(reader.opened(company.write(rule, MAILS[name])))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("name", MAILS)
def test_nss_opens_our_unsigned_mail(company: Exchange, database: NSS, name: str) -> None:
    """Encrypted only."""
    content = NSSReader(database).opened(company.write("encrypted", MAILS[name]))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("rule", BEYOND)
def test_nss_cannot_open_what_is_only_for_those_who_can(
    company: Exchange, database: NSS, rule: str
) -> None:
    """Why AES-CBC with PKCS #1 v1.5 is what rules do unless told otherwise."""
    with pytest.raises(AssertionError, match="cmsutil: "):
        database.opened(cms_of(company.write(rule, MAILS["text"])))


# --- theirs to us ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_signed_by_nss_passes(company: Exchange, database: NSS, form: str, name: str) -> None:
    """With its signing time, capabilities and key preference (RFC 8551, 2.5; I01)."""
    writer = NSSWriter(database, BOB, ALICE)
    seen = company.read(HEAD + getattr(writer, form)(entity_of(MAILS[name])))
    assert seen.result == "pass"
    assert seen.shown == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("digest", ["SHA384", "SHA512"])
def test_every_digest_of_nss_passes(company: Exchange, database: NSS, digest: str) -> None:
    """The other SHA-2 digests (RFC 5754)."""
    writer = NSSWriter(database, BOB, ALICE, digest=digest)
    assert company.read(HEAD + writer.clear(entity_of(MAILS["text"]))).result == "pass"


@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_signed_by_nss_on_a_curve_passes(curve: tuple[Exchange, NSS], form: str) -> None:
    """ECDSA with SHA-256 on the NIST curves (RFC 5753, 2.1)."""
    company, database = curve
    writer = NSSWriter(database, BOB, ALICE)
    seen = company.read(HEAD + getattr(writer, form)(entity_of(MAILS["chinese"])))
    assert seen.result == "pass"
    assert "ecdsa" in seen.field("X-Smimegw-Signature")


def test_sha1_of_nss_is_too_weak(company: Exchange, database: NSS) -> None:
    """Told apart from a changed mail (RFC 8551, 2.1)."""
    writer = NSSWriter(database, BOB, ALICE, digest="SHA1")
    seen = company.read(HEAD + writer.clear(entity_of(MAILS["text"])))
    assert (seen.result, "weak-digest" in seen.field("Authentication-Results")) == ("policy", True)


def test_change_after_nss_signed_is_noticed(company: Exchange, database: NSS) -> None:
    """The comparison can fail (I03)."""
    mail = NSSWriter(database, BOB, ALICE).clear(entity_of(MAILS["text"]))
    seen = company.read(HEAD + mail.replace(b"Hello Bob", b"Hello Eve"))
    assert seen.result == "fail"


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_sealed_by_nss_is_opened_and_passes(
    company: Exchange, database: NSS, form: str, name: str
) -> None:
    """Signed, then encrypted to Alice (RFC 8551, 3.7; I15)."""
    writer = NSSWriter(database, BOB, ALICE)
    seen = company.read(HEAD + writer.encrypted(getattr(writer, form)(entity_of(MAILS[name]))))
    assert seen.field("X-Smimegw-Status") == "signed=pass; encrypted=yes; integrity=signed"
    assert seen.shown == shown(entity_of(MAILS[name]))


def test_mail_encrypted_by_nss_is_opened(company: Exchange, database: NSS) -> None:
    """Encrypted only."""
    seen = company.read(
        HEAD + NSSWriter(database, BOB, ALICE).encrypted(entity_of(MAILS["chinese"]))
    )
    assert seen.field("X-Smimegw-Status") == "signed=none; encrypted=yes; integrity=none"
    assert seen.shown == shown(entity_of(MAILS["chinese"]))
