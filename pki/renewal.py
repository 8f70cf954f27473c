"""What follows a certificate: its successor with the same or a new key, and when it is shown.

A successor for encryption is published a while before the old certificate ends (ca.toml,
renewal.overlap): the new key has to reach its owner first, and correspondents need time to find
the certificate.  Old keys stay with their owner and in the gateway's keystore.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pki import keys
from pki.certified import Certified, current
from pki.home import Home
from pki.orders import Order
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError


def due(home: Home, *, within: timedelta, now: datetime) -> tuple[Certified, ...]:
    """Return the subscribers' certificates that end within a span and have no successor yet."""
    return tuple(
        certified
        for certified in current(home.register.certificates())
        if certified.status(now) == "valid" and certified.not_after < now + within
    )


def overlapping(home: Home, order: Order, old: Certified, *, now: datetime) -> Order:
    """Return *order* with the day from which directories show the successor of *old*."""
    begin = old.not_after - timedelta(days=home.settings.practice.overlap_days)
    if not order.profile.encrypts or begin <= now:
        return order  # nothing to wait for, or late already
    return replace(order, publish_from=begin)


def renewal(
    home: Home,
    certified: Certified,
    *,
    passphrase: bytes,
    keep_key: bool,
    days: int | None,
    operator: str = "",
) -> Order:
    """Return the order for a certificate's successor.

    Raises:
        PassphraseError: The key that is to be kept does not open.
        UsageError: The certificate is a CA's own or revoked, or the CA never had its key.
    """
    mailbox, profile = _followable(certified)
    public = keys.accept_public_key(certified.certificate.public_key())
    if not certified.key_held and not keep_key:
        raise UsageError(
            f"{serial_text(certified.serial)} was issued from a request, so its owner makes the "
            f"new key. Ask for a new request and use: smimegw-ca issue {mailbox} --csr FILE, "
            "or certify the same key again with --keep-key."
        )
    return Order(
        mailbox=mailbox,
        profile=profile,
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
        operator=operator,
    )


def replacement(
    home: Home, certified: Certified, *, reason: str, days: int | None, operator: str = ""
) -> Order:
    """Return the order for a certificate with a new key, which revokes the old one.

    Raises:
        UsageError: The certificate is a CA's own or revoked, or the CA never had its key.
    """
    good = replace(certified, revocation=None) if certified.is_held else certified
    order = renewal(home, good, passphrase=b"", keep_key=False, days=days, operator=operator)
    return replace(order, revokes=reason)


def _followable(certified: Certified) -> tuple[Mailbox, Profile]:
    serial = serial_text(certified.serial)
    if not certified.mailbox or not certified.profile:
        raise UsageError(f"{serial} is the CA's own certificate; it is not renewed but replaced.")
    if certified.is_held:
        raise UsageError(
            f"{serial} is on hold, so nothing follows it. Release it, or revoke it: "
            f"smimegw-ca release {serial}"
        )
    if certified.revocation:
        raise UsageError(
            f"{serial} is revoked ({certified.revocation.reason}), so nothing follows it. "
            f"If <{certified.mailbox}> still may have one: smimegw-ca issue {certified.mailbox}"
        )
    return certified.mailbox, certified.profile
