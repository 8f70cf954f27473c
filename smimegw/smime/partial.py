"""Finds signed parts inside a multipart frame that is not signed itself.

Such a signature does not cover what the reader sees, so it is never verified for him; the report
only says that it is there.  Mailing lists make such messages by adding a footer.
"""

from __future__ import annotations

from smimegw.content import MEMORY, Store
from smimegw.errors import MessageError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity, read_multipart
from smimegw.smime.media_types import SignedLayer, layer_of

_DEPTH = 8  # of the search: deeper frames are nobody's footer


def has_signed_part(entity: Entity, limits: Limits = DEFAULT_LIMITS, store: Store = MEMORY) -> bool:
    """Whether a part of *entity*, at any depth of multiparts, carries an S/MIME signature.

    Messages inside (message/rfc822) are content and not looked at.  What is decoded, *store* keeps.
    """
    level = [entity]
    seen = 0
    for _ in range(_DEPTH):
        parts = [part for frame in level for part in _parts(frame, limits)]
        seen += len(parts)
        if not parts or seen > limits.mime_parts:
            return False
        if any(_is_signed(part, limits, store) for part in parts):
            return True
        level = parts
    return False


def _parts(entity: Entity, limits: Limits) -> list[Entity]:
    try:
        if entity.content_type.type != "multipart":
            return []
        return [Entity.parse(part, limits) for part in read_multipart(entity, limits).parts]
    except MessageError:
        return []


def _is_signed(entity: Entity, limits: Limits, store: Store) -> bool:
    try:
        layer = layer_of(entity, limits, store)
    except MessageError:
        return False
    return isinstance(layer, SignedLayer) and bool(layer.signed_data.signer_infos)
