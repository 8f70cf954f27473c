"""One MAIL transaction of a client: recipients, content, one flow per direction, one reply.

Whatever happens, the client gets a reply, and 250 only after the next hop's 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from smimegw.errors import DependencyError, RecordError, SpoolError
from smimegw.failpoints import reach
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField
from smimegw.next_hop import RelaySession
from smimegw.pipeline.decision_record import note_aborted, note_reply
from smimegw.pipeline.dots import BROKEN_OFF
from smimegw.pipeline.facts import direction_of
from smimegw.pipeline.hold import TOO_SLOW
from smimegw.pipeline.inbound import handle_inbound
from smimegw.pipeline.live_recipients import Learn, LiveRecipients
from smimegw.pipeline.outbound import handle_outbound
from smimegw.pipeline.record import log_received, log_refusal
from smimegw.pipeline.replies import Refusal, reply_for, row_of
from smimegw.pipeline.reply_time import reply_seconds
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.shadow import handle_shadow
from smimegw.pipeline.unfinished import remember_untold
from smimegw.policy.model import Direction, Policy
from smimegw.ports import Ports
from smimegw.smtp.content import BARE_LINE_END, NO_ROOM, TOO_LARGE
from smimegw.smtp.reply import Reply
from smimegw.smtp.trace import is_loop, received_field
from smimegw.transaction import (
    Outcome,
    Recipient,
    ReversePath,
    SessionInfo,
    Transaction,
    transaction_id,
)

_END = "END-OF-MESSAGE"
_OF_THE_LISTENER = {BARE_LINE_END: "R-53", TOO_LARGE: "R-55", NO_ROOM: "R-21"}
_NOTHING = Entity.parse(b"")  # content that nobody kept


class Incoming:
    """`reception.IncomingTransaction`: one MAIL transaction of a client."""

    def __init__(
        self,
        session: SessionInfo,
        reverse_path: ReversePath,
        policy: Policy,
        ports: Ports,
        settings: Settings,
        learn: Learn,
    ) -> None:
        self._started_at = ports.clock.now()
        self._id = transaction_id(self._started_at)
        self._session = session
        self._inbound = direction_of(session.role) is Direction.INBOUND
        self._policy = policy
        self._ports = ports
        self._settings = settings
        self._live = LiveRecipients(self._id, session, reverse_path, policy, ports, settings, learn)
        self._accepted = False
        self._remembered = False

    @property
    def id(self) -> str:
        """The transaction id."""
        return self._id

    async def recipient(self, recipient: Recipient) -> Reply:
        """Ask the next hop; its class of reply is ours."""
        row, reply = await self._live.ask(recipient)
        if not reply.is_positive:
            self._log_refusal("RCPT", (recipient,), reply, row)
        return reply

    async def finish(self, content: Entity) -> Outcome:
        """Treat the complete content."""
        probe, count = self._live.probe, len(self._live.taken)
        if self._live.broken:
            self._log_refusal(_END, self._live.taken, BROKEN_OFF, "N-06")
            self._note_refusal(content, BROKEN_OFF, "N-06")
            return Outcome.same_for_all(BROKEN_OFF, count)
        if probe is None or not self._live.taken:
            return Outcome(reply=Reply(554, "5.5.1", "no valid recipients"))
        tx = self._transaction(content)
        log_received(tx, self._ports)
        reach("admit.logged")
        row, outcome = await self._outcome(tx, probe)
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

    async def _outcome(self, tx: Transaction, probe: RelaySession) -> tuple[str, Outcome]:
        """What the flow came to, whatever happens in it; before it the row of the failure table."""
        recipients = tx.envelope.recipients
        try:
            outcome = await self._in_time(tx, probe)
        except Refusal as refusal:
            self._log_refusal(_END, recipients, refusal.reply, refusal.row)
            return refusal.row, Outcome.same_for_all(refusal.reply, len(recipients))
        except Exception as exc:  # noqa: BLE001 – R-17: nothing leaves, the client keeps it
            self._ports.events.emit("internal.error", txn=self._id, error=exc)
            reply = reply_for("R-17", detail=self._id)
            return "R-17", Outcome.same_for_all(reply, len(recipients))
        except asyncio.CancelledError:
            addresses = [recipient.mailbox.address for recipient in recipients]
            note_aborted(self._id, addresses, "session", self._ports, self._settings)
            raise
        else:
            if not outcome.reply.is_positive:
                self._log_refusal(_END, recipients, outcome.reply, "")
            return "", outcome
        finally:
            await self.abandon()

    async def _in_time(self, tx: Transaction, probe: RelaySession) -> Outcome:
        """One clock for everything between the end of the data and the reply."""
        clock = asyncio.timeout(reply_seconds(self._session.role, self._settings.limits))
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
        handle = handle_inbound if self._inbound else handle_outbound
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
            envelope=self._live.envelope,
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
        envelope = replace(self._live.envelope, recipients=tuple(recipients))
        log_refusal(self._id, self._session, envelope, stage, reply, row, self._ports)

    def refused(self, reply: Reply) -> None:
        """Log and record that the listener refused the data, of which nothing was kept."""
        row = _OF_THE_LISTENER.get(reply, "")
        self._log_refusal(_END, self._live.taken, reply, row)
        self._note_refusal(_NOTHING, reply, row)

    def _note_refusal(self, content: Entity, reply: Reply, row: str) -> None:
        outcome = Outcome.same_for_all(reply, len(self._live.taken))
        note_reply(self._transaction(content), outcome, row, self._ports, self._settings)

    async def told(self, *, reached: bool) -> None:
        """Close the books; where the client does not know, the ledger answers its retry."""
        if reached and self._accepted:
            self._ports.journal.told(self._id)
        elif not self._remembered:
            await remember_untold(self._id, self._ports)

    async def abandon(self) -> None:
        """End what is open at the next hop; it keeps nothing that had no final dot."""
        await self._live.end()
