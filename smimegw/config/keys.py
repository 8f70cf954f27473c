"""Where private keys live: files, a token, a key agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smimegw.config.choices import KeystoreKind
from smimegw.config.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A PKCS#11 token.

    Attributes:
        module: The PKCS#11 library that came with the token.
            Example: "/usr/lib/softhsm/libsofthsm2.so"
        label: Which token; empty when serial says it. Example: "gateway"
        serial: Which token, by its serial number.
        pin: The user PIN; a refused one is not tried again. Example: { credential = "token-pin" }
        key_encryption_key: Label of the AES key in the token that encrypts the other keys, instead
            of keystore.key_encryption_key.
        previous_key_encryption_keys: Labels of those before it, until "smimegw key rotate" is
            through.
        sessions: How many operations the token does at once.
    """

    module: Path
    label: str = ""
    serial: str = ""
    pin: Secret
    key_encryption_key: str = ""
    previous_key_encryption_keys: tuple[str, ...] = ()
    sessions: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """Where private keys live, encrypted.

    Attributes:
        kind: "files".
        path: Directory of the key files; default keys in the state directory.
        key_encryption_key: The key that encrypts the others, 32 octets in base64, or a file that
            "smimegw key generate-kek --passphrase-file" wrote; without it the keystore is locked.
            Example: { credential = "key-encryption-key" }
        passphrase: Opens key_encryption_key and the previous ones when they have a passphrase.
        previous_key_encryption_keys: Those before it, until "smimegw key rotate" is through.
        recovery_certificate: PEM certificate that decryption keys are escrowed to when they are
            imported ("smimegw key make-recovery" makes one).
        token: A PKCS#11 token that holds the key-encryption key, or keys themselves.
        agent: Socket of the key agent (smimegw key-agent), such as "/run/smimegw-keys/agent.sock";
            then the gateway itself holds no key and needs no key-encryption key.
        agent_users: Users that may ask the agent; default is the one it runs as.
    """

    kind: KeystoreKind = KeystoreKind.FILES
    path: Path | None = None
    key_encryption_key: Secret | None = None
    passphrase: Secret | None = None
    previous_key_encryption_keys: tuple[Secret, ...] = ()
    recovery_certificate: Path | None = None
    token: Token | None = None
    agent: Path | None = None
    agent_users: tuple[str, ...] = ()
