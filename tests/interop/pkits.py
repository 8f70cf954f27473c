"""The paths of NIST's Public Key Interoperability Test Suite (PKITS), and where we are stricter.

The certificates and lists of the suite come with `cryptography_vectors`: 2048 bits, SHA-256, valid
from 2010 to 2030.  This is the table of its document: number, end-entity and verdict.  The document
knows "valid" and "invalid" only; after the latter is the reason that it describes, in our word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
NOW = datetime(2020, 1, 1, tzinfo=UTC)
"""Any time at which the suite's good certificates and lists are valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One path of the suite; *verdict* is ``valid`` or one reason word of `CertificateError`."""

    number: str
    name: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


TABLE = """
4.1.1   ValidCertificatePathTest1                          valid
4.1.2   InvalidCASignatureTest2                            untrusted-ca
4.1.3   InvalidEESignatureTest3                            untrusted-ca
4.1.4   ValidDSASignaturesTest4                            valid
4.1.5   ValidDSAParameterInheritanceTest5                  valid
4.1.6   InvalidDSASignatureTest6                           weak-key
4.2.1   InvalidCAnotBeforeDateTest1                        not-yet-valid
4.2.2   InvalidEEnotBeforeDateTest2                        not-yet-valid
4.2.3   Validpre2000UTCnotBeforeDateTest3                  valid
4.2.4   ValidGeneralizedTimenotBeforeDateTest4             valid
4.2.5   InvalidCAnotAfterDateTest5                         expired
4.2.6   InvalidEEnotAfterDateTest6                         expired
4.2.7   Invalidpre2000UTCEEnotAfterDateTest7               expired
4.2.8   ValidGeneralizedTimenotAfterDateTest8              valid
4.3.1   InvalidNameChainingTest1                           untrusted-ca
4.3.2   InvalidNameChainingOrderTest2                      untrusted-ca
4.3.3   ValidNameChainingWhitespaceTest3                   valid
4.3.4   ValidNameChainingWhitespaceTest4                   valid
4.3.5   ValidNameChainingCapitalizationTest5               valid
4.3.6   ValidNameUIDsTest6                                 valid
4.3.7   ValidRFC3280MandatoryAttributeTypesTest7           valid
4.3.8   ValidRFC3280OptionalAttributeTypesTest8            valid
4.3.9   ValidUTF8StringEncodedNamesTest9                   valid
4.3.10  ValidRolloverfromPrintableStringtoUTF8StringTest10 valid
4.3.11  ValidUTF8StringCaseInsensitiveMatchTest11          valid
4.4.1   InvalidMissingCRLTest1                             revocation-unknown
4.4.2   InvalidRevokedCATest2                              revoked
4.4.3   InvalidRevokedEETest3                              revoked
4.4.4   InvalidBadCRLSignatureTest4                        revocation-unknown
4.4.5   InvalidBadCRLIssuerNameTest5                       revocation-unknown
4.4.6   InvalidWrongCRLTest6                               revocation-unknown
4.4.7   ValidTwoCRLsTest7                                  valid
4.4.8   InvalidUnknownCRLEntryExtensionTest8               revoked
4.4.9   InvalidUnknownCRLExtensionTest9                    revocation-unknown
4.4.10  InvalidUnknownCRLExtensionTest10                   revocation-unknown
4.4.11  InvalidOldCRLnextUpdateTest11                      revocation-unknown
4.4.12  Invalidpre2000CRLnextUpdateTest12                  revocation-unknown
4.4.13  ValidGeneralizedTimeCRLnextUpdateTest13            valid
4.4.14  ValidNegativeSerialNumberTest14                    valid
4.4.15  InvalidNegativeSerialNumberTest15                  revoked
4.4.16  ValidLongSerialNumberTest16                        valid
4.4.17  ValidLongSerialNumberTest17                        valid
4.4.18  InvalidLongSerialNumberTest18                      revoked
4.4.19  ValidSeparateCertificateandCRLKeysTest19           valid
4.4.20  InvalidSeparateCertificateandCRLKeysTest20         revoked
4.4.21  InvalidSeparateCertificateandCRLKeysTest21         revocation-unknown
4.5.1   ValidBasicSelfIssuedOldWithNewTest1                valid
4.5.2   InvalidBasicSelfIssuedOldWithNewTest2              revoked
4.5.3   ValidBasicSelfIssuedNewWithOldTest3                valid
4.5.4   ValidBasicSelfIssuedNewWithOldTest4                valid
4.5.5   InvalidBasicSelfIssuedNewWithOldTest5              revoked
4.5.6   ValidBasicSelfIssuedCRLSigningKeyTest6             valid
4.5.7   InvalidBasicSelfIssuedCRLSigningKeyTest7           revoked
4.5.8   InvalidBasicSelfIssuedCRLSigningKeyTest8           path
4.6.1   InvalidMissingbasicConstraintsTest1                path
4.6.2   InvalidcAFalseTest2                                path
4.6.3   InvalidcAFalseTest3                                path
4.6.4   ValidbasicConstraintsNotCriticalTest4              valid
4.6.5   InvalidpathLenConstraintTest5                      path
4.6.6   InvalidpathLenConstraintTest6                      path
4.6.7   ValidpathLenConstraintTest7                        valid
4.6.8   ValidpathLenConstraintTest8                        valid
4.6.9   InvalidpathLenConstraintTest9                      path
4.6.10  InvalidpathLenConstraintTest10                     path
4.6.11  InvalidpathLenConstraintTest11                     path
4.6.12  InvalidpathLenConstraintTest12                     path
4.6.13  ValidpathLenConstraintTest13                       valid
4.6.14  ValidpathLenConstraintTest14                       valid
4.6.15  ValidSelfIssuedpathLenConstraintTest15             valid
4.6.16  InvalidSelfIssuedpathLenConstraintTest16           path
4.6.17  ValidSelfIssuedpathLenConstraintTest17             valid
4.7.1   InvalidkeyUsageCriticalkeyCertSignFalseTest1       path
4.7.2   InvalidkeyUsageNotCriticalkeyCertSignFalseTest2    path
4.7.3   ValidkeyUsageNotCriticalTest3                      valid
4.7.4   InvalidkeyUsageCriticalcRLSignFalseTest4           revocation-unknown
4.7.5   InvalidkeyUsageNotCriticalcRLSignFalseTest5        revocation-unknown
4.8.1   ValidCertificatePathTest1                          valid
4.8.2   AllCertificatesNoPoliciesTest2                     valid
4.8.3   DifferentPoliciesTest3                             valid
4.8.4   DifferentPoliciesTest4                             path
4.8.5   DifferentPoliciesTest5                             path
4.8.6   OverlappingPoliciesTest6                           valid
4.8.7   DifferentPoliciesTest7                             path
4.8.8   DifferentPoliciesTest8                             path
4.8.9   DifferentPoliciesTest9                             path
4.8.10  AllCertificatesSamePoliciesTest10                  valid
4.8.11  AllCertificatesanyPolicyTest11                     valid
4.8.12  DifferentPoliciesTest12                            path
4.8.13  AllCertificatesSamePoliciesTest13                  valid
4.8.14  AnyPolicyTest14                                    valid
4.8.15  UserNoticeQualifierTest15                          valid
4.8.16  UserNoticeQualifierTest16                          valid
4.8.17  UserNoticeQualifierTest17                          valid
4.8.18  UserNoticeQualifierTest18                          valid
4.8.19  UserNoticeQualifierTest19                          valid
4.8.20  CPSPointerQualifierTest20                          valid
4.9.1   ValidrequireExplicitPolicyTest1                    valid
4.9.2   ValidrequireExplicitPolicyTest2                    valid
4.9.3   InvalidrequireExplicitPolicyTest3                  path
4.9.4   ValidrequireExplicitPolicyTest4                    valid
4.9.5   InvalidrequireExplicitPolicyTest5                  path
4.9.6   ValidSelfIssuedrequireExplicitPolicyTest6          valid
4.9.7   InvalidSelfIssuedrequireExplicitPolicyTest7        path
4.9.8   InvalidSelfIssuedrequireExplicitPolicyTest8        path
4.10.1  ValidPolicyMappingTest1                            valid
4.10.2  InvalidPolicyMappingTest2                          path
4.10.3  ValidPolicyMappingTest3                            valid
4.10.4  InvalidPolicyMappingTest4                          path
4.10.5  ValidPolicyMappingTest5                            valid
4.10.6  ValidPolicyMappingTest6                            valid
4.10.7  InvalidMappingFromanyPolicyTest7                   path
4.10.8  InvalidMappingToanyPolicyTest8                     path
4.10.9  ValidPolicyMappingTest9                            valid
4.10.10 InvalidPolicyMappingTest10                         path
4.10.11 ValidPolicyMappingTest11                           valid
4.10.12 ValidPolicyMappingTest12                           valid
4.10.13 ValidPolicyMappingTest13                           valid
4.10.14 ValidPolicyMappingTest14                           valid
4.11.1  InvalidinhibitPolicyMappingTest1                   path
4.11.2  ValidinhibitPolicyMappingTest2                     valid
4.11.3  InvalidinhibitPolicyMappingTest3                   path
4.11.4  ValidinhibitPolicyMappingTest4                     valid
4.11.5  InvalidinhibitPolicyMappingTest5                   path
4.11.6  InvalidinhibitPolicyMappingTest6                   path
4.11.7  ValidSelfIssuedinhibitPolicyMappingTest7           valid
4.11.8  InvalidSelfIssuedinhibitPolicyMappingTest8         path
4.11.9  InvalidSelfIssuedinhibitPolicyMappingTest9         path
4.11.10 InvalidSelfIssuedinhibitPolicyMappingTest10        path
4.11.11 InvalidSelfIssuedinhibitPolicyMappingTest11        path
4.12.1  InvalidinhibitAnyPolicyTest1                       path
4.12.2  ValidinhibitAnyPolicyTest2                         valid
4.12.3  inhibitAnyPolicyTest3                              valid
4.12.4  InvalidinhibitAnyPolicyTest4                       path
4.12.5  InvalidinhibitAnyPolicyTest5                       path
4.12.6  InvalidinhibitAnyPolicyTest6                       path
4.12.7  ValidSelfIssuedinhibitAnyPolicyTest7               valid
4.12.8  InvalidSelfIssuedinhibitAnyPolicyTest8             path
4.12.9  ValidSelfIssuedinhibitAnyPolicyTest9               valid
4.12.10 InvalidSelfIssuedinhibitAnyPolicyTest10            path
4.13.1  ValidDNnameConstraintsTest1                        valid
4.13.2  InvalidDNnameConstraintsTest2                      path
4.13.3  InvalidDNnameConstraintsTest3                      path
4.13.4  ValidDNnameConstraintsTest4                        valid
4.13.5  ValidDNnameConstraintsTest5                        valid
4.13.6  ValidDNnameConstraintsTest6                        valid
4.13.7  InvalidDNnameConstraintsTest7                      path
4.13.8  InvalidDNnameConstraintsTest8                      path
4.13.9  InvalidDNnameConstraintsTest9                      path
4.13.10 InvalidDNnameConstraintsTest10                     path
4.13.11 ValidDNnameConstraintsTest11                       valid
4.13.12 InvalidDNnameConstraintsTest12                     path
4.13.13 InvalidDNnameConstraintsTest13                     path
4.13.14 ValidDNnameConstraintsTest14                       valid
4.13.15 InvalidDNnameConstraintsTest15                     path
4.13.16 InvalidDNnameConstraintsTest16                     path
4.13.17 InvalidDNnameConstraintsTest17                     path
4.13.18 ValidDNnameConstraintsTest18                       valid
4.13.19 ValidDNnameConstraintsTest19                       valid
4.13.20 InvalidDNnameConstraintsTest20                     path
4.13.21 ValidRFC822nameConstraintsTest21                   valid
4.13.22 InvalidRFC822nameConstraintsTest22                 path
4.13.23 ValidRFC822nameConstraintsTest23                   valid
4.13.24 InvalidRFC822nameConstraintsTest24                 path
4.13.25 ValidRFC822nameConstraintsTest25                   valid
4.13.26 InvalidRFC822nameConstraintsTest26                 path
4.13.27 ValidDNandRFC822nameConstraintsTest27              valid
4.13.28 InvalidDNandRFC822nameConstraintsTest28            path
4.13.29 InvalidDNandRFC822nameConstraintsTest29            path
4.13.30 ValidDNSnameConstraintsTest30                      valid
4.13.31 InvalidDNSnameConstraintsTest31                    path
4.13.32 ValidDNSnameConstraintsTest32                      valid
4.13.33 InvalidDNSnameConstraintsTest33                    path
4.13.34 ValidURInameConstraintsTest34                      valid
4.13.35 InvalidURInameConstraintsTest35                    path
4.13.36 ValidURInameConstraintsTest36                      valid
4.13.37 InvalidURInameConstraintsTest37                    path
4.13.38 InvalidDNSnameConstraintsTest38                    path
4.14.1  ValiddistributionPointTest1                        valid
4.14.2  InvaliddistributionPointTest2                      revoked
4.14.3  InvaliddistributionPointTest3                      revocation-unknown
4.14.4  ValiddistributionPointTest4                        valid
4.14.5  ValiddistributionPointTest5                        valid
4.14.6  InvaliddistributionPointTest6                      revoked
4.14.7  ValiddistributionPointTest7                        valid
4.14.8  InvaliddistributionPointTest8                      revocation-unknown
4.14.9  InvaliddistributionPointTest9                      revocation-unknown
4.14.10 ValidNoissuingDistributionPointTest10              valid
4.14.11 InvalidonlyContainsUserCertsTest11                 revocation-unknown
4.14.12 InvalidonlyContainsCACertsTest12                   revocation-unknown
4.14.13 ValidonlyContainsCACertsTest13                     valid
4.14.14 InvalidonlyContainsAttributeCertsTest14            revocation-unknown
4.14.15 InvalidonlySomeReasonsTest15                       revoked
4.14.16 InvalidonlySomeReasonsTest16                       revoked
4.14.17 InvalidonlySomeReasonsTest17                       revocation-unknown
4.14.18 ValidonlySomeReasonsTest18                         valid
4.14.19 ValidonlySomeReasonsTest19                         valid
4.14.20 InvalidonlySomeReasonsTest20                       revoked
4.14.21 InvalidonlySomeReasonsTest21                       revoked
4.14.22 ValidIDPwithindirectCRLTest22                      valid
4.14.23 InvalidIDPwithindirectCRLTest23                    revoked
4.14.24 ValidIDPwithindirectCRLTest24                      valid
4.14.25 ValidIDPwithindirectCRLTest25                      valid
4.14.26 InvalidIDPwithindirectCRLTest26                    revocation-unknown
4.14.27 InvalidcRLIssuerTest27                             revocation-unknown
4.14.28 ValidcRLIssuerTest28                               valid
4.14.29 ValidcRLIssuerTest29                               valid
4.14.30 ValidcRLIssuerTest30                               valid
4.14.31 InvalidcRLIssuerTest31                             revoked
4.14.32 InvalidcRLIssuerTest32                             revoked
4.14.33 ValidcRLIssuerTest33                               valid
4.14.34 InvalidcRLIssuerTest34                             revoked
4.14.35 InvalidcRLIssuerTest35                             revocation-unknown
4.15.1  InvaliddeltaCRLIndicatorNoBaseTest1                revocation-unknown
4.15.2  ValiddeltaCRLTest2                                 valid
4.15.3  InvaliddeltaCRLTest3                               revoked
4.15.4  InvaliddeltaCRLTest4                               revoked
4.15.5  ValiddeltaCRLTest5                                 valid
4.15.6  InvaliddeltaCRLTest6                               revoked
4.15.7  ValiddeltaCRLTest7                                 valid
4.15.8  ValiddeltaCRLTest8                                 valid
4.15.9  InvaliddeltaCRLTest9                               revoked
4.15.10 InvaliddeltaCRLTest10                              revocation-unknown
4.16.1  ValidUnknownNotCriticalCertificateExtensionTest1   valid
4.16.2  InvalidUnknownCriticalCertificateExtensionTest2    path
"""

CASES = tuple(
    Case(number=number, name=name, verdict=verdict)
    for number, name, verdict in (line.split() for line in TABLE.strip().splitlines())
)

_DSA = ("weak-key", "DSA is no algorithm of S/MIME 4.0 (RFC 8551, 2.2)")
_NAMES = (
    "untrusted-ca",
    "names are compared as octets; a CA writes its own always in the same way (RFC 5280, 4.1.2.6)",
)
_OTHER_KEY = (
    "revocation-unknown",
    "the list is signed by the other key of a CA with two; widespread CAs make a list for each key",
)
_PARTS = (
    "revocation-unknown",
    "lists for some reasons say who is revoked, and together never that somebody is not",
)
_CIRCLE = (
    "revocation-unknown",
    "who signs the indirect list is called good by that list alone",
)

STRICTER: dict[str, tuple[str, str]] = {
    "4.1.4": _DSA,
    "4.1.5": ("malformed", "a DSA key without parameters"),
    **dict.fromkeys(("4.3.3", "4.3.4", "4.3.5", "4.3.10", "4.3.11"), _NAMES),
    **dict.fromkeys(("4.5.1", "4.5.4", "4.5.6", "4.6.15", "4.6.17", "4.9.6"), _OTHER_KEY),
    **dict.fromkeys(("4.11.7", "4.12.7", "4.12.9", "4.13.19"), _OTHER_KEY),
    **dict.fromkeys(("4.14.18", "4.14.19"), _PARTS),
    "4.14.30": _CIRCLE,
}
"""What we say to a case instead of the suite's verdict, and why; never "valid"."""

_MAPPING = "wants initial-policy-mapping-inhibit, which we leave off (RFC 5280, 6.1.1 (e))"
_ANY = "wants initial-any-policy-inhibit, which we leave off (RFC 5280, 6.1.1 (g))"

NOT_APPLICABLE: dict[str, str] = {
    **dict.fromkeys(("4.10.1.3", "4.10.2.2"), _MAPPING),
    "4.12.3.2": _ANY,
}
"""Runs of the same paths with inputs that `validate` does not have; the paths are in `CASES`."""

ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """A run of a case that wants some policies (`Evidence.policies`).

    The suite's runs that want a policy set without initial-explicit-policy are here with it: we do
    not know the one without the other, and their verdicts are the same.
    """

    number: str
    policies: tuple[str, ...]
    is_valid: bool

    def __str__(self) -> str:
        return self.number

    @property
    def case(self) -> Case:
        """The path."""
        return next(case for case in CASES if case.number == self.number.rpartition(".")[0])


POLICY_TABLE = """
4.8.1.1    any  valid
4.8.1.2    1    valid
4.8.1.3    2    invalid
4.8.1.4    1,2  valid
4.8.2.2    any  invalid
4.8.3.2    any  invalid
4.8.3.3    1,2  invalid
4.8.6.2    1    valid
4.8.6.3    2    invalid
4.8.10.2   1    valid
4.8.10.3   2    valid
4.8.11.2   1    valid
4.8.13.1   1    valid
4.8.13.2   2    valid
4.8.13.3   3    valid
4.8.14.1   1    valid
4.8.14.2   2    invalid
4.8.18.1   1    valid
4.8.18.2   2    valid
4.10.1.1   1    valid
4.10.1.2   2    invalid
4.10.3.1   1    invalid
4.10.3.2   2    valid
4.10.5.1   1    valid
4.10.5.2   6    invalid
4.10.6.1   1    valid
4.10.6.2   6    invalid
4.10.12.1  1    valid
4.10.12.2  2    valid
"""


def _policy(word: str) -> str:
    """NIST-test-policy-*word*."""
    return ANY_POLICY if word == "any" else f"2.16.840.1.101.3.2.1.48.{word}"


POLICY_RUNS = tuple(
    PolicyRun(
        number=number,
        policies=tuple(map(_policy, words.split(","))),
        is_valid=verdict == "valid",
    )
    for number, words, verdict in map(str.split, POLICY_TABLE.strip().splitlines())
)
