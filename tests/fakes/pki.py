"""A throw-away public key infrastructure for tests: authorities, certificates and CRLs in memory.

    ca = make_ca("Test CA")                         # self-signed root, P-256
    issuing = make_ca("Issuing", parent=ca, path_length=0)
    alice = issuing.issue("alice@ours.example")     # RSA-2048, sign and encrypt, good for a year
    crl = issuing.crl(revoked=[alice])              # DER CertificateList
    evidence = Evidence(trust_anchors=(ca.certificate,), intermediates=alice.chain,
                        crls=(ca.crl(), issuing.crl()))

Every defect is one argument: ``not_after=PAST``, ``usage="sign"``, ``eku=[SERVER_AUTH]``,
``key="rsa1024"``, ``san=[raw_rfc822("alice@ours.example\\0.evil")]`` …  Keys are generated once per
process and slot (the name, unless *slot* says otherwise), because RSA generation is slow.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smimegw.x509.certificate import Certificate

NOW = datetime.now(UTC).replace(microsecond=0)
"""When this process began; "now" of most tests, so that openssl agrees about validity."""
DAY = timedelta(days=1)
PAST = NOW - 10 * DAY
FUTURE = NOW + 10 * DAY

EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
)

_CURVES: dict[str, ec.EllipticCurve] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "p192": ec.SECP192R1(),
    "p224": ec.SECP224R1(),
    "secp256k1": ec.SECP256K1(),
    "brainpool256": ec.BrainpoolP256R1(),
    "brainpool384": ec.BrainpoolP384R1(),
    "brainpool512": ec.BrainpoolP512R1(),
}
_OTHER_KINDS = {
    "ed25519": ed25519.Ed25519PrivateKey,
    "ed448": ed448.Ed448PrivateKey,
    "x25519": x25519.X25519PrivateKey,
    "x448": x448.X448PrivateKey,
}
_USAGES = {
    "sign": {"digital_signature", "content_commitment"},
    "encrypt": {"encipherment"},  # keyEncipherment for RSA, keyAgreement for EC
    "both": {"digital_signature", "encipherment"},
    "ca": {"key_cert_sign", "crl_sign"},
    "cert sign": {"key_cert_sign"},
    "crl sign": {"crl_sign"},
}


@functools.cache
def private_key(kind: str, slot: str = "") -> PrivateKey:
    """A key of *kind* (``rsa``, ``rsa3072``, ``p256``, ``brainpool256``, ``ed448``, ``x25519`` …).

    The same *kind* and *slot* give the same key for the life of the process.
    """
    if kind in _OTHER_KINDS:
        return _OTHER_KINDS[kind].generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:] or 2048))
    return ec.generate_private_key(_CURVES[kind])


def raw_rfc822(text: str) -> x509.RFC822Name:
    """An rfc822Name with any characters, as an evil CA could write it."""
    return x509.RFC822Name._init_without_validation(text)


def smtp_utf8(text: str) -> x509.OtherName:
    """A SmtpUTF8Mailbox (RFC 9598)."""
    octets = text.encode()
    header = bytes([0x0C, len(octets)]) if len(octets) < 128 else bytes([0x0C, 0x81, len(octets)])
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), header + octets)


def directory_name(common_name: str) -> x509.Name:
    """``CN=common_name, O=Test``."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its private key; ``chain`` is issuer … root."""

    certificate: Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.parsed.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS#8 PEM, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def pkcs12(self, password: str, *, name: str = "test") -> bytes:
        """Certificate, chain and key as PKCS#12 in the library's modern form."""
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            self.key,
            self.certificate.parsed,
            [certificate.parsed for certificate in self.chain],
            serialization.BestAvailableEncryption(password.encode()),
        )


@dataclass(frozen=True, kw_only=True)
class CA(Issued):
    """An authority; made by `make_ca`."""

    name: x509.Name
    pss: bool = False

    @property
    def own_chain(self) -> tuple[Certificate, ...]:
        """This CA's certificate … root: what its subscribers have above them."""
        return (self.certificate, *self.chain)

    def issue(
        self,
        mailbox: str | None = "alice@ours.example",
        *,
        key: str | PrivateKey = "rsa",
        usage: str | None = "both",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        eku: Sequence[x509.ObjectIdentifier] | None = (EMAIL_PROTECTION,),
        san: Sequence[x509.GeneralName] | None = None,
        common_name: str | None = None,
        subject: x509.Name | None = None,
        slot: str | None = None,
        serial_number: int | None = None,
        subject_key_identifier: bool = True,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """Issue an end-entity certificate.

        Args:
            mailbox: Address for the subjectAltName (SmtpUTF8Mailbox when not ASCII); None for none.
            key: Kind of a generated key (see `private_key`), or a key.
            usage: ``sign``, ``encrypt``, ``both``, or None for no KeyUsage extension.
            not_before, not_after: Validity; yesterday to in a year unless given.
            eku: Purposes; None or () for no ExtendedKeyUsage extension.
            san: These names instead of *mailbox*; () for no subjectAltName extension.
            common_name, subject: Subject instead of ``CN=<mailbox>``.
            slot: Which cached key; the mailbox and the usage unless given.
            extensions: More extensions with their criticality.
        """
        if isinstance(key, str):
            key = private_key(key, slot if slot is not None else f"{mailbox}/{usage}")
        if san is None:
            san = [] if mailbox is None else [_general_name(mailbox)]
        name = subject or directory_name(common_name or mailbox or "nobody")
        builder = _builder(name, self.name, key, not_before, not_after, serial_number)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_authority_key_identifier(self.certificate), False)
        if subject_key_identifier:
            ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            builder = builder.add_extension(ski, False)
        if usage:
            builder = builder.add_extension(_key_usage(usage, key), True)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(san), False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return Issued(certificate=self._sign(builder), key=key, chain=self.own_chain)

    def crl(
        self,
        revoked: Iterable[Issued | Certificate | int] = (),
        *,
        reason: x509.ReasonFlags | None = None,
        this_update: datetime | None = None,
        next_update: datetime | None = None,
        number: int = 1,
        issuer: x509.Name | None = None,
        key: PrivateKey | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        """A complete DER CRL, an hour old and good for a week unless said otherwise.

        Args:
            revoked: Certificates or serial numbers.
            reason: One CRLReason for all entries.
            issuer, key: Another issuer name or key (a forged CRL).
            extensions: More extensions with their criticality.
        """
        this_update = this_update or NOW - timedelta(hours=1)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer or self.name)
            .last_update(this_update)
            .next_update(next_update or NOW + 7 * DAY)
            .add_extension(x509.CRLNumber(number), False)
            .add_extension(_authority_key_identifier(self.certificate), False)
        )
        for item in revoked:
            entry = x509.RevokedCertificateBuilder().revocation_date(this_update)
            entry = entry.serial_number(_serial_number(item))
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), False)
            builder = builder.add_revoked_certificate(entry.build())
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        signer = key or self.key
        return builder.sign(signer, _hash_for(signer)).public_bytes(serialization.Encoding.DER)

    def _sign(self, builder: x509.CertificateBuilder) -> Certificate:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        certificate = builder.sign(
            self.key, _hash_for(self.key), rsa_padding=pss if self.pss else None
        )
        return Certificate.parse(certificate.public_bytes(serialization.Encoding.DER))


def make_ca(
    name: str = "Test CA",
    *,
    parent: CA | None = None,
    key: str | PrivateKey = "p256",
    slot: str | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    path_length: int | None = None,
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
    eku: Sequence[x509.ObjectIdentifier] = (),
    usage: str | None = "ca",
    ca: bool = True,
    pss: bool = False,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> CA:
    """Make a root, or with *parent* an intermediate.

    Args:
        name: CN of ``CN=name, O=Test``; also the key's slot unless *slot* is given.
        permitted, excluded: Name constraints, such as ``[raw_rfc822("ours.example")]``.
        usage, ca: KeyUsage kind and basicConstraints cA, to make broken authorities.
        pss: Sign with RSASSA-PSS (RSA keys only).
    """
    subject = directory_name(name)
    if isinstance(key, str):
        key = private_key(key, slot if slot is not None else f"CA/{name}")
    issuer = parent.name if parent else subject
    builder = _builder(subject, issuer, key, not_before, not_after, None)
    constraints = x509.BasicConstraints(ca=ca, path_length=path_length if ca else None)
    builder = builder.add_extension(constraints, True)
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(ski, False)
    if parent:
        builder = builder.add_extension(_authority_key_identifier(parent.certificate), False)
    if usage:
        builder = builder.add_extension(_key_usage(usage, key), True)
    if permitted or excluded:
        subtrees = x509.NameConstraints(list(permitted) or None, list(excluded) or None)
        builder = builder.add_extension(subtrees, True)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if parent:
        certificate, chain = parent._sign(builder), parent.own_chain
    else:
        signed = builder.sign(key, _hash_for(key))
        certificate = Certificate.parse(signed.public_bytes(serialization.Encoding.DER))
        chain = ()
    return CA(certificate=certificate, key=key, chain=chain, name=subject, pss=pss)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
    serial_number: int | None,
) -> x509.CertificateBuilder:
    not_after = not_after or NOW + 365 * DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(not_before or min(NOW, not_after) - DAY)
        .not_valid_after(not_after)
    )


def _general_name(mailbox: str) -> x509.GeneralName:
    return raw_rfc822(mailbox) if mailbox.isascii() else smtp_utf8(mailbox)


def _authority_key_identifier(issuer: Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.subject_key_identifier
    if identifier is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.parsed.public_key())
    return x509.AuthorityKeyIdentifier(identifier, None, None)


def _key_usage(usage: str, key: PrivateKey) -> x509.KeyUsage:
    bits = _USAGES[usage]
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    return x509.KeyUsage(
        digital_signature="digital_signature" in bits,
        content_commitment="content_commitment" in bits,
        key_encipherment="encipherment" in bits and is_rsa,
        data_encipherment=False,
        key_agreement="encipherment" in bits and not is_rsa,
        key_cert_sign="key_cert_sign" in bits,
        crl_sign="crl_sign" in bits,
        encipher_only=False,
        decipher_only=False,
    )


def _serial_number(item: Issued | Certificate | int) -> int:
    if isinstance(item, int):
        return item
    return (item.certificate if isinstance(item, Issued) else item).serial_number


def _hash_for(key: PrivateKey) -> hashes.HashAlgorithm | None:
    edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return None if edwards else hashes.SHA256()
