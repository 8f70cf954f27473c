"""What each profile puts into a certificate, and who may have it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import profiles, subjects
from pki.errors import RequestError
from pki.keys import KeyKind
from pki.profiles import SUBSCRIBER, Baseline, Profile
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from tests.fakes import authorities
from tests.fakes.authorities import ROWS

ALICE = Mailbox.parse("alice@example.com")
USES = {
    KeyKind.RSA_3072: ("digital_signature", "key_encipherment"),
    KeyKind.P_256: ("digital_signature", "key_agreement"),
    KeyKind.ED25519: ("digital_signature", None),
    KeyKind.X25519: (None, "key_agreement"),
    KeyKind.BRAINPOOL_P384R1: ("digital_signature", "key_agreement"),
    KeyKind.ML_DSA_65: ("digital_signature", None),
    KeyKind.ML_KEM_768: (None, "key_encipherment"),
}


def _uses(usage: x509.KeyUsage) -> set[str]:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign"),
    )
    return {name for name in names if getattr(usage, name)}


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("profile", SUBSCRIBER)
def test_key_usage_is_what_the_key_can_do(profile: Profile, kind: KeyKind) -> None:
    """RSA and KEM keys encipher, curves agree (RFC 8550, 4.4.2; RFC 8410, 5; RFC 9935, 5)."""
    if (profile, kind) not in ROWS:
        with pytest.raises(RequestError, match=r"cannot sign|Nobody can encrypt"):
            profiles.check_key(profile, authorities.public_key(kind))
        return
    signing, encrypting = USES[kind]
    wanted = {signing} if profile.signs else set()
    wanted |= {encrypting} if profile.encrypts else set()
    assert _uses(profiles.key_usage(profile, authorities.public_key(kind))) == wanted


@pytest.mark.parametrize("profile", SUBSCRIBER)
def test_subscribers_are_no_cas_and_for_mail_only(profile: Profile) -> None:
    """BasicConstraints and ExtendedKeyUsage (RFC 5280, 4.2.1.9; S/MIME BR, 7.1.2.3)."""
    kind = KeyKind.P_256
    found = authorities.certificate(profile, kind).extensions
    assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]


def test_the_issuing_ca_ends_the_path_and_keeps_to_its_domains() -> None:
    """Path length 0, rfc822 name constraints, mail only (RFC 5280, 4.2.1.9 and 4.2.1.10)."""
    found = authorities.chain(KeyKind.P_256).issuing.certificate.extensions
    constraints = found.get_extension_for_class(x509.NameConstraints)
    assert found.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.RFC822Name("example.com")]
    usage = found.get_extension_for_class(x509.KeyUsage).value
    assert _uses(usage) == {"key_cert_sign", "crl_sign"}


@pytest.mark.parametrize(
    ("profile", "local_part"),
    [
        (Profile.DOMAIN_SIGN, "domain-signing-authority"),
        (Profile.DOMAIN_ENCRYPT, "domain-confidentiality-authority"),
    ],
)
def test_a_gateway_has_a_name_of_its_own(profile: Profile, local_part: str) -> None:
    """A reader knows by it who speaks for a whole domain (RFC 3183, 3.1.1 and 4.1)."""
    made = authorities.certificate(profile, KeyKind.P_256)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [f"{local_part}@example.com"]
    with pytest.raises(UsageError, match=local_part):
        profiles.check_mailbox(profile, ALICE)


@pytest.mark.parametrize("profile", [Profile.BOTH, Profile.SPONSOR_SIGN])
def test_nobody_else_gets_a_gateways_name(profile: Profile) -> None:
    """Else a user could speak for the domain (RFC 3183, 3.1.1; T-08)."""
    mailbox = Mailbox.parse("Domain-Signing-Authority@example.com")
    with pytest.raises(UsageError, match="speaks for its whole domain"):
        profiles.check_mailbox(profile, mailbox)


# --- names ---------------------------------------------------------------------------------------


def _subject(profile: Profile, name: str, **changes: object) -> dict[str, str]:
    values = {
        "organization": "Example",
        "country": "DE",
        "organization_identifier": "NTRDE-HRB.12345",
        **changes,
    }
    made = subjects.subject(profile, ALICE, name, **values)
    return {attribute.oid._name: str(attribute.value) for attribute in made}


@pytest.mark.parametrize("baseline", [Baseline.STRICT, Baseline.MULTIPURPOSE])
def test_a_mailbox_validated_subject_is_the_address_alone(baseline: Baseline) -> None:
    """The CA looked at nothing else (S/MIME BR, 7.1.4.2.3)."""
    found = _subject(Profile.BOTH, "Alice Adams", baseline=baseline)
    assert found == {"commonName": "alice@example.com"}


def test_without_the_baseline_requirements_names_stand_there() -> None:
    """As people read them."""
    found = _subject(Profile.BOTH, "Alice Adams")
    assert list(found.values()) == ["DE", "Example", "Alice Adams"]


@pytest.mark.parametrize(
    ("name", "given", "surname"),
    [
        ("Alice Adams", "Alice", "Adams"),
        ("van Beethoven, Ludwig", "Ludwig", "van Beethoven"),
        ("Anna Maria Adams", "Anna Maria", "Adams"),
    ],
)
def test_a_sponsored_person_has_given_name_and_surname(name: str, given: str, surname: str) -> None:
    """With the organization that vouches, and its entry in a register (S/MIME BR, 7.1.4.2.5)."""
    found = _subject(Profile.SPONSOR_BOTH, name)
    assert found == {
        "countryName": "DE",
        "organizationName": "Example",
        NameOID.ORGANIZATION_IDENTIFIER._name: "NTRDE-HRB.12345",
        "givenName": given,
        "surname": surname,
        "commonName": f"{given} {surname}",
    }


def test_one_word_is_a_pseudonym() -> None:
    """Neither given name nor surname would be true (S/MIME BR, 7.1.4.2.2 e)."""
    assert _subject(Profile.SPONSOR_SIGN, "Helpdesk")["pseudonym"] == "Helpdesk"


@pytest.mark.parametrize(
    "missing", [{"name": ""}, {"organization": ""}, {"organization_identifier": ""}]
)
def test_a_sponsor_has_to_be_named(missing: dict[str, str]) -> None:
    """What is missing cannot be validated (S/MIME BR, 7.1.4.2.5)."""
    values = {"name": "Alice Adams", **missing}
    with pytest.raises(UsageError, match="vouches"):
        _subject(Profile.SPONSOR_BOTH, values.pop("name"), **values)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("NTRDE-HRB.12345", True),
        ("VATDE-123456789", True),
        ("LEIXG-529900T8BM49AURSDO55", True),
        ("NTRUS+CA-12345", True),
        ("GOVDE", True),
        ("HRB 12345", False),
        ("ntrde-1", False),
        ("NTRDE-", False),
    ],
)
def test_organization_identifiers_have_a_form(text: str, good: bool) -> None:
    """Register, country, perhaps state, number (ETSI EN 319 412-1, 5.1.4)."""
    assert subjects.is_organization_identifier(text) is good
