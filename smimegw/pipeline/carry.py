"""Gives what was opened a form that the next hop takes: short lines, 7 bits where it must be.

Inside a layer both may be otherwise (RFC 8551, 3.1.3).
"""

from __future__ import annotations

from dataclasses import replace

from smimegw.content import MEMORY, Store
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.mime.build import split_for_protection
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.mime.lines import has_long_line
from smimegw.pipeline.assurance import integrity
from smimegw.pipeline.opened import Opened, readable_entity
from smimegw.pipeline.replies import Refusal
from smimegw.smtp.extensions import Extensions


def carried(
    opened: Opened, offers: Extensions, limits: Limits, store: Store = MEMORY
) -> Entity | None:
    """What was inside, encoded where lines are too long or 8 bits are more than is taken.

    Raises:
        Refusal: It has no such form, because it is signed inside for instance (RFC 6152, 3;
            cases L05).  Lines that are only too long are a reason where nobody vouches for them.
    """
    entity = readable_entity(opened, limits)
    if entity is None:
        return None
    inner = Entity(split_for_protection(entity.header)[1], entity.body)
    fits = offers.eightbitmime or (inner.header.raw.isascii() and inner.body.isascii())
    if fits and not has_long_line(inner.header.raw) and not has_long_line(inner.body):
        return entity
    try:
        converted = canonical_for_signing(inner, limits, store)
    except (MIMEError, LimitError) as exc:
        if fits and not _is_unvouched(opened):
            return entity  # servers need not take it (RFC 5321, 4.5.3.1.6), but most do
        raise Refusal("8bit") from exc
    if not fits and not converted.content.isascii():
        raise Refusal("8bit")
    return converted


def _is_unvouched(opened: Opened) -> bool:
    is_decrypted = any(entry.result == "decrypted" for entry in opened.reports)
    return is_decrypted and integrity(opened.reports) == "none"


def carriable(opened: Opened, offers: Extensions, limits: Limits, store: Store = MEMORY) -> Opened:
    """*opened*, or closed again when the next hop does not take what came out of a ciphertext.

    A refusal would tell whoever sent the ciphertext that it could be opened (cases J11).

    Raises:
        Refusal: The same for what was readable by everybody.
    """
    if opened.entity is None:
        return opened
    first = next((n for n, entry in enumerate(opened.reports) if entry.result == "decrypted"), None)
    try:
        carried(opened, offers, limits, store)
    except Refusal:
        if first is None:
            raise
        closed = replace(
            opened.reports[first],
            result="not-decrypted",
            reason="8bit",
            integrity="",
            references="",
            fingerprint="",
            notes=(),
        )
        return Opened(reports=(*opened.reports[:first], closed))
    return opened
