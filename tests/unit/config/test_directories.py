"""Directories outside: for whom they are asked, and who is asked about DNS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smimegw.config.choices import Harvest, TrustSMIMEA
from smimegw.config.describe import sample
from smimegw.config.directories import FoundLDAPDirectory, LDAPDirectory, SMIMEADirectory
from smimegw.config.hosts import DomainRule, domain_rule
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.config.values import Domain, Endpoint
from smimegw.errors import ConfigurationError
from smimegw.toml.structure import FaultError

BASE = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.corp.example:25"
"""
SRV = '[[directory]]\nkind = "ldap-srv"\n'


def loaded(folder: Path, text: str) -> Configuration:
    path = folder / "smimegw.toml"
    path.write_text(BASE + text)
    return load(path, check_files=False)


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text)
    (found,) = caught.value.problems
    return f"{found.key}: {found.message}"


def test_a_partners_directory_is_bound_to_his_domains(tmp_path: Path) -> None:
    """He is not told whom else we write to (T-14)."""
    (found,) = loaded(
        tmp_path,
        '[[directory]]\nkind = "ldap"\nname = "partner"\nurl = "ldaps://ldap.partner.example"\n'
        'base = ""\ndomains = ["partner.example", "*.partner.example"]\nmay_be_skipped = true\n',
    ).directories
    assert isinstance(found, LDAPDirectory)
    assert [str(rule) for rule in found.domains] == ["partner.example", "*.partner.example"]
    assert found.may_be_skipped


def test_directories_found_in_dns_have_sensible_defaults(tmp_path: Path) -> None:
    """Two lines are enough (RFC 2782; RFC 8162)."""
    text = SRV + 'domains = ["*"]\n[[directory]]\nkind = "smimea"\n'
    configuration = loaded(tmp_path, text)
    srv, smimea = configuration.directories
    assert isinstance(srv, FoundLDAPDirectory)
    assert isinstance(smimea, SMIMEADirectory)
    assert (srv.name, smimea.name, smimea.domains) == ("found", "dns", ())
    assert configuration.dns.resolver == Endpoint("127.0.0.1", 53)
    assert configuration.trust.smimea is TrustSMIMEA.CHAIN
    assert configuration.memory.harvest is Harvest.CANDIDATES


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("partner.example", DomainRule(Domain("partner.example"))),
        ("Partner.Example", DomainRule(Domain("partner.example"))),
        ("bücher.example", DomainRule(Domain("xn--bcher-kva.example"))),
        ("*.partner.example", DomainRule(Domain("partner.example"), below=True)),
        ("*", DomainRule(Domain(""))),
    ],
)
def test_domains_are_written_as_people_write_them(written: str, rule: DomainRule) -> None:
    """Compared as A-labels (RFC 5280, 7.5)."""
    assert domain_rule(written) == rule


@pytest.mark.parametrize(
    "written", ["", "*.", "a b", "@partner.example", "**", ".example", 1, None]
)
def test_what_is_no_domain_is_refused(written: object) -> None:
    """With what to write instead."""
    with pytest.raises(FaultError, match='Write "partner'):
        domain_rule(written)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (SRV, "directory[0].domains", "missing"),
        (SRV + "domains = []\n", "directory[0].domains", "nobody would be looked for"),
        (SRV + 'domains = ["*"]\nfilter = "(mail=x)"\n', "directory[0].filter", "for everybody"),
        (SRV + 'domains = ["*"]\nattributes = []\n', "directory[0].attributes", "empty"),
        (SRV + 'domains = ["*"]\ndeadline = "0s"\n', "directory[0].deadline", "longer than"),
        (SRV + 'domains = ["*"]\nurl = "ldap://x"\n', "directory[0].url", "unknown key"),
        ('[dns]\nresolver = "192.0.2.1:853"\n', "dns.resolver", "Write tls_name"),
        ('[trust]\nsmimea = "yes"\n', "trust.smimea", "Allowed: chain, dns"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, key: str, words: str) -> None:
    """And with what would be right."""
    found = problem(tmp_path, text)
    assert found.startswith(f"{key}: ")
    assert words in found


def test_a_resolver_elsewhere_is_asked_over_tls(tmp_path: Path) -> None:
    """RFC 7858."""
    text = '[dns]\nresolver = "192.0.2.1:853"\ntls_name = "dns.corp.example"\n'
    assert loaded(tmp_path, text).dns.tls_name == "dns.corp.example"


def test_tables_that_may_be_added_load_when_they_are_added(tmp_path: Path) -> None:
    """What the sample shows as comment is right, too."""
    added = re.sub(r"^#   (?=\[\[|\w+ = )", "", sample(), flags=re.MULTILINE)
    path = tmp_path / "smimegw.toml"
    path.write_text(added)
    kinds = [entry.kind for entry in load(path, check_files=False).directories]
    assert kinds == ["ldap", "ldap-srv", "smimea", "embedded"]
