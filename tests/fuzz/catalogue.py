"""Every fuzz target by its name."""

from __future__ import annotations

from tests.fuzz import (
    ca_targets,
    cms_targets,
    keys_targets,
    mime_targets,
    opened_targets,
    sources_targets,
    wire_targets,
    x509_targets,
)
from tests.fuzz.target import Target

_MODULES = (
    ca_targets,
    cms_targets,
    keys_targets,
    mime_targets,
    opened_targets,
    sources_targets,
    wire_targets,
    x509_targets,
)
TARGETS: dict[str, Target] = {
    target.name: target for module in _MODULES for target in module.TARGETS
}
