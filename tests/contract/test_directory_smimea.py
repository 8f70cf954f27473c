"""Certificates in DNS: which records count, and that only DNSSEC makes them count."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from smimegw.adapters.dns.resolver import RECORDS, ValidatingResolver
from smimegw.adapters.dns.smimea import SMIMEADirectory, owner_name
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.pipeline.recipient_evidence import recipient_evidence
from smimegw.pipeline.settings import Settings, TrustMaterial
from smimegw.ports import FoundCertificate
from tests.fakes.pki import CA, NOW, PAST, SERVER_AUTH, Issued, make_ca
from tests.fakes.ports import World
from tests.faults.proxy import Proxy, Trouble
from tests.peers.unbound import Unbound

ZONE = "partner.example"
_OLD_TEXT = "the old text"


@functools.cache
def trusted() -> CA:
    return make_ca("Trusted CA of DNS")


@functools.cache
def stranger() -> CA:
    return make_ca("Unknown CA of DNS")


@functools.cache
def certificate(name: str, *, of: str = "trusted") -> Issued:
    ca = trusted() if of == "trusted" else stranger()
    return ca.issue(f"{name}@{ZONE}", key="p256", slot=f"dns {name} {of}")


@functools.cache
def other(what: str) -> Issued:
    """A certificate of the unknown CA with one thing wrong."""
    return {
        "expired": lambda: stranger().issue(f"expired@{ZONE}", key="p256", not_after=PAST),
        "server": lambda: stranger().issue(f"server@{ZONE}", key="p256", eku=[SERVER_AUTH]),
        "elsewhere": lambda: stranger().issue("eve@evil.example", key="p256"),
    }[what]()


def record(name: str, form: str, octets: bytes, *, zone: str = ZONE) -> str:
    """A line of a zone file."""
    return f"{owner_name(Mailbox(name, zone))}. SMIMEA {form} {octets.hex()}"


def _lines() -> Iterator[str]:
    bob = certificate("bob").certificate.der
    yield record("bob", "3 0 0", bob)
    yield record("issued", "1 0 0", certificate("issued").certificate.der)
    yield record("root", "0 0 0", trusted().certificate.der)
    yield record("authority", "2 0 0", trusted().certificate.der)
    yield record("key", "3 1 0", certificate("bob").certificate.subject_public_key_info)
    yield record("digest", "3 0 1", bytes(32))
    yield record("long", "3 0 2", bytes(64))
    yield record("garbage", "3 0 0", b"this is no certificate")
    yield record("private", "255 0 0", bob)
    yield record("beside", "3 0 1", bytes(32))
    yield record("beside", "3 0 0", certificate("beside").certificate.der)
    yield record("stranger", "3 0 0", certificate("stranger", of="stranger").certificate.der)
    yield record("claimed", "1 0 0", certificate("claimed", of="stranger").certificate.der)
    yield from (record(what, "3 0 0", other(what).certificate.der) for what in _FLAWS)
    yield from (record("crowd", "3 0 0", os.urandom(40)) for _ in range(RECORDS + 1))
    alias = owner_name(Mailbox("alias", ZONE))
    yield f"{alias}. CNAME {owner_name(Mailbox('bob', ZONE))}."
    yield f'x TXT "{_OLD_TEXT}"'


_FLAWS = {"expired": "expired", "server": "extended-key-usage", "elsewhere": "address-mismatch"}


@pytest.fixture(scope="module")
def unbound() -> Iterator[Unbound]:
    bob = certificate("bob").certificate.der
    with Unbound() as server:
        server.publish(ZONE, _lines())
        for zone, options in {
            "plain.example": {"signed": False},
            "broken.example": {"spoil": (bob.hex()[:40], bob.hex()[:38] + "00")},
            "ended.example": {"expired": True},
        }.items():
            server.publish(zone, [record("bob", "3 0 0", bob, zone=zone)], **options)  # type: ignore[arg-type]
        server.restart()
        yield server


class Asked:
    """A directory that was asked, and what it told of records that do not count."""

    def __init__(self, unbound: Unbound, *, port: int = 0, seconds: float = 10.0) -> None:
        self.told: list[str] = []
        self.directory = SMIMEADirectory(
            ValidatingResolver("127.0.0.1", port or unbound.port),
            deadline_seconds=seconds,
            ignored=lambda _, text: self.told.append(text),
        )

    def find(self, name: str, zone: str = ZONE) -> tuple[FoundCertificate, ...]:
        return asyncio.run(self.directory.find(Mailbox.parse(f"{name}@{zone}")))


@pytest.fixture
def asked(unbound: Unbound) -> Asked:
    return Asked(unbound)


# --- names -------------------------------------------------------------------------------------


def test_the_owner_name_is_the_hash_of_the_local_part() -> None:
    """SHA2-256, its first 28 octets in hexadecimal, below _smimecert (RFC 8162, 3)."""
    hashed = "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6"
    assert owner_name(Mailbox.parse("hugh@example.com")) == f"{hashed}._smimecert.example.com"


def test_quotes_do_not_belong_to_the_local_part() -> None:
    """ "hugh" in quotes is hugh (RFC 8162, 3)."""
    quoted = Mailbox.parse('"hugh"@example.com')
    assert owner_name(quoted) == owner_name(Mailbox.parse("hugh@example.com"))


def test_a_name_in_another_case_is_found_in_lower_case(asked: Asked) -> None:
    """The hash knows no case folding, mail systems do (RFC 8162, 3)."""
    (found,) = asked.find("Bob")
    assert found.certificate == certificate("bob").certificate


def test_a_mailbox_at_an_address_has_no_zone(asked: Asked) -> None:
    """There is nobody to ask about [192.0.2.1] (RFC 8162, 3)."""
    assert asyncio.run(asked.directory.find(Mailbox.parse("bob@[192.0.2.1]"))) == ()


# --- which records count -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "vouched"), [("bob", True), ("issued", False)])
def test_a_whole_certificate_of_its_owner_is_found(asked: Asked, name: str, vouched: bool) -> None:
    """Usage 3 is the domain's own word, usage 1 only says which one (RFC 8162, 2; RFC 6698)."""
    (found,) = asked.find(name)
    assert found.certificate == certificate(name).certificate
    assert (found.source, found.vouched) == ("smimea:dns", vouched)
    assert asked.told == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("root", "SMIMEA record 0 0 0 names an authority"),
        ("authority", "SMIMEA record 2 0 0 names an authority"),
        ("key", "SMIMEA record 3 1 0 does not hold the certificate"),
        ("digest", "SMIMEA record 3 0 1 does not hold the certificate"),
        ("long", "SMIMEA record 3 0 2 does not hold the certificate"),
        ("garbage", "SMIMEA record 3 0 0 holds no certificate"),
        ("private", "SMIMEA record 255 0 0 names an authority"),
    ],
)
def test_another_record_gives_no_certificate_and_is_told(asked: Asked, name: str, why: str) -> None:
    """Without the certificate there is nothing to encrypt to (RFC 8162, 2; RFC 6698, 2.1)."""
    assert asked.find(name) == ()
    assert [text[: len(why)] for text in asked.told] == [why]


def test_a_record_that_does_not_count_leaves_the_others(asked: Asked) -> None:
    """A digest beside a certificate is usual during a roll-over (RFC 8162, 2)."""
    (found,) = asked.find("beside")
    assert found.certificate == certificate("beside").certificate


def test_an_alias_within_signed_zones_is_followed(asked: Asked) -> None:
    """The resolver vouches for the whole way (RFC 4035, 3.2.3)."""
    (found,) = asked.find("alias")
    assert found.certificate == certificate("bob").certificate


def test_more_records_than_anybody_needs_are_trouble(asked: Asked) -> None:
    """A crowd is a mistake or an attack, and not "none" (T-09, R-06)."""
    with pytest.raises(DirectoryError, match="more than 20"):
        asked.find("crowd")


# --- DNSSEC --------------------------------------------------------------------------------------


def test_a_proven_absence_is_none(asked: Asked) -> None:
    """The zone is signed and says that the name is not there (RFC 4035, 5.4)."""
    assert asked.find("nobody") == ()
    assert asked.told == []


def test_records_without_dnssec_count_for_nothing_and_are_told(asked: Asked) -> None:
    """Anybody on the line could have written them (RFC 8162, 1 and 7; T-11)."""
    assert asked.find("bob", "plain.example") == ()
    assert "not signed (DNSSEC)" in asked.told[0]


def test_an_absence_in_an_unsigned_zone_is_none(asked: Asked) -> None:
    """What it could publish would not count either (RFC 8162, 7)."""
    assert asked.find("nobody", "plain.example") == ()


@pytest.mark.parametrize("zone", ["broken.example", "ended.example"])
def test_signatures_that_do_not_fit_are_trouble_and_not_none(asked: Asked, zone: str) -> None:
    """Bogus data may hide a certificate, so the mail waits (RFC 4035, 5.5; RFC 8914; R-06)."""
    with pytest.raises(DirectoryError, match="DNSSEC signatures do not fit") as caught:
        asked.find("bob", zone)
    assert caught.value.retryable


# --- the way to the resolver ---------------------------------------------------------------------


def test_the_resolver_is_asked_over_tls(unbound: Unbound) -> None:
    """On another machine its word needs a line that nobody changes (RFC 7858)."""
    resolver = ValidatingResolver(
        "127.0.0.1", unbound.tls_port, tls_name="localhost", ca=unbound.ca
    )
    found = asyncio.run(SMIMEADirectory(resolver, deadline_seconds=10).find(Mailbox("bob", ZONE)))
    assert [entry.certificate for entry in found] == [certificate("bob").certificate]


def test_a_resolver_with_another_name_is_not_believed(unbound: Unbound) -> None:
    """Its TLS certificate must be for the configured name (RFC 8310, 5.1)."""
    resolver = ValidatingResolver("127.0.0.1", unbound.tls_port, tls_name="dns.evil", ca=unbound.ca)
    with pytest.raises(DirectoryError, match="no usable answer"):
        asyncio.run(SMIMEADirectory(resolver, deadline_seconds=10).find(Mailbox("bob", ZONE)))


@pytest.mark.parametrize(
    "trouble",
    [Trouble.DOWN, Trouble.RESET, Trouble.HANGING, Trouble.GARBAGE, Trouble.HALF],
    ids=str,
)
def test_a_resolver_in_trouble_is_never_none(unbound: Unbound, trouble: Trouble) -> None:
    """Whoever cannot be asked has said nothing (R-06)."""

    async def ask() -> None:
        async with Proxy(unbound.port) as proxy:
            await proxy.become(trouble)
            asked = Asked(unbound, port=proxy.port, seconds=1.0)
            with pytest.raises(DirectoryError, match=r"did not answer|no usable answer"):
                await asked.directory.find(Mailbox("bob", ZONE))

    asyncio.run(ask())


# --- trust ---------------------------------------------------------------------------------------


def judged(asked: Asked, name: str, *, believes_dns: bool) -> str:
    """What becomes of the certificate of *name*: "used" or the reason why not."""
    world = World()
    world.directory.publish_ca(trusted())
    trust = TrustMaterial(anchors=(trusted().certificate,), believes_dns=believes_dns)
    settings = Settings(
        hostname="gw.ours.example", internal_domains=frozenset({"ours.example"}), trust=trust
    )
    ports = replace(world.ports, directory=asked.directory)
    evidence = asyncio.run(recipient_evidence(Mailbox(name, ZONE), ports, settings))
    (entry,) = evidence.judged
    if entry.validated:
        assert entry.validated.certificate.not_after > NOW
        return "used"
    return entry.reason


@pytest.mark.parametrize(
    ("name", "believes_dns", "expected"),
    [
        ("bob", False, "used"),
        ("bob", True, "used"),
        ("issued", False, "used"),
        ("stranger", False, "untrusted-ca"),
        ("stranger", True, "used"),
        ("claimed", False, "untrusted-ca"),
        ("claimed", True, "untrusted-ca"),
    ],
)
def test_a_domains_word_is_enough_only_where_policy_says_so(
    asked: Asked, name: str, believes_dns: bool, expected: str
) -> None:
    """Usage 3 may replace a trusted CA, usage 1 never does (RFC 6698, 2.1.1)."""
    assert judged(asked, name, believes_dns=believes_dns) == expected


@pytest.mark.parametrize(("name", "reason"), _FLAWS.items())
def test_a_domains_word_does_not_mend_a_certificate(asked: Asked, name: str, reason: str) -> None:
    """Its dates, its use and its address still count (RFC 8550, 4.4)."""
    assert judged(asked, name, believes_dns=True) == reason
