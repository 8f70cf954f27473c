"""The nesting table: layers of signatures and encryption, one defect, and what must be said of it.

A `Case` names the layers from the outside in and at most one defect in one of them.  `expected`
derives from the rules of this module alone what the gateway has to say; `Forge` makes the message
with the `openssl` command, so that neither side of the comparison is the gateway's own code.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.company import Company
from tests.fakes.pki import PAST, Issued, make_ca
from tests.fakes.smime import assembled
from tests.interop.openssl import Files, openssl

ALICE, BOB, CAROL = "alice@ours.example", "bob@partner.example", "carol@partner.example"
TOKEN = b"the price is 100 EUR"
TEXT = b"Content-Type: text/plain\r\n\r\n" + TOKEN + b"\r\n"
HEAD = b"From: bob@partner.example\r\nTo: alice@ours.example\r\nSubject: nesting\r\n"

LAYERS = ("clear", "opaque", "cbc", "gcm")
SIGNED = frozenset({"clear", "opaque"})
DIGESTS = ("sha1", "sha256", "sha384", "sha512")

# What a defect of a signature is called, and whether what is inside may still be looked at: whose
# content it is may be open, but nobody looks into content that was changed or has no one signer.
SIGNATURE_DEFECTS = {
    "changed": ("fail", "digest", False),
    "wrong-signer": ("fail", "from-mismatch", False),
    "unknown-ca": ("policy", "untrusted-ca", True),
    "expired": ("policy", "expired", True),
    "revoked": ("fail", "revoked", False),
    "two-signers": ("policy", "signers", False),
    "no-signer": ("none", "no-signer", False),
    "truncated": ("permerror", "cms", False),
}
ENCRYPTION_DEFECTS = ("changed", "wrong-key", "truncated")
_WORST_FIRST = ("fail", "permerror", "policy", "none", "pass")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table; *at* is the index of the layer with the *defect*, 0 the outermost."""

    layers: tuple[str, ...]
    digest: str = "sha256"
    defect: str = ""
    at: int = 0

    def __str__(self) -> str:
        shape = "(".join(
            f"{layer}!{self.defect}" if self.defect and index == self.at else layer
            for index, layer in enumerate(self.layers)
        )
        return f"{shape}-{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the result fields say.

    Attributes:
        signed: The result of all signatures together.
        reason: Of the first signature with that result; empty for ``pass``.
        encrypted: ``no``, ``yes`` or ``not-decrypted``.
        integrity: Who vouches for the content.
        readable: The text arrives in clear.
    """

    signed: str = "none"
    reason: str = ""
    encrypted: str = "no"
    integrity: str = "none"
    readable: bool = True

    @property
    def is_good(self) -> bool:
        """A signature was there, and nothing is wrong with any of them."""
        return self.signed == "pass"


def table() -> Iterator[Case]:
    """Every shape without a defect, then digests, then defects of each layer in turn."""
    for depth in (1, 2, 3):
        for layers in itertools.product(LAYERS, repeat=depth):
            yield Case(layers=layers)
    for layers in (
        *(("clear",), ("opaque",), ("cbc", "clear"), ("cbc", "opaque"), ("gcm", "clear")),
        *(("clear", "cbc"), ("opaque", "gcm"), ("clear", "cbc", "opaque")),
    ):
        for digest in DIGESTS:
            if digest != "sha256":
                yield Case(layers=layers, digest=digest)
    for layers in (
        *(("clear",), ("opaque",), ("cbc",), ("gcm",)),
        *(("cbc", "clear"), ("gcm", "opaque"), ("clear", "cbc"), ("opaque", "gcm")),
        *(("clear", "opaque"), ("opaque", "clear"), ("gcm", "cbc"), ("cbc", "gcm")),
        *(("clear", "cbc", "opaque"), ("opaque", "gcm", "clear")),
    ):
        for at, layer in enumerate(layers):
            for defect in SIGNATURE_DEFECTS if layer in SIGNED else ENCRYPTION_DEFECTS:
                yield Case(layers=layers, defect=defect, at=at)


def expected(case: Case) -> Expected:
    """Walk from the outside in and stop where a reader has to."""
    signatures: list[tuple[str, str]] = []
    ciphers: list[str] = []
    closed = is_covered = False  # covered: what is read at last stands inside a signature
    inside = len(case.layers)  # first layer that was not taken off
    for index, layer in enumerate(case.layers):
        defect = case.defect if index == case.at else ""
        if layer in SIGNED or defect == "truncated":  # cut off, nobody knows what it was
            result, reason, goes_on = _signature(case, defect)
            signatures.append((result, reason))
            is_covered = True
        else:
            closed = _stays_closed(case, index, defect)
            goes_on = not closed
            ciphers.append(layer)
            # Who signs a ciphertext need not know what is in it: it may be another's, changed.
            is_covered = is_covered and closed
        if not goes_on:
            inside = index
            break
    worst, reason = min(
        signatures, key=lambda entry: _WORST_FIRST.index(entry[0]), default=("none", "")
    )
    return Expected(
        signed=worst,
        reason=reason,
        encrypted="not-decrypted" if closed else "yes" if ciphers else "no",
        integrity=_integrity(worst == "pass" and is_covered, ciphers, closed),
        readable=all(layer == "clear" for layer in case.layers[inside:]),
    )


def _stays_closed(case: Case, index: int, defect: str) -> bool:
    if case.defect == "truncated" and case.at == index + 1 and case.layers[case.at] != "clear":
        return True  # nested CMS that cannot be read is what noise looks like (J05)
    # One bit changed: GCM notices, CBC by itself does not.
    return defect == "wrong-key" or (defect == "changed" and case.layers[index] == "gcm")


def _signature(case: Case, defect: str) -> tuple[str, str, bool]:
    if defect:
        return SIGNATURE_DEFECTS[defect]
    if case.digest == "sha1":
        return "policy", "weak-digest", True
    return "pass", "", True


def _integrity(is_signed: bool, ciphers: list[str], closed: bool) -> str:
    if is_signed:
        return "signed"
    authenticated = bool(ciphers) and not closed and set(ciphers) == {"gcm"}
    return "authenticated" if authenticated else "none"


@dataclass
class Forge:
    """Makes the messages of the table for one company."""

    company: Company
    directory: Path
    _files: dict[str, Files] = field(default_factory=dict)
    _made: dict[Case, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ca = self.company.ca
        revoked = ca.issue(BOB, slot="revoked")
        people: dict[str, Issued] = {
            "alice": self.company.user(ALICE),
            "bob": ca.issue(BOB),
            "wrong-signer": ca.issue(CAROL),
            "unknown-ca": make_ca("Nobody's CA").issue(BOB, slot="unknown-ca"),
            "expired": ca.issue(BOB, slot="expired", not_after=PAST),
            "revoked": revoked,
        }
        self.company.world.directory.publish_ca(ca, revoked=[revoked])
        self._files = {name: Files.of(one, self.directory, name) for name, one in people.items()}

    def message(self, case: Case) -> bytes:
        """The whole message of *case*."""
        return HEAD + b"MIME-Version: 1.0\r\n" + self._entity(case)

    def _entity(self, case: Case) -> bytes:
        if not case.layers:
            return TEXT
        if case not in self._made:
            make = getattr(self, "_" + case.layers[0])
            defect = case.defect if case.at == 0 else ""
            self._made[case] = make(self._entity(_inside(case)), defect, case.digest)
        return self._made[case]

    def _cms_signature(self, content: bytes, defect: str, digest: str, *options: str) -> bytes:
        signer = defect if defect in self._files else "bob"
        signers = [signer, "wrong-signer"] if defect == "two-signers" else [signer]
        for name in signers:
            options += ("-signer", str(self._files[name].certificate))
            options += ("-inkey", str(self._files[name].key))
        octets = openssl(
            "cms", "-sign", "-binary", "-md", digest, "-outform", "DER", *options, stdin=content
        )
        if defect == "no-signer":
            carried = content if "-nodetach" in options else None
            return assembled(octets, encapsulated=carried, signer_infos=())
        return octets[: len(octets) // 2] if defect == "truncated" else octets

    def _clear(self, content: bytes, defect: str, digest: str) -> bytes:
        signature = self._cms_signature(content, defect, digest)
        shown = other_case(content) if defect == "changed" else content
        mark = b"--" + _boundary(content)
        return (
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg='
            + digest.replace("sha", "sha-").encode()
            + b'; boundary="'
            + mark[2:]
            + b'"\r\n\r\n'
            + (mark + b"\r\n" + shown + b"\r\n" + mark + b"\r\n")
            + b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
            + (_base64(signature) + mark + b"--\r\n")
        )

    def _opaque(self, content: bytes, defect: str, digest: str) -> bytes:
        octets = self._cms_signature(content, defect, digest, "-nodetach")
        if defect == "changed":
            assert octets.count(content) == 1
            octets = octets.replace(content, other_case(content))
        return _pkcs7(b"signed-data", octets)

    def _cbc(self, content: bytes, defect: str, digest: str) -> bytes:
        octets = self._encrypted(content, defect, "-aes256")
        if defect == "changed":
            # the first letter of the plaintext, by way of the initialisation vector
            at = octets.index(b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a\x04\x10") + 11
            octets = octets[:at] + bytes([octets[at] ^ 0x20]) + octets[at + 1 :]
        return _pkcs7(b"enveloped-data", octets)

    def _gcm(self, content: bytes, defect: str, digest: str) -> bytes:
        octets = self._encrypted(content, defect, "-aes-256-gcm")
        if defect == "changed":
            at = len(octets) - 40  # of the ciphertext: the tag is the last
            octets = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
        return _pkcs7(b"authEnveloped-data", octets)

    def _encrypted(self, content: bytes, defect: str, cipher: str) -> bytes:
        reader = self._files["bob" if defect == "wrong-key" else "alice"]
        octets = openssl(
            "cms", "-encrypt", "-binary", "-outform", "DER", cipher, reader.certificate,
            stdin=content,
        )  # fmt: skip
        return octets[: len(octets) // 2] if defect == "truncated" else octets


def _inside(case: Case) -> Case:
    """Without its outermost layer."""
    defect, at = (case.defect, case.at - 1) if case.at else ("", 0)
    return Case(layers=case.layers[1:], digest=case.digest, defect=defect, at=at)


def other_case(content: bytes) -> bytes:
    """The smallest change: ``content-Type`` means the same, and is not what was signed."""
    assert content.startswith(b"C")
    return b"c" + content[1:]


def _boundary(content: bytes) -> bytes:
    """One that is not inside already."""
    return next(mark for n in range(9) if (mark := b"layer%d" % n) not in content)


def _base64(octets: bytes) -> bytes:
    lines = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + lines


def _pkcs7(smime_type: bytes, octets: bytes) -> bytes:
    field_ = b"Content-Type: application/pkcs7-mime; smime-type=" + smime_type
    return field_ + b"; name=smime.p7m\r\n" + _base64(octets)
