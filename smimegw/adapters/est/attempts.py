"""What is under way for each mailbox, in files that all worker processes of this machine share.

A file remembers the key and the request, so that an answer that was lost or that a person has to
approve first comes to the same key; and until when nobody needs to ask again.  The key is sealed.
A lock beside it lets one attempt go on at a time; the kernel frees it when its process dies.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from smimegw.addresses import Mailbox
from smimegw.errors import EnrolmentError, KeystoreError

_LOCK_PAUSE_SECONDS = 0.1


class Sealer(Protocol):
    """Seals secrets under the keystore's key-encryption key."""

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """Return *secret* so that only `open` with the same *context* reads it.

        Raises:
            KeystoreError: The keystore is locked.
        """
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            KeystoreError: Locked, changed, or sealed in another context.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One mailbox' way to a certificate.

    Attributes:
        key: The private key, PKCS #8; empty when a new one shall be made.
        request: The PKCS #10 request for it.
        again_at: Nobody asks before.
        text: Why not.
    """

    key: bytes = field(default=b"", repr=False)
    request: bytes = b""
    again_at: datetime
    text: str = ""


class Attempts:
    """The files of all attempts; made when first needed."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        self._directory = directory
        self._sealer = sealer

    @contextlib.asynccontextmanager
    async def alone(self, mailbox: Mailbox) -> AsyncIterator[None]:
        """Let nobody else work for *mailbox*, in this process or another; wait for who does.

        Raises:
            EnrolmentError: The directory cannot be written.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(mailbox).with_suffix(".lock")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise _disk(exc, self._directory) from exc
        try:
            # Each holder has a descriptor of its own, so this also holds within one process.
            while not _took(descriptor):  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(_LOCK_PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def find(self, mailbox: Mailbox) -> Attempt | None:
        """What is known of *mailbox*; None for nothing, or nothing that can be used."""
        try:
            document = json.loads(self._path(mailbox).read_bytes())
            sealed = base64.b64decode(document["key"], validate=True)
            return Attempt(
                key=self._sealer.open(sealed, _context(mailbox)) if sealed else b"",
                request=base64.b64decode(document["request"], validate=True),
                again_at=datetime.fromisoformat(document["again_at"]),
                text=str(document["text"]),
            )
        except (OSError, ValueError, KeyError, TypeError, binascii.Error, KeystoreError):
            return None  # a new key costs less than a person's time

    def keep(self, mailbox: Mailbox, attempt: Attempt) -> None:
        """Remember *attempt*, durably and in one step.

        Raises:
            EnrolmentError: The disk does not take it, or the keystore is locked.
        """
        try:
            sealed = self._sealer.seal(attempt.key, _context(mailbox)) if attempt.key else b""
        except KeystoreError as exc:
            raise EnrolmentError(f"a new key could not be sealed: {exc}") from exc
        document = {
            "mailbox": mailbox.address,
            "key": base64.b64encode(sealed).decode("ascii"),
            "request": base64.b64encode(attempt.request).decode("ascii"),
            "again_at": attempt.again_at.isoformat(),
            "text": attempt.text,
        }
        path = self._path(mailbox)
        temporary = path.with_suffix(".new")  # only the holder of the lock writes it
        try:
            with open(temporary, "wb", opener=_private) as stream:
                stream.write(json.dumps(document).encode())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as exc:
            raise _disk(exc, path) from exc

    def forget(self, mailbox: Mailbox) -> None:
        """There is a certificate now, or the key is no good any more."""
        with contextlib.suppress(OSError):
            self._path(mailbox).unlink(missing_ok=True)

    def _path(self, mailbox: Mailbox) -> Path:
        name = hashlib.sha256(mailbox.key.encode()).hexdigest()[:32]
        return self._directory / f"{name}.json"


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _context(mailbox: Mailbox) -> bytes:
    return b"smimegw enrolment\0" + mailbox.key.encode()


def _disk(error: OSError, path: Path) -> EnrolmentError:
    return EnrolmentError(f"{path}: {error.strerror}; is the state directory full or read-only?")
