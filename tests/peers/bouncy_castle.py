"""Runs Bouncy Castle: compiles the program in ``bouncy_castle/`` and keeps one JVM that takes jobs.

compile_into(directory)                               # slow; tests/interop/conftest.py does it once
with bouncy_castle(directory) as peer:                # tests.fakes.pki.Issued as signer, recipient
    der = peer.signed("SHA256withRSA", content, alice, form=["opaque"])
    content = peer.verified(der, root=alice.chain[-1])
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smimegw.x509.certificate import Certificate
from tests.fakes.pki import Issued

_SOURCES = Path(__file__).parent / "bouncy_castle"
_CLASSES = ":".join(f"/usr/share/java/{name}.jar" for name in ("bcpkix", "bcprov", "bcutil"))
_SECONDS = 120


class RefusalError(Exception):
    """What Bouncy Castle said when it would not do a job."""


@dataclass(frozen=True)
class BouncyCastle:
    """A JVM that waits for jobs."""

    process: subprocess.Popen[bytes]

    @property
    def version(self) -> str:
        """Of its provider."""
        return self._done("version").decode()

    def signed(
        self,
        algorithm: str,
        content: bytes,
        *signers: Issued,
        form: Sequence[str] = (),
        crls: Sequence[bytes] = (),
    ) -> bytes:
        """SignedData; *algorithm* is Java's name, *form* what Signatures.java lists."""
        return self._done(
            "sign",
            key=[_key(signer) for signer in signers],
            certificate=[signer.certificate.der for signer in signers],
            bag=[issuer.der for issuer in signers[0].chain],
            algorithm=[algorithm.encode()],
            content=[content],
            crl=crls,
            form=[word.encode() for word in form],
        )

    def verified(self, cms: bytes, *, root: Certificate, content: bytes | None = None) -> bytes:
        """What was signed, verified, with a path to *root* for every signer."""
        detached = [] if content is None else [content]
        return self._done("verify", cms=[cms], root=[root.der], content=detached)

    def encrypted(
        self,
        cipher: str,
        content: bytes,
        recipients: Sequence[tuple[Issued, str]],
        *,
        form: Sequence[str] = (),
        key_bits: int | None = None,
        material: bytes | None = None,
        originator: Certificate | None = None,
    ) -> bytes:
        """EnvelopedData or AuthEnvelopedData; methods and *form* are what Envelopes.java lists."""
        return self._done(
            "encrypt",
            cipher=[cipher.encode()],
            keybits=[] if key_bits is None else [str(key_bits).encode()],
            content=[content],
            recipient=[person.certificate.der for person, _ in recipients],
            method=[method.encode() for _, method in recipients],
            form=[word.encode() for word in form],
            material=[] if material is None else [material],
            originator=[] if originator is None else [originator.der],
        )

    def decrypted(self, cms: bytes, person: Issued, *, method: str = "") -> bytes:
        """The content that *person* finds inside *cms*."""
        return self._done(
            "decrypt",
            cms=[cms],
            key=[_key(person)],
            certificate=[person.certificate.der],
            method=[method.encode()],
        )

    def compressed(self, content: bytes) -> bytes:
        """CompressedData."""
        return self._done("compress", content=[content])

    def expanded(self, cms: bytes) -> bytes:
        """The content of CompressedData."""
        return self._done("expand", cms=[cms])

    def _done(self, command: str, **fields: Sequence[bytes]) -> bytes:
        words = [command]
        for name, values in fields.items():
            words += [f"{name}={b64encode(value).decode()}" for value in values]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        self.process.stdin.flush()
        verdict, _, octets = self.process.stdout.readline().partition(b" ")
        answer = b64decode(octets)
        if verdict == b"ok":
            return answer
        assert verdict == b"no", "Bouncy Castle's program ended"
        raise RefusalError(answer.decode())


def compile_into(directory: Path) -> None:
    """Compile once; another process that wants the same waits, and finds it done."""
    with (directory / "bouncy_castle.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "Peer.class").exists():
            sources = map(str, sorted(_SOURCES.glob("*.java")))
            subprocess.run(
                [
                    "javac",
                    "-J-XX:TieredStopAtLevel=1",
                    "-cp",
                    _CLASSES,
                    "-d",
                    str(directory),
                    *sources,
                ],
                check=True,
                timeout=_SECONDS,
            )


@contextlib.contextmanager
def bouncy_castle(directory: Path) -> Iterator[BouncyCastle]:
    """Start what was compiled into *directory*; it ends with its standard input."""
    path = f"{_CLASSES}:{directory}"
    quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    command = ["java", *quick, "-cp", path, "Peer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield BouncyCastle(process)


def _key(person: Issued) -> bytes:
    return person.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
