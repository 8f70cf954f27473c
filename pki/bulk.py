"""Issues for many people: looks at all first, makes keys in parallel, signs in batches.

A batch takes its serial numbers in one step and records its certificates in another, so an M22
crash loses at most one batch's numbers.  Whoever has a valid certificate of the profile is left
out: a run that was killed is finished by doing it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files, orders
from pki.authority import Issuer
from pki.certified import Certified
from pki.home import Home
from pki.keys import KeyKind
from pki.orders import Order, Prepared
from pki.people import Person, Skipped
from pki.profiles import Profile
from pki.validity import BACKDATE
from pki.workbench import Blank, Made, Workbench
from smimegw import failpoints
from smimegw.errors import UsageError

BATCH = 64
_WRITERS = 8  # the disk flushes several files at once in hardly more time than one


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What everybody shall have."""

    profiles: tuple[Profile, ...]
    key_kind: KeyKind
    days: int | None
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Whom to issue for.

    Attributes:
        orders: In the directory's order, a person's certificates one after the other.
        people: How many that are.
        present: Certificates that are there already.
        skipped: A line for each entry that is left out.
    """

    orders: tuple[Order, ...]
    people: int
    present: tuple[Certified, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One certificate, and its private key as the CA keeps it."""

    certified: Certified
    sealed: bytes = field(repr=False)


def make_plan(
    home: Home, found: Iterable[Person | Skipped], wanted: Wanted, *, now: datetime
) -> Plan:
    """Look at everybody; nothing is made yet."""
    chosen: list[Order] = []
    present: list[Certified] = []
    skipped: list[str] = []
    seen: set[str] = set()
    everybody = tuple(found)
    shared = _shared(everybody)
    for person in everybody:
        if isinstance(person, Skipped):
            skipped.append(f"{person.dn}: {person.reason}")
            continue
        if person.mailbox.key in shared:
            skipped.append(f"<{person.mailbox}>: several entries have this address: {person.dn}")
            continue
        if person.mailbox.key in seen:  # an entry with the same address in two spellings
            continue
        seen.add(person.mailbox.key)
        try:
            missing, there = _split(home, person, wanted, now=now)
        except UsageError as error:
            skipped.append(f"<{person.mailbox}>: {error}")
            continue
        chosen += missing
        present += there
    return Plan(
        orders=tuple(chosen),
        people=len({order.mailbox.key for order in chosen}),
        present=tuple(present),
        skipped=tuple(skipped),
    )


def issue(
    home: Home,
    issuer: Issuer,
    plan: Plan,
    bench: Workbench,
    *,
    now: datetime,
    refused: list[str],
) -> Iterator[Delivered]:
    """Issue for everybody in the plan; yield each certificate once it is on the disk.

    Args:
        home: The CA directory, open for changes.
        issuer: Who signs.
        plan: From `make_plan`.
        bench: Where keys are made.
        now: The time.
        refused: Gets a line for each certificate that the lint refused.

    Raises:
        BusyError: The disk does not take it; what was yielded is safe.
    """
    blanks = _blanks(home, issuer, plan.orders, now=now)
    results = bench.make(blanks)
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="issue") as writers:
        while batch := list(islice(results, BATCH)):
            made = [item for item in batch if isinstance(item, Made)]
            refused += [
                f"<{item[0].mailbox}>: {item[1]}" for item in batch if not isinstance(item, Made)
            ]
            yield from _certify(home, issuer, made, writers, now=now)


def _shared(everybody: Iterable[Person | Skipped]) -> frozenset[str]:
    """The mailboxes of several entries: nobody can say whose the certificate would be (F11)."""
    owners: dict[str, set[str]] = {}
    for person in everybody:
        if isinstance(person, Person):
            owners.setdefault(person.mailbox.key, set()).add(person.dn)
    return frozenset(key for key, entries in owners.items() if len(entries) > 1)


def _split(
    home: Home, person: Person, wanted: Wanted, *, now: datetime
) -> tuple[list[Order], list[Certified]]:
    missing: list[Order] = []
    there: list[Certified] = []
    for profile in wanted.profiles:
        order = Order(
            mailbox=person.mailbox,
            profile=profile,
            name=person.name,
            key_kind=wanted.key_kind,
            days=wanted.days,
            operator=wanted.operator,
        )
        twins = orders.twins(home, order, now=now)
        if twins:
            there += twins
        else:
            orders.inspect(home, order, now=now)
            missing.append(order)
    return missing, there


def _blanks(
    home: Home, issuer: Issuer, wanted: Sequence[Order], *, now: datetime
) -> Iterator[Blank]:
    pointers = home.pointers(home.issuing)
    for order in wanted:
        yield Blank(
            order=order,
            settings=home.settings,
            validity=orders.validity(home, issuer, order, now=now),
            pointers=pointers,
        )


def _certify(
    home: Home,
    issuer: Issuer,
    batch: Sequence[Made],
    writers: ThreadPoolExecutor,
    *,
    now: datetime,
) -> Iterator[Delivered]:
    prepared = [_prepared(home, issuer, made, now=now) for made in batch]
    serials = home.register.reserve_all([item.reservation for item in prepared], now=now)
    failpoints.reach("bulk.reserved")
    # A certificate is recorded only when its key is safe: it could not be made again.
    sealed = [made.sealed for made in batch]
    for _ in writers.map(lambda serial, key: _keep_key(home, serial, key), serials, sealed):
        pass
    failpoints.reach("bulk.keys-kept")
    signed = [item.sign(serial) for item, serial in zip(prepared, serials, strict=True)]
    failpoints.reach("bulk.signed")
    home.register.record_issued_all(list(zip(serials, signed, strict=True)), now=now)
    failpoints.reach("bulk.recorded")
    for _ in writers.map(lambda certificate: _write_certificate(home, certificate), signed):
        pass
    failpoints.reach("bulk.written")
    known = home.register.history.certificates
    for serial, key in zip(serials, sealed, strict=True):
        yield Delivered(certified=known[serial], sealed=key)


def _prepared(home: Home, issuer: Issuer, made: Made, *, now: datetime) -> Prepared:
    order = replace(made.order, public_key=made.public_key)
    return orders.prepare(home, issuer, order, now=now, key_held=True, findings=made.findings)


def _keep_key(home: Home, serial: int, sealed: bytes) -> None:
    path = home.key_path(serial)
    files.make_directory(path.parent)
    files.write_new(path, sealed, mode=files.PRIVATE)


def _write_certificate(home: Home, certificate: x509.Certificate) -> None:
    path = home.certificate_path(certificate.serial_number)
    files.write_new(path, certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC)


def described(plan: Plan) -> str:
    """Return the plan in one line."""
    present = f", {len(plan.present)} are there already" if plan.present else ""
    skipped = f", {len(plan.skipped)} skipped" if plan.skipped else ""
    return f"{plan.people} people, {len(plan.orders)} certificates{present}{skipped}"


def issued_since(plan: Plan, since: datetime) -> tuple[Certified, ...]:
    """Return what was there already, issued since then, with a key that the CA has."""
    begin = since.replace(microsecond=0) - BACKDATE  # as `Validity` begins
    return tuple(
        certified
        for certified in plan.present
        if certified.key_held and certified.certificate.not_valid_before_utc >= begin
    )
