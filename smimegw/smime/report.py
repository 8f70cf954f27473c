"""What became of each layer, as values; whoever writes result fields or logs reads these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    MessageError,
    NoMatchingKeyError,
    UnsupportedAlgorithmError,
    VerificationError,
)
from smimegw.smime.decrypt import OpenedContent
from smimegw.smime.media_types import EncryptedLayer
from smimegw.smime.verify import VerifiedContent, signer_labels

REPLAY = "replay"
"""Note of an encryption whose octets came before in a mail from somebody else (T-05)."""


class LayerKind(StrEnum):
    """What a layer was."""

    SIGNATURE = "signature"
    ENCRYPTION = "encryption"
    COMPRESSION = "compression"  # neither signed nor encrypted
    UNKNOWN = "unknown"  # claimed to be S/MIME and could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What became of one layer.

    Attributes:
        layer: 0 is the outermost.
        result: Of a signature ``pass``, ``fail``, ``policy``, ``neutral``, ``temperror``,
            ``permerror``, ``none``; of an encryption ``decrypted`` or ``not-decrypted``; of a
            compression ``decompressed``.
        reason: One word, empty when all is well.
        signer: The certificate's address: the matching one on ``pass``, else its first.
        fingerprint: Of the signer's certificate, or of the one whose key opened the layer.
        algorithm: Such as ``rsa-pss-sha256``.
        cipher: Such as ``aes-256-gcm``.
        integrity: Of an encryption ``authenticated`` or ``none``; empty for signatures.
        references: Of an encryption ``disarmed`` when what it held was changed so that showing it
            loads nothing; else empty.
        serial: Of the signer's certificate, hexadecimal.
        issuer: Of the signer's certificate, RFC 4514; text from outside, to be escaped.
        signers: Of several signers, what became of each, such as ``intact,digest``.
        notes: Oddities such as ``micalg-mismatch`` and ``weak-cipher``.
        detail: For the log only.
    """

    layer: int
    kind: LayerKind
    result: str
    reason: str = ""
    signer: str = ""
    fingerprint: str = ""
    algorithm: str = ""
    cipher: str = ""
    integrity: str = ""
    references: str = ""
    serial: str = ""
    issuer: str = ""
    signers: str = ""
    notes: tuple[str, ...] = ()
    detail: str = ""


def report_verified(layer: int, verified: VerifiedContent) -> LayerReport:
    """Report a signature that counts."""
    labels = signer_labels(verified.signer.certificate) | {"signer": verified.mailbox.address}
    return _signature(layer, "pass", {**labels, "algorithm": verified.label}, notes=verified.notes)


def report_unverified(layer: int, error: VerificationError) -> LayerReport:
    """Report a signature that does not count, and why."""
    return _signature(layer, error.result, error.labels, reason=error.reason, detail=error.detail)


def report_opened(layer: int, opened: OpenedContent) -> LayerReport:
    """Report a layer that was decrypted."""
    return LayerReport(
        layer=layer,
        kind=LayerKind.ENCRYPTION,
        result="decrypted",
        fingerprint=opened.key_fingerprint,
        cipher=opened.cipher.label,
        integrity="authenticated" if opened.authenticated else "none",
        notes=("weak-cipher",) if opened.cipher.is_weak else (),
    )


def with_references_disarmed(reports: tuple[LayerReport, ...]) -> tuple[LayerReport, ...]:
    """Say of every layer that was decrypted that what it held is not delivered as it was."""
    return tuple(
        replace(entry, references="disarmed") if entry.result == "decrypted" else entry
        for entry in reports
    )


def report_decompressed(layer: int) -> LayerReport:
    """Report a layer that was inflated."""
    return LayerReport(layer=layer, kind=LayerKind.COMPRESSION, result="decompressed")


def report_closed(
    layer: int, encrypted: EncryptedLayer, error: MessageError | None = None
) -> LayerReport:
    """Report a layer that stays encrypted; without *error* because there is no key (R-47)."""
    match error:
        case None | NoMatchingKeyError():
            reason = "no-key"
        case LimitError():
            reason = "limits"
        case _:
            reason = "failed"  # one word for all inner causes
    return LayerReport(
        layer=layer,
        kind=LayerKind.ENCRYPTION,
        result="not-decrypted",
        reason=reason,
        cipher=encrypted.enveloped.cipher.label,
        # what the message itself says, known before any key is used
        detail=str(error) if isinstance(error, UnsupportedAlgorithmError) else "",
    )


def report_unreadable(layer: int, error: MessageError) -> LayerReport:
    """Report what claims to be S/MIME and could not be taken apart (R-50, R-51)."""
    match error:
        case LimitError():
            reason = "limits"
        case DecryptionError() | NoMatchingKeyError() | VerificationError():
            raise TypeError("this error has a report of its own") from error
        case UnsupportedAlgorithmError():
            # Only the content cipher is asked for while reading: it is encrypted, not malformed.
            return LayerReport(
                layer=layer,
                kind=LayerKind.ENCRYPTION,
                result="not-decrypted",
                reason="failed",
                detail=str(error),
            )
        case CMSError():
            reason = "cms"
        case _:
            reason = "mime"
    return LayerReport(
        layer=layer,
        kind=LayerKind.UNKNOWN,
        result="permerror",
        reason=reason,
        detail=str(error),
    )


def report_partial(layer: int) -> LayerReport:
    """Report signed parts in a frame that nobody signed (cases I09)."""
    return LayerReport(layer=layer, kind=LayerKind.SIGNATURE, result="neutral", reason="partial")


def _signature(
    layer: int,
    result: str,
    labels: Mapping[str, str],
    *,
    reason: str = "",
    notes: tuple[str, ...] = (),
    detail: str = "",
) -> LayerReport:
    return LayerReport(
        layer=layer,
        kind=LayerKind.SIGNATURE,
        result=result,
        reason=reason,
        signer=labels.get("signer", ""),
        fingerprint=labels.get("fingerprint", ""),
        algorithm=labels.get("algorithm", ""),
        serial=labels.get("serial", ""),
        issuer=labels.get("issuer", ""),
        signers=labels.get("signers", ""),
        notes=notes,
        detail=detail,
    )
