"""What an administrator does with the keys in a directory: adds, moves, escrows, removes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.escrow import escrowed
from smimegw.adapters.keys.key_directory import KeyDirectory
from smimegw.adapters.keys.key_encryption import KeyEncryption, KeyRing, SealedSecret
from smimegw.adapters.keys.key_object import (
    Holder,
    KeyObject,
    KeyPurpose,
    associated_data,
    identifier_of,
    purpose_of,
)
from smimegw.adapters.keys.opening import KeyToken, Opener, private_key_of
from smimegw.addresses import Mailbox
from smimegw.errors import KeystoreError, UsageError
from smimegw.x509.certificate import Certificate


class KeyCabinet:
    """The keys of one directory.

    Args:
        directory: Where the files are; `prepare` makes it.
        key_encryption_key: None while it is locked.
        token: Where keys may be that are not in the files.
        recovery: Certificate that keys which only decrypt are escrowed to when they are added.
        locked_because: Why there is no key-encryption key, for whoever has to mend it.
    """

    def __init__(
        self,
        directory: Path,
        key_encryption_key: KeyEncryption | KeyRing | None,
        *,
        token: KeyToken | None = None,
        recovery: Certificate | None = None,
        locked_because: str = "",
    ) -> None:
        self._directory = KeyDirectory(directory)
        self._recovery = recovery
        ring = _as_ring(key_encryption_key)
        self._opener = Opener(ring, token, locked_because=locked_because)

    @property
    def path(self) -> Path:
        """Where the key files are."""
        return self._directory.path

    @property
    def sealing_key(self) -> str:
        """Identifier of the key-encryption key that seals what is new.

        Raises:
            KeystoreError: Locked, or its token does not answer.
        """
        return self._opener.ring.current.identifier

    @property
    def escrows(self) -> bool:
        """Whether keys that just decrypt are escrowed when they are added."""
        return self._recovery is not None

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
        ring = self._opener.ring
        owners, purpose = _owners(material.certificate, mailboxes)
        data = associated_data(material.certificate, owners, purpose)
        key = KeyObject(
            certificate=material.certificate,
            chain=material.chain,
            mailboxes=owners,
            purpose=purpose,
            secret=ring.seal(material.pkcs8(), data),
        )
        self._escrow(material, purpose)
        self._directory.write(key)
        return key

    def seal(self, secret: bytes, context: bytes) -> SealedSecret:
        """Seal what is no key of the store yet, such as one that waits for its certificate.

        Raises:
            KeystoreError: Locked.
        """
        return self._opener.ring.seal(secret, context)

    def unseal(self, secret: SealedSecret, context: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            KeystoreError: Locked, changed since, or sealed in another context.
        """
        return self._opener.ring.open(secret, context)

    def add_to_token(self, material: KeyMaterial, mailboxes: Sequence[Mailbox] = ()) -> KeyObject:
        """Put a private key into the token and keep where it is; else as `add`.

        Raises:
            UsageError, CertificateError, KeystoreError: As `add`; or the token cannot hold it.
        """
        owners, purpose = _owners(material.certificate, mailboxes)
        label = f"{owners[0].address} {identifier_of(material.certificate)[:12]}"
        self._escrow(material, purpose)
        uri = self._opener.token.add(
            material.private_key, label=label, signs=purpose.signs, decrypts=purpose.decrypts
        )
        try:
            return self.adopt(material.certificate, material.chain, uri, owners)
        except Exception:
            self._opener.token.remove(uri)
            raise

    def adopt(
        self,
        certificate: Certificate,
        chain: tuple[Certificate, ...],
        uri: str,
        mailboxes: Sequence[Mailbox] = (),
    ) -> KeyObject:
        """Keep that the private key of *certificate* is in the token under *uri*.

        Raises:
            UsageError: Already there, or *mailboxes* are not the certificate's.
            CertificateError: The certificate allows neither signing nor encryption.
            KeystoreError: Locked, no such key in the token, or it is another certificate's.
        """
        owners, purpose = _owners(certificate, mailboxes)
        data = associated_data(certificate, owners, purpose, Holder.TOKEN)
        key = KeyObject(
            certificate=certificate,
            chain=chain,
            mailboxes=owners,
            purpose=purpose,
            secret=self._opener.ring.seal(uri.encode(), data),
            holder=Holder.TOKEN,
        )
        self._opener.open(key, self._directory.path_of(key))
        self._directory.write(key)
        return key

    def escrow(self) -> Iterator[KeyObject]:
        """Escrow every key that may be and is not yet; each by itself, as `rewrap`.

        Keys that sign, too, never are; neither are those in a token, which gives nothing out.

        Yields:
            Each key that was escrowed now.

        Raises:
            KeystoreError: Locked, no recovery certificate, a file is broken or cannot be written.
        """
        if self._recovery is None:
            raise KeystoreError(
                "there is no recovery certificate; set keystore.recovery_certificate"
                " (`smimegw key make-recovery` makes one)",
                retryable=False,
            )
        for key in self._directory.objects():
            path = self._directory.path_of(key)
            if key.holder is not Holder.FILE or self.escrow_path(key).exists():
                continue
            if key.purpose is KeyPurpose.ENCRYPT:
                private = private_key_of(self._opener.secret(key, path))
                self._escrow(
                    KeyMaterial(certificate=key.certificate, chain=key.chain, private_key=private),
                    key.purpose,
                )
                yield key

    def escrow_path(self, key: KeyObject) -> Path:
        """Return where the escrowed copy of *key* is or would be."""
        return self._directory.escrow_path(key.identifier)

    def rewrap(self) -> Iterator[tuple[KeyObject, bool]]:
        """Move every key to the current key-encryption key, one by one and durably.

        Each step stands by itself: stopped anywhere, the keystore is whole, and another run does
        what is left.  Private keys are not opened.

        Yields:
            Each key that was sealed by an earlier one, and whether it has been moved; if not, it
            was removed or changed by somebody else meanwhile.

        Raises:
            KeystoreError: Locked, changed since it was written, or the directory cannot be
                written; the text names the file.
        """
        ring = self._opener.ring
        current = ring.current.identifier
        for key in self._directory.objects():
            if key.secret.key_identifier == current:
                continue
            try:
                secret = ring.rewrap(key.secret, key.associated_data)
            except KeystoreError as exc:
                text = f"{self._directory.path_of(key)}: {exc}"
                raise KeystoreError(text, retryable=False, locked=exc.locked) from exc
            yield key, self._directory.replace(key, replace(key, secret=secret))

    def remove(self, key: KeyObject) -> None:
        """Delete *key* for good; mail encrypted to it can never be read again.

        Raises:
            KeystoreError: It cannot be deleted.
        """
        if key.holder is Holder.TOKEN:
            uri = self._opener.secret(key, self._directory.path_of(key))
            self._opener.token.remove(uri.decode())
        self._directory.remove(key)

    def _escrow(self, material: KeyMaterial, purpose: KeyPurpose) -> None:
        # A key that signs has no copy anywhere: nobody may sign for its owner.
        if self._recovery is not None and purpose is KeyPurpose.ENCRYPT:
            copy = escrowed(material, self._recovery)
            self._directory.write_escrow(identifier_of(material.certificate), copy)


def _owners(
    certificate: Certificate, mailboxes: Sequence[Mailbox]
) -> tuple[tuple[Mailbox, ...], KeyPurpose]:
    owners = tuple(_own(certificate.mailboxes, mailbox) for mailbox in mailboxes)
    owners = owners or certificate.mailboxes
    if not owners:
        raise UsageError("the certificate names no mailbox, so nobody could use this key")
    return owners, purpose_of(certificate)


def _as_ring(key: KeyEncryption | KeyRing | None) -> KeyRing | None:
    """A single key-encryption key is a ring without earlier ones."""
    return key if isinstance(key, KeyRing) or key is None else KeyRing(key)


def _own(mailboxes: tuple[Mailbox, ...], wanted: Mailbox) -> Mailbox:
    for mailbox in mailboxes:
        if mailbox.same_as(wanted):
            return mailbox
    names = ", ".join(mailbox.address for mailbox in mailboxes) or "no mailbox"
    raise UsageError(f"the certificate is not for <{wanted}>; it names {names}")
