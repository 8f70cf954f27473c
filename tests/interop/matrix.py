"""Every algorithm that is exchanged with other programs: the rows of docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from smimegw.cms.algorithms import DigestAlgorithm, KeyEncryption, KeyWrap, SignatureScheme
from smimegw.cms.content_ciphers import AnyCipher, ContentCipher, LegacyCipher


class Way(Enum):
    """Who writes."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A row.

    Attributes:
        name: For tests; exceptions match it.
        title: For people.
        key: Kind of key that `tests.fakes.pki` knows.
        written: We write it; otherwise we only read.
    """

    name: str
    title: str
    rfc: str
    key: str
    written: bool = True


@dataclass(frozen=True, kw_only=True)
class Signature(Algorithm):
    """A scheme with a digest."""

    scheme: SignatureScheme
    digest: DigestAlgorithm


@dataclass(frozen=True, kw_only=True)
class Encryption(Algorithm):
    """A cipher and a way to hand out its key.

    Attributes:
        mask: Digest of OAEP's mask.
        cofactor: Of ECDH.
    """

    cipher: AnyCipher = ContentCipher.AES_256_CBC
    key_encryption: KeyEncryption = KeyEncryption.RSA_PKCS1V15
    mask: DigestAlgorithm | None = None
    cofactor: bool = False
    wrap: KeyWrap = KeyWrap.AES_256


@dataclass(frozen=True, kw_only=True)
class Compression(Algorithm):
    """CompressedData."""


_DIGESTS = [DigestAlgorithm(name) for name in ("sha1", "sha256", "sha384", "sha512")]
_CURVES = {
    "p256": ("P-256", "sha256"),
    "p384": ("P-384", "sha384"),
    "p521": ("P-521", "sha512"),
    "brainpool256": ("Brainpool P256r1", "sha256"),
    "brainpool384": ("Brainpool P384r1", "sha384"),
    "brainpool512": ("Brainpool P512r1", "sha512"),
}


def _named(digest: DigestAlgorithm) -> str:
    return f"SHA-{digest.value.removeprefix('sha')}"


def _signatures() -> Iterator[Algorithm]:
    for scheme, words, rfc in (
        (SignatureScheme.RSA_PKCS1V15, "RSA PKCS #1 v1.5", "5754"),
        (SignatureScheme.RSA_PSS, "RSA-PSS", "4056"),
    ):
        for digest in _DIGESTS[1:]:
            yield Signature(
                name=f"{scheme.value}-{digest.value}",
                title=f"{words}, {_named(digest)}",
                rfc=rfc,
                key="rsa",
                scheme=scheme,
                digest=digest,
            )
    for curve, (words, name) in _CURVES.items():
        digest = DigestAlgorithm(name)
        yield Signature(
            name=f"ecdsa-{curve}-{name}",
            title=f"ECDSA {words}, {_named(digest)}",
            rfc="5753",
            key=curve,
            scheme=SignatureScheme.ECDSA,
            digest=digest,
        )
    for key, digest in (("ed25519", DigestAlgorithm.SHA512), ("ed448", DigestAlgorithm.SHAKE256)):
        scheme = SignatureScheme(key)
        title = key.capitalize()
        yield Signature(name=key, title=title, rfc="8419", key=key, scheme=scheme, digest=digest)


def _ciphers() -> Iterator[Algorithm]:
    rfcs = {"cbc": "3565", "gcm": "5084", "chacha20-poly1305": "8103"}
    for cipher in ContentCipher:
        rfc = next(rfc for suffix, rfc in rfcs.items() if cipher.label.endswith(suffix))
        title = cipher.label.upper().replace("CHACHA", "ChaCha").replace("POLY", "Poly")
        yield Encryption(name=cipher.label, title=title, rfc=rfc, key="rsa", cipher=cipher)
    for old in LegacyCipher:
        yield Encryption(
            name=old.label,
            title=old.label.upper(),
            rfc="3370",
            key="rsa",
            cipher=old,
            written=False,
        )


def _transports() -> Iterator[Algorithm]:
    yield Encryption(
        name="transport-pkcs1v15",
        title="PKCS #1 v1.5",
        rfc="3370",
        key="rsa",
        cipher=ContentCipher.AES_128_CBC,
    )
    for digest in _DIGESTS:
        for mask in _DIGESTS:
            yield Encryption(
                name=f"oaep-{digest.value}-mgf1-{mask.value}",
                title=f"OAEP {_named(digest)}, MGF1 {_named(mask)}",
                rfc="3560",
                key="rsa",
                written=digest is mask and not digest.is_weak,
                key_encryption=KeyEncryption(f"rsa-oaep-{digest.value}"),
                mask=mask,
            )


def _agreements() -> Iterator[Algorithm]:
    for form, cofactor in (("ecdh", False), ("cofactor", True)):
        for curve, (words, usual) in _CURVES.items():
            for digest in _DIGESTS if curve == "p256" else [DigestAlgorithm(usual)]:
                yield Encryption(
                    name=f"{form}-{curve}-x963-{digest.value}",
                    title=f"{'Cofactor ' * cofactor}ECDH {words}, X9.63 {_named(digest)}",
                    rfc="5753",
                    key=curve,
                    written=not cofactor and not digest.is_weak,
                    key_encryption=KeyEncryption(f"ecdh-{digest.value}kdf"),
                    cofactor=cofactor,
                )
    for key, words in (("p256", "ECDH P-256"), ("x25519", "X25519"), ("x448", "X448")):
        for digest in _DIGESTS[1:]:
            yield Encryption(
                name=f"ecdh-{key}-hkdf-{digest.value}",
                title=f"{words}, HKDF {_named(digest)}",
                rfc="8418",
                key=key,
                key_encryption=KeyEncryption(f"ecdh-hkdf-{digest.value}"),
            )
    for key in ("x25519", "x448"):
        for digest in (_DIGESTS[1], _DIGESTS[3]):
            yield Encryption(
                name=f"ecdh-{key}-x963-{digest.value}",
                title=f"{key.upper()}, X9.63 {_named(digest)}",
                rfc="8418",
                key=key,
                key_encryption=KeyEncryption(f"ecdh-{digest.value}kdf"),
            )


def _wraps() -> Iterator[Algorithm]:
    for wrap in KeyWrap:
        if not wrap.name.startswith("AES"):
            yield from _old_wrap(wrap)
            continue
        bits = 8 * wrap.key_octets
        yield Encryption(
            name=f"wrap-aes-{bits}",
            title=f"AES-{bits} key wrap with AES-{bits}-CBC",
            rfc="3394",
            key="p256",
            cipher=next(cipher for cipher in ContentCipher if cipher.key_octets == bits // 8),
            key_encryption=KeyEncryption.ECDH_SHA256KDF,
            wrap=wrap,
        )
    yield Encryption(
        name="wrap-aes-128-longer",
        title="AES-128 key wrap with AES-256-CBC",
        rfc="5753",
        key="p256",
        written=False,
        key_encryption=KeyEncryption.ECDH_SHA256KDF,
        wrap=KeyWrap.AES_128,
    )


def _old_wrap(wrap: KeyWrap) -> Iterator[Algorithm]:
    for digest in _DIGESTS[:2]:
        yield Encryption(
            name=f"wrap-triple-des-{digest.value}",
            title=f"Triple DES key wrap with DES-EDE3-CBC, X9.63 {_named(digest)}",
            rfc="3217",
            key="p256",
            written=False,
            cipher=LegacyCipher.DES_EDE3_CBC,
            key_encryption=KeyEncryption(f"ecdh-{digest.value}kdf"),
            wrap=wrap,
        )


GROUPS: dict[str, tuple[Algorithm, ...]] = {
    "Signatures": tuple(_signatures()),
    "Content encryption": tuple(_ciphers()),
    "Key transport (RSA)": tuple(_transports()),
    "Key agreement": tuple(_agreements()),
    "Key wrap": tuple(_wraps()),
    "Compression": (Compression(name="zlib", title="zlib", rfc="3274", key="rsa", written=False),),
}
