"""Group recipients by treatment; whoever must stay unseen gets an encrypted copy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smimegw.address_lists import parse_mailboxes
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import KeyEncryption
from smimegw.cms.capabilities import Capabilities
from smimegw.errors import AddressError, LimitError
from smimegw.mime.headers import HeaderSection
from smimegw.pipeline.gather import OutboundEvidence
from smimegw.pipeline.recipient_evidence import RecipientEvidence
from smimegw.pipeline.select import chosen, known_of
from smimegw.policy.algorithms import ChosenCipher, choose_cipher, choose_key_encryption
from smimegw.policy.choices import Protection
from smimegw.policy.model import Decision, Treatment
from smimegw.smime.encrypt import already_protected
from smimegw.smime.media_types import EncryptedLayer
from smimegw.transaction import Recipient
from smimegw.x509.path import ValidatedCertificate

_VISIBLE_FIELDS = ("to", "cc", "resent-to", "resent-cc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recipients who get the same copy.

    Attributes:
        recipients: In RCPT order.
        protection: What the copy gets.
        treatment: How: form, digest and so on, as the rule says.
        certificates: To encrypt to; empty when *protection* does not encrypt.
        cipher: The content cipher, and why it; None when *protection* does not encrypt.
        key_encryptions: One for each of *certificates*.
    """

    recipients: tuple[Recipient, ...]
    protection: Protection
    treatment: Treatment
    certificates: tuple[ValidatedCertificate, ...] = ()
    cipher: ChosenCipher | None = None
    key_encryptions: tuple[KeyEncryption, ...] = ()


def by_treatment(
    decided: Sequence[tuple[Recipient, Decision]],
    evidence: OutboundEvidence,
    header: HeaderSection,
    originator: Mailbox | None = None,
    own_encryption: EncryptedLayer | None = None,
) -> tuple[Group, ...]:
    """Return the groups in order of their first recipient.

    The RecipientInfos of an encrypted copy show for whom else it was made, so a recipient whom
    no To or Cc field names (Bcc) shares an encrypted copy with nobody.  Other copies show
    nothing of the envelope and are shared.

    Args:
        decided: Recipients with what they get.
        evidence: Their certificates, and those of the other readers.
        header: Of the message.
        originator: Who may be another reader.
        own_encryption: What the client encrypted itself: whom it names gets it untouched, and so
            never shares a copy with whom it does not (R-26).
    """
    visible = _visible(header)
    members: dict[object, list[tuple[Recipient, Decision]]] = {}
    for recipient, decision in decided:
        hidden = decision.protection.encrypts and recipient.mailbox.key not in visible
        named = (
            own_encryption is not None
            and decision.protection.encrypts
            and names(own_encryption, evidence.recipients[recipient.mailbox.key])
        )
        alone = recipient.mailbox.key if hidden else ""
        key = (decision.protection, decision.treatment, alone, named)
        members.setdefault(key, []).append((recipient, decision))
    return tuple(_group(group, evidence, originator) for group in members.values())


def names(layer: EncryptedLayer, evidence: RecipientEvidence) -> bool:
    """Whether the mailbox of *evidence* can open *layer*."""
    return already_protected(layer, chosen(evidence)) is not None


def _group(
    members: list[tuple[Recipient, Decision]],
    evidence: OutboundEvidence,
    originator: Mailbox | None,
) -> Group:
    decision = members[0][1]
    treatment = decision.treatment
    group = Group(
        recipients=tuple(recipient for recipient, _ in members),
        protection=decision.protection,
        treatment=treatment,
    )
    if not decision.protection.encrypts:
        return group
    readers = [recipient.mailbox for recipient, _ in members]
    readers += treatment.other_readers(originator)
    known: dict[ValidatedCertificate, Capabilities] = {}
    for reader in readers:
        found = evidence.recipients[reader.key]
        for entry in chosen(found):
            known.setdefault(entry, known_of(found, entry.certificate))
    return replace(
        group,
        certificates=tuple(known),
        cipher=choose_cipher(treatment, known.values()),
        key_encryptions=tuple(
            choose_key_encryption(treatment, entry.certificate, capabilities)
            for entry, capabilities in known.items()
        ),
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
