"""Certificates of clients: asked for, verified, named in the log, and as a right to send."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from smimegw.config.load import load
from smimegw.sessions import listener_settings
from smimegw.smtp.roles import ListenerRole
from tests.peers.tls import TLSFiles, make_tls
from tests.protocol.raw_client import PATIENCE, Client, Place, place, run

ELSEWHERE = (ipaddress.ip_network("192.0.2.0/24"),)


@dataclass(frozen=True)
class Files:
    server: TLSFiles
    client: TLSFiles
    stranger: TLSFiles


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    return Files(
        make_tls(tmp_path_factory.mktemp("server")),
        make_tls(tmp_path_factory.mktemp("client"), ("mail.corp.example",), usage=usage),
        make_tls(tmp_path_factory.mktemp("stranger"), ("mail.corp.example",), usage=usage),
    )


def _fingerprint(files: TLSFiles) -> str:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _server(files: Files, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server.certificate, files.server.key)
    context.load_verify_locations(files.client.ca)
    context.verify_mode = mode
    return context


def _client(files: Files, own: TLSFiles | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.server.ca))
    # A client hears in the handshake itself, not with its first read, that it was refused.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


async def _secured(here: Place, context: ssl.SSLContext) -> Client:
    client = await here.greeted()
    assert (await client.say("STARTTLS")).startswith("220")
    await client.start_tls(context)
    assert (await client.say("EHLO client.example")).startswith("250")
    return client


def test_verified_name_is_in_the_log(files: Files) -> None:
    """With its fingerprint; once per session."""

    async def test() -> None:
        async with place(tls=_server(files, ssl.CERT_OPTIONAL)) as here:
            await _secured(here, _client(files, files.client))
            [said] = here.events.named("session.certificate")
            assert said["name"] == "mail.corp.example"
            assert said["cert"] == _fingerprint(files.client)

    run(test())


def test_implicit_tls_shows_the_certificate_too(files: Files) -> None:
    """Before the greeting."""

    async def test() -> None:
        async with place(tls=_server(files, ssl.CERT_REQUIRED), tls_implicit=True) as here:
            client = await here.connect(tls=_client(files, files.client))
            assert (await client.reply()).startswith("220")
            assert here.events.named("session.certificate")

    run(test())


def test_optional_means_that_nobody_needs_one(files: Files) -> None:
    """And nothing is logged of it."""

    async def test() -> None:
        async with place(tls=_server(files, ssl.CERT_OPTIONAL)) as here:
            client = await _secured(here, _client(files, None))
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")
            assert not here.events.named("session.certificate")

    run(test())


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_certificate_of_an_unknown_authority_ends_the_handshake(
    mode: ssl.VerifyMode, files: Files
) -> None:
    """Also where none is needed; the log names the peer (case B05)."""

    async def test() -> None:
        async with place(tls=_server(files, mode)) as here:
            client = await here.greeted()
            assert (await client.say("STARTTLS")).startswith("220")
            with pytest.raises(OSError):
                await client.start_tls(_client(files, files.stranger))
            await client.rest()
            [said] = here.events.named("session.rejected")
            assert said["client"] == "127.0.0.1"
            assert "certificate verify failed" in str(said["reason"])

    run(test())


def test_required_certificate_that_is_missing_ends_the_handshake(files: Files) -> None:
    """Nothing is said to who shows none."""

    async def test() -> None:
        async with place(tls=_server(files, ssl.CERT_REQUIRED)) as here:
            client = await here.greeted()
            assert (await client.say("STARTTLS")).startswith("220")
            with pytest.raises(OSError):
                await client.start_tls(_client(files, None))
            await client.rest()
            assert "peer did not return" in str(here.events.named("session.rejected"))

    run(test())


def test_old_tls_is_refused_with_a_line_in_the_log(files: Files) -> None:
    """TLS 1.1 does not get through the handshake (case B05; RFC 8996)."""
    context = _server(files, ssl.CERT_NONE)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    async def test() -> None:
        async with place(tls=context, tls_implicit=True) as here:
            old = _client(files, None)
            old.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.minimum_version = ssl.TLSVersion.TLSv1_1
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises(OSError):
                await here.connect(tls=old)
            async with asyncio.timeout(PATIENCE):
                while not here.events.named("session.rejected"):
                    await asyncio.sleep(0)
            [said] = here.events.named("session.rejected")
            assert said["client"] == "127.0.0.1"
            assert "unsupported protocol" in str(said["reason"])

    run(test())


# --- as a right to send ---------------------------------------------------------------------------


def _known(files: Files, own: TLSFiles) -> dict[str, object]:
    return {
        "role": ListenerRole.RELAY,
        "peers": ELSEWHERE,
        "peer_certificates": frozenset({_fingerprint(own)}),
        "tls": _server(files, ssl.CERT_OPTIONAL),
    }


def test_known_certificate_may_send_from_any_address(files: Files) -> None:
    """It stands for the address in `peers`."""

    async def test() -> None:
        async with place(**_known(files, files.client)) as here:
            client = await _secured(here, _client(files, files.client))
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")

    run(test())


def test_stranger_without_a_known_certificate_sends_nothing(files: Files) -> None:
    """In clear, without one, and with another one of the same authority."""

    async def test() -> None:
        settings = _known(files, files.stranger)  # another fingerprint than the client's
        async with place(**settings) as here:
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("530 5.7.0")
            for own in (None, files.client):
                client = await _secured(here, _client(files, own))
                assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("530 5.7.0")
            assert not here.reception.begun

    run(test())


def test_address_in_peers_needs_no_certificate(files: Files) -> None:
    """One or the other."""

    async def test() -> None:
        settings = _known(files, files.client) | {"peers": (ipaddress.ip_network("127.0.0.1"),)}
        async with place(**settings) as here:
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<a@corp.example>")).startswith("250")

    run(test())


def test_configuration_asks_for_certificates(files: Files, tmp_path: Path) -> None:
    """What is written in the file is what the TLS library is told."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "smimegw.toml").write_text(f"""
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
state_directory = "{tmp_path}"
[policies]
path = "policies"
[listener.relay]
address = "127.0.0.1:0"
peers = ["192.0.2.10"]
peer_certificates = ["sha256:{_fingerprint(files.client).upper()}"]
tls = {{ certificate = "{files.server.certificate}", key = {{ file = "{files.server.key}" }}, \
client_certificate = "optional", client_ca = "{files.client.ca}" }}
[next_hop.out]
address = "127.0.0.1:10026"
""")
    configuration = load(tmp_path / "smimegw.toml")
    settings = listener_settings("relay", configuration.listener["relay"], configuration)
    assert settings.tls is not None
    assert settings.tls.verify_mode is ssl.CERT_OPTIONAL
    assert settings.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert settings.peer_certificates == {_fingerprint(files.client)}
