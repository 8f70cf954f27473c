"""A user's login and the three answers to it (RFC 4954, 4 and 6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from smimegw.smtp.reply import Reply

ACCEPTED = Reply(235, "2.7.0", "authentication successful")
REFUSED = Reply(535, "5.7.8", "authentication credentials invalid")
LATER = Reply(454, "4.7.0", "temporary authentication failure")


@dataclass(frozen=True, slots=True)
class Login:
    """What a client wants to log in with."""

    user: str
    password: str = field(repr=False)
