"""What pkilint says of every profile, and that its word counts before anything is signed."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pki import authority, crl, founding, issuance, keys, lint, opening, orders, responder
from pki.authority import Pointers, Validity
from pki.errors import LintError
from pki.home import Home
from pki.keys import KeyKind
from pki.lint import Severity
from pki.profiles import Baseline, Level, Profile
from smimegw.errors import UsageError
from tests.fakes import authorities
from tests.fakes.authorities import ROWS, SIGNING_KINDS
from tests.unit.pki.steps import NOW, PASSPHRASE, issue, order

GENERATIONS = [Baseline.STRICT, Baseline.MULTIPURPOSE]
BASELINE_ROWS = [(profile, kind) for profile, kind in ROWS if kind.baseline]


def _serious(found: tuple[lint.Finding, ...]) -> list[str]:
    return [str(each) for each in found if each.severity >= Severity.WARNING]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(("profile", "kind"), BASELINE_ROWS)
def test_profiles_follow_the_baseline_requirements(
    profile: Profile, kind: KeyKind, generation: Baseline
) -> None:
    """Not even a warning, for each profile and each key that they allow (cases M20)."""
    made = authorities.certificate(profile, kind, baseline=generation)
    found = lint.lint_certificate(made, level=profile.shape.level, baseline=generation)
    assert _serious(found) == []


@pytest.mark.parametrize(("profile", "kind"), ROWS)
def test_profiles_follow_rfc_5280(profile: Profile, kind: KeyKind) -> None:
    """Also with keys that the Baseline Requirements do not know (RFC 5280; cases M20)."""
    made = authorities.certificate(profile, kind)
    assert _serious(lint.lint_certificate(made, level=None, baseline=Baseline.NONE)) == []


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_ca_certificates_follow_rfc_5280(kind: KeyKind) -> None:
    """The root and the issuing CA, whatever their keys are (RFC 5280; cases M20)."""
    chain = authorities.chain(kind)
    for issuer in (chain.root, chain.issuing):
        found = lint.lint_certificate(issuer.certificate, level=None, baseline=Baseline.NONE)
        assert _serious(found) == []


@pytest.mark.parametrize("kind", [kind for kind in SIGNING_KINDS if kind.baseline])
def test_the_key_of_the_ca_is_one_that_the_baseline_requirements_allow(kind: KeyKind) -> None:
    """Signature algorithms of subscribers' certificates (S/MIME BR, 7.1.3.2; cases M20)."""
    made = authorities.certificate(Profile.BOTH, KeyKind.RSA_3072, signed_with=kind)
    found = lint.lint_certificate(made, level=Level.MAILBOX, baseline=Baseline.STRICT)
    assert _serious(found) == []


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_crls_follow_rfc_5280(kind: KeyKind) -> None:
    """With an entry on it (RFC 5280, 5; cases M20)."""
    issuer = authorities.chain(kind).issuing
    entry = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(NOW).build()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(authority.authority_key_identifier(issuer.certificate), critical=False)
        .add_revoked_certificate(entry)
    )
    assert _serious(lint.lint_crl(issuer.sign_crl(builder))) == []


def test_delta_crls_and_responders_follow_rfc_5280(ca: Home, now: datetime) -> None:
    """With reasons, a hold and one that was released (RFC 5280, 5.2.4; RFC 6960, 4.2.2.2)."""
    settings = replace(ca.settings, delta_urls=("http://pki.example.com/delta.crl",))
    ca = replace(ca, settings=settings)
    people = [issue(ca, now, f"{name}@corp.example") for name in ("a", "b", "c")]
    issuer = ca.issuer("issuing", PASSPHRASE)
    issuance.hold(ca, people[0], now=now)
    complete = crl.make(ca, "issuing", issuer, now=now)
    issuance.release(ca, people[0], now=now)
    issuance.revoke(ca, people[1], "keyCompromise", now=now)
    issuance.hold(ca, people[2], now=now)
    delta = crl.make_delta(ca, "issuing", issuer, now=now)
    assert len(delta.crl) == 3
    for made in (complete, delta):
        assert _serious(lint.lint_crl(made.crl)) == []
    appointed = ca.register.find(f"{responder.appoint(ca, 'issuing', issuer, now=now).serial:X}")
    found = lint.lint_certificate(appointed.certificate, level=None, baseline=Baseline.NONE)
    assert _serious(found) == []


@pytest.fixture
def strict_ca(tmp_path, now) -> Home:
    """A CA that follows the strict generation, for a public domain."""
    settings = founding.Settings(
        domains=("example.com",),
        crl_urls=("http://pki.example.com/issuing.crl",),
        issuer_urls=("http://pki.example.com/issuing.cer",),
        baseline=Baseline.STRICT,
    )
    plan = founding.Founding(name="Corp Mail CA", settings=settings, key_kind=KeyKind.P_256)
    founding.initialise(tmp_path / "ca", plan, passphrase=PASSPHRASE, now=now - timedelta(days=1))
    with opening.changing(tmp_path / "ca", now=now) as opened:
        yield opened


def test_findings_refuse_before_a_serial_number_is_used(strict_ca: Home, now) -> None:
    """Too long a validity: the text names the rule, the ledger does not grow (cases M20)."""
    entries, _ = strict_ca.register.ledger.verify()
    with pytest.raises(LintError, match="validity_period_exceeds_825_days"):
        issue(strict_ca, now, "alice@example.com", days=900)
    assert strict_ca.register.ledger.verify()[0] == entries


def test_what_follows_the_baseline_requirements_says_so(strict_ca: Home, now) -> None:
    """The reserved policy of its level and generation (S/MIME BR, 7.1.6.1)."""
    certified = issue(strict_ca, now, "alice@example.com")
    found = certified.certificate.extensions.get_extension_for_class(x509.CertificatePolicies)
    oids = [policy.policy_identifier.dotted_string for policy in found.value]
    assert oids == ["2.23.140.1.5.1.3"]


def test_a_key_they_do_not_know_is_certified_without_saying_so(strict_ca: Home, now) -> None:
    """A Brainpool curve is fine for us; claiming conformity would be untrue (S/MIME BR, 6.1.5)."""
    certified = issue(strict_ca, now, "alice@example.com", key_kind=KeyKind.BRAINPOOL_P256R1)
    with pytest.raises(x509.ExtensionNotFound):
        certified.certificate.extensions.get_extension_for_class(x509.CertificatePolicies)


def test_without_pkilint_the_baseline_requirements_cannot_be_followed(
    strict_ca: Home, now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They demand a lint; the text says what to install (S/MIME BR, 4.3.1.2)."""
    lint.is_installed.cache_clear()
    lint._pkilint.cache_clear()
    monkeypatch.setitem(sys.modules, "pkilint", None)
    try:
        with pytest.raises(UsageError, match=r"smimegw\[ca\]"):
            issue(strict_ca, now, "alice@example.com")
    finally:
        lint.is_installed.cache_clear()
        lint._pkilint.cache_clear()


def test_without_pkilint_other_cas_issue_and_the_ledger_says_that_nothing_was_linted(
    ca: Home, now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small site does not need the extra; an auditor sees it."""
    lint.is_installed.cache_clear()
    lint._pkilint.cache_clear()
    monkeypatch.setitem(sys.modules, "pkilint", None)
    try:
        prepared = orders.prepare(ca, ca.issuer("issuing", PASSPHRASE), order(), now=now)
    finally:
        lint.is_installed.cache_clear()
        lint._pkilint.cache_clear()
    assert prepared.findings == lint.NOT_LINTED


def test_warnings_are_for_the_ledger_and_errors_refuse() -> None:
    """Exactly the longest validity is allowed, with a remark (S/MIME BR, 6.3.2)."""
    issuer = authorities.chain(KeyKind.P_256).issuing
    draft = issuer.draft(authorities.compose(Profile.BOTH, KeyKind.P_256, issuer=issuer, days=825))
    warnings = lint.inspect_draft(draft, profile=Profile.BOTH, baseline=Baseline.STRICT)
    assert [line.split()[:2] for line in warnings] == [
        ["WARNING", "cabf.smime.certificate_validity_period_at_maximum"]
    ]


def test_a_draft_is_worth_nothing() -> None:
    """What was linted and never issued does not verify under the CA's certificate."""
    issuer = authorities.chain(KeyKind.P_256).issuing
    draft = issuer.draft(authorities.compose(Profile.BOTH, KeyKind.P_256, issuer=issuer))
    with pytest.raises(InvalidSignature):
        draft.verify_directly_issued_by(issuer.certificate)


def test_a_name_that_does_not_follow_the_profile_is_found() -> None:
    """An organization that nobody validated (S/MIME BR, 7.1.4.2.3)."""
    issuer = authorities.chain(KeyKind.P_256).issuing
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example")])
    builder = authority.compose_mailbox(
        keys.generate(KeyKind.P_256).public_key(),
        name,
        authorities.mailbox(Profile.BOTH),
        profile=Profile.BOTH,
        issuer=issuer,
        serial=x509.random_serial_number(),
        validity=Validity.starting(NOW, 365),
        pointers=Pointers(crl_urls=authorities.POINTERS.crl_urls, baseline=Baseline.STRICT),
    )
    with pytest.raises(LintError, match="prohibited_attribute"):
        lint.inspect_draft(issuer.draft(builder), profile=Profile.BOTH, baseline=Baseline.STRICT)
