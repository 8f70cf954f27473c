"""The order in which a CA's acts become durable: issue, renew, revoke, list.

Whatever is signed is preceded by a reservation and followed by a record, and only then handed
out (M22): a crash can waste a serial number but not use one twice or lose a certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import crl, files, keys
from pki.authority import Issuer
from pki.certified import Certified, IssuerName, Listed, Reservation
from pki.home import Home
from pki.keys import PrivateKey
from pki.orders import Order, prepare
from pki.places import ROOT
from pki.revocation import Revocation
from pki.serial_numbers import serial_text
from smimegw import failpoints
from smimegw.errors import UsageError

__all__ = [
    "Order",
    "certify",
    "hold",
    "issue",
    "make_crl",
    "release",
    "revoke",
    "revoked_with",
]
DrawSerial = Callable[[], int]


def issue(
    home: Home,
    issuer: Issuer,
    order: Order,
    *,
    passphrase: bytes,
    now: datetime,
    draw_serial: DrawSerial = x509.random_serial_number,
) -> Certified:
    """Issue one certificate; the CA makes the key unless the order brings one.

    Raises:
        UsageError: Mailbox, name, days or key are not fit; nothing is used up then.
        BusyError: The disk does not take it.
    """
    prepared = prepare(home, issuer, order, now=now)
    return certify(
        home,
        prepared.reservation,
        prepared.private_key,
        prepared.sign,
        passphrase=passphrase,
        now=now,
        draw_serial=draw_serial,
        revokes=prepared.revokes,
    )


def make_crl(home: Home, name: IssuerName, issuer: Issuer, *, now: datetime) -> Listed:
    """Sign, record and write the next CRL of one CA; see `pki.crl.make`."""
    return crl.make(home, name, issuer, now=now)


def revoke(home: Home, certified: Certified, reason: str, *, now: datetime) -> Revocation:
    """Record a revocation; it takes effect with the next CRL.

    Raises:
        UsageError: Revoked already, or the reason does not fit.
    """
    if certified.serial == home.authority("root").serial:
        raise UsageError(
            "The root cannot revoke itself (RFC 5280, 6.1). Tell everybody who imported it to "
            "remove it, take it out of the gateway's trust.anchors, and make a new CA."
        )
    if reason == "cACompromise" and certified.mailbox:
        raise UsageError("cACompromise is for CA certificates; here it is keyCompromise.")
    if certified.issuer == ROOT and not home.authority(ROOT).key_held:
        raise UsageError(
            "The root of this CA is elsewhere, and only it can revoke what it signed: there, "
            f"smimegw-ca revoke {serial_text(certified.serial)}, then smimegw-ca root crl."
        )
    result = Revocation(revoked_at=now.replace(microsecond=0), reason=reason)
    # Its own entry last: after a crash the same command does what is left.
    others = (
        ()
        if certified.revocation and not certified.is_held
        else revoked_with(home, certified, reason)
    )
    for serial in (*others, certified.serial):
        home.register.record_revoked(serial, result)
    return result


def revoked_with(home: Home, certified: Certified, reason: str) -> tuple[int, ...]:
    """Return the serial numbers of other certificates for the same key, which would live on.

    Cross certificates of a CA go with it; a mailbox's others when its key is compromised
    (S/MIME BR, 4.9.1.1).
    """
    if not certified.own and reason != "keyCompromise":
        return ()
    octets = keys.public_key_octets(keys.accept_public_key(certified.certificate.public_key()))
    return tuple(
        same.serial
        for same in home.register.history.of_key(octets)
        if same.serial != certified.serial and (not same.revocation or same.is_held)
    )


def hold(home: Home, certified: Certified, *, now: datetime) -> None:
    """Record that a certificate is not to be used until further notice (RFC 5280, 5.3.1).

    Raises:
        UsageError: Revoked or on hold already, or the CA's own.
    """
    if not certified.mailbox:
        raise UsageError(
            f"{serial_text(certified.serial)} is the CA's own certificate, and half a CA is none. "
            "Revoke it for good, or leave it as it is."
        )
    home.register.record_held(certified.serial, now=now)


def release(home: Home, certified: Certified, *, now: datetime) -> None:
    """Record that a hold is over; the next CRL leaves the certificate out.

    Raises:
        UsageError: It is not on hold.
    """
    home.register.record_released(certified.serial, now=now)


def certify(
    home: Home,
    reservation: Reservation,
    private: PrivateKey | None,
    sign: Callable[[int], x509.Certificate],
    *,
    passphrase: bytes,
    now: datetime,
    draw_serial: DrawSerial = x509.random_serial_number,
    revokes: Mapping[int, str] | None = None,
) -> Certified:
    """Reserve, keep the key, sign, record, write: the one way to a certificate.

    Args:
        home: The CA directory.
        reservation: What the serial number is for.
        private: The key to keep, if the CA has it.
        sign: Makes the certificate once the serial number is known.
        passphrase: Of the CA's keys.
        now: The time.
        draw_serial: Where serial numbers come from.
        revokes: Serial numbers of certificates that are revoked in the same step, and why.
    """
    serial = home.register.reserve(reservation, now=now, draw_serial=draw_serial)
    failpoints.reach("issue.reserved")
    owner: IssuerName | int = reservation.own or serial
    files.make_directory(home.key_path(owner).parent)
    if private is not None:
        keys.write_key(home.key_path(owner), private, passphrase)
    failpoints.reach("issue.key-kept")
    certificate = sign(serial)
    failpoints.reach("issue.signed")
    home.register.record_issued_all([(serial, certificate)], now=now, revokes=revokes)
    failpoints.reach("issue.recorded")
    files.write_new(
        home.certificate_path(owner), certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC
    )
    failpoints.reach("issue.written")
    return home.register.find(serial_text(serial))
