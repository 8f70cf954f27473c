"""Policy keys about header fields: what they become, and the mistakes that are named."""

from __future__ import annotations

import pytest

from smimegw.errors import ConfigurationError
from smimegw.mime.confidentiality import HeaderConfidentiality, HeaderProtection
from smimegw.policy.explain import explain_rule
from smimegw.policy.parse import parse_policy

_POLICY = """\
[[rule]]
name = "out"
why = "all"
when = {{ direction = "outbound" }}
then = {{ {outbound} }}
[[rule]]
name = "in"
why = "all"
when = {{ direction = "inbound" }}
then = {{ require = "none"{inbound} }}
"""
_BASELINE = 'protect = "encrypt", header_confidentiality = "baseline"'
_HIDDEN = "header fields protected, hidden: Subject, Keywords, Comments"


def parsed(outbound: str, inbound: str = "") -> HeaderProtection:
    text = _POLICY.format(outbound=outbound, inbound=inbound)
    policy = parse_policy([("p.toml", text.encode())])
    return policy.rules[0].then.treatment.header


def test_without_keys_header_fields_are_not_protected() -> None:
    """Nothing changes for who does not ask."""
    assert parsed('protect = "encrypt"').confidentiality is HeaderConfidentiality.OFF


def test_keys_become_a_wish() -> None:
    """Names are compared without case; twice is once (RFC 5322, 1.2.2)."""
    assert parsed(
        'protect = "encrypt", header_confidentiality = "shy", legacy_display = false,'
        ' hidden_fields = ["User-Agent", "user-agent"]'
    ) == HeaderProtection(
        confidentiality=HeaderConfidentiality.SHY,
        hidden_fields=("user-agent",),
        legacy_display=False,
    )


def test_repetition_in_the_text_is_the_default() -> None:
    """RFC 9788, 5.2: most programs would otherwise show no Subject at all."""
    assert parsed('protect = "encrypt", header_confidentiality = "baseline"').legacy_display


@pytest.mark.parametrize(
    ("outbound", "inbound", "words"),
    [
        ('protect = "sign", header_confidentiality = "all"', "", "off, none, baseline, shy"),
        ('protect = "none", header_confidentiality = "shy"', "", "protect is none"),
        ('protect = "sign", hidden_fields = ["x-a"]', "", "nothing is encrypted"),
        ('protect = "sign", legacy_display = false', "", "nothing is encrypted"),
        ('protect = "encrypt", hidden_fields = ["x-a"]', "", "baseline, shy"),
        *(
            (f'protect = "encrypt", header_confidentiality = "shy", {names}', "", words)
            for names, words in (
                ('hidden_fields = ["From"]', "cannot be removed"),
                ('hidden_fields = ["to"]', "cannot be removed"),
                ('hidden_fields = ["Subject"]', "obscured anyway"),
                ('hidden_fields = ["Received"]', "not a field that its author wrote"),
                ('hidden_fields = ["Content-Type"]', "not a field that its author wrote"),
                ('hidden_fields = ["Bcc"]', "not a field that its author wrote"),
            )
        ),
        ('protect = "sign"', ', header_confidentiality = "shy"', "no protect"),
        ('protect = "sign"', ", legacy_display = false", "no protect"),
    ],
)
def test_mistake_is_named_with_its_line(outbound: str, inbound: str, words: str) -> None:
    """What has no effect is said, before somebody relies on it."""
    with pytest.raises(ConfigurationError) as caught:
        parsed(outbound, inbound)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.line == (10 if inbound else 5)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ('protect = "sign"', None),
        (
            'protect = "sign", header_confidentiality = "baseline"',
            "header fields protected, none hidden",
        ),
        (
            'protect = "encrypt", header_confidentiality = "none"',
            "header fields protected, none hidden",
        ),
        (
            f"{_BASELINE}, hidden_fields = ['x-a'], legacy_display = false",
            f"{_HIDDEN}, x-a",
        ),
        (
            'protect = "encrypt", header_confidentiality = "shy"',
            f"{_HIDDEN}, display names, time zone, repeated in the text",
        ),
    ],
)
def test_rule_is_explained_with_what_it_hides(keys: str, text: str | None) -> None:
    """`smimegw policy explain` and `smimegw explain` say it in the same words."""
    policy = parse_policy([("p.toml", _POLICY.format(outbound=keys, inbound="").encode())])
    lines = [line.removeprefix("then").strip() for line in explain_rule(policy.rules[0])]
    assert [line for line in lines if "header fields" in line] == ([text] if text else [])
