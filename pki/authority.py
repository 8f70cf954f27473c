"""Signs certificates: the root's own, the issuing CA's, and those of mailboxes.

Pure: keys, names, serial numbers and times come in, a certificate goes out.  Nothing is stored
here; `pki.issuance` knows the order in which things become durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pki import extensions, keys, profiles, signing
from pki.errors import LedgerError
from pki.extensions import Pointers, authority_key_identifier, distribution_point
from pki.keys import PublicKey
from pki.profiles import Baseline, Profile
from pki.signing import Digest, SigningKey, signature_digest
from pki.subjects import authority_name
from pki.validity import BACKDATE, Validity
from smimegw.addresses import Mailbox

__all__ = [
    "BACKDATE",
    "Digest",
    "Issuer",
    "Pointers",
    "Validity",
    "authority_key_identifier",
    "authority_name",
    "compose_cross",
    "compose_issuing",
    "compose_mailbox",
    "compose_root",
    "distribution_point",
    "domain_is_permitted",
    "permitted_domains",
    "sign_issuing",
    "sign_mailbox",
    "sign_root",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA certificate with the key that signs in its name."""

    certificate: x509.Certificate
    key: SigningKey = field(repr=False)

    @property
    def digest(self) -> Digest | None:
        """The hash that fits the key's strength; None when the algorithm has its own."""
        return signature_digest(self.key)

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign a certificate, wherever the key is, and look at the signature.

        Raises:
            LedgerError: It does not verify: key and certificate do not belong together.
        """
        return _checked(signing.sign_certificate(builder, self.key), self)

    def sign_crl(
        self, builder: x509.CertificateRevocationListBuilder
    ) -> x509.CertificateRevocationList:
        """Sign a CRL, wherever the key is, and look at the signature.

        Raises:
            LedgerError: It does not verify: key and certificate do not belong together.
        """
        crl = signing.sign_crl(builder, self.key)
        public = self.certificate.public_key()
        # the key is one that signs: ours just did
        if not crl.is_signature_valid(public):  # type: ignore[arg-type]
            raise LedgerError(
                "The CRL just signed does not verify under the CA certificate: key and certificate "
                "of the CA do not belong together. Restore the CA directory from its backup."
            )
        return crl

    def draft(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Return what `sign_certificate` would, signed by a key that nobody trusts."""
        return signing.draft_certificate(builder, self.key.public_key())


def sign_root(
    key: SigningKey, name: x509.Name, *, serial: int, validity: Validity
) -> x509.Certificate:
    """Sign the self-signed root: the trust anchor that readers import once."""
    builder = compose_root(key.public_key(), name, serial=serial, validity=validity)
    return _checked(signing.sign_certificate(builder, key), None)


def compose_root(
    key: PublicKey, name: x509.Name, *, serial: int, validity: Validity
) -> x509.CertificateBuilder:
    """Return what `sign_root` signs."""
    builder = _builder(name, name, key, serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    builder = builder.add_extension(profiles.key_usage(Profile.ROOT, key), critical=True)
    return extensions.add_key_identifiers(builder, key, None)


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
    builder = compose_issuing(
        key,
        name,
        issuer=issuer,
        serial=serial,
        validity=validity,
        domains=domains,
        pointers=pointers,
    )
    return issuer.sign_certificate(builder)


def compose_issuing(
    key: PublicKey,
    name: x509.Name,
    *,
    issuer: Issuer,
    serial: int,
    validity: Validity,
    domains: Sequence[str],
    pointers: Pointers,
) -> x509.CertificateBuilder:
    """Return what `sign_issuing` signs, for `Issuer.draft`."""
    builder = _builder(name, issuer.certificate.subject, key, serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = _add_uses(builder, Profile.ISSUING, key)
    if domains:
        permitted = [x509.RFC822Name(domain) for domain in domains]
        constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)
        builder = builder.add_extension(constraints, critical=True)  # RFC 5280, 4.2.1.10
    builder = extensions.add_pointers(builder, pointers)
    if pointers.policies or pointers.baseline is not Baseline.NONE:
        builder = extensions.add_any_policy(builder)
    return extensions.add_key_identifiers(builder, key, issuer.certificate)


def compose_cross(
    like: x509.Certificate,
    *,
    issuer: Issuer,
    serial: int,
    validity: Validity,
    pointers: Pointers,
) -> x509.CertificateBuilder:
    """Return a certificate of the CA *like*, signed by another key of the same CA.

    Issuer and subject are the same, so path length 0 is kept (self-issued, RFC 5280, 4.2.1.9).
    """
    key = keys.accept_public_key(like.public_key())
    return compose_issuing(
        key,
        like.subject,
        issuer=issuer,
        serial=serial,
        validity=validity,
        domains=permitted_domains(like),
        pointers=pointers,
    )


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
    builder = compose_mailbox(
        key,
        subject,
        mailbox,
        profile=profile,
        issuer=issuer,
        serial=serial,
        validity=validity,
        pointers=pointers,
    )
    return issuer.sign_certificate(builder)


def compose_mailbox(
    key: PublicKey,
    subject: x509.Name,
    mailbox: Mailbox,
    *,
    profile: Profile,
    issuer: Issuer,
    serial: int,
    validity: Validity,
    pointers: Pointers,
) -> x509.CertificateBuilder:
    """Return what `sign_mailbox` signs, for `Issuer.draft`.

    Raises:
        UsageError: Key or mailbox do not fit the profile.
    """
    profiles.check_key(profile, key)
    profiles.check_mailbox(profile, mailbox)
    builder = _builder(subject, issuer.certificate.subject, key, serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = _add_uses(builder, profile, key)
    # RFC 5280, 4.2.1.6: critical exactly when the subject is empty
    builder = builder.add_extension(profiles.alternative_name(mailbox), critical=not list(subject))
    builder = extensions.add_pointers(builder, pointers)
    reserved = profiles.policies(profile, key, pointers.baseline)
    builder = extensions.add_policies(builder, (*reserved, *pointers.policies))
    return extensions.add_key_identifiers(builder, key, issuer.certificate)


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


def _add_uses(
    builder: x509.CertificateBuilder, profile: Profile, key: PublicKey
) -> x509.CertificateBuilder:
    builder = builder.add_extension(profiles.key_usage(profile, key), critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage(profile.shape.purposes), critical=False)


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
