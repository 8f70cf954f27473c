"""Runs one gateway process: open, serve, reload on SIGHUP, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import time
from collections.abc import Sequence

from smimegw import __version__
from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.database.care import DatabaseCare
from smimegw.adapters.files.advice import advice
from smimegw.adapters.http.status import StatusServer
from smimegw.adapters.logs.events import LibraryHandler
from smimegw.adapters.smtp.load import LoopLag
from smimegw.app import Assembled, assemble
from smimegw.config.model import Configuration
from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError, JournalError, KeystoreError, Problem
from smimegw.listening import made_listeners
from smimegw.oversight import Condition, Nobody, Overseer
from smimegw.pipeline.admit import Gateway
from smimegw.recovery import recover, take_over
from smimegw.reloading import Reloading

_KEYSTORE_SECONDS = 10.0


class Server:
    """One gateway process: the only one, or a worker under the supervisor.

    Raises at construction what `assemble` and `PolicyFolder.load` raise, so that nothing listens
    before everything was read (R-15).

    Args:
        configuration: What to run.
        worker: Number of this worker from 1; 0 for the only process, which has the status port.
        overseer: Who started it.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        worker: int = 0,
        overseer: Overseer | None = None,
    ) -> None:
        self._configuration = configuration
        self._worker = worker
        self._kind = "worker" if worker else "gateway"
        self._overseer = overseer or Nobody()
        policies = PolicyFolder.configured(configuration.policies)
        policy = policies.load()
        self._assembled: Assembled = assemble(configuration, worker=worker)
        self._events = self._assembled.events
        self._gateway = Gateway(policy, self._assembled.ports, self._assembled.settings)
        self._care = DatabaseCare(
            self._assembled.database,
            configuration.memory.keep,
            events=self._events,
            clock=self._assembled.ports.clock,
            limits=configuration.limits,
        )
        self._lag = LoopLag(configuration.limits, self._events)
        self._listeners = made_listeners(
            configuration,
            self._gateway,
            self._events,
            self._lag,
            self._assembled.ports.spool,
            worker=worker,
        )
        self._reloading = Reloading(
            configuration, policies, self._gateway, self._listeners, self._events
        )
        self._status = self._made_status()
        self._not_ready: list[str] = ["starting"]
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._failure = ""
        self._reload_turn = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()  # a task that nobody holds may be lost

    def _made_status(self) -> StatusServer:
        address = self._configuration.metrics.address
        return StatusServer(
            address.host,
            address.port,
            ready=self._reasons,
            metrics=self._metrics,
            shadow=self._configuration.gateway.shadow,
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            ConfigurationError: A port or the state directory is taken or not ours.
            JournalError: The disk failed while mail was taken.
        """
        began = time.monotonic()
        logging.getLogger().addHandler(LibraryHandler(self._events))
        loop = asyncio.get_running_loop()
        beating = [loop.create_task(self._beat())]
        self._tell_start()
        try:
            await self._care.start()
            await recover(self._assembled, self._fail)
            if self._worker <= 1:
                await take_over(self._assembled, self._configuration.gateway.processes)
            await self._open()
            self._handle_signals()
            self._not_ready = await self._keystore_reasons()
            beating.append(loop.create_task(self._watch_keystore()))
            for reason in self._not_ready:
                self._events.emit("gateway.not_ready", reason=reason)
            seconds = time.monotonic() - began
            self._emit("ready", listeners=tuple(self._addresses()), seconds=seconds)
            self._overseer.ready(self._condition())
            await self._stop.wait()
        finally:
            await self._close()
            for task in beating:
                task.cancel()
        if self._failure:
            raise JournalError(self._failure, fatal=True)

    @property
    def not_ready(self) -> tuple[str, ...]:
        """Why mail that needs a key would wait; empty when all is well."""
        return tuple(self._not_ready)

    def _emit(self, what: str, **values: object) -> None:
        """Tell of this process; a worker says its number."""
        number = {"worker": self._worker} if self._worker else {}
        self._events.emit(f"{self._kind}.{what}", txn="", **number, **values)

    def _tell_start(self) -> None:
        self._emit(
            "started",
            version=__version__,
            hostname=self._assembled.settings.hostname,
            listeners=tuple(self._configuration.listener),
            policy=self._gateway.policy.digest[:12] if self._gateway.policy else "",
        )
        if self._worker > 1:  # the first one says it for all
            return
        anchors = self._assembled.settings.trust.every_anchor
        for sentence in advice(self._configuration, anchors, now=self._assembled.ports.clock.now()):
            self._events.emit("gateway.advice", text=sentence)

    async def _beat(self) -> None:
        """Show that the event loop is alive, as often as somebody wants to see it."""
        while self._overseer.every_seconds:
            try:
                self._overseer.beat(self._condition())
            except Exception as exc:  # noqa: BLE001 – who cannot count is still alive
                self._events.emit("internal.error", error=exc)
            await asyncio.sleep(self._overseer.every_seconds)

    def _condition(self) -> Condition:
        policy = self._gateway.policy
        return Condition(
            reasons=tuple(self._reasons()),
            policy=policy.digest if policy else "",
            metrics=self._metrics,
        )

    def _fail(self, text: str) -> None:
        """The disk lies: nothing more may be accepted (C27)."""
        self._failure = text
        self.stop("journal")

    async def _open(self) -> None:
        status = [] if self._worker else [("metrics.address", self._status.start)]
        for name, start in [
            *status,
            *(
                (f"listener.{entry.settings.name}.address", entry.start)
                for entry in self._listeners
            ),
        ]:
            try:
                await start()
            except OSError as exc:
                hint = "; ss -ltnp shows who has it" if exc.errno == errno.EADDRINUSE else ""
                message = f"cannot be listened on: {exc.strerror or exc}{hint}"
                raise ConfigurationError(
                    (Problem(file="configuration", line=None, key=name, message=message),)
                ) from exc

    def _addresses(self) -> Sequence[str]:
        return [
            f"{entry.settings.name}={entry.settings.host}:{entry.port}" for entry in self._listeners
        ]

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_by, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _stop_by(self, number: signal.Signals) -> None:
        """Drain; the same signal again ends at once, as it does for any program."""
        asyncio.get_running_loop().remove_signal_handler(number)
        self.stop(number.name)

    def stop(self, reason: str) -> None:
        """Begin to drain."""
        self._stop_reason = reason
        self._stop.set()

    def reload(self) -> None:
        """Begin to read policy, trust material and senders again (SIGHUP)."""
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        """One reload, told before and after."""
        async with self._reload_turn:  # so that of two signals the later one has the last word
            self._overseer.reloading()
            try:
                await self._reloading.take_anew()
            except Exception as exc:  # noqa: BLE001 – mail goes on with what it has (R-17)
                self._events.emit("internal.error", error=exc)
            self._overseer.reloaded(self._condition())

    async def _watch_keystore(self) -> None:
        """Ask again where the answer may change by itself: tokens and key agents come and go."""
        while self._not_ready or isinstance(self._assembled.keystore, AgentKeystore):
            await asyncio.sleep(_KEYSTORE_SECONDS)
            self._not_ready = await self._keystore_reasons()

    async def _keystore_reasons(self) -> list[str]:
        try:
            await self._assembled.keystore.check()
        except KeystoreError as exc:
            return [str(exc)]
        return []

    def _reasons(self) -> Sequence[str]:
        if self._stop.is_set():
            return ["draining"]
        trouble = self._assembled.ports.host.trouble()
        of_host = trouble.text if trouble else ""
        reasons = [*self._not_ready, of_host, self._care.trouble, self._lag.trouble]
        return [reason for reason in reasons if reason]

    def _metrics(self) -> bytes:
        self._assembled.metrics.ready(not self._reasons())
        return self._assembled.metrics.exposition()

    async def _close(self) -> None:
        sessions = sum(entry.sessions for entry in self._listeners)
        self._emit("draining", reason=self._stop_reason, sessions=sessions)
        self._overseer.stopping()
        await asyncio.gather(*(entry.drain() for entry in self._listeners))
        await self._status.stop()
        await self._care.stop()
        await self._assembled.close()
        self._emit("stopped", reason=self._stop_reason)
