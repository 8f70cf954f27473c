"""Plans how entries have to change so that they say what is published; reads and writes nothing.

Every plan is None when the entry says it already, and leaves values of others alone.
"""

from __future__ import annotations

from typing import assert_never

from cryptography import x509

from smimegw.adapters.ldap.connection import Entry
from smimegw.adapters.ldap.ldif import (
    AddEntry,
    AttributeChange,
    Change,
    ModifyEntry,
    Operation,
    write_dn,
)
from smimegw.adapters.ldap.values import (
    UNREADABLE,
    entry_name,
    issuer_of_crl,
    parse_certificates,
)
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from smimegw.x509.certificate import Certificate

_CERTIFICATE = "userCertificate;binary"  # RFC 4523, 2.1: only with the option
_SMIME_CERTIFICATE = "userSMIMECertificate"  # QUIRK 2026-11 OpenLDAP: only without it
_CA_CERTIFICATE = "cACertificate;binary"
_CRL = "certificateRevocationList;binary"


def plan_new_person(
    mailbox: Mailbox, name: str, certificate: Certificate, smime_value: bytes | None, base: str
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
    if smime_value is not None:
        attributes.append((_SMIME_CERTIFICATE, (smime_value,)))
    return AddEntry(dn=write_dn("mail", mailbox.address, base), attributes=tuple(attributes))


def plan_certificate(
    entry: Entry, certificate: Certificate, smime_value: bytes | None
) -> Change | None:
    """Add a certificate, and a value of userSMIMECertificate, to a person's entry."""
    changes = _missing_classes(entry, smime=smime_value is not None)
    if certificate.der not in _values(entry, _CERTIFICATE):
        changes.append(_change("add", _CERTIFICATE, certificate.der))
    smime_values = _values(entry, _SMIME_CERTIFICATE)
    if smime_value is not None and smime_value not in smime_values:
        # Replaced as a whole: the attribute has no equality rule to add or delete by.
        changes.append(_change("replace", _SMIME_CERTIFICATE, *smime_values, smime_value))
    return _modification(entry, changes)


def plan_withdrawal(entry: Entry, certificate_der: bytes) -> Change | None:
    """Remove exactly this certificate, also where userSMIMECertificate carries it."""
    changes = []
    if certificate_der in _values(entry, _CERTIFICATE):
        changes.append(_change("delete", _CERTIFICATE, certificate_der))
    values = _values(entry, _SMIME_CERTIFICATE)
    others = [value for value in values if not _carries(value, certificate_der)]
    if len(others) != len(values):
        changes.append(_change("replace", _SMIME_CERTIFICATE, *others))
    return _modification(entry, changes)


def plan_authority(entry: Entry | None, certificate: Certificate, base: str) -> Change | None:
    """Add a CA certificate to the CA's entry, or make that below *base*."""
    if entry is None:
        name = entry_name(certificate.subject_der)
        return _new_authority(name, _CA_CERTIFICATE, certificate.der, base)
    if certificate.der in _values(entry, _CA_CERTIFICATE):
        return None
    return _modification(entry, [_change("add", _CA_CERTIFICATE, certificate.der)])


def plan_crl(entry: Entry | None, crl_der: bytes, base: str) -> Change | None:
    """Put a CRL in the place of its issuer's last one; those of other issuers stay.

    Raises:
        UsageError: It has no number, or is older than the one that is there.
    """
    issuer, number = issuer_of_crl(crl_der), _crl_number(crl_der)
    if issuer is None or number is None:
        raise UsageError("this is not a CRL in DER with a number (RFC 5280, 5.2.3)")
    if entry is None:
        return _new_authority(entry_name(issuer), _CRL, crl_der, base)
    values = _values(entry, _CRL)
    if crl_der in values:
        return None
    ours = [value for value in values if issuer_of_crl(value) == issuer]
    newest = max((_crl_number(value) or 0 for value in ours), default=-1)
    if newest > number:
        # RFC 5280, 5.2.3: numbers only grow; going back would bring revoked ones to life.
        raise UsageError(
            f"CRL number {number} is older than number {newest}, which is published; make a new CRL"
        )
    others = [value for value in values if value not in ours]
    return _modification(entry, [_change("replace", _CRL, *others, crl_der)])


def entry_after(entry: Entry | None, change: Change) -> Entry:
    """Return what *entry* will be after *change*, for plans that are not carried out."""
    if isinstance(change, AddEntry):
        return Entry(dn=change.dn, attributes={_key(name): v for name, v in change.attributes})
    attributes = dict(entry.attributes) if entry else {}
    for item in change.changes:
        before = attributes.get(_key(item.attribute), ())
        match item.operation:
            case "add":
                after = (*before, *item.values)
            case "delete":
                after = tuple(value for value in before if value not in item.values)
            case "replace":
                after = item.values
            case _:
                assert_never(item.operation)
        attributes[_key(item.attribute)] = after
    return Entry(dn=change.dn, attributes=attributes)


def _new_authority(name: str, attribute: str, value: bytes, base: str) -> AddEntry:
    return AddEntry(
        dn=write_dn("cn", name, base),
        attributes=(
            ("objectClass", (b"organizationalRole", b"pkiCA")),
            ("cn", (name.encode(),)),
            (attribute, (value,)),
        ),
    )


def _missing_classes(entry: Entry, *, smime: bool) -> list[AttributeChange]:
    present = {value.decode("ascii", "replace").lower() for value in _values(entry, "objectClass")}
    if present & {"inetorgperson", "smimegwmailperson"}:
        return []
    if smime:
        return [_change("add", "objectClass", b"smimegwMailPerson")]
    return [] if "pkiuser" in present else [_change("add", "objectClass", b"pkiUser")]


def _carries(value: bytes, certificate_der: bytes) -> bool:
    try:
        return any(item.der == certificate_der for item in parse_certificates(value))
    except UNREADABLE:
        return False  # a stranger's value stays


def _crl_number(octets: bytes) -> int | None:
    try:
        extensions = x509.load_der_x509_crl(octets).extensions
        return extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None


def _values(entry: Entry, attribute: str) -> tuple[bytes, ...]:
    return entry.attributes.get(_key(attribute), ())


def _key(attribute: str) -> str:
    return attribute.partition(";")[0].lower()


def _change(operation: Operation, attribute: str, *values: bytes) -> AttributeChange:
    return AttributeChange(operation=operation, attribute=attribute, values=values)


def _modification(entry: Entry, changes: list[AttributeChange]) -> ModifyEntry | None:
    return ModifyEntry(dn=entry.dn, changes=tuple(changes)) if changes else None
