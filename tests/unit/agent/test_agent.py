"""The key agent and its client: who may ask, what goes wrong, and that no key comes out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.agent.peer import owners_of
from smimegw.adapters.agent.protocol import Message
from smimegw.adapters.agent.server import AgentSettings, KeyAgent
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.errors import KeystoreError, UsageError
from tests.fakes.pki import make_ca
from tests.fakes.ports import ListedEvents
from tests.peers.key_agent import RunningAgent

CA = make_ca("Agent CA")
ALICE = CA.issue("alice@ours.example")
SIGNER = CA.issue("bob@ours.example", usage="sign", key="p256")
READER = CA.issue("carol@ours.example", usage="encrypt", key="p256")
Gateway = Callable[..., AgentKeystore]
ADDRESS = Mailbox.parse("alice@ours.example")


@pytest.fixture
def store(tmp_path: Path) -> FilesKeystore:
    """Alice signs and reads, Bob signs, Carol reads."""
    store = FilesKeystore(tmp_path / "keys", KeyEncryptionKey.generate())
    store.prepare()
    for issued in (ALICE, SIGNER, READER):
        store.add(
            KeyMaterial(certificate=issued.certificate, chain=issued.chain, private_key=issued.key)
        )
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket is."""
    return tmp_path / "agent.sock"


@pytest.fixture
def gateway(path: Path) -> Iterator[Gateway]:
    """Makes what a gateway has instead of keys."""
    made: list[AgentKeystore] = []

    def make(**more: Any) -> AgentKeystore:
        made.append(AgentKeystore(path, **more))
        return made[-1]

    yield make
    for asked in made:
        asyncio.run(asked.close())


def _sign(asked: AgentKeystore) -> bytes:
    (credential,) = asyncio.run(asked.signing_credentials(ADDRESS))
    return credential.key.sign(b"data", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256)


def _raw(path: Path, octets: bytes) -> bytes:
    """What the agent answers to any octets."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.connect(str(path))
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                parts.append(part)
    return b"".join(parts)


def _ask(path: Path, **question: object) -> Message:
    answer = _raw(path, protocol.encode(question, protocol.QUESTION_OCTETS))
    return protocol.decode(answer[protocol.HEADER_OCTETS :])


def _identifier(issued: object) -> str:
    return str(issued.certificate.fingerprint.removeprefix("sha256:"))


# --- who may ask ---------------------------------------------------------------------------------


def test_other_users_are_refused(store: FilesKeystore, path: Path, gateway: Gateway) -> None:
    """The kernel says who asks; whoever is not on the list gets nothing (unix(7), SO_PEERCRED)."""
    with RunningAgent(store, path, users=frozenset({os.geteuid() + 1})) as agent:
        with pytest.raises(KeystoreError, match="agent_users"):
            _sign(gateway())
        assert agent.refusals == ["not one of keystore.agent_users"]
        ((_, told),) = agent.told
        assert (told["user"], told["process"]) == (os.geteuid(), os.getpid())


def test_too_many_connections_are_refused(
    store: FilesKeystore, path: Path, gateway: Gateway
) -> None:
    """A client that opens connections without end does not use up the agent."""
    with RunningAgent(store, path, connections=1) as agent:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as first:
            first.connect(str(path))
            first.sendall(protocol.encode({"do": "check"}, 1000))
            assert first.recv(4)
            with pytest.raises(KeystoreError):
                _sign(gateway())
        assert "1 connections are open" in agent.refusals[0]


def test_a_user_who_may_no_longer_ask_is_sent_away(
    store: FilesKeystore, path: Path, gateway: Gateway
) -> None:
    """Taken off the list, he keeps no open connection (T-17)."""
    asked = gateway()
    with RunningAgent(store, path) as agent:
        assert _sign(asked)
        agent.replace(store, frozenset({os.geteuid() + 1}))
        with pytest.raises(KeystoreError, match="agent_users"):
            _sign(asked)


def test_replaced_keys_count_from_the_next_question_on(
    store: FilesKeystore, path: Path, tmp_path: Path, gateway: Gateway
) -> None:
    """A reload takes another keystore, and nobody has to connect anew."""
    asked = gateway()
    with RunningAgent(FilesKeystore(tmp_path, None), path) as agent:
        with pytest.raises(KeystoreError, match="locked"):
            asyncio.run(asked.check())
        agent.replace(store, frozenset({os.geteuid()}))
        assert _sign(asked)


def test_socket_of_another_user_is_not_asked(
    store: FilesKeystore, path: Path, gateway: Gateway
) -> None:
    """Whoever can write to a directory could put a socket of his own there (unix(7))."""
    with RunningAgent(store, path):
        with pytest.raises(KeystoreError, match=f"served by user {os.geteuid()} .*not the owner"):
            _sign(gateway(owners=frozenset({os.geteuid() + 1})))
        assert _sign(gateway())


def test_agent_may_be_of_the_owner_of_its_directory(path: Path) -> None:
    """As systemd makes it; root and the gateway's own user could anyway."""
    assert owners_of(path) == {0, os.geteuid(), path.parent.stat().st_uid}


# --- what is told --------------------------------------------------------------------------------


def _used(agent: RunningAgent) -> list[tuple[object, ...]]:
    return [
        (values["purpose"], values["key_id"], values["user"], values["process"])
        for event, values in agent.told
        if event == "key.used"
    ]


def test_every_signature_is_told(store: FilesKeystore, path: Path, gateway: Gateway) -> None:
    """Who, which key, what for; asking what there is uses none (T-17)."""
    asked = gateway()
    with RunningAgent(store, path) as agent:
        _sign(asked)
        _sign(asked)
        assert _used(agent) == [("sign", _identifier(ALICE), os.geteuid(), os.getpid())] * 2


@pytest.mark.parametrize(
    ("issued", "purpose", "question"),
    [
        (ALICE, "decrypt", {"do": "decrypt", "encrypted_key": "AAAA"}),
        (READER, "agree", {"do": "exchange"}),
    ],
    ids=["decrypt", "agree"],
)
def test_every_attempt_to_open_is_told(
    store: FilesKeystore, path: Path, issued: object, purpose: str, question: Message
) -> None:
    """Before it is known whether it opens (T-17)."""
    spki = READER.certificate.subject_public_key_info
    more = {"transport": [], "peer": protocol.octets(spki)}
    with RunningAgent(store, path) as agent:
        _ask(path, key=_identifier(issued), **question, **more)
        assert [entry[:2] for entry in _used(agent)] == [(purpose, _identifier(issued))]


def test_nothing_of_the_content_is_told(store: FilesKeystore, path: Path, gateway: Gateway) -> None:
    """Neither what was signed nor the signature (T-12)."""
    with RunningAgent(store, path) as agent:
        signature = _sign(gateway())
        (told,) = [values for event, values in agent.told if event == "key.used"]
    assert set(told) == {"user", "process", "key_id", "purpose"}
    assert signature.hex() not in repr(told)


# --- what can be asked ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issued", "question"),
    [
        (SIGNER, {"do": "exchange", "peer": ""}),
        (READER, {"do": "sign", "scheme": "ecdsa", "digest": "sha256", "data": ""}),
    ],
    ids=["signing key decrypts", "decryption key signs"],
)
def test_key_is_used_for_its_purpose_only(
    store: FilesKeystore, path: Path, issued: object, question: Message
) -> None:
    """The agent holds to what the certificate allows, whatever the gateway asks."""
    if question["do"] == "exchange":
        spki = READER.certificate.subject_public_key_info
        question = question | {"peer": protocol.octets(spki)}
    with RunningAgent(store, path):
        answer = _ask(path, key=_identifier(issued), **question)
    assert answer["error"] == "keystore"
    assert "not for this use" in answer["text"]


def test_no_answer_holds_a_private_key(store: FilesKeystore, path: Path) -> None:
    """Whatever is asked, no prime or exponent is in what comes back (cases M01)."""
    numbers = ALICE.key.private_numbers()
    with RunningAgent(store, path):
        answers = [
            _ask(path, do="signing-credentials", mailbox="alice@ours.example"),
            _ask(path, do="check"),
            _ask(path, do="export", key=_identifier(ALICE)),
            _ask(
                path, do="sign", key=_identifier(ALICE), scheme="rsa-pss", digest="sha256",
                data="",
            ),
        ]  # fmt: skip
    for answer in answers:
        said = json.dumps(answer)
        raw = b"".join(
            protocol.octets_of({"x": text}, "x") for text in _texts(answer) if _is_base64(text)
        )
        for secret in (numbers.p, numbers.q, numbers.d):
            octets = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
            assert octets not in raw
            assert octets.hex() not in said


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _is_base64(text: str) -> bool:
    with contextlib.suppress(protocol.ProtocolError):
        return bool(protocol.octets_of({"x": text}, "x"))
    return False


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"do": 5},
        {"do": "export"},
        {"do": "sign", "key": "00", "scheme": "rot13", "digest": "sha256", "data": ""},
        {"do": "sign", "key": "00", "scheme": "ecdsa", "digest": "sha256", "data": "%%%"},
        {"do": "decrypt", "key": "00", "encrypted_key": "", "transport": ["sha256"]},
        {"do": "signing-credentials", "mailbox": "nobody"},
        {"do": "decryption-credentials", "owners": [], "identifiers": [{"serial": "x"}]},
        {"do": "decryption-credentials", "owners": [], "identifiers": ["x"]},
    ],
)
def test_question_that_makes_no_sense_gets_an_error(
    store: FilesKeystore, path: Path, question: Message
) -> None:
    """An error of the question, and the connection lives on; never a bug."""
    with RunningAgent(store, path):
        assert _ask(path, **question)["error"] == "question"


@pytest.mark.parametrize(
    "octets",
    [b"\xff\xff\xff\xff", b"\0\0\0", b"\0\0\0\x10abc", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["too long", "half a header", "half a body", "http"],
)
def test_octets_that_are_no_question_end_the_connection(
    store: FilesKeystore, path: Path, octets: bytes, gateway: Gateway
) -> None:
    """Nothing is answered, nothing is kept, and others are served as before."""
    with RunningAgent(store, path):
        assert _raw(path, octets) == b""
        assert _sign(gateway())


def test_question_that_does_not_end_is_given_up(store: FilesKeystore, path: Path) -> None:
    """A client that dribbles is closed at the deadline."""
    with RunningAgent(store, path, question_seconds=0.2) as agent:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.connect(str(path))
            connection.sendall(b"\0\0\0\x10abc")
            assert connection.recv(10) == b""
        assert "did not end" in agent.refusals[0]


# --- an agent that fails -------------------------------------------------------------------------


def test_missing_agent_is_an_error_that_says_what_to_do(path: Path, gateway: Gateway) -> None:
    """No socket: mail waits (R-13), and the text names unit and setting."""
    with pytest.raises(KeystoreError, match=r"smimegw-key-agent\.service") as caught:
        _sign(gateway())
    assert caught.value.retryable


def test_restarted_agent_is_asked_again(store: FilesKeystore, path: Path, gateway: Gateway) -> None:
    """A kept connection that died with the old agent costs one retry (R-14)."""
    asked = gateway()
    with RunningAgent(store, path):
        (credential,) = asyncio.run(asked.signing_credentials(ADDRESS))
    with RunningAgent(store, path):
        assert credential.key.sign(b"data", SignatureScheme.RSA_PSS, DigestAlgorithm.SHA256)


@contextlib.contextmanager
def _impostor(path: Path, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x04nope",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{}",
        protocol.encode({"credentials": [{"key": "x", "certificates": ["AAAA"]}]}, 1000),
        protocol.encode({"credentials": [{"key": "x", "certificates": []}]}, 1000),
        protocol.encode({"error": 5}, 1000),
        b"\0\0",
        b"",
    ],
    ids=["long", "text", "list", "empty", "certificate", "none", "error", "half", "nothing"],
)
def test_garbage_from_the_agent_is_an_error(path: Path, answer: bytes, gateway: Gateway) -> None:
    """Whatever it says, it ends in KeystoreError: mail waits, nothing crashes (R-14)."""
    with _impostor(path, lambda connection: connection.sendall(answer)):
        with pytest.raises(KeystoreError):
            _sign(gateway())


def test_silent_agent_is_given_up_at_the_deadline(path: Path, gateway: Gateway) -> None:
    """An agent that hangs delays one look-up, not the gateway (R-14)."""
    ended = threading.Event()
    with _impostor(path, lambda _: ended.wait()):
        with pytest.raises(KeystoreError, match="did not answer within"):
            _sign(gateway(deadline_seconds=0.2))
        ended.set()


def test_locked_keystore_of_the_agent_is_locked_for_the_gateway(
    path: Path, tmp_path: Path, gateway: Gateway
) -> None:
    """What the agent says of its keystore comes through: row and text (R-13, R-49)."""
    with RunningAgent(FilesKeystore(tmp_path, None), path):
        with pytest.raises(KeystoreError, match="locked") as caught:
            asyncio.run(gateway().check())
    assert caught.value.locked


def test_socket_without_a_directory_says_where_it_belongs(
    store: FilesKeystore, tmp_path: Path
) -> None:
    """The unit's RuntimeDirectory makes the place."""
    with pytest.raises(UsageError, match="RuntimeDirectory"):
        _start(store, tmp_path / "nowhere" / "agent.sock")


# --- the socket ----------------------------------------------------------------------------------


def _start(store: FilesKeystore, path: Path) -> None:
    async def start() -> None:
        agent = KeyAgent(store, AgentSettings(path=path, users=frozenset()), ListedEvents())
        await agent.start()
        await agent.stop()

    asyncio.run(start())


def test_socket_of_a_killed_agent_is_taken_over(store: FilesKeystore, path: Path) -> None:
    """What a killed agent left does not keep the next one from starting."""
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    _start(store, path)
    assert not path.exists()


def test_second_agent_does_not_push_the_first_away(
    store: FilesKeystore, path: Path, gateway: Gateway
) -> None:
    """Two agents on one socket is a mistake, and the first goes on."""
    with RunningAgent(store, path):
        with pytest.raises(UsageError, match="another key agent"):
            _start(store, path)
        assert _sign(gateway())


def test_file_in_the_socket_s_place_is_left_alone(store: FilesKeystore, path: Path) -> None:
    """A wrong path must not delete somebody's file."""
    path.write_text("precious")
    with pytest.raises(UsageError, match="not a socket"):
        _start(store, path)
    assert path.read_text() == "precious"
