"""A machine that is not fit takes no mail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from smimegw.ports import HostTrouble
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import ReversePath, SessionInfo
from tests.fakes.company import Company
from tests.fakes.ports import World


@dataclass
class IllHost:
    """A machine with one trouble."""

    row: str

    def trouble(self) -> HostTrouble | None:
        return HostTrouble(self.row, "for the log") if self.row else None


@pytest.mark.parametrize(
    ("row", "code", "enhanced"), [("R-21", 452, "4.3.1"), ("R-24", 421, "4.3.2")]
)
def test_mail_is_refused_before_anything_is_read(row: str, code: int, enhanced: str) -> None:
    """Disk nearly full, clock wrong (R-21, R-24); when that is over, mail is taken again."""
    host = IllHost(row)
    company = Company(world=World(host=host))

    def begin() -> Reply:
        session = SessionInfo(
            listener="relay", role=ListenerRole.RELAY, protocol="ESMTP", peer="192.0.2.1"
        )
        return asyncio.run(company.gateway.begin(session, ReversePath(mailbox=None)))[0]

    reply = begin()
    assert (reply.code, reply.enhanced) == (code, enhanced)
    host.row = ""
    assert begin().code == 250
