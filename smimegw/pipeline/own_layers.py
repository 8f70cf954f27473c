"""Finds what the mail program protected itself, which stays as it is (R-26)."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.content import Store
from smimegw.errors import CMSError, LimitError, MIMEError, VerificationError
from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.pipeline.brief import brief
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.verification import verified
from smimegw.ports import Ports
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLayers:
    """What the client protected itself: a signature that holds, or an encryption (R-26)."""

    signature: bool = False
    encryption: EncryptedLayer | None = None

    @property
    def is_some(self) -> bool:
        """Either of them."""
        return self.signature or self.encryption is not None


async def own_layers(tx: Transaction, ports: Ports, settings: Settings) -> OwnLayers:
    """What of *tx* the client protected itself, as far as it can be read."""
    try:
        layer = await brief(ports, tx.size, layer_of, tx.content, settings.limits, ports.spool)
    except (MIMEError, CMSError, LimitError):
        return OwnLayers()  # not S/MIME that anybody could open: protected like any other content
    if isinstance(layer, EncryptedLayer):
        return OwnLayers(encryption=layer)
    if isinstance(layer, SignedLayer):
        if not await _holds(layer, tx, ports, settings):
            return OwnLayers()
        inside = await brief(ports, tx.size, _encrypted_inside, layer, settings.limits, ports.spool)
        return OwnLayers(signature=True, encryption=inside)
    return OwnLayers()


def _encrypted_inside(layer: SignedLayer, limits: Limits, store: Store) -> EncryptedLayer | None:
    """What is encrypted under a signature: encrypted as well, in a message that stays as it is."""
    try:
        inside = layer_of(Entity.parse(layer.content, limits), limits, store)
    except (MIMEError, CMSError, LimitError):
        return None
    return inside if isinstance(inside, EncryptedLayer) else None


async def _holds(layer: SignedLayer, tx: Transaction, ports: Ports, settings: Settings) -> bool:
    try:
        await verified(layer, tx.content.header, ports, settings)
    except VerificationError:
        return False
    return True
