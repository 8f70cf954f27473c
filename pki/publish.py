"""Brings a directory to where the ledger is: who may be encrypted to, under which CA, which CRLs.

Publishing says the same thing again each time instead of remembering what it said: every target
does nothing for what it has already.  So an interrupted run is mended by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pki.certified import Certified, Listed
from pki.crl import Delta
from pki.plan import Crossed, Plan
from smimegw.errors import DirectoryError

Item = TypeVar("Item")

_AHEAD = 500  # items that a target hears of before it has to act on them
_IN_A_ROW = 20  # refusals without a success: it is not the entries then


class Target(Protocol):
    """A directory that is written to.  Each method returns whether something changed."""

    def prepare(self, people: Sequence[Certified]) -> None:
        """Learn who comes next, to look them up together."""

    def publish_certificate(self, certified: Certified) -> bool:
        """Let everybody find a person's certificate."""

    def withdraw_certificate(self, certified: Certified) -> bool:
        """Let nobody find it any more; other people's values stay."""

    def publish_authority(self, certified: Certified) -> bool:
        """Let everybody find a CA's certificate."""

    def withdraw_authority(self, certified: Certified) -> bool:
        """Let nobody find it any more."""

    def publish_crossed(self, crossed: Crossed) -> bool:
        """Let everybody find what leads from one CA to another."""

    def publish_crl(self, listed: Listed | Delta) -> bool:
        """Put a CRL in the place of the older one."""

    def close(self) -> None:
        """Free what is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run changed, and what the directory refused."""

    published: int
    withdrawn: int
    authorities: int
    crls: int
    refused: tuple[str, ...]


def carry_out(plan: Plan, target: Target) -> Outcome:
    """Write *plan* to *target*: first what protects, then what is new.

    Raises:
        DirectoryError: The directory does not answer, or refuses one thing after the other; the
            next run goes on from here.
    """
    refused: list[str] = []
    return Outcome(
        crls=_each(plan.crls, target.publish_crl, _crl_text, refused),
        withdrawn=_people(plan.withdraw, target.withdraw_certificate, target, refused),
        authorities=_each(
            plan.withdraw_authorities, target.withdraw_authority, _authority_text, refused
        )
        + _each(plan.authorities, target.publish_authority, _authority_text, refused)
        + _each(plan.crossed, target.publish_crossed, _crossed_text, refused),
        published=_people(plan.publish, target.publish_certificate, target, refused),
        refused=tuple(refused),
    )


def _people(
    people: tuple[Certified, ...],
    act: Callable[[Certified], bool],
    target: Target,
    refused: list[str],
) -> int:
    changed = 0
    for start in range(0, len(people), _AHEAD):
        some = people[start : start + _AHEAD]
        target.prepare(some)
        changed += _each(some, act, _person, refused)
    return changed


def _each(
    items: tuple[Item, ...],
    act: Callable[[Item], bool],
    describe: Callable[[Item], str],
    refused: list[str],
) -> int:
    changed = in_a_row = 0
    for item in items:
        try:
            changed += act(item)
            in_a_row = 0
        except DirectoryError as error:
            if error.retryable:
                raise
            refused.append(f"{describe(item)}: {error}")  # one odd entry must not stop the rest
            in_a_row += 1
            if in_a_row == _IN_A_ROW:
                raise DirectoryError(
                    f"{in_a_row} entries were refused one after the other, the last: {error}",
                    server=error.server,
                ) from error
    return changed


def _person(certified: Certified) -> str:
    return f"<{certified.mailbox}>"


def _authority_text(certified: Certified) -> str:
    return f"CA certificate {certified.name}"


def _crossed_text(crossed: Crossed) -> str:
    return f"cross certificate {crossed.name}"


def _crl_text(listed: Listed | Delta) -> str:
    kind = "delta CRL" if isinstance(listed, Delta) else "CRL"
    return f"{kind} {listed.number} of the {listed.issuer} CA"
