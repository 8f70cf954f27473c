"""Peels an inbound message for one recipient, layer by layer, and judges what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smimegw.addresses import Mailbox
from smimegw.errors import LimitError, MessageError
from smimegw.mime.entity import Entity
from smimegw.pipeline.adoption import adoption_of, with_author_compared
from smimegw.pipeline.assurance import integrity
from smimegw.pipeline.brief import brief
from smimegw.pipeline.facts import originator
from smimegw.pipeline.layers import Layers
from smimegw.pipeline.opened import Opened, advanced, stopped
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smime.disarm import disarm
from smimegw.smime.media_types import SignedLayer
from smimegw.smime.partial import has_signed_part
from smimegw.smime.report import (
    LayerKind,
    report_partial,
    report_unreadable,
    with_references_disarmed,
)
from smimegw.smime.verify import VerifiedContent
from smimegw.smime.wrapper import wrapped_message
from smimegw.transaction import Transaction


class Peeler:
    """Opens one message for its recipients; what does not depend on the recipient is done once."""

    def __init__(self, tx: Transaction, ports: Ports, settings: Settings) -> None:
        self._tx = tx
        self._ports = ports
        self._settings = settings
        self._layers = Layers(tx, ports, settings)
        self._disarmed: dict[Entity, Entity] = {}

    @property
    def verified(self) -> Sequence[tuple[SignedLayer, VerifiedContent]]:
        """What was signed by the originator; to learn from."""
        return self._layers.verified

    async def open_for(self, owners: Sequence[Mailbox], *, old_ciphers: bool = False) -> Opened:
        """Peel with the keys of *owners* only; 3DES and RC2 where the rule has *old_ciphers*.

        Raises:
            KeystoreError: Locked or not answering, and a key of *owners* is needed.
            DatabaseError: What was seen before could not be asked (R-22).
        """
        return await self._disarm(await self._peel(owners, old_ciphers))

    async def _peel(self, owners: Sequence[Mailbox], old_ciphers: bool) -> Opened:
        entity = self._tx.content
        opened = Opened()
        is_wrapped = False
        for depth in range(self._settings.limits.layers + 1):
            layer = await self._layers.find(entity)
            if layer is None:
                message = self._wrapped(opened, entity, depth)
                if message is None:
                    return await self._finished(opened, entity, depth, is_wrapped)
                if opened.entity is not None:
                    opened = replace(opened, entity=message)
                entity, is_wrapped = message, True
                continue
            if depth == self._settings.limits.layers:
                layer = LimitError("layers", "more layers than are opened")
            if isinstance(layer, MessageError):
                return stopped(opened, report_unreadable(depth, layer))
            report, inner = await self._layers.open(layer, depth, owners, old_ciphers=old_ciphers)
            if report.reason == "limits":
                return stopped(opened, report)
            opened = advanced(opened, layer, report, inner)
            if inner is None:
                return opened
            entity, is_wrapped = inner, False
        return opened

    def _wrapped(self, opened: Opened, entity: Entity, depth: int) -> Entity | None:
        """The message inside a wrapper, which counts as a layer (RFC 8551, 3.1; cases L07)."""
        kinds = {entry.kind for entry in opened.reports}
        if depth == self._settings.limits.layers or not kinds - {LayerKind.COMPRESSION}:
            return None
        author = originator(self._tx.content.header)
        if author is None:
            return None
        return wrapped_message(entity, author.mailbox, self._settings.limits)

    async def _finished(
        self, opened: Opened, payload: Entity, depth: int, is_wrapped: bool
    ) -> Opened:
        opened = await self._with_partial(opened, payload, depth)
        return await self._with_header(opened, payload, is_wrapped) if depth else opened

    async def _disarm(self, opened: Opened) -> Opened:
        """Without references to the outside where nobody vouches for what came out (J03)."""
        before, reports = opened.entity, opened.reports
        is_decrypted = any(entry.result == "decrypted" for entry in reports)
        if before is None or not is_decrypted or integrity(reports) != "none":
            return opened
        if before not in self._disarmed:
            self._disarmed[before] = await self._ports.workers.run(
                disarm, before, self._settings.limits, self._ports.spool
            )
        after = self._disarmed[before]
        if after is before:
            return opened
        return replace(opened, entity=after, reports=with_references_disarmed(reports))

    async def _with_partial(self, opened: Opened, entity: Entity, depth: int) -> Opened:
        """Say so when only parts of what nobody signed as a whole are signed (cases I09)."""
        if any(entry.kind in {LayerKind.SIGNATURE, LayerKind.UNKNOWN} for entry in opened.reports):
            return opened
        is_partial = await brief(
            self._ports,
            len(entity.body),
            has_signed_part,
            entity,
            self._settings.limits,
            self._ports.spool,
        )
        if not is_partial:
            return opened
        return replace(opened, reports=(*opened.reports, report_partial(depth)))

    async def _with_header(self, opened: Opened, payload: Entity, is_wrapped: bool) -> Opened:
        """Judge the header fields inside: *payload* is the root of all layers (RFC 9788)."""
        adoption = await brief(
            self._ports,
            len(payload.body),
            adoption_of,
            payload,
            self._tx.content.header,
            self._tx.envelope.reverse_path.mailbox,
            opened.reports,
            is_wrapped=is_wrapped,
            limits=self._settings.limits,
        )
        reports = with_author_compared(opened.reports, adoption)
        return replace(opened, reports=reports, adoption=adoption)
