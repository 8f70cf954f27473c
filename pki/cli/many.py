"""`smimegw-ca issue --from-ldap`: certificates for everybody whom a search finds."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import click
from click._termui_impl import ProgressBar
from cryptography.hazmat.primitives.serialization import Encoding

from pki import bulk, export, files, opening, people, shared_plan
from pki.bulk import Delivered, Plan, Wanted
from pki.certified import Certified
from pki.cli.handing import Output, describe
from pki.cli.program import WARNINGS
from pki.cli.shell import Shell
from pki.home import Home
from pki.serial_numbers import serial_text
from pki.workbench import Parcel, Workbench

_BEGUN = ".begun"  # in the folder of files: when the run began that fills it
NOWHERE = Output(directory=None, passphrase=b"", legacy=False)
_SHOWN = 20  # of those left out; --json and the count tell the rest


@dataclass(slots=True)
class _Tally:
    """What came of it."""

    issued: int = 0
    written: int = 0
    refused: list[str] = field(default_factory=list)


def issue_many(
    shell: Shell,
    ldap_filter: str,
    wanted: Wanted,
    output: Output,
    *,
    processes: int,
    dry_run: bool = False,
) -> None:
    """Search, show the plan, issue, hand out; where two persons decide, file or approve first.

    Raises:
        DirectoryError: The directory does not answer.
        UsageError: Nobody confirmed.
        BusyError: The disk does not take it; repeating goes on from there.
    """
    opening.require(shell.directory)
    with opening.reading(shell.directory) as opened:
        plan = _plan(opened, ldap_filter, wanted, shell)
    _show(plan, shell, everything=dry_run)
    if dry_run:
        shell.talk("Nothing was issued.")
        return
    passphrase = shell.passphrase()
    if plan.orders:
        shell.confirm(f"Issue {len(plan.orders)} certificates?")
    with opening.changing(shell.directory, now=shell.now) as opened:
        # once more: what another process issued meanwhile is left out
        plan = _plan(opened, ldap_filter, wanted, shell)
        if opened.settings.practice.second_person:
            plan = _share(opened, plan, wanted, shell)
        tally = _run(opened, plan, output, shell, passphrase, processes)
    for line in tally.refused:
        shell.warn(line)
    shell.talk(f"{tally.issued} certificates issued, {tally.written} .p12 files written")
    if plan.skipped or tally.refused:
        click.get_current_context().exit(WARNINGS)
    shell.suggest("smimegw-ca publish --ldap URL …   or   --embedded FILE")


def processes_by_default() -> int:
    """One process for each processor."""
    return os.cpu_count() or 1


def _share(opened: Home, plan: Plan, wanted: Wanted, shell: Shell) -> Plan:
    shared = shared_plan.share(opened, plan, wanted, now=shell.now)
    if shared.waiting:
        shell.talk(
            f"{shared.filed} requests filed. {shared.waiting} wait for another operator, who types "
            "the same command."
        )
    return shared.plan


def _plan(opened: Home, ldap_filter: str, wanted: Wanted, shell: Shell) -> Plan:
    with people.People.open(opened.settings.practice) as directory:
        return bulk.make_plan(opened, directory.search(ldap_filter), wanted, now=shell.now)


def _show(plan: Plan, shell: Shell, *, everything: bool) -> None:
    shell.talk(f"Plan: {bulk.described(plan)}")
    shown = plan.skipped if everything else plan.skipped[:_SHOWN]
    for line in shown:
        shell.warn(f"skipped: {line}")
    if len(shown) < len(plan.skipped):
        shell.warn(f"and {len(plan.skipped) - len(shown)} more; --dry-run shows them all")
    if everything:
        for order in plan.orders:
            shell.answer(
                f"<{order.mailbox}>  {order.profile}",
                kind="plan",
                action="issue",
                mailbox=order.mailbox.address,
                profile=order.profile.value,
                name=order.name,
            )


def _run(
    opened: Home, plan: Plan, output: Output, shell: Shell, passphrase: bytes, processes: int
) -> _Tally:
    issuer = opened.issuer(opened.issuing, passphrase)
    tally = _Tally()
    left = _left_over(plan, output, shell.now)
    with (
        Workbench(issuer.certificate, passphrase=passphrase, processes=processes) as bench,
        _progress(shell, len(plan.orders) + len(left)) as bar,
    ):
        made = bulk.issue(opened, issuer, plan, bench, now=shell.now, refused=tally.refused)
        delivered = _counted(made, tally)
        everything = _chained(_again(opened, left), delivered)
        for certified, name in _written(opened, everything, output, bench):
            tally.written += bool(name)
            if bar.hidden or not sys.stdout.isatty():  # answers would tear the bar to pieces
                shell.answer(
                    serial_text(certified.serial),
                    **describe(certified, shell),
                    files={"p12": name} if name else {},
                )
            bar.update(1)
    return tally


def _counted(made: Iterable[Delivered], tally: _Tally) -> Iterator[Delivered]:
    for item in made:
        tally.issued += 1
        yield item


def _chained(*parts: Iterable[Delivered]) -> Iterator[Delivered]:
    for part in parts:
        yield from part


def _again(opened: Home, left: Iterable[Certified]) -> Iterator[Delivered]:
    for certified in left:
        sealed = opened.key_path(certified.serial).read_bytes()
        yield Delivered(certified=certified, sealed=sealed)


def _written(
    opened: Home, delivered: Iterable[Delivered], output: Output, bench: Workbench
) -> Iterator[tuple[Certified, str]]:
    folder = output.directory
    if folder is None:
        for item in delivered:
            yield item.certified, ""
        return
    order: deque[Certified] = deque()

    def parcels() -> Iterator[Parcel]:
        for item in delivered:
            order.append(item.certified)
            yield _parcel(opened, item, output)

    for octets in bench.pack(parcels()):
        certified = order.popleft()
        path = folder / f"{export.file_name(certified)}.p12"
        files.replace(path, octets, mode=files.PRIVATE)
        yield certified, str(path)


def _parcel(opened: Home, item: Delivered, output: Output) -> Parcel:
    mailbox = export.require_key(item.certified)
    return Parcel(
        name=mailbox.address,
        sealed=item.sealed,
        certificate=item.certified.der,
        above=tuple(
            above.public_bytes(Encoding.DER) for above in export.issuers(opened, item.certified)
        ),
        passphrase=output.passphrase_for(mailbox, item.certified.name),
        legacy=output.legacy,
        one_time=output.sheets is not None,
    )


def _left_over(plan: Plan, output: Output, now: datetime) -> tuple[Certified, ...]:
    """What a run that was killed issued and did not write into this folder."""
    if output.directory is None:
        return ()
    begun = output.directory / _BEGUN
    if not begun.exists():
        files.write_new(begun, now.isoformat().encode())
    since = datetime.fromisoformat(begun.read_text())
    return tuple(
        certified
        for certified in bulk.issued_since(plan, since)
        if not (output.directory / f"{export.file_name(certified)}.p12").exists()
    )


def _progress(shell: Shell, length: int) -> ProgressBar[int]:
    hidden = shell.quiet or shell.json or not sys.stderr.isatty()
    return click.progressbar(
        length=length, label="Issuing", file=sys.stderr, hidden=hidden, show_pos=True
    )
