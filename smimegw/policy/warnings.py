"""Finds rules that never apply, and keys of rules that the failure matrix overrules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smimegw.policy.choices import QuoteEncrypted, SignatureWish, WithoutCertificate
from smimegw.policy.matrix import FailureMatrix, Trouble, Verdict
from smimegw.policy.model import Conditions, Direction, Rule


def warnings(rules: Sequence[Rule], matrix: FailureMatrix) -> Iterator[str]:
    """One line per rule or key that never takes effect, with its place."""
    for rule in rules:
        if rule.when.covers(Direction.OUTBOUND):
            yield from _overruled(rule, matrix)
    for number, rule in enumerate(rules):
        directions = [d for d in Direction if rule.when.covers(d)]
        hiding = [
            earlier
            for direction in directions
            for earlier in rules[:number]
            if _hides(earlier.when, rule.when, direction)
        ]
        covered = {d for d in directions if any(_hides(e.when, rule.when, d) for e in hiding)}
        if covered == set(directions):
            text = f'rule "{rule.name}" never applies: "{hiding[0].name}" comes first'
            yield f"{rule.source}: {text} ({hiding[0].source})"


def _overruled(rule: Rule, matrix: FailureMatrix) -> Iterator[str]:
    """Fall-backs of *rule* that the failure matrix does not leave to rules."""
    then = rule.then
    named = [
        (Trouble.NO_CERTIFICATE, then.without_certificate is not WithoutCertificate.REFUSE),
        *((Trouble(f"certificate.{answer.value}"), True) for answer in then.fallback_for),
        (Trouble.NO_SIGNER, then.signature is SignatureWish.OPTIONAL),
        (Trouble.SIGNER_EXPIRED, then.signature is SignatureWish.OPTIONAL),
        (Trouble.THREAD_ENCRYPTED, then.quote_encrypted is QuoteEncrypted.ALLOW),
    ]
    for trouble, is_named in named:
        if not (is_named and trouble.touches(then.protect)):
            continue
        verdict = matrix.verdict(trouble, then.protect)
        if verdict is not Verdict.POLICY:
            text = f'{trouble.named_by} of rule "{rule.name}" is without effect'
            yield f"{rule.source}: {text}: {matrix.source} says {verdict} for {trouble}"


def _hides(earlier: Conditions, later: Conditions, direction: Direction) -> bool:
    """Whatever *later* matches in *direction*, *earlier* has already taken."""
    if not earlier.covers(direction):
        return False
    if earlier.is_catch_all:
        return True
    same = Conditions.__dataclass_fields__.keys() - {"direction"}
    return all(getattr(earlier, key) == getattr(later, key) for key in same)
