"""What is issued, to whom, for how long, and with which key."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import issuance, keys, renewal
from pki.certified import Certified
from pki.errors import LedgerError, PassphraseError, RequestError, UnknownSerialError
from pki.home import Home
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue, order, revoke_and_list


def test_a_certificate_names_exactly_its_mailbox(ca: Home, now: datetime) -> None:
    """An ASCII address is one rfc822Name (RFC 8550, 3)."""
    names = _extension(issue(ca, now).certificate, x509.SubjectAlternativeName).value
    assert list(names) == [x509.RFC822Name("alice@corp.example")]


def test_a_local_part_beyond_ascii_becomes_smtputf8mailbox(ca: Home, now: datetime) -> None:
    """RFC 9598, 3: UTF8String in an otherName, since rfc822Name is ASCII."""
    certified = issue(ca, now, "用户@corp.example")
    (name,) = _extension(certified.certificate, x509.SubjectAlternativeName).value
    assert isinstance(name, x509.OtherName)
    assert name.type_id.dotted_string == "1.3.6.1.5.5.7.8.9"
    assert name.value == b"\x0c\x13" + "用户@corp.example".encode()


@pytest.mark.parametrize(
    ("profile", "kind", "expected"),
    [
        (Profile.SIGN, KeyKind.RSA_3072, {"digital_signature"}),
        (Profile.ENCRYPT, KeyKind.RSA_3072, {"key_encipherment"}),
        (Profile.BOTH, KeyKind.RSA_3072, {"digital_signature", "key_encipherment"}),
        (Profile.SIGN, KeyKind.P_256, {"digital_signature"}),
        (Profile.ENCRYPT, KeyKind.P_256, {"key_agreement"}),
        (Profile.BOTH, KeyKind.P_256, {"digital_signature", "key_agreement"}),
    ],
)
def test_key_usage_follows_profile_and_key(
    ca: Home, now: datetime, profile: Profile, kind: KeyKind, expected: set[str]
) -> None:
    """RSA enciphers, elliptic curves agree (RFC 8550, 4.4.2); the extension is critical."""
    certificate = issue(ca, now, profile=profile, key_kind=kind).certificate
    usage = _extension(certificate, x509.KeyUsage)
    uses = ("digital_signature", "key_encipherment", "key_agreement", "content_commitment")
    assert usage.critical
    assert {use for use in uses if getattr(usage.value, use)} == expected


def test_extended_key_usage_is_e_mail_only(ca: Home, now: datetime) -> None:
    """A mail certificate is none for TLS (S/MIME BR, 7.1.2.3)."""
    usage = _extension(issue(ca, now).certificate, x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]


def test_alternative_name_is_critical_only_without_subject(ca: Home, now: datetime) -> None:
    """RFC 5280, 4.2.1.6."""
    certificate = issue(ca, now).certificate
    assert not _extension(certificate, x509.SubjectAlternativeName).critical


def test_serial_numbers_are_positive_and_of_twenty_octets(ca: Home, now: datetime) -> None:
    """159 random bits keep the DER integer within 20 octets (RFC 5280, 4.1.2.2)."""
    for _ in range(5):
        serial = issue(ca, now).serial
        assert 0 < serial < 1 << 159


def test_a_repeated_serial_number_is_drawn_again(ca: Home, now: datetime) -> None:
    """Chance that repeats itself does not repeat a number."""
    used = issue(ca, now).serial
    draws = iter([used, used, 4711])
    issuer = ca.issuer("issuing", PASSPHRASE)
    certified = issuance.issue(
        ca, issuer, order(), passphrase=PASSPHRASE, now=now, draw_serial=lambda: next(draws)
    )
    assert certified.serial == 4711


def test_a_broken_source_of_serial_numbers_stops_issuing(ca: Home, now: datetime) -> None:
    """The same number again and again is a broken machine, not bad luck."""
    used = issue(ca, now).serial
    issuer = ca.issuer("issuing", PASSPHRASE)
    with pytest.raises(LedgerError, match="randomness"):
        issuance.issue(
            ca, issuer, order(), passphrase=PASSPHRASE, now=now, draw_serial=lambda: used
        )


@pytest.mark.parametrize(
    "address",
    ["eve@evil.example", "eve@mail.corp.example", "eve@corp.example.evil", "eve@[192.0.2.1]"],
)
def test_mailboxes_elsewhere_are_refused(ca: Home, now: datetime, address: str) -> None:
    """The CA speaks for its own domains only; a subdomain is another domain."""
    entries = len(ca.register.ledger.entries())
    with pytest.raises(UsageError):
        issue(ca, now, address)
    assert len(ca.register.ledger.entries()) == entries


def test_a_certificate_cannot_outlive_its_issuer(ca: Home, now: datetime) -> None:
    """Readers would refuse its last months (RFC 5280, 6.1.3); the text says how many days fit."""
    with pytest.raises(UsageError, match=r"Use --days 18\d\d or less"):
        issue(ca, now, days=2000)


def test_the_usual_validity_ends_with_the_issuer_at_the_latest(ca: Home, now: datetime) -> None:
    """Without --days the end is shortened, not refused."""
    end = ca.authority("issuing").not_after
    assert issue(ca, end - timedelta(days=10)).not_after == end


def test_an_ended_issuer_issues_nothing(ca: Home, now: datetime) -> None:
    """Not even shortened to nothing."""
    with pytest.raises(UsageError, match="ended"):
        issue(ca, ca.authority("issuing").not_after + timedelta(days=1))


def test_an_address_with_a_space_is_refused(ca: Home, now: datetime) -> None:
    """The gateway would take the certificate for forged (F28), so it is not made."""
    with pytest.raises(UsageError, match="space"):
        issue(ca, now, '"a b"@corp.example')


@pytest.mark.parametrize("name", ["Al\x00ice", "Alice\u202e", "x" * 65, "Alice\nBob"])
def test_names_that_deceive_or_do_not_fit_are_refused(ca: Home, now: datetime, name: str) -> None:
    """Control and invisible characters make two names look the same."""
    with pytest.raises(UsageError):
        issue(ca, now, name=name)


def test_the_subscribers_key_is_kept_encrypted(ca: Home, now: datetime) -> None:
    """The key file opens with the CA's passphrase only, and belongs to the certificate."""
    certified = issue(ca, now)
    path = ca.key_path(certified.serial)
    key = keys.read_key(path, PASSPHRASE)
    assert key.public_key() == certified.certificate.public_key()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(PassphraseError):
        keys.read_key(path, b"wrong")


def test_a_key_from_a_request_is_certified_and_not_kept(ca: Home, now: datetime) -> None:
    """The owner of the key keeps it to himself."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    certified = issue(ca, now, public_key=public)
    assert certified.certificate.public_key() == public
    assert not certified.key_held
    assert not ca.key_path(certified.serial).exists()


def test_the_cas_own_key_is_certified_for_nobody(ca: Home, now: datetime) -> None:
    """A mailbox certificate for the CA's key would let signatures be confused."""
    public = ca.issuer("issuing", PASSPHRASE).key.public_key()
    with pytest.raises(RequestError, match="CA's own key"):
        issue(ca, now, public_key=public)


def test_the_key_of_somebody_else_is_not_certified(ca: Home, now: datetime) -> None:
    """Who has it reads the mail of both, and one signature has two names (M18)."""
    key = issue(ca, now).certificate.public_key()
    with pytest.raises(RequestError, match="is certified for <alice@"):
        issue(ca, now, "bob@corp.example", public_key=key)


def test_a_compromised_key_is_never_certified_again(ca: Home, now: datetime) -> None:
    """S/MIME BR, 6.1.1.3: a key that somebody else has is refused for ever."""
    certified = issue(ca, now)
    revoke_and_list(ca, certified, now, "keyCompromise")
    with pytest.raises(RequestError, match="compromised"):
        issue(ca, now, "bob@corp.example", public_key=certified.certificate.public_key())


def test_renewal_makes_a_new_key_and_leaves_the_old_certificate_valid(
    ca: Home, now: datetime
) -> None:
    """Mail on its way to the old key can be read until it ends."""
    old = issue(ca, now, name="Alice Adams", profile=Profile.ENCRYPT)
    new = _renew(ca, old, now)
    assert new.certificate.public_key() != old.certificate.public_key()
    assert new.certificate.subject == old.certificate.subject
    assert (new.mailbox, new.profile, new.renews) == (old.mailbox, old.profile, old.serial)
    assert ca.register.find(serial_text(old.serial)).status(now) == "valid"


def test_renewal_may_keep_the_key(ca: Home, now: datetime) -> None:
    """Then the CA still has the key, so that it can be exported with the new certificate."""
    old = issue(ca, now)
    new = _renew(ca, old, now, keep_key=True)
    assert new.certificate.public_key() == old.certificate.public_key()
    assert new.key_held
    assert keys.read_key(ca.key_path(new.serial), PASSPHRASE).public_key() == (
        old.certificate.public_key()
    )


def test_renewal_of_a_requested_certificate_needs_its_owner(ca: Home, now: datetime) -> None:
    """The CA cannot make a new key for somebody who keeps his own."""
    old = issue(ca, now, public_key=ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(UsageError, match="--csr"):
        _renew(ca, old, now)


def test_nothing_follows_a_revoked_certificate(ca: Home, now: datetime) -> None:
    """Whoever lost it is looked at again before he gets a new one."""
    old = issue(ca, now)
    revoke_and_list(ca, old, now, "superseded")
    with pytest.raises(UsageError, match="revoked"):
        _renew(ca, ca.register.find(serial_text(old.serial)), now)


def test_an_unknown_serial_number_suggests_the_nearest(ca: Home, now: datetime) -> None:
    """One wrong digit is the usual mistake."""
    text = serial_text(issue(ca, now).serial)
    wrong = text[:5] + ("0" if text[5] != "0" else "1") + text[6:]
    with pytest.raises(UnknownSerialError, match=text):
        ca.register.find(wrong)


@pytest.mark.parametrize("write", [str.lower, ":".join, lambda t: t[:10]])
def test_serial_numbers_are_found_in_every_spelling(ca: Home, now: datetime, write) -> None:
    """Lower case, with colons as OpenSSL prints, or the first digits."""
    certified = issue(ca, now)
    assert ca.register.find(write(serial_text(certified.serial))).serial == (certified.serial)


def test_an_ambiguous_beginning_is_not_guessed(ca: Home, now: datetime) -> None:
    """Revoking the wrong certificate cannot be undone."""
    issuer = ca.issuer("issuing", PASSPHRASE)
    for serial in (0xABCDEF01, 0xABCDEF02):
        issuance.issue(
            ca, issuer, order(), passphrase=PASSPHRASE, now=now, draw_serial=lambda s=serial: s
        )
    with pytest.raises(UsageError, match="fits 2"):
        ca.register.find("ABCDEF")


def test_certificates_are_found_by_mailbox_in_every_case(ca: Home, now: datetime) -> None:
    """ASCII local parts are compared without case, as the gateway does."""
    certified = issue(ca, now, "Alice@Corp.Example")
    assert ca.register.find_mailbox(Mailbox.parse("alice@corp.example")) == (certified,)


def _renew(ca: Home, old: Certified, now: datetime, *, keep_key: bool = False):
    successor = renewal.renewal(ca, old, passphrase=PASSPHRASE, keep_key=keep_key, days=None)
    issuer = ca.issuer("issuing", PASSPHRASE)
    return issuance.issue(ca, issuer, successor, passphrase=PASSPHRASE, now=now)


def _extension(certificate: x509.Certificate, kind: type):
    return certificate.extensions.get_extension_for_class(kind)
