"""Answers each RCPT while the client waits: the next hop is asked in a transaction held open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from smimegw.errors import AuthenticationError, NextHopError, NextHopTLSError
from smimegw.failpoints import reach
from smimegw.next_hop import RelaySession
from smimegw.pipeline.dots import BROKEN_OFF
from smimegw.pipeline.early import early_refusal
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.hold import LOGIN_REFUSED, NO_TLS, UNREACHABLE
from smimegw.pipeline.replies import mirrored
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import Direction, Policy
from smimegw.ports import Ports
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Envelope, Recipient, ReversePath, SessionInfo

NOT_OURS = Reply(550, "5.7.1", "relaying denied, the recipient is in none of our domains")

Learn = Callable[[str, Extensions], None]


class LiveRecipients:
    """The recipients of one transaction that the next hop takes.

    Args:
        txn: The transaction id.
        session: Whose next hop is asked, with its login.
        reverse_path: As the client gave it.
        policy: For whoever is refused before the next hop is asked.
        ports: To reach the next hop.
        settings: Our domains.
        learn: Told what the next hop offers.

    Attributes:
        taken: Whom the next hop took, in RCPT order.
        probe: The open transaction in which it was asked; None before and after.
        broken: It broke off, and nobody knows any more whom it took.
    """

    def __init__(
        self,
        txn: str,
        session: SessionInfo,
        reverse_path: ReversePath,
        policy: Policy,
        ports: Ports,
        settings: Settings,
        learn: Learn,
    ) -> None:
        self.taken: list[Recipient] = []
        self.probe: RelaySession | None = None
        self.broken = False
        self._txn = txn
        self._session = session
        self._reverse_path = reverse_path
        self._policy = policy
        self._ports = ports
        self._settings = settings
        self._learn = learn
        self._inbound = direction_of(session.role) is Direction.INBOUND

    @property
    def envelope(self) -> Envelope:
        """The reverse-path as the next hop has it, and whom it took."""
        return Envelope(reverse_path=self._reverse_path, recipients=tuple(self.taken))

    async def ask(self, recipient: Recipient) -> tuple[str, Reply]:
        """The reply for one RCPT; before it the row of the failure table, or nothing."""
        if self._inbound and not self._settings.is_internal(recipient.mailbox):
            # Nobody's relay, and our own people's mail would leave unprotected.
            return "", NOT_OURS
        if self.broken:
            return "", BROKEN_OFF
        # Before the next hop knows of it: what it has taken could not be taken back.
        early = await early_refusal(
            recipient.mailbox,
            self._session,
            self._reverse_path,
            self._policy,
            self._ports,
            self._settings,
        )
        if early is not None:
            return early
        return "", await self._ask_next_hop(recipient)

    async def _ask_next_hop(self, recipient: Recipient) -> Reply:
        """Its class of reply is ours."""
        try:
            if self.probe is None:
                refused = await self._open()
                if refused is not None:
                    return refused
            assert self.probe is not None
            reply = await self.probe.recipient(recipient)
            reach("admit.recipient-answered")
        except NextHopError as exc:
            await self.end()
            # Another connection would know nothing of whom this one took: they would be lost.
            self.broken = bool(self.taken)
            self._relay_error(exc)
            return NO_TLS if isinstance(exc, NextHopTLSError) else UNREACHABLE
        if not reply.is_positive:
            return mirrored(reply, only_class=False)
        self.taken.append(recipient)
        return Reply(250, "2.1.5", "OK")

    async def _open(self) -> Reply | None:
        """Open the transaction at the next hop; a Reply says why it is not open."""
        reach("admit.before-open")
        try:
            probe = await self._ports.relay.open(self._session.next_hop, login=self._session.login)
        except AuthenticationError:
            return LOGIN_REFUSED
        reach("admit.opened")
        self.probe = probe  # from here on `end` ends it, whatever happens
        self._learn(self._session.next_hop, probe.extensions)
        self._allow_eight_bits(probe)
        reply = await probe.mail(self._reverse_path)
        if not reply.is_positive:
            await self.end()
            return mirrored(reply, only_class=False)
        return None

    def _allow_eight_bits(self, probe: RelaySession) -> None:
        """Announce 8-bit content that may come out of an encrypted message (RFC 6152, 3)."""
        if self._inbound and probe.extensions.eightbitmime and not self._settings.shadow:
            others = tuple(p for p in self._reverse_path.parameters if p[0] != "BODY")
            self._reverse_path = replace(
                self._reverse_path, parameters=(*others, ("BODY", "8BITMIME"))
            )

    def _relay_error(self, error: NextHopError) -> None:
        self._ports.events.emit(
            "relay.error",
            txn=self._txn,
            relay=error.server or self._session.next_hop,
            text=str(error),
        )

    async def end(self) -> None:
        """End what is open at the next hop; it keeps nothing that had no final dot."""
        probe, self.probe = self.probe, None
        if probe is not None:
            await asyncio.shield(_end(probe))


async def _end(probe: RelaySession) -> None:
    await probe.abort()
    await probe.close()
