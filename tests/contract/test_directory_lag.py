"""An LDAP directory of two servers, of which the one that is asked first is a copy behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from smimegw import directories
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.config import directories as config
from smimegw.config.choices import Absence
from smimegw.errors import DirectoryError
from tests.contract.conftest import ldap_settings, publishing_target
from tests.fakes.pki import make_ca
from tests.peers.ports import wait_until
from tests.peers.slapd import Slapd

T = TypeVar("T")
CA = make_ca("Lagging CA")
ALICE, BOB, NOBODY = (Mailbox.parse(f"{name}@corp.example") for name in ("alice", "bob", "nobody"))


@dataclass
class Site:
    """Bob and the CA were published after the copy had looked; alice's entry was there empty."""

    provider: Slapd
    copy: Slapd

    def settings(self, absence: Absence) -> LDAPSettings:
        urls = f"{self.copy.ldap_url} {self.provider.ldap_url}"
        return ldap_settings(
            self.copy, servers=parse_servers(urls), deadline_seconds=20.0, absence=absence
        )

    def ask(self, absence: Absence, question: Callable[[LDAPDirectory], Awaitable[T]]) -> T:
        async def work() -> T:
            directory = LDAPDirectory(self.settings(absence))
            try:
                return await question(directory)
            finally:
                await directory.close()

        return asyncio.run(work())

    def found(self, mailbox: Mailbox, absence: Absence) -> int:
        return len(self.ask(absence, lambda directory: directory.find(mailbox)))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Nobody changes anything in it."""
    with Slapd() as provider:
        alice = provider.add_person(ALICE.address)
        with Slapd(provider=provider, lags=True) as copy:
            wait_until(lambda: ALICE.address in copy.search("(mail=*)", "mail"), "the copy")
            provider.add_person(BOB.address, certificates=[_certificate(BOB)])
            with LDAPPublisher(publishing_target(provider)) as publisher:
                publisher.publish_authority(CA.certificate.der)
                publisher.publish_crl(CA.crl())
            provider.delete(alice)
            provider.add_person(ALICE.address, certificates=[_certificate(ALICE)])
            yield Site(provider, copy)


def _certificate(mailbox: Mailbox) -> bytes:
    return CA.issue(mailbox.address, key="p256").certificate.der


@pytest.mark.parametrize("mailbox", [ALICE, BOB], ids=["entry without values", "no entry"])
@pytest.mark.parametrize("absence", [Absence.REACHABLE, Absence.ALL])
def test_absent_from_a_copy_is_looked_for_at_the_next_server(
    site: Site, absence: Absence, mailbox: Mailbox
) -> None:
    """A copy behind must not turn mail back for good (R-01; RFC 4533, 1.3)."""
    assert site.found(mailbox, absence) == 1


def test_the_word_of_one_server_is_enough_where_it_is_said_to_be(site: Site) -> None:
    """Behind servers that are never behind one another a second question is a waste."""
    assert site.found(BOB, Absence.ONE) == 0


@pytest.mark.parametrize("absence", list(Absence))
def test_absent_from_all_is_absent(site: Site, absence: Absence) -> None:
    """All answered, so the sender hears it at once (R-01)."""
    assert site.found(NOBODY, absence) == 0


def test_a_ca_that_a_copy_does_not_know_yet_is_found(site: Site) -> None:
    """Else its people's certificates would be refused for good (R-08)."""
    subject = CA.certificate.subject_der
    found = site.ask(Absence.REACHABLE, lambda directory: directory.authorities(subject))
    assert found == (CA.certificate,)


def test_a_revocation_list_that_a_copy_does_not_have_yet_is_found(site: Site) -> None:
    """Else mail would wait for the copy (R-05)."""
    subject = CA.certificate.subject_der
    found = site.ask(Absence.REACHABLE, lambda directory: directory.crls(subject))
    assert len(found) == 1


def test_by_default_every_server_that_answers_is_asked(site: Site) -> None:
    """Whoever writes two URLs need not know about copies."""
    entry = config.LDAPDirectory(name="staff", url="ldaps://a.example ldaps://b.example", base="")
    assert directories.ldap_settings(entry).absence is Absence.REACHABLE


# --- the other server is gone ---------------------------------------------------------------------


@pytest.fixture
def broken(site: Site) -> Iterator[Site]:
    site.provider.stop()
    yield site
    site.provider.stop()  # a test may have started it
    site.provider.start()


def test_the_copy_alone_is_believed_while_nobody_else_answers(broken: Site) -> None:
    """One server may be down for maintenance, and most people have no certificate (R-06)."""
    assert broken.found(NOBODY, Absence.REACHABLE) == 0


def test_nobody_is_absent_while_one_of_all_does_not_answer(broken: Site) -> None:
    """The administrator wants no mail turned back that could leave encrypted (R-06, not R-01)."""
    with pytest.raises(DirectoryError, match=f":{broken.provider.ldap_port}"):
        broken.found(NOBODY, Absence.ALL)


def test_a_server_that_failed_is_not_asked_to_confirm_for_a_while(broken: Site) -> None:
    """Only the first mail pays for finding out that it hangs (R-06)."""

    async def twice(directory: LDAPDirectory) -> int:
        await directory.find(NOBODY)
        broken.provider.start()
        return len(await directory.find(BOB))

    assert broken.ask(Absence.REACHABLE, twice) == 0
