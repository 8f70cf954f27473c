"""Parses policy files into one `Policy`, or reports every mistake in all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.errors import ConfigurationError, Problem
from smimegw.policy.answers import CertificateAnswer
from smimegw.policy.choices import (
    Partial,
    Protection,
    QuoteEncrypted,
    Requirement,
    SignatureWish,
    WithoutCertificate,
)
from smimegw.policy.forms import CipherWord, RuleForm, ThenForm, WhenForm, policy_structurer
from smimegw.policy.header_keys import header_problems, header_protection
from smimegw.policy.model import (
    Actions,
    Case,
    Conditions,
    Direction,
    HeaderTrigger,
    Policy,
    Rule,
    Treatment,
)
from smimegw.policy.parse_cases import case_of
from smimegw.policy.parse_matrix import FILE_NAME, parse_matrix, shipped
from smimegw.policy.triggers import normalised
from smimegw.policy.warnings import warnings
from smimegw.toml.document import Document
from smimegw.toml.lines import KeyPath

_INBOUND_KEYS = ("require", "old_ciphers")
_OUTBOUND_KEYS = (
    *("protect", "without_certificate", "signature", "enrol", "fallback_for", "quote_encrypted"),
    *("partial", "cipher_floor", "also_encrypt_for", "encrypt_to_sender"),
)
_ENCRYPTING_KEYS = (
    *("without_certificate", "fallback_for", "partial"),
    *("cipher_floor", "also_encrypt_for", "encrypt_to_sender"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    document: Document
    path: KeyPath

    def problem(self, message: str, *inner: str) -> Problem:
        return _problem(self.document, (*self.path, *inner), message)

    @property
    def source(self) -> str:
        return f"{self.document.name}:{self.document.line(self.path)}"


def parse_policy(files: Sequence[tuple[str, bytes]]) -> Policy:
    """Read policy files, already in the order in which their rules count.

    Args:
        files: Name and octets of each; one of the name ``failure-matrix.toml`` replaces the
            failure matrix that is shipped.

    Raises:
        ConfigurationError: With every problem found: syntax, unknown keys and words, a rule
            without ``why``, names used twice, mail for which there is no rule.
    """
    problems: list[Problem] = []
    rules: list[tuple[Rule, _Place]] = []
    cases: list[Case] = []
    structurer = policy_structurer()
    matrix = shipped()
    for name, octets in files:
        try:
            if name.rpartition("/")[2] == FILE_NAME:
                matrix = parse_matrix(name, octets)
                continue
            document = Document.parse(name, octets)
        except ConfigurationError as error:
            problems += error.problems
            continue
        form, faults = structurer.structure(document.values)
        problems += [_problem(document, fault.path, fault.message) for fault in faults]
        for index, rule in enumerate(form.rule if form else ()):
            place = _Place(document=document, path=("rule", index))
            problems += _rule_problems(rule, place)
            rules.append((_rule(rule, place.source), place))
        for index, case in enumerate(form.case if form else ()):
            cases.append(case_of(case, _Place(document=document, path=("case", index)).source))
    problems += _name_problems(rules)
    if not problems:
        problems += _hole_problems([rule for rule, _ in rules], files)
    if problems:
        raise ConfigurationError(tuple(problems))
    return Policy(
        rules=tuple(rule for rule, _ in rules),
        cases=tuple(cases),
        digest=_digest(files),
        matrix=matrix,
        warnings=tuple(warnings([rule for rule, _ in rules], matrix)),
    )


def _digest(files: Sequence[tuple[str, bytes]]) -> str:
    state = hashlib.sha256()
    for name, octets in files:
        for part in (name.rpartition("/")[2].encode(), octets):
            state.update(len(part).to_bytes(8) + part)
    return state.hexdigest()


def _problem(document: Document, path: KeyPath, message: str) -> Problem:
    """A problem that calls rules and cases by their name instead of their number."""
    problem = document.problem(path, message)
    match path:
        case (("rule" | "case") as kind, int(index), *rest):
            name = document.values[kind][index]
            name = name.get("name") if isinstance(name, dict) else None
            if isinstance(name, str):
                key = f'{kind} "{name}"'
                key += f" {'.'.join(map(str, rest))}" if rest else ""
                return Problem(file=problem.file, line=problem.line, key=key, message=message)
        case _:
            pass
    return problem


# --- rules ---------------------------------------------------------------------------------------


def _rule(form: RuleForm, source: str) -> Rule:
    return Rule(
        name=form.name,
        why=form.why,
        source=source,
        when=_conditions(form.when),
        then=_actions(form.then),
    )


def _conditions(form: WhenForm) -> Conditions:
    header = form.header
    return Conditions(
        direction=form.direction,
        sender=tuple(mailbox.key for mailbox in form.sender or ()),
        sender_domain=form.sender_domain or (),
        recipient=tuple(mailbox.key for mailbox in form.recipient or ()),
        recipient_domain=form.recipient_domain or (),
        recipient_internal=form.recipient_internal,
        subject_word=tuple(normalised(word) for word in form.subject_word or ()),
        header=None
        if header is None
        else HeaderTrigger(name=header.name, value=normalised(header.value), keep=header.keep),
        user=form.user or (),
        size_over=form.size_over,
        media_type=form.media_type or (),
        null_reverse_path=form.null_reverse_path,
    )


def _actions(form: ThenForm) -> Actions:
    return Actions(
        protect=form.protect or Protection.NONE,
        without_certificate=form.without_certificate or WithoutCertificate.REFUSE,
        fallback_for=tuple(CertificateAnswer(word.value) for word in form.fallback_for),
        signature=form.signature or SignatureWish.REQUIRED,
        enrol=form.enrol,
        quote_encrypted=form.quote_encrypted or QuoteEncrypted.REFUSE,
        partial=form.partial or Partial.REFUSE_MESSAGE,
        treatment=_treatment(form),
        require=form.require or Requirement.NONE,
        old_ciphers=form.old_ciphers,
    )


def _treatment(form: ThenForm) -> Treatment:
    usual = Treatment()
    return Treatment(
        form=form.form,
        digest=DigestAlgorithm(form.digest.value),
        scheme=form.scheme.scheme,
        cipher=form.cipher.cipher,
        cipher_floor=form.cipher_floor or usual.cipher_floor,
        oaep=form.key_transport.oaep,
        also_encrypt_for=form.also_encrypt_for or (),
        encrypt_to_sender=form.encrypt_to_sender,
        header=header_protection(form),
    )


def _rule_problems(form: RuleForm, place: _Place) -> Iterator[Problem]:
    when, then = form.when, form.then
    for key in WhenForm.__dataclass_fields__:
        if getattr(when, key) == ():
            yield place.problem("an empty list never holds.  Leave the key out", "when", key)
    if any(not normalised(word) for word in when.subject_word or ()):
        yield place.problem("a word of invisible characters", "when", "subject_word")
    if when.size_over is not None and when.size_over < 0:
        yield place.problem("below 0.  Write a number of octets", "when", "size_over")
    if when.media_type and when.direction is not Direction.OUTBOUND:
        message = 'known of outbound mail only.  Write direction = "outbound", too'
        yield place.problem(message, "when", "media_type")
    yield from _direction_problems(form, place)
    if when.direction is not Direction.INBOUND:
        yield from _protection_problems(then, place)
    for key, message in header_problems(then):
        yield place.problem(message, "then", key)


def _direction_problems(form: RuleForm, place: _Place) -> Iterator[Problem]:
    """Actions that the rule's direction demands, and those that it makes meaningless."""
    when, then = form.when, form.then
    if when.direction is Direction.INBOUND:
        for key in _OUTBOUND_KEYS:
            if getattr(then, key):
                message = 'without effect on inbound mail.  Allowed: require = "signed"'
                yield place.problem(message, "then", key)
        if then.require is None:
            words = ", ".join(word.value for word in Requirement)
            yield place.problem(f"missing.  Allowed: {words}", "then", "require")
    elif then.protect is None:
        words = ", ".join(word.value for word in Protection)
        yield place.problem(f"missing.  Allowed: {words}", "then", "protect")
    if when.direction is Direction.OUTBOUND:
        for key in _INBOUND_KEYS:
            if getattr(then, key):
                yield place.problem("without effect on outbound mail", "then", key)


def _protection_problems(then: ThenForm, place: _Place) -> Iterator[Problem]:
    protect = then.protect or Protection.NONE
    if then.without_certificate is WithoutCertificate.PORTAL:
        message = '"portal" is not available yet.  Allowed: refuse, send-signed, send-clear'
        yield place.problem(message, "then", "without_certificate")
    if then.also_encrypt_for == ():
        yield place.problem("an empty list.  Leave the key out", "then", "also_encrypt_for")
    if then.cipher_floor is not None and then.cipher is not CipherWord.AUTO:
        message = f"without effect: cipher is {then.cipher.value}"
        yield place.problem(message, "then", "cipher_floor")
    if not protect.encrypts:
        for key in _ENCRYPTING_KEYS:
            if getattr(then, key):
                message = f"without effect: protect is {protect.value}, nothing is encrypted"
                yield place.problem(message, "then", key)
    elif then.fallback_for and then.without_certificate in (None, WithoutCertificate.REFUSE):
        message = "without effect while without_certificate is refuse"
        yield place.problem(message, "then", "fallback_for")
    signs = protect.signs or then.without_certificate is WithoutCertificate.SEND_SIGNED
    if then.signature is not None and not signs:
        message = f"without effect: protect is {protect.value}, nothing is signed"
        yield place.problem(message, "then", "signature")
    if then.enrol and not signs:
        message = f"without effect: protect is {protect.value}, nothing is signed"
        yield place.problem(message, "then", "enrol")
    falls_back = then.without_certificate not in (None, WithoutCertificate.REFUSE)
    if then.quote_encrypted is not None and protect.encrypts and not falls_back:
        message = "without effect: nothing leaves unencrypted"
        yield place.problem(message, "then", "quote_encrypted")


def _name_problems(rules: Iterable[tuple[Rule, _Place]]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for rule, place in rules:
        if rule.name in seen:
            message = f'"{rule.name}" is already the name of the rule at {seen[rule.name]}'
            yield place.problem(message, "name")
        seen.setdefault(rule.name, rule.source)


def _hole_problems(rules: Sequence[Rule], files: Sequence[tuple[str, bytes]]) -> Iterator[Problem]:
    """Every message must meet a rule: silence must not decide what goes out in clear."""
    for direction in Direction:
        if not any(rule.when.is_catch_all and rule.when.covers(direction) for rule in rules):
            what = 'then = { protect = "…" }'
            if direction is Direction.INBOUND:
                what = 'then = { require = "none" }'
            message = (
                f"no rule for all other {direction} mail.  End with a rule that has only"
                f' when = {{ direction = "{direction}" }} and {what}'
            )
            yield Problem(
                file=files[-1][0] if files else "policies", line=None, key="rule", message=message
            )
