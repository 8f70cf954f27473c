"""Lets an administrator tell a running gateway to ask its directories again.

The command adds a line to a file in the state directory; every process of the gateway looks at the
file before it uses a kept answer.  So it reaches all workers, and needs no port and no login.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError
from smimegw.ports import AuthorityDirectory, CertificateDirectory, FoundCertificate
from smimegw.sources import IssuerAnswer, LookUp, ask_issuer, look_up
from smimegw.x509.certificate import Certificate

_OCTETS = 64 * 1024  # then the file is begun anew, which flushes everything once

Told = Callable[[Mailbox | None], None]


class FlushNotes:
    """The file in which flushes are noted; what stood there before is not news."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = self._stand()

    def add(self, mailbox: Mailbox | None) -> None:
        """Note that answers for *mailbox*, or all, shall be asked for again.

        Raises:
            OSError: The state directory cannot be written.
        """
        line = json.dumps({"mailbox": mailbox.address if mailbox else None}) + "\n"
        if self._stand()[1] > _OCTETS:
            new = self._path.with_suffix(".new")
            new.write_text(line)
            new.replace(self._path)
            return
        # one write, so that two administrators do not mix their lines
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def news(self) -> Sequence[Mailbox | None]:
        """What was noted since the last call; None stands for everybody."""
        stand = self._stand()
        if stand == self._read:
            return ()
        (file, offset, _), self._read = self._read, stand
        if file not in (0, stand[0]) or (offset and stand[1] <= offset):
            return (None,)  # begun anew: there may have been more
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                return tuple(_mailboxes(stream.read(stand[1] - offset)))
        except OSError:
            return (None,)

    def _stand(self) -> tuple[int, int, int]:
        """Which file it is, how long, and when it was written: a new one may get an old number."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_size, found.st_mtime_ns)


class FlushedDirectory:
    """Implements `CertificateDirectory`: heeds the notes, then asks *directory*.

    Args:
        directory: With its caches.
        notes: What to heed.
        authorities: Flushed with everything else.
        told: Called for each note that was heeded.
    """

    def __init__(
        self,
        directory: CertificateDirectory,
        notes: FlushNotes,
        *,
        authorities: FlushedAuthorities,
        told: Told,
    ) -> None:
        self._directory = directory
        self._notes = notes
        self._authorities = authorities
        self._told = told

    @property
    def name(self) -> str:
        """Of the directory behind."""
        return self._directory.name

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """As the directory behind.

        Raises:
            DirectoryError: It could not answer.
        """
        await self._heed()
        return await self._directory.find(mailbox)

    async def look_up(self, mailbox: Mailbox) -> LookUp:
        """As `find`, with what each source said."""
        await self._heed()
        return await look_up(self._directory, mailbox)

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Ask again next time, for one mailbox or all; for CA certificates and CRLs with all."""
        await self._directory.flush(mailbox)
        if mailbox is None:
            await self._authorities.flush()

    async def _heed(self) -> None:
        for mailbox in self._notes.news():
            await self.flush(mailbox)
            self._told(mailbox)


class FlushedAuthorities:
    """Implements `AnsweringAuthorities` for `FlushedDirectory`, which is asked first for each mail.

    Args:
        authorities: All together.
        flushes: Let the cache of each ask again.
    """

    def __init__(
        self, authorities: AuthorityDirectory, flushes: Sequence[Callable[[], Awaitable[None]]]
    ) -> None:
        self._authorities = authorities
        self._flushes = tuple(flushes)

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """As those behind.

        Raises:
            DirectoryError: They could not answer.
        """
        return await self._authorities.authorities(subject_der)

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """As those behind.

        Raises:
            DirectoryError: They could not answer.
        """
        return await self._authorities.crls(issuer_der)

    async def ask(self, name_der: bytes) -> IssuerAnswer:
        """As those behind."""
        return await ask_issuer(self._authorities, name_der)

    async def flush(self) -> None:
        """Ask again next time."""
        for flush in self._flushes:
            await flush()


def _mailboxes(octets: bytes) -> Iterator[Mailbox | None]:
    for line in octets.splitlines():
        try:
            address = json.loads(line)["mailbox"]
            yield Mailbox.parse(address) if address is not None else None
        except (ValueError, KeyError, TypeError, AddressError):
            yield None  # whoever wrote that wanted something asked again
