"""A directory of key objects: read again when it changes, written so that nothing is half there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smimegw.adapters.keys.key_object import KeyObject, parse_key_object, write_key_object
from smimegw.errors import KeystoreError, UsageError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.regular_files import read_regular

_SUFFIX = ".key.json"
_OCTETS = 2 * DEFAULT_LIMITS.key_file_octets  # what was imported, in base64
_ESCROW_SUFFIX = ".escrow.p7m"
_SETTLED_NANOSECONDS = 1_000_000_000  # the coarsest time stamps of a file system that we expect

_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One file as it was when its *version* (inode, time, size) was seen."""

    version: _Version
    key: KeyObject | None
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a directory holds at one time.

    Attributes:
        objects: Every key object that can be read, newest notBefore first.
        flaws: One sentence with its path for each file that cannot be read.
    """

    objects: tuple[KeyObject, ...]
    flaws: tuple[str, ...]
    _by_name: Mapping[str, tuple[KeyObject, ...]] = field(repr=False)

    @classmethod
    def of(cls, entries: Iterable[_Entry]) -> Contents:
        """Sort and index what was read."""
        read = list(entries)
        found = [entry.key for entry in read if entry.key is not None]
        found.sort(key=lambda key: key.certificate.not_before, reverse=True)
        by_name: defaultdict[str, list[KeyObject]] = defaultdict(list)
        for key in found:
            for name in {key.identifier, *(mailbox.key for mailbox in key.mailboxes)}:
                by_name[name].append(key)
        return cls(
            tuple(found),
            tuple(entry.flaw for entry in read if entry.flaw),
            {name: tuple(keys) for name, keys in by_name.items()},
        )

    def named(self, name: str) -> tuple[KeyObject, ...]:
        """The keys of that identifier or `Mailbox.key`, newest notBefore first."""
        return self._by_name.get(name, ())


class KeyDirectory:
    """The files of one keystore; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._contents = (self._entries, Contents.of(()))
        self._version = -1

    def prepare(self) -> None:
        """Make the directory if it is missing, for its owner only.

        Raises:
            KeystoreError: It cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise self._failed(exc) from exc

    def contents(self) -> Contents:
        """Return what is there now; the same value as long as nothing changed.

        Raises:
            KeystoreError: The directory cannot be read.
        """
        entries = self._index()
        with self._lock:
            known, contents = self._contents
        if known is entries:
            return contents
        contents = Contents.of(entries.values())
        with self._lock:
            self._contents = (entries, contents)
        return contents

    def objects(self) -> tuple[KeyObject, ...]:
        """Return every key object that can be read, newest notBefore first.

        Raises:
            KeystoreError: The directory cannot be read.
        """
        return self.contents().objects

    def flaws(self) -> tuple[str, ...]:
        """Return one sentence with its path for each file that cannot be read.

        Raises:
            KeystoreError: The directory cannot be read.
        """
        return self.contents().flaws

    def path_of(self, key: KeyObject) -> Path:
        """Return where *key* is kept."""
        return self.path / f"{key.identifier}{_SUFFIX}"

    def write(self, key: KeyObject) -> None:
        """Keep *key* durably.

        Raises:
            UsageError: There is a key of that certificate already; it was not touched.
            KeystoreError: The directory cannot be written.
        """
        try:
            with self._written(write_key_object(key)) as temporary:
                # A link, because unlike a rename it never replaces a file that is already there.
                self.path_of(key).hardlink_to(temporary)
        except FileExistsError:
            raise UsageError(
                f"the key of this certificate is already in {self.path}, nothing was changed; to"
                f" import it anew, first run: smimegw key remove {key.identifier[:12]}"
            ) from None
        except OSError as exc:
            raise self._failed(exc) from exc
        self._sync()

    def replace(self, old: KeyObject, new: KeyObject) -> bool:
        """Put *new* where *old* is, durably; False if it is no longer there or another one.

        Raises:
            KeystoreError: The directory cannot be written.
        """
        path = self.path_of(old)
        try:
            with self._alone(), self._written(write_key_object(new)) as temporary:
                try:
                    there = read_regular(path, _OCTETS)
                    if parse_key_object(there, old.identifier) != old:
                        return False
                except FileNotFoundError:
                    return False
                temporary.replace(path)
        except OSError as exc:
            raise self._failed(exc) from exc
        self._sync()
        return True

    def remove(self, key: KeyObject) -> None:
        """Delete the file of *key*; there is no way back.

        Raises:
            KeystoreError: It cannot be deleted.
        """
        try:
            with self._alone():
                self.path_of(key).unlink()
        except OSError as exc:
            raise self._failed(exc) from exc
        self._sync()

    def escrow_path(self, identifier: str) -> Path:
        """Return where the escrowed copy of a key is kept; it stays when the key is removed."""
        return self.path / f"{identifier}{_ESCROW_SUFFIX}"

    def write_escrow(self, identifier: str, copy: bytes) -> None:
        """Keep an escrowed copy durably; one that is there already is replaced.

        Raises:
            KeystoreError: The directory cannot be written.
        """
        try:
            with self._written(copy) as temporary:
                temporary.replace(self.escrow_path(identifier))
        except OSError as exc:
            raise self._failed(exc) from exc
        self._sync()

    @contextlib.contextmanager
    def _written(self, octets: bytes) -> Iterator[Path]:
        """A file of another name with *octets* in it, on the disk; gone afterwards."""
        temporary = self.path / f".{secrets.token_hex(8)}.new"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else replaces or removes: a key that was removed must not come back."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _index(self) -> dict[str, _Entry]:
        try:
            version = self.path.stat().st_mtime_ns
            with self._lock:
                known = self._entries
                if version == self._version:
                    return known
            entries = {
                path.name: self._read(path, seen, known.get(path.name))
                for path, seen in self._files()
            }
        except OSError as exc:
            raise self._failed(exc) from exc
        # Two changes within one tick of the file system's clock look like one: believe only a
        # time stamp that is old enough for the next change to get another one.
        settled = time.time_ns() - version > _SETTLED_NANOSECONDS
        with self._lock:
            self._entries = entries
            self._version = version if settled else -1
        return entries

    def _files(self) -> Iterator[tuple[Path, _Version]]:
        for path in sorted(self.path.glob(f"*{_SUFFIX}")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # removed in this moment
            yield path, (status.st_ino, status.st_mtime_ns, status.st_size)

    def _read(self, path: Path, version: _Version, known: _Entry | None) -> _Entry:
        if known is not None and known.version == version:
            return known
        try:
            key = parse_key_object(read_regular(path, _OCTETS), path.name.removesuffix(_SUFFIX))
        except OSError as exc:
            return _Entry(version=version, key=None, flaw=f"{path}: {exc.strerror}")
        except KeystoreError as exc:
            return _Entry(version=version, key=None, flaw=f"{path}: {exc}")
        return _Entry(version=version, key=key)

    def _sync(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: OSError) -> KeystoreError:
        return KeystoreError(
            f"keystore {self.path}: {exc.strerror or exc}; check gateway.state_directory or"
            " keystore.path in the configuration, and that the directory belongs to this user",
            server=str(self.path),
        )
