"""Which rule applies, and that no trouble makes protection weaker by itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from smimegw.addresses import Mailbox
from smimegw.policy.answers import CertificateAnswer, SigningAnswer
from smimegw.policy.choices import Protection, Requirement, SignatureWish, WithoutCertificate
from smimegw.policy.decide import decide
from smimegw.policy.evaluate import Matched, match
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.model import (
    Actions,
    Conditions,
    Decision,
    Direction,
    HeaderTrigger,
    Policy,
    Rule,
    Treatment,
)
from smimegw.policy.parse_matrix import shipped

ALICE = Mailbox.parse("alice@corp.example")
BOB = Mailbox.parse("bob@partner.example")
MESSAGE = MessageFacts(direction=Direction.OUTBOUND, originator=ALICE)


def _rule(name: str = "rule", when: Conditions | None = None, **actions: Any) -> Rule:
    return Rule(
        name=name,
        why="test",
        source="p.toml:1",
        when=when or Conditions(),
        then=Actions(**actions),
    )


def _policy(*rules: Rule) -> Policy:
    return Policy(rules=rules, cases=(), digest="", matrix=shipped())


def _decide(
    certificate: CertificateAnswer = CertificateAnswer.USABLE,
    signing: SigningAnswer = SigningAnswer.USABLE,
    message: MessageFacts = MESSAGE,
    **actions: Any,
) -> Decision:
    return decide(
        Matched(rule=_rule(**actions), recipient=BOB),
        message,
        RecipientFacts(mailbox=BOB, certificate=certificate),
        SigningFacts(answer=signing),
    )


def _applies(when: Conditions, message: MessageFacts = MESSAGE, recipient: Mailbox = BOB) -> bool:
    policy = Policy(
        rules=(_rule("tested", when), _rule("rest")), cases=(), digest="", matrix=shipped()
    )
    return match(policy, message, recipient).rule.name == "tested"


# --- matching ------------------------------------------------------------------------------------


def test_first_rule_that_applies_wins() -> None:
    """Order is everything."""
    policy = _policy(_rule("a"), _rule("b"))
    assert match(policy, MESSAGE, BOB).rule.name == "a"


def test_rules_passed_over_are_named_with_the_reason() -> None:
    """``explain`` shows them."""
    first = _rule("a", Conditions(recipient_domain=("other.example",)))
    matched = match(_policy(first, _rule("b")), MESSAGE, BOB)
    assert [(tried.rule, tried.why_not) for tried in matched.tried] == [("a", "recipient_domain")]


@pytest.mark.parametrize(
    ("recipient", "applies"),
    [
        ("bob@partner.example", True),
        ("BOB@Partner.Example", True),
        ("bob@sub.partner.example", False),
        ("bob@notpartner.example", False),
        ("bob@partner.example.evil.example", False),
    ],
)
def test_domain_is_compared_whole(recipient: str, applies: bool) -> None:
    """A look-alike must not get the partner's treatment."""
    when = Conditions(recipient_domain=("partner.example",))
    assert _applies(when, recipient=Mailbox.parse(recipient)) is applies


@pytest.mark.parametrize(
    ("recipient", "applies"),
    [
        ("bob@a.partner.example", True),
        ("bob@a.b.partner.example", True),
        ("bob@partner.example", False),
        ("bob@xpartner.example", False),
    ],
)
def test_star_means_every_domain_below(recipient: str, applies: bool) -> None:
    """And not the domain itself."""
    when = Conditions(recipient_domain=("*.partner.example",))
    assert _applies(when, recipient=Mailbox.parse(recipient)) is applies


def test_all_conditions_must_hold() -> None:
    """Conditions are joined by and, lists by or."""
    when = Conditions(sender=(ALICE.key,), recipient=("x@y.example", BOB.key))
    assert _applies(when)
    assert not _applies(when, recipient=ALICE)


def test_sender_conditions_never_hold_without_one_originator() -> None:
    """A From that is not one mailbox is nobody."""
    message = MessageFacts(direction=Direction.OUTBOUND, originator=None)
    assert not _applies(Conditions(sender_domain=("corp.example",)), message)


def test_direction_is_compared() -> None:
    """A rule for one direction leaves the other alone."""
    assert not _applies(Conditions(direction=Direction.INBOUND))


def test_user_is_compared_exactly() -> None:
    """Logins are not addresses."""
    message = MessageFacts(direction=Direction.OUTBOUND, user="alice")
    assert _applies(Conditions(user=("alice",)), message)
    assert not _applies(Conditions(user=("Alice",)), message)


def test_size_over_means_more() -> None:
    """The number itself is still allowed."""
    message = MessageFacts(direction=Direction.OUTBOUND, size=100)
    assert _applies(Conditions(size_over=99), message)
    assert not _applies(Conditions(size_over=100), message)


def test_header_without_value_waits_for_the_field_alone() -> None:
    """Any value will do."""
    message = MessageFacts(direction=Direction.OUTBOUND, fields=(("x-encrypt", "whatever"),))
    assert _applies(Conditions(header=HeaderTrigger(name="x-encrypt")), message)
    assert not _applies(Conditions(header=HeaderTrigger(name="x-other")), message)


def test_media_type_of_any_part_counts() -> None:
    """A calendar among the alternatives is a meeting request."""
    when = Conditions(media_type=("text/calendar", "x/y"))
    kinds = frozenset({"multipart/alternative", "text/calendar"})
    assert _applies(when, MessageFacts(direction=Direction.OUTBOUND, media_types=kinds))
    assert not _applies(when)


@pytest.mark.parametrize("wanted", [True, False])
def test_null_reverse_path_marks_reports(wanted: bool) -> None:
    """MAIL FROM:<> (RFC 5321, 4.5.5)."""
    when = Conditions(null_reverse_path=wanted)
    report = MessageFacts(direction=Direction.OUTBOUND, originator=ALICE)
    letter = MessageFacts(direction=Direction.OUTBOUND, originator=ALICE, reverse_path=ALICE)
    assert _applies(when, report) is wanted
    assert _applies(when, letter) is not wanted


# --- deciding ------------------------------------------------------------------------------------

_NEVER_SOFTENED = (
    CertificateAnswer.REVOKED,
    CertificateAnswer.REVOCATION_UNKNOWN,
    CertificateAnswer.UNAVAILABLE,
    CertificateAnswer.AMBIGUOUS,
)


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (CertificateAnswer.NONE, "R-01"),
        (CertificateAnswer.AMBIGUOUS, "R-01"),
        (CertificateAnswer.EXPIRED, "R-03"),
        (CertificateAnswer.REVOKED, "R-04"),
        (CertificateAnswer.REVOCATION_UNKNOWN, "R-05"),
        (CertificateAnswer.UNAVAILABLE, "R-06"),
        (CertificateAnswer.UNSUITABLE, "R-08"),
    ],
)
def test_each_answer_has_its_refusal(answer: CertificateAnswer, row: str) -> None:
    """R-01 … R-08."""
    decision = _decide(answer, protect=Protection.SIGN_THEN_ENCRYPT)
    assert decision.refusal == row


@pytest.mark.parametrize("answer", _NEVER_SOFTENED)
@pytest.mark.parametrize("instead", [WithoutCertificate.SEND_SIGNED, WithoutCertificate.SEND_CLEAR])
def test_unknown_or_revoked_is_never_no_certificate(
    answer: CertificateAnswer, instead: WithoutCertificate
) -> None:
    """R-04, R-05, R-06: whatever the rule allows."""
    decision = _decide(
        answer,
        protect=Protection.SIGN_THEN_ENCRYPT,
        without_certificate=instead,
        fallback_for=tuple(CertificateAnswer),
    )
    assert decision.refusal


def test_nothing_weakens_encryption_but_the_rule() -> None:
    """Every combination: either encrypted, or refused, or a fallback the rule has named."""
    for protect, certificate, signing, instead, wish, extra in itertools.product(
        (Protection.SIGN_THEN_ENCRYPT, Protection.SIGN_ENCRYPT_SIGN),
        CertificateAnswer,
        SigningAnswer,
        (WithoutCertificate.REFUSE, WithoutCertificate.SEND_SIGNED, WithoutCertificate.SEND_CLEAR),
        SignatureWish,
        ((), (CertificateAnswer.EXPIRED,)),
    ):
        decision = _decide(
            certificate,
            signing,
            protect=protect,
            without_certificate=instead,
            signature=wish,
            fallback_for=extra,
        )
        if decision.refusal or decision.protection.encrypts:
            continue
        assert instead is not WithoutCertificate.REFUSE
        assert certificate in {CertificateAnswer.NONE, *extra}
        assert decision.fallback == certificate.value


def test_send_signed_signs() -> None:
    """The second best is still signed."""
    decision = _decide(
        CertificateAnswer.NONE,
        protect=Protection.ENCRYPT,
        without_certificate=WithoutCertificate.SEND_SIGNED,
    )
    assert (decision.protection, decision.refusal) == (Protection.SIGN, "")


def test_expired_falls_back_only_when_named() -> None:
    """``fallback_for``."""
    actions: dict[str, Any] = {
        "protect": Protection.ENCRYPT,
        "without_certificate": WithoutCertificate.SEND_CLEAR,
    }
    assert _decide(CertificateAnswer.EXPIRED, **actions).refusal == "R-03"
    actions["fallback_for"] = (CertificateAnswer.EXPIRED,)
    assert _decide(CertificateAnswer.EXPIRED, **actions).fallback == "expired"


@pytest.mark.parametrize(
    ("answer", "wish", "refusal"),
    [
        (SigningAnswer.NONE, SignatureWish.REQUIRED, "R-10"),
        (SigningAnswer.EXPIRED, SignatureWish.REQUIRED, "R-10"),
        (SigningAnswer.NONE, SignatureWish.OPTIONAL, ""),
        (SigningAnswer.EXPIRED, SignatureWish.OPTIONAL, ""),
        (SigningAnswer.LOCKED, SignatureWish.OPTIONAL, "R-13"),
        (SigningAnswer.UNAVAILABLE, SignatureWish.OPTIONAL, "R-14"),
        (SigningAnswer.LOCKED, SignatureWish.REQUIRED, "R-13"),
    ],
)
def test_signing_answers(answer: SigningAnswer, wish: SignatureWish, refusal: str) -> None:
    """R-10, R-11, R-13, R-14: trouble for now is never a reason to send unsigned."""
    decision = _decide(signing=answer, protect=Protection.SIGN, signature=wish)
    assert decision.refusal == refusal
    if not refusal:
        assert "R-11" in decision.note


def test_unsigned_copy_stays_encrypted() -> None:
    """A missing signing certificate takes the signature only."""
    decision = _decide(
        signing=SigningAnswer.NONE,
        protect=Protection.SIGN_THEN_ENCRYPT,
        signature=SignatureWish.OPTIONAL,
    )
    assert decision.protection is Protection.ENCRYPT


def _decide_with_archive(
    archive: CertificateAnswer, certificate: CertificateAnswer, **actions: Any
) -> Decision:
    return decide(
        Matched(rule=_rule(**actions), recipient=BOB),
        MESSAGE,
        RecipientFacts(mailbox=BOB, certificate=certificate),
        SigningFacts(answer=SigningAnswer.USABLE),
        [RecipientFacts(mailbox=ALICE, certificate=archive, detail="why")],
    )


@pytest.mark.parametrize("archive", sorted({*CertificateAnswer} - {CertificateAnswer.USABLE}))
def test_nothing_is_encrypted_without_the_other_readers(archive: CertificateAnswer) -> None:
    """Refused or deferred as for a recipient (R-01 … R-08), and it is said about whom."""
    decision = _decide_with_archive(
        archive,
        CertificateAnswer.USABLE,
        protect=Protection.SIGN_THEN_ENCRYPT,
        without_certificate=WithoutCertificate.SEND_CLEAR,
        fallback_for=tuple(CertificateAnswer),
    )
    assert decision.refusal == _decide(archive, protect=Protection.ENCRYPT).refusal
    assert (decision.blocked_by, decision.blocked_detail) == (ALICE, "why")


def test_other_readers_do_not_matter_where_nothing_is_encrypted() -> None:
    """A recipient without a certificate gets a signed copy, which everybody can read."""
    decision = _decide_with_archive(
        CertificateAnswer.NONE,
        CertificateAnswer.NONE,
        protect=Protection.ENCRYPT,
        without_certificate=WithoutCertificate.SEND_SIGNED,
    )
    assert (decision.protection, decision.refusal) == (Protection.SIGN, "")
    assert decision.blocked_by is None


def test_trouble_of_the_recipient_comes_before_that_of_other_readers() -> None:
    """The sender hears of whom he wrote to."""
    decision = _decide_with_archive(
        CertificateAnswer.NONE, CertificateAnswer.REVOKED, protect=Protection.ENCRYPT
    )
    assert (decision.refusal, decision.blocked_by) == ("R-04", None)


def test_other_reader_without_hope_comes_before_one_who_is_not_known_now() -> None:
    """Coming again would not help."""
    dora = Mailbox.parse("dora@corp.example")
    decision = decide(
        Matched(rule=_rule(protect=Protection.ENCRYPT), recipient=BOB),
        MESSAGE,
        RecipientFacts(mailbox=BOB, certificate=CertificateAnswer.USABLE),
        SigningFacts(answer=SigningAnswer.USABLE),
        [
            RecipientFacts(mailbox=ALICE, certificate=CertificateAnswer.UNAVAILABLE),
            RecipientFacts(mailbox=dora, certificate=CertificateAnswer.NONE),
        ],
    )
    assert (decision.refusal, decision.blocked_by) == ("R-01", dora)


def test_sender_is_another_reader_only_when_the_rule_says_so() -> None:
    """`encrypt_to_sender`; nobody is named twice (G11)."""
    assert Treatment().other_readers(ALICE) == ()
    both = Treatment(also_encrypt_for=(BOB, ALICE), encrypt_to_sender=True)
    assert both.other_readers(ALICE) == (BOB, ALICE)
    assert both.other_readers(None) == (BOB, ALICE)


@pytest.mark.parametrize(
    ("signing", "protection"),
    [
        (SigningAnswer.USABLE, Protection.SIGN_ENCRYPT_SIGN),
        (SigningAnswer.NONE, Protection.ENCRYPT),
    ],
)
def test_triple_wrap_without_a_signing_certificate_is_encrypted(
    signing: SigningAnswer, protection: Protection
) -> None:
    """Both signatures are by the same key (R-11)."""
    decision = _decide(
        signing=signing, protect=Protection.SIGN_ENCRYPT_SIGN, signature=SignatureWish.OPTIONAL
    )
    assert (decision.protection, decision.refusal) == (protection, "")


def test_signing_does_not_matter_where_nothing_is_signed() -> None:
    """A locked keystore stops only mail that needs it."""
    decision = _decide(signing=SigningAnswer.LOCKED, protect=Protection.ENCRYPT)
    assert (decision.protection, decision.refusal) == (Protection.ENCRYPT, "")


def test_directory_does_not_matter_where_nothing_is_encrypted() -> None:
    """As above."""
    decision = _decide(CertificateAnswer.UNAVAILABLE, protect=Protection.SIGN)
    assert (decision.protection, decision.refusal) == (Protection.SIGN, "")


def test_inbound_mail_is_never_protected() -> None:
    """The rule's requirement is what counts there (R-52)."""
    inbound = MessageFacts(direction=Direction.INBOUND, originator=BOB)
    decision = _decide(CertificateAnswer.NONE, message=inbound, protect=Protection.ENCRYPT)
    assert (decision.protection, decision.refusal) == (Protection.NONE, "")
    matched = Matched(rule=_rule(require=Requirement.SIGNED), recipient=ALICE)
    assert matched.requirement is Requirement.SIGNED


@pytest.mark.parametrize(("address", "inside"), [("b@ours.example", True), ("b@x.example", False)])
def test_recipient_inside_or_outside_our_domains(address: str, inside: bool) -> None:
    """Our domains come from the configuration, not from the rule."""
    ours = frozenset({"ours.example"})
    message = MessageFacts(direction=Direction.OUTBOUND, internal_domains=ours)
    recipient = Mailbox.parse(address)
    assert _applies(Conditions(recipient_internal=True), message, recipient) is inside
    assert _applies(Conditions(recipient_internal=False), message, recipient) is not inside
