"""Group recipients by treatment; whoever must stay unseen gets an encrypted copy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smimegw.addresses import parse_mailboxes
from smimegw.errors import AddressError, LimitError
from smimegw.mime.headers import HeaderSection
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.select import chosen
from smimegw.policy.model import Decision, Protection, Treatment
from smimegw.transaction import Recipient
from smimegw.x509.path import ValidatedCertificate

_VISIBLE_FIELDS = ("to", "cc", "resent-to", "resent-cc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recipients who get the same copy.

    Attributes:
        recipients: In RCPT order.
        protection: What the copy gets.
        treatment: How: form, digest, cipher and so on.
        certificates: To encrypt to; empty when *protection* does not encrypt.
    """

    recipients: tuple[Recipient, ...]
    protection: Protection
    treatment: Treatment
    certificates: tuple[ValidatedCertificate, ...] = ()


def by_treatment(
    decided: Sequence[tuple[Recipient, Decision]],
    evidence: OutboundEvidence,
    header: HeaderSection,
) -> tuple[Group, ...]:
    """Return the groups in order of their first recipient.

    The RecipientInfos of an encrypted copy show for whom else it was made, so a recipient whom
    no To or Cc field names (Bcc) shares an encrypted copy with nobody.  Other copies show
    nothing of the envelope and are shared.
    """
    visible = _visible(header)
    members: dict[object, list[tuple[Recipient, Decision]]] = {}
    for recipient, decision in decided:
        hidden = decision.protection.encrypts and recipient.mailbox.key not in visible
        key = (decision.protection, decision.treatment, recipient.mailbox.key if hidden else "")
        members.setdefault(key, []).append((recipient, decision))
    return tuple(_group(group, evidence) for group in members.values())


def _group(members: list[tuple[Recipient, Decision]], evidence: OutboundEvidence) -> Group:
    decision = members[0][1]
    certificates: list[ValidatedCertificate] = []
    if decision.protection.encrypts:
        for recipient, _ in members:
            certificates.extend(chosen(evidence.recipients[recipient.mailbox.key]))
    return Group(
        recipients=tuple(recipient for recipient, _ in members),
        protection=decision.protection,
        treatment=decision.treatment,
        certificates=tuple(dict.fromkeys(certificates)),
    )


def _visible(header: HeaderSection) -> frozenset[str]:
    """Comparison forms of everybody whom the header section names as a recipient."""
    keys: set[str] = set()
    for name in _VISIBLE_FIELDS:
        for entry in header.all(name):
            try:
                keys.update(named.mailbox.key for named in parse_mailboxes(entry.body))
            except (AddressError, LimitError):
                continue  # whoever stands in a malformed field counts as hidden: the safe side
    return frozenset(keys)
