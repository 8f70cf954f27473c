"""Makes certificate revocation lists, complete and delta.

A delta lists what changed since the last complete list (RFC 5280, 5.2.4).  Both share one sequence
of numbers; made together they have one number.  Deltas are made when ca.toml names their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, files
from pki.authority import BACKDATE, Issuer
from pki.certified import IssuerName, Listed
from pki.home import Home
from pki.places import ROOT
from pki.register import Register
from pki.revocation import RevokedSerial
from pki.validity import require_begun
from smimegw.errors import UsageError

REMOVED = x509.ReasonFlags.remove_from_crl
_UNSPECIFIED = x509.ReasonFlags.unspecified


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One delta CRL of this CA; *base* is the number of the complete one that it changes."""

    issuer: IssuerName
    number: int
    base: int
    crl: x509.CertificateRevocationList
    der: bytes

    @property
    def next_update(self) -> datetime:
        """When readers stop believing it."""
        return next_update(self.crl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What readers of one CA can have now.

    Attributes:
        complete: The newest complete CRL; None only while a CA is being founded.
        deltas: Those made after it, oldest first; one made together with it comes first.
    """

    complete: Listed | None
    deltas: tuple[Delta, ...]

    @property
    def number(self) -> int:
        """The highest number that was used."""
        complete = self.complete.number if self.complete else 0
        return max([complete, *(delta.number for delta in self.deltas)])

    @property
    def delta(self) -> Delta | None:
        """The newest delta."""
        return self.deltas[-1] if self.deltas else None


def lists(register: Register, name: IssuerName) -> Lists:
    """Return the CRLs of *name* that count now."""
    deltas = (
        Delta(
            issuer=name,
            number=int(entry.details["number"]),
            base=int(entry.details["base"]),
            crl=x509.load_der_x509_crl(entry.der),
            der=entry.der,
        )
        for entry in register.history.deltas.get(name, ())
    )
    return Lists(complete=register.last_crl(name), deltas=tuple(deltas))


def make(home: Home, name: IssuerName, issuer: Issuer, *, now: datetime) -> Listed:
    """Sign, record and write the next complete CRL of one CA, and the delta of the same number.

    Raises:
        BusyError: The disk does not take it.
        LedgerError: Key and certificate of the CA do not belong together.
    """
    before = lists(home.register, name)
    revoked = home.register.revoked_for_crl(name)
    number = before.number + 1
    crl = sign(
        revoked,
        issuer=issuer,
        number=number,
        days=home.settings.root_crl_days if name == "root" else home.settings.crl_days,
        now=now,
        freshest=home.pointers(name).delta_urls if makes_deltas(home, name) else (),
    )
    home.register.record_crl(name, number, crl, now=now)
    listed = Listed(issuer=name, number=number, crl=crl, der=crl.public_bytes(Encoding.DER))
    files.replace(home.crl_path(name), listed.der)
    if makes_deltas(home, name):
        # Based on the list that readers have, not on the one that they are about to fetch.
        since = before if before.complete else Lists(complete=listed, deltas=())
        _make_delta(home, name, issuer, since, revoked, number=number, now=now)
    return listed


def make_delta(home: Home, name: IssuerName, issuer: Issuer, *, now: datetime) -> Delta:
    """Sign, record and write what changed since the newest complete CRL.

    Raises:
        BusyError: The disk does not take it.
        LedgerError: The key is not that of the certificate.
        UsageError: No deltas are configured.
    """
    before = lists(home.register, name)
    revoked = home.register.revoked_for_crl(name)
    return _make_delta(home, name, issuer, before, revoked, number=before.number + 1, now=now)


def no_delta(name: IssuerName) -> UsageError:
    """What to tell who asks for a delta that is not there."""
    return UsageError(
        f"The {name} CA has no delta CRL. Name its place in ca.toml (urls.delta), so that it is "
        "written into certificates, and make one: smimegw-ca crl make --delta"
    )


def makes_deltas(home: Home, name: IssuerName) -> bool:
    """Whether *name* has deltas: the root revokes too seldom."""
    return name != ROOT and bool(home.settings.delta_urls)


def delta_path(home: Home, name: IssuerName) -> Path:
    """Where the newest delta is, DER."""
    return home.crl_path(name).with_name("delta.der")


def sign(
    revoked: Iterable[RevokedSerial],
    *,
    issuer: Issuer,
    number: int,
    days: int,
    now: datetime,
    base: int | None = None,
    removed: Iterable[int] = (),
    freshest: Sequence[str] = (),
) -> x509.CertificateRevocationList:
    """Sign a CRL that readers may use for *days* days.

    Args:
        revoked: Its entries.
        issuer: Who signs.
        number: CRLNumber (RFC 5280, 5.2.3).
        days: Until nextUpdate.
        now: The time.
        base: Makes it a delta to the complete CRL of this number.
        removed: Serial numbers that a delta takes off.
        freshest: Where deltas to this complete CRL are (RFC 5280, 5.2.6).

    Raises:
        LedgerError: It does not verify under the issuer's certificate.
        UsageError: The clock is wrong: the issuer's certificate does not count yet.
    """
    now = now.replace(microsecond=0)
    require_begun(issuer.certificate, now)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(max(now - BACKDATE, issuer.certificate.not_valid_before_utc))
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority.authority_key_identifier(issuer.certificate), critical=False)
    )
    builder = _add_delta_extensions(builder, base, freshest)
    entries = {
        item.serial: (item.revocation.revoked_at, x509.ReasonFlags(item.revocation.reason))
        for item in revoked
    }
    entries |= dict.fromkeys(removed, (now, REMOVED))
    for serial in sorted(entries):
        builder = builder.add_revoked_certificate(_entry(serial, *entries[serial]))
    return issuer.sign_crl(builder)


# --- below ---------------------------------------------------------------------------------------


def _make_delta(
    home: Home,
    name: IssuerName,
    issuer: Issuer,
    since: Lists,
    revoked: Sequence[RevokedSerial],
    *,
    number: int,
    now: datetime,
) -> Delta:
    if since.complete is None or not makes_deltas(home, name):
        raise no_delta(name)
    base = reasons(since.complete.crl)
    # The delta made together with the base tells nothing that the base does not.
    later = [delta for delta in since.deltas if delta.number > since.complete.number]
    told = {serial for delta in later for serial in reasons(delta.crl)}
    wanted = {item.serial: x509.ReasonFlags(item.revocation.reason) for item in revoked}
    changed = [
        item
        for item in revoked
        if item.serial in told or base.get(item.serial) is not wanted[item.serial]
    ]
    crl = sign(
        changed,
        issuer=issuer,
        number=number,
        days=home.settings.delta_days,
        now=now,
        base=since.complete.number,
        removed=(base.keys() | told) - wanted.keys(),
    )
    der = crl.public_bytes(Encoding.DER)
    details: dict[str, str | int] = {
        "issuer": name,
        "number": number,
        "base": since.complete.number,
    }
    home.register.ledger.append("delta", at=now, details=details, der=der)
    files.replace(delta_path(home, name), der)
    return Delta(issuer=name, number=number, base=since.complete.number, crl=crl, der=der)


def reasons(crl: x509.CertificateRevocationList) -> Mapping[int, x509.ReasonFlags]:
    """Return the serial numbers that a CRL lists, each with its reason."""
    return {entry.serial_number: _reason(entry) for entry in crl}


def _add_delta_extensions(
    builder: x509.CertificateRevocationListBuilder, base: int | None, freshest: Sequence[str]
) -> x509.CertificateRevocationListBuilder:
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    if freshest:
        points = [authority.distribution_point(freshest)]
        builder = builder.add_extension(x509.FreshestCRL(points), critical=False)
    return builder


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return _UNSPECIFIED


def next_update(crl: x509.CertificateRevocationList) -> datetime:
    """When readers stop believing a CRL of ours."""
    end = crl.next_update_utc
    assert end is not None  # ours always say
    return end


def _entry(serial: int, at: datetime, reason: x509.ReasonFlags) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    if reason is not _UNSPECIFIED:  # RFC 5280, 5.3.1: then leave it out
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()
