"""Reads policy, trust, senders and TLS certificates again and takes them into use as a whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from smimegw.adapters.files.settings import read_settings
from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.tls import forget_contexts
from smimegw.config.model import Configuration
from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError, Problem
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.settings import Settings
from smimegw.policy.model import Policy
from smimegw.ports import Events
from smimegw.sessions import listener_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """What the files say now."""

    policy: Policy
    settings: Settings
    contexts: dict[str, ssl.SSLContext | None]


class Reloading:
    """Puts into the running *gateway* what an administrator has changed.

    Args:
        configuration: Where the files are; it is not read again itself.
        policies: The folder whose policy is in use.
        gateway: Gets policy and settings.
        listeners: Get their TLS certificates.
        events: Told of the result.
    """

    def __init__(
        self,
        configuration: Configuration,
        policies: PolicyFolder,
        gateway: Gateway,
        listeners: Sequence[Listener],
        events: Events,
    ) -> None:
        self._configuration = configuration
        self._policies = policies
        self._gateway = gateway
        self._listeners = listeners
        self._events = events

    async def take_anew(self) -> None:
        """Take what is read into use as a whole; a broken edit keeps everything old (R-15)."""
        fresh, problems = await asyncio.to_thread(self._read)
        if problems:
            self._events.emit(
                "policy.reload_failed",
                problems=len(problems),
                text="; ".join(str(problem) for problem in problems),
                code="R-15",
            )
            return
        self._gateway.policy, self._gateway.settings = fresh.policy, fresh.settings
        for listener in self._listeners:
            listener.use_tls(fresh.contexts[listener.settings.name])
        forget_contexts()
        self._events.emit(
            "policy.reloaded",
            digest=fresh.policy.digest[:12],
            rules=len(fresh.policy.rules),
            cases=len(fresh.policy.cases),
        )

    def _read(self) -> tuple[_Fresh, tuple[Problem, ...]]:
        problems: tuple[Problem, ...] = ()
        settings = self._gateway.settings
        contexts: dict[str, ssl.SSLContext | None] = {}
        try:
            settings = read_settings(self._configuration)
        except ConfigurationError as exc:
            problems = exc.problems
        for name, listener in self._configuration.listener.items():
            try:
                contexts[name] = listener_settings(name, listener, self._configuration).tls
            except ConfigurationError as exc:
                problems += exc.problems
        policy, policy_problems = self._policies.reload()
        fresh = _Fresh(policy=policy, settings=settings, contexts=contexts)
        return fresh, problems + policy_problems
