"""What the layers of an inbound message came to, for one recipient or for those alike."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.limits import Limits
from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.mime.legacy_display import without_legacy_display
from smimegw.pipeline.adoption import Adoption
from smimegw.smime.media_types import Layer, SignedLayer
from smimegw.smime.report import LayerReport
from smimegw.transaction import Recipient


@dataclass(frozen=True, slots=True)
class Opened:
    """What one recipient gets.

    Attributes:
        entity: What the opened layers held; None when the message stays as it came.
        reports: One per layer, outermost first.
        unwrapped: An opaque signature was taken off (the original may be kept beside).
        adoption: What became of the header fields inside, if there were any.
    """

    entity: Entity | None = None
    reports: tuple[LayerReport, ...] = ()
    unwrapped: bool = False
    adoption: Adoption | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """Recipients for whom the layers came apart in the same way."""

    recipients: tuple[Recipient, ...]
    opened: Opened


def readable_entity(opened: Opened, limits: Limits) -> Entity | None:
    """What the opened layers held, less repetitions of fields that are in the header section now.

    What is signed inside keeps its octets.
    """
    if opened.entity is None or opened.adoption is None:
        return opened.entity
    return without_legacy_display(opened.entity, opened.adoption.fields, limits)


def stopped(opened: Opened, report: LayerReport) -> Opened:
    """A limit leaves the whole message as it came (R-50), nonsense only the inner part."""
    if report.reason == "limits":
        return Opened(reports=(report,))
    return Opened(opened.entity, (*opened.reports, report), opened.unwrapped)


def advanced(opened: Opened, layer: Layer, report: LayerReport, inner: Entity | None) -> Opened:
    """Take *report* over; the content is replaced only where the recipient could not read it."""
    reports = (*opened.reports, report)
    if inner is None:
        return Opened(opened.entity, reports, opened.unwrapped)
    if isinstance(layer, SignedLayer) and layer.form is SignedForm.CLEAR:
        return Opened(opened.entity, reports, opened.unwrapped)  # the client can verify it too
    unwrapped = opened.unwrapped or isinstance(layer, SignedLayer)
    return Opened(inner, reports, unwrapped)
