"""Says what all layers of an inbound message vouch for together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from smimegw.smime.report import LayerKind, LayerReport

_UNSIGNED: Final = frozenset({LayerKind.ENCRYPTION, LayerKind.COMPRESSION})
_SEVERITY = ("fail", "permerror", "temperror", "policy", "neutral", "none", "pass")


def overall(reports: Sequence[LayerReport]) -> LayerReport | None:
    """The report that stands for the signature: the worst one; None when nothing is signed."""
    signatures = [entry for entry in reports if entry.kind not in _UNSIGNED]
    return min(signatures, key=lambda entry: _SEVERITY.index(entry.result), default=None)


def integrity(reports: Sequence[LayerReport]) -> str:
    """Who vouches that the content is what was sent: ``signed``, ``authenticated`` or ``none``.

    A signature around a ciphertext only is Eve's as easily as Bob's: she need not know what is in
    it, and may have changed it before (cases J03).
    """
    signature = overall(reports)
    encryptions = [entry for entry in reports if entry.kind is LayerKind.ENCRYPTION]
    innermost = max((e.layer for e in encryptions if e.result == "decrypted"), default=-1)
    signatures = (entry.layer for entry in reports if entry.kind is LayerKind.SIGNATURE)
    if signature and signature.result == "pass" and max(signatures, default=-1) > innermost:
        return "signed"
    if encryptions and all(entry.integrity == "authenticated" for entry in encryptions):
        return "authenticated"
    return "none"
