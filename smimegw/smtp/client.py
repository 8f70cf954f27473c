"""One connection to a next hop as a state machine without sockets, SMTP or LMTP.

Methods give the octets to send and refuse to be called in the wrong state; `receive` takes octets
and gives parsed replies.  The content and its final dot are separate steps, so that several
transactions can be held complete before one of them is allowed to count.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, MIMEError, NextHopError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.smtp.content import FINAL_DOT, stuffed
from smimegw.smtp.extensions import NO_EXTENSIONS, Extensions, parse_extensions
from smimegw.smtp.reply import Reply
from smimegw.smtp.reply_reader import ReplyReader


class State(Enum):
    """Where the connection stands; commands are allowed in exactly one or two of them."""

    GREETING = auto()  # connected, nothing read
    HELLO = auto()  # EHLO or LHLO is due: after the greeting and after TLS
    READY = auto()  # no transaction
    TLS = auto()  # STARTTLS was accepted: the handshake is due
    MAIL = auto()  # inside a transaction, recipients may come
    CONTENT = auto()  # 354 was received
    HELD = auto()  # everything but the final dot was sent ("prepared")
    COMMITTED = auto()  # the dot was sent, replies are due
    CLOSED = auto()  # QUIT, 421 or a broken peer: nothing may be sent


class Waiting(Enum):
    """What the next reply will answer."""

    GREETING = auto()
    HELLO = auto()
    STARTTLS = auto()
    AUTH = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    DOT = auto()
    RESET = auto()
    QUIT = auto()


_NO_SPACE = re.compile(r"[^\s\x00-\x1f\x7f]*")


class Client:
    """The client side of one connection (RFC 5321; RFC 2033 with *lmtp*).

    Attributes:
        state: Where the connection stands.
        extensions: What the server announced last; forgotten when TLS starts (RFC 3207, 4.2).
        accepted: Recipients of this transaction that the server took.
        secure: TLS is active; set by `tls_started` or at construction (implicit TLS).
    """

    def __init__(
        self,
        *,
        server: str = "",
        lmtp: bool = False,
        secure: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.server = server
        self.lmtp = lmtp
        self.secure = secure
        self.state = State.GREETING
        self.extensions: Extensions = NO_EXTENSIONS
        self.accepted: tuple[Mailbox, ...] = ()
        self._asked: deque[Mailbox] = deque()
        self._smtputf8 = False
        self._waiting: deque[Waiting] = deque([Waiting.GREETING])
        self._reader = ReplyReader(server, limits)

    # --- what the caller wants to know -------------------------------------------------------

    @property
    def awaiting(self) -> int:
        """How many replies are due."""
        return len(self._waiting)

    @property
    def silent(self) -> bool:
        """No half reply has come, which the next one would be taken for the rest of."""
        return not self._reader.pending

    @property
    def in_doubt(self) -> bool:
        """The final dot was sent and not every reply has come: nobody knows who has the message."""
        return self.state is State.COMMITTED

    def lost(self, why: str) -> NextHopError:
        """The error to raise when the connection breaks or times out now; closes the client."""
        error = self._error(why)
        self.state = State.CLOSED
        return error

    # --- commands ----------------------------------------------------------------------------

    def hello(self, name: str) -> bytes:
        """EHLO, or LHLO with LMTP."""
        self._require(State.HELLO, State.READY)
        return self._command(f"{'LHLO' if self.lmtp else 'EHLO'} {_word(name)}", Waiting.HELLO)

    def hello_without_extensions(self, name: str) -> bytes:
        """HELO, for a server that does not know EHLO (RFC 5321, 3.2)."""
        self._require(State.HELLO)
        return self._command(f"HELO {_word(name)}", Waiting.HELLO)

    def start_tls(self) -> bytes:
        """STARTTLS; after its 220 do the handshake and call `tls_started`.

        Raises:
            NextHopError: The server does not offer it.
        """
        self._require(State.READY)
        if not self.extensions.starttls:
            raise self._error("does not offer STARTTLS, which is configured as required")
        return self._command("STARTTLS", Waiting.STARTTLS)

    def tls_started(self) -> None:
        """The handshake is done: forget everything learned before it (RFC 3207, 4.2)."""
        self._require(State.TLS)
        self.secure = True
        self.extensions = NO_EXTENSIONS
        self.state = State.HELLO

    def authenticate_plain(self, user: str, password: str) -> bytes:
        """AUTH PLAIN with initial response (RFC 4616); only under TLS.

        Raises:
            NextHopError: No TLS, or the server does not offer PLAIN.
        """
        self._require(State.READY)
        if not self.secure:
            raise self._error("has no TLS; the password is not sent in clear")
        if "PLAIN" not in self.extensions.auth:
            raise self._error("does not offer AUTH PLAIN")
        if "\0" in user or "\0" in password:
            raise self._error("NUL in user name or password")
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode("ascii")
        return self._command(f"AUTH PLAIN {secret}", Waiting.AUTH)

    def mail(
        self, reverse_path: Mailbox | None, parameters: Iterable[tuple[str, str]] = ()
    ) -> bytes:
        """MAIL FROM; None is the null path.  Parameters are written as given.

        Raises:
            AddressError: The address needs SMTPUTF8 and the parameters do not ask for it.
            MIMEError: A parameter that would not stay one word.
        """
        self._require(State.READY)
        chosen = tuple(parameters)
        address = reverse_path.address if reverse_path else ""
        self._smtputf8 = any(name.upper() == "SMTPUTF8" for name, _ in chosen)
        self._check_address(address)
        self.accepted = ()
        self._asked.clear()
        return self._command(f"MAIL FROM:<{address}>{_parameters(chosen)}", Waiting.MAIL)

    def recipient(self, mailbox: Mailbox, parameters: Iterable[tuple[str, str]] = ()) -> bytes:
        """RCPT TO; may be sent before the reply to MAIL when the server offers PIPELINING.

        Raises:
            AddressError: The address needs SMTPUTF8 and MAIL did not ask for it.
            MIMEError: A parameter that would not stay one word.
        """
        self._require_transaction()
        self._check_address(mailbox.address)
        line = f"RCPT TO:<{mailbox.address}>{_parameters(tuple(parameters))}"
        command = self._command(line, Waiting.RCPT)
        self._asked.append(mailbox)
        return command

    def data(self) -> bytes:
        """DATA; refused here as long as no recipient was accepted."""
        self._require(State.MAIL)
        if not self.accepted or self._waiting:
            raise self._error("has accepted no recipient yet")
        return self._command("DATA", Waiting.DATA)

    def content(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The content, dots stuffed; when it is exhausted the transaction is held.

        Raises:
            MIMEError: Bare CR or LF, or NUL; the client is closed, the dot can never be sent.
        """
        self._require(State.CONTENT)
        self.state = State.CLOSED  # until every octet went out
        yield from stuffed(pieces)
        self.state = State.HELD

    def commit(self) -> bytes:
        """The final dot of a held transaction: from now on the outcome is in doubt."""
        self._require(State.HELD)
        self.state = State.COMMITTED
        self._waiting.extend([Waiting.DOT] * (len(self.accepted) if self.lmtp else 1))
        return FINAL_DOT

    def reset(self) -> bytes:
        """RSET: end the transaction.  Not possible once content is flowing: close instead."""
        self._require(State.READY, State.MAIL)
        return self._command("RSET", Waiting.RESET)

    def quit(self) -> bytes:
        """QUIT; nothing can be sent afterwards."""
        self._require(State.HELLO, State.READY, State.MAIL)
        return self._command("QUIT", Waiting.QUIT)

    # --- replies -----------------------------------------------------------------------------

    def receive(self, octets: bytes) -> tuple[Reply, ...]:
        """Take *octets* from the server; complete replies come out in order.

        A reply to the final dot stands, whatever nonsense follows it: the client is then closed
        and the reply comes out.

        Raises:
            NextHopError: No SMTP reply, too long, unasked for, or octets after the reply to
                STARTTLS (they would be taken for protected ones).  The client is then closed.
        """
        replies: list[Reply] = []
        after_dot = self.in_doubt
        try:
            self._reader.feed(octets)
            while (reply := self._reader.next()) is not None:
                self._apply(reply)
                replies.append(reply)
            if self.state is State.TLS and self._reader.pending:
                raise self._error("sent octets in clear after its reply to STARTTLS")
        except NextHopError as error:
            in_doubt = self.in_doubt
            self.state = State.CLOSED
            if after_dot and replies:
                return tuple(replies)
            raise NextHopError(str(error), server=self.server, in_doubt=in_doubt) from None
        return tuple(replies)

    def _apply(self, reply: Reply) -> None:
        if self.state is State.TLS:
            raise self._error("sent a second reply to STARTTLS")
        if not self._waiting:
            if reply.code == 421:  # RFC 5321, 3.8: a server may say good-bye at any time
                self.state = State.CLOSED
                return
            raise self._error("sent a reply that nobody asked for")
        waiting = self._waiting.popleft()
        # A 3yz is right after DATA only; taken for a success elsewhere it would lose mail.
        wanted = reply.code == 354 if waiting is Waiting.DATA else reply.code < 300
        if reply.is_positive and not wanted:
            raise self._error(f"sent {reply.code}, which is no answer to what was asked")
        self._advance(waiting, reply)
        if reply.code == 421 and self.state is not State.COMMITTED:
            self.state = State.CLOSED

    def _advance(self, waiting: Waiting, reply: Reply) -> None:
        good = reply.is_positive
        match waiting:
            case Waiting.GREETING:
                self.state = State.HELLO if good else State.CLOSED
            case Waiting.HELLO if good:
                self.extensions = parse_extensions(reply)
                self.state = State.READY
            case Waiting.STARTTLS if good:
                self.state = State.TLS
            case Waiting.MAIL if good:
                self.state = State.MAIL
            case Waiting.RCPT:
                mailbox = self._asked.popleft()
                if good:
                    self.accepted = (*self.accepted, mailbox)
            case Waiting.DATA if good:
                self.state = State.CONTENT
            case Waiting.DOT if not self._waiting:
                self.state = State.READY
            case Waiting.RESET if good:
                self.state = State.READY
                self.accepted = ()
            case Waiting.QUIT:
                self.state = State.CLOSED
            case _:
                pass

    # --- details -----------------------------------------------------------------------------

    def _command(self, line: str, waiting: Waiting) -> bytes:
        if "\r" in line or "\n" in line or "\0" in line:
            raise MIMEError("CR, LF or NUL in an SMTP command")
        if self._waiting and waiting not in {Waiting.RCPT, Waiting.QUIT}:
            raise self._error("has not answered the command before")
        self._waiting.append(waiting)
        self._reader.greets = waiting is Waiting.HELLO
        return line.encode("utf-8") + b"\r\n"

    def _require(self, *states: State) -> None:
        if self.state is State.CLOSED:
            raise self._error("has ended the connection")
        if self.state not in states:
            raise self._error(f"cannot take this command now ({self.state.name.lower()})")

    def _require_transaction(self) -> None:
        pipelined = self.extensions.pipelining and Waiting.MAIL in self._waiting
        if not pipelined:
            self._require(State.MAIL)

    def _check_address(self, address: str) -> None:
        if not address.isascii() and not self._smtputf8:
            raise AddressError("the address needs SMTPUTF8, which this transaction does not use")

    def _error(self, why: str) -> NextHopError:
        name = self.server or "the next hop"
        return NextHopError(f"{name} {why}", server=self.server, in_doubt=self.in_doubt)


def _word(text: str) -> str:
    if not text or not _NO_SPACE.fullmatch(text):
        raise MIMEError("an SMTP argument must be one word without control characters")
    return text


def _parameters(parameters: tuple[tuple[str, str], ...]) -> str:
    return "".join(
        f" {_word(name)}={_word(value)}" if value else f" {_word(name)}"
        for name, value in parameters
    )
