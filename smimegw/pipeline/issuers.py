"""Fetches CA certificates that directories and files do not have, from where certificates say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from smimegw.ports import Ports
from smimegw.x509.certificate import Certificate

_CHILDREN = 4  # certificates of one issuer that are asked with: enough, and nobody multiplies
_MARGIN_SECONDS = 0.5  # our deadline comes before the caller's, so that the rest is not lost


@dataclass(frozen=True, slots=True)
class FetchedIssuers:
    """CA certificates that came from outside, or why none did though somebody was asked."""

    found: tuple[Certificate, ...] = ()
    trouble: str = ""


async def missing_issuers(
    name: bytes, certificates: Iterable[Certificate], ports: Ports, until: float
) -> FetchedIssuers:
    """CA certificates with the subject *name*, from the places that its children name.

    Only hosts of the allow-list are asked: whoever makes a certificate chooses the address (T-14).
    What comes is a candidate for a path like any other.  Never raises, never waits long.

    Args:
        name: Of the issuer that nobody at hand knows, DER.
        certificates: Those at hand; some of them are its children.
        ports: Where to ask.
        until: Time of the event loop at which the caller gives up.
    """
    source = ports.revocation
    children = [c for c in dict.fromkeys(certificates) if c.issuer_der == name][:_CHILDREN]
    questions = [
        source.issuers(child, urls)
        for child in children
        if (urls := [url for url in child.issuer_urls if source.may_ask(url)])
    ]
    if not questions:
        return FetchedIssuers()
    try:
        async with asyncio.timeout_at(until - _MARGIN_SECONDS):
            answers = await asyncio.gather(*questions)
    except TimeoutError:
        answers = []
    found = dict.fromkeys(c for answer in answers for c in answer if c.subject_der == name)
    if not found:
        return FetchedIssuers(trouble="its issuer's certificate was not where it says (caIssuers)")
    return FetchedIssuers(tuple(found))
