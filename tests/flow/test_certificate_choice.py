"""Which of a recipient's certificates a message is encrypted to, and what is said when none is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.errors import CertificateError, NoMatchingKeyError
from smimegw.mime.entity import Entity
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import EncryptedLayer, layer_of
from smimegw.x509.certificate import Certificate
from tests.fakes.clock import SetClock
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import DAY, NOW, PAST, SERVER_AUTH, Issued, raw_rfc822, smtp_utf8
from tests.fakes.ports import World
from tests.flow.protected import signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"
NOBODY = "550 5.7.5 <bob@partner.example>: no usable certificate, encryption required (R-01)"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE)
    return company


def send(company: Company, to: str = BOB) -> str:
    return str(company.send("relay", [to], message(ALICE, to)).reply)


def readers(content: bytes, *keys: Issued) -> list[bool]:
    """Who of *keys* can open *content*."""
    layer = layer_of(Entity.parse(content))
    assert isinstance(layer, EncryptedLayer)
    found = []
    for issued in keys:
        key = DecryptionCredential(issued.certificate, SoftwareDecryptionKey(issued.key))
        try:
            decrypt(layer, [key])
        except NoMatchingKeyError:
            found.append(False)
        else:
            found.append(True)
    return found


# --- one among bad ones --------------------------------------------------------------------------

BAD = {
    "expired": {"not_after": PAST},
    "not yet valid": {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY},
    "web server": {"eku": [SERVER_AUTH]},
    "signing only": {"usage": "sign"},
    "short key": {"key": "rsa1024"},
    "other curve": {"key": "secp256k1"},
    "P-224": {"key": "p224"},
}


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("what", BAD)
def test_bad_certificate_beside_a_good_one_is_passed_over(
    company: Company, what: str, order: str
) -> None:
    """Wherever it stands, only the good one can open the mail (cases F05)."""
    made = {}
    for name in ("bad", "good") if order == "before" else ("good", "bad"):
        options = BAD[what] if name == "bad" else {}
        made[name] = company.partner(BOB, slot=name, **options)
    assert send(company).startswith("250")
    layer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(layer, EncryptedLayer)
    assert len(layer.recipient_ids) == 1
    assert layer.recipient_ids[0].matches(made["good"].certificate)
    assert readers(company.arrived[0], made["good"]) == [True]


# --- two people ----------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [BOB, "Bob@partner.example", "BOB@PARTNER.example"])
def test_two_people_with_one_address_are_refused_and_told(company: Company, second: str) -> None:
    """Also when only the case differs; never one of them by chance (cases F11, R-01)."""
    for address, name in ((BOB, "Bob Baker"), (second, "Bob Butcher")):
        issued = company.ca.issue(address, common_name=name, slot=name)
        company.world.directory.publish(address, issued.certificate, owner=f"cn={name}")
    assert send(company) == NOBODY
    assert company.arrived == []
    (alert,) = company.world.events.named("certificate.ambiguous")
    assert (alert["rcpt"], alert["owners"]) == (BOB, ("cn=Bob Baker", "cn=Bob Butcher"))


def test_two_entries_of_one_person_are_one_person(company: Company) -> None:
    """The same subject in two entries: all certificates are considered (cases F11)."""
    made = []
    for owner, slot in (("cn=old entry", "one"), ("cn=new entry", "two")):
        issued = company.ca.issue(BOB, common_name="Bob Baker", slot=slot)
        company.world.directory.publish(BOB, issued.certificate, owner=owner)
        made.append(issued)
    assert send(company).startswith("250")
    assert readers(company.arrived[0], *made) == [True, True]


def test_entry_with_anothers_certificate_is_no_second_person(company: Company) -> None:
    """Whoever is able to write an entry cannot cut somebody off with his own certificate (T-11)."""
    bob = company.partner(BOB)
    eve = company.ca.issue("eve@evil.example")
    company.world.directory.publish(BOB, eve.certificate, owner="cn=eve")
    assert send(company).startswith("250")
    assert readers(company.arrived[0], bob, eve) == [True, False]


# --- revoked -------------------------------------------------------------------------------------


def test_revoked_certificate_is_refused_in_these_words(company: Company) -> None:
    """Another row than "none": nobody shall fall back from it (cases F15, R-04)."""
    bob = company.partner(BOB)
    company.world.directory.lists[company.ca.certificate.subject_der] = [
        company.ca.crl(revoked=[bob])
    ]
    assert send(company) == "550 5.7.5 <bob@partner.example>: certificate revoked (R-04)"
    assert company.arrived == []


def test_revoked_certificate_beside_a_good_one_gets_nothing(company: Company) -> None:
    """Only the one that is not revoked can open the mail (cases F05, F15)."""
    lost, bob = company.partner(BOB, slot="lost"), company.partner(BOB, slot="new")
    company.world.directory.lists[company.ca.certificate.subject_der] = [
        company.ca.crl(revoked=[lost])
    ]
    assert send(company).startswith("250")
    assert readers(company.arrived[0], lost, bob) == [False, True]


# --- roll-over -----------------------------------------------------------------------------------


def test_when_the_old_certificate_ends_only_the_new_one_is_used() -> None:
    """Both while both are valid; from the end of the old one on, the new key alone (cases F24)."""
    clock = SetClock()
    company = Company(world=World(clock=clock))
    company.user(ALICE)
    old = company.partner(BOB, slot="old", not_after=NOW + DAY)
    new = company.partner(BOB, slot="new", not_before=NOW - timedelta(hours=1))
    assert send(company).startswith("250")
    company.world.directory.lists[company.ca.certificate.subject_der] = [
        company.ca.crl(this_update=NOW, next_update=NOW + 9 * DAY)
    ]
    clock.advance(DAY + timedelta(seconds=1))
    assert send(company).startswith("250")
    before, after = company.arrived
    assert readers(before, old, new) == [True, True]
    assert readers(after, old, new) == [False, True]


def test_four_valid_certificates_mean_the_three_newest(company: Company) -> None:
    """A directory that nobody tidies must not make mail longer and longer (cases F24, R-09)."""
    made = [
        company.partner(BOB, slot=f"roll {age}", not_before=NOW - age * DAY) for age in (2, 4, 1, 3)
    ]
    assert send(company).startswith("250")
    assert readers(company.arrived[0], *made) == [True, False, True, True]


def test_renewed_certificate_of_the_same_key_counts_once(company: Company) -> None:
    """One RecipientInfo for one key, by the newer certificate (cases F24, R-09)."""
    company.partner(BOB, slot="same", not_before=NOW - 9 * DAY)
    newer = company.partner(BOB, slot="same", not_before=NOW - DAY)
    assert send(company).startswith("250")
    layer = layer_of(Entity.parse(company.arrived[0]))
    assert isinstance(layer, EncryptedLayer)
    (named,) = layer.recipient_ids
    assert named.matches(newer.certificate)


# --- international names -------------------------------------------------------------------------

U_LABEL, A_LABEL = "bücher.example", "xn--bcher-kva.example"


@pytest.mark.parametrize("ruled", [U_LABEL, A_LABEL], ids=["rule U", "rule A"])
@pytest.mark.parametrize("asked", [U_LABEL, A_LABEL, U_LABEL.upper()], ids=["U", "A", "upper"])
def test_both_forms_of_a_domain_find_the_certificate(ruled: str, asked: str) -> None:
    """In the rule and in RCPT; the certificate has the A-label (cases F26; RFC 5280, 7.5)."""
    company = Company(policy=POLICY.replace('"partner.example"', f'"{ruled}"'))
    company.user(ALICE)
    bob = company.partner(f"bob@{A_LABEL}")
    assert send(company, f"bob@{asked}").startswith("250")
    assert readers(company.arrived[0], bob) == [True]


@pytest.mark.parametrize("written", [U_LABEL, A_LABEL], ids=["U", "A"])
def test_both_forms_of_a_domain_in_from_are_the_signer(written: str) -> None:
    """The other direction: From as the author's program writes it (cases F26)."""
    company = Company()
    company.user(ALICE)
    bob = company.ca.issue(f"bob@{A_LABEL}")
    content = signed(message(f"Bob <bob@{written}>", ALICE), bob)
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    (results,) = Entity.parse(company.arrived[0]).header.all("authentication-results")
    assert b"smime=pass" in results.body
    assert f"body.smime-identifier=bob@{A_LABEL}".encode() in results.body


def test_international_local_part_is_found_by_its_own_kind_of_name() -> None:
    """SmtpUTF8Mailbox, its domain as A-label (cases F26; RFC 9598, 3)."""
    company = Company(policy=POLICY.replace('"partner.example"', f'"{U_LABEL}"'))
    company.user(ALICE)
    address = f"jürgen@{U_LABEL}"
    bob = company.ca.issue(address, san=[smtp_utf8(f"jürgen@{A_LABEL}")])
    company.world.directory.publish(address, bob.certificate)
    assert send(company, address).startswith("250")
    assert readers(company.arrived[0], bob) == [True]


def test_look_alike_domain_is_another_domain() -> None:
    """A Cyrillic letter in RCPT does not lead to the Latin certificate (cases F26, T-08)."""
    company = Company(policy=POLICY.replace('"partner.example"', '"*.example"'))
    company.user(ALICE)
    company.partner(BOB)
    assert send(company, "bob@p\u0430rtner.example").startswith("550 5.7.5")
    assert company.arrived == []


# --- poisoned names ------------------------------------------------------------------------------


def poisoned(company: Company, name: str) -> Issued:
    """A certificate that our own reader refuses, as an evil CA makes it."""
    good = company.ca.issue(BOB)
    names = x509.SubjectAlternativeName([raw_rfc822(BOB), raw_rfc822(name)])
    parsed = (
        x509.CertificateBuilder()
        .subject_name(good.certificate.parsed.subject)
        .issuer_name(company.ca.name)
        .public_key(good.key.public_key())
        .serial_number(4711)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(names, critical=False)
        .sign(company.ca.key, hashes.SHA256())
    )
    certificate = Certificate(parsed.public_bytes(Encoding.DER), parsed, ())
    return replace(good, certificate=certificate)


@pytest.mark.parametrize("name", [f"{BOB}\0.evil.example", f"{BOB}\r\n", f" {BOB}", f"{BOB}\t"])
def test_poisoned_name_makes_a_signer_unknown(company: Company, name: str) -> None:
    """The certificate is void as a whole, also for its good address (cases F28)."""
    with pytest.raises(CertificateError, match="void"):
        company.ca.issue(BOB, san=[raw_rfc822(BOB), raw_rfc822(name)])
    content = signed(message(BOB, ALICE), poisoned(company, name))
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    (results,) = Entity.parse(company.arrived[0]).header.all("authentication-results")
    assert b'smime=policy reason="no-certificate"' in results.body
