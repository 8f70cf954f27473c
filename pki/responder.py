"""Appoints the OCSP responder: a key of its own with a short-lived certificate of the issuing CA.

The responder's key lies beside the CA's in clear, readable by its owner only, so that the service
starts without a passphrase.  A thief could say "good" until the certificate ends; nobody can revoke
it (id-pkix-ocsp-nocheck, RFC 6960, 4.2.2.2.1), so it ends soon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, extensions, files, profiles
from pki.authority import Issuer, Validity
from pki.certified import IssuerName, Reservation
from pki.errors import PassphraseError
from pki.home import Home
from pki.ocsp import Responder
from pki.profiles import Profile
from smimegw.x509.certificate import PARSE_ERRORS

_FILE_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """A new responder: where key and certificate were written."""

    serial: int
    not_after: datetime
    path: Path


def path_of(directory: Path, name: IssuerName) -> Path:
    """Where the responder's key and certificate are, PEM, in the CA directory."""
    return directory / "responder" / f"{name}.pem"


def appoint(home: Home, name: IssuerName, issuer: Issuer, *, now: datetime) -> Appointment:
    """Make a new key, certify it for OCSP and put both in the place of the older ones.

    Raises:
        BusyError: The disk does not take it.
        UsageError: The issuer's certificate has ended.
    """
    validity = Validity.starting(
        now, home.settings.ocsp_days, within=issuer.certificate, shorten=True
    )
    subject = authority.authority_name(
        f"OCSP responder {now:%Y-%m-%d}",
        organization=home.settings.organization,
        country=home.settings.country,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    reservation = Reservation(
        issuer=name,
        mailbox=None,
        profile=Profile.OCSP,
        name=subject.rfc4514_string(),
        key_held=True,
    )
    serial = home.register.reserve(reservation, now=now)
    certificate = sign(key.public_key(), subject, issuer=issuer, serial=serial, validity=validity)
    home.register.record_issued(serial, certificate, now=now)
    path = path_of(home.path, name)
    files.make_directory(path.parent)
    octets = certificate.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.replace(path, octets, mode=files.PRIVATE)  # one file: never the key of another
    return Appointment(serial=serial, not_after=certificate.not_valid_after_utc, path=path)


def sign(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    *,
    issuer: Issuer,
    serial: int,
    validity: Validity,
) -> x509.Certificate:
    """Sign a certificate that is good for answering OCSP requests and nothing else."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(profiles.key_usage(Profile.OCSP, key), critical=True)
        .add_extension(x509.ExtendedKeyUsage(Profile.OCSP.shape.purposes), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(extensions.authority_key_identifier(issuer.certificate), critical=False)
    )
    return issuer.sign_certificate(builder)


def load(path: Path, issuer: x509.Certificate) -> Responder:
    """Read what `appoint` wrote.

    Raises:
        PassphraseError: Missing, damaged, or not appointed by *issuer*.
    """
    advice = "Appoint a new responder: smimegw-ca ocsp make"
    try:
        with path.open("rb") as stream:
            octets = stream.read(_FILE_OCTETS)
    except FileNotFoundError:
        raise PassphraseError(f"{path}: there is no OCSP responder. {advice}") from None
    try:
        key = serialization.load_pem_private_key(octets, None)
        certificate = x509.load_pem_x509_certificate(octets)
    except PARSE_ERRORS:
        raise PassphraseError(f"{path}: is damaged. {advice}") from None
    fits = isinstance(key, ec.EllipticCurvePrivateKey) and (
        key.public_key() == certificate.public_key()
    )
    if not fits or certificate.issuer != issuer.subject:
        raise PassphraseError(f"{path}: is not of this CA. {advice}")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Responder(issuer=issuer, certificate=certificate, key=key)


def is_due(directory: Path, name: IssuerName, issuer: x509.Certificate, *, now: datetime) -> bool:
    """Whether a new one should be appointed: none counts now, or half its time is over."""
    try:
        current = load(path_of(directory, name), issuer).certificate
    except PassphraseError:
        return True
    start, end = current.not_valid_before_utc, current.not_valid_after_utc
    return now < start or now >= start + (end - start) / 2
