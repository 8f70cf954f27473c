"""NIST's Public Key Interoperability Test Suite: every path gets the verdict of its document.

All certificates and lists of the suite are at hand in each case, as in a directory: the search has
to find the path and must not be led to another one.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.inquiry import answer, questions_about
from smimegw.x509.judge import judge
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from smimegw.x509.search import PathSearch
from smimegw.x509.status import RevocationStatus
from tests.interop.pkits import (
    CASES,
    DATA,
    NOT_APPLICABLE,
    NOW,
    POLICY_RUNS,
    STRICTER,
    Case,
    PolicyRun,
)

# Serial numbers below zero (4.4.14) are among what the suite is about.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

REVOKED = [case for case in CASES if case.verdict == "revoked"]
UNKNOWN = [
    case for case in CASES if STRICTER.get(case.number, (case.verdict,))[0] == "revocation-unknown"
]


@functools.cache
def certificate_of(case: Case) -> Certificate:
    """The end-entity; eleven of these are certificates of CAs."""
    return Certificate.parse((DATA / "certs" / f"{case.name}EE.crt").read_bytes())


@functools.cache
def directory() -> Evidence:
    """The anchor, every CA and every list of the suite; no grace, so that the old ones are old."""
    authorities = []
    for file in sorted((DATA / "certs").iterdir()):
        if not file.stem.endswith(("EE", "TrustAnchorRootCertificate")):
            try:
                authorities.append(Certificate.parse(file.read_bytes()))
            except CertificateError:
                assert file.stem == "DSAParametersInheritedCACert"
    anchor = Certificate.parse((DATA / "certs" / "TrustAnchorRootCertificate.crt").read_bytes())
    return Evidence(
        trust_anchors=(anchor,),
        intermediates=tuple(authorities),
        crls=tuple(file.read_bytes() for file in sorted((DATA / "crls").iterdir())),
        crl_grace_seconds=0,
    )


def judged(certificate: Certificate, evidence: Evidence) -> ValidatedCertificate:
    return validate(certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=None, now=NOW)


def refusal_of(case: Case, evidence: Evidence) -> str:
    """``valid`` or the reason of the refusal."""
    try:
        certificate = certificate_of(case)
        if certificate.is_ca:
            walk(certificate, evidence)
        else:
            judged(certificate, evidence)
    except CertificateError as exc:
        return exc.reason
    return "valid"


def walk(certificate: Certificate, evidence: Evidence) -> None:
    """Search, judge and revocation alone: `validate` takes no CA's certificate at all."""
    paths = PathSearch(evidence, now=NOW, limits=DEFAULT_LIMITS).paths(certificate)
    path = next(paths)
    assert next(paths, None) is None
    judge(path, NOW, policies=evidence.policies)
    for question in questions_about(path):
        status = answer(question, evidence, NOW).status
        if status is not RevocationStatus.GOOD:
            revoked = status is RevocationStatus.REVOKED
            raise CertificateError("revoked" if revoked else "revocation-unknown")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_path_of_the_suite_gets_its_verdict(case: Case) -> None:
    """Path, policies, name constraints and lists give the suite's verdict (cases F30)."""
    expected, _ = STRICTER.get(case.number, (case.verdict, ""))
    assert refusal_of(case, directory()) == expected


@pytest.mark.parametrize("case", UNKNOWN, ids=str)
def test_unknown_status_is_said_where_it_is_not_fatal(case: Case) -> None:
    """A list that does not count makes nobody good, nor revoked (RFC 5280, 6.3)."""
    certificate = certificate_of(case)
    lenient = replace(directory(), require_revocation=False)
    if certificate.is_ca:
        with pytest.raises(CertificateError, match="revocation-unknown"):
            walk(certificate, lenient)
        return
    assert judged(certificate, lenient).revocation is RevocationStatus.UNKNOWN


@pytest.mark.parametrize("case", REVOKED, ids=str)
def test_revoked_is_fatal_also_where_unknown_is_not(case: Case) -> None:
    """``revocation.mode = "soft"`` forgives a missing list, never an entry (RFC 5280, 6.3.3)."""
    assert refusal_of(case, replace(directory(), require_revocation=False)) == "revoked"


def test_authorities_are_no_end_entities() -> None:
    """Some paths of the suite end with a CA, which nobody may write mail with (RFC 8550, 4.4.1)."""
    authorities = [c for c in CASES if c.number != "4.1.5" and certificate_of(c).is_ca]
    assert len(authorities) == 11
    for case in authorities:
        with pytest.raises(CertificateError, match="key-usage"):
            judged(certificate_of(case), directory())


def test_every_end_entity_of_the_suite_is_in_the_table() -> None:
    """4.8.1 uses the path of 4.1.1 again; nothing else is twice and nothing is left out."""
    files = sorted(file.stem for file in (DATA / "certs").glob("*EE.crt"))
    assert sorted({f"{case.name}EE" for case in CASES}) == files
    assert len(files) == 223
    assert len({case.number for case in CASES}) == len(CASES) == 224


def test_table_agrees_with_the_names_of_the_suite() -> None:
    """An end-entity that is called valid is valid in the table, and the other way round."""
    for case in CASES:
        if case.name.startswith(("Valid", "Invalid")):
            assert case.name.startswith("Valid") is (case.verdict == "valid"), case


def test_deviations_are_on_the_strict_side_and_counted() -> None:
    """Where we differ we refuse; each with a reason."""
    numbers = {case.number for case in CASES}
    assert numbers.issuperset(STRICTER)
    assert not any(case.number in STRICTER for case in REVOKED)
    assert all(word != "valid" and why for word, why in STRICTER.values())
    assert len(STRICTER) == 20


def test_runs_that_need_other_inputs_are_counted() -> None:
    """Each belongs to a path of the table, which is judged with our own inputs."""
    numbers = {case.number for case in CASES}
    assert {run.rpartition(".")[0] for run in NOT_APPLICABLE} <= numbers
    assert all(NOT_APPLICABLE.values())
    assert len(NOT_APPLICABLE) == 3
    assert len({run.number for run in POLICY_RUNS}) == len(POLICY_RUNS) == 29
    assert not {run.number for run in POLICY_RUNS} & set(NOT_APPLICABLE)


@pytest.mark.parametrize("run", POLICY_RUNS, ids=str)
def test_path_is_valid_under_a_wanted_policy_or_not_at_all(run: PolicyRun) -> None:
    """user-initial-policy-set and initial-explicit-policy (RFC 5280, 6.1.1; cases F30)."""
    evidence = replace(directory(), policies=run.policies)
    expected = "valid" if run.is_valid else "path"
    assert refusal_of(run.case, evidence) == expected


def test_policy_of_nobody_is_met_by_any_policy_alone() -> None:
    """anyPolicy from the end-entity to the anchor is every policy (RFC 5280, 6.1.3 (d))."""
    evidence = replace(directory(), policies=("1.3.6.1.4.1.55555.1",))
    verdicts = {run.case.name: refusal_of(run.case, evidence) for run in POLICY_RUNS}
    valid = {name for name, verdict in verdicts.items() if verdict == "valid"}
    assert valid == {"AllCertificatesanyPolicyTest11"}
    assert set(verdicts.values()) == {"valid", "path"}
