"""Runs the cases of a policy file: every promise the author wrote down is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smimegw.addresses import Mailbox
from smimegw.policy.algorithms import choose_cipher
from smimegw.policy.decide import decide
from smimegw.policy.evaluate import match, stripped_subject, triggers_of
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import Case, Direction, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of one case.

    Attributes:
        case: The case.
        differences: One line per promise that did not come true; empty when it passed.
    """

    case: Case
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Everything came out as promised."""
        return not self.differences


def run_cases(policy: Policy) -> tuple[CaseResult, ...]:
    """Run every case of *policy* in order."""
    return tuple(
        CaseResult(case=case, differences=tuple(_differences(policy, case)))
        for case in policy.cases
    )


def _differences(policy: Policy, case: Case) -> Iterator[str]:
    if not case.recipients or not case.expected:
        yield "the case has no recipient or expects nothing"
    for recipient in case.recipients:
        actual = _actual(policy, case, recipient)
        for key, expected in case.expected:
            if actual[key] != expected:
                text = f'{key} is "{actual[key]}", expected "{expected}"'
                yield f'<{recipient}>: {text} (rule "{actual["rule"]}")'


def _own_domains(case: Case) -> frozenset[str]:
    """Who is inside: outbound mail is from our people, inbound mail is to them."""
    if case.direction is Direction.INBOUND:
        return frozenset(recipient.domain for recipient in case.recipients)
    return frozenset({case.originator.domain} if case.originator else ())


def _actual(policy: Policy, case: Case, recipient: Mailbox) -> dict[str, str]:
    message = MessageFacts(
        direction=case.direction,
        originator=case.originator,
        reverse_path=None if case.null_reverse_path else case.originator,
        user=case.user,
        subject=case.subject,
        fields=case.fields,
        size=case.size,
        recipients=len(case.recipients),
        internal_domains=_own_domains(case),
        media_types=frozenset(case.media_types),
    )
    matched = match(policy, message, recipient)
    treatment = matched.rule.then.treatment
    decision = decide(
        matched,
        message,
        RecipientFacts(mailbox=recipient, certificate=case.certificate),
        SigningFacts(answer=case.signing),
        [
            RecipientFacts(mailbox=reader, certificate=case.other_readers)
            for reader in treatment.other_readers(case.originator)
        ],
        case.thread,
    )
    encrypts = decision.protection.encrypts and not decision.refusal
    oaep = case.reads.reads_oaep if treatment.oaep is None else treatment.oaep
    chosen = choose_cipher(treatment, [case.reads])
    return {
        "rule": decision.rule,
        "protect": decision.protection.value,
        "refusal": decision.refusal,
        "require": matched.requirement.value,
        "subject": stripped_subject(case.subject, triggers_of(policy, message)),
        "cipher": chosen.cipher.label if encrypts else "",
        "because": chosen.because.value if encrypts else "",
        "key_transport": ("oaep" if oaep else "pkcs1v15") if encrypts else "",
        "blocked_by": decision.blocked_by.address if decision.blocked_by else "",
    }
