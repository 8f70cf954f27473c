"""Reads what a caIssuers URL leads to: a CA certificate, or several (RFC 5280, 4.2.2.1)."""

from __future__ import annotations

from smimegw.cms import asn1
from smimegw.cms.signed_data import parse_signed_data
from smimegw.errors import CertificateError, CMSError, LimitError
from smimegw.limits import Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.issuer import is_issued_by


def issuers_in(content: bytes, certificate: Certificate, limits: Limits) -> tuple[Certificate, ...]:
    """The CA certificates in *content* that issued *certificate*; () when it holds none.

    DER of one certificate (.cer) or of SignedData with certificates only (.p7c); what else is in
    there is left out, so nobody fills our memory or our paths with it.
    """
    try:
        if asn1.read_document(content).children().next_tag() == asn1.OBJECT_IDENTIFIER:
            found = parse_signed_data(content).certificates
        else:
            found = (Certificate.parse(content),)
    except (CertificateError, CMSError, LimitError):
        return ()
    return tuple(
        entry for entry in found if entry.is_ca and is_issued_by(certificate, entry, limits)
    )
