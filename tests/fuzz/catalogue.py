"""Every fuzz target by its name."""

from __future__ import annotations

from tests.fuzz import cms_targets, mime_targets, opened_targets, wire_targets, x509_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (cms_targets, mime_targets, opened_targets, wire_targets, x509_targets)
    for target in module.TARGETS
}
