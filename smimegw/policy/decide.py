"""Decides what one recipient's copy gets: what the rule says, and what troubles make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import Protection, QuoteEncrypted, SignatureWish, WithoutCertificate
from smimegw.policy.evaluate import Matched
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.matrix import Trouble, certificate_trouble, signing_trouble, thread_trouble
from smimegw.policy.model import Decision, Direction


def decide(
    matched: Matched,
    message: MessageFacts,
    recipient: RecipientFacts,
    signing: SigningFacts,
    other_readers: Sequence[RecipientFacts] = (),
    thread: ThreadAnswer = ThreadAnswer.CLEAR,
) -> Decision:
    """Say what the copy for *recipient* gets; a trouble never makes it weaker by itself.

    Args:
        matched: From `match`, for the same recipient.
        message: The message.
        recipient: What the look-up of the certificate came to.
        signing: What the look-up of the signing credential came to.
        other_readers: The same of everybody in `Treatment.other_readers`; an encrypted copy
            that one of them could not open does not leave.
        thread: Whether the message answers one that came encrypted.
    """
    outcome = _Outcome(protection=Protection.NONE)
    if message.direction is Direction.OUTBOUND:
        outcome = _encrypted(matched, recipient.certificate)
        outcome = _with_other_readers(matched, outcome, other_readers)
        outcome = _signed(matched, outcome, signing.answer)
        if recipient.mailbox.domain not in message.internal_domains:
            outcome = _answering(matched, outcome, thread)
    missing, trouble = outcome.missing, outcome.trouble
    rule = matched.rule
    return Decision(
        recipient=matched.recipient,
        protection=outcome.protection,
        rule=rule.name,
        rule_source=rule.source,
        why=rule.why,
        refusal=trouble.row if trouble else "",
        deferred=trouble is not None and matched.matrix.defers(trouble, outcome.protection),
        blocked_by=missing.mailbox if missing else None,
        blocked_detail=missing.detail if missing else "",
        note=outcome.note,
        fallback=outcome.fallback,
        treatment=rule.then.treatment,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """How far a decision has come: *trouble* ends it."""

    protection: Protection
    trouble: Trouble | None = None
    missing: RecipientFacts | None = None
    fallback: str = ""
    note: str = ""


def _encrypted(matched: Matched, answer: CertificateAnswer) -> _Outcome:
    """As far as the recipient's certificate decides."""
    then = matched.rule.then
    trouble = certificate_trouble(answer) if then.protect.encrypts else None
    if trouble is None:
        return _Outcome(protection=then.protect)
    named = answer is CertificateAnswer.NONE or answer in then.fallback_for
    if named and matched.matrix.may_fall_back(trouble, then.protect):
        match then.without_certificate:
            case WithoutCertificate.SEND_SIGNED:
                return _Outcome(protection=Protection.SIGN, fallback=answer.value)
            case WithoutCertificate.SEND_CLEAR:
                return _Outcome(protection=Protection.NONE, fallback=answer.value)
            case WithoutCertificate.REFUSE | WithoutCertificate.PORTAL:
                pass
            case other:
                assert_never(other)
    return _Outcome(protection=then.protect, trouble=trouble)


def _with_other_readers(
    matched: Matched, outcome: _Outcome, readers: Sequence[RecipientFacts]
) -> _Outcome:
    """Stopped by a reader without a certificate: for good before for now; nothing falls back."""
    if outcome.trouble or not outcome.protection.encrypts:
        return outcome
    missing = [
        (known, trouble)
        for known in readers
        if (trouble := certificate_trouble(known.certificate)) is not None
    ]
    if not missing:
        return outcome
    matrix, protection = matched.matrix, outcome.protection
    first, trouble = min(missing, key=lambda entry: matrix.defers(entry[1], protection))
    return replace(outcome, trouble=trouble, missing=first)


def _signed(matched: Matched, outcome: _Outcome, answer: SigningAnswer) -> _Outcome:
    """As far as the signing credential decides."""
    trouble = signing_trouble(answer)
    if outcome.trouble or trouble is None or not outcome.protection.signs:
        return outcome
    optional = matched.rule.then.signature is SignatureWish.OPTIONAL
    if not (optional and matched.matrix.may_fall_back(trouble, outcome.protection)):
        return replace(outcome, trouble=trouble)
    unsigned = Protection.ENCRYPT if outcome.protection.encrypts else Protection.NONE
    reason = "no" if answer is SigningAnswer.NONE else "expired"
    note = f"unsigned: {reason} signing certificate (R-11)"
    return replace(outcome, protection=unsigned, note=note)


def _answering(matched: Matched, outcome: _Outcome, thread: ThreadAnswer) -> _Outcome:
    """As far as the message that it answers decides: what came encrypted may be quoted (R-23)."""
    trouble = thread_trouble(thread)
    if outcome.trouble or trouble is None or outcome.protection.encrypts:
        return outcome
    if _may_quote(matched, outcome.protection):
        return outcome
    return replace(outcome, trouble=trouble)


def _may_quote(matched: Matched, protection: Protection) -> bool:
    return (
        matched.rule.then.quote_encrypted is QuoteEncrypted.ALLOW
        and matched.matrix.may_fall_back(Trouble.THREAD_ENCRYPTED, protection)
    )


def asks_for_thread(matched: Matched, message: MessageFacts, decision: Decision) -> bool:
    """Whether *decision* could be another one if the message answers mail that came encrypted.

    Copies for our own people stay inside, as does what they quote.
    """
    return (
        message.direction is Direction.OUTBOUND
        and decision.recipient.domain not in message.internal_domains
        and not decision.refusal
        and not decision.protection.encrypts
        and not _may_quote(matched, decision.protection)
    )
