"""Gives what was opened a form that the next hop takes: 7 bits where it knows nothing else."""

from __future__ import annotations

from dataclasses import replace

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.mime.build import split_for_protection
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.pipeline.replies import Refusal
from smimegw.pipeline.unwrap import Opened, readable_entity
from smimegw.smtp.extensions import Extensions


def carried(opened: Opened, offers: Extensions, limits: Limits) -> Entity | None:
    """What was inside, in 7 bits where it needs 8 and the next hop takes no more.

    Raises:
        Refusal: It is signed inside, or cannot be encoded (RFC 6152, 3; cases L05).
    """
    entity = readable_entity(opened, limits)
    if offers.eightbitmime or entity is None:
        return entity
    inner = Entity(split_for_protection(entity.header)[1], entity.body)
    if inner.raw.isascii():
        return entity
    try:
        converted = canonical_for_signing(inner, limits)
    except (MIMEError, LimitError) as exc:
        raise Refusal("8bit") from exc
    if not converted.raw.isascii():
        raise Refusal("8bit")
    return converted


def carriable(opened: Opened, offers: Extensions, limits: Limits) -> Opened:
    """*opened*, or closed again when the next hop does not take what came out of a ciphertext.

    A refusal would tell whoever sent the ciphertext that it could be opened (cases J11).

    Raises:
        Refusal: The same for what was readable by everybody.
    """
    if offers.eightbitmime or opened.entity is None:
        return opened
    first = next((n for n, entry in enumerate(opened.reports) if entry.result == "decrypted"), None)
    try:
        carried(opened, offers, limits)
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
