"""What ``smimegw doctor`` looks at in trust: anchors, and lists of their CAs that are fresh."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from smimegw.app import Assembled
from smimegw.cli.finding import Finding, Health
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_ANCHOR_SOON = timedelta(days=90)  # a new root has to reach everybody


async def trust_anchors(assembled: Assembled) -> Iterable[Finding]:
    """Every anchor, and the revocation list of every authority."""
    now = assembled.ports.clock.now()
    trust = assembled.settings.trust
    if not trust.every_anchor:
        text = "no certificate: nothing can be encrypted, no signature is trusted"
        remedy = "put the root certificates of your CAs there"
        return [
            Finding(
                area="trust", what="trust.anchors", health=Health.FAIL, detail=text, remedy=remedy
            )
        ]
    authorities = dict.fromkeys((*trust.every_anchor, *trust.intermediates))
    return [
        *(_anchor(anchor, now) for anchor in trust.every_anchor),
        *[await _crls(authority, assembled, now) for authority in authorities],
    ]


def _anchor(anchor: Certificate, now: datetime) -> Finding:
    end = anchor.not_after
    health = Health.FAIL if end < now else Health.WARN if end < now + _ANCHOR_SOON else Health.OK
    detail = f"{'ended' if end < now else 'ends'} {end:%Y-%m-%d}"
    remedy = "add its successor to trust.anchors" if health else ""
    return Finding(
        area="trust", what=anchor.subject_text, health=health, detail=detail, remedy=remedy
    )


async def _crls(authority: Certificate, assembled: Assembled, now: datetime) -> Finding:
    """Whether a list of *authority* is at hand, and fresh; what servers have is not fetched."""
    what, trust = f"CRL of {authority.subject_text}", assembled.settings.trust
    try:
        stored = await assembled.ports.authorities.crls(authority.subject_der)
    except DirectoryError as exc:
        return Finding(area="trust", what=what, health=Health.FAIL, detail=str(exc))
    ends = [end for der in (*trust.crls, *stored) if (end := _next_update(der, authority))]
    if not ends:
        fetched = assembled.configuration.revocation.allow_hosts
        if fetched or not trust.require_revocation:
            return Finding(area="trust", what=what, detail="none stored; asked for when needed")
        remedy = "name it in trust.crls, publish it, or allow its server in revocation.allow_hosts"
        text = "none: certificates of this CA are not used (R-05)"
        return Finding(area="trust", what=what, health=Health.WARN, detail=text, remedy=remedy)
    latest = max(ends)
    if latest >= now:
        return Finding(area="trust", what=what, detail=f"next update {latest:%Y-%m-%d %H:%M}Z")
    grace = latest + timedelta(seconds=trust.crl_grace_seconds)
    health = Health.WARN if now < grace else Health.FAIL
    text = f"next update was due {latest:%Y-%m-%d %H:%M}Z, grace ends {grace:%Y-%m-%d %H:%M}Z"
    remedy = "have the CA make and publish a new list (smimegw-ca crl make)"
    return Finding(area="trust", what=what, health=health, detail=text, remedy=remedy)


def _next_update(der: bytes, authority: Certificate) -> datetime | None:
    try:
        found = x509.load_der_x509_crl(der)
        if found.issuer.public_bytes() != authority.subject_der:
            return None
        return found.next_update_utc or datetime.max.replace(tzinfo=UTC)
    except PARSE_ERRORS:
        return None
