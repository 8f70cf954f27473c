"""Keeps the CA's own keys: each in an encrypted file or in a PKCS #11 token.

A place of the CA directory holds either ``key.pem`` or ``token.toml``, which names the key in its
token and the file with the PIN.  A key made in a token never leaves it; so there is no copy of it,
and the token's own means of backup count.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pki import files, keys
from pki.errors import PassphraseError
from pki.keys import KeyKind, VerifyingKey
from pki.signing import Digest, SigningKey
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.errors import UsageError

if TYPE_CHECKING:
    from smimegw.adapters.pkcs11.keys import TokenKey, TokenKeys
    from smimegw.adapters.pkcs11.uri import TokenURI

KEY_FILE, TOKEN_FILE = "key.pem", "token.toml"
_PIN_OCTETS = 256
_TEXT = """\
# The key of this CA is in a PKCS #11 token and never leaves it.
uri = {uri}
# Its first line is the PIN; readable by the CA's user only.  $CREDENTIALS_DIRECTORY is expanded.
pin_file = {pin_file}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChoice:
    """Where a new key is to be made: in the token of this URI (RFC 7512)."""

    uri: str
    pin_file: str


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """A CA key in a token; see `pki.signing.RemoteKey`."""

    key: TokenKey

    def public_key(self) -> VerifyingKey:
        """Return its public half."""
        return self.key.public_key

    def sign_octets(self, octets: bytes, digest: Digest | None) -> bytes:
        """Return the signature as it stands in a certificate.

        Raises:
            KeystoreError: The token does not answer or cannot do that.
        """
        match keys.kind_of(self.key.public_key):
            case KeyKind.ED25519:
                scheme = SignatureScheme.ED25519
            case KeyKind.RSA_3072 | KeyKind.RSA_4096:
                scheme = SignatureScheme.RSA_PKCS1V15
            case _:
                scheme = SignatureScheme.ECDSA
        algorithm = DigestAlgorithm.SHA256
        if digest is not None and digest.name == "sha384":
            algorithm = DigestAlgorithm.SHA384
        return self.key.sign(octets, scheme, algorithm)


def exists(place: Path) -> bool:
    """Whether *place* has a key."""
    return (place / KEY_FILE).exists() or (place / TOKEN_FILE).exists()


def make(
    place: Path, kind: KeyKind, *, label: str, passphrase: bytes, token: TokenChoice | None
) -> SigningKey:
    """Make a key in *place*; when this returns it is on the disk or in the token.

    Raises:
        RequestError: Keys of this kind cannot sign.
        UsageError: A token cannot make this kind, or the URI is wrong.
        KeystoreError: The token does not answer.
        FileExistsError: There is a key already.
    """
    files.make_directory(place)
    if token is None:
        software = keys.generate_signing(kind)
        keys.write_key(place / KEY_FILE, software, passphrase)
        return software
    if not kind.token:
        raise UsageError(f"Keys of kind {kind} are not made in tokens. Take rsa-3072 or p-256.")
    from smimegw.adapters.pkcs11.keys import Duty  # noqa: PLC0415 - an extra

    held, uri = _open_token(token)
    made = held.generate(kind.value, label=label, duty=Duty.SIGN)
    named = type(uri)(
        token=uri.token, serial=uri.serial, object=label, id=made.id, module=uri.module
    )
    text = _TEXT.format(uri=json.dumps(str(named)), pin_file=json.dumps(token.pin_file))
    files.write_new(place / TOKEN_FILE, text.encode(), mode=files.PRIVATE)
    return TokenSigner(made)


def open_key(place: Path, passphrase: bytes) -> SigningKey:
    """Open the key of *place*.

    Raises:
        PassphraseError: There is none, or it does not open.
        KeystoreError: The token does not answer, or does not hold the key any more.
    """
    reference = place / TOKEN_FILE
    if not reference.exists():
        return keys.read_signing_key(place / KEY_FILE, passphrase)
    try:
        said = tomllib.loads(reference.read_text("utf-8"))
        choice = TokenChoice(uri=str(said["uri"]), pin_file=str(said["pin_file"]))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise PassphraseError(
            f"{reference}: does not name a key in a token ({error}). Restore it from the backup."
        ) from error
    held, uri = _open_token(choice)
    return TokenSigner(held.find(id=uri.id, label=uri.object))


def _open_token(choice: TokenChoice) -> tuple[TokenKeys, TokenURI]:
    from smimegw.adapters.pkcs11.keys import TokenKeys  # noqa: PLC0415 - an extra
    from smimegw.adapters.pkcs11.token import Token, TokenSettings  # noqa: PLC0415
    from smimegw.adapters.pkcs11.uri import TokenURI  # noqa: PLC0415

    uri = TokenURI.parse(choice.uri)
    if uri.module is None or not (uri.token or uri.serial):
        raise UsageError(
            f"{choice.uri!r} has to name the token and its library, as "
            "pkcs11:token=corp-ca?module-path=/usr/lib/softhsm/libsofthsm2.so"
        )
    settings = TokenSettings(
        module=uri.module,
        label=uri.token,
        serial=uri.serial,
        pin=lambda: _read_pin(choice.pin_file),
        sessions=1,
    )
    return TokenKeys(Token(settings)), uri


def _read_pin(source: str) -> str:
    path = Path(os.path.expandvars(source))
    try:
        with path.open("rb") as stream:
            line = stream.readline(_PIN_OCTETS)
    except OSError as error:
        raise PassphraseError(
            f"{path}: the token's PIN cannot be read: {error.strerror}. Write it there, readable "
            "by the CA's user only."
        ) from error
    return line.rstrip(b"\r\n").decode("utf-8", "replace")
