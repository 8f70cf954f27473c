"""Hosts and proxies in the configuration."""

from __future__ import annotations

import pytest

from smimegw.config.hosts import host_rule, proxy_url
from smimegw.toml.structure import FaultError


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("crl.CA.example", "crl.ca.example"),
        ("*.ca.example", "*.ca.example"),
        ("crl.ca.example:8080", "crl.ca.example:8080"),
        ("*.ca.example:8080", "*.ca.example:8080"),
        ("192.0.2.1", "192.0.2.1"),
        ("127.0.0.1:99", "127.0.0.1:99"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_hosts_are_read_and_written(text: str, written: str) -> None:
    """Names in lower case."""
    assert str(host_rule(text)) == written
    assert host_rule(written) == host_rule(text)


@pytest.mark.parametrize(
    "value",
    ["", "*", "*.", "*.com", "*.192.0.2.1", "a b", "http://a.example", "a.example/x", "a.*.b", 3],
)
def test_other_hosts_are_refused(value: object) -> None:
    """With what to write instead."""
    with pytest.raises(FaultError, match=r'Write "crl\.ca\.example"'):
        host_rule(value)


def test_proxy_is_read() -> None:
    """Host and port."""
    assert str(proxy_url("http://proxy.corp.example:3128/")) == "http://proxy.corp.example:3128"


@pytest.mark.parametrize(
    "value", ["proxy:3128", "https://proxy:3128", "http://proxy", "http://u:p@proxy:1", "", 3]
)
def test_other_proxies_are_refused(value: object) -> None:
    """Only http, only with a port, no login."""
    with pytest.raises(FaultError, match="is not a proxy"):
        proxy_url(value)
