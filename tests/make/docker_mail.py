"""Passes mail through the containers of docker/compose.yaml, both ways, and says what became of it.

    docker_mail.py SECRETS BOB_P12 ROOT_PEM      ports in SMIMEGW_{SUBMISSION,MX,IMAP}_PORT

Standard library and the openssl program only: it plays the people, not the gateway.
"""

from __future__ import annotations

import imaplib
import os
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

ALICE = "alice@corp.example"
BOB = "bob@partner.example"
CAROL = "carol@partner.example"  # nobody ever issued her a certificate
OFFER = "Dear Bob,\n\n10,000 pieces at 3.50 € each, until Friday. 报价有效。\n\nAlice\n"
ANSWER = "Dear Alice,\n\nagreed: 10,000 at 3.50 €.\n\nBob\n"
_FIELDS = ("From", "To", "Subject", "Date", "Message-ID")
_SECONDS = 60.0


class MailError(Exception):
    """Something is not as it has to be; the text says what."""


class People:
    """Alice's and Bob's programs: SMTP, IMAP and what Bob does with his own key."""

    def __init__(self, secrets: Path, bob_p12: Path, root: Path, directory: Path) -> None:
        self.password = (secrets / "mail-password").read_text().strip()
        self.tls = ssl.create_default_context(cafile=str(secrets / "tls-ca.pem"))
        self.root = root
        self.directory = directory
        self.bob = directory / "bob.pem"
        self.bob.write_bytes(
            openssl("pkcs12", "-in", str(bob_p12), "-nodes", "-passin",
                    f"file:{secrets / 'p12-password'}")
        )  # fmt: skip

    def submit(self, recipient: str, message: EmailMessage) -> None:
        """Alice sends, as her mail program does: STARTTLS, login."""
        with smtplib.SMTP("127.0.0.1", port("SUBMISSION"), timeout=_SECONDS) as client:
            client.starttls(context=self.tls)
            client.login(ALICE, self.password)
            client.send_message(message, ALICE, [recipient])

    def send_from_outside(self, message: bytes) -> None:
        """Bob's server brings mail to Alice's."""
        with smtplib.SMTP("127.0.0.1", port("MX"), timeout=_SECONDS) as client:
            client.sendmail(BOB, [ALICE], message)

    def wait_for(self, user: str, message_id: str) -> bytes:
        """Return the message with *message_id* from *user*'s mailbox, by IMAP."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            with imaplib.IMAP4("127.0.0.1", port("IMAP"), timeout=_SECONDS) as client:
                client.starttls(self.tls)
                client.login(user, self.password)
                client.select("INBOX", readonly=True)
                _, found = client.search(None, "HEADER", "Message-ID", message_id)
                for number in found[0].split():
                    _, parts = client.fetch(number.decode(), "(BODY.PEEK[])")
                    return bytes(parts[0][1])
            time.sleep(0.5)
        raise MailError(f"nothing arrived for {user} within {_SECONDS:.0f} seconds")

    def open(self, wire: bytes) -> tuple[bytes, Path]:
        """Bob decrypts and verifies; returns the content and the signer's certificate."""
        signer = self.directory / "signer.pem"
        inner = openssl("cms", "-decrypt", "-recip", str(self.bob), stdin=wire)
        content = openssl("cms", "-verify", "-CAfile", str(self.root), "-signer", str(signer),
                          stdin=inner)  # fmt: skip
        return content, signer

    def seal(self, message: EmailMessage, certificate: Path) -> bytes:
        """Bob signs and encrypts; the outer header is the message's own."""
        content = EmailMessage(policy=policy.SMTP)
        content.set_content(message.get_content())
        signed = openssl("cms", "-sign", "-signer", str(self.bob), stdin=content.as_bytes())
        sealed = openssl("cms", "-encrypt", "-aes256", str(certificate), stdin=signed)
        outer = "".join(f"{name}: {message[name]}\r\n" for name in _FIELDS)
        return outer.encode() + sealed


def main(secrets: str, bob_p12: str, root: str) -> int:
    """Tell every step; 0 when all went as it has to."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            people = People(Path(secrets), Path(bob_p12), Path(root), Path(directory))
            certificate = outbound(people)
            inbound(people, certificate)
            refused(people)
        except (MailError, OSError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
            print(f"FAILED: {error}")
            return 1
    return 0


def outbound(people: People) -> Path:
    """Alice to Bob; returns Alice's certificate, which Bob now knows from her signature."""
    offer = letter(ALICE, BOB, "The offer", OFFER)
    people.submit(BOB, offer)
    wire = people.wait_for(BOB, offer["Message-ID"])
    outside = message_from_bytes(wire, policy=policy.SMTP)
    demand(outside.get_content_type() == "application/pkcs7-mime", "Bob's copy is not encrypted")
    demand(outside.get_param("smime-type") == "enveloped-data", "Bob's copy is not enveloped-data")
    demand(b"10,000" not in wire and b"MTAsMDAw" not in wire, "the text left in clear")
    content, certificate = people.open(wire)
    inside = message_from_bytes(content, policy=policy.SMTP)
    demand(text(inside) == OFFER, f"Bob reads something else: {text(inside)!r}")
    names = openssl("x509", "-in", str(certificate), "-noout", "-ext", "subjectAltName")
    demand(ALICE.encode() in names, "it was not signed with Alice's certificate")
    print(f"  {ALICE} -> {BOB}: signed and encrypted on the way, Bob reads what Alice wrote")
    return certificate


def inbound(people: People, certificate: Path) -> None:
    """Bob to Alice, signed and encrypted by Bob's own program."""
    answer = letter(BOB, ALICE, "Re: The offer", ANSWER)
    people.send_from_outside(people.seal(answer, certificate))
    got = message_from_bytes(people.wait_for(ALICE, answer["Message-ID"]), policy=policy.SMTP)
    demand(text(got) == ANSWER, f"Alice reads something else: {text(got)!r}")
    status = str(got["X-Smimegw-Status"])
    demand("signed=pass" in status and "encrypted=yes" in status, f"X-Smimegw-Status: {status}")
    verdict = str(got["Authentication-Results"])
    demand("smime=pass" in verdict and BOB in verdict, f"Authentication-Results: {verdict}")
    print(f"  {BOB} -> {ALICE}: opened by the gateway, marked {status!r}")


def refused(people: People) -> None:
    """Without a certificate there is no mail, and Alice is told at once."""
    try:
        people.submit(CAROL, letter(ALICE, CAROL, "The offer", OFFER))
    except smtplib.SMTPResponseException as answer:
        code, said = answer.smtp_code, answer.smtp_error
    except smtplib.SMTPRecipientsRefused as answer:
        ((code, said),) = answer.recipients.values()
    else:
        raise MailError(f"mail to {CAROL} was accepted, who has no certificate")
    demand(500 <= code < 600, f"not a permanent refusal: {code} {said!r}")
    print(f"  {ALICE} -> {CAROL}: refused, {code} {said.decode('utf-8', 'replace')}")


def letter(sender: str, recipient: str, subject: str, body: str) -> EmailMessage:
    """A message as a mail program writes it."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message.set_content(body)
    return message


def text(message: EmailMessage) -> str:
    """The text a person reads, with plain line ends."""
    body = message.get_body(("plain",))
    if body is None:
        raise MailError(f"there is no text in a message of type {message.get_content_type()}")
    return str(body.get_content()).replace("\r\n", "\n")


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run openssl and return what it wrote."""
    done = subprocess.run(
        ["openssl", *arguments], input=stdin, capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise MailError(f"openssl {' '.join(arguments[:2])}: {said}")
    return done.stdout


def demand(fact: bool, otherwise: str) -> None:
    """Go on only when *fact* holds."""
    if not fact:
        raise MailError(otherwise)


def port(name: str) -> int:
    """The published port of a service."""
    return int(os.environ[f"SMIMEGW_{name}_PORT"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
