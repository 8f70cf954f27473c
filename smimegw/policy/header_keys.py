"""Reads the keys of `then` that say how header fields are protected (RFC 9788)."""

from __future__ import annotations

from collections.abc import Iterator

from smimegw.mime.confidentiality import (
    NEVER_HIDDEN,
    HeaderConfidentiality,
    HeaderProtection,
    is_protected,
)
from smimegw.policy.choices import Protection
from smimegw.policy.forms import ThenForm

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


def header_text(header: HeaderProtection, protect: Protection) -> str:
    """What becomes of the header fields, for people; empty when they are not protected."""
    if header.confidentiality is HeaderConfidentiality.OFF or protect is Protection.NONE:
        return ""
    if not protect.encrypts or not header.confidentiality.hides:
        return "header fields protected, none hidden"
    hidden = ["Subject", "Keywords", "Comments", *header.hidden_fields]
    if header.confidentiality is HeaderConfidentiality.SHY:
        hidden += ["display names", "time zone"]
    repeated = ", repeated in the text" if header.legacy_display else ""
    return f"header fields protected, hidden: {', '.join(hidden)}{repeated}"
