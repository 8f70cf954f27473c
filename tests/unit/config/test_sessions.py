"""Listeners and next hops: every contradiction is named, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.config.load import load
from smimegw.config.values import sha256
from smimegw.errors import ConfigurationError
from smimegw.sessions import listener_settings, next_hop_settings, share_of
from smimegw.toml.structure import FaultError

PIN = "0f" * 32
SUBMISSION = '\n[listener.submission]\naddress = "127.0.0.1:10587"\n'
DOVECOT = '[listener.submission.dovecot]\nsocket = "/run/dovecot/auth-client"\n'
LDAP = (
    '[listener.submission.ldap]\nurl = "ldaps://ldap.corp.example"\n'
    'base = "ou=people,dc=corp,dc=example"\n'
)
IMAP = '[listener.submission.imap]\nurl = "imaps://mail.corp.example"\n'
TLS = '[listener.relay.tls]\ncertificate = "x"\nkey = { file = "x" }\n'
_MISTAKES = {
    "proxy": ('[listener.relay]\nproxy_from = ["lb.corp.example"]', "proxy_from", "192.0.2.10"),
    "xclient": ("[listener.relay]\nxclient_from = [1]", "xclient_from", "not an IP address"),
    "rate": ("[listener.relay]\nmessages_per_minute = -1", "messages_per_minute", "0 for no"),
    "fingerprint": ('[listener.relay]\npeer_certificates = ["ab"]', "peer_certif", "64 hexad"),
    "nobody asked": (
        f'[listener.relay]\npeer_certificates = ["{PIN}"]',
        "relay.peer_certificates",
        "client_certificate",
    ),
    "no authority": (
        TLS + 'client_certificate = "required"',
        "tls.client_ca",
        "missing",
    ),
    "authority without effect": (
        TLS + 'client_ca = "x"',
        "tls.client_ca",
        "without effect",
    ),
    "no dovecot": (SUBMISSION + 'auth = "dovecot"', "submission.dovecot", "missing"),
    "no ldap": (SUBMISSION + 'auth = "ldap"', "submission.ldap", "missing"),
    "no imap": (SUBMISSION + 'auth = "imap"', "submission.imap", "missing"),
    "clear imap": (
        SUBMISSION + 'auth = "imap"\n' + IMAP.replace("imaps:", "imap:"),
        "imap.url",
        "imaps://",
    ),
    "another protocol": (
        SUBMISSION + 'auth = "imap"\n' + IMAP.replace("imaps:", "pop3s:"),
        "imap.url",
        "not an IMAP URL",
    ),
    "no imap server": (
        SUBMISSION + 'auth = "imap"\n' + IMAP.replace("imaps://", "imaps://["),
        "imap.url",
        "not an IMAP URL",
    ),
    "imap start_tls unused": (
        SUBMISSION + 'auth = "imap"\n' + IMAP + "start_tls = true",
        "imap.start_tls",
        "without effect",
    ),
    "dovecot unused": (SUBMISSION + DOVECOT, "submission.dovecot", "without effect"),
    "two places": (
        SUBMISSION + 'auth = "dovecot"\n' + DOVECOT + 'address = "127.0.0.1:12345"',
        "dovecot.socket",
        "exactly one",
    ),
    "clear passwords": (
        SUBMISSION + 'auth = "dovecot"\n[listener.submission.dovecot]\naddress = "192.0.2.1:12345"',
        "dovecot.address",
        "in clear",
    ),
    "everybody": (
        SUBMISSION + 'auth = "ldap"\n' + LDAP + 'filter = "(uid=x)"',
        "ldap.filter",
        "%{user}",
    ),
    "clear ldap": (
        SUBMISSION + 'auth = "ldap"\n' + LDAP.replace("ldaps:", "ldap:"),
        "ldap.url",
        "ldaps://",
    ),
    "auth on relay": ('[listener.relay]\nauth = "ldap"', "relay.auth", "submission"),
    "pins unused": (
        f'[next_hop.out.tls]\nmode = "required"\npins = ["{PIN}"]',
        "tls.pins",
        'mode = "verify"',
    ),
    "pins and name": (
        f'[next_hop.out.tls]\nmode = "verify"\npins = ["{PIN}"]\nname = "mx.corp.example"',
        "tls.name",
        "only the key",
    ),
    "half a certificate": ('[next_hop.out.tls]\ncertificate = "x"', "tls.certificate", "together"),
    "fallback": ('[next_hop.out]\nfallback = ["mx2.corp.example:0"]', "fallback", "port 0"),
}


@pytest.mark.parametrize("name", _MISTAKES)
def test_mistake_is_named(name: str, write: Callable[..., Path]) -> None:
    """Key and words of the complaint."""
    text, key, words = _MISTAKES[name]
    with pytest.raises(ConfigurationError) as caught:
        load(write(more=text), check_files=False)
    assert any(key in problem.key and words in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    "written",
    [PIN, PIN.upper(), "sha256:" + ":".join(["0F"] * 32), "sha256//Dw8P" + "Dw8P" * 9 + "Dw8="],
)
def test_fingerprint_forms(written: str) -> None:
    """As OpenSSL, browsers and curl write it."""
    assert sha256(written) == PIN


@pytest.mark.parametrize("written", ["", "0f" * 20, "0g" * 32, "Dw8P", 7, None])
def test_what_is_no_fingerprint(written: object) -> None:
    """SHA-1 is none."""
    with pytest.raises(FaultError):
        sha256(written)


def test_keys_become_settings(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what listeners and relay get."""
    monkeypatch.setenv("LDAP_PASSWORD", "geheim")
    path = write(
        more=SUBMISSION
        + 'auth = "ldap"\n'
        + 'proxy_from = ["192.0.2.20"]\nxclient_from = ["192.0.2.21"]\nmessages_per_minute = 60\n'
        + LDAP
        + 'bind = { dn = "cn=gw", password = { env = "LDAP_PASSWORD" } }\n'
        + '[next_hop.out]\nfallback = ["mx2.corp.example:25"]\ntls = { mode = "verify", '
        + f'pins = ["{PIN}"] }}\n'
    )
    configuration = load(path, check_files=False)
    name = "submission"
    settings = listener_settings(name, configuration.listener[name], configuration)
    assert settings.auth
    assert settings.judge is not None
    assert [str(net) for net in settings.proxy_from] == ["192.0.2.20/32"]
    assert [str(net) for net in settings.xclient_from] == ["192.0.2.21/32"]
    assert settings.messages_per_minute == 60
    hop = next_hop_settings(configuration.next_hop["out"])
    assert [str(server) for server in hop.servers] == ["127.0.0.1:10026", "mx2.corp.example:25"]
    assert hop.pins == {PIN}


@pytest.mark.parametrize(("limit", "processes", "each"), [(1000, 4, 250), (50, 4, 13), (1, 8, 1)])
def test_workers_share_a_limit(limit: int, processes: int, each: int) -> None:
    """Never nobody, and not more together than rounding makes; 0 stays no limit."""
    assert share_of(limit, processes) == each
    assert limit <= each * processes < limit + processes
    assert share_of(0, processes) == 0
