"""Splits a plan for many people between the two persons that ca.toml wants.

Both type the same command.  Whom nobody asked for yet, gets a request from the first; the second
approves what the first filed, and only that is issued.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pki import approval
from pki.approval import Filing
from pki.bulk import Plan, Wanted
from pki.home import Home
from pki.orders import Order
from pki.requests import Proof, Request, RequestState
from smimegw.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one of the two persons has done.

    Attributes:
        plan: What is to be issued now, each order with its approved request.
        filed: Requests that are new.
        waiting: Requests of the same person, for the other one to approve.
    """

    plan: Plan
    filed: int
    waiting: int


def share(home: Home, plan: Plan, wanted: Wanted, *, now: datetime) -> Share:
    """File what nobody asked for, approve what somebody else did.

    Raises:
        BusyError: The disk does not take it; repeating goes on from there.
    """
    waiting = {
        (request.mailbox.key, request.missing): request
        for request in approval.waiting(home, now=now)
        if request.proof is Proof.CA_MADE
    }
    chosen: list[Order] = []
    skipped: list[str] = list(plan.skipped)
    filed = own = 0
    for orders in _each_person(plan.orders):
        request = waiting.get((orders[0].mailbox.key, tuple(order.profile for order in orders)))
        if request is None:
            filed += _filed(home, orders, wanted, skipped, now=now)
        elif _may_approve(home, request, wanted.operator):
            approval.approve(home, request, operator=wanted.operator, now=now)
            chosen += [_requested(order, request) for order in orders]
        else:
            own += 1
    people = len({order.mailbox.key for order in chosen})
    shared = replace(plan, orders=tuple(chosen), people=people, skipped=tuple(skipped))
    return Share(plan=shared, filed=filed, waiting=own + filed)


def _each_person(orders: Iterable[Order]) -> Iterable[list[Order]]:
    people: dict[str, list[Order]] = {}
    for order in orders:
        people.setdefault(order.mailbox.key, []).append(order)
    return people.values()


def _may_approve(home: Home, request: Request, operator: str) -> bool:
    own = request.requester.casefold() == operator.casefold()
    approved = request.state is RequestState.APPROVED
    return approved or not (own and home.settings.practice.second_person)


def _filed(
    home: Home, orders: list[Order], wanted: Wanted, skipped: list[str], *, now: datetime
) -> int:
    filing = Filing(
        mailbox=orders[0].mailbox,
        profiles=tuple(order.profile for order in orders),
        requester=wanted.operator,
        name=orders[0].name,
        key_kind=wanted.key_kind,
        days=wanted.days or 0,
        owner_known=True,  # he was found there
    )
    try:
        approval.file(home, filing, now=now)
    except UsageError as error:
        skipped.append(f"<{filing.mailbox}>: {error}")
        return 0
    return 1


def _requested(order: Order, request: Request) -> Order:
    # What was asked for counts, not what the second person typed.
    (wanted, *_) = (
        each
        for each in approval.orders_of(request, operator=order.operator)
        if each.profile is order.profile
    )
    return wanted
