"""The way of a request: filed, proven, approved or refused, issued; every step is in the ledger.

    request = approval.file(home, filing, now=now)
    request = approval.approve(home, request, operator="berta", now=now)
    certificates = approval.issue(home, issuer, request, passphrase=…, operator="berta", now=now)

A crash between two steps leaves the request where the last recorded one brought it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import load_der_public_key

from pki import issuance, keys, orders, people, possession
from pki.authority import Issuer
from pki.certified import Certified
from pki.chain import Details
from pki.errors import RequestError
from pki.home import Home
from pki.keys import KeyKind, PublicKey
from pki.orders import Order
from pki.profiles import Profile
from pki.request import parse_request
from pki.requests import Proof, Request, RequestState
from pki.serial_numbers import serial_text
from smimegw import failpoints
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_REASON_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """What somebody asks for.

    Attributes:
        requester: The operator or machine that files it.
        csr: A PKCS #10 request, PEM or DER.
        public_key: A key that cannot sign, whose owner will have to answer a challenge.
        key_kind: What the CA makes when it is given neither.
        days: 0 for the CA's default.
        renews: Serial number of the certificate that it shall follow.
        owner_known: The directory named the mailbox's owner a moment ago.
    """

    mailbox: Mailbox
    profiles: tuple[Profile, ...]
    requester: str
    name: str = ""
    csr: bytes | None = None
    public_key: bytes | None = None
    key_kind: KeyKind = KeyKind.RSA_3072
    days: int = 0
    renews: int | None = None
    owner_known: bool = False


def file(home: Home, filing: Filing, *, now: datetime) -> tuple[Request, bytes]:
    """Record a request; the second value is a challenge for the key's owner, or empty.

    Raises:
        RequestError: Its signature, its key, or the number of keys is not fit.
        UsageError: The mailbox or the name is not fit, the mailbox is nobody's, or may not have
            another certificate.
        DirectoryError: The directory could not say whose the mailbox is.
        BusyError: The disk does not take it.
    """
    public, proof, der, wishes = _key(filing)
    if public is not None and len(filing.profiles) > 1:
        raise UsageError("Two profiles need two keys, so make a request for each of them.")
    findings = [*wishes, *_remarks(home, filing, public, now=now)]
    if not filing.owner_known:
        people.require_owner(home.settings.practice, filing.mailbox)
    challenge = None
    if proof is Proof.CHALLENGE:
        assert public is not None
        challenge = possession.make_challenge(public, now=now)
    request = Request(
        number=len(home.register.history.requests) + 1,
        filed_at=now,
        expires_at=now.replace(microsecond=0) + timedelta(days=home.settings.practice.days),
        requester=filing.requester,
        mailbox=filing.mailbox,
        profiles=filing.profiles,
        name=filing.name,
        key="" if public is not None else filing.key_kind.value,
        days=filing.days,
        proof=proof,
        request_der=der,
        challenge=challenge.digest if challenge else "",
        renews=filing.renews,
        findings="\n".join(findings),
    )
    home.register.ledger.append("requested", at=now, details=request.details(), der=der)
    failpoints.reach("request.filed")
    return find(home, request.number), challenge.der if challenge else b""


def find(home: Home, number: int) -> Request:
    """Return a request.

    Raises:
        UsageError: There is none with that number.
    """
    found = home.register.history.requests.get(number)
    if found is None:
        raise UsageError(f"There is no request {number}. See them with: smimegw-ca request list")
    return found


def waiting(home: Home, *, now: datetime) -> tuple[Request, ...]:
    """Return what waits for a proof, a decision or a certificate, oldest first."""
    open_states = (RequestState.UNPROVEN, RequestState.PENDING, RequestState.APPROVED)
    everything = home.register.history.requests.values()
    return tuple(request for request in everything if request.state_at(now) in open_states)


def prove(home: Home, request: Request, answer: bytes, *, now: datetime) -> Request:
    """Record that the owner of the key answered the challenge.

    Raises:
        RequestError: The answer is wrong.
        UsageError: The request waits for none.
    """
    _require(request, RequestState.UNPROVEN, now=now)
    if not possession.answers(request.challenge, answer):
        raise RequestError(
            f"Request {request.number}: this is not what was encrypted, so nothing shows that the "
            "owner has the key. Decrypt the challenge and send the text in it back."
        )
    home.register.ledger.append("proven", at=now, details={"request": request.number})
    failpoints.reach("request.proven")
    return find(home, request.number)


def approve(home: Home, request: Request, *, operator: str, now: datetime) -> Request:
    """Record that *operator* wants it issued; a request that is approved stays as it is.

    Raises:
        UsageError: It is decided already or has expired, or the requester approves his own where
            a second person is wanted.
    """
    if request.state_at(now) is RequestState.APPROVED:
        return request
    _require(request, RequestState.PENDING, now=now)
    own = operator.casefold() == request.requester.casefold()
    if home.settings.practice.second_person and own:
        raise UsageError(
            f"{operator} asked for request {request.number}, and this CA wants a second person "
            "(ca.toml, requests.second_person). Somebody else approves it, under his own name."
        )
    _decide(home, request, "approved", operator=operator, reason="", now=now)
    return find(home, request.number)


def refuse(home: Home, request: Request, *, operator: str, reason: str, now: datetime) -> Request:
    """Record that it is not issued, and why.

    Raises:
        UsageError: It is decided already, or the reason is none.
    """
    if not reason.strip() or len(reason) > _REASON_CHARACTERS_MAX or not reason.isprintable():
        raise UsageError(f"Give a reason of 1 to {_REASON_CHARACTERS_MAX} characters, in one line.")
    state = request.state_at(now)
    if request.serials or state not in (
        RequestState.UNPROVEN,
        RequestState.PENDING,
        RequestState.APPROVED,
    ):
        raise UsageError(f"Request {request.number} is {state} already; nothing was changed.")
    _decide(home, request, "refused", operator=operator, reason=reason.strip(), now=now)
    return find(home, request.number)


def orders_of(request: Request, *, operator: str = "") -> tuple[Order, ...]:
    """Return what is still to be issued for a request, one order for each profile."""
    public = None
    if request.proof is Proof.SIGNATURE:
        public = parse_request(request.request_der).public_key
    elif request.proof is Proof.CHALLENGE:
        public = keys.accept_public_key(load_der_public_key(request.request_der))
    return tuple(
        Order(
            mailbox=request.mailbox,
            profile=profile,
            name=request.name,
            key_kind=KeyKind(request.key or KeyKind.RSA_3072),
            public_key=public,
            days=request.days or None,
            renews=request.renews,
            request=request.number,
            operator=operator,
        )
        for profile in request.missing
    )


def issue(
    home: Home,
    issuer: Issuer,
    request: Request,
    *,
    passphrase: bytes,
    operator: str,
    now: datetime,
) -> tuple[Certified, ...]:
    """Issue what an approved request asks for; goes on where a crash ended an earlier try.

    Returns:
        Every certificate of the request, earlier ones included.

    Raises:
        UsageError: It is not approved, has expired, or what it asks for is not fit any more.
        BusyError: The disk does not take it.
    """
    if request.state is not RequestState.ISSUED:
        _require(request, RequestState.APPROVED, now=now)
    for order in orders_of(request, operator=operator):
        issuance.issue(home, issuer, order, passphrase=passphrase, now=now)
    done = find(home, request.number)
    return tuple(home.register.find(serial_text(serial)) for serial in done.serials)


def _key(filing: Filing) -> tuple[PublicKey | None, Proof, bytes, tuple[str, ...]]:
    # Empty files are files: who sent one did not ask for a key that the CA makes.
    if filing.csr is not None:
        parsed = parse_request(filing.csr)
        remarks = parsed.remarks(filing.mailbox)
        return parsed.public_key, Proof.SIGNATURE, parsed.der, remarks
    if filing.public_key is not None:
        bare = possession.parse_public_key(filing.public_key)
        return bare.public_key, Proof.CHALLENGE, bare.der, ()
    return None, Proof.CA_MADE, b"", ()


def _remarks(home: Home, filing: Filing, public: PublicKey | None, *, now: datetime) -> list[str]:
    findings = []
    for profile in filing.profiles:
        order = _order_of(filing, profile, public)
        orders.inspect(home, order, now=now)
        findings += [
            f"<{filing.mailbox}> has a {profile} certificate already: {serial_text(twin.serial)}"
            for twin in orders.twins(home, order, now=now)
            if filing.renews is None
        ]
    return findings


def _order_of(filing: Filing, profile: Profile, public: PublicKey | None) -> Order:
    return Order(
        mailbox=filing.mailbox,
        profile=profile,
        name=filing.name,
        key_kind=filing.key_kind,
        public_key=public,
        renews=filing.renews,
    )


def _require(request: Request, wanted: RequestState, *, now: datetime) -> None:
    state = request.state_at(now)
    if state is wanted:
        return
    raise UsageError(
        f"Request {request.number} is {state}, not {wanted}; nothing was changed. "
        f"{_ADVICE[state].format(number=request.number)}"
    )


_ADVICE = {
    RequestState.UNPROVEN: "Its owner first answers the challenge: smimegw-ca request prove "
    "{number} --answer FILE",
    RequestState.PENDING: "Somebody has to decide: smimegw-ca request approve {number}",
    RequestState.APPROVED: "It only has to be issued: smimegw-ca request approve {number}",
    RequestState.REFUSED: "Whoever still wants it files a new one.",
    RequestState.EXPIRED: "Whoever still wants it files a new one.",
    RequestState.ISSUED: "See the certificate: smimegw-ca request show {number}",
}


def _decide(
    home: Home, request: Request, kind: str, *, operator: str, reason: str, now: datetime
) -> None:
    details: Details = {"request": request.number, "operator": operator, "reason": reason}
    home.register.ledger.append(kind, at=now, details=details)
    failpoints.reach(f"request.{kind}")
