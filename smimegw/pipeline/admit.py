"""Begins transactions: what is offered, who may log in, and MAIL, with the policy of the moment."""

from __future__ import annotations

from datetime import datetime

from smimegw.errors import AuthenticationError, NextHopError
from smimegw.pipeline.incoming import Incoming
from smimegw.pipeline.replies import reply_for
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import Policy
from smimegw.ports import Ports
from smimegw.reception import IncomingTransaction
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import ReversePath, SessionInfo

_ACCEPTED = Reply(250, "2.1.0", "OK")
# A client bounces what needs SMTPUTF8 where it is not offered.  Of a next hop that is not reached
# nobody knows; its mail is deferred at RCPT, whatever was offered.
_NOT_ASKED = Extensions(eightbitmime=True, smtputf8=True)
_EXTENSIONS_SECONDS = 300.0  # how long a next hop's EHLO answer is offered on


class Gateway:
    """`reception.Reception`: begins transactions with the policy of the moment.

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
