"""Lets the owner of a key that cannot sign prove that he has it (RFC 4211, 4.2, challengeResp).

A random text is encrypted to the key; who brings it back can decrypt, so no certificate exists
before possession is shown.  The ledger keeps the text's digest only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_public_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from pki import keys, weak_keys
from pki.errors import RequestError
from pki.keys import PublicKey
from smimegw.cms import envelope
from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.x509.certificate import Certificate

_KEY_OCTETS = 64 * 1024
_ANSWER_OCTETS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What the owner has to decrypt (CMS EnvelopedData, DER), and the digest of the answer."""

    der: bytes
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BareKey:
    """A public key without a proof, and its SubjectPublicKeyInfo, DER."""

    public_key: PublicKey
    der: bytes = field(repr=False)


def parse_public_key(octets: bytes) -> BareKey:
    """Read a public key, PEM or DER.

    Raises:
        RequestError: None, or too weak.
    """
    try:
        if octets.lstrip().startswith(b"-----BEGIN"):
            key = load_pem_public_key(octets[:_KEY_OCTETS])
        else:
            key = load_der_public_key(octets[:_KEY_OCTETS])
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestError(
            "The file is not one public key in PEM or DER. "
            "Make one with: openssl pkey -in KEY -pubout -out FILE"
        ) from error
    accepted = keys.accept_public_key(key)
    weak_keys.refuse(accepted)
    return BareKey(public_key=accepted, der=keys.public_key_octets(accepted))


def make_challenge(public: PublicKey, *, now: datetime) -> Challenge:
    """Encrypt a new random text to *public*.

    Raises:
        RequestError: Nobody can encrypt to a key of this kind in this way.
    """
    answer = secrets.token_hex(_ANSWER_OCTETS).encode()
    recipient = envelope.Recipient(
        certificate=_stand_in(public, now), key_encryption=_key_encryption(public)
    )
    pieces = envelope.encrypt([answer], len(answer), [recipient], ContentCipher.AES_256_CBC)
    return Challenge(der=b"".join(pieces), digest=hashlib.sha256(answer).hexdigest())


def answers(digest: str, octets: bytes) -> bool:
    """Whether *octets* are the text that was encrypted; white space around it does not matter."""
    return hmac.compare_digest(hashlib.sha256(octets.strip()).hexdigest(), digest)


def _key_encryption(public: PublicKey) -> KeyEncryption:
    match public:
        case rsa.RSAPublicKey():
            return KeyEncryption.RSA_OAEP_SHA256
        case ec.EllipticCurvePublicKey() | x25519.X25519PublicKey():
            return KeyEncryption.ECDH_SHA256KDF
        case mlkem.MLKEM768PublicKey():
            raise RequestError(
                "Nobody could answer a challenge to an ML-KEM key: no mail program decrypts CMS "
                "with one yet. Let the CA make the key (smimegw-ca issue --key ml-kem-768 "
                "--experimental), or take another kind of key."
            )
    raise RequestError("Keys of this kind sign, so send a PKCS #10 request instead (--csr).")


def _stand_in(public: PublicKey, now: datetime) -> Certificate:
    # CMS names its recipient by a certificate: one for this message only, by nobody's CA.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Proof of possession")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return Certificate.parse(certificate.public_bytes(Encoding.DER))
