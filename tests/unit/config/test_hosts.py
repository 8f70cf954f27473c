"""Hosts and proxies in the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.app import assemble
from smimegw.config.hosts import host_rule, proxy_url
from smimegw.config.load import load
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


def test_hosts_are_part_of_the_configuration(write: Callable[..., Path]) -> None:
    """Read from the file, nothing allowed without them."""
    revocation = load(write()).revocation
    assert (revocation.allow_hosts, revocation.proxy, revocation.private_hosts) == ((), None, ())
    text = 'allow_hosts = ["*.ca.example"]\nproxy = "http://p:1"\nprivate_hosts = ["crl.corp"]\n'
    revocation = load(write(a=f"[revocation]\n{text}")).revocation
    assert [str(rule) for rule in revocation.allow_hosts] == ["*.ca.example"]
    assert str(revocation.proxy) == "http://p:1"
    assert [str(rule) for rule in revocation.private_hosts] == ["crl.corp"]


def test_gateway_asks_the_configured_hosts_only(write: Callable[..., Path], tmp_path: Path) -> None:
    """From the file to the adapter."""
    state = f'[gateway]\nstate_directory = "{tmp_path}"\n'

    async def may_ask(text: str) -> list[bool]:
        assembled = assemble(load(write(a=state + text), check_files=False))
        try:
            source = assembled.ports.revocation
            urls = ("http://crl.ca.example/", "http://crl.corp/", "http://other.example/")
            return [source.may_ask(url) for url in urls]
        finally:
            await assembled.close()

    hosts = '[revocation]\nallow_hosts = ["*.ca.example"]\nprivate_hosts = ["crl.corp"]\n'
    assert asyncio.run(may_ask(hosts)) == [True, True, False]
    assert asyncio.run(may_ask("")) == [False, False, False]
