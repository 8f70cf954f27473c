"""Looks at what is to be issued before anything is used up: address, name, key, twins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509

from pki import authority, keys, lint, profiles, subjects
from pki.authority import Issuer, Validity
from pki.certified import Certified, IssuerName, Reservation
from pki.errors import RequestError
from pki.home import Home
from pki.keys import KeyKind, PrivateKey, PublicKey
from pki.practice import Duplicates
from pki.profiles import Profile
from pki.requests import RequestState
from pki.serial_numbers import serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_SUPERSEDED = x509.ReasonFlags.superseded.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One certificate to issue.

    Attributes:
        public_key: From a request, or of a key that its owner has; the CA never sees the other
            half.
        private_key: A key that the CA has already; with neither, the CA makes one.
        days: None means the CA's default, shortened to the issuer's own end where needed.
        renews: Serial number of the certificate that this one follows.
        revokes: Why what it follows is revoked in the same step; empty leaves that valid.
        request: Number of the request; 0 for none.
        publish_from: Directories show it from then on; None means at once.
        operator: Who has it issued, for the ledger.
    """

    mailbox: Mailbox
    profile: Profile
    name: str = ""
    key_kind: KeyKind = KeyKind.RSA_3072
    public_key: PublicKey | None = None
    private_key: PrivateKey | None = field(default=None, repr=False)
    days: int | None = None
    renews: int | None = None
    revokes: str = ""
    request: int = 0
    publish_from: datetime | None = None
    operator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An order that was looked at, and lacks only its serial number.

    Attributes:
        private_key: The key that the CA keeps; None when it does not have it.
        revokes: Serial numbers of certificates whose place it takes, and the reasons.
    """

    order: Order
    issuer: Issuer = field(repr=False)
    issuer_name: IssuerName
    public_key: PublicKey
    private_key: PrivateKey | None = field(repr=False)
    subject: x509.Name
    validity: Validity
    pointers: authority.Pointers
    key_held: bool
    revokes: Mapping[int, str] = field(default_factory=dict)
    findings: str = ""

    @property
    def reservation(self) -> Reservation:
        """What the serial number is reserved for."""
        return Reservation(
            issuer=self.issuer_name,
            mailbox=self.order.mailbox,
            profile=self.order.profile,
            name=self.order.name,
            key_held=self.key_held,
            renews=self.order.renews,
            request=self.order.request,
            publish_from=self.order.publish_from,
            operator=self.order.operator,
            findings=self.findings,
        )

    def compose(self, serial: int) -> x509.CertificateBuilder:
        """Return what is to be signed."""
        return authority.compose_mailbox(
            self.public_key,
            self.subject,
            self.order.mailbox,
            profile=self.order.profile,
            issuer=self.issuer,
            serial=serial,
            validity=self.validity,
            pointers=self.pointers,
        )

    def sign(self, serial: int) -> x509.Certificate:
        """Sign it."""
        return self.issuer.sign_certificate(self.compose(serial))


def prepare(
    home: Home,
    issuer: Issuer,
    order: Order,
    *,
    now: datetime,
    key_held: bool = False,
    findings: tuple[str, ...] | None = None,
) -> Prepared:
    """Look at an order; make the key unless it brings one.

    Args:
        home: The CA directory.
        issuer: Who signs.
        order: What to issue.
        now: The time.
        key_held: Whether the CA has the other half of the order's public key.
        findings: What a lint made elsewhere remarked; None lints here.

    Raises:
        LintError: What would be signed has errors.
        UsageError: Mailbox, name, days or key are not fit, the mailbox has a certificate already
            and may not have two, or nobody approved it.
    """
    whom = inspect(home, order, now=now)
    _require_permission(home, order, now=now)
    private, public = _key_pair(order)
    profiles.check_key(order.profile, public)
    _refuse_known(home, order.mailbox, public, now=now)
    prepared = Prepared(
        order=order,
        issuer=issuer,
        issuer_name=home.name_of(issuer),
        public_key=public,
        private_key=private,
        subject=whom,
        validity=validity(home, issuer, order, now=now),
        pointers=home.pointers(home.name_of(issuer)),
        key_held=key_held or private is not None,
        revokes=_revoked_with(home, order, now=now),
    )
    if findings is None:
        findings = lint_draft(prepared)
    return replace(prepared, findings="\n".join(findings))


def validity(home: Home, issuer: Issuer, order: Order, *, now: datetime) -> Validity:
    """Return from when to when; without days of its own it ends with the issuer at the latest.

    Raises:
        UsageError: It would outlive the issuer.
    """
    by_default = order.days is None
    longest = order.profile.shape.days or home.settings.mailbox_days
    days = min(home.settings.mailbox_days, longest) if order.days is None else order.days
    return Validity.starting(now, days, within=issuer.certificate, shorten=by_default)


def lint_draft(prepared: Prepared) -> tuple[str, ...]:
    """Lint what would be signed; return the warnings (M20).

    Raises:
        LintError: There are errors; no serial number is used then.
        UsageError: pkilint is not installed, and the S/MIME BR demand a lint.
    """
    draft = prepared.issuer.draft(prepared.compose(x509.random_serial_number()))
    return lint.inspect_draft(
        draft, profile=prepared.order.profile, baseline=prepared.pointers.baseline
    )


def inspect(home: Home, order: Order, *, now: datetime) -> x509.Name:
    """Look at what an order says of person and key, without making anything; return the subject.

    Raises:
        RequestError: The key is not to be certified, or not for this profile.
        UsageError: Mailbox or name are not fit, or the mailbox has a certificate already and may
            not have two.
    """
    home.check_mailbox(order.mailbox)
    profiles.check_mailbox(order.profile, order.mailbox)
    if order.public_key is not None:
        profiles.check_key(order.profile, order.public_key)
        _refuse_known(home, order.mailbox, order.public_key, now=now)
    _revoked_with(home, order, now=now)
    return subject(home.settings, order)


def subject(settings: Settings, order: Order) -> x509.Name:
    """Return whom the certificate will name.

    Raises:
        UsageError: The name is not fit.
    """
    return subjects.subject(
        order.profile,
        order.mailbox,
        order.name,
        organization=settings.organization,
        country=settings.country,
        organization_identifier=settings.organization_identifier,
        baseline=settings.baseline,
    )


def twins(home: Home, order: Order, *, now: datetime) -> tuple[Certified, ...]:
    """Return the certificates that the mailbox has for the same profile and can use."""
    return tuple(
        certified
        for certified in home.register.find_mailbox(order.mailbox)
        if certified.profile is order.profile and certified.status(now) in ("valid", "held")
    )


def _require_permission(home: Home, order: Order, *, now: datetime) -> None:
    """A request has to be approved, and where two persons decide there has to be one."""
    request = home.register.history.requests.get(order.request)
    if request and request.state_at(now) is not RequestState.APPROVED:
        raise UsageError(
            f"Request {request.number} is {request.state_at(now)}, so nothing is issued for it."
        )
    if order.renews is not None:
        _require_predecessor(home, order)
    elif request is None and home.settings.practice.second_person:
        raise UsageError(
            "This CA wants a second person (ca.toml, requests.second_person). File a request: "
            f"smimegw-ca request create {order.mailbox}; somebody else approves it."
        )


def _require_predecessor(home: Home, order: Order) -> None:
    assert order.renews is not None
    before = home.register.find(serial_text(order.renews))
    if before.profile is not order.profile or before.mailbox != order.mailbox:
        raise UsageError(
            f"{serial_text(order.renews)} is no {order.profile} certificate of <{order.mailbox}>, "
            "so this one cannot follow it."
        )
    if before.revocation and not (before.is_held and order.revokes):
        raise UsageError(
            f"{serial_text(order.renews)} is revoked or on hold ({before.revocation.reason}), so "
            "nothing follows it."
        )


def _revoked_with(home: Home, order: Order, *, now: datetime) -> dict[int, str]:
    if order.renews is not None:  # a successor may stand beside what it follows until that ends
        return {order.renews: order.revokes} if order.revokes else {}
    found = twins(home, order, now=now)
    match home.settings.practice.duplicates:
        case Duplicates.REFUSE if found:
            raise UsageError(
                f"<{order.mailbox}> has a {order.profile} certificate already "
                f"({serial_text(found[0].serial)}), and ca.toml says requests.duplicates = "
                f'"refuse". Follow it with: smimegw-ca renew {order.mailbox}, or revoke it first.'
            )
        case Duplicates.SUPERSEDE:
            return {certified.serial: _SUPERSEDED for certified in found}
    return {}


def _key_pair(order: Order) -> tuple[PrivateKey | None, PublicKey]:
    if order.public_key is not None:
        return None, order.public_key
    private = order.private_key or keys.generate(order.key_kind)
    return private, private.public_key()


def _refuse_known(home: Home, mailbox: Mailbox, public: PublicKey, *, now: datetime) -> None:
    for certified in home.register.history.of_key(keys.public_key_octets(public)):
        if not certified.mailbox:
            raise RequestError("This is the CA's own key. Make a new one and a new request.")
        if certified.revocation and certified.revocation.reason == "keyCompromise":
            raise RequestError(
                f"This key was revoked as compromised (serial {serial_text(certified.serial)}). "
                "Make a new key and a new request."
            )
        if not certified.mailbox.same_as(mailbox) and certified.status(now) in ("valid", "held"):
            raise RequestError(
                f"This key is certified for <{certified.mailbox}> already (serial "
                f"{serial_text(certified.serial)}), and who has it could read and sign for both. "
                f"Make a new key for <{mailbox}> and a new request."
            )
