"""Somebody between us and the LDAP server, with a certificate of his own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.errors import ConfigurationError, DirectoryError
from tests.contract.conftest import ldap_settings
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import Slapd

BOB = Mailbox.parse("bob@corp.example")


@pytest.fixture(scope="module")
def bob() -> Issued:
    return make_ca("Attack CA").issue("bob@corp.example", key="p256")


@pytest.fixture
def slapd(bob: Issued) -> Iterator[Slapd]:
    with Slapd() as server:
        server.add_person("bob@corp.example", certificates=[bob.certificate.der])
        yield server


def find(settings: LDAPSettings, mailbox: Mailbox = BOB) -> list[bytes]:
    """One question to a directory made for it."""

    async def ask() -> list[bytes]:
        directory = LDAPDirectory(settings)
        try:
            return [found.certificate.der for found in await directory.find(mailbox)]
        finally:
            await directory.close()

    return asyncio.run(ask())


def error_of(settings: LDAPSettings) -> str:
    with pytest.raises(DirectoryError) as caught:
        find(settings)
    return str(caught.value)


def test_a_certificate_of_an_unknown_ca_is_refused(slapd: Slapd) -> None:
    """Whoever sits in between has a certificate, too (T-11)."""
    with Slapd() as other:
        text = error_of(ldap_settings(slapd, ca=other.ca))
    assert "cannot be trusted" in text
    assert "`ca`" in text


def test_a_certificate_for_another_name_is_refused() -> None:
    """The right CA also issues to others (T-11)."""
    with Slapd(names=("other.corp.example",)) as server:
        text = error_of(ldap_settings(server))
    assert "not valid for '127.0.0.1'" in text


def test_starttls_checks_the_certificate_too() -> None:
    """StartTLS is no weaker than ldaps (T-11)."""
    with Slapd(names=("other.corp.example",)) as server:
        servers = parse_servers(server.ldap_url, start_tls=True)
        text = error_of(ldap_settings(server, servers=servers))
    assert "cannot be trusted" in text


def test_starttls_finds(slapd: Slapd, bob: Issued) -> None:
    """StartTLS with a good certificate works (RFC 4511, 4.14)."""
    servers = parse_servers(slapd.ldap_url, start_tls=True)
    assert find(ldap_settings(slapd, servers=servers)) == [bob.certificate.der]


def test_no_password_is_sent_before_tls(slapd: Slapd) -> None:
    """When the handshake fails the bind was not sent (T-11)."""
    with Slapd() as other:
        servers = parse_servers(slapd.ldap_url, start_tls=True)
        error_of(ldap_settings(slapd, servers=servers, ca=other.ca))
    assert "STARTTLS" in slapd.log
    assert f'BIND dn="{slapd.gateway_dn}"' not in slapd.log


@pytest.mark.parametrize(
    "url",
    [
        "ldap://ldap.corp.example",
        "http://ldap.corp.example",
        "ldaps://",
        "ldaps://ldap.corp.example/dc=x",
        "ldaps://user:secret@ldap.corp.example",
        "ldaps://ldap.corp.example:99999",
        "",
    ],
)
def test_a_url_that_is_unsafe_or_no_url_is_refused(url: str) -> None:
    """Plain LDAP over a network would let anybody choose the certificates (T-11)."""
    with pytest.raises(ConfigurationError):
        parse_servers(url, origin="ldap:staff")
