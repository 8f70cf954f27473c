"""Asks one validating resolver, and says of each answer whether DNSSEC vouches for it.

We validate nothing ourselves: the resolver does, and its AD bit says so (RFC 4035, 3.2.3).  That
bit is worth as much as the way it came, so the resolver is on this machine or is asked over TLS
(RFC 7858).  It is always a stream: nobody can slip an answer in from aside, and none is truncated.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype

from smimegw.adapters.names import addresses_of
from smimegw.errors import DirectoryError

RECORDS = 20  # of one name; more is a mistake or an attack

_OCTETS = 1232  # announced for UDP, which is not used
_DNSSEC_TROUBLES = frozenset({*range(5, 13)})  # RFC 8914, 4.6 to 4.13: indeterminate, bogus, …
_FAILURES = (OSError, EOFError, ValueError, dns.exception.DNSException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the resolver said about one name and type.

    Attributes:
        records: The records; () when it said that there are none.
        is_validated: DNSSEC vouches for it, also for there being none.
        seconds: How long it may be kept.
    """

    records: tuple[dns.rdata.Rdata, ...]
    is_validated: bool
    seconds: int


class ValidatingResolver:
    """One resolver.

    Args:
        host: Name or address.
        port: TCP port.
        tls_name: What its TLS certificate must be for; empty is no TLS.
        ca: PEM file of the authorities for TLS; None means the system's.
    """

    def __init__(self, host: str, port: int, *, tls_name: str = "", ca: Path | None = None) -> None:
        self._host = host
        self._port = port
        self._tls_name = tls_name
        self._ca = ca
        self._tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"resolver {host}:{self._port}"

    async def ask(self, name: str, kind: str, *, seconds: float) -> Answer:
        """Return the records of type *kind* at *name*, aliases followed by the resolver.

        Raises:
            DirectoryError: No answer, a failure, or one that DNSSEC contradicts; never "none".
        """
        try:
            question = dns.message.make_query(name, kind, use_edns=0, payload=_OCTETS)
        except dns.exception.DNSException:
            return Answer(records=(), is_validated=True, seconds=0)  # nothing has such a name
        question.flags |= dns.flags.AD  # RFC 6840, 5.7: tell us whether it is validated
        try:
            async with asyncio.timeout(seconds):
                reply = await self._ask(question)
        except TimeoutError:
            raise self._error(f"did not answer within {seconds:.1f} s about {name}") from None
        except _FAILURES as exc:
            reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise self._error(f"gave no usable answer about {name}: {reason}") from exc
        return self._read(name, kind, reply)

    async def _ask(self, question: dns.message.Message) -> dns.message.Message:
        address = (await addresses_of(self._host, self._port))[0]
        if self._tls_name and self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        reader, writer = await asyncio.open_connection(
            address, self._port, ssl=self._tls, server_hostname=self._tls_name or None
        )
        try:
            writer.write(question.to_wire(prepend_length=True))  # RFC 1035, 4.2.2
            length = int.from_bytes(await reader.readexactly(2))
            reply = dns.message.from_wire(await reader.readexactly(length))
        finally:
            writer.transport.abort()
        if not question.is_response(reply):
            raise ValueError("it is the answer to another question")
        return reply

    def _read(self, name: str, kind: str, reply: dns.message.Message) -> Answer:
        code = reply.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._error(f"cannot tell about {name}: {_why(reply)}")
        try:
            if not isinstance(reply, dns.message.QueryMessage):
                raise dns.message.NotQueryResponse
            chain = reply.resolve_chaining()
        except dns.exception.DNSException as exc:
            reason = str(exc) or type(exc).__name__
            raise self._error(f"contradicts itself about {name}: {reason}") from exc
        records = tuple(chain.answer or ())
        if len(records) > RECORDS:
            text = f"knows {len(records)} {kind} records of {name}, more than {RECORDS}"
            raise self._error(text)
        return Answer(
            records=records,
            is_validated=bool(reply.flags & dns.flags.AD),
            seconds=chain.minimum_ttl,
        )

    def _error(self, text: str) -> DirectoryError:
        return DirectoryError(f"{self} {text}", server=str(self))


def _why(reply: dns.message.Message) -> str:
    told = [int(error.code) for error in reply.extended_errors()]
    if any(code in _DNSSEC_TROUBLES for code in told):
        return (
            "its DNSSEC signatures do not fit (bogus or expired); the domain's administrator"
            " must repair them"
        )
    name = dns.rcode.to_text(reply.rcode())
    return f"{name}; is the domain's name server down, or its DNSSEC broken?"
