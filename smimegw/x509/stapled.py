"""Takes the OCSP responses that a message itself brings, if they are fresh (RFC 5940).

They are signed by the CA like any others, but the signer chose them: after his key was stolen an
old one still says "good".  So only what was made within a day counts, and a newer answer from
elsewhere wins as always.  Lists that come along do not count at all; they are good for weeks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from smimegw.x509.evidence import Evidence
from smimegw.x509.ocsp import made_at

_AGE = timedelta(hours=24)
_RESPONSES = 8  # one for each certificate of a long path


def with_stapled(evidence: Evidence, responses: Iterable[bytes], now: datetime) -> Evidence:
    """Return *evidence* with those of *responses* (DER, untrusted) that are fresh at *now*."""
    fresh = [
        der
        for der in tuple(responses)[:_RESPONSES]
        if (made := made_at(der)) is not None and now - made <= _AGE
    ]
    if not fresh:
        return evidence
    return replace(evidence, ocsp_responses=(*evidence.ocsp_responses, *fresh))
