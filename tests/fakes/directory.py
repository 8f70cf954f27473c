"""A directory in memory, whose content and troubles a test sets."""

from __future__ import annotations

import asyncio

from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.ports import FoundCertificate
from smimegw.x509.certificate import Certificate

BOB = Mailbox.parse("bob@corp.example")


class FakeDirectory:
    """Holds certificates of bob@corp.example; counts the questions."""

    def __init__(self, *certificates: Certificate, name: str = "fake:one") -> None:
        self.content: dict[str, tuple[Certificate, ...]] = {BOB.key: certificates}
        self.down = False
        self.questions = 0
        self.flushed: list[Mailbox | None] = []
        self.gate: asyncio.Event | None = None
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        self.questions += 1
        found = self.content.get(mailbox.key, ())
        if self.gate:
            await self.gate.wait()
        if self.down:
            raise DirectoryError("down", server=self._name)
        return tuple(
            FoundCertificate(certificate=item, source=self._name, owner="o") for item in found
        )

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        self.flushed.append(mailbox)

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        self.questions += 1
        if self.down:
            raise DirectoryError("down", server=self._name)
        return self.content[BOB.key]

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        self.questions += 1
        if self.down:
            raise DirectoryError("down", server=self._name)
        return (self._name.encode(),)
