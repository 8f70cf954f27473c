"""Several gateways on one machine, as the manual sets them up: HAProxy, PostgreSQL, two slapd."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from tests.e2e.node import SinkThread
from tests.e2e.programs import GatewayProcess
from tests.fakes.smime import ALICE, BOB, ISSUING, ROOT
from tests.ha import manual
from tests.ha.manual import NodePorts
from tests.ha.next_hop import NextHop
from tests.peers.haproxy import HAProxy
from tests.peers.ports import free_port, wait_until
from tests.peers.postgres import Postgres
from tests.peers.slapd import Slapd

PARTNER = "partner.example"
"""Whoever is there gets mail encrypted or not at all."""
SIGNED = "signed.example"
_CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{here}/state"
[next_hop.out]
address = "127.0.0.1:{next_hop}"
tls = {{ mode = "none" }}
[next_hop.in]
address = "127.0.0.1:{next_hop}"
tls = {{ mode = "none" }}
[trust]
anchors = ["{shared}/root.pem"]
intermediates = ["{shared}/issuing.pem"]
crls = ["{shared}/crls"]
[keystore]
path = "{shared}/keys"
key_encryption_key = {{ file = "{shared}/kek" }}
[policies]
path = "{shared}/policies"
[log]
format = "json"
[limits]
loop_lag_seconds = 60.0
claim_seconds = 3
database_probe_seconds = 0.5
"""
_POLICY = """[[rule]]
name = "encrypted or not at all"
why  = "somebody looks for plaintext behind the gateway"
when = { direction = "outbound", recipient_domain = ["partner.example"] }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }

[[rule]]
name = "signed"
why  = "so that a message goes in different copies"
when = { direction = "outbound", recipient_domain = ["signed.example"] }
then = { protect = "sign" }

[[rule]]
name = "as it is"
why  = "so that a message goes in different copies"
when = { direction = "outbound" }
then = { protect = "none" }

[[rule]]
name = "open and report"
why  = "mail from outside"
when = { direction = "inbound" }
then = { require = "none" }
"""


class ClusterNode(GatewayProcess):
    """One gateway, which remembers what it said in its earlier lives.

    Args:
        directory: Of its own.
        ports: Where it listens.
    """

    def __init__(self, directory: Path, ports: NodePorts) -> None:
        super().__init__(directory / "smimegw.toml")
        self.ports = ports
        self.state = directory / "state"
        self._said: list[dict[str, Any]] = []

    def start(self) -> Self:
        self._said += super().events()
        return super().start()

    def everything(self, name: str = "", **members: Any) -> list[dict[str, Any]]:
        """The log entries of that event, of every life."""
        earlier = [
            entry
            for entry in self._said
            if name in {"", entry.get("event")}
            and all(entry.get(key) == value for key, value in members.items())
        ]
        return [*earlier, *self.events(name, **members)]


class Cluster:
    """Everything on this machine; a context manager.

    Attributes:
        nodes: The gateways.
        balancer: HAProxy; `port` and `mx_port` are its.
        primary: The directory server that is written to.
        replica: The one that copies it.
        next_hop: What comes out at the other end.
        canary: What every message says, and nobody may read where the policy encrypts.
    """

    def __init__(self, nodes: int) -> None:
        self.port, self.mx_port = free_port(), free_port()
        self.canary = secrets.token_hex(16)
        self._count = nodes
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.directory = Path(tempfile.mkdtemp(prefix="cluster-"))
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.postgres = stack.enter_context(Postgres())
            self.primary = stack.enter_context(Slapd())
            self.replica = stack.enter_context(Slapd(provider=self.primary))
            self.next_hop = NextHop(self.canary)
            stack.enter_context(SinkThread(self.next_hop))
            self._share()
            self.nodes = [self._node(number) for number in range(1, self._count + 1)]
            stack.callback(self._end)
            with ThreadPoolExecutor(2) as pool:  # as many as a small machine has cores
                list(pool.map(ClusterNode.start, self.nodes))
            configuration = manual.balancer(
                [node.ports for node in self.nodes], relay=self.port, mx=self.mx_port
            )
            self.balancer = stack.enter_context(HAProxy(configuration, self.port))
            self.settle()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def settle(self) -> None:
        """Return when every node runs and gets mail."""
        for node in self.nodes:
            if not node.runs:
                node.start()
        self.balancer.wait_for("UP")

    def person(self, address: str) -> None:
        """Give *address* a certificate, published at the primary directory."""
        issued = ISSUING.issue(address, key="p256")
        self._publish(address, issued.certificate.der)

    def _publish(self, address: str, certificate: bytes) -> None:
        """Return when both servers have it: a copy that lags behind says there is none."""
        self.primary.add_person(address, certificates=[certificate])
        wait_until(
            lambda: address in self.replica.search(f"(mail={address})", "mail"),
            f"{address} at the second directory server",
        )

    def readable_places(self) -> list[str]:
        """Files of gateways and database in which the canary can be read."""
        places = [self.directory, self.postgres.directory]
        canary = self.canary.encode()
        return [
            str(path)
            for place in places
            for path in place.rglob("*")
            if path.is_file() and canary in path.read_bytes()
        ]

    # --- preparation -----------------------------------------------------------------------------

    def _share(self) -> None:
        """What is the same on all nodes."""
        here = self.directory
        for name in ("crls", "policies"):
            (here / name).mkdir()
        (here / "policies" / "rules.toml").write_text(_POLICY)
        (here / "root.pem").write_bytes(ROOT.pem)
        (here / "issuing.pem").write_bytes(ISSUING.pem)
        for ca, name in ((ROOT, "root"), (ISSUING, "issuing")):
            (here / "crls" / f"{name}.crl").write_bytes(ca.crl())
        key = KeyEncryptionKey.generate()
        (here / "kek").write_bytes(key.export())
        (here / "kek").chmod(0o600)
        keystore = FilesKeystore(here / "keys", key)
        keystore.prepare()
        keystore.add(
            KeyMaterial(certificate=ALICE.certificate, chain=ALICE.chain, private_key=ALICE.key)
        )
        (here / "ldap-ca.pem").write_bytes(
            self.primary.ca.read_bytes() + self.replica.ca.read_bytes()
        )
        (here / "ldap-password").write_text(Slapd.gateway_password)
        (here / "database-password").write_text("change me")
        self.postgres.execute(manual.block("sql"))
        self.postgres.allow(manual.block("pg_hba").replace("192.0.2.0/24", "127.0.0.1/32"))
        self._publish("bob@" + PARTNER, BOB.certificate.der)

    def _node(self, number: int) -> ClusterNode:
        directory = self.directory / f"node{number}"
        (directory / "state").mkdir(parents=True)
        (directory / "state").chmod(0o700)
        ports = NodePorts(relay=free_port(), mx=free_port(), status=free_port())
        (directory / "smimegw.toml").write_text(
            _CONFIGURATION.format(
                here=directory, shared=self.directory, next_hop=self.next_hop.port
            )
        )
        (directory / "smimegw.toml.d").mkdir()
        others = {
            "db.corp.example:5432": f"127.0.0.1:{self.postgres.port}",
            "ldaps://ldap1.corp.example": self.primary.ldaps_url,
            "ldaps://ldap2.corp.example": self.replica.ldaps_url,
            "/etc/smimegw": str(self.directory),
            'found = "1h", absent = "5m"': 'found = "1s", absent = "1s"',
        }
        text = manual.drop_in(ports, others.items())
        (directory / "smimegw.toml.d" / "several-nodes.toml").write_text(text)
        return ClusterNode(directory, ports)

    def _end(self) -> None:
        for node in self.nodes:
            if node.runs:
                node.kill()
