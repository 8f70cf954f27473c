"""Policy files: mistakes are named with file, line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.errors import ConfigurationError
from smimegw.mime.build import SignedForm
from smimegw.policy.cases import run_cases
from smimegw.policy.explain import explain_rule
from smimegw.policy.forms import ExpectForm, GivenForm, ThenForm, WhenForm
from smimegw.policy.model import Policy
from smimegw.policy.parse import parse_policy

_POLICIES = Path(__file__).parents[3] / "policies"
GOOD = """\
[[rule]]
name = "partner"
why = "contract"
when = { direction = "outbound", recipient_domain = ["partner.example"] }
then = { protect = "encrypt", without_certificate = "refuse" }
[[rule]]
name = "rest out"
why = "all"
when = { direction = "outbound" }
then = { protect = "sign" }
[[rule]]
name = "rest in"
why = "all"
when = { direction = "inbound" }
then = { require = "none" }
[[case]]
name = "partner is refused"
given = { from = "a@corp.example", to = ["b@partner.example"], certificate = "none" }
expect = { rule = "partner", refusal = "R-01" }
"""


def _parse(text: str) -> Policy:
    return parse_policy([("p.toml", text.encode())])


_MISTAKES = [
    ('name = "partner"\n', "", 1, "name", ["missing"]),
    ('name = "rest out"', 'name = "partner"', 7, "name", ["already the name", "p.toml:1"]),
    ('why = "contract"\n', "", 1, "why", ["missing"]),
    ('why = "contract"', 'why = " "', 3, "why", ["not a text"]),
    ('why = "contract"', 'wy = "contract"', 3, "wy", ["Did you mean why?"]),
    ('why = "contract"', 'why = "a\\nb"', 3, "why", ["one line"]),
    ('then = { protect = "encrypt"', 'then = { protect = "encypt"', 5, "then.protect",
     ["encrypt?", "none, sign, encrypt, sign-then-encrypt"]),
    ('{ protect = "sign" }', "{ }", 10, "then.protect", ["missing", "sign-then-encrypt"]),
    ('"refuse"', '"portal"', 5, "then.without_certificate", ["not available yet", "refuse"]),
    ('"refuse"', '"clear"', 5, "then.without_certificate", ["refuse, send-signed, send-clear"]),
    ('"refuse"', '"refuse", fallback_for = ["revoked"]', 5, "then.fallback_for.0",
     ["expired, unsuitable"]),
    ('"refuse"', '"refuse", fallback_for = ["expired"]', 5, "then.fallback_for",
     ["without effect"]),
    ('"refuse"', '"refuse", signature = "optional"', 5, "then.signature", ["nothing is signed"]),
    ('"refuse"', '"refuse", enrol = true', 5, "then.enrol", ["nothing is signed"]),
    ('"refuse"', '"refuse", digest = "sha1"', 5, "then.digest", ["sha256, sha384, sha512"]),
    ('"refuse"', '"refuse", cipher = "3des"', 5, "then.cipher", ["aes-256-gcm"]),
    ('"refuse"', '"refuse", scheme = "pkcs1"', 5, "then.scheme", ["pkcs1v15, pss"]),
    ('"refuse"', '"refuse", key_transport = "kem"', 5, "then.key_transport",
     ["auto, pkcs1v15, oaep"]),
    ('"refuse"', '"refuse", cipher_floor = "auto"', 5, "then.cipher_floor", ["aes-128-cbc"]),
    ('"refuse"', '"refuse", cipher = "aes-256-cbc", cipher_floor = "aes-128-gcm"', 5,
     "then.cipher_floor", ["without effect: cipher is aes-256-cbc"]),
    ('"refuse"', '"refuse", also_encrypt_for = []', 5, "then.also_encrypt_for", ["empty"]),
    ('"refuse"', '"refuse", also_encrypt_for = ["archive"]', 5, "then.also_encrypt_for.0",
     ["not an address"]),
    ('protect = "sign"', 'protect = "sign", also_encrypt_for = ["a@corp.example"]', 10,
     "then.also_encrypt_for", ["nothing is encrypted"]),
    ('protect = "sign"', 'protect = "sign", encrypt_to_sender = true', 10,
     "then.encrypt_to_sender", ["nothing is encrypted"]),
    ('protect = "sign"', 'protect = "sign", cipher_floor = "aes-256-cbc"', 10,
     "then.cipher_floor", ["nothing is encrypted"]),
    ('require = "none"', 'require = "none", encrypt_to_sender = true', 15,
     "then.encrypt_to_sender", ["inbound"]),
    ('recipient_domain = ["partner.example"]', 'media_type = ["calendar"]', 4,
     "when.media_type.0", ["text/calendar"]),
    ('recipient_domain = ["partner.example"]', 'media_type = ["text/*"]', 4,
     "when.media_type.0", ["text/calendar"]),
    ('recipient_domain = ["partner.example"]', "media_type = []", 4, "when.media_type",
     ["never holds"]),
    ('direction = "outbound", recip', 'media_type = ["text/calendar"], recip', 4,
     "when.media_type", ["outbound mail only"]),
    ('protect = "sign"', 'protect = "sign", without_certificate = "send-clear"', 10,
     "then.without_certificate", ["nothing is encrypted"]),
    ('protect = "sign"', 'protect = "sign", require = "signed"', 10, "then.require",
     ["without effect on outbound"]),
    ('require = "none"', 'require = "opened"', 15, "then.require", ["none, signed, encrypted"]),
    ('{ require = "none" }', "{ }", 15, "then.require", ["missing", "none, signed, encrypted"]),
    ('require = "none"', 'protect = "sign"', 15, "then.protect", ["inbound"]),
    ('"outbound", recip', '"outward", recip', 4, "when.direction", ["outbound, inbound"]),
    ('["partner.example"]', "[]", 4, "when.recipient_domain", ["never holds"]),
    ('["partner.example"]', '"partner.example"', 4, "when.recipient_domain", ["not a list"]),
    ('["partner.example"]', '["*partner.example"]', 4, "when.recipient_domain.0", ["*.partner"]),
    ('["partner.example"]', '["b@partner.example"]', 4, "when.recipient_domain.0", ["a domain"]),
    ('recipient_domain = ["partner.example"]', 'recipient = ["partner.example"]', 4,
     "when.recipient.0", ["not an address"]),
    ('recipient_domain = ["partner.example"]', 'subject_word = [""]', 4, "when.subject_word.0",
     ["not a text"]),
    ('recipient_domain = ["partner.example"]', 'subject_word = ["\\u00ad"]', 4,
     "when.subject_word.0", ["not a text"]),
    ('recipient_domain = ["partner.example"]', 'header = { name = "X-A:" }', 4,
     "when.header.name", ["no colon"]),
    ('recipient_domain = ["partner.example"]', "size_over = -1", 4, "when.size_over", ["octets"]),
    ('recipient_domain = ["partner.example"]', 'domain = ["x"]', 4, "when.domain", ["Allowed"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    _MISTAKES,
    ids=[f"{number}-{row[3]}" for number, row in enumerate(_MISTAKES)],
)
def test_message_names_file_line_rule_and_what_is_allowed(
    old: str, new: str, line: int, key: str, words: list[str]
) -> None:
    """One mistake, one complaint."""
    assert old in GOOD
    with pytest.raises(ConfigurationError) as caught:
        _parse(GOOD.replace(old, new, 1))
    (problem,) = (
        each for each in caught.value.problems if each.key.endswith((f" {key}", f".{key}"))
    )
    assert (problem.file, problem.line) == ("p.toml", line)
    assert len(caught.value.problems) <= 2, "one mistake must not raise a flood"
    for word in words:
        assert word in problem.message


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_mail_without_a_rule_is_a_mistake(direction: str) -> None:
    """Silence must not decide what goes out in clear."""
    text = GOOD.replace(
        f'when = {{ direction = "{direction}" }}',
        f'when = {{ direction = "{direction}", sender = ["x@corp.example"] }}',
    )
    with pytest.raises(ConfigurationError, match=f"no rule for all other {direction} mail"):
        _parse(text)


def test_folder_without_rules_is_a_mistake() -> None:
    """An empty file is not a policy."""
    with pytest.raises(ConfigurationError, match="no rule for all other outbound"):
        _parse("")


def test_mistakes_in_all_files_are_reported() -> None:
    """Also when the first is not even TOML."""
    with pytest.raises(ConfigurationError) as caught:
        parse_policy([("a.toml", b"= 1"), ("b.toml", b"[[rule]]\nnam = 1\n"), ("c.toml", b"x = 1")])
    assert {problem.file for problem in caught.value.problems} == {"a.toml", "b.toml", "c.toml"}


def test_rule_behind_a_catch_all_is_warned_of() -> None:
    """It never applies, which its author surely did not mean."""
    late = GOOD.replace('recipient_domain = ["partner.example"]', 'user = ["x"]')
    first, second = late.index("[[rule]]", 5), late.index("[[rule]]", 200)
    swapped = late[first:second] + late[:first] + late[second:]
    policy = _parse(swapped.replace('rule = "partner", refusal = "R-01"', 'protect = "sign"'))
    assert len(policy.warnings) == 1
    assert 'rule "partner" never applies: "rest out" comes first' in policy.warnings[0]


def test_good_policy_has_no_warning() -> None:
    """Warnings that are always there are not read."""
    assert _parse(GOOD).warnings == ()


def test_algorithms_reach_the_treatment() -> None:
    """Words of the file become those of CMS."""
    more = 'form = "opaque", digest = "sha384", scheme = "pss"'
    text = GOOD.replace(
        'protect = "encrypt"',
        f'{more}, cipher = "aes-256-gcm", key_transport = "oaep", protect = "sign-then-encrypt"',
    )
    treatment = _parse(text).rules[0].then.treatment
    assert treatment.form is SignedForm.OPAQUE
    assert treatment.digest is DigestAlgorithm.SHA384
    assert treatment.scheme is SignatureScheme.RSA_PSS
    assert treatment.cipher is ContentCipher.AES_256_GCM
    assert treatment.oaep


def test_algorithms_go_by_what_readers_read_unless_the_rule_names_them() -> None:
    """The defaults of a rule."""
    treatment = _parse(GOOD).rules[0].then.treatment
    assert (treatment.cipher, treatment.oaep) == (None, None)
    assert treatment.cipher_floor is ContentCipher.AES_128_CBC
    floor = GOOD.replace('"refuse"', '"refuse", cipher_floor = "aes-256-gcm", cipher = "auto"')
    treatment = _parse(floor).rules[0].then.treatment
    assert (treatment.cipher, treatment.cipher_floor) == (None, ContentCipher.AES_256_GCM)


@pytest.mark.parametrize(
    ("then", "given", "expect"),
    [
        ("", "", 'cipher = "aes-256-cbc", key_transport = "pkcs1v15"'),
        ("", 'reads_ciphers = ["aes-256-gcm"]', 'cipher = "aes-256-gcm"'),
        ("", "reads_oaep = true", 'cipher = "aes-256-cbc", key_transport = "oaep"'),
        (', cipher_floor = "aes-128-gcm"', "", 'cipher = "aes-128-gcm", because = "floor"'),
        (', cipher = "aes-128-gcm"', "", 'cipher = "aes-128-gcm", because = "rule"'),
        (', key_transport = "oaep"', "", 'key_transport = "oaep"'),
        (', also_encrypt_for = ["archive@corp.example"]', "", 'refusal = ""'),
        (
            ', also_encrypt_for = ["archive@corp.example"]',
            'other_readers = "none"',
            'refusal = "R-01", blocked_by = "archive@corp.example"',
        ),
        (
            ", encrypt_to_sender = true",
            'other_readers = "expired"',
            'refusal = "R-03", blocked_by = "a@corp.example"',
        ),
    ],
)
def test_case_can_promise_algorithms_and_other_readers(then: str, given: str, expect: str) -> None:
    """The author tries them without a mail."""
    case = 'certificate = "usable"' + (f", {given}" if given else "")
    text = GOOD.replace('"refuse" }', f'"refuse"{then} }}')
    text = text.replace('certificate = "none"', case)
    text = text.replace('rule = "partner", refusal = "R-01"', expect)
    (result,) = run_cases(_parse(text))
    assert result.differences == ()


def test_case_that_promises_another_cipher_fails() -> None:
    """It is compared."""
    text = GOOD.replace('certificate = "none"', 'certificate = "usable"')
    text = text.replace('rule = "partner", refusal = "R-01"', 'cipher = "aes-256-gcm"')
    (result,) = run_cases(_parse(text))
    assert 'cipher is "aes-256-cbc", expected "aes-256-gcm"' in result.differences[0]


@pytest.mark.parametrize(
    ("when", "given"),
    [
        ('media_type = ["Text/Calendar"]', 'media_types = ["multipart/mixed", "text/calendar"]'),
        ("null_reverse_path = true", "null_reverse_path = true"),
    ],
)
def test_case_can_give_types_of_parts_and_a_null_reverse_path(when: str, given: str) -> None:
    """Both ways: with it the rule applies, without it the next one does."""
    text = GOOD.replace('recipient_domain = ["partner.example"]', when)
    (with_it,) = run_cases(
        _parse(text.replace('certificate = "none"', f'{given}, certificate = "none"'))
    )
    assert with_it.differences == ()
    (without,) = run_cases(_parse(text))
    assert 'rule is "rest out"' in without.differences[0]


def test_digest_changes_with_any_octet() -> None:
    """Records name the policy that decided."""
    assert _parse(GOOD).digest != _parse(GOOD + "\n").digest


def test_case_that_fails_says_what_came_instead() -> None:
    """The author compares promise and result."""
    policy = _parse(GOOD.replace('refusal = "R-01"', 'refusal = ""'))
    (result,) = run_cases(policy)
    assert result.differences == (
        '<b@partner.example>: refusal is "R-01", expected "" (rule "partner")',
    )


def test_case_that_promises_nothing_fails() -> None:
    """An empty promise would always come true."""
    (result,) = run_cases(_parse(GOOD.replace('{ rule = "partner", refusal = "R-01" }', "{}")))
    assert not result.passed


def test_case_speaks_for_every_recipient() -> None:
    """One of two that differs is a difference."""
    text = GOOD.replace('to = ["b@partner.example"]', 'to = ["b@partner.example", "c@x.example"]')
    (result,) = run_cases(_parse(text))
    assert [line.split(":")[0] for line in result.differences] == ["<c@x.example>"] * 2


@pytest.mark.parametrize(
    "path",
    [_POLICIES / "default.toml", *sorted((_POLICIES / "examples").glob("*.toml"))],
    ids=lambda path: path.name,
)
def test_shipped_policies_keep_their_promises(path: Path) -> None:
    """Every case passes, no rule is dead, and every rule is explained."""
    policy = parse_policy([(path.name, path.read_bytes())])
    assert [result.differences for result in run_cases(policy) if not result.passed] == []
    assert len(policy.cases) >= 4
    assert policy.warnings == ()
    for rule in policy.rules:
        assert rule.why in "\n".join(explain_rule(rule))


@pytest.mark.parametrize("key", ExpectForm.__dataclass_fields__)
def test_readme_explains_every_expectation(key: str) -> None:
    """What may stand in ``expect``."""
    assert f"`{key}`" in (_POLICIES / "README.md").read_text()


@pytest.mark.parametrize("form", [WhenForm, ThenForm, GivenForm])
def test_readme_explains_every_key(form: type) -> None:
    """What may stand in ``when``, ``then`` and ``given``."""
    text = (_POLICIES / "README.md").read_text()
    keys = (key.removesuffix("_") for key in form.__dataclass_fields__)
    assert [key for key in keys if not re.search(rf"`{key}\b", text)] == []
