"""Whatever a server of CRLs sends, and in whatever pieces: an answer or a `RevocationError`."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from smimegw.adapters.http.client import HTTPClient, Question, Reply
from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.config.hosts import host_rule
from smimegw.errors import RevocationError

_PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 302 Found\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Location: http://[\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b":",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"1_0\r\n",
        b"+5\r\n",
        b"hello",
    ]
)
_ANSWERS = st.lists(st.one_of(_PARTS, st.binary(max_size=8)), max_size=12).map(b"".join)


def read(pieces: list[bytes]) -> Reply | None:
    """One answer over a real connection; None when it was refused."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        except OSError:
            pass
        finally:
            writer.close()

    async def run() -> Reply | None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            client = HTTPClient(Gatekeeper([], [host_rule(f"127.0.0.1:{port}")]))
            place = Destination.parse(f"http://127.0.0.1:{port}/")
            try:
                return await client.ask(place, Question(octets=50), connect=5)
            except RevocationError:
                return None

    return asyncio.run(run())


@given(_ANSWERS, st.integers(1, 7))
def test_any_answer_is_read_or_refused_however_it_is_split(answer: bytes, size: int) -> None:
    """No other exception, no content beyond the limit, the same for every split of the stream."""
    whole = read([answer])
    assert whole is None or len(whole.content) <= 50
    assert read([answer[i : i + size] for i in range(0, len(answer), size)]) == whole


@given(
    st.text(max_size=60), st.sampled_from(["http://", "https://a.example/", "http://a.example:"])
)
def test_any_url_is_read_or_refused(text: str, begin: str) -> None:
    """A URL that is read can be written into a request without breaking out of its line."""
    try:
        found = Destination.parse(begin + text)
    except RevocationError:
        return
    for part in (found.host, found.target, found.authority, found.url):
        assert part.isascii()
        assert part.isprintable()
        assert " " not in part
