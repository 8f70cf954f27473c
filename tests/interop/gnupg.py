"""Runs `gpgsm` with a GNUPGHOME of its own, which holds the keys of some people.

with gnupg(alice, bob) as home:                       # tests.fakes.pki.Issued, roots trusted
    content, status = home.run("--decrypt", stdin=der)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fakes.pki import Issued, PrivateKey
from tests.interop.openssl import Files, openssl

_SECONDS = 60


@dataclass(frozen=True)
class GnuPG:
    """A GNUPGHOME with certificates and keys."""

    home: Path

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> tuple[bytes, str]:
        """Run gpgsm, expect success; return its output and its status lines."""
        code, output, said = self._run(arguments, stdin)
        assert code == 0, said
        return output, said

    def refusal(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Run gpgsm, expect failure; return its status lines and what it said."""
        code, _, said = self._run(arguments, stdin)
        assert code != 0, f"{arguments} was expected to fail"
        return said

    def meet(self, person: Issued) -> None:
        """Learn the certificate of *person*, without the key."""
        self.run("--import", stdin=person.pem)

    def own(self, person: Issued) -> None:
        """Take over the key of *person*, where the agent looks for it.

        gpgsm 2.2 reads no key on a curve from PKCS #12, and about one file in fifty with RSA keys
        not at all: it derives a wrong key from some salts.
        """
        self.meet(person)
        address = person.certificate.mailboxes[0].address
        listed, _ = self.run("--with-keygrip", "--with-colons", "--list-keys", address)
        (grip,) = re.findall(rb"^grp:{9}(\w+):", listed, re.MULTILINE)
        key = self.home / "private-keys-v1.d" / f"{grip.decode()}.key"
        key.write_bytes(_s_expression(person.key))

    def keep(self, name: str, octets: bytes) -> Path:
        """A file for gpgsm to read."""
        path = self.home / name
        path.write_bytes(octets)
        return path

    def _run(self, arguments: tuple[str | Path, ...], stdin: bytes) -> tuple[int, bytes, str]:
        status_read, status_write = os.pipe()
        with os.fdopen(status_read, "rb") as status:
            try:
                done = subprocess.run(
                    [
                        *("gpgsm", "--batch", "--yes", "--status-fd", str(status_write)),
                        *map(str, arguments),
                    ],
                    input=stdin,
                    capture_output=True,
                    timeout=_SECONDS,
                    check=False,
                    env={**os.environ, "GNUPGHOME": str(self.home)},
                    pass_fds=(status_write,),
                )
            finally:
                os.close(status_write)
            lines = status.read().decode()
        said = lines + done.stderr.decode(errors="replace") if done.returncode else lines
        return done.returncode, done.stdout, said


@contextlib.contextmanager
def gnupg(*people: Issued) -> Iterator[GnuPG]:
    """A home with the keys of *people*, whose roots are trusted; its agents end with it."""
    home = Path(tempfile.mkdtemp(prefix="gpgsm"))  # short: its agent's socket lives there
    try:
        (home / "gpgsm.conf").write_text("disable-crl-checks\n")
        (home / "private-keys-v1.d").mkdir(mode=0o700)
        found = GnuPG(home)
        trusted = set()
        for number, person in enumerate(people):
            files = Files.of(person, home, f"person{number}")
            trusted.add(f"{_sha1(files.root)} S relax\n")
            (home / "trustlist.txt").write_text("".join(sorted(trusted)))
            for certificate in reversed(person.chain):
                found.run("--import", stdin=certificate.parsed.public_bytes(Encoding.PEM))
            found.own(person)
        yield found
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"],
            env={**os.environ, "GNUPGHOME": str(home)},
            check=False,
            timeout=30,
        )
        shutil.rmtree(home, ignore_errors=True)


def _s_expression(key: PrivateKey) -> bytes:
    """A key as the agent keeps it, not sealed."""
    if isinstance(key, rsa.RSAPrivateKey):
        return _private_key(b"rsa", _rsa_values(key))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = key.curve.name
    curve = name if name.startswith("brainpool") else f"NIST P-{key.curve.key_size}"
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    number = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    return _private_key(b"ecc", {b"curve": curve.encode(), b"q": point, b"d": number})


def _rsa_values(key: rsa.RSAPrivateKey) -> dict[bytes, bytes]:
    numbers = key.private_numbers()
    p, q = sorted((numbers.p, numbers.q))  # libgcrypt wants p < q, and u = 1/p mod q
    values = {
        b"n": numbers.public_numbers.n,
        b"e": numbers.public_numbers.e,
        b"d": numbers.d,
        b"p": p,
        b"q": q,
        b"u": pow(p, -1, q),
    }
    # a leading zero, or large numbers would be negative ones
    return {
        name: value.to_bytes(value.bit_length() // 8 + 1, "big") for name, value in values.items()
    }


def _private_key(algorithm: bytes, values: dict[bytes, bytes]) -> bytes:
    inner = b"".join(b"(%s%s)" % (_atom(name), _atom(value)) for name, value in values.items())
    return b"(%s(%s%s))" % (_atom(b"private-key"), _atom(algorithm), inner)


def _atom(octets: bytes) -> bytes:
    return b"%d:%s" % (len(octets), octets)


def _sha1(certificate: Path) -> str:
    text = openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha1").decode()
    return text.strip().partition("=")[2].replace(":", "")
