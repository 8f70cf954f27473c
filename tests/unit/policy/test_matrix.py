"""The failure matrix: no holes, and nothing in it sends less than a rule asked for."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import ConfigurationError
from smimegw.pipeline.replies import ROWS, OpenRow, reply_for
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import Protection, QuoteEncrypted, SignatureWish, WithoutCertificate
from smimegw.policy.decide import decide
from smimegw.policy.evaluate import Matched
from smimegw.policy.facts import MessageFacts, RecipientFacts, SigningFacts
from smimegw.policy.matrix import FailureMatrix, Trouble, Verdict
from smimegw.policy.model import Actions, Conditions, Decision, Direction, Rule
from smimegw.policy.parse import parse_policy
from smimegw.policy.parse_matrix import FILE_NAME, parse_matrix, shipped
from smimegw.policy.replay import Known, ask_again

TEXT = (Path(__file__).parents[3] / "policies" / FILE_NAME).read_text("utf-8")
BOB = Mailbox.parse("bob@partner.example")
NONE = CertificateAnswer.NONE
CELLS = [(trouble, p) for trouble in Trouble for p in Protection if trouble.touches(p)]
RULES = b"""
[[rule]]
name = "all"
why = "test"
then = { protect = "sign-then-encrypt", without_certificate = "send-clear", require = "none" }
"""


def written(cells: dict[tuple[Trouble, Protection], str | None]) -> bytes:
    """The shipped matrix with other words in *cells*; None leaves the cell out."""
    values = tomllib.loads(TEXT)
    for (trouble, protection), word in cells.items():
        group, _, name = trouble.partition(".")
        if word is None:
            del values[group][name][protection.value]
        else:
            values[group][name][protection.value] = word
    lines = []
    for group, troubles in values.items():
        lines.append(f"[{group}]")
        for name, row in troubles.items():
            inner = ", ".join(f'{key} = "{word}"' for key, word in row.items())
            lines.append(f"{name} = {{ {inner} }}")
    return "\n".join(lines).encode()


def problems(octets: bytes) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_matrix("m.toml", octets)
    return [str(problem) for problem in caught.value.problems]


def decided(
    matrix: FailureMatrix,
    *,
    certificate: CertificateAnswer = CertificateAnswer.USABLE,
    signing: SigningAnswer = SigningAnswer.USABLE,
    thread: ThreadAnswer = ThreadAnswer.CLEAR,
    **actions: object,
) -> Decision:
    then = Actions(**actions)  # type: ignore[arg-type]
    rule = Rule(name="r", why="w", source="p:1", when=Conditions(), then=then)
    return decide(
        Matched(rule=rule, recipient=BOB, matrix=matrix),
        MessageFacts(direction=Direction.OUTBOUND),
        RecipientFacts(mailbox=BOB, certificate=certificate),
        SigningFacts(answer=signing),
        (),
        thread,
    )


# --- loading -------------------------------------------------------------------------------------


def test_shipped_matrix_is_the_one_among_the_policies() -> None:
    """What an administrator copies is what runs without him."""
    assert parse_matrix("m.toml", TEXT.encode()).cells == shipped().cells


def test_every_cell_is_decided() -> None:
    """Each trouble with each protection that needs what is missing, and no other."""
    assert {(t, p) for t, row in shipped().cells.items() for p in row} == set(CELLS)


def test_what_is_not_known_is_only_deferred() -> None:
    """R-05, R-06, R-13, R-14, R-22: shipped as 4xx."""
    unknown = [shipped().verdict(*cell) for cell in CELLS if cell[0].is_unknown]
    assert len(unknown) == 14
    assert set(unknown) == {Verdict.DEFER}


@pytest.mark.parametrize("cell", CELLS, ids="×".join)
def test_hole_is_refused(cell: tuple[Trouble, Protection]) -> None:
    """Nothing is decided by silence; the problem names the cell."""
    [problem] = problems(written({cell: None}))
    assert f"{cell[0]}.{cell[1]}" in problem
    assert "missing: the matrix may have no hole" in problem


@pytest.mark.parametrize("cell", CELLS, ids="×".join)
@pytest.mark.parametrize("word", ["send-clear", "none"])
def test_fall_back_that_no_rule_names_is_refused(
    cell: tuple[Trouble, Protection], word: str
) -> None:
    """A cell would hold for every rule (R-01)."""
    [problem] = problems(written({cell: word}))
    assert "a fall-back that no rule names" in problem


@pytest.mark.parametrize("cell", [c for c in CELLS if not c[0].named_by], ids="×".join)
def test_policy_is_refused_where_no_rule_has_words(cell: tuple[Trouble, Protection]) -> None:
    """R-04 to R-06, R-13, R-14, R-22, R-26: revoked and unknown are never "no certificate"."""
    [problem] = problems(written({cell: "policy"}))
    assert "Allowed: defer, refuse" in problem
    assert ("not known" in problem) is cell[0].is_unknown


@pytest.mark.parametrize("word", ["Defer", "reject", "", "polcy"])
def test_unknown_word_is_refused(word: str) -> None:
    """Three words; for a trouble that no rule softens, two."""
    [problem] = problems(written({(Trouble.NO_CERTIFICATE, Protection.ENCRYPT): word}))
    assert "Allowed: defer, refuse, policy" in problem
    [problem] = problems(written({(Trouble.REVOKED, Protection.ENCRYPT): word}))
    assert "Allowed: defer, refuse" in problem
    assert "refuse, policy" not in problem


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("[cerificate]\nnone = {}\n", "cerificate – unknown.  Did you mean certificate?"),
        ("[portal]\n", "portal – unknown"),
        ("certificate.lost = { encrypt = 'refuse' }\n", "certificate.lost – unknown"),
        ("certificate.none.sgin = 'refuse'\n", "certificate.none.sgin – not touched by it"),
        ("certificate.none.sign = 'refuse'\n", "certificate.none.sign – not touched by it"),
        ("certificate.revoked = 'refuse'\n", 'certificate.revoked – "refuse" is not a table'),
        ("signing = 'refuse'\n", 'signing – "refuse" is not a table'),
        ("certificate.none.encrypt = ['refuse']\n", "a list is not allowed"),
        ("certificate.none.encrypt = 1\n", "1 is not allowed"),
        ("= 1\n", "not valid TOML"),
    ],
)
def test_nonsense_is_named(more: str, named: str) -> None:
    """With file and line, as in policies."""
    found = problems(more.encode())
    assert any(named in problem for problem in found)
    assert all(problem.startswith("m.toml") for problem in found)


def test_every_mistake_is_told_at_once() -> None:
    """Nobody edits, loads and edits again."""
    cells: dict[tuple[Trouble, Protection], str | None] = {
        (Trouble.REVOKED, Protection.ENCRYPT): "policy",
        (Trouble.NO_SIGNER, Protection.SIGN): "send",
        (Trouble.UNAVAILABLE, Protection.ENCRYPT): None,
    }
    assert len(problems(written(cells))) == 3


# --- deciding ------------------------------------------------------------------------------------


def cell_decision(matrix: FailureMatrix, trouble: Trouble, protection: Protection) -> Decision:
    """A copy of *protection* that meets *trouble*, under a rule that allows all it can."""
    kind, _, word = trouble.partition(".")
    facts: dict[str, object] = {
        "certificate": CertificateAnswer(word)
        if kind == "certificate"
        else CertificateAnswer.USABLE,
        "signing": SigningAnswer(word) if kind == "signing" else SigningAnswer.USABLE,
        "thread": ThreadAnswer(word) if kind == "thread" else ThreadAnswer.CLEAR,
    }
    return decided(
        matrix,
        **facts,  # type: ignore[arg-type]
        protect=protection,
        without_certificate=WithoutCertificate.SEND_CLEAR,
        fallback_for=(CertificateAnswer.EXPIRED, CertificateAnswer.UNSUITABLE),
        signature=SignatureWish.OPTIONAL,
        quote_encrypted=QuoteEncrypted.REFUSE if kind == "thread" else QuoteEncrypted.ALLOW,
    )


DECIDED = [cell for cell in CELLS if cell[0] is not Trouble.READER_LEFT_OUT]


@pytest.mark.parametrize("word", ["defer", "refuse"])
@pytest.mark.parametrize("cell", DECIDED, ids="×".join)
def test_each_cell_decides(cell: tuple[Trouble, Protection], word: str) -> None:
    """Whatever stands there is what happens, also under a rule that would allow less."""
    matrix = parse_matrix("m.toml", written({cell: word}))
    decision = cell_decision(matrix, *cell)
    assert (decision.refusal, decision.deferred) == (cell[0].row, word == "defer")


@pytest.mark.parametrize("cell", DECIDED, ids="×".join)
def test_policy_means_what_the_rule_names(cell: tuple[Trouble, Protection]) -> None:
    """R-01, R-03, R-08, R-10, R-11, R-23: less only where the matrix has "policy"."""
    trouble, protection = cell
    decision = cell_decision(shipped(), trouble, protection)
    falls_back = trouble.named_by not in ("", "quote_encrypted")
    assert bool(decision.refusal) is not falls_back
    assert shipped().may_fall_back(trouble, protection) is bool(trouble.named_by)


def test_reply_is_of_the_class_that_the_matrix_says() -> None:
    """No code in the table of replies: 4xx or 5xx is decided in one place."""
    matrix = parse_matrix("m.toml", written({(Trouble.UNAVAILABLE, Protection.ENCRYPT): "refuse"}))
    decision = decided(
        matrix, certificate=CertificateAnswer.UNAVAILABLE, protect=Protection.ENCRYPT
    )
    reply = reply_for(decision.refusal, mailbox=BOB, deferred=decision.deferred)
    assert str(reply) == "550 5.4.3 <bob@partner.example>: directory not reachable (R-06)"
    for trouble in Trouble:
        assert isinstance(ROWS[trouble.row], OpenRow)
        assert reply_for(trouble.row).is_transient  # what nobody decided to be for good


def test_no_matrix_sends_less_than_the_rule_allows() -> None:
    """Any word in any cell: what leaves weaker was named by the rule, for that very answer."""
    for words in itertools.product(("defer", "refuse", "policy"), repeat=2):
        cells: dict[tuple[Trouble, Protection], str | None] = {
            (trouble, p): words[p.signs]
            if trouble.named_by or words[p.signs] != "policy"
            else "defer"
            for trouble, p in CELLS
        }
        matrix = parse_matrix("m.toml", written(cells))
        for certificate, instead in itertools.product(CertificateAnswer, WithoutCertificate):
            decision = decided(
                matrix,
                certificate=certificate,
                protect=Protection.SIGN_THEN_ENCRYPT,
                without_certificate=instead,
                fallback_for=(CertificateAnswer.EXPIRED,),
            )
            if not decision.refusal and not decision.protection.encrypts:
                assert certificate in {CertificateAnswer.NONE, CertificateAnswer.EXPIRED}
                assert instead not in {WithoutCertificate.REFUSE, WithoutCertificate.PORTAL}
                assert words[True] == "policy"


# --- beside the rules ----------------------------------------------------------------------------


def test_own_matrix_beside_the_rules_is_used() -> None:
    """And the digest of the policy is another one."""
    octets = written({(Trouble.NO_CERTIFICATE, Protection.SIGN_THEN_ENCRYPT): "defer"})
    policy = parse_policy([("d/failure-matrix.toml", octets), ("d/p.toml", RULES)])
    assert policy.matrix.source == "d/failure-matrix.toml"
    assert policy.matrix.verdict(Trouble.NO_CERTIFICATE, Protection.SIGN_THEN_ENCRYPT) == "defer"
    assert policy.digest != parse_policy([("d/p.toml", RULES)]).digest


def test_rule_that_the_matrix_overrules_is_warned_of() -> None:
    """Its author believes that mail flows."""
    octets = written({(Trouble.NO_CERTIFICATE, Protection.SIGN_THEN_ENCRYPT): "refuse"})
    policy = parse_policy([("d/failure-matrix.toml", octets), ("d/p.toml", RULES)])
    [warning] = policy.warnings
    assert 'without_certificate of rule "all" is without effect' in warning
    assert "d/failure-matrix.toml says refuse for certificate.none" in warning


def test_broken_matrix_is_a_broken_policy() -> None:
    """With the mistakes of the rules, all at once (R-15)."""
    with pytest.raises(ConfigurationError) as caught:
        parse_policy([("d/failure-matrix.toml", b"[thread]\n"), ("d/p.toml", b"x = 1\n")])
    files = {problem.file for problem in caught.value.problems}
    assert files == {"d/failure-matrix.toml", "d/p.toml"}


# --- other readers, and stored decisions ----------------------------------------------------------


def test_missing_archive_never_falls_back() -> None:
    """R-01: without_certificate speaks of the recipient; the matrix says for now or for good."""
    cell = (Trouble.NO_CERTIFICATE, Protection.ENCRYPT)
    archive = RecipientFacts(mailbox=Mailbox.parse("a@b.example"), certificate=NONE)
    then = Actions(protect=Protection.ENCRYPT, without_certificate=WithoutCertificate.SEND_CLEAR)
    rule = Rule(name="r", why="w", source="p:1", when=Conditions(), then=then)
    for word in ("defer", "refuse", "policy"):
        decision = decide(
            Matched(rule=rule, recipient=BOB, matrix=parse_matrix("m", written({cell: word}))),
            MessageFacts(direction=Direction.OUTBOUND),
            RecipientFacts(mailbox=BOB, certificate=CertificateAnswer.USABLE),
            SigningFacts(answer=SigningAnswer.USABLE),
            [archive],
        )
        assert (decision.refusal, decision.deferred) == ("R-01", word == "defer")
        assert decision.blocked_by == archive.mailbox


CLEAR_RULE = b"""
[[rule]]
name = "all"
why = "test"
then = { protect = "none", require = "none" }
"""


@pytest.mark.parametrize(
    ("thread", "own", "label"),
    [
        (ThreadAnswer.CLEAR, "", "clear"),
        (ThreadAnswer.ENCRYPTED, "", "refuse R-23"),
        (ThreadAnswer.UNKNOWN, "", "defer R-22"),
        (None, "", "clear or refuse R-23"),
        (ThreadAnswer.ENCRYPTED, "encryption", "clear"),
    ],
)
def test_stored_decision_is_asked_again_with_its_thread(
    thread: ThreadAnswer | None, own: str, label: str
) -> None:
    """R-22, R-23: what no record knows may be either."""
    message = MessageFacts(direction=Direction.OUTBOUND)
    known = Known(message=message, recipient=BOB, thread=thread, own=own)
    assert ask_again(parse_policy([("p.toml", CLEAR_RULE)]), known).label == label


def test_stored_decision_is_asked_again_with_the_matrix_of_the_policy() -> None:
    """``policy diff`` shows what another matrix would do."""
    octets = written({(Trouble.NO_CERTIFICATE, Protection.SIGN_THEN_ENCRYPT): "defer"})
    message = MessageFacts(direction=Direction.OUTBOUND)
    known = Known(message=message, recipient=BOB, certificates={BOB.key: NONE})
    files = [("p.toml", RULES), ("failure-matrix.toml", octets)]
    assert "clear" in ask_again(parse_policy(files[:1]), known).label
    assert ask_again(parse_policy(files), known).label == "defer R-01"
