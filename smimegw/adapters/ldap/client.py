"""Searches in a directory of several servers, off the event loop, with fail-over and a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.connection import Entry, LDAPConnection
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.config.choices import Absence
from smimegw.errors import DirectoryError

_THREADS = 8  # questions at once; more wait, which their deadline bounds
_REST_SECONDS = 30.0  # a server that failed is asked last for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search: below *base*, subtree.

    Attributes:
        base: Where it begins.
        filter: What it finds.
        wanted: What it is for: an answer without a value of these says that there is none.
        attributes: All that are asked for.
        size_limit: Of entries.
    """

    base: str
    filter: str
    wanted: tuple[str, ...]
    attributes: tuple[str, ...]
    size_limit: int

    def has_values(self, entries: Iterable[Entry]) -> bool:
        """Whether *entries* hold any of what it is for."""
        return any(entry.attributes.get(name.lower()) for entry in entries for name in self.wanted)


class LDAPClient:
    """Keeps bound connections to the servers of one directory.

    The servers are asked in their order.  Each gets its share of the deadline, so one that hangs
    (accepts and never answers) costs a part of it and the next one still has time.
    """

    def __init__(self, settings: LDAPSettings) -> None:
        self._settings = settings
        self._servers = tuple(_ServerState(server, settings) for server in settings.servers)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"ldap-{settings.name}")

    async def search(self, search: Search) -> tuple[Entry, ...]:
        """Return the matching entries of the first server that answers.

        An answer without values counts as far as `LDAPSettings.absence` lets it: a copy that lags
        behind does not know yet what was published a moment ago (RFC 4533, 1.3).

        Raises:
            DirectoryError: None did; the text says for each why.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.deadline_seconds
        absence = self._settings.absence
        servers = sorted(self._servers, key=lambda state: state.is_resting)
        failures: list[DirectoryError] = []
        absent: tuple[Entry, ...] | None = None
        for position, state in enumerate(servers):
            if absent is not None and absence is Absence.REACHABLE and state.is_resting:
                break  # it and those behind it failed a moment ago
            share = (end - loop.time()) / (len(servers) - position)
            try:
                entries = await self._ask(state, search, share)
            except DirectoryError as error:
                failures.append(error)
                continue
            if absence is Absence.ONE or search.has_values(entries):
                return entries
            absent = entries if absent is None else absent
        if absent is not None and not (failures and absence is Absence.ALL):
            return absent
        raise self._failure(failures)

    def _failure(self, failures: Sequence[DirectoryError]) -> DirectoryError:
        if len(failures) == 1:
            return failures[0]
        return DirectoryError(
            "; ".join(str(failure) for failure in failures),
            server=" ".join(str(server) for server in self._settings.servers),
            retryable=any(failure.retryable for failure in failures),
        )

    async def close(self) -> None:
        """Close the connections and end the threads."""
        for state in self._servers:
            state.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, state: _ServerState, search: Search, seconds: float) -> tuple[Entry, ...]:
        attempt = Attempt(seconds)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, state.search, search, attempt)
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await working
        except TimeoutError:
            state.rest()
            text = (
                f"{state.server} did not answer within {seconds:.1f} s; "
                "is it overloaded, hanging, or a firewall in between?"
            )
            raise DirectoryError(text, server=str(state.server)) from None
        finally:
            if not working.done() or working.cancelled():
                attempt.abort()


class _ServerState:
    """One server with its idle connections; called from the threads."""

    def __init__(self, server: LDAPServer, settings: LDAPSettings) -> None:
        self.server = server
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[LDAPConnection] = []
        self._closed = False
        self._rests_until = 0.0

    @property
    def is_resting(self) -> bool:
        """It failed a moment ago and others should be asked first."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Remember that it failed."""
        self._rests_until = time.monotonic() + _REST_SECONDS

    def search(self, search: Search, attempt: Attempt) -> tuple[Entry, ...]:
        """Ask on an idle connection, or on a new one when there is none or it went stale."""
        connection = self._take()
        if connection:
            try:
                return self._use(connection, search, attempt)
            except DirectoryError:
                if not connection.broken or attempt.is_over:
                    raise
            # The server closed it while it was idle (restart, idle time-out): all others are as
            # old, and one fresh connection shows whether the server is there.
            self._close_idle()
        try:
            connection = LDAPConnection.open(self.server, self._settings, attempt)
        except DirectoryError:
            self.rest()
            raise
        return self._use(connection, search, attempt)

    def close(self) -> None:
        """Close what is idle, and what is in use when it comes back."""
        self._closed = True
        self._close_idle()

    def _use(
        self, connection: LDAPConnection, search: Search, attempt: Attempt
    ) -> tuple[Entry, ...]:
        attempt.watch(connection.raw)
        try:
            entries = connection.search(
                search.base,
                search.filter,
                search.attributes,
                attempt,
                size_limit=search.size_limit,
            )
            self._rests_until = 0.0
            return entries
        except DirectoryError:
            if connection.broken:
                self.rest()
            raise
        finally:
            attempt.release()
            self._give_back(connection, attempt)

    def _take(self) -> LDAPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: LDAPConnection, attempt: Attempt) -> None:
        with self._lock:
            usable = not (connection.broken or attempt.aborted or self._closed)
            if usable and len(self._idle) < _THREADS:
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            connections, self._idle = self._idle, []
        for connection in connections:
            connection.close()


def both_spellings(attributes: Sequence[str]) -> tuple[str, ...]:
    """Each attribute with and without ``;binary``.

    QUIRK 2026-11 OpenLDAP: ``userCertificate`` exists with the option only (RFC 4523, 2.1), while
    a search that asks for ``userSMIMECertificate;binary`` silently returns nothing.
    """
    return tuple(name for attribute in attributes for name in (f"{attribute};binary", attribute))
