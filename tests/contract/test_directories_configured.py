"""Every kind of directory as an administrator configures it, asked with ``directory find``."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.dns.smimea import owner_name
from smimegw.addresses import Mailbox
from smimegw.cli.directory import directory
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import Slapd
from tests.peers.unbound import Unbound

CA = make_ca("Configured CA")
STRANGER = make_ca("A CA that nobody trusts")
OWN = [("embedded:embedded", "none"), ("harvest:mail", "none")]
STAFF, DNS = "alice@corp.example", "bob@partner.example"


@functools.cache
def certificate(address: str, *, trusted: bool = True) -> Issued:
    return (CA if trusted else STRANGER).issue(address, key="p256")


@dataclass(frozen=True, kw_only=True)
class Site:
    """A configuration of an LDAP directory, DNS and the gateway's own database."""

    folder: Path
    unbound: Unbound

    def find(self, address: str, *arguments: str, more: str = "") -> Result:
        path = self.folder / "smimegw.toml"
        text = (self.folder / "text").read_text()
        path.write_text(text + more)
        return CliRunner().invoke(directory, ["find", address, "-c", str(path), *arguments])

    def check(self, address: str, name: str) -> list[str]:
        """What ``directory check`` says, a line each."""
        path = self.folder / "smimegw.toml"
        path.write_text((self.folder / "text").read_text())
        words = ["check", address, "--name", name, "-c", str(path)]
        result = CliRunner().invoke(directory, words)
        assert result.exit_code in {0, 3}, result.output
        return result.stdout.splitlines()

    def values(self, address: str, more: str = "") -> dict[str, Any]:
        found = json.loads(self.find(address, "--json", more=more).stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("configured")
    with Slapd() as slapd, Unbound() as unbound:
        slapd.add_person(STAFF, certificates=[certificate(STAFF).certificate.der])
        stranger = f"stranger@{DNS.partition('@')[2]}"
        lines = [
            f"{owner_name(Mailbox.parse(address))}. SMIMEA 3 0 0 {issued.certificate.der.hex()}"
            for address, issued in (
                (DNS, certificate(DNS)),
                (stranger, certificate(stranger, trusted=False)),
            )
        ]
        unbound.publish("partner.example", lines)
        unbound.publish("broken.example", ["x A 127.0.0.1"], expired=True)
        unbound.restart()
        open_database(str(folder / "own.db")).dispose()
        (folder / "ca.pem").write_bytes(CA.pem)
        (folder / "ca.crl").write_bytes(CA.crl())
        (folder / "password").write_text(slapd.gateway_password)
        (folder / "text").write_text(
            f"""version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
state_directory = "."
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.corp.example:25"
[database]
url = "own.db"
[dns]
resolver = "127.0.0.1:{unbound.port}"
[[directory]]
kind = "ldap"
name = "staff"
url = "{slapd.ldap_url}"
base = "{slapd.people_base}"
bind = {{ dn = "{slapd.gateway_dn}", password = {{ file = "password" }} }}
domains = ["corp.example"]
deadline = "20s"
[[directory]]
kind = "smimea"
deadline = "20s"
domains = ["partner.example", "broken.example"]
[[directory]]
kind = "embedded"
[limits]
lookup_seconds = 60
"""
        )
        yield Site(folder=folder, unbound=unbound)


TRUST = '[trust]\nanchors = ["ca.pem"]\ncrls = ["ca.crl"]\n'


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        (STAFF, [("ldap:staff", "found")]),
        (DNS, [("smimea:dns", "found")]),
        ("nobody@partner.example", [("smimea:dns", "none"), *OWN]),
        ("nobody@else.example", OWN),
        ("bob@broken.example", [("smimea:dns", "failed")]),
    ],
)
def test_each_recipient_is_looked_for_where_the_configuration_says(
    site: Site, address: str, asked: list[tuple[str, str]]
) -> None:
    """In the order of the tables, and only where his domain is meant (R-01, R-06)."""
    found = site.values(address, TRUST)
    assert [(entry["source"], entry["said"]) for entry in found["sources"]] == asked


def test_people_see_who_was_asked_and_what_was_said(site: Site) -> None:
    """Before the certificate itself (RFC 8162)."""
    result = site.find(DNS, more=TRUST)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("asked      smimea:dns: 1 found\n")
    assert "usable: valid" in result.stdout


def test_people_see_why_a_source_failed(site: Site) -> None:
    """Exit code 4: ask again when it is repaired (R-06)."""
    result = site.find("bob@broken.example", more=TRUST)
    assert result.exit_code == 4
    assert "its DNSSEC signatures do not fit" in result.stdout


@pytest.mark.parametrize(("word", "reason"), [("chain", "untrusted-ca"), ("dns", "")])
def test_the_configuration_says_whether_dns_is_enough(site: Site, word: str, reason: str) -> None:
    """By default it is not (RFC 6698, 2.1.1)."""
    found = site.values("stranger@partner.example", f'{TRUST}smimea = "{word}"\n')
    assert [entry["reason"] for entry in found["certificates"]] == [reason]


def test_what_rests_on_dns_alone_is_said_so(site: Site) -> None:
    """No CA vouches for it, and nobody shall think so (RFC 6698, 2.1.1)."""
    result = site.find("stranger@partner.example", more=f'{TRUST}smimea = "dns"\n')
    assert "status its domain's signed word (DNSSEC)" in result.stdout


@pytest.mark.parametrize(("name", "address"), [("staff", DNS), ("dns", STAFF)])
def test_a_check_asks_nobody_about_people_of_others(site: Site, name: str, address: str) -> None:
    """A source that is bound to domains is looked at with those (T-14)."""
    lines = site.check(address, name)
    assert f"<{address}>: is asked about " in lines[0]
    assert not [line for line in lines[1:] if address in line]
