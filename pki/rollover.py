"""Gives the issuing CA a new key: the old one goes on listing, cross certificates join the two.

Both keys bear one name, as RFC 4210, 4.4 has it.  What was issued under the old key stays good to
its end, and the old key signs CRLs until then.  *New with old* lets a reader who knows only the old
certificate trust the new key; *old with new* the other way round.  With another name there are no
cross certificates, because path length 0 allows them only between keys of one CA.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki import authority, hierarchy, lint, places
from pki.authority import Issuer, Validity
from pki.certified import Certified, IssuerName, Reservation
from pki.hierarchy import NewKey
from pki.home import Home
from pki.issuance import certify, make_crl
from pki.places import ROOT
from pki.profiles import Baseline, Profile
from pki.subjects import authority_name, clean_name
from smimegw.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossPair:
    """Two keys of one CA, each certified by the other (RFC 4210, 4.4).

    Attributes:
        old: The place that was followed.
        new: The place that followed it.
        new_with_old: The new key, signed by the old one; issuedToThisCA of the new.
        old_with_new: The old key, signed by the new one; issuedByThisCA of the new.
    """

    old: IssuerName
    new: IssuerName
    new_with_old: Certified
    old_with_new: Certified


def begin(
    home: Home, new: NewKey, *, passphrase: bytes, now: datetime, name: str = ""
) -> tuple[IssuerName, hierarchy.AuthorityRequest]:
    """Make the new key and its request; go on with those of an attempt that was interrupted.

    Args:
        home: The CA directory.
        new: What kind of key, and where.
        passphrase: Of the CA's keys.
        now: The time.
        name: Another common name for the CA; empty keeps the name.

    Raises:
        UsageError: There is nothing to follow, or the name is not fit.
    """
    old = home.authority(home.issuing)
    subject = old.certificate.subject
    if name:
        chosen = home.settings
        subject = authority_name(
            clean_name(name), organization=chosen.organization, country=chosen.country
        )
    place = places.successor(home.issuing)
    request = hierarchy.make_request(home, place, subject, new, passphrase=passphrase, now=now)
    return place, request


def certify_here(
    home: Home,
    place: IssuerName,
    request: hierarchy.AuthorityRequest,
    *,
    days: int,
    passphrase: bytes,
    now: datetime,
) -> Certified:
    """Let the root of this directory sign the new issuing CA.

    Raises:
        PassphraseError: The root's key is not here, or does not open.
        UsageError: It would outlive the root.
    """
    old = home.authority(home.issuing)
    return hierarchy.certify_issuing(
        home,
        home.issuer(ROOT, passphrase),
        request,
        domains=authority.permitted_domains(old.certificate),
        days=days,
        now=now,
        place=place,
    )


def finish(
    home: Home, place: IssuerName, *, passphrase: bytes, now: datetime
) -> tuple[Certified, ...]:
    """Cross-certify a new issuing CA with the one before it, and make its first CRL.

    Does only what is not done yet, so it can be repeated after a crash.

    Returns:
        The cross certificates of the two; empty when the first issuing CA was installed, or when
        the name changed.

    Raises:
        PassphraseError: One of the keys does not open.
    """
    new = home.issuer(place, passphrase)
    crossed: tuple[Certified, ...] = ()
    before = [name for name in home.issuers if name not in (ROOT, place)]
    if before and _may_cross(home, before[-1], place, now=now):
        old = home.issuer(before[-1], passphrase)
        pairs = ((before[-1], old, new), (place, new, old))
        crossed = tuple(
            _known(home, name, like) or _cross(home, name, issuer, like.certificate, now=now)
            for name, issuer, like in pairs
        )
    if home.register.last_crl(place) is None:
        make_crl(home, place, new, now=now)
    return crossed


def cross_pairs(home: Home) -> tuple[CrossPair, ...]:
    """Return the cross certificates of this CA that are not revoked, oldest first."""
    names = [name for name in home.issuers if name != ROOT]
    found = []
    for old, new in itertools.pairwise(names):
        to_new = _find(home, old, home.authority(new).certificate)
        to_old = _find(home, new, home.authority(old).certificate)
        if to_new and to_old and not to_new.revocation and not to_old.revocation:
            found.append(CrossPair(old=old, new=new, new_with_old=to_new, old_with_new=to_old))
    return tuple(found)


def _may_cross(home: Home, old: IssuerName, new: IssuerName, *, now: datetime) -> bool:
    if not home.holds_key(old):
        raise UsageError(
            f"The key of the {old} CA is not here, and without it there are no cross certificates "
            "and no CRLs for what it issued. Bring it back, then finish: smimegw-ca rollover"
        )
    before, after = home.authority(old), home.authority(new)
    same_name = before.certificate.subject == after.certificate.subject
    return same_name and not before.revocation and before.not_after > now


def _known(home: Home, name: IssuerName, like: Issuer) -> Certified | None:
    return _find(home, name, like.certificate)


def _find(home: Home, issuer: IssuerName, like: x509.Certificate) -> Certified | None:
    return next(
        (
            certified
            for certified in home.register.own_certificates()
            if certified.issuer == issuer
            and certified.profile is Profile.ISSUING
            and certified.certificate.public_key() == like.public_key()
        ),
        None,
    )


def _cross(
    home: Home, name: IssuerName, issuer: Issuer, like: x509.Certificate, *, now: datetime
) -> Certified:
    ends = min(like.not_valid_after_utc, issuer.certificate.not_valid_after_utc)
    starts = max(like.not_valid_before_utc, issuer.certificate.not_valid_before_utc)
    validity = Validity(not_before=starts, not_after=ends)
    pointers = home.pointers(name)

    def compose(serial: int) -> x509.CertificateBuilder:
        return authority.compose_cross(
            like, issuer=issuer, serial=serial, validity=validity, pointers=pointers
        )

    draft = issuer.draft(compose(x509.random_serial_number()))
    findings = lint.inspect_draft(draft, profile=Profile.ISSUING, baseline=Baseline.NONE)
    reservation = Reservation(
        issuer=name,
        mailbox=None,
        profile=Profile.ISSUING,
        name=like.subject.rfc4514_string(),
        key_held=True,
        findings="\n".join(findings),
    )
    return certify(
        home,
        reservation,
        None,
        lambda serial: issuer.sign_certificate(compose(serial)),
        passphrase=b"",
        now=now,
    )
