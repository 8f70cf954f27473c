"""The doctor's checks of what is around us: directories, revocation, next hops, listeners."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable

from smimegw.addresses import Mailbox
from smimegw.app import Assembled
from smimegw.cli.check_enrolment import enrolment
from smimegw.cli.finding import Check, Finding, Health
from smimegw.config.directories import (
    Directory,
    EmbeddedDirectory,
    FoundLDAPDirectory,
    SMIMEADirectory,
)
from smimegw.config.hosts import HostRule
from smimegw.config.model import Configuration
from smimegw.config.sessions import Listener
from smimegw.config.values import Endpoint
from smimegw.directories import open_directory, open_resolver
from smimegw.errors import AuthenticationError, ConfigurationError, DirectoryError, NextHopError
from smimegw.pipeline.recipient_evidence import recipient_evidence
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.answers import CertificateAnswer
from smimegw.smtp.extensions import Extensions

_CONNECT_SECONDS = 5.0
_IN_DNS = (FoundLDAPDirectory, SMIMEADirectory)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 – what listeners are bound to


class Surroundings:
    """Checks that need somebody to answer.

    Args:
        sample: Whose certificate is looked for.
    """

    def __init__(self, sample: Mailbox | None = None) -> None:
        self._sample = sample

    @property
    def checks(self) -> tuple[Check, ...]:
        """All of them."""
        return (
            Check("directory", self._directories),
            Check("revocation", _revocation),
            Check("enrolment", enrolment),
            Check("next-hop", _next_hops),
            Check("listener", _listeners),
        )

    async def _directories(self, assembled: Assembled) -> Iterable[Finding]:
        configuration = assembled.configuration
        domain = configuration.gateway.internal_domains[0]
        found = []
        for number, entry in enumerate(configuration.directories):
            wanted = self._sample or _somebody(entry, domain)
            found.append(await _directory(entry.name, number, wanted, assembled))
        if any(isinstance(entry, _IN_DNS) for entry in configuration.directories):
            found.append(await _resolver(configuration))
        return [*found, await _sample(self._sample, assembled)] if self._sample else found


def _somebody(entry: Directory, domain: str) -> Mailbox:
    """Whom to look for: a directory is asked about its own domains only."""
    rules = () if isinstance(entry, EmbeddedDirectory) else entry.domains
    named = [str(rule.domain) for rule in rules if rule.domain and not rule.below]
    return Mailbox.parse(f"postmaster@{named[0] if named else domain}")


async def _resolver(configuration: Configuration) -> Finding:
    resolver = open_resolver(configuration)
    try:
        answer = await resolver.ask(".", "SOA", seconds=_CONNECT_SECONDS)
    except DirectoryError as exc:
        remedy = "see [dns] in the configuration; is Unbound running?"
        return Finding(
            area="directory", what="dns", health=Health.FAIL, detail=str(exc), remedy=remedy
        )
    if not answer.is_validated:
        return Finding(
            area="directory",
            what="dns",
            health=Health.FAIL,
            detail=f"{resolver} does not validate DNSSEC, so no certificate from DNS counts",
            remedy="set a trust anchor there (Unbound: auto-trust-anchor-file)",
        )
    return Finding(area="directory", what="dns", detail=f"{resolver} validates DNSSEC")


async def _directory(name: str, number: int, wanted: Mailbox, assembled: Assembled) -> Finding:
    configuration = assembled.configuration
    entry = configuration.directories[number]
    what = f"{entry.kind}:{name}"
    began = time.monotonic()
    try:
        directory = open_directory(entry, configuration, assembled.database)
        try:
            found = await directory.find(wanted)
        finally:
            await directory.close()
    except (DirectoryError, ConfigurationError) as exc:
        remedy = "mail to people who are looked for there waits (R-06)"
        return Finding(
            area="directory", what=what, health=Health.FAIL, detail=str(exc), remedy=remedy
        )
    seconds = 1000 * (time.monotonic() - began)
    detail = f"answers in {seconds:.0f} ms: {len(found)} certificates of <{wanted.address}>"
    return Finding(area="directory", what=what, detail=detail)


async def _sample(sample: Mailbox, assembled: Assembled) -> Finding:
    evidence = await recipient_evidence(sample, assembled.ports, assembled.settings)
    answer = recipient_facts(evidence)
    usable = answer.certificate is CertificateAnswer.USABLE
    return Finding(
        area="directory",
        what=f"<{sample.address}>",
        health=Health.OK if usable else Health.WARN,
        detail=f"{answer.certificate.value} {answer.detail}".strip(),
        remedy="" if usable else f"see why: smimegw directory find {sample.address}",
    )


# --- revocation ----------------------------------------------------------------------------------


async def _revocation(assembled: Assembled) -> Iterable[Finding]:
    settings = assembled.configuration.revocation
    rules = (*settings.allow_hosts, *settings.private_hosts)
    if not rules:
        return [Finding(area="revocation", what="hosts", detail="none: nothing is fetched")]
    if settings.proxy is not None:
        place = Endpoint(settings.proxy.host, settings.proxy.port)
        return [await _reached("proxy", (place,))]
    named = [rule for rule in rules if not rule.below]
    return [await _reached(str(rule), _places(rule)) for rule in named] or [
        Finding(area="revocation", what="hosts", detail="only whole domains: none can be tried")
    ]


def _places(rule: HostRule) -> tuple[Endpoint, ...]:
    ports = (80, 443) if rule.port is None else (rule.port,)
    return tuple(Endpoint(rule.host, port) for port in ports)


async def _reached(what: str, places: Iterable[Endpoint]) -> Finding:
    troubles = []
    for place in places:
        trouble, _ = await _connect(place)
        if not trouble:
            return Finding(area="revocation", what=what, detail=f"{place} can be connected to")
        troubles.append(f"{place}: {trouble}")
    return Finding(
        area="revocation",
        what=what,
        health=Health.WARN,
        detail="; ".join(troubles),
        remedy="let this machine through, or name a CRL in trust.crls; kept lists count meanwhile",
    )


# --- next hops -----------------------------------------------------------------------------------


async def _next_hops(assembled: Assembled) -> Iterable[Finding]:
    return [await _next_hop(name, assembled) for name in assembled.configuration.next_hop]


async def _next_hop(name: str, assembled: Assembled) -> Finding:
    hop = assembled.configuration.next_hop[name]
    what = f"{name} {hop.address}"
    try:
        session = await assembled.ports.relay.open(name)
    except (NextHopError, AuthenticationError) as exc:
        return Finding(
            area="next-hop",
            what=what,
            health=Health.FAIL,
            detail=str(exc),
            remedy="clients are told to come again (451); start it, or look at address and tls",
        )
    offers = session.extensions
    await session.close()
    missing = [word for word, there in _expected(offers) if not there]
    detail = f"{'LHLO' if session.is_lmtp else 'EHLO'}, TLS {hop.tls.mode.value}: {_said(offers)}"
    if missing:
        text = f"{detail}; no {', '.join(missing)}"
        remedy = "mail that needs it is refused or changed; switch it on there"
        return Finding(area="next-hop", what=what, health=Health.WARN, detail=text, remedy=remedy)
    return Finding(area="next-hop", what=what, detail=detail)


def _expected(offers: Extensions) -> tuple[tuple[str, bool], ...]:
    return (("8BITMIME", offers.eightbitmime), ("DSN", offers.dsn))


def _said(offers: Extensions) -> str:
    words = [f"SIZE {offers.size}" if offers.size else "no SIZE"]
    words += [word for word, there in _expected(offers) if there]
    words += ["SMTPUTF8"] if offers.smtputf8 else []
    return " ".join(words)


# --- our own ports -------------------------------------------------------------------------------


async def _listeners(assembled: Assembled) -> Iterable[Finding]:
    configuration = assembled.configuration
    found = [
        await _listener(name, listener)
        for name, listener in configuration.listener.items()
        if listener.address.port
    ]
    return [*found, await _status(configuration)]


async def _listener(name: str, listener: Listener) -> Finding:
    what = f"{name} {listener.address}"
    silent = bool(listener.proxy_from) or (listener.tls is not None and listener.tls.implicit)
    trouble, banner = await _connect(listener.address, greeting=not silent)
    if trouble:
        remedy = "is the gateway running? systemctl status smimegw"
        return Finding(
            area="listener", what=what, health=Health.FAIL, detail=trouble, remedy=remedy
        )
    if silent:
        return Finding(area="listener", what=what, detail="can be connected to")
    if banner.startswith("220"):
        return Finding(area="listener", what=what, detail=banner)
    # Whoever is no peer gets no banner: this machine need not be one.
    text = banner or "takes connections, and none from this machine (peers)"
    health = Health.WARN if banner else Health.OK
    return Finding(area="listener", what=what, health=health, detail=text)


async def _status(configuration: Configuration) -> Finding:
    address = configuration.metrics.address
    what = f"/ready {address}"
    trouble, answer = await _connect(address, send=b"GET /ready HTTP/1.1\r\n\r\n")
    if trouble or not answer:
        remedy = "is the gateway running? systemctl status smimegw"
        detail = trouble or "no answer"
        return Finding(area="listener", what=what, health=Health.FAIL, detail=detail, remedy=remedy)
    try:
        values = json.loads(answer.partition("\r\n\r\n")[2])
        ready, reasons = bool(values["ready"]), "; ".join(values["reasons"])
    except (ValueError, KeyError, TypeError):
        return Finding(
            area="listener", what=what, health=Health.FAIL, detail="somebody else answers there"
        )
    if not ready:
        return Finding(area="listener", what=what, health=Health.FAIL, detail=reasons)
    if values.get("shadow"):
        text = "ready, in shadow mode: nothing is protected"
        return Finding(area="listener", what=what, health=Health.WARN, detail=text)
    return Finding(area="listener", what=what, detail="ready")


async def _connect(
    place: Endpoint, *, greeting: bool = False, send: bytes = b""
) -> tuple[str, str]:
    """Why *place* cannot be connected to, or nothing and what it says first."""
    host = _ANYWHERE.get(place.host, place.host)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, place.port)
    except TimeoutError:
        return f"no answer within {_CONNECT_SECONDS:.0f} s", ""
    except OSError as error:
        return str(error.strerror or error), ""
    octets = b""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_CONNECT_SECONDS):
            if send:
                writer.write(send)
                octets = await reader.read(65536)
                octets += await reader.read(65536)
            elif greeting:
                octets = await reader.readline()
                writer.write(b"QUIT\r\n")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return "", octets.decode("utf-8", "replace").strip()
