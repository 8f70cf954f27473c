"""Mail as real programs write it: Postfix' bounces, sendmail, swaks and Python's email package."""

from __future__ import annotations

import asyncio
import smtplib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from email import policy
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Policy

import pytest

from smimegw.adapters.smtp.sink import Sink
from tests.interop.exchange import ALICE, BOB, Exchange
from tests.interop.openssl import Files
from tests.interop.readers import OpenSSLReader, shown
from tests.interop.untidy import UNTIDY
from tests.peers.ports import free_port
from tests.peers.postfix import Postfix

DAEMON = "MAILER-DAEMON@ours.example"
RULES = {
    "signed": 'protect = "sign"',
    "optional": 'protect = "sign", signature = "optional"',
    "sealed": 'protect = "sign-then-encrypt"',
}


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    exchange = Exchange(RULES)
    exchange.company.user(DAEMON)
    return exchange


@pytest.fixture(scope="module")
def reader(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> OpenSSLReader:
    return OpenSSLReader(Files.of(exchange.bob, tmp_path_factory.mktemp("bob"), "bob"))


def protected(exchange: Exchange, rule: str, octets: bytes, sender: str | None) -> bytes:
    company = exchange.company
    outcome = company.send("relay", [f"bob@{rule}.example"], octets, reverse_path=sender)
    assert outcome.reply.code == 250, outcome
    return company.arrived[-1]


# --- Postfix, sendmail, swaks ---------------------------------------------------------------------


class Refusing(Sink):
    """A mail store that refuses every mail, in words that need 8 bits."""

    async def reply_to(self, step: str, usual: str) -> bytes:
        reply = "550 5.7.1 nicht gewünscht" if step == "DOT" else usual
        return await super().reply_to(step, reply)


BOUNCES: Mapping[str, tuple[str, list[str]]] = {
    "ASCII": ("ASCII", []),
    "UTF-8": ("UTF-8", ["BODY=8BITMIME"]),
    "8-bit without a label": ("8-bit without a label", ["BODY=8BITMIME"]),
    "parts": ("parts of all kinds", ["BODY=8BITMIME"]),
    "signed": ("8-bit signed by another", ["BODY=8BITMIME"]),
    "headers only": ("UTF-8", ["BODY=8BITMIME", "RET=HDRS", "ENVID=abc"]),
    "a bounce": ("report", []),
    "internationalized": ("UTF-8", ["BODY=8BITMIME", "SMTPUTF8"]),
}
"""What is bounced, with parameters of MAIL."""

SENDMAIL: Mapping[str, tuple[list[str], bytes]] = {
    "of cron": (["-i"], "Subject: cron\n\nGrüße \n.\nFrom here\n".encode()),
    "with an envelope line": (["-F", "Älice"], b"From alice Mon Nov 23 12:00:00 2026\n\nhi"),
    "with 8-bit fields": (["-t"], "To: x@next.example\nSubject: Grüße\n\nhi\n".encode()),
}
SWAKS: Mapping[str, list[str]] = {
    "test": [],
    "8-bit and attachment": ["--body", "Grüße", "--attach-type", "text/plain", "--attach", "@-"],
}
LIVE = [
    *(f"bounce {name}" for name in BOUNCES),
    *(f"sendmail {name}" for name in SENDMAIL),
    *(f"swaks {name}" for name in SWAKS),
]


def _generate(postfix: Postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.smtp_port, timeout=60) as client:
        for number, (content, options) in enumerate(BOUNCES.values()):
            sender = f"n{number}{'ü' if 'SMTPUTF8' in options else ''}@next.example"
            client.ehlo_or_helo_if_needed()
            client.sendmail(sender, ["nobody@ours.example"], UNTIDY[content], options)
    for number, (options, pattern) in enumerate(SENDMAIL.values(), len(BOUNCES)):
        recipients = [] if "-t" in options else [f"n{number}@next.example"]
        octets = pattern.replace(b"x@next", f"n{number}@next".encode())
        sender = ["-C", str(postfix.directory / "etc"), "-f", ALICE]
        _run(["/usr/sbin/sendmail", *sender, *options, *recipients], octets)
    for number, more in enumerate(SWAKS.values(), len(BOUNCES) + len(SENDMAIL)):
        server = ["--server", f"127.0.0.1:{postfix.smtp_port}", "--helo", "client.example"]
        _run(["swaks", *server, "--from", ALICE, "--to", f"n{number}@next.example", *more], b"x\n")


def _run(command: list[str], stdin: bytes) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def live() -> Mapping[str, bytes]:
    """What the server behind Postfix gets, by name."""

    async def run() -> dict[int, bytes]:
        store, outside = Refusing(port=free_port(), lmtp=True), Sink(port=free_port())
        await store.start()
        await outside.start()
        try:
            ports = {"deliver_to": store.port, "relayhost": outside.port}
            with Postfix("ours.example", **ports) as postfix:
                await asyncio.to_thread(_generate, postfix)
                arrived = await outside.wait_for(len(LIVE), seconds=60)
        finally:
            await store.stop()
            await outside.stop()
        return {
            int(message.recipients[0].partition("@")[0].strip("<nü")): message.content
            for message in arrived
        }

    numbered = asyncio.run(run())
    return {name: numbered[number] for number, name in enumerate(LIVE)}


@pytest.mark.parametrize("name", LIVE)
def test_live_mail_from_outside_is_delivered_as_it_is(
    exchange: Exchange, live: Mapping[str, bytes], name: str
) -> None:
    """Bounces that quote protected mail too: only the root of a message is opened (T-05)."""
    seen = exchange.read(live[name])
    assert seen.field("X-Smimegw-Status") == "signed=none; encrypted=no; integrity=none"
    assert seen.content.endswith(live[name].partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("rule", ["signed", "sealed"])
@pytest.mark.parametrize("name", LIVE)
def test_live_mail_of_ours_is_protected(
    exchange: Exchange, reader: OpenSSLReader, live: Mapping[str, bytes], name: str, rule: str
) -> None:
    """Bounces have the null reverse-path and 8 bits where no encoding is allowed (G16, G22)."""
    sender = None if name.startswith("bounce") else ALICE
    mail = protected(exchange, rule, live[name], sender)
    content = reader.verified(reader.opened(mail) if rule == "sealed" else mail)
    if name != "bounce internationalized":  # the standard library cannot decode message/global
        assert shown(content) == shown(live[name])


def test_bounce_without_a_certificate_of_the_daemon_goes_unsigned(
    live: Mapping[str, bytes],
) -> None:
    """Where the rule says that signatures are optional (R-11)."""
    bounce = live["bounce UTF-8"]
    mail = protected(Exchange(RULES), "optional", bounce, None)
    assert mail.endswith(bounce)


# --- Python's email package -----------------------------------------------------------------------


def modern(used: Policy) -> bytes:
    """Long and foreign fields, text, HTML and a file, as EmailMessage writes them."""
    mail = EmailMessage(policy=used)
    mail["From"] = f"Älice Äbel <{ALICE}>"
    mail["To"] = ", ".join([f"Bøb Baker <{BOB}>", *(f"p{n}@partner.example" for n in range(20))])
    mail["Subject"] = "Angebot für die Lieferung von Schrauben, Muttern und 螺丝 " * 3
    mail["References"] = " ".join(f"<{number}.abcdefgh@partner.example>" for number in range(30))
    mail.set_content("Grüße aus Köln \nFrom here\n" + "lang " * 400 + "\n")
    mail.add_alternative("<p>Grüße – 您好</p>\n" * 20, subtype="html", charset="utf-8")
    mail.add_attachment(bytes(range(256)), "application", "pdf", filename="Größe 报价.pdf")
    return mail.as_bytes()


def legacy(used: Policy) -> bytes:
    """The same with the classes that scripts have used since Python 2."""
    mail = MIMEMultipart(policy=used)
    mail["From"], mail["To"], mail["Subject"] = ALICE, BOB, "Angebot für März"
    mail.attach(MIMEText("Grüße aus Köln \nFrom here\n", "plain", "utf-8"))
    mail.attach(MIMEText("Gr\xfc\xdfe", "html", "iso-8859-1"))
    attached = MIMEApplication(b"\0\1\2\r\n\n", "x-data")
    attached.add_header("Content-Disposition", "attachment", filename=("utf-8", "de", "Größe.bin"))
    mail.attach(attached)
    return mail.as_bytes()


POLICIES: dict[str, Policy] = {
    "default": policy.default,
    "SMTP": policy.SMTP,
    "SMTPUTF8": policy.SMTPUTF8,
    "strict": policy.strict,
    "7bit": policy.default.clone(cte_type="7bit"),
    "unfolded": policy.SMTP.clone(max_line_length=3000),
    "narrow": policy.SMTP.clone(max_line_length=40),
}


def _written() -> Iterator[tuple[str, bytes]]:
    makers: list[tuple[Callable[[Policy], bytes], dict[str, Policy]]] = [
        (modern, POLICIES),
        (legacy, {**POLICIES, "compat32": policy.compat32}),
    ]
    for make, policies in makers:
        for name, used in policies.items():
            octets = make(used)
            # smtplib, like every client, sends CRLF.
            octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            yield f"{make.__name__} {name}", octets


WRITTEN = dict(_written())


@pytest.mark.parametrize("rule", ["signed", "sealed"])
@pytest.mark.parametrize("name", WRITTEN)
def test_mail_of_python_is_protected(
    exchange: Exchange, reader: OpenSSLReader, name: str, rule: str
) -> None:
    """Every policy: 8-bit fields, endless lines, RFC 2231 names (G16)."""
    mail = protected(exchange, rule, WRITTEN[name], ALICE)
    content = reader.verified(reader.opened(mail) if rule == "sealed" else mail)
    assert shown(content) == shown(WRITTEN[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_mail_of_python_from_outside_is_delivered_as_it_is(exchange: Exchange, name: str) -> None:
    """Nothing in it is S/MIME, so nothing in its body changes (K01)."""
    seen = exchange.read(WRITTEN[name])
    assert seen.result == "none"
    assert seen.content.endswith(WRITTEN[name].partition(b"\r\n\r\n")[2])
