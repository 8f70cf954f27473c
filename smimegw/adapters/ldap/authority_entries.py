"""Plans how a CA's entry has to change to say what is published; reads and writes nothing.

One entry of class pkiCA holds the CA's certificates, its cross certificates and its revocation
lists (RFC 4523).  Every plan is None when the entry says it already.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from smimegw.adapters.ldap.changes import change_of, modification, values_of
from smimegw.adapters.ldap.connection import Entry
from smimegw.adapters.ldap.ldif import AddEntry, AttributeChange, Change, write_dn
from smimegw.adapters.ldap.values import UNREADABLE, entry_name, parse_authorities
from smimegw.cms import der
from smimegw.errors import UsageError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_CA_CERTIFICATE = "cACertificate;binary"
_CROSS_PAIR = "crossCertificatePair;binary"
_COMPLETE = "certificateRevocationList;binary"
_OF_AUTHORITIES = "authorityRevocationList;binary"
_DELTA = "deltaRevocationList;binary"
_DELTA_CLASS = b"deltaCRL"  # RFC 4523, 3.4: pkiCA does not allow them

AUTHORITY_ATTRIBUTES = tuple(
    name.partition(";")[0]
    for name in (_CA_CERTIFICATE, _CROSS_PAIR, _COMPLETE, _OF_AUTHORITIES, _DELTA)
)
"""What has to be known of an entry before it can be planned; without ``;binary``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A CRL as far as its place in a directory goes.

    Attributes:
        der: The CertificateList.
        issuer: Its issuer's Name, DER.
        number: RFC 5280, 5.2.3.
        attribute: Where it belongs (RFC 4523, 2.4 to 2.6).
        scope: The issuingDistributionPoint, DER; lists of one issuer and different scopes stand
            side by side.
        key: The key identifier of who signed; so do lists of a CA's old and its new key
            (RFC 4210, 4.4).
    """

    der: bytes
    issuer: bytes
    number: int
    attribute: str
    scope: bytes
    key: bytes

    @classmethod
    def parse(cls, octets: bytes) -> RevocationList:
        """Read a CRL.

        Raises:
            UsageError: Not a CRL in DER with a number.
        """
        try:
            crl = x509.load_der_x509_crl(octets)
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            return cls(
                der=octets,
                issuer=crl.issuer.public_bytes(),
                number=number,
                attribute=_attribute_for(crl.extensions),
                scope=_scope(crl.extensions),
                key=_key(crl.extensions),
            )
        except x509.DuplicateExtension as error:
            raise UsageError("this CRL holds an extension twice (RFC 5280, 4.2)") from error
        except (*PARSE_ERRORS, x509.ExtensionNotFound) as error:
            text = "this is not a CRL in DER with a number (RFC 5280, 5.2.3)"
            raise UsageError(text) from error


def plan_authority(entry: Entry | None, certificate: Certificate, base: str) -> Change | None:
    """Add a CA certificate to the CA's entry, or make that below *base*."""
    if entry is None:
        return _new_entry(certificate.subject_der, _CA_CERTIFICATE, certificate.der, base)
    if certificate.der in values_of(entry, _CA_CERTIFICATE):
        return None
    return modification(entry, [change_of("add", _CA_CERTIFICATE, certificate.der)])


def plan_authority_withdrawal(entry: Entry | None, certificate_der: bytes) -> Change | None:
    """Remove exactly this CA certificate, and the cross pairs that hold it."""
    if entry is None:
        return None
    changes = []
    if certificate_der in values_of(entry, _CA_CERTIFICATE):
        changes.append(change_of("delete", _CA_CERTIFICATE, certificate_der))
    pairs = values_of(entry, _CROSS_PAIR)
    others = [pair for pair in pairs if certificate_der not in _certificates_in(pair)]
    if len(others) != len(pairs):
        changes.append(change_of("replace", _CROSS_PAIR, *others))
    return modification(entry, changes)


def plan_cross_pair(
    entry: Entry | None,
    issued_to_this: Certificate | None,
    issued_by_this: Certificate | None,
    base: str,
) -> Change | None:
    """Put a pair of cross certificates into the entry of the CA that *issued_to_this* is for.

    A pair that holds fewer of the same certificates is replaced, others stay.

    Raises:
        UsageError: No certificate at all.
    """
    if issued_to_this is None and issued_by_this is None:
        raise UsageError("a cross certificate pair needs at least one certificate (RFC 4523, 2.3)")
    value = der.sequence(
        der.value(0xA0, issued_to_this.der) if issued_to_this else b"",
        der.value(0xA1, issued_by_this.der) if issued_by_this else b"",
    )
    if entry is None:
        owner = issued_to_this.subject_der if issued_to_this else b""
        owner = owner or (issued_by_this.issuer_der if issued_by_this else b"")
        return _new_entry(owner, _CROSS_PAIR, value, base)
    pairs = values_of(entry, _CROSS_PAIR)
    if value in pairs:
        return None
    ours = {item.der for item in (issued_to_this, issued_by_this) if item}
    others = [pair for pair in pairs if not _certificates_in(pair) or _certificates_in(pair) - ours]
    # Replaced as a whole: servers know no equality rule for the attribute.
    return modification(entry, [change_of("replace", _CROSS_PAIR, *others, value)])


def plan_crl(entry: Entry | None, crl: RevocationList, base: str) -> Change | None:
    """Put a CRL in the place of its issuer's last one of the same kind; those of others stay.

    A complete list takes away the delta lists that are older: who has it needs them no more.

    Raises:
        UsageError: It is not newer than the one that is there, and another one.
    """
    if entry is None:
        return _new_entry(crl.issuer, crl.attribute, crl.der, base)
    changes: list[AttributeChange] = []
    values = values_of(entry, crl.attribute)
    if crl.der not in values:
        ours = [value for value in values if _is_of(value, crl)]
        newest = max((RevocationList.parse(value).number for value in ours), default=-1)
        if newest >= crl.number:
            # RFC 5280, 5.2.3: numbers only grow; going back would bring revoked ones to life.
            raise UsageError(
                f"CRL number {crl.number} is not newer than number {newest}, which is published "
                "and another one; make a new CRL"
            )
        others = [value for value in values if value not in ours]
        changes += _missing_class(entry, crl.attribute)
        changes.append(change_of("replace", crl.attribute, *others, crl.der))
    if crl.attribute != _DELTA:
        changes += _without_old_deltas(entry, crl)
    return modification(entry, changes)


def _missing_class(entry: Entry, attribute: str) -> list[AttributeChange]:
    classes = {value.lower() for value in values_of(entry, "objectClass")}
    if attribute != _DELTA or b"deltacrl" in classes:
        return []
    return [change_of("add", "objectClass", _DELTA_CLASS)]


def _without_old_deltas(entry: Entry, crl: RevocationList) -> list[AttributeChange]:
    deltas = values_of(entry, _DELTA)
    kept = [
        delta
        for delta in deltas
        if not (_is_of(delta, crl) and RevocationList.parse(delta).number < crl.number)
    ]
    return [change_of("replace", _DELTA, *kept)] if len(kept) != len(deltas) else []


def _is_of(value: bytes, crl: RevocationList) -> bool:
    try:
        other = RevocationList.parse(value)
    except UsageError:
        return False  # a stranger's value stays
    return (other.issuer, other.scope, other.key) == (crl.issuer, crl.scope, crl.key)


def _key(extensions: x509.Extensions) -> bytes:
    try:
        found = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return found.value.key_identifier or b""


def _attribute_for(extensions: x509.Extensions) -> str:
    if any(item.oid == x509.DeltaCRLIndicator.oid for item in extensions):
        return _DELTA
    for item in extensions:
        point = item.value
        if isinstance(point, x509.IssuingDistributionPoint) and point.only_contains_ca_certs:
            return _OF_AUTHORITIES
    return _COMPLETE


def _scope(extensions: x509.Extensions) -> bytes:
    for item in extensions:
        if isinstance(item.value, x509.IssuingDistributionPoint):
            return item.value.public_bytes()
    return b""


def _certificates_in(pair: bytes) -> set[bytes]:
    try:
        return {certificate.der for certificate in parse_authorities(pair)}
    except UNREADABLE:
        return set()  # a stranger's value stays


def _new_entry(name_der: bytes, attribute: str, value: bytes, base: str) -> AddEntry:
    name = entry_name(name_der)
    classes = (b"organizationalRole", b"pkiCA")
    return AddEntry(
        dn=write_dn("cn", name, base),
        attributes=(
            ("objectClass", (*classes, _DELTA_CLASS) if attribute == _DELTA else classes),
            ("cn", (name.encode(),)),
            (attribute, (value,)),
        ),
    )
