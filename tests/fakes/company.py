"""One gateway with fakes around it: ours.example inside, partner.example outside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from smimegw.addresses import Mailbox
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.build import split_for_protection
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.settings import Settings, TrustMaterial
from smimegw.policy.model import Policy
from smimegw.policy.parse import parse_policy
from smimegw.reception import IncomingTransaction
from smimegw.smime.sign import sign_opaque
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Outcome, Recipient, ReversePath, SessionInfo
from tests.fakes.pki import CA, NOW, Issued, make_ca
from tests.fakes.ports import World

POLICY = """
[[rule]]
name = "must encrypt"
why = "test"
when = { direction = "outbound", recipient_domain = ["partner.example"] }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }

[[rule]]
name = "when possible"
why = "test"
when = { direction = "outbound", recipient_domain = ["maybe.example"] }
then = { protect = "encrypt", without_certificate = "send-clear" }

[[rule]]
name = "signed"
why = "test"
when = { direction = "outbound", recipient_domain = ["signed.example"] }
then = { protect = "sign" }

[[rule]]
name = "clear"
why = "test"
when = { direction = "outbound" }
then = { protect = "none" }

[[rule]]
name = "open"
why = "test"
when = { direction = "inbound" }
then = { require = "none" }
"""


def message(
    sender: str, to: str, *, subject: str = "hello", body: str = "text\r\n", extra: str = ""
) -> bytes:
    """A plain message, CRLF line ends."""
    head = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <1@test>\r\n"
        f"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n{extra}\r\n"
    )
    return (head + body).encode()


@dataclass
class Company:
    """A gateway and everything around it.

    Attributes:
        ca: Trusted; issues for both sides.
        world: The fakes.
        reaches_clients: Replies reach the client; False: it is gone when they are sent.
        gateway: The real pipeline.
    """

    policy: str = POLICY
    limits: Limits = DEFAULT_LIMITS
    world: World = field(default_factory=World)
    keep_original: bool = False
    subject_marks: tuple[str, ...] = ()
    strict: bool = True
    require_revocation: bool = True
    reaches_clients: bool = True

    def __post_init__(self) -> None:
        self.ca: CA = make_ca("Flow CA")
        self.world.directory.publish_ca(self.ca)
        self.settings = Settings(
            hostname="gw.ours.example",
            internal_domains=frozenset({"ours.example"}),
            keep_original=self.keep_original,
            subject_marks=self.subject_marks,
            strict=self.strict,
            trust=TrustMaterial(
                anchors=(self.ca.certificate,), require_revocation=self.require_revocation
            ),
            limits=self.limits,
        )
        parsed: Policy = parse_policy([("test.toml", self.policy.encode())])
        self.gateway = Gateway(parsed, self.world.ports, self.settings)

    def user(self, address: str, **options: object) -> Issued:
        """Issue for a user of ours and put the key into the keystore."""
        issued = self.ca.issue(address, **options)  # type: ignore[arg-type]
        self.world.keystore.add(issued)
        return issued

    def partner(self, address: str, **options: object) -> Issued:
        """Issue for somebody outside and publish the certificate."""
        issued = self.ca.issue(address, **options)  # type: ignore[arg-type]
        self.world.directory.publish(address, issued.certificate)
        return issued

    def send(
        self,
        role: str,
        recipients: Sequence[str | Recipient],
        content: bytes,
        *,
        reverse_path: str | ReversePath | None = "alice@ours.example",
        protocol: str = "ESMTP",
        user: str = "",
    ) -> Outcome:
        """Push one message through the gateway; refused recipients make the Outcome theirs."""
        return asyncio.run(
            self.begin_and_finish(role, recipients, content, reverse_path, protocol, user)
        )

    async def begin(
        self, role: str, recipients: Sequence[str], *, reverse_path: str = "alice@ours.example"
    ) -> IncomingTransaction:
        """MAIL and RCPT, whatever the recipients are answered."""
        session = _session(role, "ESMTP", "")
        _, incoming = await self.gateway.begin(session, _path(reverse_path))
        assert incoming is not None
        for entry in recipients:
            await incoming.recipient(Recipient(mailbox=Mailbox.parse(entry)))
        return incoming

    async def begin_and_finish(
        self,
        role: str,
        recipients: Sequence[str | Recipient],
        content: bytes,
        reverse_path: str | ReversePath | None = "alice@ours.example",
        protocol: str = "ESMTP",
        user: str = "",
    ) -> Outcome:
        """What `send` does, inside a running loop."""
        session = _session(role, protocol, user)
        path = _path(reverse_path)
        reply, incoming = await self.gateway.begin(session, path)
        if incoming is None:
            return Outcome(reply=reply)
        for entry in recipients:
            recipient = entry
            if not isinstance(recipient, Recipient):
                recipient = Recipient(mailbox=Mailbox.parse(recipient))
            try:
                reply = await incoming.recipient(recipient)
            except BaseException:
                await incoming.abandon()  # as the listener does
                raise
            if not reply.is_positive:
                await incoming.abandon()
                return Outcome(reply=reply)
        try:
            outcome = await incoming.finish(Entity.parse(content))
        except asyncio.CancelledError:
            await incoming.told(reached=False)
            raise
        await incoming.told(reached=self.reaches_clients)
        return outcome

    @property
    def arrived(self) -> list[bytes]:
        """Contents that the next hop accepted."""
        return [entry.content for entry in self.world.relay.arrived]


def opaque_signed(signer: Issued, author: str, recipient: str) -> bytes:
    """A message from *author* that *signer* signed, opaque."""
    content = Entity.parse(message(author, recipient))
    outer, inner = split_for_protection(content.header)
    credential = SigningCredential(signer.certificate, signer.chain, SoftwareSigningKey(signer.key))
    signed = sign_opaque(Entity(inner, content.body), credential, now=NOW)
    header = outer.without(lambda entry: entry.lower_name == "mime-version")
    return header.raw + b"MIME-Version: 1.0\r\n" + signed.raw


def _session(role: str, protocol: str, user: str) -> SessionInfo:
    return SessionInfo(
        listener=role,
        role=ListenerRole(role),
        protocol=protocol,
        peer="127.0.0.1",
        helo="client.test",
        user=user,
        next_hop="in" if role == "mx" else "out",
    )


def _path(reverse_path: str | ReversePath | None) -> ReversePath:
    if isinstance(reverse_path, ReversePath):
        return reverse_path
    return ReversePath(mailbox=Mailbox.parse(reverse_path) if reverse_path else None)
