"""Speaks EST (RFC 7030, with the clarifications of RFC 8951) to one server, over mutual TLS.

One connection a question, bounded in size; the caller sets the deadline.  What comes back is
untrusted as far as it goes into a mail, but the server itself was authenticated.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from smimegw.errors import CertificateError, EnrolmentError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_ANSWER_OCTETS = 256 * 1024  # a certificate with its path has 10 KB
_PIECE_OCTETS = 16 * 1024
_TEXT_CHARACTERS = 300
_RETRY_SECONDS = 60.0
_RETRY_SECONDS_MAX = 24 * 3600.0

MakeContext = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True, kw_only=True)
class ESTServer:
    """Where an EST server is.

    Attributes:
        host: Its name, as in its certificate.
        port: Its port.
        path: Begins with ``/.well-known/est``; a label behind it names a profile (RFC 7030, 3.2.2).
    """

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> ESTServer:
        """Read ``https://host[:port]/.well-known/est[/label]``.

        Raises:
            ValueError: Anything else.
        """
        parts = urlsplit(url)
        path = parts.path.rstrip("/") or "/.well-known/est"
        if (
            parts.scheme != "https"
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
            or not path.startswith("/.well-known/est")
        ):
            raise ValueError("not an https URL with the path /.well-known/est")
        return cls(host=parts.hostname, port=parts.port or 443, path=path)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Pending:
    """The request waits for a person; ask again with the same request after *seconds*."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    fields: http.client.HTTPMessage
    body: bytes = field(repr=False)


class ESTClient:
    """Asks one server.

    Args:
        server: Where it is.
        context: Makes the TLS context, with our certificate; asked anew each time, so that a
            renewed certificate counts.
    """

    def __init__(self, server: ESTServer, context: MakeContext) -> None:
        self._server = server
        self._context = context

    async def enrol(
        self, request: bytes, *, renews: bool = False
    ) -> tuple[Certificate, ...] | Pending:
        """Send a PKCS #10 request, DER, and return the certificates that came (RFC 7030, 4.2).

        Args:
            request: Names and key.
            renews: It follows a certificate of the same names.

        Raises:
            EnrolmentError: Unreachable, or garbage (*retryable*); or refused.
        """
        body = base64.encodebytes(request)
        action = "/simplereenroll" if renews else "/simpleenroll"
        answer = await self._ask("POST", action, body, "application/pkcs10")
        if answer.status == 202:
            return Pending(_seconds(answer.fields.get("Retry-After", "")))
        self._refuse_trouble(answer)
        return self._certificates(answer)

    async def cacerts(self) -> tuple[Certificate, ...]:
        """Return the certificates of the authority (RFC 7030, 4.1).

        Raises:
            EnrolmentError: Unreachable, or garbage.
        """
        answer = await self._ask("GET", "/cacerts")
        self._refuse_trouble(answer)
        return self._certificates(answer)

    async def _ask(self, method: str, action: str, body: bytes = b"", kind: str = "") -> _Answer:
        server = self._server
        fields = [
            f"{method} {server.path}{action} HTTP/1.1",
            f"Host: {server}",
            "Connection: close",
        ]
        if body:
            fields += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        octets = "\r\n".join(fields).encode("ascii") + b"\r\n\r\n" + body
        try:
            reader, writer = await asyncio.open_connection(
                server.host, server.port, ssl=self._context(), server_hostname=server.host
            )
        except ssl.SSLCertVerificationError as exc:
            raise self._trouble(
                f"its certificate is not trusted ({exc.verify_message}); set enrolment.ca"
            ) from exc
        except (OSError, ssl.SSLError) as exc:
            raise self._trouble(f"no connection: {exc.strerror or type(exc).__name__}") from exc
        try:
            writer.write(octets)
            await writer.drain()
            return _parsed(await self._to_the_end(reader))
        except ssl.SSLError as exc:
            # With TLS 1.3 a server says only after the handshake that it wants another certificate.
            raise self._trouble(
                f"it ended TLS ({exc.reason}); is enrolment.certificate one that it trusts?"
            ) from exc
        except OSError as exc:
            raise self._trouble("the connection was lost") from exc
        except (http.client.HTTPException, ValueError) as exc:
            raise self._trouble("the answer is not HTTP, or it breaks off") from exc
        finally:
            writer.transport.abort()

    async def _to_the_end(self, reader: asyncio.StreamReader) -> bytes:
        octets = bytearray()
        while piece := await reader.read(_PIECE_OCTETS):
            octets += piece
            if len(octets) > _ANSWER_OCTETS:
                raise self._trouble(f"the answer is longer than {_ANSWER_OCTETS} octets")
        return bytes(octets)

    def _refuse_trouble(self, answer: _Answer) -> None:
        if answer.status == 200:
            return
        text = "".join(c for c in answer.body.decode("utf-8", "replace") if c.isprintable())
        said = f"it answers {answer.status}: {text.strip()[:_TEXT_CHARACTERS]}"
        raise self._trouble(said, retryable=answer.status >= 500 or answer.status == 429)

    def _certificates(self, answer: _Answer) -> tuple[Certificate, ...]:
        # RFC 8951, 2.1: base64 whatever Content-Transfer-Encoding says, or is left out
        try:
            der = base64.b64decode(b"".join(answer.body.split()), validate=True)
            found = pkcs7.load_der_pkcs7_certificates(der)
            certificates = tuple(Certificate.parse(c.public_bytes(Encoding.DER)) for c in found)
        except (*PARSE_ERRORS, CertificateError) as exc:
            raise self._trouble("the answer holds no certificates that can be read") from exc
        if not certificates:
            raise self._trouble("the answer holds no certificate")
        return certificates

    def _trouble(self, what: str, *, retryable: bool = True) -> EnrolmentError:
        server = str(self._server)
        return EnrolmentError(f"EST server {server}: {what}", server=server, retryable=retryable)


class _Canned:
    """As much of a socket as the parser of the standard library wants."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


def _parsed(octets: bytes) -> _Answer:
    response = http.client.HTTPResponse(_Canned(octets))  # type: ignore[arg-type]  # see there
    response.begin()
    return _Answer(status=response.status, fields=response.headers, body=response.read())


def _seconds(text: str) -> float:
    # RFC 7030, 4.2.3; a date, which RFC 9110 allows as well, gives the usual wait
    seconds = float(text) if text.isascii() and text.isdigit() else _RETRY_SECONDS
    return min(max(seconds, 1.0), _RETRY_SECONDS_MAX)
