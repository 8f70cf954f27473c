"""A certificate authority with its network services as processes, by their command lines.

ca = ServedCA(tmp_path, options)                      # smimegw-ca init; not running yet
with ca.status() as url: ...                          # smimegw-ca serve
with ca.enrolment() as est: ...                       # smimegw-ca est serve
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.programs import BIN, program
from tests.peers.ports import ProcessGroup, free_port, wait_until

_PASSPHRASE = "correct horse battery staple"
_URL = re.compile(r"https?://127\.0\.0\.1:\d+\S*")


class ServedCA:
    """One CA directory.

    Args:
        directory: For it and everything around it.
        domain: Whose mailboxes it certifies.
        key: Of which kind its keys are.
        deltas: Certificates point to a delta CRL.
    """

    def __init__(
        self,
        directory: Path,
        *,
        domain: str = "ours.example",
        key: str = "p-256",
        deltas: bool = False,
    ) -> None:
        self.directory = directory
        self.home = directory / "ca"
        directory.mkdir(exist_ok=True)
        self.secret = directory / "passphrase"
        self.secret.write_text(_PASSPHRASE + "\n")
        self.port = free_port()
        self.est_port = free_port()
        self.access = directory / "access"
        at = f"http://127.0.0.1:{self.port}"
        self.run(
            *("init", "--name", "Served CA", "--domain", domain, "--key", key),
            *("--crl-url", f"{at}/crl/issuing.crl", "--issuer-url", f"{at}/aia/issuing.cer"),
            *("--root-crl-url", f"{at}/crl/root.crl", "--root-url", f"{at}/aia/root.cer"),
            *("--ocsp-url", f"{at}/ocsp"),
            *(("--delta-url", f"{at}/crl/issuing-delta.crl") if deltas else ()),
        )

    def configure(self, old: str, new: str) -> None:
        """Edit ca.toml."""
        path = self.home / "ca.toml"
        text = path.read_text()
        assert old in text, text
        path.write_text(text.replace(old, new, 1))

    def run(self, *words: str | Path, expect: int = 0) -> str:
        """Run one command."""
        options: list[str | Path] = ["-d", self.home, "--no-input", "--quiet"]
        if words[0] not in {"publish", "revoke", "hold", "release", "list", "show"}:
            options += ["--passphrase-file", self.secret]
        return program("smimegw-ca", *words, *options, expect=expect)

    def issue(self, address: str, *words: str) -> str:
        """Issue a certificate and return its serial number."""
        return self.run("issue", address, "--key", "p-256", *words).split()[0]

    def certificate(self, owner: str) -> Path:
        """A certificate, PEM: of ``root``, ``issuing`` or a serial number."""
        place = owner if owner in {"root", "issuing"} else f"issued/{owner}"
        return self.home / place / "certificate.pem"

    def show(self, serial: str) -> dict[str, Any]:
        """What the CA says of a certificate."""
        return dict(json.loads(self.run("show", serial, "--json")))

    @contextlib.contextmanager
    def status(self, *words: str | Path) -> Iterator[str]:
        """Run ``smimegw-ca serve`` and yield where it is."""
        with self._service("serve", self.port, *words) as url:
            yield url

    @contextlib.contextmanager
    def enrolment(self, *words: str | Path) -> Iterator[str]:
        """Run ``smimegw-ca est serve`` and yield where it is, by the name in its certificate."""
        if not self.access.exists():
            self.run("est", "make", "--gateway", "gw", "-o", self.access)
        secret = ("--passphrase-file", self.secret)
        with self._service("est serve", self.est_port, *secret, *words) as url:
            yield url.replace("127.0.0.1", "localhost")

    @contextlib.contextmanager
    def _service(self, command: str, port: int, *words: str | Path) -> Iterator[str]:
        log = self.directory / f"{command.replace(' ', '-')}.log"
        log.unlink(missing_ok=True)
        line = [str(BIN / "smimegw-ca"), *command.split(), "-d", str(self.home), "--no-input"]
        line += ["--listen", f"127.0.0.1:{port}", *(str(word) for word in words)]
        group = ProcessGroup(line, log=log)

        def listens() -> bool:
            assert group.alive(), log.read_text()
            return _URL.search(log.read_text()) is not None

        try:
            wait_until(listens, f"smimegw-ca {command}", seconds=120)
            found = _URL.search(log.read_text())
            assert found
            yield found[0]
        finally:
            group.stop(seconds=60)
