"""Judges the signature around a message file, and says it in lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from smimegw.cli.inspection import plain
from smimegw.errors import MessageError, VerificationError
from smimegw.mime.entity import Entity
from smimegw.smime.decompress import decompress
from smimegw.smime.media_types import CompressedLayer, SignedLayer, layer_of
from smimegw.smime.report import (
    LayerReport,
    report_unreadable,
    report_unverified,
    report_verified,
)
from smimegw.smime.verify import identity_of, verify
from smimegw.x509.evidence import Evidence


def judge(content: Entity, evidence: Evidence) -> LayerReport:
    """Return whether *content* is signed, as a whole, by who it says it is from."""
    try:
        layer = _signed_layer(content)
        originator, sender = identity_of(content.header)
        verified = verify(
            layer, evidence, originator=originator, sender=sender, now=datetime.now(UTC)
        )
    except VerificationError as exc:
        return report_unverified(0, exc)
    except MessageError as exc:
        return report_unreadable(0, exc)
    return report_verified(0, verified)


def verdict_lines(report: LayerReport) -> Iterator[str]:
    """Return the lines of *report* for people."""
    yield f"{report.result}  {report.reason}".rstrip()
    if report.fingerprint:
        yield f"  signer     <{report.signer}>  {report.fingerprint}"
        yield f"  issuer     {plain(report.issuer)}  serial {report.serial}"
        yield f"  algorithm  {report.algorithm}"
    if report.notes:
        yield f"  notes      {', '.join(report.notes)}"
    if report.detail:
        yield f"  because    {plain(report.detail)}"


def _signed_layer(content: Entity) -> SignedLayer:
    layer = layer_of(content)
    if isinstance(layer, CompressedLayer):
        layer = layer_of(decompress(layer, received_octets=sum(map(len, content.pieces()))))
    if isinstance(layer, SignedLayer):
        return layer
    if layer is None:
        raise VerificationError("none", "not-signed", "no signature around the whole message")
    if isinstance(layer, CompressedLayer):
        raise VerificationError("none", "not-signed", "compressed more than once")
    raise VerificationError("none", "encrypted", "decrypt it first")
