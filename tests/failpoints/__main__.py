"""Every fault there is as a table: ``python -m tests.failpoints [POINT | ACTION | in | out …]``.

With ``--sink postfix`` a real Postfix takes the mail, and what it delivers is reckoned.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.failpoints.bench import Bench
from tests.failpoints.table import cases_before_postfix, every_case

_WIDTHS = "{:28} {:7} {:3} {:>6} {:5} {:>5} {:>8} {:>7} {:>6} {:>8}  {}"


async def _run(only: list[str], *, postfix: bool) -> int:
    totals: Counter[str] = Counter()
    print(
        _WIDTHS.format(
            "point", "action", "way", "copies", "over", "sent", "restarts", "arrived", "double",
            "in doubt", "flaws",
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="failpoints-") as name:
        async with Bench(Path(name), postfix=postfix) as bench:
            for case in cases_before_postfix() if postfix else every_case():
                way = "in" if case.inbound else "out"
                if only and not {case.point, case.action, way} & set(only):
                    continue
                result = await bench.run(case)
                double = sum(count - 1 for count in result.arrived.values())
                totals.update(
                    cases=1,
                    messages=result.attempts,
                    restarts=result.restarts,
                    recipients=len(case.people),
                    duplicates=double,
                    flaws=len(result.flaws),
                )
                line = _WIDTHS.format(
                    case.point, case.action, way, case.copies,
                    case.protocol, result.attempts, result.restarts,
                    sum(result.arrived.values()), double, len(result.in_doubt),
                    "; ".join(result.flaws) or "-",
                )  # fmt: skip
                print(line, flush=True)
    print("  ".join(f"{name}: {count}" for name, count in totals.items()))
    return 1 if totals["flaws"] else 0


if __name__ == "__main__":
    words = sys.argv[1:]
    before_postfix = words[:2] == ["--sink", "postfix"]
    sys.exit(asyncio.run(_run(words[2 * before_postfix :], postfix=before_postfix)))
