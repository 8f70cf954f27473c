"""An EST server that answers as a script says, over real TLS, and a sealer without a keystore.

async with scripted_est(tls, issuing(ca)) as server:   # or any other answer
    client = ESTClient(server.place, context)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smimegw.adapters.est.client import ESTServer
from smimegw.cms.sign import certificates_only
from smimegw.errors import KeystoreError
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import CA
from tests.peers.tls import TLSFiles

HANG = None
Answer = Callable[[str, bytes], bytes | None]
"""Path and body to the octets of a whole HTTP answer; `HANG` says nothing for ever."""


def http(status: int, body: bytes = b"", **fields: str) -> bytes:
    """A whole answer."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def certs_only(*certificates: Certificate) -> bytes:
    """An answer with certificates, as RFC 7030, 4.2.3 has it."""
    body = base64.encodebytes(certificates_only(certificates))
    return http(200, body, Content_Type="application/pkcs7-mime; smime-type=certs-only")


def issuing(ca: CA, mailbox: str = "", *, not_after: datetime | None = None) -> Answer:
    """Certify what the request asks for, or always *mailbox*."""

    def answer(path: str, body: bytes) -> bytes:
        if path.endswith("/cacerts"):
            return certs_only(*ca.own_chain)
        request = x509.load_der_x509_csr(base64.b64decode(body))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key: Any = _PublicHalf(request.public_key())
        san = None if mailbox else list(names)
        issued = ca.issue(mailbox or None, key=key, usage="sign", san=san, not_after=not_after)
        return certs_only(issued.certificate)

    return answer


@dataclass(frozen=True)
class _PublicHalf:
    """A key of which the authority has only this."""

    half: object

    def public_key(self) -> object:
        return self.half


@dataclass
class ScriptedEST:
    """A running server."""

    port: int
    answer: Answer
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    question: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> ESTServer:
        """Where it is."""
        return ESTServer.parse(f"https://localhost:{self.port}/.well-known/est")


@contextlib.asynccontextmanager
async def scripted_est(files: TLSFiles, answer: Answer) -> AsyncIterator[ScriptedEST]:
    """Run one on a loopback port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            path = head.split(" ")[1]
            running.asked.append((path, body))
            running.question.set()
            said = running.answer(path, body)
            if said is HANG:
                await ended.wait()
            else:
                writer.write(said)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    running = ScriptedEST(port=server.sockets[0].getsockname()[1], answer=answer)
    try:
        yield running
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


class MemorySealer:
    """Implements `Sealer` with a key of its own."""

    def __init__(self) -> None:
        self._key = AESGCM(os.urandom(32))

    def seal(self, secret: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._key.encrypt(nonce, secret, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            return self._key.decrypt(sealed[:12], sealed[12:], context)
        except Exception as error:
            raise KeystoreError("not ours") from error
