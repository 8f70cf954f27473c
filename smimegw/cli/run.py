"""``smimegw run``: the gateway in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smimegw.adapters.systemd.notify import SystemdOverseer
from smimegw.cli.exits import Exit, Failure, exits
from smimegw.cli.options import config_option
from smimegw.config.load import load
from smimegw.config.model import Configuration

if TYPE_CHECKING:
    from smimegw.server import Server


@click.command()
@config_option
@click.option("--check", is_flag=True, help="Load and open everything, then stop.")
@exits
def run(config: Path, check: bool) -> Exit:
    """Start the gateway in the foreground; SIGHUP reloads policy and trust, SIGTERM drains.

    \b
    Examples:
      smimegw run
      smimegw run -c ./smimegw.toml --check
    """
    configuration = load(config)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # private keys and mail are in memory
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if configuration.gateway.processes > 1 and not check:
            runner.run(_supervise(configuration))
        else:
            runner.run(_serve(configuration, check=check))
    return Exit.YES


# Each of the two is imported when it is the one that runs: the supervisor needs a fifth of the
# memory of a process that takes mail.
async def _supervise(configuration: Configuration) -> None:
    with settling():
        supervisor = importlib.import_module("smimegw.supervisor")
    await supervisor.Supervisor(configuration, overseer=SystemdOverseer(os.environ)).run()


async def _serve(configuration: Configuration, *, check: bool) -> None:
    with settling():
        server: Server = importlib.import_module("smimegw.server").Server(
            configuration, overseer=None if check else SystemdOverseer(os.environ)
        )
    if check:
        server.stop("check")
    await server.run()
    if check and server.not_ready:
        raise Failure(f"not ready: {'; '.join(server.not_ready)}", Exit.NOT_ALLOWED)


@contextlib.contextmanager
def settling() -> Iterator[None]:
    """What is made meanwhile is taken for permanent by the garbage collector.

    Looking through all modules and classes takes it 70 ms, in which nobody is served.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where the extra ``fast`` is installed: faster, never needed."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
