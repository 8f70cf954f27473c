"""The program of a worker process; the supervisor starts it and holds the other end of its line."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import resource
import signal
import socket
import sys

from smimegw.adapters.process.channel import (
    LINE_OCTETS,
    Order,
    SupervisorOverseer,
    read_order,
    write_failure,
)
from smimegw.cli.exits import Exit, exit_code_of
from smimegw.cli.run import loop_factory, settling
from smimegw.errors import SmimegwError
from smimegw.server import Server


def main() -> None:
    """Serve as ordered on the inherited socket."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a closed terminal; the word comes by line
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # private keys are in memory
    faulthandler.enable()  # a worker that hangs is asked where, by SIGABRT
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    try:
        order = read_order(connection)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(order, connection.dup()))
    except EOFError:
        code = Exit.CANNOT_TELL
    except SmimegwError as exc:
        code = exit_code_of(exc)
        with contextlib.suppress(OSError):
            write_failure(connection, str(exc), int(code))
    else:
        code = Exit.YES
    sys.exit(int(code))


async def _serve(order: Order, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection, limit=LINE_OCTETS)
    with settling():
        overseer = SupervisorOverseer(writer)
        server = Server(order.configuration, worker=order.worker, overseer=overseer)
    obeying = asyncio.create_task(_obey(reader, server))
    try:
        await server.run()
    finally:
        obeying.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _obey(reader: asyncio.StreamReader, server: Server) -> None:
    """Do what the supervisor says; without one, finish what runs and end."""
    with contextlib.suppress(OSError):
        async for line in reader:
            if line == b"reload\n":
                server.reload()
            elif line == b"stop\n":
                server.stop("supervisor")
    server.stop("the supervisor is gone")


if __name__ == "__main__":
    main()
