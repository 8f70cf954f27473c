"""Plans how a person's entry has to change to say what is published; reads and writes nothing.

Every plan is None when the entry says it already, and leaves values of others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smimegw.adapters.ldap.changes import change_of, modification, values_of
from smimegw.adapters.ldap.connection import Entry
from smimegw.adapters.ldap.ldif import AddEntry, AttributeChange, Change, write_dn
from smimegw.adapters.ldap.values import UNREADABLE, parse_capabilities, parse_certificates
from smimegw.addresses import Mailbox
from smimegw.x509.certificate import Certificate

_CERTIFICATE = "userCertificate;binary"  # RFC 4523, 2.1: only with the option
_SMIME_CERTIFICATE = "userSMIMECertificate"  # QUIRK 2026-11 OpenLDAP: only without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A value of userSMIMECertificate, made when it is needed (RFC 2798, 2.8).

    Attributes:
        make: Returns the value: SignedData with a person's certificate and its path.
        signed: By the person's key, over his capabilities; without, it carries certificates only.
    """

    make: Callable[[], bytes]
    signed: bool = False

    @classmethod
    def of(cls, octets: bytes) -> Bundle:
        """One that is made already, of certificates only."""
        return cls(make=lambda: octets)


def plan_new_person(
    mailbox: Mailbox, name: str, certificate: Certificate, bundle: Bundle | None, base: str
) -> Change:
    """Make an entry below *base* that mail clients find by ``(mail=…)``."""
    name = name.strip() or mailbox.address
    attributes: list[tuple[str, tuple[bytes, ...]]] = [
        ("objectClass", (b"inetOrgPerson", b"pkiUser")),
        ("cn", (name.encode(),)),
        ("sn", (name.split()[-1].encode(),)),
        ("mail", (mailbox.address.encode(),)),
        (_CERTIFICATE, (certificate.der,)),
    ]
    if bundle is not None:
        attributes.append((_SMIME_CERTIFICATE, (bundle.make(),)))
    return AddEntry(dn=write_dn("mail", mailbox.address, base), attributes=tuple(attributes))


def plan_certificate(
    entry: Entry, certificate: Certificate, bundle: Bundle | None
) -> Change | None:
    """Add a certificate, and a value of userSMIMECertificate, to a person's entry."""
    changes = _missing_classes(entry, smime=bundle is not None)
    if certificate.der not in values_of(entry, _CERTIFICATE):
        changes.append(change_of("add", _CERTIFICATE, certificate.der))
    if bundle is not None:
        changes += _bundle_change(entry, certificate, bundle)
    return modification(entry, changes)


def plan_withdrawal(entry: Entry, certificate_der: bytes) -> Change | None:
    """Remove exactly this certificate, also where userSMIMECertificate carries it."""
    changes = []
    if certificate_der in values_of(entry, _CERTIFICATE):
        changes.append(change_of("delete", _CERTIFICATE, certificate_der))
    values = values_of(entry, _SMIME_CERTIFICATE)
    others = [value for value in values if not _carries(value, certificate_der)]
    if len(others) != len(values):
        changes.append(change_of("replace", _SMIME_CERTIFICATE, *others))
    return modification(entry, changes)


def _bundle_change(entry: Entry, certificate: Certificate, bundle: Bundle) -> list[AttributeChange]:
    values = values_of(entry, _SMIME_CERTIFICATE)
    if not bundle.signed and bundle.make() in values:
        return []  # mostly so, and without reading any
    same = [value for value in values if _carries(value, certificate.der)]
    if any(_vouches(value) for value in same):
        return []  # the owner's own word, ours of an earlier run or his own, says more or as much
    # Replaced as a whole: the attribute has no equality rule to add or delete by.
    others = [value for value in values if value not in same]
    return [change_of("replace", _SMIME_CERTIFICATE, *others, bundle.make())]


def _missing_classes(entry: Entry, *, smime: bool) -> list[AttributeChange]:
    classes = values_of(entry, "objectClass")
    present = {value.decode("ascii", "replace").lower() for value in classes}
    # "user" is Active Directory's person, which has both attributes
    if present & {"inetorgperson", "smimegwmailperson", "user"}:
        return []
    if smime:
        return [change_of("add", "objectClass", b"smimegwMailPerson")]
    return [] if "pkiuser" in present else [change_of("add", "objectClass", b"pkiUser")]


def _carries(value: bytes, certificate_der: bytes) -> bool:
    try:
        return any(item.der == certificate_der for item in parse_certificates(value))
    except UNREADABLE:
        return False  # a stranger's value stays


def _vouches(value: bytes) -> bool:
    try:
        return parse_capabilities(value) is not None
    except UNREADABLE:
        return False
