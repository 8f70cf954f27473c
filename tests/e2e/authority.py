"""One company's certificate authority, by its command line only."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.programs import program
from tests.interop.openssl import openssl
from tests.peers.slapd import Slapd

_PASSPHRASE = "correct horse battery staple"


class Authority:
    """Issues, renews, revokes and publishes into the company's LDAP directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.secret = directory / "passphrase"
        self.secret.write_text(_PASSPHRASE + "\n")
        self.secret.chmod(0o600)
        self.home = directory / "ca"
        self._issued = 0
        self._run("init", "--name", name, "--key", "p-256")

    @property
    def anchor(self) -> Path:
        """The root certificate, PEM."""
        return self.home / "root" / "certificate.pem"

    def issue(self, address: str, *, key: str = "p-256") -> Path:
        """Issue for *address* and return the PKCS #12 file."""
        return self._issued_file("issue", address, "--key", key)

    def renew(self, address: str) -> Path:
        """Certify a new key for *address* and return the PKCS #12 file."""
        return self._issued_file("renew", address)

    def revoke(self, container: Path) -> None:
        """Revoke the certificate in *container* and make a new CRL."""
        self._run("revoke", self.serial(container), "--reason", "keyCompromise", "--yes")
        self._run("crl", "make")

    def rekey(self, container: Path) -> Path:
        """Replace the certificate in *container* by one with a new key; return that file."""
        reason = ("--reason", "keyCompromise", "--yes")
        new = self._issued_file("rekey", self.serial(container), *reason)
        self._run("crl", "make")
        return new

    def hold(self, container: Path) -> None:
        """Put the certificate in *container* on hold and make a new CRL."""
        self._run("hold", self.serial(container))
        self._run("crl", "make")

    def release(self, container: Path) -> None:
        """End the hold and make a new CRL."""
        self._run("release", self.serial(container))
        self._run("crl", "make")

    def roll_over(self) -> None:
        """Give the issuing CA a new key."""
        self._run("rollover", "--key", "p-256", "--yes")

    def issue_everybody(self, slapd: Slapd, ldap_filter: str) -> list[Path]:
        """Issue for whoever *slapd* finds and return the PKCS #12 files."""
        password = self.directory / "ldap-password"
        password.write_text(slapd.publisher_password + "\n")
        values = {
            "url": slapd.ldaps_url,
            "bind_dn": slapd.publisher_dn,
            "password_file": str(password),
            "base": slapd.people_base,
            "ca": str(slapd.ca),
        }
        settings = self.home / "ca.toml"
        before, table, _ = settings.read_text().partition("[directory]")
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        settings.write_text("\n".join([before + table, *lines]) + "\n")
        self._issued += 1
        folder = self.directory / "issued" / str(self._issued)
        words = ("issue", "--from-ldap", ldap_filter, "--key", "p-256", "--jobs", "1", "--yes")
        self._run(*words, "-o", folder, "--p12-passphrase-file", self.secret)
        return sorted(folder.glob("*.p12"))

    def publish(self, slapd: Slapd) -> None:
        """Write everything into *slapd*, as the identity for publishers, over verified TLS."""
        password = self.directory / "ldap-password"
        password.write_text(slapd.publisher_password + "\n")
        self._run(
            *("publish", "--ldap", slapd.ldaps_url, "--ca", slapd.ca),
            *("--bind-dn", slapd.publisher_dn, "--password-file", password),
            *("--people-base", slapd.people_base, "--authorities-base", slapd.authorities_base),
        )

    def publish_embedded(self, database: Path) -> None:
        """Write everything into a gateway's own database."""
        self._run("publish", "--embedded", database)

    # --- what is in a PKCS #12 file ---------------------------------------------------------------

    def pem(self, container: Path) -> Path:
        """Certificate, chain and key of *container* in one PEM file, for openssl."""
        target = container.with_suffix(".everything.pem")
        target.write_bytes(
            openssl("pkcs12", "-in", container, "-passin", f"file:{self.secret}", "-nodes")
        )
        return target

    def serial(self, container: Path) -> str:
        """Serial number of the certificate in *container*, hexadecimal."""
        text = openssl("x509", "-in", self.pem(container), "-noout", "-serial").decode()
        return text.strip().partition("=")[2]

    def der(self, container: Path) -> bytes:
        """The certificate in *container*."""
        return openssl("x509", "-in", self.pem(container), "-outform", "DER")

    def _issued_file(self, *words: str) -> Path:
        self._issued += 1
        folder = self.directory / "issued" / str(self._issued)
        self._run(*words, "-o", folder, "--p12-passphrase-file", self.secret)
        (container,) = folder.glob("*.p12")
        return container

    def _run(self, *words: str | Path) -> str:
        common = ["-d", self.home, "--no-input", "--quiet"]
        if words[0] not in {"publish", "revoke", "hold", "release"}:
            common += ["--passphrase-file", self.secret]
        return program("smimegw-ca", *words, *common)
