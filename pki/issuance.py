"""The order in which a CA's acts become durable: issue, renew, revoke, list.

Whatever is signed is preceded by a reservation and followed by a record, and only then handed
out (M22): a crash can waste a serial number but not use one twice or lose a certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, crl, files, keys, subjects
from pki.authority import Issuer, Validity
from pki.errors import RequestError
from pki.home import Home
from pki.keys import KeyKind, PrivateKey, PublicKey
from pki.profiles import Profile
from pki.register import Certified, IssuerName, Listed, Reservation, serial_text
from pki.revocation import Revocation
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

DrawSerial = Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One certificate to issue.

    Attributes:
        public_key: From a request, or of a key that its owner has; the CA never sees the other
            half.
        private_key: A key that the CA has already; with neither, the CA makes one.
        days: None means the CA's default, shortened to the issuer's own end where needed.
    """

    mailbox: Mailbox
    profile: Profile
    name: str = ""
    key_kind: KeyKind = KeyKind.RSA_3072
    public_key: PublicKey | None = None
    private_key: PrivateKey | None = field(default=None, repr=False)
    days: int | None = None
    renews: int | None = None


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
    home.check_mailbox(order.mailbox)
    subject = subjects.subject(
        order.profile,
        order.mailbox,
        order.name,
        organization=home.settings.organization,
        country=home.settings.country,
        organization_identifier=home.settings.organization_identifier,
        baseline=home.settings.baseline,
    )
    validity = _validity(home, issuer, order, now)
    private, public = _key_pair(order)
    _refuse_compromised(home, public)
    reservation = _reservation(order, key_held=private is not None)

    def sign(serial: int) -> x509.Certificate:
        return authority.sign_mailbox(
            public,
            subject,
            order.mailbox,
            profile=order.profile,
            issuer=issuer,
            serial=serial,
            validity=validity,
            pointers=home.settings.mailbox_pointers,
        )

    return certify(
        home, reservation, private, sign, passphrase=passphrase, now=now, draw_serial=draw_serial
    )


def renewal(
    home: Home, certified: Certified, *, passphrase: bytes, keep_key: bool, days: int | None
) -> Order:
    """Return the order for a certificate's successor.

    Raises:
        PassphraseError: The key that is to be kept does not open.
        UsageError: The certificate is a CA's own or revoked, or the CA never had its key.
    """
    serial = serial_text(certified.serial)
    if not certified.mailbox or not certified.profile:
        raise UsageError(f"{serial} is the CA's own certificate; it is not renewed but replaced.")
    if certified.revocation:
        raise UsageError(
            f"{serial} is revoked ({certified.revocation.reason}), so nothing follows it. "
            f"If <{certified.mailbox}> still may have one: smimegw-ca issue {certified.mailbox}"
        )
    public = keys.accept_public_key(certified.certificate.public_key())
    if not certified.key_held and not keep_key:
        raise UsageError(
            f"{serial} was issued from a request, so its owner makes the new key. "
            f"Ask for a new request and use: smimegw-ca issue {certified.mailbox} --csr FILE, "
            "or certify the same key again with --keep-key."
        )
    return Order(
        mailbox=certified.mailbox,
        profile=certified.profile,
        name=certified.name,
        key_kind=keys.kind_of(public),
        public_key=public if keep_key and not certified.key_held else None,
        private_key=(
            keys.read_key(home.key_path(certified.serial), passphrase)
            if keep_key and certified.key_held
            else None
        ),
        days=days,
        renews=certified.serial,
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
    result = Revocation(revoked_at=now.replace(microsecond=0), reason=reason)
    home.register.record_revoked(certified.serial, result)
    return result


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
    place: IssuerName = "root",
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
        place: Which of the CA's own certificates, when it is for no mailbox.
    """
    serial = home.register.reserve(reservation, now=now, draw_serial=draw_serial)
    owner: IssuerName | int = serial if reservation.mailbox else place
    files.make_directory(home.key_path(owner).parent)
    if private is not None:
        keys.write_key(home.key_path(owner), private, passphrase)
    certificate = sign(serial)
    home.register.record_issued(serial, certificate, now=now)
    files.write_new(
        home.certificate_path(owner), certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC
    )
    return home.register.find(serial_text(serial))


def _validity(home: Home, issuer: Issuer, order: Order, now: datetime) -> Validity:
    by_default = order.days is None
    days = home.settings.mailbox_days if order.days is None else order.days
    return Validity.starting(now, days, within=issuer.certificate, shorten=by_default)


def _reservation(order: Order, *, key_held: bool) -> Reservation:
    return Reservation(
        issuer="issuing",
        mailbox=order.mailbox,
        profile=order.profile,
        name=order.name,
        key_held=key_held,
        renews=order.renews,
    )


def _key_pair(order: Order) -> tuple[PrivateKey | None, PublicKey]:
    if order.public_key is not None:
        return None, order.public_key
    private = order.private_key or keys.generate(order.key_kind)
    return private, private.public_key()


def _refuse_compromised(home: Home, public: PublicKey) -> None:
    octets = keys.public_key_octets(public)
    for certified in home.register.certificates():
        same = (
            keys.public_key_octets(keys.accept_public_key(certified.certificate.public_key()))
            == octets
        )
        if same and not certified.mailbox:
            raise RequestError("This is the CA's own key. Make a new one and a new request.")
        if same and certified.revocation and certified.revocation.reason == "keyCompromise":
            raise RequestError(
                f"This key was revoked as compromised (serial {serial_text(certified.serial)}). "
                "Make a new key and a new request."
            )
