"""Takes a compressed layer off; compression says nothing about who wrote it (RFC 8551, 3.6)."""

from __future__ import annotations

from smimegw.cms.compressed_data import inflate
from smimegw.content import MEMORY, Store
from smimegw.errors import MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity
from smimegw.mime.sendable import sendable
from smimegw.smime.media_types import CompressedLayer


def decompress(
    layer: CompressedLayer,
    limits: Limits = DEFAULT_LIMITS,
    *,
    received_octets: int | None = None,
    store: Store = MEMORY,
) -> Entity:
    """Return what is inside *layer*, with CRLF line ends.

    Args:
        layer: The root layer of the message, or of what another layer held.
        limits: What may come out at most.
        received_octets: Size of the whole message, so that layers of compression do not multiply.
        store: Keeps what comes out.

    Raises:
        LimitError: More comes out than is allowed (cases H05).
        CMSError: Not a zlib stream.
        MIMEError: What comes out is no entity that can be passed on.
    """
    octets = inflate(layer.compressed, limits, received_octets=received_octets, store=store)
    entity = sendable(Entity.parse(octets, limits), store)
    if entity is None or not (entity.header.fields or entity.separator):
        raise MIMEError("what was compressed is no entity that SMTP can carry")
    return entity
