"""Decides from the ledger what a directory should say now, and what it should say no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from pki import crl, rollover
from pki.certified import Certified, Listed
from pki.crl import Delta
from pki.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long what is no longer good stays in a directory.

    Attributes:
        expired: After its last day; readers of old mail may look for it.
        revoked: After its revocation; who finds it there finds it on the CRL, too.
    """

    expired: timedelta = timedelta(0)
    revoked: timedelta = timedelta(0)


AT_ONCE = Keep()
"""Nothing stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """Certificates that lead from one CA to another, for the entry of one of them.

    Attributes:
        name: Of the CA whose entry it is.
        issued_to_this: For that CA, by the other one; DER.
        issued_by_this: By that CA, for the other one; DER.
    """

    name: str
    issued_to_this: bytes | None = None
    issued_by_this: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a directory should say now; of CRLs the complete ones first."""

    authorities: tuple[Certified, ...] = ()
    withdraw_authorities: tuple[Certified, ...] = ()
    crossed: tuple[Crossed, ...] = ()
    crls: tuple[Listed | Delta, ...] = ()
    withdraw: tuple[Certified, ...] = ()
    publish: tuple[Certified, ...] = ()


def make_plan(home: Home, *, now: datetime, keep: Keep = AT_ONCE) -> Plan:
    """Return what to say: only certificates that others may encrypt to, and only good ones.

    Whoever is no longer good and still within *keep*, or good and not to be shown yet, is neither
    written nor withdrawn.
    """
    everything = home.register.certificates()
    own = [item for item in everything if _is_authority(item)]
    good = _good_authorities(own)
    people = [
        item for item in everything if item.mailbox and item.profile and item.profile.encrypts
    ]
    publish, withdraw = [], []
    for item in people:
        if item.is_to_be_published(now) and _issuer_key(item) in good:
            publish.append(item)
        elif not _may_stay(item, keep, now=now):
            withdraw.append(item)
    lists = [crl.lists(home.register, name) for name in home.register.history.crls]
    return Plan(
        authorities=tuple(item for item in own if not item.revocation),
        withdraw_authorities=tuple(item for item in own if item.revocation),
        crossed=tuple(
            Crossed(
                name=pair.new,
                issued_to_this=pair.new_with_old.der,
                issued_by_this=pair.old_with_new.der,
            )
            for pair in rollover.cross_pairs(home)
        ),
        crls=(
            *(each.complete for each in lists if each.complete),
            *(each.delta for each in lists if each.delta),
        ),
        withdraw=tuple(withdraw),
        publish=tuple(publish),
    )


def issuer_certificate(certified: Certified, authorities: Iterable[Certified]) -> Certified | None:
    """Return the CA certificate whose key signed *certified*."""
    wanted = _issuer_key(certified)
    return next((item for item in authorities if _own_key(item) == wanted), None)


def _may_stay(item: Certified, keep: Keep, *, now: datetime) -> bool:
    if item.revocation:
        return item.revocation.revoked_at + keep.revoked > now
    if item.not_after < now:
        return item.not_after + keep.expired > now
    return item.publish_from is not None and now < item.publish_from


def _good_authorities(own: list[Certified]) -> set[bytes]:
    """Keys of CAs that are not revoked, and whose issuer's key is as good."""
    good: set[bytes] = set()
    waiting = [item for item in own if not item.revocation]
    while found := [item for item in waiting if _is_root(item) or _issuer_key(item) in good]:
        good.update(_own_key(item) for item in found)
        waiting = [item for item in waiting if item not in found]
    return good


def _is_root(item: Certified) -> bool:
    """Signed by its own key; a cross certificate after a roll-over has one name twice, too."""
    if item.certificate.issuer != item.certificate.subject:
        return False
    return _issuer_key(item) in (_own_key(item), item.certificate.issuer.public_bytes())


def _is_authority(item: Certified) -> bool:
    if item.mailbox:
        return False
    try:
        extension = item.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return extension.value.ca


def _own_key(item: Certified) -> bytes:
    extensions = item.certificate.extensions
    try:
        found = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        found = b""
    return found or item.certificate.subject.public_bytes()


def _issuer_key(item: Certified) -> bytes:
    extensions = item.certificate.extensions
    try:
        found = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        found = None
    return found or item.certificate.issuer.public_bytes()
