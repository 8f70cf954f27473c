"""One gateway with a proxy before every server that it depends on: slapd, PostgreSQL, HTTP, SMTP.

The gateway runs in this process on an event loop of its own that stands still between calls, so
that a test can change things without a race.  Deadlines are short, so that a test need not wait.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.config.load import load
from smimegw.server import Server
from smimegw.smtp.content import stuffed
from tests.fakes.company import message
from tests.fakes.pki import Issued, make_ca
from tests.fakes.scripted_sink import ScriptedSink
from tests.faults.proxy import Proxy, Trouble
from tests.flow.canary import is_readable
from tests.flow.protected import encrypted, signed
from tests.peers.ports import free_port
from tests.peers.postgres import Postgres
from tests.peers.revocation import crl_at, web_server
from tests.peers.slapd import Slapd

T = TypeVar("T")

ALICE, BOB = "alice@ours.example", "bob@partner.example"
_CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "state"
[listener.relay]
address = "127.0.0.1:{relay}"
peers = ["127.0.0.1"]
[listener.mx]
address = "127.0.0.1:{mx}"
[next_hop.out]
address = "localhost:{next_hop}"
tls = {{ mode = "none" }}
[next_hop.in]
address = "127.0.0.1:{next_hop}"
tls = {{ mode = "none" }}
[[directory]]
kind = "ldap"
name = "staff"
url = "ldap://127.0.0.1:{ldap}"
base = "{base}"
deadline = "1s"
bind = {{ dn = "{bind}", password = {{ file = "password" }} }}
[trust]
anchors = ["ca.pem"]
crls = ["crl.der"]
intermediates = ["intermediates"]
[revocation]
private_hosts = [{hosts}]
[keystore]
key_encryption_key = {{ file = "kek" }}
[database]
url = "{database}"
[policies]
path = "policies"
[log]
format = "json"
[metrics]
address = "127.0.0.1:{status}"
[limits]
loop_lag_seconds = 60.0
lookup_seconds = 2
revocation_seconds = 1
database_seconds = 0.5
database_probe_seconds = 0.05
connect_seconds = 1
next_hop_seconds = 1
outbound_reply_seconds = 4
inbound_reply_seconds = 4
disk_free_octets = 1
disk_free_inodes = 1
"""
_POLICY = """
[[rule]]
name = "encrypted"
why = "test"
when = { direction = "outbound", recipient_domain = ["partner.example"] }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }
[[rule]]
name = "clear"
why = "test"
when = { direction = "outbound" }
then = { protect = "none" }
[[rule]]
name = "open"
why = "test"
when = { direction = "inbound" }
then = { require = "none" }
"""
TROUBLES = [name for name in Trouble if name is not Trouble.NONE]


@dataclass(kw_only=True)
class Site:
    """Everything; made by `site`.

    Attributes:
        proxies: By dependency: ``ldap``, ``database``, ``next_hop``; and ``revocation TROUBLE``.
        sink: The next hop.
        people: Whose certificates the directory holds.
        ports: Of the gateway: ``relay``, ``mx``, ``status``.
        secret: Stands in the last mail.
    """

    directory: Path
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    sink: ScriptedSink = field(default_factory=ScriptedSink)
    people: dict[str, Issued] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    secret: bytes = b""

    def run(self, work: Awaitable[T]) -> T:
        """Let the loop run until *work* is done."""

        async def waited() -> T:
            return await work

        return self.runner.run(waited())

    def trouble(self, dependency: str, trouble: Trouble) -> None:
        """Begin *trouble* at *dependency*."""
        self.run(self.proxies[dependency].become(trouble))

    # --- mail ------------------------------------------------------------------------------------

    def outbound(self, *recipients: str) -> str:
        """The reply to a mail from Alice with a secret; one refused RCPT is the reply."""
        self.secret = secrets.token_hex(16).encode()
        return self.again(*recipients)

    def again(self, *recipients: str) -> str:
        """The reply to the same mail once more."""
        return self.run(self.sending(*recipients))

    async def sending(self, *recipients: str) -> str:
        """The same within the loop."""
        token = self.secret[:8].decode()
        content = message(ALICE, ", ".join(recipients), body=f"{self.secret.decode()}\r\n").replace(
            b"<1@test>", f"<{token}@test>".encode()
        )
        return await send(self.ports["relay"], ALICE, recipients, content)

    def inbound(self, *, clear: bool = False) -> str:
        """The reply to a mail from Bob for Alice, signed and encrypted or *clear*."""
        self.secret = secrets.token_hex(16).encode()
        return self.run(self.coming(clear=clear))

    async def coming(self, *, clear: bool = False) -> str:
        """The same within the loop."""
        content = message(BOB, ALICE, body=f"{self.secret.decode()}\r\n")
        if not clear:
            content = encrypted(signed(content, self.people[BOB]), self.ca, self.people[ALICE])
        return await send(self.ports["mx"], BOB, [ALICE], content)

    def copies(self) -> list[str]:
        """Who got the last mail, once for each time."""
        return [
            name.strip("<>")
            for entry in self.sink.messages
            for name in entry.recipients
            if not entry.reverse_path.startswith("<>")
        ]

    def in_doubt(self) -> set[str]:
        """Of whose copy of the last mail the log says that its outcome is not known."""
        entries = map(json.loads, (self.directory / "log").read_text().splitlines())
        token = self.secret[:8].decode()
        return {
            entry["to"]
            for entry in entries
            if entry["event"] == "delivery.in_doubt" and token in entry["message_id"]
        }

    def leaked(self) -> bool:
        """Whether the last secret can be read in a copy for who must get ciphertext, in the log
        or in the state directory."""
        files = (path for path in self.directory.rglob("*") if path.is_file())
        if any(is_readable(self.secret, path.read_bytes()) for path in files):
            return True
        return any(
            is_readable(self.secret, entry.content)
            for entry in self.sink.messages
            if any("partner.example" in name for name in entry.recipients)
        )

    def recover(self) -> None:
        """Every trouble is over."""
        for name in self.proxies:
            self.trouble(name, Trouble.NONE)

    def fresh(self) -> None:
        """All is well, and the next hop has forgotten."""
        self.recover()
        self.sink.messages.clear()
        self.sink.script.clear()

    # --- making ----------------------------------------------------------------------------------

    def prepare(self, slapd: Slapd, web: Any, database: str) -> None:
        """Write every file."""
        here = self.directory
        self.ca = make_ca("Fault CA")
        (here / "state" / "keys").mkdir(parents=True)
        (here / "policies").mkdir()
        (here / "intermediates").mkdir()
        (here / "policies" / "rules.toml").write_text(_POLICY)
        (here / "ca.pem").write_bytes(self.ca.pem)
        (here / "crl.der").write_bytes(self.ca.crl())
        (here / "password").write_text(slapd.gateway_password)
        (here / "password").chmod(0o600)
        (here / "kek").write_bytes(base64.b64encode(bytes(32)))
        (here / "kek").chmod(0o600)
        self._add_key(self._person(ALICE))
        self._person(BOB)
        for trouble in TROUBLES:
            self._listed_elsewhere(trouble, web)
        numbered = [f"{kind}-{n}" for kind in ("p", "spare") for n in range(len(TROUBLES) + 1)]
        for name in numbered:
            self._person(f"{name}@partner.example")
        for address, issued in self.people.items():
            slapd.add_person(address, certificates=[issued.certificate.der])
        self.ports |= {name: free_port() for name in ("relay", "mx", "status")}
        values = {
            **self.ports,
            "next_hop": self.proxies["next_hop"].port,
            "ldap": self.proxies["ldap"].port,
            "base": slapd.people_base,
            "bind": slapd.gateway_dn,
            "database": database,
            "hosts": ", ".join(
                f'"127.0.0.1:{proxy.port}"'
                for name, proxy in self.proxies.items()
                if name.startswith("revocation")
            ),
        }
        (here / "smimegw.toml").write_text(_CONFIGURATION.format(**values))

    def _person(self, address: str) -> Issued:
        issued = self.people[address] = self.ca.issue(address, key="p256")
        return issued

    def _listed_elsewhere(self, trouble: Trouble, web: Any) -> None:
        """Somebody of a CA of its own whose list is behind a proxy of its own: a server that
        failed is left alone for a while, and that is another test's matter."""
        name = trouble.replace(" ", "-")
        issuing = make_ca(f"Issuing {name}", parent=self.ca, path_length=0)
        (self.directory / "intermediates" / f"{name}.pem").write_bytes(issuing.pem)
        port = self.proxies[f"revocation {trouble}"].port
        web.pages[f"/{name}.crl"] = issuing.crl()
        address = f"listed-{name}@partner.example"
        point = crl_at(f"http://127.0.0.1:{port}/{name}.crl")
        self.people[address] = issuing.issue(address, key="p256", extensions=[point])

    def _add_key(self, issued: Issued) -> None:
        keystore = FilesKeystore(
            self.directory / "state" / "keys",
            KeyEncryptionKey.load((self.directory / "kek").read_bytes()),
        )
        keystore.prepare()
        keystore.add(
            KeyMaterial(certificate=issued.certificate, chain=issued.chain, private_key=issued.key)
        )


@contextlib.contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Start everything; yields the `Site`."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    with contextlib.ExitStack() as stack:
        slapd = stack.enter_context(Slapd())
        postgres = stack.enter_context(Postgres())
        web = stack.enter_context(web_server())
        made = Site(directory=directory)
        stack.callback(made.runner.close)
        behind = {"ldap": slapd.ldap_port, "database": postgres.port}
        behind |= {f"revocation {trouble}": web.port for trouble in TROUBLES}
        made.run(made.sink.start())
        stack.callback(lambda: made.run(made.sink.stop()))
        behind["next_hop"] = made.sink.port
        for name, port in behind.items():
            made.proxies[name] = Proxy(port)
            made.run(made.proxies[name].__aenter__())
        url = postgres.create_database().replace(
            f":{postgres.port}/", f":{made.proxies['database'].port}/"
        )
        made.prepare(slapd, web, url)
        stack.enter_context(_Serving(made))
        yield made
    root.handlers[:] = handlers


class _Serving:
    """The server's task."""

    def __init__(self, made: Site) -> None:
        self._made = made
        self._log = (made.directory / "log").open("w")
        with contextlib.redirect_stderr(self._log):  # the gateway keeps what it finds there
            self.server = Server(load(made.directory / "smimegw.toml"))

    def __enter__(self) -> Self:
        async def start() -> asyncio.Task[None]:
            task = asyncio.create_task(self.server.run())
            for _ in range(500):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self._made.ports["mx"])
                    writer.close()
                    return task
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
            raise TimeoutError("the gateway does not listen")

        self._task = self._made.run(start())
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop("test")
        for proxy in self._made.proxies.values():
            self._made.run(proxy.become(Trouble.NONE))
        self._made.run(self._task)
        for proxy in self._made.proxies.values():
            self._made.run(proxy.__aexit__())
        self._log.close()


async def send(port: int, sender: str, recipients: Sequence[str], content: bytes) -> str:
    """Send once; the reply that decides."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def ask(line: str = "") -> str:
            if line:
                writer.write(line.encode() + b"\r\n")
            answer = (await reader.readuntil(b"\n")).decode()
            while answer[3:4] == "-":
                answer = (await reader.readuntil(b"\n")).decode()
            return answer.rstrip()

        try:
            await ask()
            await ask("EHLO client.example")
            commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{name}>" for name in recipients)]
            for command in commands:
                if not (reply := await ask(command)).startswith("250"):
                    return reply
            if not (reply := await ask("DATA")).startswith("354"):
                return reply
            writer.write(b"".join(stuffed([content])) + b".\r\n")
            return await ask()
        finally:
            writer.transport.abort()
