"""The EST client believes little: who the server is, how much it says, what it sends (RFC 7030)."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from smimegw.adapters.est.client import ESTClient, ESTServer, Pending
from smimegw.errors import EnrolmentError
from smimegw.x509.certificate import Certificate
from tests.fakes.est import HANG, Answer, certs_only, http, issuing, scripted_est
from tests.fakes.pki import make_ca
from tests.peers.ports import free_port
from tests.peers.tls import TLSFiles, make_tls

CA = make_ca("Enrolling CA", parent=make_ca("Enrolling root"))
ALICE = CA.issue("alice@ours.example")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


def context(files: TLSFiles) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files.ca)


def enrol(tls: TLSFiles, answer: Answer, trusted: TLSFiles | None = None) -> object:
    """What `enrol` comes to when the server answers like this."""

    async def run() -> object:
        async with scripted_est(tls, answer) as server:
            client = ESTClient(server.place, lambda: context(trusted or tls))
            return await client.enrol(b"a request")

    return asyncio.run(run())


def trouble(tls: TLSFiles, answer: Answer, trusted: TLSFiles | None = None) -> EnrolmentError:
    with pytest.raises(EnrolmentError) as caught:
        enrol(tls, answer, trusted)
    return caught.value


@pytest.mark.parametrize(
    ("url", "path", "port"),
    [
        ("https://pki.ours.example", "/.well-known/est", 443),
        ("https://pki.ours.example/.well-known/est", "/.well-known/est", 443),
        ("https://pki.ours.example:8443/.well-known/est/sign/", "/.well-known/est/sign", 8443),
    ],
)
def test_a_server_is_read_from_its_url(url: str, path: str, port: int) -> None:
    """RFC 7030, 3.2.2: the path, and a label behind it."""
    server = ESTServer.parse(url)
    assert (server.host, server.path, server.port) == ("pki.ours.example", path, port)


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://", "https://u:p@a.example", "https://a.example/est",
     "https://a.example/.well-known/est?x", "https://a.example:x/.well-known/est"],
)  # fmt: skip
def test_what_is_no_server_is_refused(url: str) -> None:
    """No clear text, no password, no other path."""
    with pytest.raises(ValueError):
        ESTServer.parse(url)


def test_a_request_goes_out_as_base64_and_certificates_come_back(tls: TLSFiles) -> None:
    """RFC 7030, 4.2; RFC 8951, 2.1."""
    bodies = []

    def answer(path: str, body: bytes) -> bytes:
        bodies.append((path, base64.b64decode(body)))
        return certs_only(ALICE.certificate)

    assert enrol(tls, answer) == (ALICE.certificate,)
    assert bodies == [("/.well-known/est/simpleenroll", b"a request")]


def test_an_answer_without_line_ends_in_its_base64_is_read(tls: TLSFiles) -> None:
    """RFC 8951, 2.1: white space is free."""
    octets = certs_only(ALICE.certificate)
    head, _, body = octets.partition(b"\r\n\r\n")
    one_line = body.replace(b"\n", b"")
    answer = http(200, one_line, Content_Type="application/pkcs7-mime")
    assert head
    assert enrol(tls, lambda *_: answer) == (ALICE.certificate,)


def test_the_authority_tells_its_certificates(tls: TLSFiles) -> None:
    """RFC 7030, 4.1."""

    async def run() -> tuple[Certificate, ...]:
        async with scripted_est(tls, issuing(CA)) as server:
            return await ESTClient(server.place, lambda: context(tls)).cacerts()

    assert set(asyncio.run(run())) == set(CA.own_chain)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("120", 120), ("", 60), ("Fri, 31 Dec 2027 23:59:59 GMT", 60), ("0", 1), ("99999999", 86400)],
)
def test_a_request_that_waits_says_how_long(tls: TLSFiles, said: str, seconds: float) -> None:
    """RFC 7030, 4.2.3: 202; a silly time is bounded."""
    answer = http(202, b"wait", **({"Retry_After": said} if said else {}))
    assert enrol(tls, lambda *_: answer) == Pending(seconds)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (403, False), (404, False), (429, True), (500, True), (503, True)],
)
def test_a_refusal_is_told_with_the_servers_words(
    tls: TLSFiles, status: int, retryable: bool
) -> None:
    """4xx will be the same tomorrow, 5xx may not be."""
    error = trouble(tls, lambda *_: http(status, b"not\x1b[31m your\r\ndomain"))
    assert f"answers {status}: not[31m yourdomain" in str(error)
    assert error.retryable is retryable


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"!!!"),
        http(200, base64.b64encode(b"no CMS")),
        http(200),
        http(200, base64.b64encode(bytes.fromhex("300b06092a864886f70d010702"))),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
    ids=["no base64", "no CMS", "nothing", "half CMS", "no HTTP", "cut", "bad chunks", "closed"],
)
def test_garbage_is_trouble_for_now(tls: TLSFiles, answer: bytes) -> None:
    """A server that is being repaired is asked again."""
    assert trouble(tls, lambda *_: answer).retryable


def test_an_endless_answer_is_not_read_to_its_end(tls: TLSFiles) -> None:
    """T-09: 256 KiB are enough for every path."""
    assert "longer than" in str(trouble(tls, lambda *_: http(200, b"A" * 300_000)))


def test_a_server_with_another_authority_is_not_asked(tls: TLSFiles, tmp_path: Path) -> None:
    """The request would tell it whom we serve; and its certificates would be believed."""
    error = trouble(tls, issuing(CA), make_tls(tmp_path))
    assert "not trusted" in str(error)
    assert "enrolment.ca" in str(error)


def test_a_server_of_another_name_is_not_asked(tmp_path: Path) -> None:
    """RFC 7030, 3.6: the certificate must be for the host in the URL."""
    other = make_tls(tmp_path, ("pki.elsewhere.example",))
    assert "not trusted" in str(trouble(other, issuing(CA)))


def test_a_clients_certificate_is_no_servers(tmp_path: Path) -> None:
    """The purpose counts, too."""
    files = make_tls(tmp_path, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert "not trusted" in str(trouble(files, issuing(CA)))


def test_nobody_there_is_trouble_for_now(tls: TLSFiles) -> None:
    """The CA is being restarted."""
    place = ESTServer.parse(f"https://localhost:{free_port()}")
    with pytest.raises(EnrolmentError, match="no connection") as caught:
        asyncio.run(ESTClient(place, lambda: context(tls)).enrol(b"a request"))
    assert caught.value.retryable


def test_a_silent_server_is_left_at_the_callers_deadline(tls: TLSFiles) -> None:
    """Nothing in the client waits longer than it is told."""

    async def run() -> None:
        async with scripted_est(tls, lambda *_: HANG) as server, asyncio.timeout(0.2):
            await ESTClient(server.place, lambda: context(tls)).enrol(b"a request")

    with pytest.raises(TimeoutError):
        asyncio.run(run())
