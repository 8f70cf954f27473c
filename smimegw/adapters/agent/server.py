"""The key agent: holds the keys and uses them for those who may ask, over a Unix socket.

Who asks is known from the kernel (SO_PEERCRED).  What may be asked is to sign, to decrypt a content
key and to agree on a secret; there is no question whose answer is a private key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.protocol import Message, ProtocolError, octets, octets_of, text_of
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.keys import AgreementKey, DecryptionKey, SigningKey
from smimegw.errors import AddressError, DecryptionError, SmimegwError, UsageError
from smimegw.ports import Keystore
from smimegw.x509.certificate import Certificate

_PEER_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7))


class AgentKeys(Keystore, Protocol):
    """The keystore of an agent: its keys are also found by name."""

    def signing_key(self, identifier: str) -> SigningKey:
        """Return the key of that certificate fingerprint, if it may sign.

        Raises:
            KeystoreError: None, or locked.
        """
        ...

    def decryption_key(self, identifier: str) -> DecryptionKey:
        """Return the key of that certificate fingerprint, if it may decrypt.

        Raises:
            KeystoreError: None, or locked.
        """
        ...

    async def check(self) -> None:
        """Open every key.

        Raises:
            KeystoreError: One does not open.
        """
        ...


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
        refused: Told in one sentence whom it sent away and why.
    """

    def __init__(
        self, keys: AgentKeys, settings: AgentSettings, refused: Callable[[str], None]
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._refused = refused
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="use")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            UsageError: Another agent does already, or something else has the socket's name.
            OSError: The socket cannot be made.
        """
        path = self._settings.path
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
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
        self._connections.add(writer)
        try:
            if self._may_ask(writer):
                await self._answer_all(reader, writer)
        except (OSError, EOFError, TimeoutError, ProtocolError) as exc:
            if isinstance(exc, ProtocolError | TimeoutError):
                reason = str(exc) or "a question did not end, or an answer was not read"
                self._refused(f"closed a connection: {reason}")
        finally:
            self._connections.discard(writer)
            writer.close()

    def _may_ask(self, writer: asyncio.StreamWriter) -> bool:
        connection: socket.socket = writer.get_extra_info("socket")
        octets_ = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size
        )
        process, user, _ = _PEER_CREDENTIALS.unpack(octets_)
        if user not in self._settings.users:
            self._refused(f"refused user {user} (process {process}): not in keystore.agent_users")
            return False
        if len(self._connections) > self._settings.connections:
            self._refused(f"refused user {user}: {self._settings.connections} connections are open")
            return False
        return True

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.read(protocol.HEADER_OCTETS):
            async with asyncio.timeout(self._settings.question_seconds):
                if len(header) < protocol.HEADER_OCTETS:
                    header += await reader.readexactly(protocol.HEADER_OCTETS - len(header))
                length = protocol.body_length(header, protocol.QUESTION_OCTETS)
                body = await reader.readexactly(length)
            answer = await self._answer(body)
            async with asyncio.timeout(self._settings.question_seconds):
                writer.write(answer)
                await writer.drain()

    async def _answer(self, body: bytes) -> bytes:
        try:
            answer = await self._do(protocol.decode(body))
            return protocol.encode(answer, protocol.ANSWER_OCTETS)
        except Exception as exc:  # noqa: BLE001 – told to the other side, its kind only
            if not isinstance(exc, SmimegwError):
                self._refused(f"a question ended in a bug of ours: {type(exc).__name__}")
            return protocol.encode(protocol.write_error(exc), protocol.ANSWER_OCTETS)

    async def _do(self, question: Message) -> Message:
        match text_of(question, "do"):
            case "signing-credentials":
                mailbox = _mailbox(text_of(question, "mailbox"))
                signing = await self._keys.signing_credentials(mailbox)
                return _listed((entry.certificate, *entry.chain) for entry in signing)
            case "decryption-credentials":
                identifiers = protocol.read_identifiers(question)
                owners = [_mailbox(text) for text in protocol.list_of(question, "owners", str)]
                reading = await self._keys.decryption_credentials(identifiers, owners)
                return _listed((entry.certificate,) for entry in reading)
            case "check":
                await self._keys.check()
                return {}
            case "sign" | "decrypt" | "exchange":
                loop = asyncio.get_running_loop()
                used = await loop.run_in_executor(self._threads, self._use, question)
                return {"octets": octets(used)}
        raise ProtocolError("a question of an unknown kind")

    def _use(self, question: Message) -> bytes:
        key = text_of(question, "key")
        match question["do"]:
            case "sign":
                data, (scheme, digest) = octets_of(question, "data"), _algorithms(question)
                return self._keys.signing_key(key).sign(data, scheme, digest)
            case "decrypt":
                encrypted_key = octets_of(question, "encrypted_key")
                transport = protocol.read_transport(question)
                return self._keys.decryption_key(key).decrypt(encrypted_key, transport)
            case _:
                peer = _peer(octets_of(question, "peer"))
                return self._keys.decryption_key(key).exchange(peer)


def _listed(certificates: Iterable[tuple[Certificate, ...]]) -> Message:
    return {
        "credentials": [
            {
                "key": path[0].fingerprint.removeprefix("sha256:"),
                "certificates": [octets(certificate.der) for certificate in path],
            }
            for path in certificates
        ]
    }


def _mailbox(text: str) -> Mailbox:
    try:
        return Mailbox.parse(text)
    except AddressError:
        raise ProtocolError("not a mailbox") from None


def _algorithms(question: Message) -> tuple[SignatureScheme, DigestAlgorithm]:
    try:
        return (
            SignatureScheme(text_of(question, "scheme")),
            DigestAlgorithm(text_of(question, "digest")),
        )
    except ValueError:
        raise ProtocolError("an unknown signature scheme or digest") from None


def _peer(octets_: bytes) -> AgreementKey:
    try:
        peer = load_der_public_key(octets_)
    except (ValueError, UnsupportedAlgorithm):
        raise DecryptionError from None
    if not isinstance(peer, AgreementKey):
        raise DecryptionError
    return peer


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
