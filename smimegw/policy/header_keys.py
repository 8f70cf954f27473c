"""Reads the keys of `then` that say how header fields are protected (RFC 9788)."""

from __future__ import annotations

from collections.abc import Iterator

from smimegw.mime.confidentiality import (
    NEVER_HIDDEN,
    HeaderConfidentiality,
    HeaderProtection,
    is_protected,
)
from smimegw.policy.forms import ThenForm
from smimegw.policy.model import Protection

KEYS = ("header_confidentiality", "hidden_fields", "legacy_display")


def header_protection(then: ThenForm) -> HeaderProtection:
    """The keys as a value; without them header fields are not protected."""
    return HeaderProtection(
        confidentiality=then.header_confidentiality or HeaderConfidentiality.OFF,
        hidden_fields=tuple(dict.fromkeys(then.hidden_fields or ())),
        legacy_display=then.legacy_display is not False,
    )


def header_problems(then: ThenForm) -> Iterator[tuple[str, str]]:
    """What is wrong with them: key and message."""
    if then.protect is None:
        for key in KEYS:
            if getattr(then, key) is not None:
                yield key, "without effect: the rule has no protect"
        return
    confidentiality = then.header_confidentiality or HeaderConfidentiality.OFF
    protect = then.protect
    if confidentiality is not HeaderConfidentiality.OFF and protect is Protection.NONE:
        yield "header_confidentiality", "without effect: protect is none"
    for key in KEYS[1:]:
        if getattr(then, key) is None:
            continue
        if not protect.encrypts:
            yield key, f"without effect: protect is {protect.value}, nothing is encrypted"
        elif not confidentiality.hides:
            message = f"without effect while header_confidentiality is {confidentiality.value}"
            yield key, f"{message}.  Allowed with it: baseline, shy"
    for name in then.hidden_fields or ():
        if name in NEVER_HIDDEN:
            yield "hidden_fields", f"{name} cannot be removed; the Subject is obscured anyway"
        elif not is_protected(name):
            yield "hidden_fields", f"{name} is not a field that its author wrote, nothing hides it"
