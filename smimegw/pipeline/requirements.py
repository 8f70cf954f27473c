"""What a rule may require of mail that comes in (R-52): that it was signed, or encrypted."""

from __future__ import annotations

from smimegw.pipeline.assurance import overall
from smimegw.pipeline.opened import Opened
from smimegw.policy.choices import Requirement
from smimegw.smime.report import LayerKind


def missing_requirement(required: Requirement, opened: Opened) -> str:
    """The row of what a rule requires and the mail has not; empty when it has it."""
    if required is Requirement.SIGNED:
        return _not_passed(opened)
    if required is Requirement.ENCRYPTED and not was_encrypted(opened):
        return "R-52-encrypted"
    return ""


def _not_passed(opened: Opened) -> str:
    """The row when the signature does not count, empty when it does.

    What cannot be told now, because a directory or a revocation server is down, is not a missing
    signature: the sender's server comes again.
    """
    signature = overall(opened.reports)
    if signature is not None and signature.result == "temperror":
        return "R-52-unknown"
    return "" if passed(opened) else "R-52-signed"


def passed(opened: Opened) -> bool:
    """Whether a signature counts as the originator's."""
    signature = overall(opened.reports)
    return signature is not None and signature.result == "pass"


def was_encrypted(opened: Opened) -> bool:
    """Whether it came encrypted.  Whether it could be opened is nothing to tell a sender (J11)."""
    return any(entry.kind is LayerKind.ENCRYPTION for entry in opened.reports)
