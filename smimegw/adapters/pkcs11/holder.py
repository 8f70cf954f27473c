"""Holds the private keys of a keystore in a token, each under a URI."""

from __future__ import annotations

from smimegw.adapters.pkcs11.keys import Duty, TokenKey, TokenKeys
from smimegw.adapters.pkcs11.public_keys import PrivateKey as HoldableKey
from smimegw.adapters.pkcs11.token import Token
from smimegw.adapters.pkcs11.uri import TokenURI
from smimegw.cms.keys import PrivateKey
from smimegw.errors import KeystoreError, UsageError


class TokenHolder:
    """The keys that are in *token*; the keystore keeps their URIs, sealed."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._keys = TokenKeys(token)

    def find(self, uri: str) -> TokenKey:
        """Return the key that *uri* names; which token it names is not looked at.

        A token is copied or replaced under another label by its own means; ids stay.

        Raises:
            KeystoreError: It is not there, or the token does not answer.
        """
        wanted = _parsed(uri)
        return self._keys.find(id=wanted.id, label=wanted.object)

    def add(self, private_key: PrivateKey, *, label: str, signs: bool, decrypts: bool) -> str:
        """Put a key into the token and return its URI.

        Raises:
            KeystoreError: The token cannot hold it, or does not answer.
        """
        if not isinstance(private_key, HoldableKey):
            raise KeystoreError(
                "a token holds RSA, ECDSA and Ed25519 keys only; keep this one in a file",
                retryable=False,
            )
        duty = Duty.BOTH if signs and decrypts else Duty.SIGN if signs else Duty.DECRYPT
        key = self._keys.add(private_key, label=label, duty=duty)
        return str(TokenURI(token=self._token.settings.label, id=key.id))

    def remove(self, uri: str) -> None:
        """Destroy a key for good; nothing happens when it is gone already.

        Raises:
            KeystoreError: The token does not do it.
        """
        wanted = _parsed(uri)
        for key in self._keys.all():
            if key.id == wanted.id:
                self._keys.remove(key)


def _parsed(uri: str) -> TokenURI:
    try:
        wanted = TokenURI.parse(uri)
    except UsageError as exc:
        raise KeystoreError(f"the key's place is not told: {exc}", retryable=False) from exc
    if not wanted.id and not wanted.object:
        raise KeystoreError("the PKCS#11 URI names no key, only a token", retryable=False)
    return wanted
