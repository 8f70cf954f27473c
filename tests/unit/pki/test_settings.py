"""ca.toml: what init writes is read back, and every mistake in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pki import setting_values, settings
from pki.practice import Addresses, Duplicates, Practice
from pki.profiles import Baseline
from pki.settings import Settings
from smimegw.errors import ConfigurationError, UsageError

FULL = Settings(
    organization='Müller "& Söhne"',
    country="DE",
    organization_identifier="NTRDE-HRB.12345",
    domains=("corp.example", ".corp.example"),
    mailbox_days=365,
    crl_days=3,
    root_crl_days=180,
    crl_urls=("http://pki.corp.example/issuing.crl",),
    delta_days=2,
    issuer_urls=("http://pki.corp.example/issuing.cer",),
    ocsp_urls=("http://pki.corp.example/ocsp",),
    delta_urls=("http://pki.corp.example/issuing-delta.crl",),
    root_crl_urls=("http://pki.corp.example/root.crl",),
    root_urls=("http://pki.corp.example/root.cer",),
    policies=("2.23.140.1.5.1.3",),
    baseline=Baseline.MULTIPURPOSE,
    ocsp_days=14,
    ocsp_hours=2,
    ocsp_unissued="revoked",
    practice=Practice(
        second_person=True,
        days=3,
        addresses=Addresses.DIRECTORY,
        duplicates=Duplicates.SUPERSEDE,
        renewal_days=40,
        overlap_days=20,
        url="ldaps://ldap.corp.example",
        bind_dn="cn=ca,dc=corp,dc=example",
        password_file="/etc/ca/ldap",
        base="ou=people,dc=corp,dc=example",
        filter="(&(mail=%{address})(active=TRUE))",
        ca="/etc/ca/ldap.pem",
    ),
)


@pytest.mark.parametrize("chosen", [Settings(), FULL])
def test_written_settings_are_read_back(tmp_path: Path, chosen: Settings) -> None:
    """Nothing is lost on the way through the file."""
    path = tmp_path / "ca.toml"
    path.write_text(settings.write(chosen), "utf-8")
    assert settings.load(path) == chosen


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("verson = 1", "Did you mean version"),
        ("country = 'Germany'", "two capital letters"),
        (f"organization = '{'x' * 65}'", "1 to 64 characters"),
        ("organization = 'Corp\u202e'", "invisible"),
        ("domains = 'corp.example'", "a list of texts"),
        ("domains = ['corp example']", "is not a domain"),
        ("days.crl = 0", "1 to 9999"),
        ("days.crl = true", "a whole number"),
        ("urls.crl = ['https://pki.corp.example/x.crl']", "http://"),
        ("policies.oids = ['baseline']", "policies.oids"),
        ("version = 2", "version"),
        ("= 3", "is not TOML"),
        ("requests.second_person = 1", "true or false"),
        ("requests.days = 0", "1 to 999"),
        ("requests.duplicates = 'ignore'", "allow, refuse, supersede"),
        ("requests.addresses = 'directory'", "needs url and base"),
        ("requests.second_persons = true", "Did you mean second_person"),
        ("renewal.overlap = 60", "Make that one larger"),
        ("directory = 3", "is no table"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, line: str, expected: str) -> None:
    """File, key, and what is allowed."""
    path = tmp_path / "ca.toml"
    path.write_text(line if line.startswith("version") else f"{line}\nversion = 1\n", "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        settings.load(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    """Nobody mends a file one error at a time."""
    path = tmp_path / "ca.toml"
    path.write_text("version = 1\ncolour = 1\ncountry = 'x'\n[days]\nroot = 3\n", "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        settings.load(path)
    assert [problem.key for problem in caught.value.problems] == ["colour", "country", "days.root"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Corp.Example", "corp.example"),
        (".corp.example", ".corp.example"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_domains_are_written_as_names_in_certificates(text: str, expected: str) -> None:
    """A-labels in lower case; a leading dot means every domain below (RFC 5280, 4.2.1.10)."""
    assert setting_values.parse_domain(text) == expected


@pytest.mark.parametrize("text", ["", ".", "a b", "@corp.example", "[192.0.2.1]", "..corp.example"])
def test_other_texts_are_no_domains(text: str) -> None:
    """A constraint that permits nothing or everything by mistake is worse than none."""
    with pytest.raises(UsageError):
        setting_values.parse_domain(text)
