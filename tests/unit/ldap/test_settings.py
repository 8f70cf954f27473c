"""Server URLs: what is understood, and every mistake at once."""

from __future__ import annotations

import pytest

from smimegw.adapters.ldap.settings import LDAPServer, parse_servers
from smimegw.errors import ConfigurationError


def test_ports_have_the_usual_defaults() -> None:
    """389 and 636 (RFC 4516, 2; IANA)."""
    servers = parse_servers("ldaps://a.example ldap://127.0.0.1")
    assert [server.port for server in servers] == [636, 389]


def test_servers_keep_their_order() -> None:
    """The first one is asked first."""
    servers = parse_servers("ldaps://b.example:1 ldaps://a.example:2")
    assert [str(server) for server in servers] == ["ldaps://b.example:1", "ldaps://a.example:2"]


def test_an_ipv6_address_is_read_and_written_in_brackets() -> None:
    """RFC 3986, 3.2.2."""
    (server,) = parse_servers("ldaps://[2001:db8::1]:1636")
    assert (server.host, str(server)) == ("2001:db8::1", "ldaps://[2001:db8::1]:1636")


@pytest.mark.parametrize("url", ["ldap://127.0.0.1", "ldap://[::1]", "ldap://localhost"])
def test_plain_ldap_is_allowed_on_the_loopback(url: str) -> None:
    """Nobody is in between there."""
    assert not parse_servers(url)[0].tls


def test_plain_ldap_is_allowed_with_starttls() -> None:
    """It becomes TLS before anything is said (RFC 4511, 4.14)."""
    (server,) = parse_servers("ldap://ldap.corp.example", start_tls=True)
    assert server == LDAPServer(host="ldap.corp.example", port=389, tls=False, start_tls=True)


def test_ldaps_needs_no_starttls() -> None:
    """TLS within TLS is a mistake that the setting must not make."""
    (server,) = parse_servers("ldaps://ldap.corp.example", start_tls=True)
    assert not server.start_tls


def test_every_wrong_url_is_reported() -> None:
    """One round of corrections is enough."""
    with pytest.raises(ConfigurationError) as caught:
        parse_servers("ldap://a.example ldaps://good.example http://b.example", origin="staff")
    assert len(caught.value.problems) == 2
    assert all(problem.key == "url" for problem in caught.value.problems)
