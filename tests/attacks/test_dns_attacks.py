"""A name server that answers what it likes: never a certificate that DNSSEC does not vouch for."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from smimegw.adapters.dns.resolver import ValidatingResolver
from smimegw.adapters.dns.smimea import SMIMEADirectory, owner_name
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.ports import FoundCertificate
from tests.fakes.pki import make_ca

BOB = Mailbox.parse("bob@partner.example")
NAME = f"{owner_name(BOB)}."
Answer = Callable[[dns.message.Message], bytes]


@functools.cache
def record() -> str:
    der = make_ca("DNS attack CA").issue(BOB.address, key="p256").certificate.der
    return f"3 0 0 {der.hex()}"


def reply(question: dns.message.Message) -> dns.message.Message:
    """A good answer, AD bit and all."""
    answer = dns.message.make_response(question)
    answer.flags |= dns.flags.AD | dns.flags.RA
    answer.answer.append(dns.rrset.from_text(NAME, 300, "IN", "SMIMEA", record()))
    return answer


def changed(change: Callable[[dns.message.Message], object]) -> Answer:
    """The good answer with one thing changed."""

    def answer(question: dns.message.Message) -> bytes:
        message = reply(question)
        change(message)
        return message.to_wire(prepend_length=True)

    return answer


def raw(octets: bytes) -> Answer:
    return lambda _: octets


def _another_question(message: dns.message.Message) -> None:
    message.question = dns.message.make_query("evil.example", "SMIMEA").question


def _circle(message: dns.message.Message) -> None:
    message.answer = [
        dns.rrset.from_text(NAME, 300, "IN", "CNAME", "a.example."),
        dns.rrset.from_text("a.example.", 300, "IN", "CNAME", NAME),
    ]


def ask(answer: Answer) -> tuple[FoundCertificate, ...]:
    """What is found when the server gives *answer*."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        writer.write(answer(dns.message.from_wire(await reader.readexactly(length))))
        writer.close()

    async def work() -> tuple[FoundCertificate, ...]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            resolver = ValidatingResolver("127.0.0.1", port)
            return await SMIMEADirectory(resolver, deadline_seconds=60).find(BOB)

    return asyncio.run(work())


def test_the_good_answer_is_good() -> None:
    """So that the others fail for their own reason (RFC 8162, 2)."""
    assert len(ask(changed(lambda _: None))) == 1


TROUBLE: dict[str, Answer] = {
    "another id": changed(lambda m: setattr(m, "id", m.id ^ 1)),
    "another question": changed(_another_question),
    "a question": changed(lambda m: setattr(m, "flags", m.flags & ~dns.flags.QR)),
    "a circle": changed(_circle),
    "cut off": changed(lambda m: setattr(m, "flags", m.flags | dns.flags.TC)),
    "refused": changed(lambda m: m.set_rcode(dns.rcode.REFUSED)),
    "server failure": changed(lambda m: m.set_rcode(dns.rcode.SERVFAIL)),
    "absent, with an answer": changed(lambda m: m.set_rcode(dns.rcode.NXDOMAIN)),
    "nothing": raw(b""),
    "half a length": raw(b"\0"),
    "no message": raw(b"\0\0"),
    "less than it says": raw(b"\xff\xff" + bytes(100)),
    "noise": raw(b"\0\x40" + bytes(range(64))),
    "chance": raw(b"\1\0" + bytes(range(255, -1, -1))),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_an_answer_that_is_none_is_trouble(what: str) -> None:
    """Neither a certificate nor "none" (R-06; T-11)."""
    with pytest.raises(DirectoryError):
        ask(TROUBLE[what])


def test_an_answer_without_the_ad_bit_gives_nothing() -> None:
    """Whoever answers, the validator has not vouched for it (RFC 4035, 3.2.3; T-11)."""
    assert ask(changed(lambda m: setattr(m, "flags", m.flags & ~dns.flags.AD))) == ()


def test_a_record_of_another_name_gives_nothing() -> None:
    """It stands beside the question, which has no answer then (T-11)."""

    def beside(message: dns.message.Message) -> None:
        message.answer = [dns.rrset.from_text("x.example.", 300, "IN", "SMIMEA", record())]

    assert ask(changed(beside)) == ()


def test_a_record_in_another_section_gives_nothing() -> None:
    """Additional records are not what was asked for (RFC 2181, 5.4.1; T-11)."""

    def aside(message: dns.message.Message) -> None:
        message.additional, message.answer = message.answer, []

    assert ask(changed(aside)) == ()
