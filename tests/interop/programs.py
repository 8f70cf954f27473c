"""What each program does with each algorithm, both ways, and why where it does not.

Every cell is a test (tests/interop/test_algorithms_*.py): what no limit is written down for must
work, and where a program cannot, it must refuse in the words given.  docs/interop.md is made from
the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.interop.matrix import GROUPS, Algorithm, Way

PEERS = {
    "openssl": "OpenSSL 3.0 (`openssl cms`)",
    "gpgsm": "GnuPG 2.2 (`gpgsm`)",
    "nss": "NSS 3.87 (`cmsutil`)",
    "bouncy-castle": "Bouncy Castle 1.72 (`bcpkix`)",
}
"""The programs, with the versions whose limits are written down below."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Where a program does not do all of an algorithm.

    Attributes:
        names: Patterns of names of algorithms.
        ways: In which it holds.
        why: For people.
        says: What the program answers (a regular expression); nothing when it has no such option.
        test: Where the program's tools without its CMS are compared instead.
        parts: Its CMS does not do it, but its own primitives, joined by the test, do.
    """

    peer: str
    names: str
    why: str
    ways: tuple[Way, ...] = (Way.OURS, Way.THEIRS)
    says: str = ""
    test: str = ""
    parts: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One algorithm, one program, one way."""

    peer: str
    algorithm: Algorithm
    way: Way
    limit: Limit | None

    @property
    def works(self) -> bool:
        """What one writes the other reads, here."""
        return self.limit is None or (self.limit.parts and not self.limit.test)

    @property
    def is_tested_here(self) -> bool:
        """There is something to do or to be refused."""
        return self.works or (self.limit is not None and bool(self.limit.says))

    def __str__(self) -> str:
        return f"{self.way.value}-{self.algorithm.name}"


_OURS, _THEIRS = (Way.OURS,), (Way.THEIRS,)
_RFC_8418 = ("p256", "x25519", "x448")

# Joined by tests of their own; every name in full, so that a new row is not taken for tested.
_JOINED_BY = {
    "ed25519 ed448": {
        Way.OURS: "test_openssl_edwards.py::test_openssl_verifies_our_signatures",
        Way.THEIRS: "test_openssl_edwards.py::test_signatures_by_openssl_verify",
    },
    " ".join(
        [
            *(f"ecdh-{key}-hkdf-sha{bits}" for key in _RFC_8418 for bits in (256, 384, 512)),
            *(f"ecdh-{key}-x963-sha{bits}" for key in _RFC_8418[1:] for bits in (256, 512)),
        ]
    ): {
        Way.OURS: "test_openssl_agreement.py::test_openssl_agrees_and_derives_what_we_did",
        Way.THEIRS: "test_openssl_agreement.py::test_what_openssl_agreed_and_derived_decrypts",
    },
    "chacha20-poly1305": {
        Way.OURS: "test_openssl_ciphers.py::test_openssl_computes_the_same_chacha20_poly1305",
        Way.THEIRS: "test_openssl_ciphers.py::test_chacha20_poly1305_of_openssl_decrypts",
    },
}

LIMITS = (
    *(
        Limit(
            peer="openssl",
            names=names,
            why="its CMS does not know it; compared with its `pkeyutl`, `kdf`, `enc` and `mac`",
            ways=(way,),
            test=f"tests/interop/{test}",
            parts=True,
        )
        for names, tests in _JOINED_BY.items()
        for way, test in tests.items()
    ),
    Limit(
        peer="openssl",
        names="zlib",
        why="Debian builds it without zlib",
        says="unsupported compression",
    ),
    Limit(
        peer="gpgsm",
        names="rsa-pss-*",
        why="it has no option for PSS",
        ways=_THEIRS,
    ),
    Limit(
        peer="gpgsm",
        names="ecdsa-p521-*",
        why="it refuses to verify on a curve whose bits fill no octets",
        ways=_OURS,
        says="multiple of 8 bits",
    ),
    Limit(
        peer="gpgsm",
        names="ed25519 ed448",
        why="it does not know EdDSA",
        ways=_OURS,
        says="multiple of 8 bits|unknown hash algorithm",
    ),
    Limit(peer="gpgsm", names="ed25519 ed448", why="it does not know EdDSA", ways=_THEIRS),
    Limit(
        peer="gpgsm",
        names="*-gcm chacha20-poly1305",
        why="it does not know AuthEnvelopedData",
        ways=_OURS,
        says="error getting IV|Unsupported",
    ),
    Limit(
        peer="gpgsm",
        names="*-gcm chacha20-poly1305 rc2-*",
        why="it has no such cipher for writing",
        ways=_THEIRS,
        says="selected cipher algorithm is invalid",
    ),
    Limit(
        peer="gpgsm",
        names="oaep-*",
        why="it does not know OAEP",
        ways=_OURS,
        says="error getting encrypted session key|Unsupported",
    ),
    Limit(peer="gpgsm", names="oaep-*", why="it does not know OAEP", ways=_THEIRS),
    Limit(
        peer="gpgsm",
        names="ecdh-x*",
        why="it does not know key agreement",
        ways=_OURS,
    ),
    Limit(
        peer="gpgsm",
        names="ecdh-* cofactor-* wrap-*",
        why="it does not know key agreement",
        ways=_OURS,
        says="decrypting session key failed: Invalid session key",
    ),
    Limit(
        peer="gpgsm",
        names="ecdh-* cofactor-* wrap-*",
        why="it does not know key agreement",
        ways=_THEIRS,
        says="certificate is not usable for encryption",
    ),
    Limit(peer="gpgsm", names="zlib", why="it has no compression"),
    Limit(peer="nss", names="rsa-pss-*", why="`cmsutil` has no option for PSS", ways=_THEIRS),
    Limit(
        peer="nss",
        names="ecdsa-brainpool*",
        why="NSS has no Brainpool curves",
        says="BadSignature|EXTENSION_NOT_FOUND",
    ),
    Limit(
        peer="nss",
        names="ed25519 ed448",
        why="NSS takes neither key nor certificate",
        says="UNABLE_TO_IMPORT_KEY",
    ),
    Limit(
        peer="nss",
        names="*-gcm chacha20-poly1305",
        why="NSS does not know AuthEnvelopedData",
        ways=_OURS,
        says="UNRECOGNIZED_OID",
    ),
    Limit(
        peer="nss",
        names="aes-192-* aes-256-* *-gcm chacha20-poly1305 des-* rc2-*",
        why="`cmsutil` takes AES-128-CBC by itself",
        ways=_THEIRS,
    ),
    Limit(peer="nss", names="oaep-*", why="its CMS does not know OAEP", ways=_OURS, says="KEYALG"),
    Limit(peer="nss", names="oaep-*", why="`cmsutil` has no option for OAEP", ways=_THEIRS),
    Limit(
        peer="nss",
        names="ecdh-x*",
        why="NSS takes neither key nor certificate",
    ),
    Limit(
        peer="nss",
        names="ecdh-* cofactor-* wrap-*",
        why="its CMS does not know key agreement",
        ways=_OURS,
        says="BAD_DER",
    ),
    Limit(
        peer="nss",
        names="ecdh-* cofactor-* wrap-*",
        why="its CMS does not know key agreement",
        ways=_THEIRS,
        says="cannot create CMS recipientInfo",
    ),
    Limit(peer="nss", names="zlib", why="`cmsutil` has no compression"),
    Limit(
        peer="bouncy-castle",
        names="ecdh-*-hkdf-* ecdh-x*-x963-*",
        why="its CMS does not know RFC 8418; put together from its agreement, derivation and wrap",
        parts=True,
    ),
    Limit(
        peer="bouncy-castle",
        names="chacha20-poly1305",
        why="its CMS writes no AuthEnvelopedData with it; its cipher was plugged in",
        ways=_THEIRS,
        parts=True,
    ),
)


def cell(peer: str, algorithm: Algorithm, way: Way) -> Cell:
    """What is to be expected; the first limit that matches counts."""
    for limit in LIMITS:
        matches = any(fnmatchcase(algorithm.name, name) for name in limit.names.split())
        if limit.peer == peer and way in limit.ways and matches:
            return Cell(peer=peer, algorithm=algorithm, way=way, limit=limit)
    return Cell(peer=peer, algorithm=algorithm, way=way, limit=None)


def cells(peer: str) -> list[Cell]:
    """Every cell of *peer* that is tested here."""
    found = [
        cell(peer, algorithm, way)
        for algorithms in GROUPS.values()
        for algorithm in algorithms
        for way in (Way.OURS, Way.THEIRS)
        if algorithm.written or way is Way.THEIRS
    ]
    return [each for each in found if each.is_tested_here]
