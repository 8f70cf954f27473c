"""Fuzzes one reader for as long as you like: ``python -m tests.fuzz TARGET --minutes 10``.

With the package *atheris* the search is guided by what each input reaches (CPython 3.11 to 3.13);
without it inputs are changed blindly, and many more per second.  Every finding is written to a file
and the search goes on.  A finding is an exception that the target does not promise, or an input
that costs more than a second of processor time.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.fuzz.mutation import mutations

if TYPE_CHECKING:
    from tests.fuzz.target import Target

try:
    import atheris
except ImportError:
    atheris = None

_SLOW_SECONDS = 1.0
_LONGEST = 8192


class Run:
    """Counts what was tried and keeps what was found."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.tried = 0
        self.slowest = 0.0
        self.found: set[tuple[str, str]] = set()
        self._folder = folder

    def try_input(self, octets: bytes) -> None:
        """Read one input; a finding is kept once for each line it comes from."""
        self.tried += 1
        before = time.process_time()
        fault = self.target.fault_of(octets)
        seconds = time.process_time() - before
        self.slowest = max(self.slowest, seconds)
        if fault is not None:
            self._keep(fault.kind, fault.place, octets, fault.text)
        elif seconds > _SLOW_SECONDS:
            self._keep("slow", "", octets, f"{seconds:.1f} s for {len(octets)} octets\n")

    def _keep(self, kind: str, place: str, octets: bytes, text: str) -> None:
        if (kind, place) in self.found:
            return
        self.found.add((kind, place))
        name = f"{self.target.name}-{kind}-{hashlib.sha256(octets).hexdigest()[:12]}"
        path = self._folder / name
        path.write_bytes(octets)
        print(f"FINDING {kind} {place}: {path}\n{text}", flush=True)

    def summary(self, minutes: float) -> str:
        """One line for people."""
        return (
            f"{self.target.name}: {minutes:.1f} minutes, {self.tried:,} inputs,"
            f" {len(self.found)} findings, slowest {self.slowest:.2f} s"
        )


def _blindly(run: Run, seeds: tuple[bytes, ...], minutes: float) -> None:
    end = time.monotonic() + 60 * minutes
    number = 0
    while time.monotonic() < end:
        number += 1
        for octets in mutations(seeds, run.target.words, Random(number), 1000):
            run.try_input(octets[:_LONGEST])


def _guided(run: Run, seeds: tuple[bytes, ...], minutes: float, corpus: Path) -> None:
    end = time.monotonic() + 60 * minutes

    def try_input(octets: bytes) -> None:
        run.try_input(octets)
        if time.monotonic() > end:
            # libFuzzer does not return, and ends the process without Python's own ending
            print(run.summary(minutes), flush=True)
            os._exit(1 if run.found else 0)

    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    dictionary = corpus.with_suffix(".words")
    dictionary.write_text("".join(f'"{_quoted(word)}"\n' for word in run.target.words))
    arguments = [
        sys.argv[0],
        f"-max_len={_LONGEST}",
        "-timeout=60",
        "-rss_limit_mb=1500",
        "-print_final_stats=0",
        "-verbosity=0",
        f"-dict={dictionary}",
        f"-artifact_prefix={corpus.parent}/",
        str(corpus),
    ]
    atheris.Setup(arguments, try_input)
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def _catalogue() -> dict[str, Target]:
    instrument: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    if atheris is not None:
        instrument = lambda: atheris.instrument_imports(include=["smimegw"])  # noqa: E731
    with instrument():
        from tests.fuzz.catalogue import TARGETS
    return TARGETS


def main() -> int:
    """Run one target; exit code 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="a name, or 'list'")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=Path, help="folder with more good inputs")
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="for findings and corpus")
    parser.add_argument("--blind", action="store_true", help="without atheris, though it is there")
    parser.add_argument("--input", help="read only this: a file, or base64 as a test printed it")
    given = parser.parse_args()
    targets = _catalogue()
    if given.target not in targets:
        print("\n".join(targets))
        return 0 if given.target == "list" else 2
    target = targets[given.target]
    given.folder.mkdir(parents=True, exist_ok=True)
    run = Run(target, given.folder)
    if given.input:
        file = Path(given.input)
        run.try_input(file.read_bytes() if file.is_file() else base64.b64decode(given.input))
        print(run.summary(0))
        return 1 if run.found else 0
    more = [path.read_bytes() for path in sorted(given.seeds.iterdir())] if given.seeds else []
    seeds = (*target.seeds, *more)
    if atheris is None or given.blind:
        _blindly(run, seeds, given.minutes)
        print(run.summary(given.minutes))
        return 1 if run.found else 0
    corpus = given.folder / f"corpus-{target.name}"
    corpus.mkdir(exist_ok=True)
    _guided(run, seeds, given.minutes, corpus)
    return 0  # not reached


if __name__ == "__main__":
    sys.exit(main())
