"""Peel the layers of an inbound message for one recipient: one read and one pure step each."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from smimegw.addresses import Mailbox
from smimegw.errors import CMSError, LimitError, MessageError, MIMEError, VerificationError
from smimegw.limits import Limits
from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.mime.legacy_display import without_legacy_display
from smimegw.mime.sendable import sendable
from smimegw.pipeline.adoption import Adoption, adoption_of, with_author_compared
from smimegw.pipeline.assurance import integrity
from smimegw.pipeline.brief import brief, with_keys
from smimegw.pipeline.facts import originator
from smimegw.pipeline.once_more import once_more
from smimegw.pipeline.register import Register
from smimegw.pipeline.settings import Settings
from smimegw.pipeline.verification import verified
from smimegw.ports import Ports
from smimegw.smime.decompress import decompress
from smimegw.smime.decrypt import decrypt
from smimegw.smime.disarm import disarm
from smimegw.smime.media_types import (
    CompressedLayer,
    EncryptedLayer,
    Layer,
    SignedLayer,
    layer_of,
)
from smimegw.smime.partial import has_signed_part
from smimegw.smime.report import (
    REPLAY,
    LayerKind,
    LayerReport,
    report_closed,
    report_decompressed,
    report_opened,
    report_partial,
    report_unreadable,
    report_unverified,
    report_verified,
    with_references_disarmed,
)
from smimegw.smime.verify import VerifiedContent, inner_entity
from smimegw.smime.wrapper import wrapped_message
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Opened:
    """What one recipient gets.

    Attributes:
        entity: What the opened layers held; None when the message stays as it came.
        reports: One per layer, outermost first.
        unwrapped: An opaque signature was taken off (the original may be kept beside).
        adoption: What became of the header fields inside, if there were any.
    """

    entity: Entity | None = None
    reports: tuple[LayerReport, ...] = ()
    unwrapped: bool = False
    adoption: Adoption | None = None


class Peeler:
    """Opens one message for its recipients; what does not depend on the recipient is done once."""

    def __init__(self, tx: Transaction, ports: Ports, settings: Settings) -> None:
        self._tx = tx
        self._ports = ports
        self._settings = settings
        self._layers: dict[Entity, Layer | MessageError | None] = {}
        self._inflated: dict[Entity, tuple[LayerReport, Entity | None]] = {}
        self._signatures: dict[Entity, tuple[LayerReport, Entity | None]] = {}
        self._disarmed: dict[Entity, Entity] = {}
        self._decrypted: list[Entity] = []
        self._register = Register(tx, ports)
        self.verified: list[tuple[SignedLayer, VerifiedContent]] = []
        """What was signed by the originator; to learn from."""

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
            layer = await self._layer(entity)
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
                return _stopped(opened, report_unreadable(depth, layer))
            if isinstance(layer, EncryptedLayer):
                report, inner = await self._decrypt(layer, depth, owners, old_ciphers)
            elif isinstance(layer, CompressedLayer):
                report, inner = await self._decompress(layer, depth)
            else:
                report, inner = await self._verify(layer, depth)
            if report.reason == "limits":
                return _stopped(opened, report)
            opened = _advanced(opened, layer, report, inner)
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

    async def _layer(self, entity: Entity) -> Layer | MessageError | None:
        if entity not in self._layers:
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
                self._layers[entity] = exc
            else:
                self._layers[entity] = found
        return self._layers[entity]

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

    async def _decrypt(
        self, layer: EncryptedLayer, depth: int, owners: Sequence[Mailbox], old_ciphers: bool
    ) -> tuple[LayerReport, Entity | None]:
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

    async def _decompress(
        self, layer: CompressedLayer, depth: int
    ) -> tuple[LayerReport, Entity | None]:
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

    async def _verify(self, layer: SignedLayer, depth: int) -> tuple[LayerReport, Entity | None]:
        if layer.entity not in self._signatures:
            self._signatures[layer.entity] = await self._judge(layer, depth)
        return self._signatures[layer.entity]

    async def _judge(self, layer: SignedLayer, depth: int) -> tuple[LayerReport, Entity | None]:
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


def readable_entity(opened: Opened, limits: Limits) -> Entity | None:
    """What the opened layers held, less repetitions of fields that are in the header section now.

    What is signed inside keeps its octets.
    """
    if opened.entity is None or opened.adoption is None:
        return opened.entity
    return without_legacy_display(opened.entity, opened.adoption.fields, limits)


def _stopped(opened: Opened, report: LayerReport) -> Opened:
    """A limit leaves the whole message as it came (R-50), nonsense only the inner part."""
    if report.reason == "limits":
        return Opened(reports=(report,))
    return Opened(opened.entity, (*opened.reports, report), opened.unwrapped)


def _advanced(opened: Opened, layer: Layer, report: LayerReport, inner: Entity | None) -> Opened:
    """Take *report* over; the content is replaced only where the recipient could not read it."""
    reports = (*opened.reports, report)
    if inner is None:
        return Opened(opened.entity, reports, opened.unwrapped)
    if isinstance(layer, SignedLayer) and layer.form is SignedForm.CLEAR:
        return Opened(opened.entity, reports, opened.unwrapped)  # the client can verify it too
    unwrapped = opened.unwrapped or isinstance(layer, SignedLayer)
    return Opened(inner, reports, unwrapped)
