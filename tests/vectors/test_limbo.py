"""Verdicts on the shapes of x509-limbo that have a meaning for mail (cases F30)."""

from __future__ import annotations

from types import ModuleType

import pytest

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509 import constraints, search
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import NOW
from tests.vectors.limbo import MAILBOX, SHAPES

TABLE = """
smime::san::exact-rfc822-san                             valid   valid
smime::san::no-san                                       invalid address-mismatch
smime::san::san-without-rfc822name                       invalid address-mismatch
smime::san::mismatch-rfc822-san                          invalid address-mismatch
smime::san::mismatch-domain-rfc822-san                   invalid address-mismatch
smime::san::multiple-rfc822-sans                         valid   valid
smime::san::san-critical-with-nonempty-subject           invalid valid
smime::san::san-critical-with-empty-subject              valid   valid
smime::eku::ee-email-protection                          valid   valid
smime::eku::ee-missing-email-protection                  invalid extended-key-usage
smime::eku::ee-without-eku                               invalid valid
smime::eku::ee-has-server-auth                           invalid valid
smime::eku::ee-has-code-signing                          invalid valid
smime::eku::ee-has-time-stamping                         invalid valid
smime::eku::ee-has-any-eku                               invalid valid
smime::ku::signing-only-rsa-digital-signature            valid   valid
smime::ku::signing-only-rsa-with-nonrepudiation          valid   valid
smime::ku::ee-key-usage-not-critical                     invalid valid
smime::ku::signing-only-ec                               valid   valid
smime::ku::dual-use-rsa                                  valid   valid
smime::ku::key-management-only-rsa                       valid   valid
smime::ku::key-management-only-ec                        valid   valid
smime::ku::ee-key-cert-sign                              invalid key-usage
smime::ku::ee-missing-key-usage                          invalid valid
rfc5280::unknown-critical-extension-ee                   invalid path
own::unknown-noncritical-extension-ee                    valid   valid
rfc5280::nc::not-allowed-in-ee-critical                  invalid valid
rfc5280::nc::not-allowed-in-ee-noncritical               invalid valid
rfc5280::validity::expired-leaf                          invalid expired
rfc5280::validity::notyetvalid-leaf                      invalid not-yet-valid
smime::eku::intermediate-missing-email-protection        invalid extended-key-usage
smime::eku::intermediate-has-server-auth                 invalid valid
smime::eku::intermediate-has-any-eku                     invalid valid
smime::eku::intermediate-has-code-signing                invalid valid
smime::eku::intermediate-has-time-stamping               invalid valid
smime::eku::root-has-eku                                 invalid valid
smime::ku::intermediate-missing-key-cert-sign            invalid path
smime::ku::intermediate-missing-crl-sign                 invalid valid
rfc5280::unknown-critical-extension-intermediate         invalid path
own::intermediate-without-ca-bit                         invalid path
rfc5280::validity::expired-intermediate                  invalid expired
rfc5280::validity::notyetvalid-intermediate              invalid not-yet-valid
rfc5280::unknown-critical-extension-root                 invalid valid
rfc5280::root-missing-basic-constraints                  invalid path
rfc5280::validity::expired-root                          invalid expired
rfc5280::validity::notyetvalid-root                      invalid not-yet-valid
pathlen::ee-with-intermediate-pathlen-0                  valid   valid
pathlen::intermediate-violates-pathlen-0                 invalid path
pathlen::intermediate-pathlen-may-increase               valid   valid
pathlen::intermediate-pathlen-too-long                   invalid path
pathlen::self-issued-certs-pathlen                       valid   valid
rfc5280::nc::nc-permits-email-exact                      valid   valid
rfc5280::nc::nc-permits-email-domain                     valid   valid
own::nc-permits-email-subdomains                         valid   valid
own::nc-permits-other-email                              invalid path
own::nc-permits-other-domain                             invalid path
own::nc-permits-subdomains-of-the-domain-only            invalid path
own::nc-permits-empty                                    invalid path
own::nc-forbids-email-exact                              invalid path
own::nc-forbids-email-domain                             invalid path
own::nc-forbids-email-subdomains                         invalid path
own::nc-forbids-other-domain                             valid   valid
rfc5280::nc::excluded-match-permitted-and-excluded       invalid path
rfc5280::nc::invalid-email-address                       invalid path
own::invalid-email-address-excluded                      invalid path
rfc5280::nc::permitted-different-constraint-type         valid   valid
rfc5280::nc::excluded-different-constraint-type          valid   valid
rfc5280::nc::permitted-dn-match                          valid   valid
rfc5280::nc::permitted-dn-mismatch                       invalid path
rfc5280::nc::excluded-dn-match                           invalid path
rfc5280::nc::permitted-dn-match-sub-mismatch             invalid path
rfc5280::nc::excluded-dn-match-sub-mismatch              invalid path
rfc5280::nc::permitted-self-issued                       valid   valid
rfc5280::nc::excluded-self-issued-leaf                   invalid path
own::intermediate-outside-of-its-constraints             invalid path
pathological::multiple-chains-expired-intermediate       valid   valid
pathological::intermediate-cycle-distinct-cas            invalid untrusted-ca
pathological::intermediate-cycle-same-logical-ca         invalid untrusted-ca
own::everybody-vouches-for-everybody                     invalid limits
own::long-chain                                          invalid limits
own::nc-dos-within-limits                                valid   valid
pathological::nc-dos-1                                   invalid limits
pathological::nc-dos-2                                   invalid limits
pathological::nc-dos-3                                   invalid limits
"""
"""Shape, verdict of the suite (ours where it has no such case), and what we say."""


def said(name: str) -> str:
    """``valid`` or the reason of the refusal."""
    purpose = Purpose.ENCRYPTION if "key-management" in name else Purpose.SIGNATURE
    try:
        made = SHAPES[name]()
        evidence = Evidence(
            trust_anchors=made.anchors, intermediates=made.others, require_revocation=False
        )
        validate(made.certificate, evidence, purpose=purpose, mailbox=MAILBOX, now=NOW)
    except CertificateError as exc:
        return exc.reason
    return "valid"


ROWS = tuple(tuple(line.split()) for line in TABLE.strip().splitlines())

_FORUM = "a rule of the CA/Browser Forum for public CAs, not of RFC 8550"
_LEAF = (
    "only a CA's constraints are applied, and the CA's mistake changes nothing (RFC 5280, 6.1.4)"
)
LENIENT = {
    **dict.fromkeys(
        (
            "smime::san::san-critical-with-nonempty-subject",
            "smime::eku::ee-without-eku",
            "smime::eku::ee-has-server-auth",
            "smime::eku::ee-has-code-signing",
            "smime::eku::ee-has-time-stamping",
            "smime::eku::ee-has-any-eku",
            "smime::eku::intermediate-has-server-auth",
            "smime::eku::intermediate-has-any-eku",
            "smime::eku::intermediate-has-code-signing",
            "smime::eku::intermediate-has-time-stamping",
            "smime::eku::root-has-eku",
            "smime::ku::ee-key-usage-not-critical",
        ),
        _FORUM,
    ),
    "smime::ku::ee-missing-key-usage": "then every use is allowed (RFC 5280, 4.2.1.3)",
    "smime::ku::intermediate-missing-crl-sign": "asked of who signed a list when there is one",
    "rfc5280::nc::not-allowed-in-ee-critical": _LEAF,
    "rfc5280::nc::not-allowed-in-ee-noncritical": _LEAF,
    "rfc5280::unknown-critical-extension-root": "a trust anchor is who the administrator says",
}
"""Where we say "valid" and the suite does not, and why."""


@pytest.mark.parametrize(("name", "expected"), [(name, ours) for name, _, ours in ROWS])
def test_shape_gets_its_verdict(name: str, expected: str) -> None:
    """Names, purposes, validity, path length, name constraints, circles (cases F30)."""
    assert said(name) == expected


def test_every_shape_is_in_the_table() -> None:
    """Each once; deviations from the suite have a reason, and none is on the strict side."""
    assert [name for name, _, _ in ROWS] == list(SHAPES)
    more = {name for name, suite, ours in ROWS if suite == "invalid" and ours == "valid"}
    assert more == set(LENIENT)
    assert not any(suite == "valid" and ours != "valid" for _, suite, ours in ROWS)
    assert (len(ROWS), len(LENIENT)) == (84, 17)


@pytest.mark.parametrize("name", ["own::everybody-vouches-for-everybody", "own::long-chain"])
def test_search_ends_after_a_fixed_number_of_signatures(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve authorities that vouch for each other give millions of paths (cases F30, H03)."""
    checked = counting(monkeypatch, search, "_is_issued_by")
    assert said(name) == "limits"
    assert len(checked) <= DEFAULT_LIMITS.path_signatures


@pytest.mark.parametrize("name", ["pathological::nc-dos-1", "pathological::nc-dos-3"])
def test_quadratic_constraints_are_not_even_begun(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,048 constraints times as many names are counted, not compared (cases F30, T-09)."""
    compared = counting(monkeypatch, constraints, "_is_within")
    assert said(name) == "limits"
    assert compared == []


def test_comparisons_within_the_limit_are_no_more_than_their_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each name once with each constraint (RFC 5280, 6.1.3)."""
    compared = counting(monkeypatch, constraints, "_is_within")
    assert said("own::nc-dos-within-limits") == "valid"
    assert 0 < len(compared) <= DEFAULT_LIMITS.name_constraint_products


def counting(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[None]:
    """Count the calls of a function."""
    calls: list[None] = []
    original = getattr(module, name)

    def counted(*arguments: object) -> object:
        calls.append(None)
        return original(*arguments)

    monkeypatch.setattr(module, name, counted)
    return calls
