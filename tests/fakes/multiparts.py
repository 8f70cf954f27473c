"""Parts of multipart entities, for tests that want to look inside."""

from __future__ import annotations

from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity, read_multipart


def split_multipart(entity: Entity, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """The exact octets of each part."""
    return tuple(b"".join(part) for part in read_multipart(entity, limits).parts)
