"""Every source of certificates outside × every trouble: the exact reply, and never clear."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from smimegw.adapters.chain.directory import ChainDirectory, Source
from smimegw.adapters.dns.resolver import RECORDS, ValidatingResolver
from smimegw.adapters.dns.smimea import SMIMEADirectory, owner_name
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.found import FoundLDAPDirectory
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.addresses import Mailbox
from smimegw.config.hosts import HostRule
from smimegw.limits import Limits
from smimegw.pipeline.admit import Gateway
from smimegw.ports import CertificateDirectory, FoundCertificate
from smimegw.sources import ServiceHost, Services
from tests.fakes.company import Company, message
from tests.fakes.directory import FakeDirectory
from tests.fakes.pki import Issued, make_ca
from tests.faults.proxy import Proxy, Trouble
from tests.peers.slapd import Slapd
from tests.peers.unbound import Unbound

ALICE, DOMAIN = "alice@ours.example", "partner.example"
BOB = f"bob@{DOMAIN}"
HOST = f"ldap.{DOMAIN}"
TROUBLES = [trouble for trouble in Trouble if trouble is not Trouble.NONE]
SOURCES = ["ldap", "ldap-srv", "smimea"]
_FINE = "250 2.0.0 OK"
_R_01 = f"550 5.7.5 <{BOB}>: no usable certificate, encryption required (R-01)"
_R_06 = f"451 4.4.3 <{BOB}>: directory not reachable, try later (R-06)"


@functools.cache
def certificate(owner: str) -> Issued:
    return make_ca("Flow CA").issue(owner, key="p256")


@dataclass(frozen=True, kw_only=True)
class Peers:
    """The servers behind the proxies."""

    slapd: Slapd
    unbound: Unbound

    def port_of(self, source: str) -> int:
        return self.unbound.port if source == "smimea" else self.slapd.ldap_port


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    bob, eve = certificate(BOB).certificate.der, certificate("eve@evil.example").certificate.der
    with (
        Slapd(public=True, suffix="dc=partner,dc=example", names=(HOST,)) as slapd,
        Unbound() as unbound,
    ):
        slapd.add_person(BOB, certificates=[bob])
        slapd.add_person(f"lying@{DOMAIN}", certificates=[eve])
        for number in range(21):
            name = f"cn=crowd {number},{slapd.people_base}"
            slapd.add_person(f"crowd@{DOMAIN}", name=f"crowd {number}", dn=name)
        records = {"bob": [bob], "lying": [eve], "garbage": [b"no certificate"]}
        records["crowd"] = [b"%d" % number for number in range(RECORDS + 1)]
        lines = [
            f"{owner_name(Mailbox(name, DOMAIN))}. SMIMEA 3 0 0 {value.hex()}"
            for name, values in records.items()
            for value in values
        ]
        unbound.publish(DOMAIN, lines)
        unbound.restart()
        yield Peers(slapd=slapd, unbound=unbound)


class NamedServices:
    """A `ServiceLookup` that always knows the partner's server."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def find(self, service: str, domain: str, *, seconds: float) -> Services:
        hosts = (ServiceHost(name=HOST, port=self._port),)
        return Services(hosts=hosts, is_validated=True, seconds=60)


async def _here(host: str, port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def directory_of(
    source: str, port: int, peers: Peers, seconds: float
) -> LDAPDirectory | FoundLDAPDirectory | SMIMEADirectory:
    """The source, asked at *port*."""
    if source == "smimea":
        resolver = ValidatingResolver("127.0.0.1", port)
        return SMIMEADirectory(resolver, deadline_seconds=2 * seconds)
    settings = LDAPSettings(
        name="partner",
        servers=(),
        base=peers.slapd.people_base,
        ca=peers.slapd.ca,
        deadline_seconds=seconds,
    )
    if source == "ldap":
        server = LDAPServer(host=HOST, port=port, tls=False, start_tls=True, address="127.0.0.1")
        return LDAPDirectory(replace(settings, servers=(server,)))
    rules = [HostRule(HOST, port=port)]
    return FoundLDAPDirectory(settings, NamedServices(port), private=rules, resolve=_here)


@dataclass(kw_only=True)
class Site:
    """A gateway with one source behind a proxy."""

    company: Company
    proxy: Proxy
    directory: CertificateDirectory
    secret: str

    async def send(self, to: str = BOB) -> str:
        content = message(ALICE, to, body=f"{self.secret}\r\n")
        return str((await self.company.begin_and_finish("relay", [to], content)).reply)

    @property
    def leaked(self) -> bool:
        return any(self.secret.encode() in content for content in self.company.arrived)


@contextlib.asynccontextmanager
async def site(
    source: str, peers: Peers, *, seconds: float = 20.0, behind: Sequence[Issued] = ()
) -> AsyncIterator[Site]:
    """With certificates *behind*, another source has them, and this one may be skipped."""
    company = Company(limits=Limits(lookup_seconds=45.0))
    company.user(ALICE, key="p256")
    async with Proxy(peers.port_of(source)) as proxy:
        directory = directory_of(source, proxy.port, peers, seconds)
        others = FakeDirectory()
        others.content = {Mailbox.parse(BOB).key: tuple(entry.certificate for entry in behind)}
        chain = ChainDirectory([Source(directory=directory, may_be_skipped=bool(behind)), others])
        ports = replace(company.world.ports, directory=chain)
        company.gateway = Gateway(company.gateway.policy, ports, company.settings)
        try:
            yield Site(
                company=company, proxy=proxy, directory=directory, secret=secrets.token_hex(16)
            )
        finally:
            await directory.close()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_source_in_trouble(peers: Peers, source: str, trouble: Trouble) -> None:
    """R-06, never "no certificate" and never clear; the retry passes when it answers (D24)."""
    waits = trouble in {Trouble.HANGING, Trouble.TOO_SLOW, Trouble.GARBAGE}

    async def work() -> None:
        async with site(source, peers, seconds=1.0 if waits else 20.0) as here:
            await here.proxy.become(trouble)
            reply = await here.send()
            if trouble.lets_through(reply):
                assert reply.startswith(_FINE)
            else:
                assert reply == _R_06
                assert here.company.arrived == []
            assert not here.leaked

    asyncio.run(work())


@pytest.mark.parametrize("source", SOURCES)
def test_the_retry_passes_when_the_source_answers_again(peers: Peers, source: str) -> None:
    """Nothing is remembered of the trouble (R-06)."""

    async def work() -> None:
        async with site(source, peers) as here:
            await here.proxy.become(Trouble.RESET)
            assert await here.send() == _R_06
            await here.proxy.become(Trouble.NONE)
            assert (await here.send()).startswith(_FINE)
            assert not here.leaked

    asyncio.run(work())


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_may_be_skipped_is_skipped(peers: Peers, source: str) -> None:
    """The next one has a certificate, and the mail goes out encrypted (R-06)."""

    async def work() -> None:
        async with site(source, peers, behind=[certificate(BOB)]) as here:
            await here.proxy.become(Trouble.DOWN)
            assert (await here.send()).startswith(_FINE)
            assert not here.leaked

    asyncio.run(work())


@pytest.mark.parametrize(
    ("source", "name", "row"),
    [
        ("ldap", "lying", "R-01"),
        ("ldap-srv", "lying", "R-01"),
        ("smimea", "lying", "R-01"),
        ("smimea", "garbage", "R-01"),
        ("ldap", "crowd", "R-06"),
        ("ldap-srv", "crowd", "R-06"),
        ("smimea", "crowd", "R-06"),
        ("ldap", "nobody", "R-01"),
        ("ldap-srv", "nobody", "R-01"),
        ("smimea", "nobody", "R-01"),
    ],
)
def test_a_source_that_answers_something_odd(
    peers: Peers, source: str, name: str, row: str
) -> None:
    """Another's certificate is none (R-07), a crowd is trouble (R-06), nobody is nobody (R-01)."""

    async def work() -> None:
        async with site(source, peers) as here:
            reply = await here.send(f"{name}@{DOMAIN}")
            expected = {"R-01": _R_01, "R-06": _R_06}[row]
            assert reply == expected.replace(BOB, f"{name}@{DOMAIN}")
            assert here.company.arrived == []

    asyncio.run(work())


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_says_where_a_certificate_is_from(peers: Peers, source: str) -> None:
    """The record leads to whom to ask (R-09)."""

    async def work() -> tuple[FoundCertificate, ...]:
        async with site(source, peers) as here:
            return await here.directory.find(Mailbox.parse(BOB))

    (found,) = asyncio.run(work())
    assert found.certificate == certificate(BOB).certificate
    assert found.source.partition(":")[0] == source
