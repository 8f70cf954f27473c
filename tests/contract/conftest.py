"""Directories of every kind behind one face, so that one suite can hold them to one contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.chain.cache import CachingAuthorities, CachingDirectory
from smimegw.adapters.chain.directory import ChainAuthorities, ChainDirectory
from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import (
    publish_authority,
    publish_certificate,
    publish_crl,
)
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.addresses import Mailbox
from smimegw.ports import AuthorityDirectory, CertificateDirectory
from tests.fakes.pki import NOW
from tests.peers.postgres import Postgres
from tests.peers.slapd import Slapd


@dataclass(kw_only=True)
class Subject:
    """A directory under test, ways to fill it, and a way to take it away.

    ``put_person(address, der, owner)``: *owner* tells two people with one address apart.
    """

    directory: CertificateDirectory
    authorities: AuthorityDirectory
    put_person: Callable[[str, bytes, str], None]
    put_authority: Callable[[bytes], None]
    put_crl: Callable[[bytes], None]
    break_down: Callable[[], None]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        yield server


def ldap_settings(server: Slapd, **changes: Any) -> LDAPSettings:
    """How the gateway would be configured for *server*."""
    values: dict[str, Any] = {
        "name": "staff",
        "servers": parse_servers(server.ldaps_url),
        "base": server.people_base,
        "authority_base": server.authorities_base,
        "bind_dn": server.gateway_dn,
        "password": lambda: server.gateway_password,
        "ca": server.ca,
    }
    return LDAPSettings(**{**values, **changes})


def publishing_target(server: Slapd) -> PublishingTarget:
    """How the CA would be configured for *server*."""
    return PublishingTarget(
        urls=server.ldaps_url,
        bind_dn=server.publisher_dn,
        password=lambda: server.publisher_password,
        people_base=server.people_base,
        authorities_base=server.authorities_base,
        ca=server.ca,
    )


@pytest.fixture
def ldap_subject(slapd: Slapd) -> Iterator[Subject]:
    directory = LDAPDirectory(ldap_settings(slapd))
    with LDAPPublisher(publishing_target(slapd)) as publisher:

        def put_person(address: str, der: bytes, owner: str) -> None:
            dn = f"cn={owner},{slapd.people_base}"
            if owner and f"cn={owner}" not in slapd.search(f"(cn={owner})"):
                slapd.add_person(address, name=owner, dn=dn, certificates=[der])
            else:
                publisher.publish_certificate(Mailbox.parse(address), "", der)

        yield Subject(
            directory=directory,
            authorities=directory,
            put_person=put_person,
            put_authority=lambda der: _ignore(publisher.publish_authority(der)),
            put_crl=lambda der: _ignore(publisher.publish_crl(der)),
            break_down=slapd.stop,
        )
    asyncio.run(directory.close())


def _embedded(location: str, break_down: Callable[[], None]) -> Iterator[Subject]:
    engine = open_database(location)
    directory = EmbeddedDirectory(engine)

    def put_person(address: str, der: bytes, owner: str) -> None:
        publish_certificate(engine, Mailbox.parse(address), der, now=NOW, owner=owner)

    yield Subject(
        directory=directory,
        authorities=directory,
        put_person=put_person,
        put_authority=lambda der: _ignore(publish_authority(engine, der, now=NOW)),
        put_crl=lambda der: _ignore(publish_crl(engine, der)),
        break_down=break_down,
    )
    asyncio.run(directory.close())


@pytest.fixture
def sqlite_subject(tmp_path: Path) -> Iterator[Subject]:
    file = tmp_path / "smimegw.db"

    def break_down() -> None:
        for path in tmp_path.glob("smimegw.db*"):
            path.write_bytes(b"this was a database" * 1000)

    yield from _embedded(str(file), break_down)


@pytest.fixture
def postgresql_subject(postgres: Postgres) -> Iterator[Subject]:
    stopped = False

    def break_down() -> None:
        nonlocal stopped
        stopped = True
        postgres.stop()

    yield from _embedded(postgres.create_database(), break_down)
    if stopped:
        postgres.start()


@pytest.fixture
def chain_subject(ldap_subject: Subject, tmp_path: Path) -> Iterator[Subject]:
    """A cached, empty, first directory and a cached LDAP directory behind it."""
    empty = EmbeddedDirectory(open_database(tmp_path / "empty.db"), name="empty")
    yield Subject(
        directory=ChainDirectory(
            [CachingDirectory(empty), CachingDirectory(ldap_subject.directory)]
        ),
        authorities=ChainAuthorities(
            [CachingAuthorities(empty), CachingAuthorities(ldap_subject.authorities)]
        ),
        put_person=ldap_subject.put_person,
        put_authority=ldap_subject.put_authority,
        put_crl=ldap_subject.put_crl,
        break_down=ldap_subject.break_down,
    )
    asyncio.run(empty.close())


@pytest.fixture(params=["ldap", "sqlite", "postgresql", "chain"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every kind of directory in turn."""
    found: Subject = request.getfixturevalue(f"{request.param}_subject")
    return found


def _ignore(_result: object) -> None:
    """Publishers say what they did; these tests look at what is found."""
