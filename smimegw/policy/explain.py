"""Tells people in plain lines what a rule says."""

from __future__ import annotations

from collections.abc import Iterator

from smimegw.policy.choices import QuoteEncrypted, Requirement, SignatureWish, WithoutCertificate
from smimegw.policy.early import refuses_recipient
from smimegw.policy.header_keys import header_text
from smimegw.policy.model import Conditions, Direction, Rule, Treatment

_WITHOUT_TEXTS = {
    WithoutCertificate.REFUSE: "refuse the message",
    WithoutCertificate.SEND_SIGNED: "send it signed, not encrypted",
    WithoutCertificate.SEND_CLEAR: "send it in clear",
    WithoutCertificate.PORTAL: "use the portal",
}


def explain_rule(rule: Rule) -> tuple[str, ...]:
    """Lines that say one rule in words."""
    return (
        f'rule      "{rule.name}"  ({rule.source})',
        f"because   {rule.why}",
        f"when      {_when_text(rule.when)}",
        *(f"then      {line}" for line in _then_texts(rule)),
    )


def _when_text(when: Conditions) -> str:
    parts = [f"{when.direction} mail" if when.direction else "any mail"]
    if when.sender:
        parts.append("from " + " or ".join(when.sender))
    if when.sender_domain:
        parts.append("from a sender in " + " or ".join(when.sender_domain))
    if when.recipient:
        parts.append("to " + " or ".join(when.recipient))
    if when.recipient_domain:
        parts.append("to a recipient in " + " or ".join(when.recipient_domain))
    if when.recipient_internal is not None:
        parts.append("to our own people" if when.recipient_internal else "to people outside")
    if when.subject_word:
        parts.append("with " + " or ".join(f'"{w}"' for w in when.subject_word) + " in Subject")
    if when.media_type:
        parts.append("with a part of type " + " or ".join(when.media_type))
    if when.null_reverse_path is not None:
        parts.append("reports (MAIL FROM <>)" if when.null_reverse_path else "not reports")
    if when.header:
        value = f" = {when.header.value}" if when.header.value else ""
        parts.append(f"with field {when.header.name}{value}")
    if when.user:
        parts.append("of user " + " or ".join(when.user))
    if when.size_over is not None:
        parts.append(f"larger than {when.size_over} octets")
    return ", ".join(parts)


def _then_texts(rule: Rule) -> Iterator[str]:
    then = rule.then
    if rule.when.covers(Direction.OUTBOUND):
        yield f"outbound: {then.protect.value}"
        if then.protect.encrypts:
            also = "".join(f" or only {answer.value} ones" for answer in then.fallback_for)
            yield f"without certificate{also}: {_WITHOUT_TEXTS[then.without_certificate]}"
        if then.protect.signs or then.without_certificate is WithoutCertificate.SEND_SIGNED:
            optional = then.signature is SignatureWish.OPTIONAL
            last = "send it unsigned" if optional else "refuse the message"
            last = f"get one, or else {last}" if then.enrol else last
            yield f"sender without signing certificate: {last}"
        if not then.protect.encrypts or then.without_certificate is not WithoutCertificate.REFUSE:
            allowed = then.quote_encrypted is QuoteEncrypted.ALLOW
            last = "send it all the same" if allowed else "refuse the message (R-23)"
            yield f"unencrypted answer to encrypted mail, to people outside: {last}"
        if refuses_recipient(rule):
            yield "whoever gets no copy for want of a certificate: refused alone, at RCPT if known"
        treatment = then.treatment
        if then.protect.signs:
            yield (
                f"{treatment.form.value} signature, {treatment.digest.value},"
                f" RSA keys {treatment.scheme.value}"
            )
        if then.protect.encrypts:
            yield _algorithms_text(treatment)
        others = [reader.address for reader in treatment.also_encrypt_for]
        others += ["the sender"] if treatment.encrypt_to_sender else []
        if others:
            yield f"also encrypted for {' and '.join(others)}, or not sent"
        if header := header_text(treatment.header, then.protect):
            yield header
    if rule.when.covers(Direction.INBOUND):
        wanted = then.require
        text = "no demand" if wanted is Requirement.NONE else f"must be {wanted.value} (R-52)"
        yield f"inbound: {text}" + (", old ciphers are opened" if then.old_ciphers else "")


def _algorithms_text(treatment: Treatment) -> str:
    if treatment.cipher is None:
        cipher = "the best cipher that all read"
        if treatment.cipher_floor is not Treatment().cipher_floor:
            cipher += f", at least {treatment.cipher_floor.label}"
    else:
        cipher = f"cipher {treatment.cipher.label}"
    match treatment.oaep:
        case None:
            transport = "OAEP where they read it"
        case True:
            transport = "OAEP"
        case _:
            transport = "PKCS #1 v1.5"
    return f"{cipher}, RSA recipients {transport}"
