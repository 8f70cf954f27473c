"""One company of the demonstration: state directory, keys, a gateway process, a mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from pathlib import Path

from smimegw.adapters.smtp.sink import Sink
from smimegw.errors import SmimegwError

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0

_CONFIGURATION = """version = 1

[gateway]
hostname         = "gw.{domain}"
internal_domains = ["{domain}"]
state_directory  = "{directory}"

[listener.submission]           # users' clients; no login, because only this machine may connect
address = "127.0.0.1:0"
peers   = ["127.0.0.1"]
auth    = "none"

[listener.mx]                   # mail from outside
address = "127.0.0.1:0"
peers   = ["127.0.0.1"]

[next_hop.out]                  # towards the Internet
address = "127.0.0.1:{wire}"

[next_hop.in]                   # towards our own people
address = "127.0.0.1:{inbox}"

[trust]
anchors = ["{anchor}"]

[keystore]
key_encryption_key = {{ file = "{directory}/kek" }}

[policies]
path = "{directory}/policies"

[log]
format = "json"

[metrics]
address = "127.0.0.1:0"

[limits]
loop_lag_seconds = 60           # whoever tries this may have a busy machine
"""

_POLICY = """[[rule]]
name = "partners get signed and encrypted mail, or none"
why  = "the demonstration"
when = { direction = "outbound" }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }

[[rule]]
name = "open and report"
why  = "the demonstration"
when = { direction = "inbound" }
then = { require = "none" }
"""


class DemoError(SmimegwError):
    """A step of the demonstration did not work; the text says which."""


class Company:
    """A domain with one user, a gateway between `wire` and `inbox`."""

    def __init__(self, domain: str, user: str, directory: Path) -> None:
        self.domain = domain
        self.user = user
        self.directory = directory
        self.wire = Sink("127.0.0.1")
        self.inbox = Sink("127.0.0.1")
        self.ports: dict[str, int] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._log: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    @property
    def configuration(self) -> Path:
        """The gateway's configuration file."""
        return self.directory / "smimegw.toml"

    async def prepare(self, anchor: Path) -> None:
        """Write configuration and policy and make the key-encryption key."""
        await self.wire.start()
        await self.inbox.start()
        (self.directory / "policies").mkdir(parents=True)
        (self.directory / "policies" / "demo.toml").write_text(_POLICY)
        self.configuration.write_text(
            _CONFIGURATION.format(
                domain=self.domain,
                directory=self.directory,
                wire=self.wire.port,
                inbox=self.inbox.port,
                anchor=anchor,
            )
        )
        await command("smimegw", "key", "generate-kek", str(self.directory / "kek"))

    async def import_key(self, container: Path, password_file: Path) -> None:
        """Give the gateway the user's key, as an administrator would."""
        await command(
            "smimegw", "key", "import", str(container), "-c", str(self.configuration),
            "--password-file", str(password_file),
        )  # fmt: skip

    async def start(self) -> None:
        """Start the gateway and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            program("smimegw"), "run", "-c", str(self.configuration),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read_log(self._process, ready))
        try:
            async with asyncio.timeout(_START_SECONDS):
                await ready.wait()
        except TimeoutError:
            raise DemoError(f"the gateway of {self.domain} did not start: {self._log}") from None
        if not self.ports:
            raise DemoError(f"the gateway of {self.domain} ended: {self._log[-3:]}")

    async def _read_log(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._log.append(line.decode("utf-8", "replace").strip())
            if b'"gateway.ready"' in line:
                names = str(json.loads(line)["listeners"]).split(",")
                for entry in names:
                    name, _, address = entry.partition("=")
                    self.ports[name] = int(address.rpartition(":")[2])
                ready.set()
        ready.set()

    async def stop(self) -> None:
        """End the gateway and the mailboxes; safe to call at any time."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reading is not None:
            await self._reading
        await self.wire.stop()
        await self.inbox.stop()


def program(name: str) -> str:
    """The path of one of our own programs: beside this interpreter, else on the search path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise DemoError(f"the program {name} is not installed beside {sys.executable}")
    return found


async def command(name: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run a program to its end and return its standard output.

    Raises:
        DemoError: It failed; with what it said.
    """
    path = name if "/" in name else program(name)
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await process.communicate(stdin)
    except asyncio.CancelledError:  # Ctrl-C: the directory that it works in is about to go
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip()
        raise DemoError(f"{Path(path).name} {' '.join(arguments[:2])} failed: {said}")
    return output
