"""Signs certificates: the root's own, the issuing CA's, and those of mailboxes.

Pure: keys, names, serial numbers and times come in, a certificate goes out.  Nothing is stored
here; `pki.issuance` knows the order in which things become durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
    ObjectIdentifier,
)

from pki import profiles
from pki.errors import LedgerError
from pki.keys import PrivateKey, PublicKey
from pki.profiles import Profile
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

Digest = hashes.SHA256 | hashes.SHA384

BACKDATE = timedelta(minutes=5)  # clocks of readers run behind ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA certificate with the key that signs in its name."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def digest(self) -> Digest:
        """The hash that fits the key's strength (RFC 5480, 4)."""
        return signature_digest(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointers:
    """Where a reader of a certificate finds news of it and its issuer; may be empty."""

    crl_urls: tuple[str, ...] = ()
    issuer_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    delta_urls: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """notBefore and notAfter, both included (RFC 5280, 4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def starting(
        cls,
        now: datetime,
        days: int,
        *,
        within: x509.Certificate | None = None,
        shorten: bool = False,
    ) -> Validity:
        """Return *days* days from *now*, inside the issuer's own validity.

        Args:
            within: The issuer's certificate; None for a root.
            shorten: End with the issuer instead of refusing.

        Raises:
            UsageError: It would outlive the issuer, which no reader would accept.
        """
        start = now.replace(microsecond=0) - BACKDATE
        end = start + timedelta(days=days, seconds=-1)
        if within is None:
            return cls(not_before=start, not_after=end)
        last = within.not_valid_after_utc
        if last <= now:
            raise UsageError(
                f"The issuer's certificate ended on {last:%Y-%m-%d}, so it issues nothing any "
                "more. Set up a new CA in another directory."
            )
        if end > last and not shorten:
            raise UsageError(
                f"{days} days would outlive the issuer, whose certificate ends on "
                f"{last:%Y-%m-%d}. Use --days {(last - start).days} or less, or set up a new CA."
            )
        return cls(not_before=max(start, within.not_valid_before_utc), not_after=min(end, last))


def authority_name(common_name: str, *, organization: str, country: str) -> x509.Name:
    """Return a CA's distinguished name."""
    attributes = []
    if country:
        attributes.append(x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def signature_digest(key: PrivateKey) -> Digest:
    """Return the hash to sign with."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def sign_root(
    key: PrivateKey, name: x509.Name, *, serial: int, validity: Validity
) -> x509.Certificate:
    """Sign the self-signed root: the trust anchor that readers import once."""
    builder = _builder(name, name, key.public_key(), serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    builder = builder.add_extension(_authority_key_usage(), critical=True)
    builder = _add_key_identifiers(builder, key.public_key(), None)
    return _checked(builder.sign(key, signature_digest(key)), None)


def sign_issuing(
    key: PublicKey,
    name: x509.Name,
    *,
    issuer: Issuer,
    serial: int,
    validity: Validity,
    domains: Sequence[str],
    pointers: Pointers,
) -> x509.Certificate:
    """Sign the issuing CA: path length 0, e-mail only, and only for *domains* when given."""
    builder = _builder(name, issuer.certificate.subject, key, serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_authority_key_usage(), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    if domains:
        permitted = [x509.RFC822Name(domain) for domain in domains]
        constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)
        builder = builder.add_extension(constraints, critical=True)  # RFC 5280, 4.2.1.10
    builder = _add_pointers(builder, pointers, any_policy=True)
    builder = _add_key_identifiers(builder, key, issuer)
    return _checked(builder.sign(issuer.key, issuer.digest), issuer)


def sign_mailbox(
    key: PublicKey,
    subject: x509.Name,
    mailbox: Mailbox,
    *,
    profile: Profile,
    issuer: Issuer,
    serial: int,
    validity: Validity,
    pointers: Pointers,
) -> x509.Certificate:
    """Sign a subscriber's certificate: one mailbox, one profile."""
    builder = _builder(subject, issuer.certificate.subject, key, serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(profiles.key_usage(profile, key), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    # RFC 5280, 4.2.1.6: critical exactly when the subject is empty
    builder = builder.add_extension(profiles.alternative_name(mailbox), critical=not list(subject))
    builder = _add_pointers(builder, pointers)
    builder = _add_key_identifiers(builder, key, issuer)
    return _checked(builder.sign(issuer.key, issuer.digest), issuer)


def permitted_domains(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the rfc822 name constraints of a CA certificate; empty when it has none."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    names = constraints.permitted_subtrees or []
    return tuple(name.value for name in names if isinstance(name, x509.RFC822Name))


def domain_is_permitted(domain: str, permitted: Sequence[str]) -> bool:
    """Whether mailboxes at *domain* pass the constraints; ``.corp.example`` means any below it."""
    if not permitted:
        return True
    return any(domain == rule or (rule[0] == "." and domain.endswith(rule)) for rule in permitted)


def distribution_point(urls: Sequence[str]) -> x509.DistributionPoint:
    """Return the one place of a CRL, under any of *urls* (RFC 5280, 4.2.1.13)."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.DistributionPoint(names, relative_name=None, reasons=None, crl_issuer=None)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, serial: int, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def _authority_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _add_key_identifiers(
    builder: x509.CertificateBuilder, key: PublicKey, issuer: Issuer | None
) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    builder = builder.add_extension(own, critical=False)
    return builder.add_extension(
        authority_key_identifier(issuer.certificate)
        if issuer
        else x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own),
        critical=False,
    )


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the AuthorityKeyIdentifier for what *issuer* signs (RFC 5280, 4.2.1.1)."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _add_pointers(
    builder: x509.CertificateBuilder, pointers: Pointers, *, any_policy: bool = False
) -> x509.CertificateBuilder:
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
    if pointers.policies:
        # A CA that is ours asserts anyPolicy, so that new policies need no new CA certificate.
        oids = ["2.5.29.32.0"] if any_policy else pointers.policies
        policies = [x509.PolicyInformation(ObjectIdentifier(oid), None) for oid in oids]
        builder = builder.add_extension(x509.CertificatePolicies(policies), critical=False)
    return builder


def _checked(certificate: x509.Certificate, issuer: Issuer | None) -> x509.Certificate:
    # A computation fault in an RSA signature can give the key away: look before it leaves.
    try:
        certificate.verify_directly_issued_by(issuer.certificate if issuer else certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise LedgerError(
            "The certificate just signed does not verify under the CA certificate: key and "
            "certificate of the CA do not belong together. Nothing was issued; restore the CA "
            "directory from its backup."
        ) from error
    return certificate
