"""Runs a private Unbound that validates zones which ldns signed.

    with Unbound() as resolver:
        resolver.publish("partner.example", ["name SMIMEA 3 0 0 …"])          # signed
        resolver.publish("plain.example", [...], signed=False)               # insecure
        resolver.publish("broken.example", [...], spoil=("old", "new"))      # bogus
        resolver.restart()
        ... resolver.port, resolver.tls_port, resolver.ca ...

The zones are files of Unbound itself, looked up as if an authoritative server had been asked, so
that its validator judges them against the zones' own keys as trust anchors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.exception
import dns.message
import dns.query

from tests.peers.ports import ProcessGroup, free_port, wait_until
from tests.peers.tls import make_tls

_ALGORITHM = "ECDSAP256SHA256"
_ZONE = """\
$ORIGIN {zone}.
$TTL {ttl}
@ SOA ns hostmaster 1 3600 600 86400 {ttl}
@ NS ns
ns A 127.0.0.1
"""
_CONFIGURATION = """\
server:
    interface: 127.0.0.1@{port}
    interface: 127.0.0.1@{tls_port}
    tls-port: {tls_port}
    tls-service-key: "{tls}/server.key"
    tls-service-pem: "{tls}/server.pem"
    directory: "{directory}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
    do-not-query-localhost: yes
    module-config: "validator iterator"
    ede: yes
    trust-anchor-signaling: no
    outgoing-interface: 127.0.0.1
remote-control:
    control-enable: no
"""
# What we have no zone for is nobody's: nothing leaves this machine.
_NOTHING_ELSE = """\
server:
    local-zone: "." refuse
"""
_ANCHOR = """\
server:
    trust-anchor-file: "{file}"
"""
_AUTHORITY = """\
server:
    local-zone: "{name}." transparent
auth-zone:
    name: "{name}."
    zonefile: "{file}"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
"""


@dataclass(kw_only=True)
class _Zone:
    name: str
    file: Path
    anchor: Path | None


class Unbound:
    """One resolver on loopback; every instance has its own files and ports."""

    def __init__(self) -> None:
        self.port = 0
        self.tls_port = 0
        self._zones: dict[str, _Zone] = {}
        self._process: ProcessGroup | None = None

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="unbound-"))
        (self.directory / "tls").mkdir()
        make_tls(self.directory / "tls")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def ca(self) -> Path:
        """PEM file of the authority that issued the TLS certificate."""
        return self.directory / "tls" / "ca.pem"

    def publish(
        self,
        zone: str,
        records: Iterable[str],
        *,
        signed: bool = True,
        spoil: tuple[str, str] = ("", ""),
        expired: bool = False,
        ttl: int = 300,
    ) -> None:
        """Make *zone* with *records*; it is served from the next `restart` on.

        Args:
            zone: Its name, without a final dot; "" is the root.
            records: Lines of a zone file.
            signed: With DNSSEC; an unsigned zone is an insecure one.
            spoil: Text in the signed zone and what it is replaced by, so that signatures break.
            expired: The signatures ended yesterday.
            ttl: Seconds.
        """
        name = zone or "root"
        file = self.directory / f"{name}.zone"
        file.write_text(_ZONE.format(zone=zone, ttl=ttl) + "\n".join(records) + "\n")
        anchor = None
        if signed:
            key = self._run("ldns-keygen", "-a", _ALGORITHM, "-k", f"{zone}.").strip()
            now = datetime.now(UTC)
            ends = now - timedelta(days=1) if expired else now + timedelta(days=30)
            begins = now - timedelta(days=60)
            times = ["-i", begins.strftime("%Y%m%d"), "-e", ends.strftime("%Y%m%d")]
            self._run("ldns-signzone", *times, "-f", f"{name}.signed", file.name, key)
            file = self.directory / f"{name}.signed"
            anchor = self.directory / f"{key}.key"
        if spoil[0]:
            text = file.read_text()
            assert spoil[0] in text
            file.write_text(text.replace(*spoil))
        self._zones[zone] = _Zone(name=zone, file=file, anchor=anchor)

    def restart(self) -> None:
        """Start, or start again with the zones of now."""
        self.stop()
        if not self.port:
            self.port, self.tls_port = free_port(), free_port()
        configuration = self.directory / "unbound.conf"
        configuration.write_text(self._configuration())
        self._process = ProcessGroup(
            ["/usr/sbin/unbound", "-d", "-c", str(configuration)], log=self.directory / "log"
        )
        process = self._process

        def answers() -> bool:
            if not process.alive():
                raise RuntimeError(f"unbound has ended: {(self.directory / 'log').read_text()}")
            try:
                question = dns.message.make_query("absent.example.", "A")
                dns.query.tcp(question, "127.0.0.1", port=self.port, timeout=2)
            except (OSError, EOFError, dns.exception.DNSException):
                return False
            return True

        wait_until(answers, "an answer of unbound")

    def stop(self) -> None:
        """End it; does nothing when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _configuration(self) -> str:
        parts = [
            _CONFIGURATION.format(
                port=self.port,
                tls_port=self.tls_port,
                tls=self.directory / "tls",
                directory=self.directory,
            )
        ]
        parts += [] if "" in self._zones else [_NOTHING_ELSE]
        for zone in self._zones.values():
            parts += [_ANCHOR.format(file=zone.anchor)] if zone.anchor else []
            parts.append(_AUTHORITY.format(name=zone.name, file=zone.file))
        return "".join(parts)

    def _run(self, program: str, *arguments: str) -> str:
        environment = {**os.environ, "TZ": "UTC"}
        done = subprocess.run(
            [f"/usr/bin/{program}", *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}{done.stdout}"
        return done.stdout
