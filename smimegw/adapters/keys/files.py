"""The keystore in a directory: key handles for the gateway from sealed files.

A key that `smimegw key import` adds is used by the running gateway at once.  Opened keys stay in
memory as long as their file is there unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from smimegw.adapters.keys.cabinet import KeyCabinet
from smimegw.adapters.keys.key_encryption import KeyEncryption, KeyRing
from smimegw.adapters.keys.key_object import KeyObject
from smimegw.adapters.keys.opening import KeyToken, OpenedKey
from smimegw.adapters.threads import Threads
from smimegw.addresses import Mailbox
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.keys import (
    DecryptionCredential,
    DecryptionKey,
    SigningCredential,
    SigningKey,
)
from smimegw.errors import KeystoreError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import Certificate

T = TypeVar("T")

_THREADS = 4


class FilesKeystore(KeyCabinet):
    """Implements `ports.Keystore` on a directory.

    Args:
        directory: Where the files are; `prepare` makes it.
        key_encryption_key: None while the keystore is locked: what needs a key fails with
            ``KeystoreError(locked=True)``, everything else goes on (R-13, R-49).
        token: Where keys may be that are not in the files.
        recovery: Certificate that keys which only decrypt are escrowed to when they are added.
        locked_because: Why there is no key-encryption key, for whoever has to mend it.
        strict_local_part: Domains whose local parts are compared exactly.
        deadline_seconds: For one question.
    """

    def __init__(
        self,
        directory: Path,
        key_encryption_key: KeyEncryption | KeyRing | None,
        *,
        token: KeyToken | None = None,
        recovery: Certificate | None = None,
        locked_because: str = "",
        strict_local_part: Iterable[str] = (),
        deadline_seconds: float = DEFAULT_LIMITS.lookup_seconds,
    ) -> None:
        super().__init__(
            directory,
            key_encryption_key,
            token=token,
            recovery=recovery,
            locked_because=locked_because,
        )
        self._strict_domains = frozenset(strict_local_part)
        self._deadline_seconds = deadline_seconds
        # Of its own: a disk that hangs must not take the threads in which others work.
        self._threads = Threads(_THREADS, "keys")

    # --- the port ------------------------------------------------------------------------------

    async def signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        """Return the signing credentials of *mailbox*, newest notBefore first; () when none.

        Raises:
            KeystoreError: Locked, a file is broken, or the directory cannot be read.
        """
        return await self._ask(self._signing_credentials, mailbox)

    async def decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        """Return the credentials of *owners* that one of *identifiers* names; () when none.

        Raises:
            KeystoreError: Locked, a file is broken, or the directory cannot be read.
        """
        return await self._ask(self._decryption_credentials, identifiers, owners)

    def signing_key(self, identifier: str) -> SigningKey:
        """Return the key of that certificate fingerprint, if it may sign; for a key agent.

        Raises:
            KeystoreError: None, locked, or its file is broken.
        """
        return self._open(self._named(identifier, lambda key: key.purpose.signs)).signing

    def decryption_key(self, identifier: str) -> DecryptionKey:
        """Return the key of that certificate fingerprint, if it may decrypt; for a key agent.

        Raises:
            KeystoreError: None, locked, or its file is broken.
        """
        return self._open(self._named(identifier, lambda key: key.purpose.decrypts)).decryption

    async def check(self) -> None:
        """Open every key once, for start-up and readiness.

        Raises:
            KeystoreError: Locked, or a file that cannot be used; the text names it.
        """
        await self._ask(self._check)

    async def _ask(self, function: Callable[..., T], *args: object) -> T:
        try:
            return await self._threads.run_within(self._deadline_seconds, function, *args)
        except TimeoutError:
            text = f"keystore {self.path} did not answer within {self._deadline_seconds:.0f} s"
            text += "; is its disk hanging or overloaded?"
            raise KeystoreError(text, retryable=False) from None

    # --- below ---------------------------------------------------------------------------------

    def _signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        found = self._select(
            [mailbox.key], lambda key: key.purpose.signs and self._is_of(key, mailbox)
        )
        return tuple(
            SigningCredential(key.certificate, key.chain, self._open(key).signing) for key in found
        )

    def _decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        found = self._select(
            [owner.key for owner in owners],
            lambda key: (
                key.purpose.decrypts
                and any(self._is_of(key, owner) for owner in owners)
                and any(identifier.matches(key.certificate) for identifier in identifiers)
            ),
        )
        return tuple(
            DecryptionCredential(key.certificate, self._open(key).decryption) for key in found
        )

    def _check(self) -> None:
        _ = self._opener.ring
        for flaw in self._directory.flaws():
            raise KeystoreError(flaw)
        for key in self._directory.objects():
            self._open(key)

    def _select(
        self, names: Iterable[str], wanted: Callable[[KeyObject], bool]
    ) -> tuple[KeyObject, ...]:
        contents = self._directory.contents()
        self._opener.forget_all_but(contents.objects)
        named = dict.fromkeys(key for name in names for key in contents.named(name))
        found = [key for key in named if wanted(key)]
        if not found:
            # A file that cannot be read may be the wanted one: "unknown" is not "none".
            for flaw in contents.flaws:
                raise KeystoreError(flaw)
        return tuple(sorted(found, key=lambda key: key.certificate.not_before, reverse=True))

    def _named(self, identifier: str, may: Callable[[KeyObject], bool]) -> KeyObject:
        for key in self._select([identifier], may):
            return key
        raise KeystoreError("the key is no longer there, or not for this use")

    def _open(self, key: KeyObject) -> OpenedKey:
        return self._opener.open(key, self._directory.path_of(key))

    def _is_of(self, key: KeyObject, mailbox: Mailbox) -> bool:
        strict = mailbox.domain in self._strict_domains
        return any(mailbox.same_as(own, strict_local_part=strict) for own in key.mailboxes)
