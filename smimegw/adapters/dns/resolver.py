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
                octets = await self._exchange(question.to_wire(prepend_length=True))
        except TimeoutError:
            raise self._error(f"did not answer within {seconds:.1f} s about {name}") from None
        except (OSError, EOFError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise self._error(
                f"gave no usable answer about {name}: {reason}; does it run, is dns.resolver right?"
            ) from exc
        return self.read(question, octets)

    async def _exchange(self, octets: bytes) -> bytes:
        address = (await addresses_of(self._host, self._port))[0]
        if self._tls_name and self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        reader, writer = await asyncio.open_connection(
            address, self._port, ssl=self._tls, server_hostname=self._tls_name or None
        )
        try:
            writer.write(octets)  # RFC 1035, 4.2.2
            length = int.from_bytes(await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.transport.abort()

    def read(self, question: dns.message.Message, octets: bytes) -> Answer:
        """Read the answer to *question*, less its length.

        Raises:
            DirectoryError: It is none, says that the resolver cannot tell, or contradicts itself.
        """
        name = question.question[0].name.to_text(omit_final_dot=True)
        try:
            reply = dns.message.from_wire(octets)
            if not question.is_response(reply) or not isinstance(reply, dns.message.QueryMessage):
                raise self._error(f"answered another question than the one about {name}")
            if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise self._error(f"cannot tell about {name}: {_why(reply)}")
            if reply.flags & dns.flags.TC:  # RFC 1035, 4.1.1: there may be more, or any at all
                raise self._error(f"cut off its answer about {name}")
            chain = reply.resolve_chaining()
        except (ValueError, dns.exception.DNSException) as exc:
            reason = str(exc) or type(exc).__name__
            raise self._error(f"gave no usable answer about {name}: {reason}") from exc
        records = tuple(chain.answer or ())
        if len(records) > RECORDS:
            raise self._error(f"knows {len(records)} records of {name}, more than {RECORDS}")
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
