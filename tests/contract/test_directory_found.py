"""Directories that other domains name in DNS: where we let ourselves be sent, and where not."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import TypeVar

import pytest
from dns.rdtypes.IN.SRV import SRV

from smimegw.adapters.dns.resolver import ValidatingResolver
from smimegw.adapters.dns.services import DNSServices, in_order
from smimegw.adapters.ldap.found import FoundLDAPDirectory, name_of
from smimegw.adapters.ldap.settings import LDAPSettings
from smimegw.addresses import Mailbox
from smimegw.config.hosts import HostRule
from smimegw.errors import DirectoryError
from smimegw.ports import FoundCertificate
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import Slapd
from tests.peers.unbound import Unbound

T = TypeVar("T")

SUFFIX = "dc=partner,dc=example"
BOB = Mailbox.parse("bob@partner.example")
HOST = "ldap.partner.example"


@functools.cache
def certificate() -> Issued:
    return make_ca("Partner CA").issue(BOB.address, key="p256")


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """The partner's server: everybody may read, the certificate is for its name in DNS."""
    with Slapd(public=True, suffix=SUFFIX, names=(HOST, "ldap.hoster.example")) as server:
        server.add_person(BOB.address, certificates=[certificate().certificate.der])
        yield server


@pytest.fixture(scope="module")
def unbound(slapd: Slapd) -> Iterator[Unbound]:
    starttls, tls = f"SRV 0 0 {slapd.ldap_port}", f"SRV 0 0 {slapd.ldaps_port}"
    zones = {
        "partner.example": (["_ldap._tcp", f"{starttls} {HOST}."], True),
        "plain.example": (["_ldap._tcp", f"{starttls} {HOST}."], False),
        "without.example": (["_ldap._tcp", "SRV 0 0 0 ."], True),
        "hosted.example": (["_ldap._tcp", f"{starttls} ldap.hoster.example."], True),
        "sent.example": (["_ldap._tcp", f"{starttls} ldap.hoster.example."], False),
        "clear.example": (["_ldap._tcp", f"{tls} ldap.clear.example."], True),
    }
    with Unbound() as server:
        for zone, (words, signed) in zones.items():
            server.publish(zone, [" ".join(words)], signed=signed)
        server.publish("broken.example", ["_ldap._tcp SRV 0 0 1 a", 'x TXT "abc"'], expired=True)
        server.restart()
        yield server


class Partner:
    """The directory under test; `resolved` says where every host is."""

    def __init__(self, slapd: Slapd, unbound: Unbound) -> None:
        self.slapd = slapd
        self.services = DNSServices(ValidatingResolver("127.0.0.1", unbound.port))
        self.resolved: Sequence[str] = ("127.0.0.1",)
        self.private = [
            HostRule(host, port=slapd.ldap_port) for host in (HOST, "ldap.hoster.example")
        ]
        self.settings = LDAPSettings(
            name="found",
            servers=(),
            base="",
            filter="(mail=%{address})",
            ca=slapd.ca,
            deadline_seconds=20.0,
        )

    def find(self, address: str | Mailbox = BOB) -> tuple[FoundCertificate, ...]:
        mailbox = address if isinstance(address, Mailbox) else Mailbox.parse(address)
        return self.run(lambda directory: directory.find(mailbox))

    def run(self, work: Callable[[FoundLDAPDirectory], Awaitable[T]]) -> T:
        async def resolve(host: str, port: int) -> Sequence[str]:
            return self.resolved

        async def within() -> T:
            directory = FoundLDAPDirectory(
                self.settings, self.services, private=self.private, resolve=resolve
            )
            try:
                return await work(directory)
            finally:
                await directory.close()

        return asyncio.run(within())


@pytest.fixture
def partner(slapd: Slapd, unbound: Unbound) -> Partner:
    return Partner(slapd, unbound)


# --- finding --------------------------------------------------------------------------------------


def test_the_directory_that_a_domain_names_is_asked_over_tls(partner: Partner) -> None:
    """Found by SRV, secured by StartTLS, searched below the domain's name (RFC 2782; RFC 2247)."""
    (found,) = partner.find()
    assert found.certificate == certificate().certificate
    assert found.source == "ldap-srv:found"


def test_it_is_asked_without_a_name(partner: Partner) -> None:
    """No identity of ours goes to a server that a stranger chose (T-11)."""
    before = len(partner.slapd.log)
    partner.find()
    log = partner.slapd.log[before:]
    binds = [line for line in log.splitlines() if " BIND dn=" in line]
    assert binds
    assert all('BIND dn="" method=128' in line for line in binds)


def test_the_next_question_does_not_ask_dns_again(partner: Partner) -> None:
    """What DNS said counts for its time to live (RFC 2782)."""
    asked = []

    class Counted:
        async def find(self, service: str, domain: str, *, seconds: float) -> object:
            asked.append(f"{service}.{domain}")
            return await services.find(service, domain, seconds=seconds)

    services, partner.services = partner.services, Counted()  # type: ignore[assignment]

    async def twice(directory: FoundLDAPDirectory) -> None:
        for _ in range(2):
            assert await directory.find(BOB)
        await directory.flush(BOB)
        assert await directory.find(BOB)

    partner.run(twice)
    assert asked == ["_ldap._tcp.partner.example"] * 2


@pytest.mark.parametrize("domain", ["without.example", "silent.partner.example"])
def test_a_domain_without_a_directory_has_none(partner: Partner, domain: str) -> None:
    """No record, or one whose target is the root: there is no such service (RFC 2782)."""
    assert partner.find(f"bob@{domain}") == ()


def test_a_domain_is_a_name_of_its_labels() -> None:
    """RFC 2247, 2."""
    assert name_of("mail.partner.example") == "dc=mail,dc=partner,dc=example"


# --- where we are not sent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "::ffff:192.168.0.1", "fd00::1"]
)
def test_an_address_inside_is_not_asked(partner: Partner, address: str) -> None:
    """Whoever writes DNS does not choose whom of our network we connect to (T-14)."""
    partner.private, partner.resolved = [], (address,)
    with pytest.raises(DirectoryError, match="is not public"):
        partner.find()


def test_one_address_inside_is_one_too_many(partner: Partner) -> None:
    """A public one beside it is no excuse (T-14)."""
    partner.private, partner.resolved = [], ("192.88.99.7", "10.0.0.5")
    with pytest.raises(DirectoryError, match=r"10\.0\.0\.5, which is not public"):
        partner.find()


def test_another_port_is_not_asked(partner: Partner) -> None:
    """Whoever writes DNS does not send us to knock at doors (T-14)."""
    partner.private, partner.resolved = [], ("192.88.99.7",)
    with pytest.raises(DirectoryError, match="none of LDAP's"):
        partner.find()


def test_a_server_outside_the_domain_needs_dnssec(partner: Partner) -> None:
    """TLS proves only the name that we were sent to (RFC 4513, 3.1.3; T-11)."""
    with pytest.raises(DirectoryError, match="outside the domain"):
        partner.find("bob@sent.example")


def test_a_server_outside_the_domain_is_asked_where_dnssec_names_it(partner: Partner) -> None:
    """A hoster is usual, and the signed record is the domain's word (RFC 2782; RFC 4513)."""
    partner.settings = dataclasses.replace(partner.settings, base=SUFFIX)
    assert partner.find("bob@hosted.example") == ()  # asked, and knows nobody of that domain


def test_a_server_with_another_name_is_refused(partner: Partner) -> None:
    """Its TLS certificate must be for the name in DNS (RFC 4513, 3.1.3)."""
    partner.private = [HostRule("ldap.clear.example", port=partner.slapd.ldaps_port)]
    with pytest.raises(DirectoryError):
        partner.find("bob@clear.example")


def test_a_host_without_an_address_is_trouble(partner: Partner) -> None:
    """The domain names a directory, so it is not known to have none (R-06)."""
    partner.resolved = ()

    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError(host, port)

    async def ask() -> None:
        directory = FoundLDAPDirectory(partner.settings, partner.services, resolve=nowhere)
        with pytest.raises(DirectoryError, match="has no address"):
            await directory.find(BOB)

    asyncio.run(ask())


def test_dns_that_cannot_tell_is_trouble(partner: Partner) -> None:
    """Bogus records are not "no directory" (R-06)."""
    with pytest.raises(DirectoryError, match="DNSSEC"):
        partner.find("bob@broken.example")


# --- order ----------------------------------------------------------------------------------------


def srv(priority: int, weight: int, target: str) -> SRV:
    record: SRV = SRV(1, 33, priority, weight, 389, target)
    return record


def test_priorities_come_before_weights() -> None:
    """The lowest number first, whatever chance says (RFC 2782)."""
    records = [srv(2, 100, "c."), srv(1, 0, "a."), srv(1, 0, "b.")]
    for seed in range(20):
        names = [str(record.target) for record in in_order(records, Random(seed).randrange)]
        assert sorted(names[:2]) == ["a.", "b."]
        assert names[2] == "c."


def test_weights_share_the_questions() -> None:
    """Three times the weight is about three times the questions (RFC 2782)."""
    chance = Random(7)
    records = [srv(1, 25, "small."), srv(1, 75, "large.")]
    first = Counter(str(in_order(records, chance.randrange)[0].target) for _ in range(2000))
    assert 1350 < first["large."] < 1650
