"""Damaged certificates and lists: a verdict or a `CertificateError`, never anything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smimegw.errors import CertificateError
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.judge import judge
from smimegw.x509.path import Purpose, validate
from smimegw.x509.revocation import RevocationStatus, status
from tests.fakes.pki import NOW, make_ca, raw_rfc822, smtp_utf8

# The library warns of oddities (serial number zero …) that a damaged octet brings about.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

ROOT = make_ca("Fuzz Root")
ISSUING = make_ca("Fuzz CA", parent=ROOT, path_length=0, permitted=[raw_rfc822("ours.example")])
ALICE = ISSUING.issue(
    san=[raw_rfc822("alice@ours.example"), smtp_utf8("älice@ours.example")], key="p256", slot="f"
)
CRL = ISSUING.crl([ALICE])


def damaged(octets: bytes) -> st.SearchStrategy[bytes]:
    """One to three octets set to anything, or a piece taken out."""
    place = st.integers(0, len(octets) - 1)

    def change(changes: list[tuple[int, int]]) -> bytes:
        changed = bytearray(octets)
        for position, value in changes:
            changed[position] = value
        return bytes(changed)

    return st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=3).map(
        change
    ) | st.builds(lambda start, length: octets[:start] + octets[start + length :], place, place)


@given(damaged(ALICE.certificate.der))
@settings(max_examples=300, deadline=None)
def test_damaged_end_entity_is_refused(octets: bytes) -> None:
    """Whatever is changed, the signature no longer holds."""
    evidence = Evidence(
        trust_anchors=(ROOT.certificate,),
        intermediates=(ISSUING.certificate,),
        require_revocation=False,
    )
    if octets == ALICE.certificate.der:
        return
    with pytest.raises(CertificateError):
        validate(
            Certificate.parse(octets), evidence, purpose=Purpose.SIGNATURE, mailbox=None, now=NOW
        )


@given(damaged(ISSUING.certificate.der))
@settings(max_examples=300, deadline=None)
def test_damaged_authority_is_judged_without_surprise(octets: bytes) -> None:
    """The judge reads what passed our parser with another one; its oddities end there."""
    try:
        authority = Certificate.parse(octets)
        judge((ALICE.certificate, authority, ROOT.certificate), NOW)
    except CertificateError:
        return
    assert octets == ISSUING.certificate.der


@given(damaged(CRL))
@settings(max_examples=300, deadline=None)
def test_damaged_list_says_nothing(octets: bytes) -> None:
    """Neither good nor revoked."""
    result = status(ALICE.certificate, ISSUING.certificate, [octets], NOW, 0)
    assert (result.status is RevocationStatus.UNKNOWN) is (octets != CRL)
