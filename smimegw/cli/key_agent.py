"""``smimegw key-agent``: the process that holds the keys, so that the gateway holds none."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import resource
import signal
from pathlib import Path

import click

from smimegw.adapters.agent.server import AgentSettings, KeyAgent
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.systemd.notify import SystemdOverseer
from smimegw.cli.exits import exits
from smimegw.cli.options import config_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import UsageError
from smimegw.keystores import files_keystore
from smimegw.oversight import Condition

_PR_SET_DUMPABLE = 4
_MCL_CURRENT_AND_FUTURE = 3


@click.command("key-agent")
@config_option
@exits
def key_agent(config: Path) -> None:
    """Hold the keys of the configured keystore and use them for the gateway.

    Runs in the foreground under a user of its own and serves the socket keystore.agent for the
    users in keystore.agent_users.  It signs, decrypts content keys and agrees on secrets; it gives
    no private key out.  The gateway with the same keystore.agent holds no key.

    \b
    Examples:
      smimegw key-agent
      smimegw key-agent -c /etc/smimegw/key-agent.toml
    """
    configuration = load(config, check_files=False)
    path = configuration.keystore.agent
    if path is None:
        raise UsageError(f"{config} has no keystore.agent; write where its socket is to be")
    settings = AgentSettings(path=path, users=_users(configuration))
    _keep_memory_to_ourselves()
    keystore = files_keystore(configuration)
    keystore.prepare()
    asyncio.run(_serve(keystore, settings))


async def _serve(keystore: FilesKeystore, settings: AgentSettings) -> None:
    await keystore.check()
    agent = KeyAgent(keystore, settings, lambda text: click.echo(f"key-agent: {text}", err=True))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await agent.start()
    try:
        overseer = SystemdOverseer(os.environ)
        text = f"serving {len(keystore.objects())} keys on {settings.path}"
        overseer.ready(Condition(reasons=(text,), policy="", metrics=lambda: b""))
        click.echo(f"key-agent: {text}", err=True)
        await stopped.wait()
    finally:
        await agent.stop()


def _users(configuration: Configuration) -> frozenset[int]:
    names = configuration.keystore.agent_users
    found = set() if names else {os.geteuid()}
    for name in names:
        try:
            found.add(int(name) if name.isascii() and name.isdigit() else pwd.getpwnam(name).pw_uid)
        except KeyError:
            raise UsageError(f"keystore.agent_users: there is no user {name!r}") from None
    return frozenset(found)


def _keep_memory_to_ourselves() -> None:
    """No core dumps, no debugger of the same user, and where it is allowed no swapping."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # With a small limit locked memory would run out in the middle of work.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        library.mlockall(_MCL_CURRENT_AND_FUTURE)
