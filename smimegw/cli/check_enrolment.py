"""The doctor's check of enrolment: the EST server answers, and our certificate lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from cryptography import x509

from smimegw.app import Assembled
from smimegw.cli.finding import Finding, Health
from smimegw.config.enrolment import Enrolment
from smimegw.enrolling import est_client
from smimegw.errors import EnrolmentError

_AREA = "enrolment"
_SECONDS = 10.0
_NEARLY_OVER = timedelta(days=30)


async def enrolment(assembled: Assembled) -> Iterable[Finding]:
    """Ask the server for its certificates, and look at ours; nobody is enrolled."""
    settings = assembled.configuration.enrolment
    if not settings.url:
        return [Finding(area=_AREA, what="server", detail="none: nobody is enrolled")]
    return [await _server(settings), _certificate(settings, assembled)]


async def _server(settings: Enrolment) -> Finding:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await est_client(settings).cacerts()
    except (EnrolmentError, TimeoutError) as exc:
        return Finding(
            area=_AREA,
            what="server",
            health=Health.FAIL,
            detail=str(exc) or f"{settings.url} does not answer within {_SECONDS:.0f} s",
            remedy="start smimegw-ca est serve, or correct [enrolment]; senders without a"
            " certificate meet R-10 meanwhile",
        )
    detail = f"{settings.url} answers, {len(found)} CA certificates"
    return Finding(area=_AREA, what="server", detail=detail)


def _certificate(settings: Enrolment, assembled: Assembled) -> Finding:
    assert settings.certificate is not None  # the configuration was checked
    end = x509.load_pem_x509_certificate(settings.certificate.read_bytes()).not_valid_after_utc
    detail = f"{settings.certificate} ends on {end:%Y-%m-%d}"
    if end - assembled.ports.clock.now() > _NEARLY_OVER:
        return Finding(area=_AREA, what="certificate", detail=detail)
    return Finding(
        area=_AREA,
        what="certificate",
        health=Health.WARN,
        detail=detail,
        remedy="make a new one at the CA: smimegw-ca est make",
    )
