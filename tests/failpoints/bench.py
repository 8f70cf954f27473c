"""A gateway process, a next hop and a client, for one fault at one named point at a time.

`Bench.run` arms the fault, sends until the client is told 250 for everybody, restarting the
gateway where it died or hangs, and then reckons: what the client was told against what arrived,
every duplicate against a line that says in doubt, every octet that was written against a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import (
    publish_authority,
    publish_certificate,
    publish_crl,
)
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.logs.open_decisions import open_decisions
from smimegw.adapters.logs.stored_records import records_of
from smimegw.adapters.smtp.sink import SinkMessage
from smimegw.addresses import Mailbox
from tests.failpoints.client import Gone, send
from tests.failpoints.files import CONFIGURATION, POLICY
from tests.fakes.company import message
from tests.fakes.pki import NOW, make_ca
from tests.fakes.scripted_sink import ScriptedSink
from tests.flow.canary import is_readable
from tests.flow.protected import encrypted, signed
from tests.peers.ports import free_port
from tests.peers.postfix import Postfix

ALICE, BOB = "alice@ours.example", "bob@partner.example"
DAVE = "dave@ours.example"  # has no key
ERIN = "erin@new.example"  # is in no directory yet
PEOPLE = {1: [BOB], 3: [BOB, "plain@else.example", "sig@signed.example"]}
INSIDE = {1: [ALICE], 3: [ALICE, "carol@ours.example", DAVE]}
_PORTS = ("port", "mx", "status", "sink_smtp", "sink_lmtp")
_CLIENT_SECONDS = 4.0
_ATTEMPTS = 20
_SHOWN = 30  # lines of the log of a case that went wrong
_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault.

    Attributes:
        point: Where.
        action: ``kill``, ``raise``, ``hang``, ``enospc`` or ``eio``.
        copies: 1 or 3.
        protocol: ``smtp`` or ``lmtp``, of client and next hop.
        refusing: The next hop refuses the second dot for good, so that there is a report.
        inbound: From Erin, signed and encrypted, instead of from Alice.
    """

    point: str
    action: str
    copies: int
    protocol: str
    refusing: bool = False
    inbound: bool = False

    @property
    def people(self) -> list[str]:
        """To whom the message goes."""
        return (INSIDE if self.inbound else PEOPLE)[self.copies]

    def __str__(self) -> str:
        last = ("-refusing" if self.refusing else "") + ("-inbound" if self.inbound else "")
        return f"{self.point}-{self.action}-{self.copies}-{self.protocol}{last}"


@dataclass(kw_only=True)
class Result:
    """What came of it; *flaws* is empty when every promise was kept."""

    attempts: int = 0
    restarts: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    reports: int = 0
    in_doubt: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    flaws: list[str] = field(default_factory=list)


class Bench:
    """Everything that cases share; a context manager, used in one event loop.

    Args:
        here: A directory of its own.
        postfix: A real Postfix is the next hop, and the sink is behind it; by SMTP only.
    """

    def __init__(self, here: Path, *, postfix: bool = False) -> None:
        self._here = here
        self._has_postfix = postfix
        self.postfix: Postfix | None = None
        self._ports = {name: free_port() for name in _PORTS}
        self._sinks: dict[str, ScriptedSink] = {}
        self._numbers = iter(range(100_000))

    async def __aenter__(self) -> Self:
        self._prepare()
        for protocol in ("smtp", "lmtp"):
            sink = ScriptedSink(lmtp=protocol == "lmtp", port=self._ports[f"sink_{protocol}"])
            await sink.start()
            self._sinks[protocol] = sink
        if self._has_postfix:
            server = Postfix(relayhost=self._ports["sink_smtp"])
            self.postfix = await asyncio.to_thread(server.__enter__)
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.failpoints.zygote"],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._zygote.stdin
        assert self._zygote.stdout
        self._zygote.stdin.close()
        self._zygote.wait(timeout=10)
        self._zygote.stdout.close()
        if self.postfix is not None:
            await asyncio.to_thread(self.postfix.__exit__, None, None, None)
        for sink in self._sinks.values():
            await sink.stop()

    def _prepare(self) -> None:
        """One state directory that every case copies: our people's keys, Bob's certificate."""
        state = self._here / "template"
        (state / "keys").mkdir(parents=True)
        (self._here / "policies").mkdir()
        (self._here / "policies" / "rules.toml").write_text(POLICY)
        key = KeyEncryptionKey.generate()
        (self._here / "kek").write_bytes(key.export())
        (self._here / "kek").chmod(0o600)
        ca = self.ca = make_ca("Failpoint CA")
        (self._here / "ca.pem").write_bytes(ca.certificate.parsed.public_bytes(Encoding.PEM))
        self.people = {name: ca.issue(name, key="p256") for name in (*INSIDE[3], BOB, ERIN)}
        keystore = FilesKeystore(state / "keys", key)
        keystore.prepare()
        for name in set(INSIDE[3]) - {DAVE}:
            one = self.people[name]
            keystore.add(
                KeyMaterial(certificate=one.certificate, chain=one.chain, private_key=one.key)
            )
        bob = self.people[BOB]
        engine = open_database(state / "smimegw.db")
        publish_certificate(engine, Mailbox.parse(BOB), bob.certificate.der, now=NOW)
        publish_authority(engine, ca.certificate.der, now=NOW)
        publish_crl(engine, ca.crl())
        engine.dispose()

    # --- one case --------------------------------------------------------------------------------

    async def run(self, case: Case) -> Result:
        """Let *case* happen and reckon."""
        here = self._here / f"case-{next(self._numbers)}"
        run = _Run(self, case, here, self._sinks[case.protocol])
        shutil.copytree(self._here / "template", here / "state")
        behind = self.postfix.internal_port if self.postfix else 0
        values = {**self._ports, "sink": behind or self._ports[f"sink_{case.protocol}"]}
        text = CONFIGURATION.format(
            state=here / "state", here=self._here, protocol=case.protocol, **values
        )
        (here / "smimegw.toml").write_text(text)
        try:
            await run.until_told()
        finally:
            await run.kill()
        if self.postfix is not None:
            await asyncio.to_thread(self.postfix.wait_for_empty_queue)
        result = run.reckoned()
        if result.flaws:
            print(*(here / "log").read_text().splitlines()[-_SHOWN:], sep="\n", file=sys.stderr)
        else:
            shutil.rmtree(here)
        return result

    def fork(self, here: Path, plan: str) -> int:
        """Start a gateway; its process id."""
        assert self._zygote.stdin
        assert self._zygote.stdout
        order = {
            "config": str(here / "smimegw.toml"),
            "plan": plan,
            "seen": str(here / "seen"),
            "log": str(here / "log"),
        }
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        return int(self._zygote.stdout.readline())

    def port(self, case: Case) -> int:
        """Where *case* sends to."""
        return self._ports["mx" if case.inbound else "port"]

    def content(self, case: Case, secret: str) -> bytes:
        """The message of *case*."""
        sender = ERIN if case.inbound else ALICE
        content = message(sender, ", ".join(case.people), body=f"{secret}\r\n")
        if not case.inbound:
            return content
        readers = [self.people[name] for name in case.people if name != DAVE]
        return encrypted(signed(content, self.people[ERIN]), self.ca, *readers)


class _Run:
    """One case under way."""

    def __init__(self, bench: Bench, case: Case, here: Path, sink: ScriptedSink) -> None:
        self.bench = bench
        self.case = case
        self.here = here
        self.sink = sink
        self.secret = secrets.token_hex(16)
        self.content = bench.content(case, self.secret)
        self.sender = ERIN if case.inbound else ALICE
        self.hidden = DAVE if case.inbound else BOB
        self.pid = 0
        self.result = Result()
        sink.messages.clear()
        sink.script = {}
        if case.refusing:
            sink.script["DOT"] = ["250 2.0.0 OK", "550 5.7.1 no", "250 2.0.0 OK"]

    async def until_told(self) -> None:
        people = self.case.people
        plans = self._plans()
        self._start(next(plans))
        failures = 0
        while missing := [name for name in people if name not in self.result.told]:
            if self.result.attempts == _ATTEMPTS:
                self.result.flaws.append(f"never told 250 of {missing}")
                return
            codes = await self._attempt(missing if self.case.protocol == "lmtp" else people)
            self.result.told |= {name for name, code in codes.items() if code == 250}
            bounced = {name: code for name, code in codes.items() if 500 <= code < 600}
            if bounced:
                self.result.flaws.append(f"bounced: {bounced}")
                return
            failures += 1
            if self._disk_is_failing():
                await self._must_end(codes)
            # One that hangs is ended as an administrator would, one that died comes back.
            if not self._alive() or not codes or failures % 3 == 0:
                await self.kill()
                self.result.restarts += 1
                self._start(next(plans))
            elif len(self.result.told) < len(people):
                await asyncio.sleep(0.15)  # a client's pause between two tries

        await self._reached()

    def _disk_is_failing(self) -> bool:
        """The fault has just happened; before it, a busy machine may have said 451 by itself."""
        fault = (self.case.point, self.case.action) == ("journal.before-sync", "eio")
        return fault and not self.result.restarts and self._is_reached()

    def _is_reached(self) -> bool:
        seen = self.here / "seen"
        return seen.exists() and self.case.point in seen.read_text().split()

    async def _must_end(self, codes: dict[str, int]) -> None:
        """C27: 421, no further 250, and the process ends by itself, not in peace."""
        if set(codes.values()) != {421}:
            self.result.flaws.append(f"answered {codes} on a failing disk")
        for _ in range(200):
            if not self._alive():
                break
            await asyncio.sleep(0.02)
        else:
            self.result.flaws.append("goes on with a failing disk")
        if "the disk is failing" not in (self.here / "log").read_text().splitlines()[-1]:
            self.result.flaws.append("ended without a word")

    async def _reached(self) -> None:
        """A point behind the last reply may come a moment later."""
        for _ in range(100):
            if self._is_reached() or not self._alive():
                return
            await asyncio.sleep(0.02)

    def _plans(self):
        """What each process is armed with: the fault first, then nothing."""
        fault = f"{self.case.point}={self.case.action}"
        if self.case.point.startswith("recover."):
            yield "relay.after-dot=kill"  # so that there is something to recover
        yield fault
        while True:
            yield ""

    async def _attempt(self, people: list[str]) -> dict[str, int]:
        self.result.attempts += 1
        if not await self._listens():
            return {}
        try:
            return await send(
                self.bench.port(self.case),
                self.sender,
                people,
                self.content,
                lmtp=self.case.protocol == "lmtp",
                seconds=_CLIENT_SECONDS,
            )
        except Gone:
            return {}

    async def _listens(self) -> bool:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.bench.port(self.case))
                writer.close()
                return True
            if not self._alive():
                return False
            await asyncio.sleep(0.02)
        return False

    def _start(self, plan: str) -> None:
        self.pid = self.bench.fork(self.here, plan)

    def _alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def kill(self) -> None:
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        while self._alive():
            await asyncio.sleep(0.005)
        self.pid = 0

    # --- reckoning -------------------------------------------------------------------------------

    def reckoned(self) -> Result:
        result = self.result
        reported = b""
        for entry in self.sink.messages:
            if entry.reverse_path.startswith("<>"):
                result.reports += 1
                reported += entry.content
                continue
            result.arrived.update(_addresses(entry))
            result.flaws += self._wrong(entry)
        result.seen = set((self.here / "seen").read_text().split())
        result.in_doubt = self._in_doubt()
        for name in result.told:
            if not result.arrived[name] and f"rfc822; {name}".encode() not in reported:
                result.flaws.append(f"lost: {name}")
        for name, count in result.arrived.items():
            if count > 1 and name not in result.in_doubt:
                result.flaws.append(f"{name} got it {count} times, nothing explains it")
        if self.case.point not in result.seen:
            result.flaws.append(f"{self.case.point} was never reached")
        result.flaws += self._unrecorded()
        for path in self.here.rglob("*"):
            if path.is_file() and self._readable(path.read_bytes()):
                result.flaws.append(f"content in {path.name}")
        return result

    def _unrecorded(self) -> list[str]:
        """What the records leave open after a kill and a start, or say although it is not so."""
        if self.case.action != "kill":
            return []
        path = self.here / "state" / "decisions.jsonl"
        records = list(records_of([path])) if path.exists() else []
        aborted = [entry["txn"] for entry in records if entry.get("why") == "crash"]
        left = [f"decided without an outcome: {r['txn']}" for r in open_decisions(records)]
        return left + [
            f"recorded as aborted, and sent: {txn}"
            for txn in aborted
            if any(txn.encode() in entry.content for entry in self.sink.messages)
        ]

    def _wrong(self, entry: SinkMessage) -> list[str]:
        """What must not be so in a copy, or is missing."""
        readable = self._readable(entry.content)
        if self.hidden in _addresses(entry) and readable:
            return [f"the copy for {self.hidden} is readable"]
        if self.case.inbound and ALICE in _addresses(entry) and not readable:
            return ["Alice's copy is not readable"]
        return []

    def _readable(self, octets: bytes) -> bool:
        return is_readable(self.secret.encode(), octets)

    def _in_doubt(self) -> set[str]:
        names = set()
        for line in (self.here / "log").read_text().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "delivery.in_doubt":
                    names.add(entry["to"])
        return names


def _addresses(entry: SinkMessage) -> list[str]:
    """Whom *entry* is for; what stands behind an address is the DSN's."""
    return [text.split()[0].strip("<>") for text in entry.recipients]
