"""TLS of both sides: contexts, our own chain, pinned keys, and whom a certificate names."""

from __future__ import annotations

import functools
import hashlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from smimegw.adapters.smtp.settings import NextHopSettings
from smimegw.config.choices import TLSMode
from smimegw.config.values import Secret
from smimegw.errors import ConfigurationError, NextHopTLSError
from smimegw.x509.certificate import PARSE_ERRORS

_NAME_LETTERS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """The verified certificate of a client.

    Attributes:
        name: Its first DNS name or mail address, else its common name; for the log.
        fingerprint: SHA-256 over its DER, hexadecimal.
    """

    name: str
    fingerprint: str


def forget_contexts() -> None:
    """Read authorities and certificates again, for the next connection to each next hop."""
    next_hop_context.cache_clear()


def peer_certificate(wrapped: Any) -> PeerCertificate | None:
    """What the other side of *wrapped*, an `ssl.SSLObject`, showed; None without a certificate."""
    der = wrapped.getpeercert(binary_form=True) if wrapped is not None else None
    if not der:
        return None
    fingerprint = hashlib.sha256(der).hexdigest()
    return PeerCertificate(name=_name(der), fingerprint=fingerprint)


def _name(der: bytes) -> str:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _alternative_names(certificate)
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names += [str(attribute.value) for attribute in common]
    except PARSE_ERRORS:
        return ""
    return names[0][:_NAME_LETTERS] if names else ""


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *found.get_values_for_type(x509.RFC822Name)]


def check_pin(wrapped: Any, pins: frozenset[str], server: str) -> None:
    """See that the server's key is one of *pins*, whatever its certificate says (RFC 7469, 2.4).

    Raises:
        NextHopTLSError: It is none of them.
    """
    der = wrapped.getpeercert(binary_form=True) if wrapped is not None else None
    try:
        key = x509.load_der_x509_certificate(der or b"").public_key()
        shown = hashlib.sha256(
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest()
    except PARSE_ERRORS:
        shown = "unreadable"
    if shown not in pins:
        raise NextHopTLSError(
            f"TLS with next hop {server}: its key {shown} is none of the pins; if it was changed "
            "on purpose, add it to tls.pins",
            server=server,
        )


def load_chain(context: ssl.SSLContext, certificate: Path, key: Secret) -> None:
    """Give *context* our certificate and its key.

    Raises:
        ConfigurationError: The secret cannot be read.
        OSError: Unreadable, or they do not belong together.
    """
    path = key.path
    if path is not None:
        context.load_cert_chain(certificate, path)
        return
    # The ssl module reads keys from files only; a key from the environment passes through memory.
    descriptor = os.memfd_create("smimegw-tls-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, key.read())
        context.load_cert_chain(certificate, Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


@functools.lru_cache(maxsize=32)  # reading the system's authorities takes longer than a mail
def next_hop_context(mode: TLSMode, settings: NextHopSettings) -> ssl.SSLContext:
    """What *mode* demands of a next hop's TLS.

    Raises:
        NextHopTLSError: A file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as exc:
        raise NextHopTLSError(
            f"TLS authorities in {settings.ca} cannot be read: {exc}", server=settings.host
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mode is not TLSMode.VERIFY or settings.pins:
        # Encryption to whoever answers (RFC 7435), or to a key that is compared afterwards.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.credentials is not None:
        try:
            load_chain(context, settings.credentials.certificate, settings.credentials.key)
        except (OSError, ConfigurationError) as exc:
            raise NextHopTLSError(
                f"our certificate for next hop {settings.host} cannot be used: {exc}",
                server=settings.host,
            ) from exc
    return context


def tls_failure(error: OSError) -> str:
    """Why a handshake failed, in OpenSSL's word where there is one (case B05)."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).lower().replace("_", " ")
    return "broken off" if isinstance(error, ConnectionError) else "no answer in time"
