"""An LDAP directory of several servers, one of which stops or hangs, and connections that age."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import Iterator

import pytest

from smimegw.adapters.chain.cache import CachingDirectory
from smimegw.adapters.chain.directory import ChainDirectory
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from tests.contract.conftest import ldap_settings
from tests.fakes.pki import Issued, make_ca
from tests.peers.ports import wait_until
from tests.peers.slapd import Slapd

BOB = Mailbox.parse("bob@corp.example")


@pytest.fixture(scope="module")
def bob() -> Issued:
    return make_ca("Failover CA").issue("bob@corp.example", key="p256")


@pytest.fixture
def servers(bob: Issued) -> Iterator[tuple[Slapd, Slapd]]:
    with Slapd() as first, Slapd() as second:
        for server in (first, second):
            server.add_person("bob@corp.example", certificates=[bob.certificate.der])
        yield first, second


def both(servers: tuple[Slapd, Slapd], deadline_seconds: float = 2.0) -> LDAPSettings:
    urls = " ".join(server.ldap_url for server in servers)  # loopback: TLS is not the point here
    return ldap_settings(servers[0], servers=parse_servers(urls), deadline_seconds=deadline_seconds)


def ask(settings: LDAPSettings, times: int = 1) -> list[int]:
    """Number of certificates found, for each of *times* questions in a row."""

    async def work() -> list[int]:
        directory = LDAPDirectory(settings)
        try:
            return [len(await directory.find(BOB)) for _ in range(times)]
        finally:
            await directory.close()

    return asyncio.run(work())


def connections(server: Slapd) -> int:
    return len(re.findall(r"BIND dn=\"cn=smimegw,[^\n]*mech=SIMPLE", server.log))


def test_the_first_server_is_asked_while_it_answers(servers: tuple[Slapd, Slapd]) -> None:
    """The second is there for trouble only."""
    ask(both(servers))
    assert (connections(servers[0]), connections(servers[1])) == (1, 0)


def test_the_second_server_answers_when_the_first_is_stopped(servers: tuple[Slapd, Slapd]) -> None:
    """One server may be down for maintenance (R-06)."""
    servers[0].stop()
    assert ask(both(servers)) == [1]


def test_the_second_server_answers_when_the_first_hangs(servers: tuple[Slapd, Slapd]) -> None:
    """A frozen server accepts connections and is worse than a stopped one (R-06)."""
    servers[0].freeze()
    assert ask(both(servers, deadline_seconds=2.0)) == [1]


def test_the_second_server_answers_when_the_first_hangs_in_the_tls_handshake(
    servers: tuple[Slapd, Slapd],
) -> None:
    """The deadline holds inside TLS, too (R-06)."""
    servers[0].freeze()
    settings = ldap_settings(
        servers[1],
        servers=parse_servers(f"{servers[0].ldaps_url} {servers[1].ldaps_url}"),
        deadline_seconds=2.0,
    )
    assert ask(settings) == [1]


def test_a_connection_that_begins_to_hang_is_left(servers: tuple[Slapd, Slapd]) -> None:
    """The kept connection of a frozen server does not block the next question (R-06)."""

    async def work() -> int:
        directory = LDAPDirectory(both(servers, deadline_seconds=2.0))
        try:
            await directory.find(BOB)
            servers[0].freeze()
            return len(await directory.find(BOB))
        finally:
            await directory.close()

    assert asyncio.run(work()) == 1


def test_a_server_that_hung_is_asked_last_for_a_while(servers: tuple[Slapd, Slapd]) -> None:
    """Only the first mail pays for finding out; the others go to the next server at once."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # nobody ever accepts
        hanging.settimeout(0)
        urls = f"ldap://127.0.0.1:{hanging.getsockname()[1]} {servers[1].ldap_url}"
        assert ask(ldap_settings(servers[1], servers=parse_servers(urls)), times=6) == [1] * 6
        assert waiting_connections(hanging) == 1


def waiting_connections(listener: socket.socket) -> int:
    """How many connected to *listener*, which must not block."""
    for count in itertools.count():
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError


def test_when_all_servers_hang_the_deadline_ends_it(servers: tuple[Slapd, Slapd]) -> None:
    """No mail waits longer than the deadline, and both servers are named (R-06)."""
    for server in servers:
        server.freeze()
    with pytest.raises(DirectoryError) as caught:
        ask(both(servers, deadline_seconds=0.6))
    assert all(server.ldap_url in str(caught.value) for server in servers)


def test_many_questions_to_a_hanging_server_all_end(servers: tuple[Slapd, Slapd]) -> None:
    """Questions that wait for a thread are under the same deadline (R-06)."""
    servers[0].freeze()
    settings = ldap_settings(
        servers[0], servers=parse_servers(servers[0].ldap_url), deadline_seconds=0.4
    )

    async def work() -> list[object]:
        directory = LDAPDirectory(settings)
        asking = [directory.find(BOB) for _ in range(30)]
        answers = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
        await directory.close()
        return list(answers)

    assert {type(answer) for answer in asyncio.run(work())} == {DirectoryError}


def test_a_hanging_server_leaves_no_thread_behind(servers: tuple[Slapd, Slapd]) -> None:
    """A question given up wakes its thread, so the next ones find one free."""
    settings = ldap_settings(
        servers[0], servers=parse_servers(servers[0].ldap_url), deadline_seconds=0.4
    )

    async def work() -> int:
        directory = LDAPDirectory(settings)
        servers[0].freeze()
        asking = [directory.find(BOB) for _ in range(8)]
        await asyncio.gather(*asking, return_exceptions=True)
        servers[0].thaw()
        found = await directory.find(BOB)
        await directory.close()
        return len(found)

    assert asyncio.run(work()) == 1


def test_a_connection_is_kept(servers: tuple[Slapd, Slapd]) -> None:
    """A bind over TLS costs fifty times a search."""
    assert ask(both(servers), times=5) == [1] * 5
    assert connections(servers[0]) == 1


def test_a_connection_the_server_closed_is_made_again(servers: tuple[Slapd, Slapd]) -> None:
    """A restart between two mails is not noticed (cases D24)."""
    settings = ldap_settings(servers[0], servers=parse_servers(servers[0].ldap_url))

    async def work() -> int:
        directory = LDAPDirectory(settings)
        try:
            await asyncio.gather(*(directory.find(BOB) for _ in range(4)))
            servers[0].stop()
            servers[0].start()
            return len(await directory.find(BOB))
        finally:
            await directory.close()

    assert asyncio.run(work()) == 1


def test_a_password_that_was_changed_is_used_at_the_next_bind(
    servers: tuple[Slapd, Slapd],
) -> None:
    """Passwords are changed without a restart of the gateway."""
    passwords = ["wrong", servers[0].gateway_password]
    settings = ldap_settings(
        servers[0],
        servers=parse_servers(servers[0].ldap_url),
        password=lambda: passwords.pop(0),
    )

    async def work() -> int:
        directory = LDAPDirectory(settings)
        try:
            with pytest.raises(DirectoryError):
                await directory.find(BOB)
            return len(await directory.find(BOB))
        finally:
            await directory.close()

    assert asyncio.run(work()) == 1


def test_anonymous_is_possible_where_the_server_allows_it(bob: Issued) -> None:
    """Without `bind` nobody is named (RFC 4513, 5.1.1)."""
    with Slapd() as server:
        server.add(
            f"dn: cn=Public CA,{server.authorities_base}\n"
            "objectClass: organizationalRole\nobjectClass: pkiCA\ncn: Public CA\n"
        )
        settings = ldap_settings(server, bind_dn="", base=server.authorities_base)
        assert ask(settings) == [0]


# --- a copy of a directory ------------------------------------------------------------------------


def test_a_copy_answers_when_its_provider_is_gone(bob: Issued) -> None:
    """What was published reaches the copy (syncrepl, RFC 4533), and mail does not wait (R-06)."""
    with Slapd() as provider, Slapd(provider=provider) as copy:
        settings = both((provider, copy), deadline_seconds=20.0)

        async def work() -> list[int]:
            directory = LDAPDirectory(settings)
            chain = ChainDirectory([CachingDirectory(directory)])
            try:
                before = len(await chain.find(BOB))
                provider.add_person(BOB.address, certificates=[bob.certificate.der])
                wait_until(lambda: BOB.address in copy.search("(mail=*)", "mail"), "the copy")
                provider.stop()
                await chain.flush(BOB)
                return [before, len(await chain.find(BOB))]
            finally:
                await directory.close()

        assert asyncio.run(work()) == [0, 1]
