"""Measures issuing for a whole company: rate, memory, and what later commands take.

    python -m tests.bench.issue --people 13000 --key p-256

People are made up instead of searched for; everything behind the search is the real thing: keys
in several processes, lint, ledger, files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pki import bulk, founding, opening
from pki.bulk import Wanted
from pki.keys import KeyKind
from pki.people import Person
from pki.profiles import CHOICES
from pki.settings import Settings
from pki.workbench import Workbench
from smimegw.addresses import Mailbox

_KEYS = {KeyKind.P_256: 1, KeyKind.RSA_3072: 13}  # so many times fewer people: keys take long
_PASSPHRASE = b"correct horse battery"
_REPORT_EVERY = 1000
_KIB = 1024


def main() -> None:
    """Print one JSON object."""
    print(json.dumps(_figures(_arguments().parse_args()), indent=2))


def measure(people: int) -> list[dict[str, Any]]:
    """One row for each kind of key; each in a process of its own, whose memory is measured."""
    rows = []
    for kind, fewer in _KEYS.items():
        command = [sys.executable, "-m", "tests.bench.issue", "--people", str(people // fewer)]
        done = subprocess.run([*command, "--key", kind.value], stdout=subprocess.PIPE, check=True)
        rows.append(json.loads(done.stdout))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _figures(asked: argparse.Namespace) -> dict[str, object]:
    """Issue, read again, verify."""
    with tempfile.TemporaryDirectory(prefix="issue-", dir=asked.directory) as folder:
        path = Path(folder) / "ca"
        _found(path)
        return _issue(path, asked) | _read_again(path)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--key", default=KeyKind.P_256.value, choices=[*KeyKind])
    parser.add_argument("--profile", default="mailbox-both", choices=list(CHOICES))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--directory", help="where the CA is made for the time being")
    return parser


def _found(path: Path) -> None:
    plan = founding.Founding(
        name="Bench CA",
        settings=Settings(domains=("corp.example",), organization="Corp", country="DE"),
        key_kind=KeyKind.P_256,
    )
    founding.initialise(path, plan, passphrase=_PASSPHRASE, now=datetime.now(UTC))


def _people(number: int) -> Iterator[Person]:
    for index in range(number):
        address = Mailbox.parse(f"person{index:05}@corp.example")
        yield Person(mailbox=address, name=f"Person {index:05}")


def _issue(path: Path, asked: argparse.Namespace) -> dict[str, object]:
    now = datetime.now(UTC)
    wanted = Wanted(
        profiles=CHOICES[asked.profile],
        key_kind=KeyKind(asked.key),
        days=None,
        operator="bench",
    )
    refused: list[str] = []
    rates: list[float] = []
    began = since = time.perf_counter()
    count = 0
    with opening.changing(path, now=now) as opened:
        issuer = opened.issuer(opened.issuing, _PASSPHRASE)
        plan = bulk.make_plan(opened, _people(asked.people), wanted, now=now)
        with Workbench(
            issuer.certificate, passphrase=_PASSPHRASE, processes=asked.processes
        ) as bench:
            for _ in bulk.issue(opened, issuer, plan, bench, now=now, refused=refused):
                count += 1
                if count % _REPORT_EVERY == 0:
                    rates.append(_REPORT_EVERY / (time.perf_counter() - since))
                    since = time.perf_counter()
                    print(f"{count}: {rates[-1]:.0f}/s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - began
    return {
        "people": asked.people,
        "certificates": count,
        "refused": len(refused),
        "key": asked.key,
        "processes": asked.processes,
        "seconds": round(seconds, 1),
        "certificates_per_second": round(count / seconds, 1),
        "rate_of_each_thousand": [round(rate, 1) for rate in rates],
        "peak_mib": _peak(resource.RUSAGE_SELF),
        "peak_mib_of_a_process": _peak(resource.RUSAGE_CHILDREN),
    }


def _read_again(path: Path) -> dict[str, object]:
    began = time.perf_counter()
    with opening.changing(path, now=datetime.now(UTC)) as opened:
        waited = time.perf_counter() - began
        began = time.perf_counter()
        entries, _ = opened.register.ledger.verify()
        verifying = time.perf_counter() - began
    return {
        "entries": entries,
        "ledger_mib": round((path / "ledger.db").stat().st_size / _KIB / _KIB, 1),
        "seconds_to_open": round(waited, 2),
        "seconds_to_verify": round(verifying, 2),
        "peak_mib_after_reading": _peak(resource.RUSAGE_SELF),
    }


def _peak(who: int) -> int:
    return resource.getrusage(who).ru_maxrss // _KIB


if __name__ == "__main__":
    main()
