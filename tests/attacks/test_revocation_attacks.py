"""URLs and answers of people who want us to fetch for them, or to believe them (F18, F20, T-14)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from smimegw.adapters.http.client import HTTPClient, Question
from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.config.hosts import HostRule, ProxyURL, host_rule
from smimegw.errors import RevocationError
from smimegw.limits import Limits
from smimegw.x509.revocation import status
from tests.fakes.pki import DAY, NOW, make_ca
from tests.fakes.ports import ListedEvents
from tests.peers.revocation import Page, WebServer, source_for, web_server
from tests.peers.tls import TLSFiles, make_tls

CA = make_ca("Attacked CA")
ALICE = CA.issue("alice@ours.example", key="p256", slot="attacked")
ISSUER = CA.certificate


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Stands for a service inside that must not be reached."""
    with web_server({"/1.crl": CA.crl(), "/ocsp": b"x"}) as running:
        yield running


def fetch(
    url: str, *, private: Sequence[str] = (), **options: Any
) -> tuple[tuple[bytes, ...], ListedEvents]:
    events = ListedEvents()
    source = source_for(*private, events=events, **options)

    async def run() -> tuple[bytes, ...]:
        try:
            assert await source.ocsp(ALICE.certificate, ISSUER, [url]) is None
            return await source.crls([url], ISSUER)
        finally:
            await source.close()

    return asyncio.run(run()), events


def text_of(events: ListedEvents) -> str:
    return str(events.named("revocation.error")[-1]["text"])


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
    ],
)
def test_addresses_inside_are_not_fetched(url: str) -> None:
    """However they are spelt, and even when the host is allowed (cases F20)."""
    place = Destination.parse(url)
    keeper = Gatekeeper([HostRule(place.host)])
    with pytest.raises(RevocationError, match="not a public address"):
        asyncio.run(HTTPClient(keeper).ask(place, Question(octets=9), connect=5))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1"])
def test_allowed_is_not_the_same_as_private(host: str, web: WebServer) -> None:
    """`allow_hosts` is for the Internet; what is inside needs `private_hosts`."""
    found, events = fetch(f"http://{host}:{web.port}/1.crl", allowed=[f"{host}:{web.port}"])
    assert found == ()
    assert "not a public address" in text_of(events)
    assert web.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ldap://a.example/x", "ftp://a.example/x"])
def test_other_schemes_are_not_fetched(url: str) -> None:
    """A file, a directory: no places to fetch from (cases F20)."""
    found, events = fetch(url, allowed=["a.example"])
    assert found == ()
    assert "only http and https" in text_of(events)


def test_name_that_leads_inside_is_not_fetched(web: WebServer) -> None:
    """A public name with a private address."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    url = f"http://crl.partner.example:{web.port}/1.crl"
    rule = f"crl.partner.example:{web.port}"
    found, events = fetch(url, allowed=[rule], resolving=resolve)
    assert found == ()
    assert "127.0.0.1 is not a public address" in text_of(events)
    assert web.asked == []


def test_rebinding_does_not_help(web: WebServer) -> None:
    """The name is resolved once, and the connection goes to what was looked at (cases F20)."""
    answers = [["127.0.0.3"], ["127.0.0.1"], ["127.0.0.1"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    rule = f"crl.partner.example:{web.port}"
    keeper = Gatekeeper([], [host_rule(rule)], resolve=resolve)
    place = Destination.parse(f"http://{rule}/1.crl")
    with pytest.raises(RevocationError):  # nobody listens there
        asyncio.run(HTTPClient(keeper).ask(place, Question(octets=9), connect=0.2))
    assert asked == ["crl.partner.example"]
    assert web.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/",
        "http://localhost:{port}/1.crl",
        "http://127.0.0.2:{port}/1.crl",
        "//10.0.0.1/1.crl",
        "https://evil.example/1.crl",
        "file:///etc/passwd",
        "http://127.0.0.1:1/1.crl",
        "http://x@127.0.0.1:{port}/1.crl",
        "http://[",
        "",
    ],
)
def test_redirection_elsewhere_is_not_followed(web: WebServer, location: str) -> None:
    """Another host, another port, another scheme (cases F20)."""
    target = location.format(port=web.port)
    web.pages["/moved.crl"] = Page(status=302, fields={"Location": target})
    found, events = fetch(web.url("/moved.crl"), private=[web.rule])
    assert found == ()
    assert events.named("internal.error") == []
    assert "GET /1.crl" not in web.asked


def test_endless_body_ends_at_the_limit(web: WebServer) -> None:
    """`Limits.crl_octets` (cases F20)."""
    web.pages["/huge.crl"] = CA.crl() + b"\0" * 10_000
    found, events = fetch(
        web.url("/huge.crl"), private=[web.rule], limits=Limits(crl_octets=5000, ocsp_octets=5000)
    )
    assert found == ()
    assert "longer than 5000 octets" in text_of(events)


@contextlib.asynccontextmanager
async def dripping() -> AsyncIterator[int]:
    """A server that sends one octet whenever it was read, and never ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"\0")
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_dripping_body_ends_at_the_deadline() -> None:
    """`Limits.download_seconds` (cases F20)."""
    events = ListedEvents()

    async def run() -> tuple[bytes, ...]:
        async with dripping() as port:
            limits = Limits(download_seconds=0.2, revocation_seconds=20)
            source = source_for(f"127.0.0.1:{port}", events=events, limits=limits)
            return await source.crls([f"http://127.0.0.1:{port}/1.crl"], ISSUER)

    assert asyncio.run(run()) == ()
    assert text_of(events) == "no answer within 0.2 s"


# --- TLS and proxies -----------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> TLSFiles:
    return make_tls(tmp_path)


@contextlib.asynccontextmanager
async def secure(files: TLSFiles) -> AsyncIterator[int]:
    """An HTTPS server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.suppress(OSError, asyncio.IncompleteReadError),
            contextlib.closing(writer),
        ):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def tunnelling(to: int, heard: list[bytes], answer: bytes) -> AsyncIterator[int]:
    """A proxy that knows CONNECT and leads everything to the loopback port *to*."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(4096):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", to)
        with contextlib.closing(writer), contextlib.closing(there[1]):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def over_tls(files: TLSFiles, host: str, *, trusted: bool = True) -> bytes:
    async def run() -> bytes:
        async with secure(files) as port:
            context = ssl.create_default_context(cafile=files.ca if trusted else None)
            keeper = Gatekeeper([], [host_rule(f"{host}:{port}")])
            place = Destination.parse(f"https://{host}:{port}/1.crl")
            client = HTTPClient(keeper, tls=context)
            return (await client.ask(place, Question(octets=9), connect=5)).content

    return asyncio.run(run())


def test_https_is_verified(tls: TLSFiles) -> None:
    """By the name in the URL, although the connection goes to an address."""
    assert over_tls(tls, "localhost") == b"hello"


def test_https_with_an_untrusted_certificate_is_refused(tls: TLSFiles) -> None:
    """The system's list of authorities counts."""
    with pytest.raises(RevocationError, match="no connection"):
        over_tls(tls, "localhost", trusted=False)


def test_https_with_another_name_is_refused(tmp_path: Path) -> None:
    """A certificate for somebody else."""
    with pytest.raises(RevocationError, match="no connection"):
        over_tls(make_tls(tmp_path, ("other.example",)), "localhost")


def through_proxy(files: TLSFiles, heard: list[bytes], answer: bytes) -> bytes:
    async def run() -> bytes:
        async with secure(files) as port, tunnelling(port, heard, answer) as proxy:
            keeper = Gatekeeper([host_rule("crl.partner.example")])
            client = HTTPClient(
                keeper,
                proxy=ProxyURL("127.0.0.1", proxy),
                tls=ssl.create_default_context(cafile=files.ca),
            )
            place = Destination.parse("https://crl.partner.example/1.crl")
            return (await client.ask(place, Question(octets=9), connect=5)).content

    return asyncio.run(run())


def test_https_goes_through_the_proxy_as_a_tunnel(tmp_path: Path) -> None:
    """RFC 9110, 9.3.6: the proxy sees a name and nothing else."""
    heard: list[bytes] = []
    files = make_tls(tmp_path, ("crl.partner.example",))
    assert through_proxy(files, heard, b"HTTP/1.1 200 OK\r\n\r\n") == b"hello"
    assert heard[0].startswith(b"CONNECT crl.partner.example:443 HTTP/1.1\r\n")


def test_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    """The administrator has to know that it was the proxy."""
    files = make_tls(tmp_path, ("crl.partner.example",))
    with pytest.raises(RevocationError, match="the proxy answers 403"):
        through_proxy(files, [], b"HTTP/1.1 403 Forbidden\r\n\r\n")


def test_address_inside_does_not_go_through_the_proxy(web: WebServer) -> None:
    """The proxy is asked for names only."""
    found, events = fetch(
        "http://169.254.169.254/", allowed=["169.254.169.254"], proxy=ProxyURL("127.0.0.1", 1)
    )
    assert found == ()
    assert "not a public address" in text_of(events)


# --- answers that lie ----------------------------------------------------------------------------


def response(verdict: ocsp.OCSPCertStatus, nonce: bytes = b"") -> bytes:
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=ALICE.certificate.parsed,
            issuer=ISSUER.parsed,
            algorithm=hashes.SHA1(),  # the one that every responder knows
            cert_status=verdict,
            this_update=NOW - timedelta(hours=1),
            next_update=NOW + DAY,
            revocation_time=NOW - DAY if verdict is ocsp.OCSPCertStatus.REVOKED else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, ISSUER.parsed)
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    signed = builder.sign(CA.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def asked(web: WebServer, answer: bytes) -> tuple[bytes | None, ListedEvents]:
    web.pages["/ocsp"] = web.pages["/ocsp/*"] = answer
    events = ListedEvents()
    source = source_for(web.rule, events=events)
    return (
        asyncio.run(source.ocsp(ALICE.certificate, ISSUER, [web.url("/ocsp")])),
        events,
    )


def test_replayed_answer_is_not_taken(web: WebServer) -> None:
    """A signed answer to somebody else's nonce (cases F18)."""
    found, events = asked(web, response(ocsp.OCSPCertStatus.GOOD, b"another question"))
    assert found is None
    assert "nonce" in text_of(events)


def test_answer_without_nonce_is_taken(web: WebServer) -> None:
    """Prepared answers have none; their times say how old they are (RFC 9654, 3.1)."""
    der = response(ocsp.OCSPCertStatus.GOOD)
    assert asked(web, der)[0] == der


REVOKED = response(ocsp.OCSPCertStatus.REVOKED)


@given(st.integers(0, len(REVOKED) - 1), st.integers(1, 255))
def test_changed_answer_never_says_good(place: int, change: int) -> None:
    """Every octet is covered by the signature or by the structure."""
    changed = bytearray(REVOKED)
    changed[place] ^= change
    result = status(ALICE.certificate, ISSUER, (), NOW, 0, ocsp_responses=[bytes(changed)])
    assert result.status in {"unknown", "revoked"}


@given(st.binary(max_size=200))
def test_any_octets_are_an_answer_that_says_nothing(octets: bytes) -> None:
    """The reader raises nothing."""
    result = status(ALICE.certificate, ISSUER, [octets], NOW, 0, ocsp_responses=[octets])
    assert result.status == "unknown"
