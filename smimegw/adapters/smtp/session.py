"""One client's mail transactions: MAIL, RCPT, DATA, and the replies that the pipeline gives.

What is decided about mail comes from `reception.Reception`; here is only the protocol (RFC 5321;
RFC 2033 for LMTP's one reply per recipient).
"""

from __future__ import annotations

import asyncio
import re

from smimegw.adapters.smtp.connection import ClientGoneError, ClientSlowError
from smimegw.adapters.smtp.dialogue import EndOfSession, OpenMail, Parts, no_argument
from smimegw.adapters.smtp.logging_in import LoggingIn
from smimegw.adapters.smtp.receiving import receive_content
from smimegw.errors import CommandError, LimitError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.reception import IncomingTransaction
from smimegw.smtp.commands import PathArgument, parse_mail, parse_rcpt
from smimegw.smtp.content import NO_ROOM, TOO_LARGE, ContentReader
from smimegw.smtp.extensions import size_to_offer
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath

_BARE_POSTMASTER = re.compile(rb"\ATO: *<postmaster>", re.IGNORECASE)
_MAIL_WITH_DSN = frozenset({"RET", "ENVID"})  # RFC 3461, 4
_RCPT_WITH_DSN = frozenset({"NOTIFY", "ORCPT"})


class Session(LoggingIn):
    """Serves one client from the greeting to the end."""

    def __init__(self, parts: Parts, peer: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(parts, peer, loop)
        self._mail_refused = False
        self.commands |= {b"MAIL": self._mail_from, b"RCPT": self._rcpt_to, b"DATA": self._data}

    # --- the transaction -------------------------------------------------------------------------

    async def _mail_from(self, argument: bytes) -> None:
        if not self._client.helo:
            raise CommandError(503, "5.5.1", "EHLO first")
        if self._mail is not None:
            raise CommandError(503, "5.5.1", "a transaction is already open")
        self._broken = None
        self._check_peer()
        await self._check_login()
        parsed = parse_mail(argument, self._limits)
        self._refuse_what_was_not_offered(parsed, _MAIL_WITH_DSN)
        if (parsed.size or 0) > size_to_offer(self._client.offered, self._limits):
            self._mail_refused = True
            await self.reply(TOO_LARGE)  # RFC 1870, 6.1
            return
        refusal = self._door.may_send(self)
        if refusal is not None:
            self._mail_refused = True
            await self.reply(refusal)
            return
        reach("session.mail")
        path = ReversePath(mailbox=parsed.mailbox, parameters=parsed.parameters)
        reply, incoming = await self._reception.begin(self._info(), path)
        self._mail_refused = incoming is None
        if incoming is not None:
            self._mail = OpenMail(incoming, smtputf8=parsed.parameter("SMTPUTF8") is not None)
        await self._own_reply(reply)

    async def _rcpt_to(self, argument: bytes) -> None:
        if self._mail is None:
            await self._out_of_order()
            return
        self._since_mail -= 1  # a message may have more recipients than a session idle commands
        parsed = parse_rcpt(self._with_domain(argument), self._limits)
        self._refuse_what_was_not_offered(parsed, _RCPT_WITH_DSN)
        mailbox = parsed.mailbox
        assert mailbox is not None  # parse_rcpt refuses the null path
        if mailbox.needs_smtputf8 and not self._mail.smtputf8:
            raise CommandError(553, "5.6.7", "address needs SMTPUTF8")
        self._mail.tried += 1
        refused = self._mail.tried - self._mail.accepted - 1
        if max(self._mail.accepted, refused) >= self._limits.recipients:
            await self.reply(Reply(452, "4.5.3", "too many recipients"))
            return
        reach("session.rcpt")
        recipient = Recipient(mailbox=mailbox, parameters=parsed.parameters)
        reply = await self._mail.incoming.recipient(recipient)
        if reply.is_positive:
            self._mail.accepted += 1
        self._mail.deferred |= reply.is_transient
        await self._own_reply(reply)

    async def _out_of_order(self) -> None:
        if self._broken is not None:
            await self.reply(self._broken)
            return
        error = CommandError(503, "5.5.1", "MAIL first")
        if not self._mail_refused:
            raise error
        # The rest of a pipelined group whose MAIL we refused: not the client's mistake.
        await self.reply(Reply(error.code, error.enhanced, str(error)))

    def _with_domain(self, argument: bytes) -> bytes:
        # RFC 5321, 4.5.1: postmaster without a domain must be taken by every server.
        address = self._settings.postmaster or f"postmaster@{self._settings.hostname}"
        return _BARE_POSTMASTER.sub(f"TO:<{address}>".encode(), argument, count=1)

    def _refuse_what_was_not_offered(self, parsed: PathArgument, dsn: frozenset[str]) -> None:
        names = {name for name, _ in parsed.parameters}
        offered = self._client.offered
        if parsed.unknown or (names and not self._client.extended):
            raise CommandError(555, "5.5.4", "unknown parameter")
        if names & dsn and not offered.dsn:
            raise CommandError(555, "5.5.4", "DSN is not offered")
        if "BODY" in names and not offered.eightbitmime:
            raise CommandError(555, "5.5.4", "8BITMIME is not offered")
        if "SMTPUTF8" in names and not (offered.smtputf8 and offered.eightbitmime):
            raise CommandError(553, "5.6.7", "SMTPUTF8 is not offered")

    async def _own_reply(self, reply: Reply) -> None:
        """Send a reply of the reception; 421 announces that we close (RFC 5321, 3.8)."""
        if reply.code == 421:
            raise EndOfSession(reply)
        await self.reply(reply)

    async def _data(self, argument: bytes) -> None:
        no_argument(argument)
        if self._mail is None:
            await self._out_of_order()
            return
        if not self._mail.accepted:
            if not self._mail.tried:
                raise CommandError(503, "5.5.1", "RCPT first")
            await self.reply(self._no_recipients(self._mail))
            return
        reach("session.before-354")
        await self.reply(Reply(354, "", "end data with <CR><LF>.<CR><LF>"))
        content = _content(await self._whole_content(self._mail), self._limits)
        self._since_mail = 0
        self._finishing_lmtp = self._settings.lmtp
        reach("session.received")
        outcome = await self._outcome(content, self._mail)
        mail, self._mail, self._finishing_lmtp = self._mail, None, False
        self._upstream_id = ""
        try:
            reach("session.before-reply")
            await self._tell(outcome, mail.accepted)
            reach("session.after-reply")
        except BaseException:
            await mail.incoming.told(reached=False)
            raise
        self._unconfirmed.append(mail.incoming)

    def _no_recipients(self, mail: OpenMail) -> Reply:
        if mail.deferred:  # a client that only reads this reply must not give up
            return Reply(451, "4.5.1", "no recipient can be taken now, try later")
        code = 503 if self._settings.lmtp else 554  # RFC 2033, 4.2
        return Reply(code, "5.5.1", "no valid recipients")

    async def _whole_content(self, mail: OpenMail) -> ContentReader:
        """Read up to the true end; trouble of ours ends the session, because what the client
        still sends must not be taken for commands.
        """
        try:
            reader = await receive_content(self, self._limits, self._store)
        except (ClientGoneError, ClientSlowError):
            raise
        except EndOfSession as end:
            mail.incoming.refused(end.reply)
            raise
        except Exception as error:
            self._events.emit("internal.error", txn=mail.incoming.id, error=error)
            reply = Reply(451, "4.3.0", f"internal error {mail.incoming.id}")
            if isinstance(error, (MemoryError, OSError)):
                reply = NO_ROOM
            mail.incoming.refused(reply)
            raise EndOfSession(reply) from error
        self.give_back(reader.leftover)
        if reader.trouble:
            self._events.emit("spool.error", txn=mail.incoming.id, text=reader.trouble, code="R-21")
        return reader

    async def _outcome(self, content: Entity | Reply, mail: OpenMail) -> Outcome:
        if isinstance(content, Reply):
            mail.incoming.refused(content)
            await mail.incoming.abandon()
            return Outcome.same_for_all(content, mail.accepted)
        if self.gone:
            raise ClientGoneError
        return await self._finish(mail.incoming, content)

    async def _finish(self, incoming: IncomingTransaction, entity: Entity) -> Outcome:
        """Let the pipeline work; a client that goes away meanwhile ends that."""
        finishing = self.loop.create_task(incoming.finish(entity))
        self._on_gone = finishing.cancel
        try:
            return await finishing
        except Exception:
            await incoming.told(reached=False)  # a 451 it will be, whatever was accepted
            raise
        except asyncio.CancelledError:
            await incoming.told(reached=False)
            task = asyncio.current_task()
            if self.gone and not (task and task.cancelling()):
                raise ClientGoneError from None
            raise
        finally:
            self._on_gone = None

    async def _tell(self, outcome: Outcome, accepted: int) -> None:
        if not self._settings.lmtp:
            await self._own_reply(outcome.reply)
            return
        replies = outcome.per_recipient
        if len(replies) != accepted:  # the client counts, so a wrong number would shift them
            replies = (outcome.reply,) * accepted
        for reply in replies:
            await self.reply(reply)


def _content(reader: ContentReader, limits: Limits) -> Entity | Reply:
    """What was received, or the reply that refuses it; the reader's copy can go then."""
    if reader.violation is not None:
        return reader.violation
    try:
        return Entity.parse(reader.result(), limits)
    except LimitError:
        return Reply(552, "5.3.4", "header section too large")
