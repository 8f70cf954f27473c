"""The built-in sink keeps exactly what an ordinary client sends."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from smimegw.adapters.smtp.sink import Sink, SinkMessage
from tests.protocol.raw_client import run

CONTENT = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"


@pytest.mark.parametrize("client_class", [smtplib.SMTP, smtplib.LMTP])
def test_message_is_kept_octet_for_octet(client_class: type[smtplib.SMTP]) -> None:
    """Envelope and content, over SMTP and LMTP, from Python's own client."""

    def send(port: int) -> None:
        with client_class("127.0.0.1", port) as client:
            client.sendmail("a@corp.example", ["b@p.example"], CONTENT)

    async def test() -> None:
        sink = Sink(lmtp=client_class is smtplib.LMTP)
        await sink.start()
        try:
            await asyncio.to_thread(send, sink.port)
            [message] = await sink.wait_for(1)
        finally:
            await sink.stop()
        assert message.content == CONTENT
        assert message.reverse_path.startswith("<a@corp.example>")
        assert message.recipients == ("<b@p.example>",)

    run(test())


def test_who_is_told_250_finds_the_message() -> None:
    """It is kept before the reply: what cannot be kept is not answered 250 (C01)."""

    class Full(Sink):
        async def keep(self, message: SinkMessage) -> None:
            raise OSError("no room")

    def send(port: int) -> None:
        with pytest.raises(smtplib.SMTPServerDisconnected), smtplib.SMTP("127.0.0.1", port) as c:
            c.sendmail("a@corp.example", ["b@p.example"], CONTENT)

    async def test() -> None:
        sink = Full()
        await sink.start()
        try:
            await asyncio.to_thread(send, sink.port)
        finally:
            await sink.stop()

    run(test())


def test_waiting_for_mail_has_an_end() -> None:
    """TimeoutError when nothing comes."""

    async def test() -> None:
        sink = Sink()
        await sink.start()
        with pytest.raises(TimeoutError):
            await sink.wait_for(1, seconds=0.01)
        await sink.stop()

    run(test())
