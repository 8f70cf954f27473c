"""Takes what a root elsewhere sent back: the certificates it signed, and its CRLs.

A certificate goes through a reservation and a record like our own, so that a crash leaves a request
that the same command answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files, keys, own_keys, places
from pki.certified import IssuerName, Reservation
from pki.home import Home
from pki.issuance import certify, revoked_with
from pki.places import ROOT
from pki.profiles import Profile
from pki.revocation import Revocation
from pki.serial_numbers import serial_text
from smimegw import failpoints
from smimegw.errors import UsageError


def install(
    home: Home, certificates: Sequence[x509.Certificate], *, passphrase: bytes, now: datetime
) -> IssuerName:
    """Take what the root sent back: our certificate, and with it the root's.

    Returns:
        The place that has its certificate now.

    Raises:
        UsageError: None of them answers a request of ours, or the root is not among them.
        PassphraseError: Our key does not open.
    """
    place, ours = _answered(home, certificates, passphrase)
    _require_authority(ours, now=now)
    roots = [each for each in certificates if each.subject == each.issuer]
    known = [home.authority(ROOT).certificate] if ROOT in home.issuers else []
    for root in (*known, *roots):
        if _is_issued_by(ours, root):
            break
    else:
        raise UsageError(
            "The root that signed this certificate is not among the files. Bring both: "
            "smimegw-ca install issuing.pem root.pem"
        )
    if root not in known:
        if known:
            raise UsageError(
                "The certificate is signed by another root than the one that this CA knows. "
                "A new root makes a new CA: set it up in another directory."
            )
        _take(home, root, ROOT, Profile.ROOT, now=now)
    _take(home, ours, place, Profile.ISSUING, now=now)
    return place


def waiting(home: Home) -> tuple[IssuerName, ...]:
    """Return the places whose requests the root has not answered yet."""
    asked = [path.parent.name for path in sorted(home.path.glob("*/request.pem"))]
    return tuple(name for name in asked if places.is_place(name) and name not in home.issuers)


def install_crl(home: Home, crl: x509.CertificateRevocationList, *, now: datetime) -> int:
    """Take a newer CRL of a root that is elsewhere; return its number.

    Raises:
        UsageError: It is not the root's, damaged, or not newer than ours.
    """
    root = home.authority(ROOT)
    public = root.certificate.public_key()
    if crl.issuer != root.certificate.subject or not crl.is_signature_valid(public):  # type: ignore[arg-type]
        raise UsageError("This CRL is not signed by the root of this CA; nothing was changed.")
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    last = home.register.last_crl(ROOT)
    if last and number <= last.number:
        raise UsageError(
            f"CRL {number} of the root is not newer than number {last.number}, which is here."
        )
    home.register.record_crl(ROOT, number, crl, now=now)
    failpoints.reach("authority.crl-recorded")
    files.make_directory(home.path / ROOT)
    files.replace(home.crl_path(ROOT), crl.public_bytes(Encoding.DER))
    _note_revoked(home, crl)
    return number


def _note_revoked(home: Home, crl: x509.CertificateRevocationList) -> None:
    """Know of our own CAs what the root says of them, and end their cross certificates."""
    for name in home.issuers:
        own = home.authority(name)
        entry = crl.get_revoked_certificate_by_serial_number(own.serial)
        if entry is None or own.revocation:
            continue
        reason = x509.ReasonFlags.unspecified
        with contextlib.suppress(x509.ExtensionNotFound):
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        revocation = Revocation(revoked_at=entry.revocation_date_utc, reason=reason.value)
        for serial in (*revoked_with(home, own, revocation.reason), own.serial):
            home.register.record_revoked(serial, revocation)


def _answered(
    home: Home, certificates: Sequence[x509.Certificate], passphrase: bytes
) -> tuple[IssuerName, x509.Certificate]:
    open_places = waiting(home)
    for name in open_places:
        wanted = keys.public_key_octets(
            own_keys.open_key(home.path / name, passphrase).public_key()
        )
        for certificate in certificates:
            if _key_octets(certificate) == wanted:
                return name, certificate
    which = f": {', '.join(open_places)}" if open_places else ""
    raise UsageError(
        f"None of these certificates is for a key of this CA that waits for one{which}. "
        "Bring the answer to our own request."
    )


def _require_authority(certificate: x509.Certificate, *, now: datetime) -> None:
    # Another program may have signed it, and its operator may have picked another profile.
    try:
        found = certificate.extensions
        constraints = found.get_extension_for_class(x509.BasicConstraints).value
        usage = found.get_extension_for_class(x509.KeyUsage).value
        found.get_extension_for_class(x509.SubjectKeyIdentifier)
        fit = constraints.ca and usage.key_cert_sign and usage.crl_sign
    except x509.ExtensionNotFound:
        fit = False
    if not fit:
        raise UsageError(
            "The root's answer is no certificate of a CA: it lacks basicConstraints, the key "
            "usages keyCertSign and cRLSign, or a subjectKeyIdentifier (RFC 5280, 4.2.1). Have it "
            "signed as an issuing CA."
        )
    if certificate.not_valid_after_utc < now:
        raise UsageError(f"The certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}.")


def _take(
    home: Home, certificate: x509.Certificate, place: IssuerName, profile: Profile, *, now: datetime
) -> None:
    # Reserved and recorded like our own, so that the serial number is never used again here.
    serial = certificate.serial_number
    if serial_text(serial) in home.register.history.serials:
        raise UsageError(f"The certificate {serial_text(serial)} was installed before.")
    reservation = Reservation(
        issuer=ROOT,
        mailbox=None,
        profile=profile,
        name=certificate.subject.rfc4514_string(),
        key_held=place != ROOT,
        own=place,
    )
    certify(
        home,
        reservation,
        None,
        lambda _: certificate,
        passphrase=b"",
        now=now,
        draw_serial=lambda: serial,
    )


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _key_octets(certificate: x509.Certificate) -> bytes:
    return keys.public_key_octets(keys.accept_public_key(certificate.public_key()))
