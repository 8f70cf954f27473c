"""Opens one layer of an inbound message at a time: one read and one pure step each."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.errors import CMSError, LimitError, MessageError, MIMEError, VerificationError
from smimegw.mime.entity import Entity
from smimegw.mime.sendable import sendable
from smimegw.pipeline.brief import brief, with_keys
from smimegw.pipeline.once_more import once_more
from smimegw.pipeline.register import Register
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.verification import verified
from smimegw.ports import Ports
from smimegw.smime.decompress import decompress
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import (
    CompressedLayer,
    EncryptedLayer,
    Layer,
    SignedLayer,
    layer_of,
)
from smimegw.smime.report import (
    REPLAY,
    LayerReport,
    report_closed,
    report_decompressed,
    report_opened,
    report_unreadable,
    report_unverified,
    report_verified,
)
from smimegw.smime.verify import VerifiedContent, inner_entity
from smimegw.transaction import Transaction

Step = tuple[LayerReport, Entity | None]


class Layers:
    """The layers of one message; what does not depend on the recipient is done once.

    Attributes:
        verified: What was signed by the originator; to learn from.
    """

    def __init__(self, tx: Transaction, ports: Ports, settings: Settings) -> None:
        self.verified: list[tuple[SignedLayer, VerifiedContent]] = []
        self._tx = tx
        self._ports = ports
        self._settings = settings
        self._found: dict[Entity, Layer | MessageError | None] = {}
        self._inflated: dict[Entity, Step] = {}
        self._signatures: dict[Entity, Step] = {}
        self._decrypted: list[Entity] = []
        self._register = Register(tx, ports)

    async def find(self, entity: Entity) -> Layer | MessageError | None:
        """The layer that *entity* is, or why it cannot be read; None when it is none."""
        if entity not in self._found:
            try:
                found = await brief(
                    self._ports,
                    len(entity.body),
                    layer_of,
                    entity,
                    self._settings.limits,
                    self._ports.spool,
                )
            except (LimitError, MIMEError, CMSError) as exc:
                self._found[entity] = exc
            else:
                self._found[entity] = found
        return self._found[entity]

    async def open(
        self, layer: Layer, depth: int, owners: Sequence[Mailbox], *, old_ciphers: bool
    ) -> Step:
        """What was found about *layer*, and what is inside; None where that stays closed.

        Raises:
            KeystoreError: Locked or not answering, and a key of *owners* is needed.
            DatabaseError: What was seen before could not be asked (R-22).
        """
        if isinstance(layer, EncryptedLayer):
            return await self._decrypt(layer, depth, owners, old_ciphers)
        if isinstance(layer, CompressedLayer):
            return await self._decompress(layer, depth)
        return await self._verify(layer, depth)

    async def _decrypt(
        self, layer: EncryptedLayer, depth: int, owners: Sequence[Mailbox], old_ciphers: bool
    ) -> Step:
        ask = self._ports.keystore.decryption_credentials
        credentials = await once_more(partial(ask, layer.recipient_ids, owners))
        replayed = bool(credentials) and await self._register.is_replayed(layer, credentials)
        if credentials:
            await self._register.mark_thread()
        try:
            content = await with_keys(
                credentials,
                self._ports,
                self._tx.size,
                decrypt,
                layer,
                credentials,
                limits=self._settings.limits,
                allow_legacy=old_ciphers,
                store=self._ports.spool,
            )
        except MessageError as exc:
            return report_closed(depth, layer, exc), None
        report = report_opened(depth, content)
        if replayed:
            report = replace(report, notes=(*report.notes, REPLAY))
        return report, await self._known(content.entity)

    async def _known(self, entity: Entity) -> Entity:
        """The same for all whose keys open the same: long ones are compared only here."""
        for known in self._decrypted:
            if await brief(self._ports, len(entity.body), operator.eq, known, entity):
                return known
        self._decrypted.append(entity)
        return entity

    async def _decompress(self, layer: CompressedLayer, depth: int) -> Step:
        if layer.entity not in self._inflated:
            try:
                content = await self._ports.workers.run(
                    decompress,
                    layer,
                    self._settings.limits,
                    received_octets=self._tx.size,
                    store=self._ports.spool,
                )
            except (LimitError, MIMEError, CMSError) as exc:
                self._inflated[layer.entity] = report_unreadable(depth, exc), None
            else:
                self._inflated[layer.entity] = report_decompressed(depth), content
        return self._inflated[layer.entity]

    async def _verify(self, layer: SignedLayer, depth: int) -> Step:
        if layer.entity not in self._signatures:
            self._signatures[layer.entity] = await self._judge(layer, depth)
        return self._signatures[layer.entity]

    async def _judge(self, layer: SignedLayer, depth: int) -> Step:
        header = self._tx.content.header
        try:
            content = await verified(layer, header, self._ports, self._settings, self._register)
        except VerificationError as exc:
            report = report_unverified(depth, exc)
            return report, await self._readable(layer, report)
        self.verified.append((layer, content))
        return report_verified(depth, content), await self._sendable(content.entity)

    async def _readable(self, layer: SignedLayer, report: LayerReport) -> Entity | None:
        """What is inside a signature that did not pass; None where the original must stay."""
        # A wrong digest or signature means that nobody knows what the content was.
        if report.result in {"fail", "permerror", "none"} or report.reason == "signers":
            return None
        try:
            return await self._sendable(inner_entity(layer, self._settings.limits))
        except (MIMEError, LimitError):
            return None

    async def _sendable(self, entity: Entity) -> Entity | None:
        return await brief(self._ports, len(entity.body), sendable, entity, self._ports.spool)
