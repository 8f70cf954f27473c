"""Servers that tell about revocation: lists over HTTP from Python, OCSP from `openssl ocsp`.

with web_server({"/1.crl": ca.crl()}) as web:             # loopback, counts what it is asked
    alice = ca.issue("alice@ours.example", extensions=[crl_at(web.url("/1.crl"))])
with ocsp_responder(tmp_path, ca, revoked=[alice]) as port: ...
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from smimegw.adapters.http.client import HTTPClient
from smimegw.adapters.http.destination import Gatekeeper
from smimegw.adapters.http.revocation import HTTPRevocation
from smimegw.adapters.names import addresses_of
from smimegw.config.hosts import host_rule
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import Clock, Events
from tests.fakes.pki import CA, DAY, NOW, Issued
from tests.fakes.ports import ListedEvents, SystemClock
from tests.peers.ports import ProcessGroup, free_port, wait_until

Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One scripted answer."""

    status: int = 200
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)


Answer = bytes | Page | Callable[[bytes], bytes | Page]


@dataclass
class WebServer:
    """A running server; *pages* may change while it runs, a callable gets the request's body."""

    port: int
    pages: dict[str, Answer]
    asked: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        """The whole URL of *path*."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def rule(self) -> str:
        """What `private_hosts` has to hold."""
        return f"127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, body: bytes) -> Page:
        """Count the request and look its answer up: exactly, else by the first path element."""
        self.asked.append(f"{method} {path}")
        found = self.pages.get(path, self.pages.get("/" + path.split("/")[1] + "/*"))
        if callable(found):
            found = found(body or path.encode())
        if found is None:
            return Page(status=404)
        return found if isinstance(found, Page) else Page(body=found)


@contextlib.contextmanager
def web_server(pages: Mapping[str, Answer] | None = None) -> Iterator[WebServer]:
    """Serve *pages* on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(b"")

        def do_POST(self) -> None:
            self._send(self.rfile.read(int(self.headers["Content-Length"])))

        def _send(self, body: bytes) -> None:
            page = running.answer(self.command, self.path, body)
            self.send_response(page.status)
            for name, value in page.fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(page.body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = WebServer(port=server.server_port, pages=dict(pages or {}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def crl_at(*urls: str, issuer: x509.Name | None = None) -> Extension:
    """A CRLDistributionPoints extension with one point."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    by = [x509.DirectoryName(issuer)] if issuer else None
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, by)]), False


def ocsp_at(*urls: str) -> Extension:
    """An AuthorityInformationAccess extension."""
    method = AuthorityInformationAccessOID.OCSP
    places = [x509.AccessDescription(method, x509.UniformResourceIdentifier(u)) for u in urls]
    return x509.AuthorityInformationAccess(places), False


def source_for(
    *private: str,
    allowed: Sequence[str] = (),
    events: Events | None = None,
    clock: Clock | None = None,
    limits: Limits = DEFAULT_LIMITS,
    resolving: Any = addresses_of,
    proxy: Any = None,
) -> HTTPRevocation:
    """The real adapter; *private* and *allowed* are host rules."""
    gatekeeper = Gatekeeper(
        [host_rule(rule) for rule in allowed],
        [host_rule(rule) for rule in private],
        resolve=resolving,
    )
    return HTTPRevocation(
        gatekeeper,
        HTTPClient(gatekeeper, proxy=proxy),
        events=events or ListedEvents(),
        clock=clock or SystemClock(),
        limits=limits,
    )


@contextlib.contextmanager
def ocsp_responder(
    directory: Path,
    ca: CA,
    *,
    known: Sequence[Issued] = (),
    revoked: Sequence[Issued] = (),
    signer: Issued | None = None,
    options: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[int]:
    """Run `openssl ocsp` about what *ca* issued and yield its port.

    Args:
        directory: For its files.
        ca: The issuer.
        known: Certificates that are good.
        revoked: Certificates that are revoked.
        signer: Signs the answers instead of the CA.
        options: More command line options.
        port: From `free_port`, when certificates have to name it before.
    """
    signer = signer or ca
    index = directory / "index.txt"
    end, begin = (f"{at:%y%m%d%H%M%SZ}" for at in (NOW + 300 * DAY, NOW - DAY))
    lines = [f"V\t{end}\t\t{_hex(item)}\tunknown\t/CN=good" for item in known]
    lines += [f"R\t{end}\t{begin},keyCompromise\t{_hex(i)}\tunknown\t/CN=bad" for i in revoked]
    index.write_text("".join(f"{line}\n" for line in lines))
    (directory / "ca.pem").write_bytes(ca.pem)
    (directory / "signer.pem").write_bytes(signer.pem)
    (directory / "signer.key").write_bytes(signer.key_pem)
    port = port or free_port()
    log = directory / "ocsp.log"
    command = ["openssl", "ocsp", "-index", str(index), "-port", str(port)]
    command += ["-CA", str(directory / "ca.pem"), "-rsigner", str(directory / "signer.pem")]
    command += ["-rkey", str(directory / "signer.key"), *options]
    group = ProcessGroup(command, log=log)
    try:
        wait_until(lambda: "ACCEPT" in log.read_text(), "openssl ocsp")
        yield port
    finally:
        group.stop()


def _hex(item: Issued) -> str:
    digits = f"{item.certificate.serial_number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
