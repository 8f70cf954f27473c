"""Receive transactions: live recipients at the next hop, then one flow per direction.

Whatever happens, the client gets a reply, and 250 only after the next hop's 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from smimegw.errors import (
    AuthenticationError,
    DependencyError,
    NextHopError,
    NextHopTLSError,
    RecordError,
    SpoolError,
)
from smimegw.failpoints import reach
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField
from smimegw.pipeline.decision_record import note_aborted, note_reply
from smimegw.pipeline.deliver import LOGIN_REFUSED, TOO_SLOW, UNREACHABLE
from smimegw.pipeline.dots import BROKEN_OFF
from smimegw.pipeline.early import early_refusal
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.hold import NO_TLS
from smimegw.pipeline.inbound import handle_inbound
from smimegw.pipeline.outbound import handle_outbound
from smimegw.pipeline.record import log_received, log_refusal
from smimegw.pipeline.replies import Refusal, mirrored, reply_for, row_of
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.shadow import handle_shadow
from smimegw.pipeline.unfinished import remember_untold
from smimegw.policy.model import Direction, Policy
from smimegw.ports import IncomingTransaction, Ports, RelaySession
from smimegw.smtp.content import BARE_LINE_END, NO_ROOM, TOO_LARGE
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.smtp.trace import is_loop, received_field
from smimegw.transaction import (
    Envelope,
    Outcome,
    Recipient,
    ReversePath,
    SessionInfo,
    Transaction,
    transaction_id,
)

_END = "END-OF-MESSAGE"
NOT_OURS = Reply(550, "5.7.1", "relaying denied, the recipient is in none of our domains")
_OF_THE_LISTENER = {BARE_LINE_END: "R-53", TOO_LARGE: "R-55", NO_ROOM: "R-21"}
_NOTHING = Entity.parse(b"")  # content that nobody kept
_ACCEPTED = Reply(250, "2.1.0", "OK")
# A client bounces what needs SMTPUTF8 where it is not offered.  Of a next hop that is not reached
# nobody knows; its mail is deferred at RCPT, whatever was offered.
_NOT_ASKED = Extensions(eightbitmime=True, smtputf8=True)
_EXTENSIONS_SECONDS = 300.0  # how long a next hop's EHLO answer is offered on


class Gateway:
    """`ports.Reception`: begins transactions with the policy of the moment.

    Attributes:
        policy: Exchanged as a whole on reload; None refuses mail (R-16).
        settings: The same; transactions that have begun keep what they began with.
    """

    def __init__(self, policy: Policy | None, ports: Ports, settings: Settings) -> None:
        self.policy = policy
        self.settings = settings
        self._ports = ports
        self._offers: dict[str, tuple[datetime, Extensions]] = {}

    async def authenticate(self, session: SessionInfo, user: str, password: str) -> Reply:
        """Log in at the next hop in the user's name; nothing is stored."""
        try:
            relay = await self._ports.relay.open(session.next_hop, login=(user, password))
        except AuthenticationError:
            return Reply(535, "5.7.8", "authentication credentials invalid")
        except NextHopError:
            return Reply(454, "4.7.0", "temporary authentication failure")
        await relay.close()
        return Reply(235, "2.7.0", "authentication successful")

    async def extensions(self, session: SessionInfo) -> Extensions:
        """The next hop's offers, remembered for a while."""
        now = self._ports.clock.now()
        known = self._offers.get(session.next_hop)
        # What was learned in the future is from before somebody set the clock back.
        if known and 0 <= (now - known[0]).total_seconds() < _EXTENSIONS_SECONDS:
            return known[1]
        try:
            relay = await self._ports.relay.open(session.next_hop)
        except NextHopError:
            return known[1] if known else _NOT_ASKED
        self._learn(session.next_hop, relay.extensions)
        await relay.close()
        return relay.extensions

    def _learn(self, next_hop: str, extensions: Extensions) -> None:
        """Offer *extensions* from now on: a client that relied on others comes again."""
        self._offers[next_hop] = (self._ports.clock.now(), extensions)

    async def begin(
        self, session: SessionInfo, reverse_path: ReversePath
    ) -> tuple[Reply, IncomingTransaction | None]:
        """Answer MAIL; the next hop is asked when the first recipient comes."""
        if self.policy is None:
            return reply_for("R-16"), None
        if (trouble := self._ports.host.trouble()) is not None:
            return reply_for(trouble.row), None
        incoming = Incoming(
            session, reverse_path, self.policy, self._ports, self.settings, self._learn
        )
        return _ACCEPTED, incoming


class Incoming:
    """`ports.IncomingTransaction`: one MAIL transaction of a client."""

    def __init__(
        self,
        session: SessionInfo,
        reverse_path: ReversePath,
        policy: Policy,
        ports: Ports,
        settings: Settings,
        learn: Callable[[str, Extensions], None],
    ) -> None:
        self._learn = learn
        self._started_at = ports.clock.now()
        self._id = transaction_id(self._started_at)
        self._session = session
        self._reverse_path = reverse_path
        self._recipients: list[Recipient] = []
        self._policy = policy
        self._ports = ports
        self._settings = settings
        self._probe: RelaySession | None = None
        self._broken = False
        self._row = ""
        self._accepted = False
        self._remembered = False

    @property
    def id(self) -> str:
        """The transaction id."""
        return self._id

    async def recipient(self, recipient: Recipient) -> Reply:
        """Ask the next hop; its class of reply is ours."""
        self._row = ""
        reply = await self._recipient(recipient)
        if not reply.is_positive:
            self._log_refusal("RCPT", (recipient,), reply, self._row)
        return reply

    async def _recipient(self, recipient: Recipient) -> Reply:
        inbound = direction_of(self._session.role) is Direction.INBOUND
        if inbound and not self._settings.is_internal(recipient.mailbox):
            return NOT_OURS  # nobody's relay, and our own people's mail would leave unprotected
        if self._broken:
            return BROKEN_OFF
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
            self._row, reply = early
            return reply
        try:
            if self._probe is None:
                refused = await self._open()
                if refused is not None:
                    return refused
            assert self._probe is not None
            reply = await self._probe.recipient(recipient)
            reach("admit.recipient-answered")
        except NextHopError as exc:
            await self.abandon()
            # Another connection would know nothing of whom this one took: they would be lost.
            self._broken = bool(self._recipients)
            self._relay_error(exc)
            return NO_TLS if isinstance(exc, NextHopTLSError) else UNREACHABLE
        if not reply.is_positive:
            return mirrored(reply, only_class=False)
        self._recipients.append(recipient)
        return Reply(250, "2.1.5", "OK")

    async def _open(self) -> Reply | None:
        """Open the transaction at the next hop; a Reply says why it is not open."""
        reach("admit.before-open")
        try:
            probe = await self._ports.relay.open(self._session.next_hop, login=self._session.login)
        except AuthenticationError:
            return LOGIN_REFUSED
        reach("admit.opened")
        self._probe = probe  # from here on `abandon` ends it, whatever happens
        self._learn(self._session.next_hop, probe.extensions)
        self._allow_eight_bits(probe)
        reply = await probe.mail(self._reverse_path)
        if not reply.is_positive:
            await self.abandon()
            return mirrored(reply, only_class=False)
        return None

    def _allow_eight_bits(self, probe: RelaySession) -> None:
        """Announce 8-bit content that may come out of an encrypted message (RFC 6152, 3)."""
        inbound = direction_of(self._session.role) is Direction.INBOUND
        if inbound and probe.extensions.eightbitmime and not self._settings.shadow:
            others = tuple(p for p in self._reverse_path.parameters if p[0] != "BODY")
            self._reverse_path = replace(
                self._reverse_path, parameters=(*others, ("BODY", "8BITMIME"))
            )

    def _relay_error(self, error: NextHopError) -> None:
        self._ports.events.emit(
            "relay.error",
            txn=self._id,
            relay=error.server or self._session.next_hop,
            text=str(error),
        )

    async def finish(self, content: Entity) -> Outcome:
        """Treat the complete content."""
        probe, count = self._probe, len(self._recipients)
        if self._broken:
            self._log_refusal(_END, self._recipients, BROKEN_OFF, "N-06")
            self._note_refusal(content, BROKEN_OFF, "N-06")
            return Outcome.same_for_all(BROKEN_OFF, count)
        if probe is None or not self._recipients:
            return Outcome(reply=Reply(554, "5.5.1", "no valid recipients"))
        tx = self._transaction(content)
        log_received(tx, self._ports)
        reach("admit.logged")
        row = ""
        try:
            outcome = await self._in_time(tx, probe)
        except Refusal as refusal:
            row = refusal.row
            outcome = Outcome.same_for_all(refusal.reply, count)
            self._log_refusal(_END, tx.envelope.recipients, refusal.reply, refusal.row)
        except Exception as exc:  # noqa: BLE001 – R-17: nothing leaves, the client keeps it
            self._ports.events.emit("internal.error", txn=self._id, error=exc)
            row = "R-17"
            outcome = Outcome.same_for_all(reply_for(row, detail=self._id), count)
        except asyncio.CancelledError:
            addresses = [recipient.mailbox.address for recipient in self._recipients]
            note_aborted(self._id, addresses, "session", self._ports, self._settings)
            raise
        else:
            if not outcome.reply.is_positive:
                self._log_refusal(_END, tx.envelope.recipients, outcome.reply, "")
        finally:
            await self.abandon()
        note_reply(tx, outcome, row, self._ports, self._settings)
        reach("admit.after-outcome")
        # LMTP tells each recipient, so nothing is left over when the replies reach the client.
        lmtp = self._session.is_lmtp and any(r.is_positive for r in outcome.per_recipient)
        self._accepted = outcome.reply.is_positive or lmtp
        if not self._accepted:
            self._remembered = True
            await remember_untold(self._id, self._ports)
        self._ports.events.emit(
            "message.finished",
            txn=self._id,
            direction=direction_of(self._session.role).value,
            code=outcome.reply.code,
            seconds=(self._ports.clock.now() - self._started_at).total_seconds(),
            size=tx.size,
        )
        return outcome

    async def _in_time(self, tx: Transaction, probe: RelaySession) -> Outcome:
        """One clock for everything between the end of the data and the reply."""
        clock = asyncio.timeout(self._reply_seconds)
        try:
            async with clock:
                return await self._treat(tx, probe)
        except TimeoutError:
            if not clock.expired():
                raise  # somebody else's
            return Outcome.same_for_all(TOO_SLOW, len(tx.envelope.recipients))

    async def _treat(self, tx: Transaction, probe: RelaySession) -> Outcome:
        if is_loop(tx.content.header, self._settings.limits, host=self._settings.hostname):
            raise Refusal("R-54")
        inbound = direction_of(self._session.role) is Direction.INBOUND
        handle = handle_inbound if inbound else handle_outbound
        if self._settings.shadow:
            handle = handle_shadow
        try:
            return await handle(
                tx, self._policy, self._ports, self._settings, probe, self._trace(tx)
            )
        except DependencyError as exc:
            row = row_of(exc)
            if row == "R-17":
                raise
            if isinstance(exc, RecordError):
                self._ports.events.emit("record.error", txn=self._id, text=str(exc), code=row)
            if isinstance(exc, SpoolError):
                self._ports.events.emit("spool.error", txn=self._id, text=str(exc), code=row)
            raise Refusal(row) from exc

    def _transaction(self, content: Entity) -> Transaction:
        return Transaction(
            id=self._id,
            session=self._session,
            envelope=Envelope(reverse_path=self._reverse_path, recipients=tuple(self._recipients)),
            content=content.without_envelope_line(),
            started_at=self._started_at,
            received_at=self._ports.clock.now(),
        )

    def _trace(self, tx: Transaction) -> HeaderField:
        only = tx.envelope.recipients[0] if len(tx.envelope.recipients) == 1 else None
        return received_field(
            helo=self._session.helo,
            peer=self._session.peer,
            host=self._settings.hostname,
            protocol=self._session.protocol,
            transaction_id=self._id,
            now=tx.received_at,
            recipient=only.mailbox.address if only else "",
        )

    def _log_refusal(
        self, stage: str, recipients: Sequence[Recipient], reply: Reply, row: str
    ) -> None:
        envelope = Envelope(reverse_path=self._reverse_path, recipients=tuple(recipients))
        log_refusal(self._id, self._session, envelope, stage, reply, row, self._ports)

    def refused(self, reply: Reply) -> None:
        """Log and record that the listener refused the data, of which nothing was kept."""
        row = _OF_THE_LISTENER.get(reply, "")
        self._log_refusal(_END, self._recipients, reply, row)
        self._note_refusal(_NOTHING, reply, row)

    def _note_refusal(self, content: Entity, reply: Reply, row: str) -> None:
        outcome = Outcome.same_for_all(reply, len(self._recipients))
        note_reply(self._transaction(content), outcome, row, self._ports, self._settings)

    async def told(self, *, reached: bool) -> None:
        """Close the books; where the client does not know, the ledger answers its retry."""
        if reached and self._accepted:
            self._ports.journal.told(self._id)
        elif not self._remembered:
            await remember_untold(self._id, self._ports)

    @property
    def _reply_seconds(self) -> float:
        limits = self._settings.limits
        if direction_of(self._session.role) is Direction.INBOUND:
            return limits.inbound_reply_seconds
        return limits.outbound_reply_seconds

    async def abandon(self) -> None:
        """End what is open at the next hop; it keeps nothing that had no final dot."""
        probe, self._probe = self._probe, None
        if probe is not None:
            await asyncio.shield(_end(probe))


async def _end(probe: RelaySession) -> None:
    await probe.abort()
    await probe.close()
