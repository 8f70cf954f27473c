"""Next hops: pinned keys, names, our own certificate, and servers that stand in for others."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smimegw.adapters import names
from smimegw.adapters.smtp.reach import open_connection
from smimegw.adapters.smtp.settings import ClientCredentials, Server
from smimegw.config.choices import TLSMode
from smimegw.config.values import Secret
from smimegw.errors import AuthenticationError, NextHopError, NextHopTLSError
from smimegw.limits import Limits
from smimegw.pipeline.admit import Gateway
from tests.fakes.company import Company, message
from tests.fakes.scripted_sink import HANG, ScriptedSink, scripted_sink
from tests.peers.ports import free_port
from tests.peers.tls import TLSFiles, make_tls
from tests.protocol.raw_client import run
from tests.protocol.test_relay import deliver, relay_to


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


def _pin(files: TLSFiles) -> str:
    key = x509.load_pem_x509_certificate(files.certificate.read_bytes()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _context(files: TLSFiles, clients: TLSFiles | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if clients is not None:
        context.load_verify_locations(clients.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _delivered(context: ssl.SSLContext, **settings: Any) -> int:
    """Send one message; how many arrived."""

    async def whole() -> None:
        async with relay_to(sink.port, host=settings.pop("host", "localhost"), **settings) as relay:
            await deliver(relay)

    sink = ScriptedSink(extensions=("STARTTLS",), tls=context)

    async def around() -> None:
        await sink.start()
        try:
            await whole()
        finally:
            await sink.stop()

    run(around())
    return len(sink.messages)


def test_pinned_key_needs_no_authority_name_or_date(tmp_path: Path) -> None:
    """Whoever has the key is the server (RFC 7469, 2.4)."""
    files = make_tls(tmp_path, ("elsewhere.example",), days=(-30, -1))
    pins = frozenset({_pin(files), "00" * 32})
    assert _delivered(_context(files), tls_mode=TLSMode.VERIFY, pins=pins) == 1


def test_another_key_than_the_pinned_is_refused(files: TLSFiles) -> None:
    """With the right name and authority as well; nothing is sent (case B07)."""
    with pytest.raises(NextHopTLSError, match=_pin(files)):
        _delivered(_context(files), tls_mode=TLSMode.VERIFY, pins=frozenset({"00" * 32}))


def test_expired_certificate_is_refused(tmp_path: Path) -> None:
    """Verify means verify (case B07)."""
    files = make_tls(tmp_path, days=(-30, -1))
    with pytest.raises(NextHopTLSError, match="expired"):
        _delivered(_context(files), tls_mode=TLSMode.VERIFY, ca=files.ca)


def test_certificate_may_be_for_another_configured_name(tmp_path: Path) -> None:
    """An address that is not the certificate's name, such as that of a balancer."""
    files = make_tls(tmp_path, ("mail.corp.example",))
    context = _context(files)
    verify = {"tls_mode": TLSMode.VERIFY, "ca": files.ca}
    assert _delivered(context, name="mail.corp.example", host="127.0.0.1", **verify) == 1
    with pytest.raises(NextHopTLSError, match="mismatch"):
        _delivered(context, name="other.corp.example", host="127.0.0.1", **verify)


def test_our_own_certificate_is_shown(files: TLSFiles, tmp_path: Path) -> None:
    """To a server that demands one."""
    ours = make_tls(tmp_path, ("gw.corp.example",), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    credentials = ClientCredentials(ours.certificate, Secret("file", str(ours.key)))
    context = _context(files, ours)
    mode = TLSMode.REQUIRED
    assert _delivered(context, tls_mode=mode, credentials=credentials) == 1
    with pytest.raises(NextHopError):
        _delivered(context, tls_mode=mode)


def test_certificate_of_ours_that_cannot_be_read_says_so(files: TLSFiles, tmp_path: Path) -> None:
    """Temporary: whoever changes files does it one after the other."""
    credentials = ClientCredentials(files.certificate, Secret("file", str(tmp_path / "none")))
    with pytest.raises(NextHopTLSError, match="our certificate"):
        _delivered(_context(files), tls_mode=TLSMode.REQUIRED, credentials=credentials)


# --- several servers ------------------------------------------------------------------------------


def test_fallback_is_used_while_the_first_cannot_be_reached() -> None:
    """And remembered, so that the dead one is not tried for each message."""

    async def test() -> None:
        async with scripted_sink() as sink:
            fallback = (Server("127.0.0.1", sink.port),)
            async with relay_to(free_port(), fallback=fallback) as relay:
                await deliver(relay)
                await deliver(relay)
            assert len(sink.messages) == 2

    run(test())


@pytest.mark.parametrize("greeting", ["421 4.3.2 later", "554 5.3.2 no", b"nonsense\r\n", HANG])
def test_server_that_does_not_greet_is_passed_over(greeting: Any) -> None:
    """Connecting is not enough."""
    limits = Limits(next_hop_seconds=0.3 if greeting is HANG else 20)

    async def test() -> None:
        script = {"CONNECT": [greeting] * 2}
        async with scripted_sink(script) as first, scripted_sink() as second:
            fallback = (Server("127.0.0.1", second.port),)
            async with relay_to(first.port, fallback=fallback, limits=limits) as relay:
                await deliver(relay)
            assert (len(first.messages), len(second.messages)) == (0, 1)

    run(test())


def test_first_server_is_used_when_all_is_well() -> None:
    """The order is the administrator's."""

    async def test() -> None:
        async with scripted_sink() as first, scripted_sink() as second:
            fallback = (Server("127.0.0.1", second.port),)
            async with relay_to(first.port, fallback=fallback) as relay:
                await deliver(relay)
            assert (len(first.messages), second.connections) == (1, 0)

    run(test())


def test_refused_login_is_not_tried_elsewhere(files: TLSFiles) -> None:
    """A wrong password is wrong everywhere, and trying it twice counts twice."""

    async def test() -> None:
        options: dict[str, Any] = {
            "extensions": ("STARTTLS", "AUTH PLAIN"),
            "tls": _context(files),
        }
        async with (
            scripted_sink({"AUTH": ["535 5.7.8 no"]}, **options) as first,
            scripted_sink(**options) as second,
        ):
            fallback = (Server("127.0.0.1", second.port),)
            async with relay_to(first.port, fallback=fallback, tls_mode=TLSMode.REQUIRED) as relay:
                with pytest.raises(AuthenticationError):
                    await relay.open("out", login=("alice", "wrong"))
            assert second.connections == 0

    run(test())


def test_trouble_with_tls_is_what_is_told_of_several(files: TLSFiles) -> None:
    """It will not mend itself as a server does that is down (case B07)."""

    async def test() -> None:
        async with scripted_sink(extensions=("STARTTLS",), tls=_context(files)) as sink:
            fallback = (Server("127.0.0.1", free_port()),)
            settings = {"tls_mode": TLSMode.VERIFY, "pins": frozenset({"00" * 32})}
            async with relay_to(sink.port, fallback=fallback, **settings) as relay:
                with pytest.raises(NextHopTLSError):
                    await relay.open("out")

    run(test())


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refuses, the second is silent, the third answers."""

    async def test() -> None:
        async with scripted_sink() as sink:
            # A full backlog: connecting to it is neither refused nor answered.
            silent = socket.socket()
            silent.bind(("127.0.0.3", sink.port))
            silent.listen(0)
            filling = [socket.socket() for _ in range(3)]
            for each in filling:
                each.setblocking(False)
                each.connect_ex(("127.0.0.3", sink.port))

            def several(*_: object, **__: object) -> Any:
                return [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, sink.port))
                    for address in ("127.0.0.2", "127.0.0.3", "127.0.0.1")
                ]

            monkeypatch.setattr(names.socket, "getaddrinfo", several)
            try:
                _, writer = await open_connection("mail.corp.example", sink.port, 3.0, 65536)
                assert writer.get_extra_info("peername")[0] == "127.0.0.1"
                writer.close()
                await writer.wait_closed()
            finally:
                for each in (silent, *filling):
                    each.close()

    run(test())


# --- what the client hears ------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["not offered", "refused", "unknown authority", "other key"])
def test_client_hears_that_tls_is_the_trouble(
    trouble: str, files: TLSFiles, tmp_path: Path
) -> None:
    """N-26: 451 4.7.0 at RCPT, the log says what, nothing was said in clear (case B07)."""
    script: dict[str, list[Any]] = {"STARTTLS": ["454 4.7.0 no"]} if trouble == "refused" else {}
    extensions = ("8BITMIME",) if trouble == "not offered" else ("8BITMIME", "STARTTLS")
    settings: dict[str, Any] = {"ca": make_tls(tmp_path).ca}
    if trouble == "other key":
        settings = {"pins": frozenset({"00" * 32})}
    company = Company()

    async def test() -> None:
        async with scripted_sink(script, extensions=extensions, tls=_context(files)) as sink:
            async with relay_to(sink.port, tls_mode=TLSMode.VERIFY, **settings) as relay:
                ports = replace(company.world.ports, relay=relay)
                company.gateway = Gateway(company.gateway.policy, ports, company.settings)
                content = message("alice@ours.example", "bob@clear.example")
                outcome = await company.begin_and_finish("relay", ["bob@clear.example"], content)
            assert str(outcome.reply).startswith("451 4.7.0 TLS with next hop")
            assert "MAIL" not in sink.steps
            assert company.world.events.named("relay.error")

    run(test())
