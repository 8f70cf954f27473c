"""Whole messages both ways between the gateway and gpgsm, with RSA keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.exchange import ALICE, BOB, Exchange
from tests.interop.gnupg import GnuPG, gnupg
from tests.interop.mails import MAILS
from tests.interop.readers import GnuPGReader, cms_of, shown
from tests.interop.writers import HEAD, GnuPGWriter, entity_of

SIGNED = {
    "clear": 'protect = "sign"',
    "opaque": 'protect = "sign", form = "opaque"',
    "sha384": 'protect = "sign", digest = "sha384"',
    "sha512": 'protect = "sign", digest = "sha512"',
    "pss": 'protect = "sign", scheme = "pss"',
    "psssha512": 'protect = "sign", scheme = "pss", digest = "sha512"',
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
def home(company: Exchange) -> Iterator[GnuPG]:
    """Bob's, who knows Alice."""
    with gnupg(company.bob) as home:
        home.meet(company.alice)
        yield home


# --- ours to them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SIGNED)
def test_gpgsm_verifies_our_mail(company: Exchange, home: GnuPG, rule: str, name: str) -> None:
    """Clear and opaque, three digests, PSS with a salt as long as the digest (RFC 8551, 2.2)."""
    content = GnuPGReader(home).verified(company.write(rule, MAILS[name]))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("rule", SEALED)
def test_gpgsm_opens_and_verifies_our_mail(
    company: Exchange, home: GnuPG, rule: str, name: str
) -> None:
    """Signed inside, encrypted outside, with each AES-CBC (RFC 8551, 2.7; G16)."""
    reader = GnuPGReader(home)
    content = reader.verified(reader.opened(company.write(rule, MAILS[name])))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("name", MAILS)
def test_gpgsm_opens_our_unsigned_mail(company: Exchange, home: GnuPG, name: str) -> None:
    """Encrypted only."""
    content = GnuPGReader(home).opened(company.write("encrypted", MAILS[name]))
    assert shown(content) == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("rule", BEYOND)
def test_gpgsm_cannot_open_what_is_only_for_those_who_can(
    company: Exchange, home: GnuPG, rule: str
) -> None:
    """Why AES-CBC with PKCS #1 v1.5 is what rules do unless told otherwise."""
    mail = company.write(rule, MAILS["text"])
    said = home.refusal("--decrypt", stdin=cms_of(mail))
    assert "DECRYPTION_OKAY" not in said


# --- theirs to us ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_signed_by_gpgsm_passes(company: Exchange, home: GnuPG, form: str, name: str) -> None:
    """BER with indefinite lengths, of clear and opaque signatures (RFC 5652, 5; I01)."""
    writer = GnuPGWriter(home, BOB, ALICE)
    seen = company.read(HEAD + getattr(writer, form)(entity_of(MAILS[name])))
    assert seen.result == "pass"
    assert seen.shown == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("digest", ["SHA384", "SHA512"])
def test_every_digest_of_gpgsm_passes(company: Exchange, home: GnuPG, digest: str) -> None:
    """The other SHA-2 digests (RFC 5754)."""
    writer = GnuPGWriter(home, BOB, ALICE, digest=digest)
    seen = company.read(HEAD + writer.clear(entity_of(MAILS["text"])))
    assert seen.result == "pass"


def test_sha1_of_gpgsm_is_too_weak(company: Exchange, home: GnuPG) -> None:
    """Collisions are affordable; it is told apart from a changed mail (RFC 8551, 2.1)."""
    writer = GnuPGWriter(home, BOB, ALICE, digest="SHA1")
    seen = company.read(HEAD + writer.clear(entity_of(MAILS["text"])))
    assert (seen.result, "weak-digest" in seen.field("Authentication-Results")) == ("policy", True)


def test_change_after_gpgsm_signed_is_noticed(company: Exchange, home: GnuPG) -> None:
    """The comparison can fail (I03)."""
    mail = GnuPGWriter(home, BOB, ALICE).clear(entity_of(MAILS["text"]))
    seen = company.read(HEAD + mail.replace(b"Hello Bob", b"Hello Eve"))
    assert seen.result == "fail"


@pytest.mark.parametrize("name", MAILS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
def test_mail_sealed_by_gpgsm_is_opened_and_passes(
    company: Exchange, home: GnuPG, form: str, name: str
) -> None:
    """Signed, then encrypted to Alice (RFC 8551, 3.7; I15)."""
    writer = GnuPGWriter(home, BOB, ALICE)
    seen = company.read(HEAD + writer.encrypted(getattr(writer, form)(entity_of(MAILS[name]))))
    assert seen.field("X-Smimegw-Status") == "signed=pass; encrypted=yes; integrity=signed"
    assert seen.shown == shown(entity_of(MAILS[name]))


@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256"])
def test_mail_encrypted_by_gpgsm_is_opened(company: Exchange, home: GnuPG, cipher: str) -> None:
    """Every AES-CBC that it writes (RFC 3565)."""
    writer = GnuPGWriter(home, BOB, ALICE, cipher=cipher)
    seen = company.read(HEAD + writer.encrypted(entity_of(MAILS["chinese"])))
    assert seen.field("X-Smimegw-Status") == "signed=none; encrypted=yes; integrity=none"
    assert seen.shown == shown(entity_of(MAILS["chinese"]))


def test_triple_des_of_gpgsm_stays_closed(company: Exchange, home: GnuPG) -> None:
    """Its default of old is no cipher that we open by ourselves (RFC 8551, 2.7)."""
    writer = GnuPGWriter(home, BOB, ALICE, cipher="3DES")
    mail = HEAD + writer.encrypted(entity_of(MAILS["text"]))
    seen = company.read(mail)
    assert seen.field("X-Smimegw-Encrypted").startswith("not-decrypted; reason=")
    assert seen.content.endswith(mail.partition(b"\r\n\r\n")[2])


def test_triple_wrapped_mail_of_gpgsm_is_opened(company: Exchange, home: GnuPG) -> None:
    """Signed, encrypted and signed again (RFC 2634, 1.1)."""
    writer = GnuPGWriter(home, BOB, ALICE)
    inside = writer.encrypted(writer.clear(entity_of(MAILS["html and attachment"])))
    seen = company.read(HEAD + writer.clear(inside))
    assert seen.result == "pass"
    assert seen.shown == shown(entity_of(MAILS["html and attachment"]))
