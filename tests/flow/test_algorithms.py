"""Each recipient gets what he is known to read, and the record says why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.capabilities import OURS, Capabilities
from smimegw.cms.key_encryption_algorithms import read_key_agreement, read_key_transport
from smimegw.cms.recipient_info import KeyTransRecipientInfo, RecipientInfo
from smimegw.memory import Correspondent
from smimegw.mime.entity import Entity
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import NOW, Issued
from tests.flow.protected import signed

ALICE = "alice@ours.example"
BOB, EVA = "bob@partner.example", "eva@partner.example"
_EXTENSION = x509.ObjectIdentifier("1.2.840.113549.1.9.15")


def says(capabilities: Capabilities) -> list[tuple[x509.ExtensionType, bool]]:
    """The extension of RFC 4262."""
    return [(x509.UnrecognizedExtension(_EXTENSION, capabilities.write()), False)]


def company_with(then: str = "", said: Capabilities | None = None) -> Company:
    """A company whose mail to partners is encrypted, with more in the rule's actions.

    Args:
        then: Further actions.
        said: What Bob's mail said that he reads; None when he never wrote.
    """
    company = Company(policy=POLICY.replace('"refuse" }', f'"refuse"{then} }}'))
    company.user(ALICE)
    if said is not None:
        key = Mailbox.parse(BOB).key
        company.world.correspondents.known[key] = Correspondent(
            mailbox_key=key, capabilities=said, learned_at=NOW
        )
    return company


def sealed(company: Company, *recipients: str) -> EncryptedLayer:
    """The encrypted layer of what leaves for *recipients*."""
    outcome = company.send("relay", recipients, message(ALICE, ", ".join(recipients)))
    assert outcome.reply.code == 250, outcome.reply
    layer = layer_of(Entity.parse(company.arrived[-1]))
    assert isinstance(layer, EncryptedLayer)
    return layer


def recorded(company: Company) -> list[str]:
    """Algorithms in the decision record, per recipient."""
    return [entry["algo"] for entry in company.world.records.written[-1]["recipients"]]


def keys_of(layer: EncryptedLayer, *people: Issued) -> list[KeyEncryption]:
    """How the content key is encrypted for each of *people*."""
    return [
        _form(info)
        for person in people
        for info in layer.enveloped.recipient_infos
        if info.identifier.matches(person.certificate)
    ]


def _form(info: RecipientInfo) -> KeyEncryption:
    if isinstance(info, KeyTransRecipientInfo):
        return read_key_transport(info.algorithm).key_encryption
    return read_key_agreement(info.algorithm).key_encryption


def test_recipient_of_whom_nothing_is_known_gets_cbc() -> None:
    """AES-256-CBC with PKCS #1 v1.5, which every program reads (G24)."""
    company = company_with()
    bob = company.partner(BOB)
    layer = sealed(company, BOB)
    assert layer.enveloped.cipher is ContentCipher.AES_256_CBC
    assert keys_of(layer, bob) == [KeyEncryption.RSA_PKCS1V15]
    assert recorded(company) == ["aes-256-cbc/default"]


def test_recipient_whose_mail_said_gcm_gets_gcm() -> None:
    """AuthEnvelopedData, and OAEP for the key (G24)."""
    company = company_with(said=OURS)
    bob = company.partner(BOB)
    layer = sealed(company, BOB)
    assert layer.enveloped.cipher is ContentCipher.AES_256_GCM
    assert keys_of(layer, bob) == [KeyEncryption.RSA_OAEP_SHA256]
    assert recorded(company) == ["aes-256-gcm/capabilities"]


def test_mail_that_came_decides_the_answer() -> None:
    """Bob writes signed, his program announces GCM and OAEP; from then on he gets both (G24)."""
    company = company_with()
    bob = company.partner(BOB)
    assert sealed(company, BOB).enveloped.cipher is ContentCipher.AES_256_CBC
    assert company.send("mx", [ALICE], signed(message(BOB, ALICE), bob)).reply.code == 250
    layer = sealed(company, BOB)
    assert layer.enveloped.cipher is ContentCipher.AES_256_GCM
    assert keys_of(layer, bob) == [KeyEncryption.RSA_OAEP_SHA256]


def test_recipient_whose_certificate_says_gcm_gets_gcm() -> None:
    """The CA was told what the owner reads (RFC 4262; G24)."""
    company = company_with()
    bob = company.partner(BOB, extensions=says(OURS))
    layer = sealed(company, BOB)
    assert layer.enveloped.cipher is ContentCipher.AES_256_GCM
    assert keys_of(layer, bob) == [KeyEncryption.RSA_OAEP_SHA256]


def test_what_mail_said_is_newer_than_what_the_certificate_says() -> None:
    """A new program, an old certificate."""
    company = company_with(said=Capabilities.of([ContentCipher.AES_128_CBC]))
    company.partner(BOB, extensions=says(OURS))
    assert sealed(company, BOB).enveloped.cipher is ContentCipher.AES_128_CBC


def test_recipient_who_says_gcm_in_the_directory_gets_gcm() -> None:
    """His own word, in userSMIMECertificate, is newer than the CA's (RFC 2798, 2.8; G24)."""
    company = company_with()
    small = Capabilities.of([ContentCipher.AES_128_CBC])
    bob = company.partner(BOB, extensions=says(small))
    entries = company.world.directory.entries[Mailbox.parse(BOB).key]
    entries.append(replace(entries.pop(), capabilities=OURS))
    layer = sealed(company, BOB)
    assert layer.enveloped.cipher is ContentCipher.AES_256_GCM
    assert keys_of(layer, bob) == [KeyEncryption.RSA_OAEP_SHA256]


def test_one_copy_mixes_keys_but_not_ciphers() -> None:
    """Bob reads GCM and OAEP, of Eva nothing is known: CBC for both, OAEP for Bob (G24)."""
    company = company_with()
    bob = company.partner(BOB, extensions=says(OURS))
    eva = company.partner(EVA)
    layer = sealed(company, BOB, EVA)
    assert layer.enveloped.cipher is ContentCipher.AES_256_CBC
    assert keys_of(layer, bob, eva) == [
        KeyEncryption.RSA_OAEP_SHA256,
        KeyEncryption.RSA_PKCS1V15,
    ]
    assert recorded(company) == ["aes-256-cbc/default"] * 2


def test_floor_is_written_for_whom_nothing_is_known() -> None:
    """The rule demands it; the record says that it was the floor."""
    company = company_with(', cipher_floor = "aes-128-gcm"')
    company.partner(BOB)
    assert sealed(company, BOB).enveloped.cipher is ContentCipher.AES_128_GCM
    assert recorded(company) == ["aes-128-gcm/floor"]


def test_database_that_does_not_answer_keeps_the_floor() -> None:
    """Nothing is known then; mail flows, with what the rule demands at least, and it is logged."""
    company = company_with(', cipher_floor = "aes-256-cbc"', said=OURS)
    company.world.correspondents.broken = True
    company.partner(BOB)
    assert sealed(company, BOB).enveloped.cipher is ContentCipher.AES_256_CBC
    errors = company.world.events.named("directory.error")
    assert [entry["source"] for entry in errors] == ["correspondents"]


@pytest.mark.parametrize(
    ("key", "form"),
    [("rsa", KeyEncryption.RSA_OAEP_SHA512), ("p256", KeyEncryption.ECDH_SHA512KDF)],
)
def test_form_of_the_key_encryption_is_the_one_that_was_said(key: str, form: KeyEncryption) -> None:
    """Another hash than the usual one, for RSA and for ECDH (RFC 4055, 4; RFC 5753, 7)."""
    company = company_with()
    bob = company.partner(BOB, key=key, extensions=says(Capabilities.of((), (form,))))
    assert keys_of(sealed(company, BOB), bob) == [form]
