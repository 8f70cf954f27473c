"""The keystore in a directory: key handles for the gateway from sealed files.

A key that `smimegw key import` adds is used by the running gateway at once.  Opened keys stay in
memory as long as their file is there unchanged.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import load_der_private_key

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.key_directory import KeyDirectory
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.key_object import KeyObject, associated_data, purpose_of
from smimegw.addresses import Mailbox
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.keys import (
    DecryptionCredential,
    PrivateKey,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.errors import KeystoreError, UsageError
from smimegw.limits import DEFAULT_LIMITS

T = TypeVar("T")

_THREADS = 4


class FilesKeystore:
    """Implements `ports.Keystore` on a directory.

    Args:
        directory: Where the files are; `prepare` makes it.
        key_encryption_key: None while the keystore is locked: what needs a key fails with
            ``KeystoreError(locked=True)``, everything else goes on (R-13, R-49).
        strict_local_part: Domains whose local parts are compared exactly.
        deadline_seconds: For one question.
    """

    def __init__(
        self,
        directory: Path,
        key_encryption_key: KeyEncryptionKey | None,
        *,
        strict_local_part: Iterable[str] = (),
        deadline_seconds: float = DEFAULT_LIMITS.lookup_seconds,
    ) -> None:
        self._directory = KeyDirectory(directory)
        self._key_encryption_key = key_encryption_key
        self._strict_domains = frozenset(strict_local_part)
        self._deadline_seconds = deadline_seconds
        # Of its own: a disk that hangs must not take the threads in which others work.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="keys")
        self._lock = threading.Lock()
        # By the whole object: a file whose mailboxes were edited is another object, and its seal
        # is judged again.
        self._opened: dict[KeyObject, PrivateKey] = {}

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

    async def check(self) -> None:
        """Open every key once, for start-up and readiness.

        Raises:
            KeystoreError: Locked, or a file that cannot be used; the text names it.
        """
        await self._ask(self._check)

    # --- administration ------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Where the key files are."""
        return self._directory.path

    def prepare(self) -> None:
        """Make the directory if it is missing.

        Raises:
            KeystoreError: It cannot be made.
        """
        self._directory.prepare()

    def objects(self) -> tuple[KeyObject, ...]:
        """Return every key object that can be read, newest notBefore first.

        Raises:
            KeystoreError: The directory cannot be read.
        """
        return self._directory.objects()

    def flaws(self) -> tuple[str, ...]:
        """Return one sentence with its path for each file that cannot be read."""
        return self._directory.flaws()

    def add(self, material: KeyMaterial, mailboxes: Sequence[Mailbox] = ()) -> KeyObject:
        """Seal and keep a private key, durably.

        Args:
            material: The key with its certificates.
            mailboxes: For whom it may be used; all of the certificate's when empty.

        Raises:
            UsageError: Already there, or *mailboxes* are not the certificate's.
            CertificateError: The certificate allows neither signing nor encryption.
            KeystoreError: Locked, or the directory cannot be written.
        """
        if self._key_encryption_key is None:
            raise _locked()
        certificate = material.certificate
        owners = tuple(_own(certificate.mailboxes, mailbox) for mailbox in mailboxes)
        owners = owners or certificate.mailboxes
        if not owners:
            raise UsageError("the certificate names no mailbox, so nobody could use this key")
        purpose = purpose_of(certificate)
        secret = self._key_encryption_key.seal(
            material.pkcs8(), associated_data(certificate, owners, purpose)
        )
        key = KeyObject(
            certificate=certificate,
            chain=material.chain,
            mailboxes=owners,
            purpose=purpose,
            secret=secret,
        )
        self._directory.write(key)
        return key

    def remove(self, key: KeyObject) -> None:
        """Delete *key* for good; mail encrypted to it can never be read again.

        Raises:
            KeystoreError: It cannot be deleted.
        """
        self._directory.remove(key)

    async def _ask(self, function: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await loop.run_in_executor(self._threads, function, *args)
        except TimeoutError:
            text = f"keystore {self.path} did not answer within {self._deadline_seconds:.0f} s"
            text += "; is its disk hanging or overloaded?"
            raise KeystoreError(text, retryable=False) from None

    # --- below ---------------------------------------------------------------------------------

    def _signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        found = self._select(lambda key: key.purpose.signs and self._is_of(key, mailbox))
        return tuple(
            SigningCredential(key.certificate, key.chain, SoftwareSigningKey(self._open(key)))
            for key in found
        )

    def _decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        found = self._select(
            lambda key: (
                key.purpose.decrypts
                and any(self._is_of(key, owner) for owner in owners)
                and any(identifier.matches(key.certificate) for identifier in identifiers)
            )
        )
        return tuple(
            DecryptionCredential(key.certificate, SoftwareDecryptionKey(self._open(key)))
            for key in found
        )

    def _check(self) -> None:
        if self._key_encryption_key is None:
            raise _locked()
        for flaw in self._directory.flaws():
            raise KeystoreError(flaw)
        for key in self._directory.objects():
            self._open(key)

    def _select(self, wanted: Callable[[KeyObject], bool]) -> tuple[KeyObject, ...]:
        keys = self._directory.objects()
        with self._lock:
            for gone in self._opened.keys() - set(keys):
                del self._opened[gone]
        found = tuple(key for key in keys if wanted(key))
        if not found:
            # A file that cannot be read may be the wanted one: "unknown" is not "none".
            for flaw in self._directory.flaws():
                raise KeystoreError(flaw)
        return found

    def _is_of(self, key: KeyObject, mailbox: Mailbox) -> bool:
        strict = mailbox.domain in self._strict_domains
        return any(mailbox.same_as(own, strict_local_part=strict) for own in key.mailboxes)

    def _open(self, key: KeyObject) -> PrivateKey:
        with self._lock:
            opened = self._opened.get(key)
        if opened is not None:
            return opened
        if self._key_encryption_key is None:
            raise _locked()
        data = associated_data(key.certificate, key.mailboxes, key.purpose)
        try:
            octets = self._key_encryption_key.open(key.secret, data)
        except KeystoreError as exc:
            text = f"{self._directory.path_of(key)}: {exc}"
            raise KeystoreError(text, retryable=False, locked=exc.locked) from exc
        # RSA numbers were checked at import (tens of milliseconds), and the seal keeps them so.
        private = load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(private, PrivateKey):
            raise KeystoreError(f"{self._directory.path_of(key)}: an unknown kind of private key")
        with self._lock:
            return self._opened.setdefault(key, private)


def _own(mailboxes: tuple[Mailbox, ...], wanted: Mailbox) -> Mailbox:
    for mailbox in mailboxes:
        if mailbox.same_as(wanted):
            return mailbox
    names = ", ".join(mailbox.address for mailbox in mailboxes) or "no mailbox"
    raise UsageError(f"the certificate is not for <{wanted}>; it names {names}")


def _locked() -> KeystoreError:
    return KeystoreError(
        "the keystore is locked: there is no key-encryption key; set keystore.key_encryption_key"
        " in the configuration (a new one is made by `smimegw key generate-kek FILE`)",
        locked=True,
    )
