"""From the CA through a real slapd to the gateway's judgement, for every fate of a user."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pki import founding, issuance, opening
from pki.cli import main, publishing
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.cli.directory import directory
from tests.interop.openssl import openssl
from tests.peers.slapd import Slapd

PASSPHRASE = b"correct horse battery"
FOUNDED_DAYS = 400
COMMAND = publishing.publish  # imported before the first test is timed


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        yield server


class Loop:
    """A CA that is older than a year, the directory that it publishes to, and who reads there."""

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        self.slapd = slapd
        self.path = folder / "ca"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_bytes(PASSPHRASE)
        self.password = folder / "password"
        self.password.write_text(slapd.publisher_password)
        (folder / "gateway.password").write_text(slapd.gateway_password)
        plan = founding.Founding(
            name="Loop CA", settings=Settings(domains=("corp.example",)), key_kind=KeyKind.P_256
        )
        founded = datetime.now(UTC) - timedelta(days=FOUNDED_DAYS)
        founding.initialise(self.path, plan, passphrase=PASSPHRASE, now=founded)
        self.type("crl", "make", "--root")
        self.type("crl", "make")
        self.configuration = folder / "smimegw.toml"
        self.configuration.write_text(f"""\
version = 1
[gateway]
hostname = "gw.partner.example"
internal_domains = ["partner.example"]
state_directory = "{folder}"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.partner.example:25"
[trust]
anchors = ["{self.path}/root/certificate.pem"]
[[directory]]
kind = "ldap"
name = "corp"
url = "{slapd.ldaps_url}"
ca = "{slapd.ca}"
base = "{slapd.people_base}"
authority_base = "{slapd.authorities_base}"
deadline = "60s"
bind = {{ dn = "{slapd.gateway_dn}", password = {{ file = "{folder}/gateway.password" }} }}
""")

    def type(self, *words: str | Path) -> str:
        environment = {
            "SMIMEGW_CA_DIRECTORY": str(self.path),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.passphrase),
        }
        result = CliRunner().invoke(main, [str(word) for word in words], env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    def issue(self, address: str, *words: str) -> str:
        """Issue a certificate and return its serial number."""
        return self.type("issue", address, "--key", "p-256", *words).split()[-1]

    def issued_long_ago(self, address: str, days: int) -> str:
        """As `issue`, a year ago."""
        now = datetime.now(UTC) - timedelta(days=FOUNDED_DAYS - 10)
        with opening.changing(self.path, now=now) as opened:
            order = Order(
                mailbox=Mailbox.parse(address),
                profile=Profile.BOTH,
                key_kind=KeyKind.P_256,
                days=days,
            )
            issuer = opened.issuer("issuing", PASSPHRASE)
            certified = issuance.issue(opened, issuer, order, passphrase=PASSPHRASE, now=now)
        return serial_text(certified.serial)

    def publish(self, *words: str) -> None:
        self.type(
            *("publish", "--ldap", self.slapd.ldaps_url, "--ca", self.slapd.ca),
            *("--bind-dn", self.slapd.publisher_dn, "--password-file", self.password),
            *("--people-base", self.slapd.people_base),
            *("--authorities-base", self.slapd.authorities_base, *words),
        )

    def judged(self, address: str) -> dict[str, str]:
        """What the gateway says of each certificate that it finds, by SHA-256."""
        result = CliRunner().invoke(
            directory, ["find", address, "--json", "--config", str(self.configuration)]
        )
        values: dict[str, Any] = json.loads(result.stdout)
        return {
            item["sha256"]: "usable" if item["usable"] else item["reason"]
            for item in values["certificates"]
        }

    def sha256(self, serial: str) -> str:
        path = self.path / "issued" / serial / "certificate.pem"
        text = openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").decode()
        return text.partition("=")[2].strip().replace(":", "").lower()

    def der(self, serial: str) -> bytes:
        path = self.path / "issued" / serial / "certificate.pem"
        return openssl("x509", "-in", path, "-outform", "DER")

    def put(self, address: str, serial: str) -> None:
        """What somebody else writes into a person's entry."""
        self.slapd.add(
            f"dn: mail={address},{self.slapd.people_base}\nchangetype: modify\n"
            "add: userCertificate;binary\nuserCertificate;binary:: "
            f"{base64.b64encode(self.der(serial)).decode()}\n"
        )


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, slapd: Slapd) -> Loop:
    return Loop(tmp_path_factory.mktemp("loop"), slapd)


def test_a_new_users_certificate_is_usable(loop: Loop) -> None:
    """Issued and published: path and CRL come from the directory, too."""
    serial = loop.issue("new@corp.example")
    assert loop.judged("new@corp.example") == {}
    loop.publish()
    assert loop.judged("new@corp.example") == {loop.sha256(serial): "usable"}


def test_a_renewed_user_has_two_usable_certificates(loop: Loop) -> None:
    """Mail on its way to the old key can be read until that ends (cases F24)."""
    old = loop.issue("renewed@corp.example")
    new = loop.type("renew", old).split()[-1]
    loop.publish()
    assert loop.judged("renewed@corp.example") == {
        loop.sha256(old): "usable",
        loop.sha256(new): "usable",
    }


def test_a_rekeyed_user_has_only_the_new_certificate(loop: Loop) -> None:
    """The old key is given up: it leaves the directory at once."""
    old = loop.issue("rekeyed@corp.example")
    loop.publish()
    loop.type("rekey", old, "--reason", "keyCompromise", "-y")
    loop.type("crl", "make")
    loop.publish()
    assert list(loop.judged("rekeyed@corp.example").values()) == ["usable"]
    assert loop.sha256(old) not in loop.judged("rekeyed@corp.example")


def test_a_revoked_user_has_none(loop: Loop) -> None:
    """And what somebody puts back is on the CRL (cases F15)."""
    serial = loop.issue("revoked@corp.example")
    loop.publish()
    loop.type("revoke", serial, "--reason", "keyCompromise", "-y")
    loop.type("crl", "make")
    loop.publish()
    assert loop.judged("revoked@corp.example") == {}
    loop.put("revoked@corp.example", serial)
    assert loop.judged("revoked@corp.example") == {loop.sha256(serial): "revoked"}


def test_a_user_on_hold_comes_back(loop: Loop) -> None:
    """Withdrawn while the hold lasts, published again after it (RFC 5280, 5.3.1)."""
    serial = loop.issue("held@corp.example")
    loop.publish()
    loop.type("hold", serial, "-y")
    loop.publish()
    assert loop.judged("held@corp.example") == {}
    loop.type("release", serial)
    loop.type("crl", "make")
    loop.publish()
    assert loop.judged("held@corp.example") == {loop.sha256(serial): "usable"}


def test_an_expired_users_certificate_leaves(loop: Loop) -> None:
    """Unless it is to be kept for a while; it is not used then either (cases F05)."""
    serial = loop.issued_long_ago("expired@corp.example", days=30)
    loop.slapd.add_person("expired@corp.example", certificates=[loop.der(serial)])
    loop.publish("--keep-expired", "1000")
    assert loop.judged("expired@corp.example") == {loop.sha256(serial): "expired"}
    loop.publish()
    assert loop.judged("expired@corp.example") == {}


def test_a_certificate_in_a_wrong_entry_is_not_used(loop: Loop) -> None:
    """The address must be in the certificate, not only in the entry (T-11)."""
    serial = loop.issue("right@corp.example")
    loop.publish()
    loop.slapd.add_person("wrong@corp.example")
    loop.put("wrong@corp.example", serial)
    assert list(loop.judged("wrong@corp.example").values()) == ["address-mismatch"]
    loop.publish()  # it was published for another entry, so it is a stranger's here, and stays
    assert list(loop.judged("wrong@corp.example").values()) == ["address-mismatch"]


def test_what_is_signed_for_the_gateway_is_read_with_its_capabilities(loop: Loop) -> None:
    """The owner's key, held by the CA, signs in userSMIMECertificate (RFC 2798, 2.8)."""
    serial = loop.issue("speaks@corp.example")
    loop.publish("--sign-for", "gateway")
    ldif = loop.slapd.search("(mail=speaks@corp.example)", "userSMIMECertificate")
    value = base64.b64decode(ldif.partition("userSMIMECertificate:: ")[2].split()[0])
    text = openssl("cms", "-cmsout", "-print", "-inform", "DER", stdin=value).decode()
    assert "aes-256-gcm" in text
    assert "S/MIME Capabilities" in text
    assert loop.judged("speaks@corp.example") == {loop.sha256(serial): "usable"}


def test_after_a_roll_over_old_and_new_certificates_are_usable(loop: Loop) -> None:
    """Both keys of the CA, their lists and their cross certificates are in one entry (RFC 4210,
    4.4): whoever was certified before and after is found good."""
    before = loop.issue("before@corp.example")
    loop.publish()
    loop.type("rollover", "--key", "p-256", "--days", "700", "-y")
    after = loop.issue("after@corp.example")
    loop.publish()
    assert loop.judged("before@corp.example") == {loop.sha256(before): "usable"}
    assert loop.judged("after@corp.example") == {loop.sha256(after): "usable"}
    entries = loop.slapd.search(
        "(crossCertificatePair;binary=*)", "*", base=loop.slapd.authorities_base
    )
    assert entries.count("crossCertificatePair;binary::") == 1
    assert entries.count("certificateRevocationList;binary::") == 2
