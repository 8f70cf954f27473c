"""Delta and indirect CRLs: what they add, and when they say nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from smimegw.x509.certificate import Certificate
from smimegw.x509.crl import crl_next_update
from smimegw.x509.revocation import RevocationStatus, status
from tests.fakes.pki import CA, DAY, NOW, PAST, Issued, make_ca

GRACE = 72 * 3600
ROOT = make_ca("Forms Root")
ISSUING = make_ca("Forms CA", parent=ROOT)
OTHER = make_ca("Forms Other CA", parent=ROOT)
ALICE = ISSUING.issue("alice@ours.example", key="p256", slot="forms")
HOLD = x509.ReasonFlags.certificate_hold
LIFTED = x509.ReasonFlags.remove_from_crl
HOUR = timedelta(hours=1)


def point(**what: Any) -> x509.IssuingDistributionPoint:
    values: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | what))


def ask(*crls: bytes, issued: Issued = ALICE, now: Any = NOW, **known: Any) -> Any:
    return status(issued.certificate, ISSUING.certificate, crls, now, GRACE, **known)


def complete(revoked: Any = (), **options: Any) -> bytes:
    values = {"number": 10, "this_update": NOW - 2 * DAY}
    return ISSUING.crl(revoked, **(values | options))


def delta(revoked: Any = (), *, base: int = 10, extensions: Any = (), **options: Any) -> bytes:
    indicator = (x509.DeltaCRLIndicator(base), True)
    return ISSUING.crl(revoked, extensions=[indicator, *extensions], **({"number": 11} | options))


# --- delta ---------------------------------------------------------------------------------------


def test_delta_adds_revoked_certificates() -> None:
    """RFC 5280, 5.2.4."""
    assert ask(complete(), delta([ALICE])).status is RevocationStatus.REVOKED


def test_delta_confirms_the_complete_list() -> None:
    """The combination is as new as the delta."""
    result = ask(complete(), delta())
    assert result.status is RevocationStatus.GOOD
    assert result.this_update == NOW - HOUR


def test_delta_keeps_an_old_complete_list_usable() -> None:
    """RFC 5280, 6.3.3 (a): the complete list may be past its nextUpdate."""
    old = complete(this_update=NOW - 30 * DAY, next_update=NOW - 20 * DAY)
    assert ask(old).status is RevocationStatus.UNKNOWN
    assert ask(old, delta()).status is RevocationStatus.GOOD


def test_delta_lifts_a_hold() -> None:
    """removeFromCRL (RFC 5280, 5.3.1)."""
    held = complete([ALICE], reason=HOLD)
    assert ask(held, delta()).status is RevocationStatus.REVOKED
    assert ask(held, delta([ALICE], reason=LIFTED)).status is RevocationStatus.GOOD


def test_delta_lifts_nothing_else() -> None:
    """A compromised key stays revoked."""
    crl = complete([ALICE], reason=x509.ReasonFlags.key_compromise)
    assert ask(crl, delta([ALICE], reason=LIFTED)).status is RevocationStatus.REVOKED


def test_delta_on_a_newer_base_confirms_nothing() -> None:
    """Between the two, certificates may have been revoked (RFC 5280, 5.2.4 (c))."""
    old = complete(number=9, this_update=NOW - 30 * DAY, next_update=NOW - 20 * DAY)
    assert ask(old, delta(base=10)).status is RevocationStatus.UNKNOWN
    held = complete([ALICE], reason=HOLD, number=9)
    assert ask(held, delta([ALICE], reason=LIFTED)).status is RevocationStatus.REVOKED


def test_delta_that_names_the_certificate_needs_no_base() -> None:
    """The issuer said it."""
    assert ask(delta([ALICE])).status is RevocationStatus.REVOKED


def test_delta_older_than_the_complete_list_says_nothing() -> None:
    """A hold of yesterday that today's complete list does not know any more."""
    assert ask(complete(number=12), delta([ALICE], reason=HOLD)).status is RevocationStatus.GOOD


def test_delta_of_another_scope_confirms_nothing() -> None:
    """RFC 5280, 5.2.4 (b): the same IssuingDistributionPoint."""
    users = (point(only_contains_user_certs=True), True)
    old = complete(this_update=NOW - 30 * DAY, next_update=NOW - 20 * DAY)
    assert ask(old, delta(extensions=[users])).status is RevocationStatus.UNKNOWN


# --- indirect ------------------------------------------------------------------------------------


PLACE = [x509.UniformResourceIdentifier("http://a.example/own.crl")]
OWN = (x509.CRLDistributionPoints([x509.DistributionPoint(PLACE, None, None, None)]), False)


def lister(ca: CA = ISSUING, **options: Any) -> CA:
    """An entity that only signs lists; its own status stands in the partition at PLACE."""
    return make_ca("Forms List Signer", parent=ca, ca=False, extensions=[OWN], **options)


def own_list(*revoked: CA) -> bytes:
    """The issuer's list about its list signers, and about nobody else."""
    scope = (point(full_name=PLACE), True)
    return ISSUING.crl([item.certificate for item in revoked], extensions=[scope])


def indirect(signer: CA, *entries: tuple[int, CA | None], flag: bool = True) -> bytes:
    """A list of serial numbers, each with the issuer named in the entry."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.name)
        .last_update(NOW - HOUR)
        .next_update(NOW + DAY)
        .add_extension(point(indirect_crl=flag, only_contains_user_certs=True), True)
    )
    for serial, issuer in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(PAST)
        if issuer is not None:
            names = x509.CertificateIssuer([x509.DirectoryName(issuer.name)])
            entry = entry.add_extension(names, True)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(signer.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def referring(to: CA) -> Issued:
    """A certificate whose list is signed by *to*."""
    by = [x509.DirectoryName(to.name)]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(None, None, None, by)])
    return ISSUING.issue("dora@ours.example", key="p256", extensions=[(points, False)])


SIGNER = lister()
DORA = referring(SIGNER)
SERIAL = DORA.certificate.serial_number


def dora(*crls: bytes, signer: CA = SIGNER) -> RevocationStatus:
    result = ask(*crls, issued=DORA, authorities=(signer.certificate,))
    verdict: RevocationStatus = result.status
    return verdict


def test_indirect_list_is_used_by_certificates_that_refer_to_it() -> None:
    """cRLIssuer and indirectCRL belong together (RFC 5280, 6.3.3 (b) (1))."""
    assert dora(indirect(SIGNER), own_list()) is RevocationStatus.GOOD
    assert dora(indirect(SIGNER, (SERIAL, ISSUING)), own_list()) is RevocationStatus.REVOKED
    assert dora(own_list()) is RevocationStatus.UNKNOWN


def test_entry_belongs_to_the_issuer_named_last() -> None:
    """RFC 5280, 5.3.3: an entry without certificateIssuer has that of the one before."""
    assert dora(indirect(SIGNER, (1, ISSUING), (SERIAL, None)), own_list()) == "revoked"
    assert dora(indirect(SIGNER, (1, OTHER), (SERIAL, None)), own_list()) == "good"
    assert dora(indirect(SIGNER, (SERIAL, None)), own_list()) == "good"


def test_indirect_list_is_not_used_by_others() -> None:
    """ALICE names no cRLIssuer."""
    result = ask(indirect(SIGNER), own_list(), authorities=(SIGNER.certificate,))
    assert result.status is RevocationStatus.UNKNOWN


def test_indirect_list_of_the_issuer_is_also_its_own() -> None:
    """Entries that name no issuer, or it (RFC 5280, 5.3.3; PKITS 4.14.22 and 4.14.23)."""
    serial = ALICE.certificate.serial_number
    assert ask(indirect(ISSUING)).status is RevocationStatus.GOOD
    assert ask(indirect(ISSUING, (serial, OTHER))).status is RevocationStatus.GOOD
    assert ask(indirect(ISSUING, (serial, None))).status is RevocationStatus.REVOKED
    assert ask(indirect(ISSUING, (serial, ISSUING))).status is RevocationStatus.REVOKED


def test_list_of_the_signer_without_indirect_crl_does_not_count() -> None:
    """It would speak about what the signer issued itself."""
    assert dora(indirect(SIGNER, flag=False), own_list()) is RevocationStatus.UNKNOWN


def test_newer_indirect_list_does_not_replace_the_direct_one() -> None:
    """It may be about other issuers' certificates only."""
    direct = ISSUING.crl([ALICE], this_update=NOW - DAY)
    assert ask(indirect(ISSUING), direct).status is RevocationStatus.REVOKED


def test_signer_may_stand_beside_the_issuer() -> None:
    """Certified by whoever certified the issuer, which calls him good (PKITS 4.14.25)."""
    sibling = make_ca("Forms Sibling", parent=ROOT)
    erin = referring(sibling)
    listed = indirect(sibling, (erin.certificate.serial_number, ISSUING))
    for root_list, expected in ((ROOT.crl(), "revoked"), (ROOT.crl([sibling]), "unknown")):
        known = {"authorities": (sibling.certificate,), "above": ROOT.certificate}
        assert ask(listed, root_list, issued=erin, **known).status == expected
    assert ask(indirect(sibling), ROOT.crl(), issued=erin, **known).status == "good"
    assert ask(indirect(ROOT), issued=referring(ROOT), **known).status == "good"


def test_signer_of_another_ca_does_not_count() -> None:
    """Same name, issued by a CA that has no say in this."""
    stranger = lister(OTHER)
    assert dora(indirect(stranger), own_list(), signer=stranger) is RevocationStatus.UNKNOWN


def test_signer_must_be_known_good() -> None:
    """Revoked, or of unknown standing."""
    assert dora(indirect(SIGNER)) is RevocationStatus.UNKNOWN
    assert dora(indirect(SIGNER), own_list(SIGNER)) is RevocationStatus.UNKNOWN


@pytest.mark.parametrize(
    "options",
    [{"usage": "sign"}, {"usage": None}, {"not_after": PAST}, {"key": "p224"}],
    ids=["usage sign", "no usage", "expired", "weak key"],
)
def test_unfit_signer_does_not_count(options: dict[str, Any]) -> None:
    """Without cRLSign, ended, weak."""
    unfit = lister(**options)
    assert dora(indirect(unfit), own_list(), signer=unfit) is RevocationStatus.UNKNOWN


# --- what a certificate and a list say about themselves ------------------------------------------


def with_places(*extensions: tuple[x509.ExtensionType, bool]) -> Certificate:
    return ISSUING.issue("carol@ours.example", key="p256", extensions=extensions).certificate


def uri(url: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(url)


def test_places_of_lists() -> None:
    """Each point apart, freshest ones too; only http and https; no points for some reasons."""
    some = frozenset([x509.ReasonFlags.key_compromise])
    points = [
        x509.DistributionPoint(
            [uri("ldap://a.example/x"), uri("http://a.example/1"), uri("HTTPS://b.example/1")],
            None,
            None,
            None,
        ),
        x509.DistributionPoint([uri("file:///etc/passwd")], None, None, None),
        x509.DistributionPoint([uri("http://a.example/some")], None, some, None),
    ]
    fresh = [x509.DistributionPoint([uri("http://a.example/delta")], None, None, None)]
    certificate = with_places(
        (x509.CRLDistributionPoints(points), False), (x509.FreshestCRL(fresh), False)
    )
    assert certificate.crl_points == (
        ("http://a.example/1", "HTTPS://b.example/1"),
        ("http://a.example/delta",),
    )


def test_places_are_few_and_clean() -> None:
    """What a stranger wrote into a certificate is bounded."""
    urls = [uri(f"http://a.example/{number}") for number in range(50)]
    odd = [uri("http://a.example/a b"), uri("http://a.example/\r\n"), uri("http://" + "a" * 2000)]
    points = [x509.DistributionPoint([*odd, *urls], None, None, None)]
    points += [x509.DistributionPoint([one], None, None, None) for one in urls]
    certificate = with_places((x509.CRLDistributionPoints(points), False))
    assert len(certificate.crl_points) == 4
    assert certificate.crl_points[0] == tuple(f"http://a.example/{number}" for number in range(4))


def test_places_of_responders() -> None:
    """The access method OCSP, not caIssuers (RFC 5280, 4.2.2.1)."""
    method = x509.oid.AuthorityInformationAccessOID
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(method.CA_ISSUERS, uri("http://a.example/ca")),
            x509.AccessDescription(method.OCSP, uri("http://a.example/ocsp")),
            x509.AccessDescription(method.OCSP, uri("ldap://a.example/ocsp")),
        ]
    )
    assert with_places((access, False)).ocsp_urls == ("http://a.example/ocsp",)
    assert with_places().ocsp_urls == ()
    assert with_places().crl_points == ()


def test_next_update_is_told_for_lists_of_the_issuer_only() -> None:
    """What a fetcher keeps must be signed."""
    assert crl_next_update(ISSUING.crl(), ISSUING.certificate) == NOW + 7 * DAY
    assert crl_next_update(OTHER.crl(), ISSUING.certificate) is None
    forged = ISSUING.crl(key=OTHER.key)
    assert crl_next_update(forged, ISSUING.certificate) is None
    assert crl_next_update(b"<html>", ISSUING.certificate) is None
