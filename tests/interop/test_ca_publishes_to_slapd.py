"""`smimegw-ca publish --ldap` against a real OpenLDAP server, seen by ldapsearch and OpenSSL."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pki import founding
from pki.cli import main
from pki.keys import KeyKind
from pki.settings import Settings
from tests.interop.openssl import openssl
from tests.peers.slapd import Slapd

PASSPHRASE = b"correct horse battery"


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        yield server


class Authority:
    """A CA that publishes to one server."""

    def __init__(self, path: Path, slapd: Slapd) -> None:
        self.path = path
        self.slapd = slapd
        self.passphrase = path.parent / "passphrase"
        self.passphrase.write_bytes(PASSPHRASE)
        self.password = path.parent / "password"
        self.password.write_text(slapd.publisher_password)

    def type(self, *words: str | Path) -> Result:
        environment = {
            "SMIMEGW_CA_DIRECTORY": str(self.path),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.passphrase),
        }
        return CliRunner().invoke(main, [str(word) for word in words], env=environment)

    def succeed(self, *words: str | Path) -> str:
        result = self.type(*words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def issue(self, address: str, *words: str) -> str:
        return self.succeed("issue", address, "--key", "p-256", *words).split()[-1]

    def publish(self, *words: str | Path) -> Result:
        return self.type(
            *("publish", "--ldap", self.slapd.ldaps_url, "--ca", self.slapd.ca),
            *("--bind-dn", self.slapd.publisher_dn, "--password-file", self.password),
            *("--people-base", self.slapd.people_base),
            *("--authorities-base", self.slapd.authorities_base, *words),
        )

    def published(self) -> dict[str, int]:
        """Publish and return the counts."""
        result = self.publish("--json")
        assert result.exit_code == 0, result.stderr
        return {k: v for k, v in json.loads(result.stdout).items() if isinstance(v, int)}

    def der(self, serial: str) -> bytes:
        return openssl(
            "x509", "-in", self.path / "issued" / serial / "certificate.pem", "-outform", "DER"
        )


@pytest.fixture
def ca(tmp_path: Path, slapd: Slapd) -> Authority:
    """A new CA, with a name of its own so that tests share the server."""
    plan = founding.Founding(
        name=f"CA of {tmp_path.name}"[:58], settings=Settings(), key_kind=KeyKind.P_256
    )
    founding.initialise(tmp_path / "ca", plan, passphrase=PASSPHRASE, now=datetime.now(UTC))
    return Authority(tmp_path / "ca", slapd)


def _values(slapd: Slapd, address: str, attribute: str) -> set[bytes]:
    """What ldapsearch finds by the filter of a mail program."""
    ldif = slapd.search(f"(mail={address})", attribute)
    return {
        base64.b64decode(value)
        for value in re.findall(rf"^{attribute}(?:;binary)?:: (\S+)$", ldif, re.MULTILINE)
    }


def test_a_new_persons_entry_is_made(ca: Authority, slapd: Slapd) -> None:
    """Mail programs find userCertificate;binary by (mail=…)."""
    serial = ca.issue("new@corp.example", "--name", "Nora New")
    assert ca.published()["published"] == 1
    assert _values(slapd, "new@corp.example", "userCertificate") == {ca.der(serial)}
    assert "cn: Nora New" in slapd.search("(mail=new@corp.example)", "cn")


def test_user_smime_certificate_is_signed_data_with_the_chain(ca: Authority, slapd: Slapd) -> None:
    """RFC 2798, 2.8: a PKCS #7 SignedData; OpenSSL reads both certificates out of it."""
    ca.issue("smime@corp.example")
    ca.published()
    (value,) = _values(slapd, "smime@corp.example", "userSMIMECertificate")
    text = openssl("pkcs7", "-inform", "DER", "-print_certs", "-noout", stdin=value).decode()
    assert "subject=CN = smime@corp.example" in text
    assert text.count("subject=") == 2


def test_an_existing_entry_keeps_what_it_had(ca: Authority, slapd: Slapd) -> None:
    """A certificate of another CA stays, and so do name and telephone."""
    foreign = ca.issue("old@corp.example")
    stranger = ca.der(foreign)
    ca.succeed("revoke", foreign, "--reason", "superseded", "-y")  # so that we do not publish it
    dn = slapd.add_person("keeps@corp.example", name="Kim", certificates=[stranger])
    serial = ca.issue("keeps@corp.example")
    ca.published()
    found = _values(slapd, "keeps@corp.example", "userCertificate")
    assert found == {stranger, ca.der(serial)}
    assert f"dn: {dn}" in slapd.search("(mail=keeps@corp.example)", "cn")


def test_publishing_again_changes_nothing(ca: Authority, slapd: Slapd) -> None:
    """The run after a run is idle."""
    ca.issue("idle@corp.example")
    ca.published()
    counts = ca.published()
    assert {name: counts[name] for name in ("published", "withdrawn", "authorities", "crls")} == {
        "published": 0,
        "withdrawn": 0,
        "authorities": 0,
        "crls": 0,
    }


def test_a_revoked_certificate_leaves_the_entry(ca: Authority, slapd: Slapd) -> None:
    """It is gone from both attributes; the entry stays; the CRL in the directory names it (F15)."""
    serial = ca.issue("gone@corp.example")
    ca.published()
    ca.succeed("revoke", serial, "--reason", "keyCompromise", "-y")
    ca.succeed("crl", "make")
    assert ca.published()["withdrawn"] == 1
    assert _values(slapd, "gone@corp.example", "userCertificate") == set()
    assert _values(slapd, "gone@corp.example", "userSMIMECertificate") == set()
    assert "mail: gone@corp.example" in slapd.search("(mail=gone@corp.example)", "mail")
    crls = [openssl("crl", "-inform", "DER", "-noout", "-text", stdin=c) for c in _crls(ca, slapd)]
    assert sum(serial.encode() in text for text in crls) == 1


def test_a_renewed_certificate_stands_beside_the_old_one(ca: Authority, slapd: Slapd) -> None:
    """Until the old one ends both can be used."""
    old = ca.issue("twice@corp.example")
    ca.published()
    new = ca.succeed("renew", old).split()[-1]
    ca.published()
    assert _values(slapd, "twice@corp.example", "userCertificate") == {ca.der(old), ca.der(new)}


def test_both_cas_and_their_crls_are_published(ca: Authority, slapd: Slapd) -> None:
    """cACertificate and certificateRevocationList in pkiCA entries (RFC 4523)."""
    ca.published()
    ldif = slapd.search("(objectClass=pkiCA)", "cACertificate", "cn", base=slapd.authorities_base)
    values = re.findall(r"^cACertificate;binary:: (\S+)$", ldif, re.MULTILINE)
    certificates = {base64.b64decode(value) for value in values}
    ours = {
        openssl("x509", "-in", ca.path / name / "certificate.pem", "-outform", "DER")
        for name in ("root", "issuing")
    }
    assert ours <= certificates
    assert {(ca.path / name / "crl.der").read_bytes() for name in ("root", "issuing")} <= set(
        _crls(ca, slapd)
    )


def test_a_dry_run_shows_ldif_and_writes_nothing(ca: Authority, slapd: Slapd) -> None:
    """The LDIF is for the LDAP administrator's eyes."""
    ca.issue("dry@corp.example")
    result = ca.publish("--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "dn: mail=dry@corp.example," in result.stdout
    assert "userCertificate;binary::" in result.stdout
    assert slapd.search("(mail=dry@corp.example)", "mail") == ""


def test_a_wrong_password_is_told_without_being_shown(ca: Authority) -> None:
    """The text names the server; the password is nowhere."""
    ca.password.write_text("wrong-secret\n")
    result = ca.publish()
    assert result.exit_code == 4
    assert "127.0.0.1" in result.stderr
    assert "--bind-dn or its password is wrong" in result.stderr  # options, not the gateway's keys
    assert "wrong-secret" not in result.stderr


def test_an_unknown_tls_authority_is_refused(ca: Authority, slapd: Slapd) -> None:
    """Nobody in between may swap the keys that are published."""
    result = ca.publish("--ca", ca.path / "root" / "certificate.pem")
    assert result.exit_code == 4
    assert "cannot be trusted" in result.stderr
    assert slapd.publisher_password not in result.stderr


def test_a_server_in_clear_is_refused(ca: Authority) -> None:
    """ldap:// to another machine would show the password to everybody in between."""
    words = ("--ldap", "ldap://ldap.corp.example")
    result = ca.publish(*words)
    assert result.exit_code == 2
    assert "ldaps://" in result.stderr


def test_a_stopped_server_means_try_again(ca: Authority, slapd: Slapd) -> None:
    """Exit 4; the next run publishes everything."""
    serial = ca.issue("later@corp.example")
    slapd.stop()
    try:
        assert ca.publish().exit_code == 4
    finally:
        slapd.start()
    ca.published()
    assert _values(slapd, "later@corp.example", "userCertificate") == {ca.der(serial)}


def _crls(ca: Authority, slapd: Slapd) -> list[bytes]:
    ldif = slapd.search(
        "(objectClass=pkiCA)", "certificateRevocationList", base=slapd.authorities_base
    )
    values = re.findall(r"^certificateRevocationList;binary:: (\S+)$", ldif, re.MULTILINE)
    return [base64.b64decode(value) for value in values]
