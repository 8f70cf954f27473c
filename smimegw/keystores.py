"""Makes the keystore, its key-encryption keys and its token from the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.keys import passphrase
from smimegw.adapters.keys.containers import read_certificates
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryption, KeyRing
from smimegw.adapters.keys.opening import KeyToken
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.config.keys import Keystore
from smimegw.config.keys import Token as TokenConfiguration
from smimegw.config.model import Configuration
from smimegw.errors import ConfigurationError, KeystoreError, UsageError
from smimegw.regular_files import CERTIFICATES_OCTETS, read_regular
from smimegw.x509.certificate import Certificate

_KEYS_ARE_WITH_THE_AGENT = (
    "this configuration leaves the keys to the key agent and names no key-encryption key; run this"
    " as the agent's user, with the agent's configuration"
)

GatewayKeystore = FilesKeystore | AgentKeystore


def gateway_keystore(configuration: Configuration, events: LoggedEvents) -> GatewayKeystore:
    """The keystore of a running gateway.

    With a key agent the gateway holds no key.  Without a usable key-encryption key the keystore is
    locked, and that is logged.
    """
    if configuration.keystore.agent is not None:
        seconds = configuration.limits.lookup_seconds
        return AgentKeystore(configuration.keystore.agent, deadline_seconds=seconds)
    try:
        keystore = files_keystore(configuration)
    except (ConfigurationError, KeystoreError) as exc:
        events.emit("keystore.locked", text=str(exc), code="R-13")
        keystore = FilesKeystore(configuration.keystore_path, None, locked_because=str(exc))
    keystore.prepare()
    return keystore


def files_keystore(configuration: Configuration) -> FilesKeystore:
    """The keystore on files, locked when no key-encryption key is configured.

    Raises:
        ConfigurationError: A secret that is named cannot be read.
        KeystoreError: It is no key-encryption key, or does not open.
    """
    settings = configuration.keystore
    token = _Token(settings.token) if settings.token is not None else None
    keys = tuple(_key_encryption_keys(settings, token))
    return FilesKeystore(
        configuration.keystore_path,
        KeyRing(keys[0], keys[1:]) if keys else None,
        token=token.holder() if token else None,
        locked_because=_KEYS_ARE_WITH_THE_AGENT if settings.agent is not None else "",
        recovery=_recovery_certificate(configuration),
        strict_local_part=[str(domain) for domain in configuration.gateway.strict_local_part],
        deadline_seconds=configuration.limits.lookup_seconds,
    )


def _recovery_certificate(configuration: Configuration) -> Certificate | None:
    path = configuration.keystore.recovery_certificate
    if path is None:
        return None
    try:
        return read_certificates(read_regular(path, CERTIFICATES_OCTETS))[0]
    except OSError as exc:
        raise KeystoreError(f"keystore.recovery_certificate {path}: {exc.strerror}") from exc
    except UsageError as exc:
        raise KeystoreError(f"keystore.recovery_certificate {path}: {exc}") from exc


def _key_encryption_keys(settings: Keystore, token: _Token | None) -> Iterator[KeyEncryption]:
    """The current one first: that of the token, where it names one."""
    if settings.token is not None and token is not None and settings.token.key_encryption_key:
        yield token.key_encryption(settings.token.key_encryption_key)
    secret = settings.passphrase
    for named in (settings.key_encryption_key, *settings.previous_key_encryption_keys):
        if named is not None:
            read = (lambda: secret.read_text().encode()) if secret is not None else None
            yield passphrase.load(named.read(), read)
    if settings.token is not None and token is not None:
        for label in settings.token.previous_key_encryption_keys:
            yield token.key_encryption(label)


class _Token:
    """The token as configured; its library is an extra, so it is loaded when it is needed."""

    def __init__(self, settings: TokenConfiguration) -> None:
        try:
            from smimegw.adapters.pkcs11 import holder, key_encryption, token  # noqa: PLC0415
        except ImportError:
            raise KeystoreError(
                "tokens need python-pkcs11, which is not installed: pip install 'smimegw[pkcs11]'",
                retryable=False,
                locked=True,
            ) from None
        self._token = token.Token(
            token.TokenSettings(
                module=settings.module,
                label=settings.label,
                serial=settings.serial,
                pin=settings.pin.read_text,
                sessions=settings.sessions,
            )
        )
        self._holder = holder.TokenHolder(self._token)
        self._make = key_encryption.TokenKeyEncryption
        self._generate = key_encryption.generate

    def holder(self) -> KeyToken:
        """For private keys."""
        return self._holder

    def key_encryption(self, label: str) -> KeyEncryption:
        """The key-encryption key of this label."""
        return self._make(self._token, label)

    def generate_key_encryption(self, label: str) -> KeyEncryption:
        """A new one.

        Raises:
            UsageError: There is one of that label.
            KeystoreError: The token cannot do that, or does not answer.
        """
        return self._generate(self._token, label)


def generate_in_token(settings: TokenConfiguration, label: str) -> KeyEncryption:
    """Make a key-encryption key in the token.

    Raises:
        UsageError: There is one of that label.
        KeystoreError: The token cannot do that, or does not answer.
    """
    return _Token(settings).generate_key_encryption(label)
