"""The keystore of a gateway that holds no key: every use is asked of the key agent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.peer import Peer, owners_of, peer_of
from smimegw.adapters.agent.protocol import Message, ProtocolError, octets, octets_of
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.key_encryption_algorithms import KeyTransport
from smimegw.cms.keys import AgreementKey, DecryptionCredential, SigningCredential
from smimegw.errors import CertificateError, KeystoreError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import Certificate

T = TypeVar("T")

_THREADS = 4
_MOST_IDLE = 8
_KEPT_CERTIFICATES = 1024  # parsing costs more than asking


class AgentLink:
    """Connections to the agent; safe to use from several threads.

    Args:
        path: Its socket.
        deadline_seconds: For one question.
        owners: Users whose process it may be; by default those of `owners_of`.
    """

    def __init__(
        self, path: Path, deadline_seconds: float, owners: frozenset[int] | None = None
    ) -> None:
        self.path = path
        self._owners = owners
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []

    def ask(self, question: Message) -> Message:
        """Return the agent's answer.

        Raises:
            KeystoreError: It is not there, too slow, or speaks nonsense; or that is its answer.
            DecryptionError, UnsupportedAlgorithmError: That is its answer.
        """
        deadline = time.monotonic() + self._deadline_seconds
        try:
            framed = protocol.encode(question, protocol.QUESTION_OCTETS)
            answer = protocol.decode(self._answer(framed, deadline))
            error = protocol.read_error(answer, str(self.path))
        except TimeoutError:
            raise self._failed(
                f"did not answer within {self._deadline_seconds:.0f} s; is it overloaded, or its"
                " disk or token hanging?"
            ) from None
        except OSError as exc:
            raise self._failed(
                f"cannot be asked: {exc.strerror or exc}; is smimegw-key-agent.service running, and"
                " is this user one of keystore.agent_users?"
            ) from exc
        except ProtocolError as exc:
            raise self._failed(
                f"speaks nonsense ({exc}); is it of the same version as the gateway?"
            ) from exc
        if error is not None:
            raise error
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _answer(self, framed: bytes, deadline: float) -> bytes:
        """On a kept connection; on a new one if that was closed meanwhile (agent restarted)."""
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            with contextlib.suppress(ConnectionError, EOFError):
                return self._exchange(kept, framed, deadline)
            self.close()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(str(self.path))
            self._know(peer_of(connection))
        except BaseException:
            connection.close()
            raise
        try:
            return self._exchange(connection, framed, deadline)
        except EOFError:
            raise ConnectionAbortedError("it closed the connection") from None

    def _know(self, peer: Peer) -> None:
        """Send nothing to an impostor: what it answers would be believed."""
        owners = self._owners if self._owners is not None else owners_of(self.path)
        if peer.user not in owners:
            raise self._failed(
                f"is served by user {peer.user} (process {peer.process}), who is not the owner of"
                f" {self.path.parent}; let the agent's own user own that directory, and nobody"
                " else write to it"
            )

    def _exchange(self, connection: socket.socket, framed: bytes, deadline: float) -> bytes:
        try:
            connection.settimeout(_left(deadline))
            connection.sendall(framed)
            header = _receive(connection, protocol.HEADER_OCTETS, deadline)
            length = protocol.body_length(header, protocol.ANSWER_OCTETS)
            body = _receive(connection, length, deadline)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return body
        connection.close()
        return body

    def _failed(self, what: str) -> KeystoreError:
        return KeystoreError(f"key agent {self.path} {what}", server=str(self.path))


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A key that the agent holds; both a `SigningKey` and a `DecryptionKey`."""

    _link: AgentLink = field(repr=False)
    identifier: str

    def sign(self, data: bytes, scheme: SignatureScheme, digest: DigestAlgorithm) -> bytes:
        """See `SigningKey.sign`."""
        question = {"scheme": scheme.value, "digest": digest.value, "data": octets(data)}
        return self._ask("sign", question)

    def decrypt(self, encrypted_key: bytes, transport: KeyTransport) -> bytes:
        """See `DecryptionKey.decrypt`."""
        question = {
            "transport": protocol.write_transport(transport),
            "encrypted_key": octets(encrypted_key),
        }
        return self._ask("decrypt", question)

    def exchange(self, peer_public_key: AgreementKey) -> bytes:
        """See `DecryptionKey.exchange`."""
        peer = peer_public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self._ask("exchange", {"peer": octets(peer)})

    def _ask(self, what: str, question: Message) -> bytes:
        answer = self._link.ask({"do": what, "key": self.identifier, **question})
        return _read(lambda: octets_of(answer, "octets"), self._link)


class AgentKeystore:
    """Implements `ports.Keystore` on a key agent; the arguments are those of `AgentLink`."""

    def __init__(
        self,
        path: Path,
        *,
        deadline_seconds: float = DEFAULT_LIMITS.lookup_seconds,
        owners: frozenset[int] | None = None,
    ) -> None:
        self._link = AgentLink(path, deadline_seconds, owners)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="agent")

    @property
    def path(self) -> Path:
        """The agent's socket."""
        return self._link.path

    async def signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        """Return the signing credentials of *mailbox*, newest notBefore first; () when none.

        Raises:
            KeystoreError: Locked, or the agent does not answer.
        """
        answer = await self._ask({"do": "signing-credentials", "mailbox": mailbox.address})
        return tuple(
            SigningCredential(certificate, chain, key)
            for certificate, chain, key in self._credentials(answer)
        )

    async def decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        """Return the credentials of *owners* that one of *identifiers* names; () when none.

        Raises:
            KeystoreError: Locked, or the agent does not answer.
        """
        question = {
            "do": "decryption-credentials",
            "identifiers": protocol.write_identifiers(identifiers),
            "owners": [owner.address for owner in owners],
        }
        answer = await self._ask(question)
        return tuple(
            DecryptionCredential(certificate, key)
            for certificate, _, key in self._credentials(answer)
        )

    async def check(self) -> None:
        """Make sure that the agent answers and its keystore opens.

        Raises:
            KeystoreError: It does not.
        """
        await self._ask({"do": "check"})

    async def close(self) -> None:
        """Close the connections."""
        self._link.close()
        self._threads.shutdown(wait=False)

    async def _ask(self, question: Message) -> Message:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._link.ask, question)

    def _credentials(
        self, answer: Message
    ) -> list[tuple[Certificate, tuple[Certificate, ...], AgentKey]]:
        def read() -> list[tuple[Certificate, tuple[Certificate, ...], AgentKey]]:
            found = []
            for entry in protocol.list_of(answer, "credentials", dict):
                encoded = protocol.list_of(entry, "certificates", str)
                certificate, *chain = map(_certificate, encoded)
                key = AgentKey(self._link, protocol.text_of(entry, "key"))
                found.append((certificate, tuple(chain), key))
            return found

        return _read(read, self._link)


def _read(read: Callable[[], T], link: AgentLink) -> T:
    try:
        return read()
    except (ProtocolError, CertificateError, ValueError) as exc:
        raise KeystoreError(
            f"key agent {link.path} speaks nonsense; is it of the same version as the gateway?",
            server=str(link.path),
        ) from exc


@lru_cache(maxsize=_KEPT_CERTIFICATES)
def _certificate(encoded: str) -> Certificate:
    return Certificate.parse(octets_of({"certificate": encoded}, "certificate"))


def _receive(connection: socket.socket, length: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        connection.settimeout(_left(deadline))
        part = connection.recv(length - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
