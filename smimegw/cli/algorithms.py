"""Tells which algorithms an outbound copy gets, and why."""

from __future__ import annotations

from collections.abc import Iterator

from smimegw.addresses import Mailbox
from smimegw.pipeline.plan import Plan
from smimegw.policy.algorithms import Because

_WHY = {
    Because.RULE: "the rule names it",
    Because.CAPABILITIES: "everybody who can open this copy is known to read it",
    Because.FLOOR: "the rule's least, more than is known of somebody",
    Because.DEFAULT: "nothing stronger is known of somebody",
}


def algorithm_lines(decided: Plan, recipient: Mailbox) -> Iterator[str]:
    """Content cipher and key encryptions of the copy for *recipient*, a line each, for people."""
    group = decided.group_of(recipient)
    if group is None or group.cipher is None:
        return
    if decided.keeps_own_encryption(recipient):
        yield "encrypt    nothing: the mail program did, for this recipient (R-26)"
        return
    yield f"encrypt    {group.cipher.cipher.label}: {_WHY[group.cipher.because]}"
    for entry, form in zip(group.certificates, group.key_encryptions, strict=True):
        reader = entry.mailbox.address if entry.mailbox else ""
        yield f"key        <{reader}> {form.label} {entry.certificate.fingerprint[:19]}"


def algorithm_values(decided: Plan, recipient: Mailbox) -> dict[str, object]:
    """The same for programs; nothing where the gateway does not encrypt."""
    group = decided.group_of(recipient)
    if group is None or group.cipher is None or decided.keeps_own_encryption(recipient):
        return {}
    return {
        "cipher": group.cipher.cipher.label,
        "because": group.cipher.because.value,
        "keys": [
            {"sha256": entry.certificate.fingerprint, "algorithm": form.label}
            for entry, form in zip(group.certificates, group.key_encryptions, strict=True)
        ],
    }
