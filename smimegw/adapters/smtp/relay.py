"""Transactions at next hops, held before their final dot; implements `next_hop.Relay`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from smimegw.adapters.smtp.introduction import connect
from smimegw.adapters.smtp.reach import RecentFailures
from smimegw.adapters.smtp.settings import NextHopSettings
from smimegw.adapters.smtp.upstream import Upstream
from smimegw.errors import AddressError, NextHopError
from smimegw.failpoints import reach
from smimegw.limits import Limits
from smimegw.smtp.client import State
from smimegw.smtp.extensions import Extensions, passable, withdrawn
from smimegw.smtp.reply import Reply
from smimegw.transaction import Recipient, ReversePath

_KEPT_CONNECTIONS = 8  # per next hop; more are closed after their transaction
_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "next hop does not offer SMTPUTF8")
_NOT_NOW = Reply(451, "4.3.2", "next hop does not take mail now")


class SMTPRelay:
    """Opens transactions at the configured next hops, on connections that are used again."""

    def __init__(
        self, next_hops: Mapping[str, NextHopSettings], *, hostname: str, limits: Limits
    ) -> None:
        self._next_hops = dict(next_hops)
        self._hostname = hostname
        self._limits = limits
        self._failed: dict[str, RecentFailures] = {}
        self._kept: dict[str, list[tuple[Upstream, asyncio.TimerHandle]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, next_hop: str, *, login: tuple[str, str] | None = None) -> SMTPSession:
        """Connect (or use a kept connection), greet, TLS and, with *login*, AUTH.

        Raises:
            NextHopError: Unreachable, broke off, TLS not as configured.
            AuthenticationError: The next hop refused the login.
        """
        kept = self._take(next_hop) if login is None else None
        upstream = kept or await self.connect(next_hop, login)
        return SMTPSession(self, next_hop, login, upstream, used_before=kept is not None)

    async def connect(self, next_hop: str, login: tuple[str, str] | None) -> Upstream:
        """Make a new connection; raises as `open` does."""
        settings = self._next_hops.get(next_hop)
        if settings is None:
            raise NextHopError(f"there is no next hop {next_hop!r} in the configuration")
        return await connect(
            settings,
            hostname=self._hostname,
            limits=self._limits,
            login=login,
            failed=self._failed.setdefault(next_hop, RecentFailures()),
        )

    def give_back(self, next_hop: str, upstream: Upstream) -> None:
        """Keep *upstream* for the next transaction, or close it in the background."""
        kept = self._kept.setdefault(next_hop, [])
        if not upstream.reusable or len(kept) >= _KEPT_CONNECTIONS:
            self.dismiss(upstream)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(
            self._limits.connection_idle_seconds, self._expire, next_hop, upstream
        )
        kept.append((upstream, timer))

    def dismiss(self, upstream: Upstream) -> None:
        """QUIT in the background."""
        task = asyncio.get_running_loop().create_task(upstream.quit())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every kept connection."""
        for kept in self._kept.values():
            for upstream, timer in kept:
                timer.cancel()
                self.dismiss(upstream)
        self._kept.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def _take(self, next_hop: str) -> Upstream | None:
        kept = self._kept.get(next_hop, [])
        while kept:
            upstream, timer = kept.pop()
            timer.cancel()
            if upstream.reusable:
                return upstream
            upstream.abort()
        return None

    def _expire(self, next_hop: str, upstream: Upstream) -> None:
        self._kept[next_hop] = [k for k in self._kept.get(next_hop, []) if k[0] is not upstream]
        self.dismiss(upstream)


class SMTPSession:
    """One transaction at a next hop; implements `next_hop.RelaySession`."""

    def __init__(
        self,
        relay: SMTPRelay,
        next_hop: str,
        login: tuple[str, str] | None,
        upstream: Upstream,
        *,
        used_before: bool,
    ) -> None:
        self._relay = relay
        self._next_hop = next_hop
        self._login = login
        self._upstream = upstream
        self._used_before = used_before
        self._closed = False

    @property
    def extensions(self) -> Extensions:
        """What the next hop announced (after TLS)."""
        return self._upstream.client.extensions

    @property
    def server(self) -> str:
        """``host[address]:port`` for logs."""
        return self._upstream.server

    @property
    def is_lmtp(self) -> bool:
        """The next hop answers per recipient."""
        return self._upstream.client.lmtp

    async def mail(self, reverse_path: ReversePath) -> Reply:
        """Send MAIL; once more on a new connection when this one turns out to be at its end.

        A server may close an idle connection, or say 421, at any time; nothing of the transaction
        has been sent before MAIL, so trying again cannot do anything twice (cases D21, D24).

        Raises:
            NextHopError: No connection, or it broke twice.
            AuthenticationError: The login that worked before was refused.
        """
        try:
            reply = await self._mail(reverse_path)
        except NextHopError:
            if not (self._used_before and self._upstream.broken):
                raise
        else:
            # 503 where MAIL belongs: the server, or a balancer's other one, knows another past.
            if reply.code != 421 and not (self._used_before and reply.code == 503):
                return reply
        self._upstream.abort()
        self._upstream = await self._relay.connect(self._next_hop, self._login)
        reply = await self._mail(reverse_path)
        # 421 would tell our client that we close its connection, which we do not.
        return _NOT_NOW if reply.code == 421 else reply

    async def _mail(self, reverse_path: ReversePath) -> Reply:
        extensions = self.extensions
        parameters = passable(reverse_path.parameters, extensions)
        asked = reverse_path.parameter("SMTPUTF8") is not None
        if asked and not extensions.smtputf8:
            return _NEEDS_SMTPUTF8
        if (refusal := withdrawn(reverse_path.parameters, extensions)) is not None:
            return refusal
        try:
            command = self._upstream.client.mail(reverse_path.mailbox, parameters)
        except AddressError:
            return _NEEDS_SMTPUTF8
        return await self._upstream.ask(command)

    async def recipient(self, recipient: Recipient) -> Reply:
        """Send RCPT.

        Raises:
            NextHopError: The connection broke.
        """
        if (refusal := withdrawn(recipient.parameters, self.extensions)) is not None:
            return refusal
        parameters = passable(recipient.parameters, self.extensions)
        try:
            command = self._upstream.client.recipient(recipient.mailbox, parameters)
        except AddressError:
            return _NEEDS_SMTPUTF8
        reply = await self._upstream.ask(command)
        return _NOT_NOW if reply.code == 421 else reply

    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        """Send DATA and the content but not the final dot; a Reply means DATA was refused.

        Raises:
            NextHopError: The connection broke; the next hop keeps nothing.
            MIMEError: The content holds bare CR or LF, or NUL; the connection was closed undotted.
        """
        reach("relay.before-data")
        reply = await self._upstream.ask(self._upstream.client.data())
        if not reply.is_positive:
            return _NOT_NOW if reply.code == 421 else reply
        await self._upstream.send_content(content)
        reach("relay.content-sent")
        return None

    async def commit(self) -> tuple[Reply, ...]:
        """Send the final dot; one reply (SMTP) or one per accepted recipient (LMTP).

        Fewer with LMTP when it breaks off among them: the recipients after them are in doubt.

        Raises:
            NextHopError: With *in_doubt* when the dot went out and no reply came.
        """
        return await self._upstream.commit()

    @property
    def answered(self) -> tuple[Reply, ...]:
        """The replies to the final dot that have come so far, while `commit` waits for others."""
        return tuple(self._upstream.answered)

    async def abort(self) -> None:
        """End the transaction so that the next hop keeps nothing; never raises.

        RSET as long as no content was sent; afterwards closing before the dot is the only way.
        A session that was closed is left alone: its connection may be somebody else's now.  So is
        one whose dot is out: nothing can be taken back, and `commit` may still wait for the reply.
        """
        if not self._closed and not self._upstream.client.in_doubt:
            await self._end()

    async def _end(self) -> None:
        if self._upstream.client.state is not State.MAIL:
            if self._upstream.client.state is not State.READY:
                self._upstream.abort()
            return
        try:
            await self._upstream.ask(self._upstream.client.reset())
        except NextHopError:
            self._upstream.abort()

    async def close(self) -> None:
        """Give the connection back or close it; never raises.

        A transaction that was not committed ends undotted.  While `commit` waits for its reply
        nothing happens; whoever waits closes afterwards.
        """
        if self._closed or self._upstream.client.in_doubt:
            return
        self._closed = True
        if self._upstream.client.state is State.MAIL:
            await self._end()
        if not self._upstream.reusable:
            self._upstream.abort()
        elif self._login is None:
            self._relay.give_back(self._next_hop, self._upstream)
        else:
            self._relay.dismiss(self._upstream)
