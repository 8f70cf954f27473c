"""Forks a gateway for every line it reads: imported once, a process costs a few milliseconds.

``python -m tests.failpoints.zygote`` reads ``{"config", "plan", "seen", "log"}`` as JSON lines and
answers each with the process id; whoever sends the lines kills the processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from smimegw import failpoints
from smimegw.config.load import load
from smimegw.errors import SmimegwError
from smimegw.server import Server


def _gateway(order: dict[str, str]) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    failpoints.arm(order["plan"], order["seen"])

    async def serve() -> None:
        await Server(load(Path(order["config"]))).run()

    try:
        asyncio.run(serve())
    except SmimegwError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(4)
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _gateway(json.loads(line))
        print(child, flush=True)


if __name__ == "__main__":
    main()
