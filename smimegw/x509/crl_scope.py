"""Says which certificates a CRL speaks about (RFC 5280, 5.2.5 and 6.3.3 (b))."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from smimegw.x509.certificate import PARSE_ERRORS, Certificate


def scope_of(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    """The IssuingDistributionPoint of *crl*; None for a list about everything its issuer issued."""
    try:
        return crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None


def speaks_about(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    """Whether *certificate*, of the same issuer as *crl*, is in the scope of this direct list."""
    scope = scope_of(crl)
    if scope is None:
        return True
    return not scope.indirect_crl and _includes(scope, certificate, _points(certificate))


def speaks_indirectly_about(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    """Whether *crl* is an indirect list to which *certificate* refers by its cRLIssuer."""
    scope = scope_of(crl)
    if scope is None or not scope.indirect_crl:
        return False
    points = [point for point in _points(certificate) if _appoints(point, crl.issuer)]
    return bool(points) and _includes(scope, certificate, points)


def indirect_entry(
    crl: x509.CertificateRevocationList, certificate: Certificate
) -> x509.RevokedCertificate | None:
    """The entry about *certificate* in an indirect list.

    An entry belongs to the issuer named in it, else to that of the entry before it, else to the
    list's own (RFC 5280, 5.3.3).
    """
    issuer = crl.issuer
    for entry in crl:
        try:
            names = entry.extensions.get_extension_for_class(x509.CertificateIssuer).value
        except x509.ExtensionNotFound:
            pass
        else:
            issuer = next(iter(names.get_values_for_type(x509.DirectoryName)), issuer)
        if entry.serial_number == certificate.serial_number and (
            issuer.public_bytes() == certificate.issuer_der
        ):
            return entry
    return None


def _includes(
    scope: x509.IssuingDistributionPoint,
    certificate: Certificate,
    points: Iterable[x509.DistributionPoint],
) -> bool:
    if scope.only_contains_attribute_certs or scope.only_some_reasons:
        return False
    if scope.only_contains_user_certs and certificate.is_ca:
        return False
    if scope.only_contains_ca_certs and not certificate.is_ca:
        return False
    if scope.relative_name is not None:
        return False
    if scope.full_name is None:
        return True
    # (b) (2) (i): where the point has no name, its cRLIssuer stands for it.
    names = {name for point in points for name in point.full_name or point.crl_issuer or ()}
    return not names.isdisjoint(scope.full_name)


def _appoints(point: x509.DistributionPoint, issuer: x509.Name) -> bool:
    return any(
        isinstance(name, x509.DirectoryName) and name.value == issuer
        for name in point.crl_issuer or ()
    )


def _points(certificate: Certificate) -> tuple[x509.DistributionPoint, ...]:
    try:
        points = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    except (*PARSE_ERRORS, x509.ExtensionNotFound):
        return ()
    return tuple(points.value)
