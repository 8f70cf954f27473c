"""Reads trust anchors, intermediates and CRLs from files and directories, PEM or DER."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.errors import CertificateError, ConfigurationError, Problem
from smimegw.regular_files import CERTIFICATES_OCTETS, read_regular
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_SUFFIXES = {".pem", ".crt", ".cer", ".der", ".crl"}  # of files in a directory; others are notes
_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PEM_CRL = b"-----BEGIN X509 CRL-----"


def read_certificates(paths: Iterable[Path], key: str) -> tuple[Certificate, ...]:
    """Return every certificate in *paths*, once.

    Args:
        paths: Files, or directories whose files count.
        key: Configuration key that named them, for the error.

    Raises:
        ConfigurationError: Unreadable, or not a certificate; every problem is listed.
    """
    found: dict[Certificate, None] = {}
    problems: list[Problem] = []
    for path, octets in _files(paths, key, problems):
        if octets.startswith(_PEM_CRL):
            continue
        try:
            if _PEM_CERTIFICATE in octets:
                parsed = x509.load_pem_x509_certificates(octets)
                ders = [certificate.public_bytes(Encoding.DER) for certificate in parsed]
            else:
                ders = [octets]
            found.update((Certificate.parse(der), None) for der in ders)
        except (*PARSE_ERRORS, CertificateError):
            problems.append(_problem(path, key, "not a certificate in PEM or DER form"))
    if problems:
        raise ConfigurationError(tuple(problems))
    return tuple(found)


def read_crls(paths: Iterable[Path], key: str) -> tuple[bytes, ...]:
    """Return every CRL in *paths* as DER, once.

    Raises:
        ConfigurationError: Unreadable, or not a CRL; every problem is listed.
    """
    found: dict[bytes, None] = {}
    problems: list[Problem] = []
    for path, octets in _files(paths, key, problems):
        if octets.startswith(_PEM_CERTIFICATE):
            continue
        try:
            is_pem = _PEM_CRL in octets
            crl = x509.load_pem_x509_crl(octets) if is_pem else x509.load_der_x509_crl(octets)
            found[crl.public_bytes(Encoding.DER)] = None
        except PARSE_ERRORS:
            problems.append(_problem(path, key, "not a revocation list in PEM or DER form"))
    if problems:
        raise ConfigurationError(tuple(problems))
    return tuple(found)


def _files(
    paths: Iterable[Path], key: str, problems: list[Problem]
) -> Iterator[tuple[Path, bytes]]:
    for path in paths:
        try:
            if path.is_dir():
                names = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
            else:
                names = [path]
            for name in names:
                try:
                    octets = read_regular(name, CERTIFICATES_OCTETS)
                except OSError as error:
                    problems.append(_problem(name, key, f"cannot be read: {error.strerror}"))
                else:
                    yield name, octets
        except OSError as error:
            problems.append(_problem(path, key, f"cannot be read: {error.strerror}"))


def _problem(path: Path, key: str, message: str) -> Problem:
    return Problem(file=str(path), line=None, key=key, message=message)
