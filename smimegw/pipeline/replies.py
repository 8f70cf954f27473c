"""The reply for every row of the failure table, and the refusal that carries it."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.addresses import Mailbox
from smimegw.errors import (
    DatabaseError,
    DirectoryError,
    KeystoreError,
    LedgerError,
    RecordError,
    SpoolError,
)
from smimegw.smtp.extensions import NO_8BITMIME, NO_DSN
from smimegw.smtp.reply import Reply

_OURS = (NO_8BITMIME, NO_DSN)  # said in the next hop's place, without a word to it
_MAX_TEXT = 400  # RFC 5321, 4.5.3.1.5: a reply line has at most 512 octets


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the reply's code, its enhanced code and the text; ``{}`` takes the detail."""

    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row of which the failure matrix says whether it is for now or for good."""

    subject: str  # of the enhanced code, with its detail (RFC 3463, 2)
    text: str

    def decided(self, *, deferred: bool) -> Row:
        """The row for a client that may come again, or may not."""
        if deferred:
            return Row(451, f"4.{self.subject}", f"{self.text}, try later")
        return Row(550, f"5.{self.subject}", self.text)


ROWS: dict[str, Row | OpenRow] = {
    "R-01": OpenRow("7.5", "no usable certificate, encryption required"),
    "R-03": OpenRow("7.5", "certificate expired {}"),
    "R-04": OpenRow("7.5", "certificate revoked"),
    "R-05": OpenRow("7.5", "revocation status of the certificate is not known now"),
    "R-06": OpenRow("4.3", "directory not reachable"),
    "R-08": OpenRow("7.6", "certificate not suitable: {}"),
    "R-10": OpenRow("7.5", "no signing certificate for {}"),
    "R-12": Row(550, "5.7.1", "From not permitted: {}"),
    "R-13": OpenRow("7.5", "key store locked"),
    "R-14": OpenRow("7.5", "key store did not answer"),
    "R-16": Row(451, "4.3.5", "no policy loaded, try later"),
    "R-17": Row(451, "4.3.0", "internal error {}"),
    "R-19": Row(552, "5.3.4", "protected message of {} octets is too large for the next hop"),
    "R-20": Row(451, "4.3.0", "decision record could not be written, try later"),
    "R-21": Row(452, "4.3.1", "disk nearly full, try later"),
    "R-22": OpenRow("3.0", "database not reachable"),
    "R-23": OpenRow("7.1", "reply to encrypted mail must be encrypted"),
    "R-24": Row(421, "4.3.2", "clock is wrong, try later"),
    "R-26": OpenRow("7.5", "encrypted by the mail program and not for {}, who must read it too"),
    "R-52-signed": Row(550, "5.7.7", "a valid signature is required from this sender"),
    "R-52-encrypted": Row(550, "5.7.1", "encryption is required from this sender"),
    "R-52-unknown": Row(451, "4.7.7", "the signature cannot be judged now, try later"),
    "R-54": Row(554, "5.4.6", "too many hops, this looks like a loop"),
    "8bit": Row(554, "5.6.3", "content needs 8 bits, the next hop takes 7"),
    "no-from": Row(550, "5.6.0", "no From field, nobody to sign for"),
    "copies": Row(550, "5.5.3", "{}; write to fewer hidden recipients at a time"),
    "content": Row(550, "5.6.0", "message is malformed: {}"),
}


class Refusal(Exception):  # noqa: N818 – an outcome with a reply, not a fault of the program
    """Ends the treatment of a whole message with one reply.

    Attributes:
        reply: For the client.
        row: Row of the failure table, for the log.
    """

    def __init__(self, row: str, *, mailbox: Mailbox | None = None, detail: str = "") -> None:
        self.reply = reply_for(row, mailbox=mailbox, detail=detail)
        self.row = row
        super().__init__(str(self.reply))


def reply_for(
    row: str, *, mailbox: Mailbox | None = None, detail: str = "", deferred: bool = True
) -> Reply:
    """Return the reply of *row*, about *mailbox*, with *detail* in its place.

    Args:
        row: Of the failure table.
        mailbox: Whom it is about.
        detail: What stands in the text.
        deferred: Of a row that the failure matrix decides, what it said; what nobody decided to
            be for good is for now.
    """
    entry = ROWS[row]
    if isinstance(entry, OpenRow):
        entry = entry.decided(deferred=deferred)
    text = entry.text.format(detail).strip()
    about = f"<{mailbox.address}>: " if mailbox else ""
    number = row if row.startswith("R-") else ""
    number = "-".join(number.split("-")[:2])
    suffix = f" ({number})" if number else ""
    return Reply(entry.code, entry.enhanced, printable(about + text) + suffix)


def row_of(error: Exception) -> str:
    """The row that *error* comes to; R-17 for what nobody expected."""
    match error:
        case Refusal():
            return error.row
        case RecordError():
            return "R-20"
        case SpoolError():
            return "R-21"
        case DirectoryError():
            return "R-06"
        case KeystoreError():
            return "R-13" if error.locked else "R-14"
        case DatabaseError() | LedgerError():
            return "R-22"
        case _:
            return "R-17"


def printable(text: str) -> str:
    """*text* as one bounded line of printable ASCII; other characters become ``?``."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:_MAX_TEXT]


def mirrored(reply: Reply, *, only_class: bool = True) -> Reply:
    """A next hop's negative reply as ours: its class and code, a text of our own.

    The peer's words may name internal hosts, so they are for the log only.
    """
    if reply in _OURS:
        return reply
    if reply.is_permanent:
        code = reply.code if not only_class else 554
        return Reply(code, reply.enhanced or "5.0.0", "refused by the next hop")
    code = reply.code if not only_class and reply.is_transient else 451
    enhanced = reply.enhanced if reply.is_transient and reply.enhanced else "4.0.0"
    return Reply(code, enhanced, "deferred by the next hop, try later")
