"""A gateway's side of enrolment, with a keystore in memory and a clock that is set."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from smimegw.adapters.est.attempts import Attempts
from smimegw.adapters.est.client import ESTClient
from smimegw.adapters.est.enrolment import Enrolled, EnrolmentKey, ESTEnrolment
from smimegw.errors import KeystoreError
from tests.fakes.clock import SetClock
from tests.fakes.est import MemorySealer, ScriptedEST
from tests.fakes.pki import Issued
from tests.fakes.ports import MemoryKeystore
from tests.peers.tls import TLSFiles


@dataclass
class Desk:
    """A gateway's side: keystore, clock, files; workers share all of it."""

    directory: Path
    tls: TLSFiles
    keystore: MemoryKeystore = field(default_factory=MemoryKeystore)
    clock: SetClock = field(default_factory=SetClock)
    sealer: MemorySealer = field(default_factory=MemorySealer)
    kept: list[Enrolled] = field(default_factory=list)
    full: bool = False

    def worker(
        self, server: ScriptedEST, *, key: EnrolmentKey = EnrolmentKey.P_256
    ) -> ESTEnrolment:
        """One worker process' adapter."""

        async def keep(enrolled: Enrolled) -> None:
            if self.full:
                raise KeystoreError("no space left on device")
            self.kept.append(enrolled)
            self.keystore.add(Issued(certificate=enrolled.certificate, key=enrolled.private_key))

        context = ssl.create_default_context(cafile=self.tls.ca)
        return ESTEnrolment(
            ESTClient(server.place, lambda: context),
            self.keystore,
            keep,
            Attempts(self.directory / "enrolment", self.sealer),
            Attempts(self.directory / "renewal", self.sealer),
            self.clock,
            key=key,
        )

    @property
    def files(self) -> list[Path]:
        """What is remembered."""
        return sorted(self.directory.glob("*/*.json"))
