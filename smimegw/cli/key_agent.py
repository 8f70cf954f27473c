"""``smimegw key-agent``: the process that holds the keys, so that the gateway holds none."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

import click

from smimegw.adapters.agent.server import AgentSettings, KeyAgent
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.systemd.notify import SystemdOverseer
from smimegw.cli.exits import exits
from smimegw.cli.options import config_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import SmimegwError, UsageError
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
    no private key out.  The gateway with the same keystore.agent holds no key.  Each use is a line
    of its log (key.used).  SIGHUP reads configuration and secrets anew; keys need none.

    \b
    Examples:
      smimegw key-agent
      smimegw key-agent -c /etc/smimegw/key-agent.toml
    """
    opened = _open(config)
    _keep_memory_to_ourselves()
    asyncio.run(_serve(config, opened))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What the configuration says, and the keys that it leads to."""

    configuration: Configuration
    path: Path
    users: frozenset[int]
    keystore: FilesKeystore

    @property
    def text(self) -> str:
        """For `systemctl status` and the log."""
        return f"serving {len(self.keystore.objects())} keys on {self.path}"


def _open(config: Path) -> _Opened:
    configuration = load(config, check_files=False)
    path = configuration.keystore.agent
    if path is None:
        raise UsageError(f"{config} has no keystore.agent; write where its socket is to be")
    users = _users(configuration)
    keystore = files_keystore(configuration)
    keystore.prepare()
    return _Opened(configuration=configuration, path=path, users=users, keystore=keystore)


async def _serve(config: Path, opened: _Opened) -> None:
    await opened.keystore.check()
    log = opened.configuration.log
    events = LoggedEvents(form=log.format, level=log.level)
    agent = KeyAgent(opened.keystore, AgentSettings(path=opened.path, users=opened.users), events)
    stopped, wanted = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, wanted.set)
    await agent.start()
    overseer = SystemdOverseer(os.environ)
    _tell(opened, overseer, events)
    reloading = asyncio.create_task(_reload(config, opened.path, agent, overseer, events, wanted))
    try:
        await stopped.wait()
    finally:
        reloading.cancel()
        await agent.stop()


async def _reload(
    config: Path,
    path: Path,
    agent: KeyAgent,
    overseer: SystemdOverseer,
    events: LoggedEvents,
    wanted: asyncio.Event,
) -> None:
    """At each SIGHUP read the configuration and its secrets anew; a mistake changes nothing."""
    while await wanted.wait():
        wanted.clear()
        try:
            opened = await asyncio.to_thread(_open, config)
            if opened.path != path:
                raise UsageError(
                    f"keystore.agent is another now; restart the agent for {opened.path}"
                )
            await opened.keystore.check()
        except (SmimegwError, OSError) as exc:
            events.emit("agent.reload_failed", text=f"nothing was changed: {exc}")
            continue
        agent.replace(opened.keystore, opened.users)
        _tell(opened, overseer, events)


def _tell(opened: _Opened, overseer: SystemdOverseer, events: LoggedEvents) -> None:
    overseer.ready(Condition(reasons=(opened.text,), policy="", metrics=lambda: b""))
    events.emit("agent.serving", count=len(opened.keystore.objects()), text=str(opened.path))


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
