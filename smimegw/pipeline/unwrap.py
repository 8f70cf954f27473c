"""Peel the layers of an inbound message for one recipient: one read and one pure step each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smimegw.addresses import Mailbox
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    MIMEError,
    NoMatchingKeyError,
)
from smimegw.mime.entity import Entity
from smimegw.pipeline import gather
from smimegw.pipeline.facts import originator, sender
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import EncryptedLayer, SignedForm, SignedLayer, layer_of
from smimegw.smime.report import EncryptionReport, LayerReport, SignatureReport, signature_report
from smimegw.smime.verify import VerificationError, inner_entity, verify
from smimegw.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Opened:
    """What one recipient gets.

    Attributes:
        entity: What the opened layers held; None when the message stays as it came.
        reports: One per layer, outermost first.
        unwrapped: An opaque signature was taken off (the original may be kept beside).
    """

    entity: Entity | None = None
    reports: tuple[LayerReport, ...] = ()
    unwrapped: bool = False


class Peeler:
    """Opens one message for its recipients; what does not depend on the recipient is done once."""

    def __init__(self, tx: Transaction, ports: Ports, settings: Settings) -> None:
        self._tx = tx
        self._ports = ports
        self._settings = settings
        self._signatures: dict[Entity, tuple[SignatureReport, Entity | None]] = {}
        self._root: SignedLayer | EncryptedLayer | LayerReport | None = None
        self._root_known = False

    async def open_for(self, owners: Sequence[Mailbox]) -> Opened:
        """Peel with the keys of *owners* only.

        Raises:
            KeystoreError: Locked or not answering, and a key of *owners* is needed.
        """
        entity = self._tx.content
        opened = Opened()
        for depth in range(self._settings.limits.layers + 1):
            layer = await self._layer(entity, depth)
            if isinstance(layer, LayerReport):
                return self._stopped(opened, layer)
            if layer is None:
                return opened
            if depth == self._settings.limits.layers:
                break
            if isinstance(layer, EncryptedLayer):
                report, inner = await self._decrypt(layer, depth, owners)
            else:
                report, inner = await self._verify(layer, depth)
            if report.reason == "limits":
                return self._stopped(opened, report)
            opened = _advanced(opened, layer, report, inner)
            if inner is None:
                return opened
            entity = inner
        return self._stopped(opened, _limits_report(layer, depth))

    async def _layer(
        self, entity: Entity, depth: int
    ) -> SignedLayer | EncryptedLayer | LayerReport | None:
        if depth == 0 and self._root_known:
            return self._root
        try:
            found = await self._ports.workers.run(layer_of, entity, self._settings.limits)
        except LimitError:
            found = _limits_report(None, depth)
        except (MIMEError, CMSError):
            found = SignatureReport(layer=depth, result="permerror", reason="malformed")
        if depth == 0:
            self._root, self._root_known = found, True
        return found

    def _stopped(self, opened: Opened, report: LayerReport) -> Opened:
        """A limit leaves the whole message as it came (R-50), nonsense only the inner part."""
        if report.reason == "limits":
            return Opened(reports=(report,))
        return Opened(opened.entity, (*opened.reports, report), opened.unwrapped)

    async def _decrypt(
        self, layer: EncryptedLayer, depth: int, owners: Sequence[Mailbox]
    ) -> tuple[EncryptionReport, Entity | None]:
        credentials = await self._ports.keystore.decryption_credentials(layer.recipient_ids, owners)
        if not credentials:
            return _closed(depth, "no-key"), None
        try:
            content = await self._ports.workers.run(
                decrypt, layer, credentials, limits=self._settings.limits
            )
        except NoMatchingKeyError:
            return _closed(depth, "no-key"), None
        except LimitError:
            return _closed(depth, "limits"), None
        except (DecryptionError, CMSError, MIMEError):
            return _closed(depth, "failed"), None  # one word for all inner causes
        report = EncryptionReport(
            layer=depth,
            result="decrypted",
            cipher=content.cipher.label,
            authenticated=content.authenticated,
            fingerprint=content.key_fingerprint,
        )
        return report, content.entity

    async def _verify(
        self, layer: SignedLayer, depth: int
    ) -> tuple[SignatureReport, Entity | None]:
        if layer.entity not in self._signatures:
            self._signatures[layer.entity] = await self._judge(layer, depth)
        return self._signatures[layer.entity]

    async def _judge(self, layer: SignedLayer, depth: int) -> tuple[SignatureReport, Entity | None]:
        header = self._tx.content.header
        author, on_behalf = originator(header), sender(header)
        limits = self._settings.limits
        bag = layer.signed_data.certificates
        gathered = await gather.evidence_for(
            layer.signed_data.signer_certificates(),
            self._ports,
            self._settings,
            intermediates=bag,
            crls=layer.signed_data.crls,
        )
        strict = author is not None and self._settings.compares_local_part(author.mailbox)
        try:
            verified = await self._ports.workers.run(
                verify,
                layer,
                gathered.evidence,
                originator=author.mailbox if author else None,
                sender=on_behalf.mailbox if on_behalf else None,
                now=self._ports.clock.now(),
                limits=limits,
                strict_local_part=strict,
            )
        except VerificationError as exc:
            report = signature_report(depth, exc)
            return report, self._readable(layer, report)
        return signature_report(depth, verified), verified.entity

    def _readable(self, layer: SignedLayer, report: SignatureReport) -> Entity | None:
        """What is inside a signature that did not pass; None where the original must stay."""
        # A wrong digest or signature means that nobody knows what the content was.
        if report.result in {"fail", "permerror", "none"}:
            return None
        try:
            return inner_entity(layer, self._settings.limits)
        except (MIMEError, LimitError):
            return None


def _closed(depth: int, reason: str) -> EncryptionReport:
    return EncryptionReport(layer=depth, result="not-decrypted", reason=reason)


def _limits_report(layer: object, depth: int) -> LayerReport:
    if isinstance(layer, EncryptedLayer):
        return _closed(depth, "limits")
    return SignatureReport(layer=depth, result="permerror", reason="limits")


def _advanced(
    opened: Opened, layer: SignedLayer | EncryptedLayer, report: LayerReport, inner: Entity | None
) -> Opened:
    """Take *report* over; the content is replaced only where the recipient could not read it."""
    reports = (*opened.reports, report)
    if inner is None:
        return Opened(opened.entity, reports, opened.unwrapped)
    if isinstance(layer, SignedLayer) and layer.form is SignedForm.CLEAR:
        return Opened(opened.entity, reports, opened.unwrapped)  # the client can verify it too
    unwrapped = opened.unwrapped or isinstance(layer, SignedLayer)
    return Opened(inner, reports, unwrapped)
