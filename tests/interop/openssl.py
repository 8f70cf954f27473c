"""Runs the `openssl` command and lays a throw-away person's files out for it.

alice = Files.of(issued, tmp_path, "alice")          # PEM files of a tests.fakes.pki.Issued
der = openssl("cms", "-sign", "-signer", alice.certificate, "-inkey", alice.key, stdin=b"...")
assert refusal("cms", "-verify", ...)                # exit status is not 0; returns stderr
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.pki import Issued

_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Files:
    """Paths of one person's PEM files."""

    certificate: Path
    key: Path
    chain: Path
    """Issuer … root, concatenated."""
    root: Path

    @classmethod
    def of(cls, issued: Issued, directory: Path, name: str) -> Files:
        """Write certificate, key and chain of *issued* to ``directory/name.*``."""
        pems = [certificate.parsed.public_bytes(Encoding.PEM) for certificate in issued.chain]
        files = cls(
            certificate=directory / f"{name}.pem",
            key=directory / f"{name}.key",
            chain=directory / f"{name}.chain.pem",
            root=directory / f"{name}.root.pem",
        )
        files.certificate.write_bytes(issued.pem)
        files.key.write_bytes(issued.key_pem)
        files.chain.write_bytes(b"".join(pems))
        files.root.write_bytes(pems[-1] if pems else issued.pem)
        return files


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run openssl, expect success, return standard output."""
    done = _run(arguments, stdin)
    assert done.returncode == 0, f"{arguments}\n{done.stderr.decode(errors='replace')}"
    return done.stdout


def refusal(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run openssl, expect failure, return standard error."""
    done = _run(arguments, stdin)
    assert done.returncode != 0, f"{arguments} was expected to fail"
    return done.stderr.decode(errors="replace")


def _run(arguments: tuple[str | Path, ...], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", *(str(argument) for argument in arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=_SECONDS, check=False)
