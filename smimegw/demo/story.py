"""The demonstration from beginning to end, told on standard output."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
import textwrap
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smimegw.adapters.keys.containers import read_key_material
from smimegw.demo.company import Company, DemoError, command
from smimegw.demo.messages import ALICE, BOB, Letter, letters
from smimegw.mime.entity import Entity

_PASSWORD = "demonstration\n"  # noqa: S105 – of files that live for seconds
_SHOWN_LINES = 6
_COLUMNS = 96
_SHOWN_FIELDS = ("authentication-results", "x-smimegw-signature", "x-smimegw-encryption",
                 "x-smimegw-status")  # fmt: skip

Say = Callable[[str], None]


async def demonstrate(say: Say, *, keep: bool = False) -> bool:
    """Run the demonstration; true when every message arrived as it was sent.

    Args:
        say: Called with each line for the reader.
        keep: Leave the directory behind and name it.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="smimegw-demo-"))
    ours = Company("ours.example", ALICE, directory / "ours")
    partner = Company("partner.example", BOB, directory / "partner")
    try:
        await _set_up(directory, ours, partner, say)
        results = []
        for number, letter in enumerate(letters(), start=1):
            here, there = (ours, partner) if letter.sender == ALICE else (partner, ours)
            results.append(await _follow(number, letter, here, there, directory, say))
        await _refused(ours, say)
    finally:
        await asyncio.gather(ours.stop(), partner.stop())
        if not keep:
            shutil.rmtree(directory)
    good = all(results)
    say("")
    say(f"{results.count(True)} of {len(results)} messages arrived exactly as they were written, "
        f"{time.monotonic() - began:.0f} seconds in all.")  # fmt: skip
    say(f"Everything is still in {directory}." if keep else "Gateways stopped, files removed.")
    say("Next: README.md, or  smimegw config sample > smimegw.toml")
    return good


async def _set_up(directory: Path, ours: Company, partner: Company, say: Say) -> None:
    say("Two companies, ours.example (Alice) and partner.example (Bob), a gateway each.")
    password = directory / "password"
    password.write_text(_PASSWORD)
    password.chmod(0o600)
    ca = ("-d", str(directory / "ca"), "--passphrase-file", str(password), "--no-input", "--quiet")
    await command("smimegw-ca", "init", "--name", "Demo Mail CA", "--key", "p-256", *ca)
    say("  CA        root and issuing CA made, thrown away at the end")
    anchor = directory / "ca" / "root" / "certificate.pem"
    for company, key in ((ours, "rsa-3072"), (partner, "p-256")):
        await company.prepare(anchor)
        out = directory / "issued" / company.domain
        await command(
            "smimegw-ca", "issue", company.user, "--key", key, "-o", str(out),
            "--p12-passphrase-file", str(password), *ca,
        )  # fmt: skip
        (container,) = out.glob("*.p12")
        await company.import_key(container, password)
        _write_pem(container, company.directory / "user.pem")
        say(f"  user      <{company.user}>: certificate issued ({key}), key given to the gateway")
    for company in (ours, partner):
        database = company.directory / "smimegw.db"
        await command("smimegw-ca", "publish", "--embedded", str(database), *ca[:2], "--no-input",
                      "--quiet")  # fmt: skip
    say("  directory certificates and revocation lists published to both gateways")
    await asyncio.gather(ours.start(), partner.start())
    say("  gateways  running; clients send to them, they send on by SMTP")


def _write_pem(container: Path, target: Path) -> None:
    """Certificate, chain and key for the cross-check with openssl."""
    material = read_key_material(container.read_bytes(), _PASSWORD.strip().encode())
    certificates = (material.certificate, *material.chain)
    pem = b"".join(entry.parsed.public_bytes(Encoding.PEM) for entry in certificates)
    target.write_bytes(
        pem + material.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


async def _follow(
    number: int, letter: Letter, here: Company, there: Company, directory: Path, say: Say
) -> bool:
    """Send one letter all the way and show each station."""
    say("")
    say(f"{number}. {letter.title}: <{letter.sender}> to <{letter.recipient}>")
    say("   the client sent")
    _show(letter.octets, say)
    await _send(here.ports["submission"], letter, letter.octets)
    wire = here.wire.messages[-1].content
    say("   over the wire went")
    _show(wire, say)
    await _cross_check(wire, there, directory, say)
    await _send(there.ports["mx"], letter, wire)
    arrived = there.inbox.messages[-1].content
    say("   the recipient got")
    header = Entity.parse(arrived).header
    for name in _SHOWN_FIELDS:
        for entry in header.all(name):
            _wrapped(f"{entry.name.decode()}: {entry.body.decode()}", say)
    same = _readable(arrived) == _readable(letter.octets)
    say(f"     text and attachments: {'exactly what was sent' if same else 'DIFFERENT'}")
    return same


async def _send(port: int, letter: Letter, octets: bytes) -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.sendmail(letter.sender, [letter.recipient], octets, ["BODY=8BITMIME"])

    try:
        await asyncio.to_thread(send)
    except smtplib.SMTPResponseException as exc:
        said = exc.smtp_error if isinstance(exc.smtp_error, str) else exc.smtp_error.decode()
        raise DemoError(f"the gateway answered {exc.smtp_code} {said}") from exc
    except (smtplib.SMTPException, OSError) as exc:
        raise DemoError(f"the gateway did not take the message: {exc}") from exc


def _show(octets: bytes, say: Say) -> None:
    """Subject, media type and the first lines of the body, as they are on the wire."""
    entity = Entity.parse(octets)
    for name in ("subject", "content-type"):
        for entry in entity.header.all(name):
            _wrapped(f"{entry.name.decode()}: {entry.body.decode('utf-8', 'replace')}", say)
    lines = entity.body.whole().decode("utf-8", "replace").splitlines()
    for line in lines[:_SHOWN_LINES]:
        say(f"     | {line}")
    if len(lines) > _SHOWN_LINES:
        say(f"     | … {len(lines) - _SHOWN_LINES} more lines, {len(octets)} octets in all")


def _wrapped(text: str, say: Say) -> None:
    """One header field, continued as mail does it, for a terminal."""
    lines = textwrap.wrap(
        text, _COLUMNS, initial_indent="     ", subsequent_indent="       ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    for line in lines:
        say(line)


async def _cross_check(wire: bytes, there: Company, directory: Path, say: Say) -> None:
    """Let OpenSSL open and verify what went over the wire."""
    openssl = shutil.which("openssl")
    if openssl is None:
        say("   openssl is not installed: no cross-check")
        return
    path, anchor = directory / "wire.eml", directory / "ca" / "root" / "certificate.pem"
    path.write_bytes(wire)
    user = str(there.directory / "user.pem")
    opened = await command(openssl, "cms", "-decrypt", "-in", str(path), "-recip", user)
    await command(openssl, "cms", "-verify", "-CAfile", str(anchor), stdin=opened)
    say(f"   openssl cms: encrypted for <{there.user}>, signature inside verified")


async def _refused(ours: Company, say: Say) -> None:
    """What a sender sees when a recipient has no certificate."""
    say("")
    say("5. a recipient without certificate: <nobody@partner.example>")
    before = len(ours.wire.messages)
    stranger = Letter("", ALICE, "nobody@partner.example", letters()[0].message)
    try:
        await _send(ours.ports["submission"], stranger, stranger.octets)
    except DemoError as exc:
        _wrapped(str(exc), say)
    sent = len(ours.wire.messages) - before
    say(f"     messages over the wire: {sent}")
    if sent:
        raise DemoError("something was sent to a recipient without certificate")


def _readable(octets: bytes) -> list[tuple[str, bytes]]:
    """Media type and decoded content of every part that a person reads or saves."""
    message = message_from_bytes(octets, policy=policy.SMTP)
    return [
        (part.get_content_type(), bytes(part.get_payload(decode=True)))
        for part in message.walk()
        if not part.is_multipart() and "pkcs7-signature" not in part.get_content_type()
    ]
