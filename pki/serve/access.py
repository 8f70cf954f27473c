"""Makes the certificates by which gateway and enrolment server know each other.

A small authority of its own, for TLS between the two only: the CA for mail is good for mail alone,
and who may ask for certificates must not depend on what it issues.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pki import files, keys
from pki.authority import BACKDATE
from pki.errors import PassphraseError
from smimegw.errors import UsageError

REGISTRATION_AUTHORITY = ObjectIdentifier("1.3.6.1.5.5.7.3.28")  # id-kp-cmcRA (RFC 6402, 2.10)
_AUTHORITY_DAYS, _DAYS = 7300, 825
_HOST = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")  # RFC 5280, 4.2.1.6
_HOST_OCTETS = 253
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files in the CA directory."""

    directory: Path

    @classmethod
    def of(cls, home: Path) -> Places:
        """Those of the CA in *home*."""
        return cls(directory=home / "est")

    @property
    def authority(self) -> Path:
        """The authority's certificate, PEM; gateways trust it."""
        return self.directory / "authority.pem"

    @property
    def authority_key(self) -> Path:
        """Its key, under the CA's passphrase."""
        return self.directory / "authority.key.pem"

    @property
    def server(self) -> Path:
        """The server's certificate and key, PEM, for its owner only."""
        return self.directory / "server.pem"


def make_server(places: Places, hosts: Sequence[str], passphrase: bytes, *, now: datetime) -> Path:
    """Make a key and a certificate for the server under *hosts*; replaces the older one.

    Raises:
        PassphraseError: The authority's key does not open.
        UsageError: One of *hosts* is no host's name.
    """
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    authority, signer = _authority(places, passphrase, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(
        key,
        "Enrolment server",
        authority,
        signer,
        [ExtendedKeyUsageOID.SERVER_AUTH],
        names,
        now=now,
    )
    files.replace(places.server, _pem(certificate) + _clear(key), mode=files.PRIVATE)
    return places.server


def make_client(
    places: Places, name: str, passphrase: bytes, *, now: datetime
) -> tuple[bytes, bytes]:
    """Return certificate and key, PEM, of a gateway that may ask; its key is kept nowhere.

    Raises:
        PassphraseError: The authority's key does not open.
    """
    authority, signer = _authority(places, passphrase, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, REGISTRATION_AUTHORITY]
    certificate = _certificate(key, name, authority, signer, purposes, None, now=now)
    return _pem(certificate), _clear(key)


def _authority(
    places: Places, passphrase: bytes, *, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if not places.authority.exists():
        _make_authority(places, passphrase, now=now)
    key = keys.read_signing_key(places.authority_key, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PassphraseError(f"{places.authority_key}: holds another kind of key than it should.")
    return x509.load_pem_x509_certificate(places.authority.read_bytes()), key


def _make_authority(places: Places, passphrase: bytes, *, now: datetime) -> None:
    files.make_directory(places.directory)
    places.authority_key.unlink(missing_ok=True)  # of a try that ended before the certificate
    key = ec.generate_private_key(ec.SECP256R1())
    keys.write_key(places.authority_key, key, passphrase)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Enrolment access")])
    usage = x509.KeyUsage(**{**_NO_USAGE, "key_cert_sign": True})
    certificate = (
        _builder(key, name, name, _AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    files.write_new(places.authority, _pem(certificate), mode=files.PUBLIC)


def _certificate(
    key: ec.EllipticCurvePrivateKey,
    common_name: str,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    purposes: Sequence[ObjectIdentifier],
    names: x509.SubjectAlternativeName | None,
    *,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = x509.KeyUsage(**{**_NO_USAGE, "digital_signature": True})
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        _builder(key, subject, authority.subject, _DAYS, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(issuer_key, critical=False)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _builder(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name, days: int, now: datetime
) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0) - BACKDATE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > _HOST_OCTETS or not _HOST.fullmatch(text):
        raise UsageError(
            f"--host {text!r} is no host's name. Give the one that the gateway asks for, such as "
            "ca.corp.example (international names in their form with xn--)."
        )
    return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _clear(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
