"""Fuzz targets in the keystore: its files, shares, token URIs, and what key agents are asked."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.protocol import ProtocolError
from smimegw.adapters.keys import passphrase
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.key_object import parse_key_object, write_key_object
from smimegw.adapters.keys.shares import Share
from smimegw.adapters.pkcs11.uri import TokenURI
from smimegw.errors import KeystoreError, UsageError
from tests.fakes.pki import make_ca
from tests.fuzz.target import Target

_KEK = KeyEncryptionKey(bytes(range(32)))


@functools.cache
def _key_file() -> tuple[bytes, str]:
    alice = make_ca("Fuzzed keys").issue("alice@ours.example", key="p256")
    with tempfile.TemporaryDirectory() as directory:
        store = FilesKeystore(Path(directory), _KEK)
        key = store.add(
            KeyMaterial(certificate=alice.certificate, chain=alice.chain, private_key=alice.key)
        )
    return write_key_object(key), key.identifier


def _read_key_file(octets: bytes) -> None:
    key = parse_key_object(octets, _key_file()[1])
    assert parse_key_object(write_key_object(key), key.identifier) == key


def _read_kek_file(octets: bytes) -> None:
    key = passphrase.load(octets, lambda: b"correct horse")
    assert KeyEncryptionKey.load(key.export()).identifier == key.identifier


def _read_share(octets: bytes) -> None:
    share = Share.parse(octets.decode("latin-1"))
    assert Share.parse(str(share)) == share


def _read_uri(octets: bytes) -> None:
    uri = TokenURI.parse(octets.decode("latin-1"))
    assert TokenURI.parse(str(uri)) == uri


def _read_question(octets: bytes) -> None:
    question = protocol.decode(octets)
    protocol.text_of(question, "do")
    assert all(isinstance(text, str) for text in protocol.list_of(question, "owners", str))
    identifiers = protocol.read_identifiers(question)
    written = protocol.decode(
        protocol.encode(
            {"identifiers": protocol.write_identifiers(identifiers)}, protocol.QUESTION_OCTETS
        )[protocol.HEADER_OCTETS :]
    )
    assert protocol.read_identifiers(written) == identifiers
    transport = protocol.read_transport(question)
    again = {"transport": protocol.write_transport(transport)}
    assert protocol.read_transport(again) == transport


def _read_answer(octets: bytes) -> None:
    answer = protocol.decode(octets)
    if protocol.read_error(answer, "socket") is None:
        protocol.octets_of(answer, "octets")


def _questions() -> Sequence[bytes]:
    return (
        b'{"do":"x","owners":["a@b"],"identifiers":[{"key":"AAEC"}],"transport":[]}',
        (
            b'{"do":"x","owners":[],"identifiers":[{"issuer":"MAA=","serial":"-17"}],'
            b'"transport":["sha256","sha1"]}'
        ),
    )


TARGETS = (
    Target("key-file", _read_key_file, (KeystoreError,), lambda: [_key_file()[0]]),
    Target(
        "kek-file",
        _read_kek_file,
        (KeystoreError,),
        lambda: [_KEK.export(), passphrase.protect(_KEK, b"correct horse", cost=2)],
    ),
    Target(
        "share",
        _read_share,
        (UsageError,),
        lambda: [str(Share(set_id=b"abcd", needed=2, number=1, octets=bytes(32))).encode()],
    ),
    Target(
        "token-uri",
        _read_uri,
        (UsageError,),
        lambda: [b"pkcs11:token=a;serial=1;object=b%20c;id=%01?module-path=/x"],
        words=(b"pkcs11:", b";", b"=", b"%", b"?", b"&", b"id=", b"token=", b"pin-value="),
    ),
    Target("agent-question", _read_question, (ProtocolError,), _questions),
    Target(
        "agent-answer",
        _read_answer,
        (ProtocolError,),
        lambda: [
            b'{"octets":"AAEC"}',
            b'{"error":"keystore","text":"x","retryable":true,"locked":false}',
        ],
    ),
)
