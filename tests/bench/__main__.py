"""Measure, and write the page docs/performance.md and its plot.

python -m tests.bench                       everything; an hour on a quiet machine
python -m tests.bench core paths --rounds 3
python -m tests.bench page                  only write the page from what was measured last
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import core, directory, hour, issue, large, paths, publish, stages, start
from tests.bench.middles import needed
from tests.bench.page import write_page

DOCS = Path(__file__).resolve().parents[2] / "docs"
_KEPT = DOCS / "performance.json"
_NAMES = ("core", "paths", "large", "start", "directory", "issue", "publish", "hour", "stages")


def main() -> int:
    """Measure the subjects that are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subjects", nargs="*", help=f"of {', '.join(_NAMES)}, page")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="about, of one run")
    parser.add_argument("--minutes", type=float, default=15.0, help="of the customer's hour")
    parser.add_argument("--people", type=int, default=13_000, help="to issue and publish for")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large directory")
    options = parser.parse_args()
    subjects: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "core": lambda: core.measure(options.rounds, options.seconds),
        "paths": lambda: paths.measure(options.rounds, options.seconds),
        "large": large.measure,
        "start": lambda: start.measure(options.rounds),
        "directory": lambda: directory.measure((13_000, options.entries)),
        "issue": lambda: issue.measure(options.people),
        "publish": lambda: publish.measure(options.people),
        "hour": lambda: hour.measure(options.minutes),
        "stages": lambda: stages.measure(options.seconds),
        "page": list,
    }
    if unknown := set(options.subjects) - set(subjects):
        parser.error(f"nothing is known of {', '.join(sorted(unknown))}")
    needed()
    _with_bytecode()
    figures = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
    for name in options.subjects or subjects:
        if rows := subjects[name]():
            figures[name] = {"measured": _here(), "rows": rows}
            _KEPT.write_text(json.dumps(figures, indent=1) + "\n")
    write_page(figures, DOCS)
    return 0


def _with_bytecode() -> None:
    """Let programs start as installed ones do, which have their modules compiled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "smimegw-bench-bytecode")


def _here() -> str:
    """When, and on what."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    processors = f"{os.cpu_count()} × {', '.join(sorted(models)) or platform.machine()}"
    load = os.getloadavg()[2]
    python = platform.python_version()
    return f"{datetime.now(UTC):%Y-%m-%d}, {processors}, Python {python}, load {load:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
