"""Where a URL from a certificate may lead (cases F20, T-14)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.adapters.names import is_public
from smimegw.config.hosts import host_rule
from smimegw.errors import RevocationError


def gatekeeper(*allowed: str, private: Sequence[str] = (), found: Sequence[str] = ()) -> Gatekeeper:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if not found:
            raise OSError("no such name")
        return found

    return Gatekeeper(
        [host_rule(rule) for rule in allowed],
        [host_rule(rule) for rule in private],
        resolve=resolve,
    )


def admits(url: str, *allowed: str, private: Sequence[str] = ()) -> bool:
    return gatekeeper(*allowed, private=private).admits(Destination.parse(url))


def addresses(url: str, found: Sequence[str], private: Sequence[str] = ()) -> Sequence[str]:
    keeper = gatekeeper("a.example", private=private, found=found)
    return asyncio.run(keeper.addresses(Destination.parse(url)))


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://a.example/1.crl", ("http", "a.example", 80, "/1.crl")),
        ("HTTPS://A.Example.:8443/x?y=1", ("https", "a.example", 8443, "/x?y=1")),
        ("http://a.example", ("http", "a.example", 80, "/")),
        ("http://a.example?x", ("http", "a.example", 80, "/?x")),
        ("http://[2001:db8::1]/", ("http", "2001:db8::1", 80, "/")),
    ],
)
def test_urls_are_read(url: str, parsed: tuple[str, str, int, str]) -> None:
    """Host in lower case, without the final dot, the default port applied."""
    found = Destination.parse(url)
    assert (found.scheme, found.host, found.port, found.target) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ldap://a.example/cn=x",
        "ftp://a.example/x",
        "gopher://a.example/_x",
        "//a.example/x",
        "http:///x",
        "http://",
        "http://user:secret@a.example/",
        "http://a.example@evil.example/",
        "http://a.example\\@evil.example/",
        "http://a.example/#x",
        "http://a.example:99999/",
        "http://a.example:x/",
        "http://a.example/\r\nX: y",
        "http://a.example/\t",
        "http://a.example/a b",
        "http://bücher.example/",
        "http://[::1/",
        "",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Other schemes, logins, line ends, two readings."""
    with pytest.raises(RevocationError):
        Destination.parse(url)


@pytest.mark.parametrize(
    ("url", "rule", "expected"),
    [
        ("http://a.example/", "a.example", True),
        ("https://a.example/", "a.example", True),
        ("http://A.EXAMPLE./", "a.example", True),
        ("http://b.a.example/", "a.example", False),
        ("http://b.a.example/", "*.a.example", True),
        ("http://c.b.a.example/", "*.a.example", True),
        ("http://a.example/", "*.a.example", False),
        ("http://xa.example/", "*.a.example", False),
        ("http://a.example.evil.example/", "a.example", False),
        ("http://a.example:8080/", "a.example", False),
        ("http://a.example:8080/", "a.example:8080", True),
        ("http://a.example/", "a.example:8080", False),
        ("http://a.example:22/", "*.a.example", False),
    ],
)
def test_hosts_are_allowed_by_name_and_port(url: str, rule: str, expected: bool) -> None:
    """Exact names, names below a domain, the ports of the web unless one is written."""
    assert admits(url, rule) is expected
    assert admits(url, private=[rule]) is expected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "not an address",
    ],
)
def test_addresses_inside_are_not_public(address: str) -> None:
    """Private, loopback, link-local, reserved; also wrapped into IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Or nothing could be fetched at all."""
    assert is_public(address)


def test_name_with_public_addresses_is_connected_there() -> None:
    """In the resolver's order."""
    assert addresses("http://a.example/", ["1.1.1.1", "2606:4700::1111"]) == [
        "1.1.1.1",
        "2606:4700::1111",
    ]


@pytest.mark.parametrize("found", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:10.0.0.1"]])
def test_name_with_a_private_address_is_refused(found: list[str]) -> None:
    """One bad address among good ones is enough."""
    with pytest.raises(RevocationError, match=r"revocation\.private_hosts"):
        addresses("http://a.example/", found)


def test_private_hosts_may_be_inside() -> None:
    """The administrator said so."""
    assert addresses("http://a.example/", ["10.0.0.1"], private=["a.example"]) == ["10.0.0.1"]


def test_unknown_name_is_refused() -> None:
    """No address, no connection."""
    with pytest.raises(RevocationError, match="not known"):
        addresses("http://a.example/", [])


def test_literal_address_is_checked_for_the_proxy_too() -> None:
    """The proxy resolves names, but an address in the URL needs no resolving."""
    keeper = gatekeeper("169.254.169.254", "a.example")
    keeper.check_literal(Destination.parse("http://a.example/"))
    with pytest.raises(RevocationError):
        keeper.check_literal(Destination.parse("http://169.254.169.254/"))
