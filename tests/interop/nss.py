"""Runs NSS' `cmsutil` over a certificate database of its own: the library inside Thunderbird.

with nss(alice, bob) as database:                     # tests.fakes.pki.Issued, roots trusted
    content = database.verified(der)
    der = database.signed("alice@ours.example", content, detached=True)
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.pki import Issued

_PASSWORD = "lab"
_SECONDS = 60
_REPORT = re.compile(rb"SMIME:.*\n(?:\t.*\n)*")


@dataclass(frozen=True)
class NSS:
    """A database with certificates and keys; nicknames are the addresses."""

    directory: Path

    def verified(self, der: bytes, content: bytes | None = None) -> bytes:
        """The content of SignedData *der*, or *content* where it is detached, verified."""
        detached = () if content is None else ("-c", self._keep("content", content))
        said = self._cmsutil("-D", *detached, "-i", self._keep("in", der), "-h", "1")
        match = _REPORT.match(said)
        assert match is not None, said
        assert b"signer0.status=GoodSignature" in match[0], said
        return said[match.end() :]

    def opened(self, der: bytes) -> bytes:
        """The content inside *der*, decrypted where it is encrypted."""
        return self._cmsutil("-D", "-i", self._keep("in", der))

    def signed(
        self, signer: str, content: bytes, *, detached: bool = False, digest: str = "SHA256"
    ) -> bytes:
        """SignedData as Thunderbird makes it: signing time, capabilities, key preference."""
        return self._cmsutil(
            *("-S", "-N", signer, "-H", digest, "-G", "-P", "-Y", signer),
            *(["-T"] if detached else []),
            *("-i", self._keep("in", content)),
        )

    def encrypted(self, recipients: list[str], content: bytes) -> bytes:
        """EnvelopedData for *recipients*."""
        return self._cmsutil("-E", "-r", ",".join(recipients), "-i", self._keep("in", content))

    def meet(self, person: Issued) -> None:
        """Learn the certificate of *person*, without the key."""
        address = person.certificate.mailboxes[0].address
        der = self._keep("in", person.certificate.parsed.public_bytes(Encoding.DER))
        self._expect("certutil", "-A", "-n", address, "-t", ",,", "-i", der)

    def refusal(self, der: bytes, content: bytes | None = None) -> str:
        """What it says about SignedData or EnvelopedData that it does not accept."""
        detached = () if content is None else ("-c", self._keep("content", content))
        done = self._run("cmsutil", "-D", *detached, "-i", self._keep("in", der), "-n", "-h", "1")
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert "GoodSignature" not in said, "it was expected to be refused"
        return said

    def _cmsutil(self, *arguments: str | Path) -> bytes:
        done = self._run("cmsutil", *arguments)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout

    def _run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        password = ("-k" if program == "pk12util" else "-f", self.directory / "password")
        return subprocess.run(
            [program, "-d", f"sql:{self.directory}", *map(str, (*password, *arguments))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )

    def _keep(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path

    def _create(self) -> None:
        (self.directory / "password").write_text(_PASSWORD + "\n")
        self._expect("certutil", "-N")

    def _add(self, person: Issued) -> None:
        for number, certificate in enumerate(person.chain):
            der = self._keep("in", certificate.parsed.public_bytes(Encoding.DER))
            name = f"{certificate.parsed.subject.rfc4514_string()} {number}"
            trust = "CT,C,C" if certificate.is_self_issued else ",,"
            self._expect("certutil", "-A", "-n", name, "-t", trust, "-i", der)
        address = person.certificate.mailboxes[0].address
        bundle = self._keep("in", person.pkcs12(_PASSWORD, name=address))
        self._expect("pk12util", "-i", bundle, "-W", _PASSWORD)

    def _expect(self, program: str, *arguments: str | Path) -> None:
        done = self._run(program, *arguments)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@contextlib.contextmanager
def nss(*people: Issued) -> Iterator[NSS]:
    """A database with the keys of *people*, whose roots are trusted."""
    directory = Path(tempfile.mkdtemp(prefix="nss"))
    try:
        found = NSS(directory)
        found._create()
        for person in people:
            found._add(person)
        yield found
    finally:
        shutil.rmtree(directory, ignore_errors=True)
