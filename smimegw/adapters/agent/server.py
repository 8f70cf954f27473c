"""The key agent: holds the keys and uses them for those who may ask, over a Unix socket.

Who asks is known from the kernel; what may be asked stands in `answering`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.answering import AgentKeys, answer_to
from smimegw.adapters.agent.peer import Peer, peer_of
from smimegw.adapters.agent.protocol import ProtocolError
from smimegw.errors import SmimegwError, UsageError
from smimegw.ports import Events


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How an agent serves.

    Attributes:
        path: The socket.
        users: User ids that may ask.
        threads: How many keys are used at once.
        connections: How many connections are open at once.
        question_seconds: From the first octet of a question to its last.
    """

    path: Path
    users: frozenset[int]
    threads: int = 4
    connections: int = 256
    question_seconds: float = 10.0


class KeyAgent:
    """Serves one keystore.

    Args:
        keys: What it holds.
        settings: Where and for whom.
        events: Hears of every use of a key, and whom it sent away and why.
    """

    def __init__(self, keys: AgentKeys, settings: AgentSettings, events: Events) -> None:
        self._keys = keys
        self._settings = settings
        self._users = settings.users
        self._events = events
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="use")
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, Peer] = {}

    def replace(self, keys: AgentKeys, users: frozenset[int]) -> None:
        """Serve *keys* from the next question on, and nobody but *users*."""
        self._keys, self._users = keys, users
        for writer, peer in tuple(self._connections.items()):
            if peer.user not in users:
                writer.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            UsageError: Another agent does already, something else has the socket's name, or it
                cannot be made.
        """
        path = self._settings.path
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(listening, path)
            # Who may ask is decided by user id, so that no group has to be kept for it.
            path.chmod(0o666)
            self._server = await asyncio.start_unix_server(self._serve, sock=listening)
        except BaseException:
            listening.close()
            raise

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._connections):
            writer.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(OSError):
            self._settings.path.unlink()

    # --- one connection --------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        self._connections[writer] = peer
        try:
            if self._may_ask(peer):
                await self._answer_all(reader, writer, peer)
        except (OSError, EOFError, TimeoutError, ProtocolError) as exc:
            if isinstance(exc, ProtocolError | TimeoutError):
                reason = str(exc) or "a question did not end, or an answer was not read"
                self._refused(peer, f"closed a connection: {reason}")
        finally:
            del self._connections[writer]
            writer.close()

    def _may_ask(self, peer: Peer) -> bool:
        if peer.user not in self._users:
            self._refused(peer, "not one of keystore.agent_users")
            return False
        if len(self._connections) > self._settings.connections:
            self._refused(peer, f"{self._settings.connections} connections are open")
            return False
        return True

    def _refused(self, peer: Peer, text: str) -> None:
        self._events.emit("agent.refused", user=peer.user, process=peer.process, text=text)

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        while header := await reader.read(protocol.HEADER_OCTETS):
            async with asyncio.timeout(self._settings.question_seconds):
                if len(header) < protocol.HEADER_OCTETS:
                    header += await reader.readexactly(protocol.HEADER_OCTETS - len(header))
                length = protocol.body_length(header, protocol.QUESTION_OCTETS)
                body = await reader.readexactly(length)
            answer = await self._answer(body, peer)
            async with asyncio.timeout(self._settings.question_seconds):
                writer.write(answer)
                await writer.drain()

    async def _answer(self, body: bytes, peer: Peer) -> bytes:
        def used(key: str, purpose: str) -> None:
            self._events.emit(
                "key.used", user=peer.user, process=peer.process, key_id=key, purpose=purpose
            )

        try:
            question = protocol.decode(body)
            answer = await answer_to(question, self._keys, self._threads, used)
            return protocol.encode(answer, protocol.ANSWER_OCTETS)
        except Exception as exc:  # noqa: BLE001 – told to the other side, its kind only
            if not isinstance(exc, SmimegwError):
                self._refused(peer, f"a question ended in a bug of ours: {type(exc).__name__}")
            return protocol.encode(protocol.write_error(exc), protocol.ANSWER_OCTETS)


def _bind(listening: socket.socket, path: Path) -> None:
    try:
        listening.bind(str(path))
    except OSError as exc:
        raise UsageError(
            f"{path}: the socket cannot be made: {exc.strerror or exc}; keystore.agent names a"
            " place in a directory of the agent's user (RuntimeDirectory= of its unit makes one)"
        ) from exc


def _clear(path: Path) -> None:
    """Take away the socket of an agent that is gone."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(f"{path} is there and is not a socket; see keystore.agent")
    except FileNotFoundError:
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UsageError(f"another key agent serves {path} already")
