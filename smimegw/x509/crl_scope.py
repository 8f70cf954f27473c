"""Says which certificates a CRL speaks about (RFC 5280, 5.2.5 and 6.3.3 (b))."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from smimegw.x509.certificate import PARSE_ERRORS, Certificate


def scope_of(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    """The IssuingDistributionPoint of *crl*; None for a list about everything its issuer issued."""
    try:
        return crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None


def speaks_about(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    """Whether *certificate*, of the same issuer as *crl*, is in the scope of this list.

    A list that is indirect for others is the issuer's own for its certificates; points that name
    another cRLIssuer do not lead to it (RFC 5280, 6.3.3 (b) (1)).
    """
    scope = scope_of(crl)
    if scope is None:
        return True
    points = [point for point in _points(certificate) if _leads_to(point, crl.issuer)]
    return _includes(crl, scope, certificate, points)


def speaks_indirectly_about(crl: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    """Whether *crl* is an indirect list to which *certificate* refers by its cRLIssuer."""
    scope = scope_of(crl)
    if scope is None or not scope.indirect_crl:
        return False
    points = [point for point in _points(certificate) if _appoints(point, crl.issuer)]
    return bool(points) and _includes(crl, scope, certificate, points)


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
    crl: x509.CertificateRevocationList,
    scope: x509.IssuingDistributionPoint,
    certificate: Certificate,
    points: Iterable[x509.DistributionPoint],
) -> bool:
    if scope.only_contains_attribute_certs:
        return False
    if scope.only_contains_user_certs and certificate.is_ca:
        return False
    if scope.only_contains_ca_certs and not certificate.is_ca:
        return False
    places = set(scope.full_name or ())
    if scope.relative_name is not None:
        places.add(_below(crl.issuer, scope.relative_name))
    # (b) (2) (i): where the point has no name, its cRLIssuer stands for it.
    return not places or any(
        not places.isdisjoint(_full_names(point, certificate) or point.crl_issuer or ())
        for point in points
    )


def _full_names(
    point: x509.DistributionPoint, certificate: Certificate
) -> Sequence[x509.GeneralName]:
    # RFC 5280, 4.2.1.13: a relative name continues that of the cRLIssuer or of the CA.
    if point.relative_name is None:
        return point.full_name or ()
    authorities = [
        name.value for name in point.crl_issuer or () if isinstance(name, x509.DirectoryName)
    ] or [certificate.parsed.issuer]
    return [_below(authority, point.relative_name) for authority in authorities]


def _below(
    authority: x509.Name, relative_name: x509.RelativeDistinguishedName
) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([*authority.rdns, relative_name]))


def _leads_to(point: x509.DistributionPoint, issuer: x509.Name) -> bool:
    return not point.crl_issuer or _appoints(point, issuer)


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
