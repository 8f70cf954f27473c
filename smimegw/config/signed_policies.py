"""Lets policies count only as somebody named has signed them: a list of digests and its signature.

The list is what ``sha256sum *.toml`` writes, so that no file can be changed, added or taken away;
the signature is CMS, detached, by exactly one of the certificates that the configuration names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.cms.signed_data import parse_signed_data, verify_signer_info
from smimegw.errors import CertificateError, MessageError, Problem
from smimegw.limits import DEFAULT_LIMITS
from smimegw.regular_files import CERTIFICATES_OCTETS, read_regular
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

LIST = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.p7s"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")  # of coreutils, text or binary
_MOST_OCTETS = 1 << 20


def signature_problems(
    folder: Path, files: Sequence[tuple[str, bytes]], signers: Path
) -> Iterator[Problem]:
    """Yield why *files* do not count.

    Args:
        folder: Holds the list and its signature.
        files: Path and octets of every policy file, as they were read.
        signers: PEM file of the certificates that may sign.
    """
    try:
        octets = read_regular(folder / LIST, _MOST_OCTETS)
        signature = read_regular(folder / SIGNATURE, _MOST_OCTETS)
        allowed = read_signers(signers)
    except OSError as error:
        yield _problem(Path(str(error.filename)), f"cannot be read: {error.strerror}")
        return
    except (*PARSE_ERRORS, CertificateError) as error:
        yield _problem(signers, f"holds no certificate that can be used: {error}")
        return
    reason = _flaw(octets, signature, allowed)
    if reason:
        yield _problem(folder / SIGNATURE, f"is no signature that counts: {reason}")
        return
    yield from _differences(folder, files, octets)


def read_signers(place: Path) -> tuple[Certificate, ...]:
    """The certificates in a PEM file.

    Raises:
        OSError: It cannot be read.
        ValueError, CertificateError or another of `PARSE_ERRORS`: It holds none.
    """
    found = x509.load_pem_x509_certificates(read_regular(place, CERTIFICATES_OCTETS))
    return tuple(Certificate.parse(entry.public_bytes(Encoding.DER)) for entry in found)


def _flaw(octets: bytes, signature: bytes, allowed: tuple[Certificate, ...]) -> str:
    """Why the signature does not count; empty when it does."""
    try:
        signed_data = parse_signed_data(signature, DEFAULT_LIMITS)
        if len(signed_data.signer_infos) != 1:
            return f"{len(signed_data.signer_infos)} signers, and one is wanted"
        # Dates do not matter: whoever is named in the configuration may sign until he is not.
        checked = verify_signer_info(signed_data, signed_data.signer_infos[0], [octets], allowed)
    except MessageError as error:
        return str(error)
    if checked.certificate not in allowed:
        return "policies.signed_by does not name its certificate"
    return ""


def _differences(
    folder: Path, files: Sequence[tuple[str, bytes]], octets: bytes
) -> Iterator[Problem]:
    listed = {}
    for line in octets.decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            yield _problem(folder / LIST, f"a line is none of sha256sum: {line[:80]!r}")
            return
        listed[found[2].removeprefix("./")] = found[1]
    for name, content in files:
        digest = listed.pop(Path(name).name, None)
        if digest is None:
            yield _problem(Path(name), f"is not in the signed {LIST}; have it signed, or remove it")
        elif digest != hashlib.sha256(content).hexdigest():
            yield _problem(Path(name), f"was changed after {LIST} had been signed")
    for name in listed:
        yield _problem(folder / name, f"is in the signed {LIST}, and missing")


def _problem(file: Path, message: str) -> Problem:
    return Problem(file=str(file), line=None, key="", message=message)
