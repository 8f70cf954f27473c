"""The extensions of certificates and CRLs that several of them share (RFC 5280, 4.2 and 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from pki.keys import PublicKey
from pki.profiles import Baseline

_ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointers:
    """Where a reader of a certificate finds news of it and its issuer, and under which policies.

    Attributes:
        policies: Further policies than the one that *baseline* brings.
        baseline: The generation of the S/MIME BR that subscribers' certificates follow.
    """

    crl_urls: tuple[str, ...] = ()
    issuer_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    delta_urls: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    baseline: Baseline = Baseline.NONE


def distribution_point(urls: Sequence[str]) -> x509.DistributionPoint:
    """Return the one place of a CRL, under any of *urls* (RFC 5280, 4.2.1.13)."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.DistributionPoint(names, relative_name=None, reasons=None, crl_issuer=None)


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the AuthorityKeyIdentifier for what *issuer* signs (RFC 5280, 4.2.1.1)."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def add_key_identifiers(
    builder: x509.CertificateBuilder, key: PublicKey, issuer: x509.Certificate | None
) -> x509.CertificateBuilder:
    """Add both key identifiers; without *issuer* the certificate is self-signed."""
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    builder = builder.add_extension(own, critical=False)
    return builder.add_extension(
        authority_key_identifier(issuer)
        if issuer
        else x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own),
        critical=False,
    )


def add_pointers(builder: x509.CertificateBuilder, pointers: Pointers) -> x509.CertificateBuilder:
    """Add where the CRLs, the OCSP responder and the issuer's certificate are."""
    if pointers.crl_urls:
        points = [distribution_point(pointers.crl_urls)]
        builder = builder.add_extension(x509.CRLDistributionPoints(points), critical=False)
    if pointers.delta_urls:  # RFC 5280, 4.2.1.15
        points = [distribution_point(pointers.delta_urls)]
        builder = builder.add_extension(x509.FreshestCRL(points), critical=False)
    descriptions = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for method, urls in (
            (AuthorityInformationAccessOID.OCSP, pointers.ocsp_urls),
            (AuthorityInformationAccessOID.CA_ISSUERS, pointers.issuer_urls),
        )
        for url in urls
    ]
    if descriptions:
        builder = builder.add_extension(x509.AuthorityInformationAccess(descriptions), False)
    return builder


def add_policies(builder: x509.CertificateBuilder, oids: Sequence[str]) -> x509.CertificateBuilder:
    """Add certificatePolicies with each of *oids* once, if any (RFC 5280, 4.2.1.4)."""
    if not oids:
        return builder
    policies = [x509.PolicyInformation(ObjectIdentifier(oid), None) for oid in dict.fromkeys(oids)]
    return builder.add_extension(x509.CertificatePolicies(policies), critical=False)


def add_any_policy(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Let a CA of ours issue under any policy, so that new ones need no new CA certificate."""
    return add_policies(builder, [_ANY_POLICY])
