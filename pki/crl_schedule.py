"""Knows when CRLs have to be made: before their readers need them, and when there is news."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from pki import crl
from pki.authority import Issuer
from pki.certified import IssuerName, Listed
from pki.crl import REMOVED, Delta, makes_deltas
from pki.home import Home


def due(home: Home, name: IssuerName, *, now: datetime) -> tuple[str, ...]:
    """Return why CRLs of *name* should be made now: ``complete: …`` or ``delta: …``; () if none.

    A list is made anew when half its time is over, so that a day on which nothing works does not
    end with no valid list; when something was revoked that no list says; and when the clock was
    ahead, so that the list counts only later.
    """
    current = crl.lists(home.register, name)
    if current.complete is None:
        return ("complete: there is none yet",)
    news = unlisted(home, name, now=now)
    if reason := _untimely(current.complete.crl, now):
        return (f"complete: {reason}",)
    if not makes_deltas(home, name):
        return (f"complete: {news} changes are on no list",) if news else ()
    if current.delta is None:
        return ("delta: there is none yet",)
    if reason := _untimely(current.delta.crl, now):
        return (f"delta: {reason}",)
    return (f"delta: {news} changes are on no list",) if news else ()


def make_due(home: Home, name: IssuerName, issuer: Issuer, *, now: datetime) -> Listed | Delta:
    """Make whichever `due` names; a complete one brings its delta along."""
    if any(reason.startswith("complete") for reason in due(home, name, now=now)):
        return crl.make(home, name, issuer, now=now)
    return crl.make_delta(home, name, issuer, now=now)


def unlisted(home: Home, name: IssuerName, *, now: datetime) -> int:
    """How many revocations and releases no list says; entries that only expired are no news."""
    current = crl.lists(home.register, name)
    if current.complete is None:
        return 0
    told = dict(crl.reasons(current.complete.crl))
    for delta in current.deltas:
        told |= crl.reasons(delta.crl)
    told = {serial: reason for serial, reason in told.items() if reason is not REMOVED}
    wanted = {
        item.serial: x509.ReasonFlags(item.revocation.reason)
        for item in home.register.revoked_for_crl(name)
    }
    ends = {item.serial: item.not_after for item in home.register.certificates()}
    released = [s for s in told if s not in wanted and s in ends and ends[s] >= now]
    return len(released) + sum(told.get(serial) is not wanted[serial] for serial in wanted)


def _untimely(made: x509.CertificateRevocationList, now: datetime) -> str:
    begin, end = made.last_update_utc, crl.next_update(made)
    if now < begin:
        return "it begins in the future, so readers do not take it; the clock was ahead"
    return "half its time is over" if now >= begin + (end - begin) / 2 else ""
