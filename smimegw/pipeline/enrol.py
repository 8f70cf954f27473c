"""Gets a certificate for a sender who has none, so that already the first mail is signed.

Only for an address that the session may use (R-12 was decided before) and of our own domains.
Whatever goes wrong becomes a reason, never an exception: without a certificate the rule decides.
"""

from __future__ import annotations

import asyncio

from smimegw.addresses import Mailbox
from smimegw.errors import EnrolmentError
from smimegw.pipeline.settings import Settings
from smimegw.policy.answers import SigningAnswer
from smimegw.ports import Ports

_EXPIRED = "expired"


def would_help(answer: SigningAnswer, detail: str) -> bool:
    """Whether a new certificate mends it; a revoked one is a person's matter."""
    return answer is SigningAnswer.NONE or (answer is SigningAnswer.EXPIRED and detail == _EXPIRED)


async def enrol(mailbox: Mailbox, ports: Ports, settings: Settings) -> str:
    """Have a certificate issued for *mailbox* and kept in the keystore; "" or why there is none."""
    began = ports.clock.now()
    try:
        async with asyncio.timeout(settings.limits.enrolment_seconds):
            await ports.enrolment.enrol(mailbox)
    except (EnrolmentError, TimeoutError) as exc:
        limit = settings.limits.enrolment_seconds
        text = str(exc) or f"the certificate authority did not answer within {limit:.0f} s"
        ports.events.emit("enrolment.error", **{"from": mailbox.address}, text=text, code="R-10")
        return text
    seconds = (ports.clock.now() - began).total_seconds()
    ports.events.emit("enrolment.done", **{"from": mailbox.address}, seconds=seconds)
    return ""
