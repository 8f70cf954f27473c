"""A gateway with everything on: slapd, signing and encrypting, records, journal, ledger, log."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from tests.bench.cast import READER, SIGNER, Cast
from tests.e2e.programs import GatewayProcess
from tests.peers.ports import free_port
from tests.peers.slapd import Slapd

_CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["{ours}"]
state_directory = "{here}/state"
workers = {workers}
[listener.relay]
address = "127.0.0.1:{relay}"
peers = ["127.0.0.0/8"]
[listener.mx]
address = "127.0.0.1:{mx}"
peers = ["127.0.0.0/8"]
[next_hop.out]
address = "127.0.0.1:{sink}"
tls = {{ mode = "none" }}
[next_hop.in]
address = "127.0.0.1:{sink}"
tls = {{ mode = "none" }}
[[directory]]
kind = "ldap"
name = "staff"
url = "{ldap}"
base = "{base}"
ca = "{ldap_ca}"
bind = {{ dn = "{bind_dn}", password = {{ file = "{here}/ldap-password" }} }}
[trust]
anchors = ["{here}/root.pem"]
intermediates = ["{here}/issuing.pem"]
crls = ["{here}/crls"]
[keystore]
path = "{here}/keys"
key_encryption_key = {{ file = "{here}/kek" }}
[policies]
path = "{here}/policies"
[log]
format = "json"
[metrics]
address = "127.0.0.1:{status}"
"""
# The load's clients share the two processors with the gateway, and come from one address.
_SHARED_MACHINE = """[limits]
loop_lag_seconds = 60.0
sessions_per_peer = 200
"""
_POLICY = """[[rule]]
name = "signed and encrypted, or not at all"
why  = "the main job"
when = { direction = "outbound" }
then = { protect = "sign-then-encrypt", without_certificate = "refuse", cipher = "aes-256-cbc" }

[[rule]]
name = "open and report"
why  = "the main job"
when = { direction = "inbound" }
then = { require = "none" }
"""


@dataclass(frozen=True, slots=True)
class Used:
    """Processor time and memory of a process with all its children.

    Attributes:
        seconds: Of processor time, since the start.
        peak: Largest resident memory of one process so far, octets.
        now: Resident memory of all processes now, octets.
    """

    seconds: float
    peak: int
    now: int


class BenchGateway:
    """One node behind which a sink listens on *sink*; a context manager.

    Attributes:
        relay: Port for mail of our own people.
        mx: Port for mail from outside.
        start_seconds: From its start until it said that it is ready.
    """

    def __init__(
        self,
        cast: Cast,
        sink: int,
        *,
        workers: int = 1,
        partners: Sequence[str] = (),
        default_limits: bool = False,
    ) -> None:
        self.relay, self.mx, self.status = free_port(), free_port(), free_port()
        self._cast, self._sink, self._workers = cast, sink, workers
        self._partners = partners
        self._limits = "" if default_limits else _SHARED_MACHINE
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.slapd = stack.enter_context(Slapd())
            for address in (READER, *self._partners):
                self._add(address)
            self._write()
            self._process = GatewayProcess(self.directory / "smimegw.toml")
            self._process.start()  # the first start makes the database, which takes memory and time
            self._process.stop()
            began = time.monotonic()
            self._process.start()
            self.start_seconds = time.monotonic() - began
            stack.callback(self._process.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """Of the first process."""
        return self._process.pid

    def used(self) -> Used:
        """What it has used so far."""
        return used_by(self.pid)

    def _add(self, address: str) -> None:
        """Publish a certificate for *address*; all partners share a key, which costs nothing."""
        issued = self._cast.reader
        if address != READER:
            issued = self._cast.issuing.issue(address, key=issued.key)
        self.slapd.add_person(address, certificates=[issued.certificate.der])

    def _write(self) -> None:
        here, cast = self.directory, self._cast
        for name in ("crls", "policies", "state"):
            (here / name).mkdir()
        (here / "policies" / "rules.toml").write_text(_POLICY)
        (here / "root.pem").write_bytes(cast.root.pem)
        (here / "issuing.pem").write_bytes(cast.issuing.pem)
        (here / "crls" / "root.crl").write_bytes(cast.root.crl())
        (here / "crls" / "issuing.crl").write_bytes(cast.issuing.crl())
        key = KeyEncryptionKey.generate()
        (here / "kek").write_bytes(key.export())
        (here / "kek").chmod(0o600)
        keystore = FilesKeystore(here / "keys", key)
        keystore.prepare()
        own = cast.signer
        keystore.add(KeyMaterial(certificate=own.certificate, chain=own.chain, private_key=own.key))
        (here / "ldap-password").write_text(Slapd.gateway_password)
        (here / "ldap-password").chmod(0o600)
        (here / "smimegw.toml").write_text(
            (_CONFIGURATION + self._limits).format(
                ours=SIGNER.partition("@")[2],
                here=here,
                workers=self._workers,
                relay=self.relay,
                mx=self.mx,
                sink=self._sink,
                ldap=self.slapd.ldaps_url,
                ldap_ca=self.slapd.ca,
                base=self.slapd.people_base,
                bind_dn=self.slapd.gateway_dn,
                status=self.status,
            )
        )


def used_by(pid: int) -> Used:
    """What *pid* and its children have used."""
    seconds, peak, now = 0.0, 0, 0
    for process in processes_of(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            # Its own, and what its ended children had used (proc(5): utime to cstime).
            seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]) * 1024)
                if line.startswith("VmRSS:"):
                    now += int(line.split()[1]) * 1024
    return Used(seconds, peak, now)


def processes_of(pid: int) -> Iterator[int]:
    """*pid*, and its children with theirs."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from processes_of(int(child))
