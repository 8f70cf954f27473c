"""SMTP replies: a code, an enhanced status code and a text (RFC 5321, 4.2; RFC 3463)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, sent or received.

    Attributes:
        code: Three digits, such as 250.
        enhanced: ``class.subject.detail`` such as ``2.0.0``; empty when a peer sent none.
        text: Printable ASCII, no line ends; ``\\n`` separates the lines of a received reply.
    """

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def is_positive(self) -> bool:
        """2yz or 3yz."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: the client keeps the message and tries again."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the client gives up and tells its user."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)
