"""Answers the questions that a gateway may ask a key agent, and tells of each use of a key.

What may be asked is to sign, to decrypt a content key and to agree on a secret; there is no
question whose answer is a private key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smimegw.adapters.agent import protocol
from smimegw.adapters.agent.protocol import Message, ProtocolError, octets, octets_of, text_of
from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme
from smimegw.cms.keys import AgreementKey, DecryptionKey, SigningKey
from smimegw.errors import AddressError, DecryptionError
from smimegw.ports import Keystore
from smimegw.x509.certificate import Certificate

Used = Callable[[str, str], None]
"""Told of each use before it happens: the key's identifier, and what for."""

_USES = ("sign", "decrypt", "exchange")


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


async def answer_to(
    question: Message, keys: AgentKeys, threads: ThreadPoolExecutor, used: Used
) -> Message:
    """Return the answer.

    Args:
        question: What was asked.
        keys: What the agent holds.
        threads: Where keys are used.
        used: Told of each use.

    Raises:
        ProtocolError: Not a question.
        KeystoreError, DecryptionError, UnsupportedAlgorithmError: That is the answer.
    """
    match text_of(question, "do"):
        case "signing-credentials":
            mailbox = _mailbox(text_of(question, "mailbox"))
            signing = await keys.signing_credentials(mailbox)
            return _listed((entry.certificate, *entry.chain) for entry in signing)
        case "decryption-credentials":
            identifiers = protocol.read_identifiers(question)
            owners = [_mailbox(text) for text in protocol.list_of(question, "owners", str)]
            reading = await keys.decryption_credentials(identifiers, owners)
            return _listed((entry.certificate,) for entry in reading)
        case "check":
            await keys.check()
            return {}
        case use if use in _USES:
            loop = asyncio.get_running_loop()
            return {
                "octets": octets(await loop.run_in_executor(threads, _use, question, keys, used))
            }
    raise ProtocolError("a question of an unknown kind")


def _use(question: Message, keys: AgentKeys, used: Used) -> bytes:
    key = text_of(question, "key")
    match question["do"]:
        case "sign":
            data, (scheme, digest) = octets_of(question, "data"), _algorithms(question)
            signing = keys.signing_key(key)
            used(key, "sign")
            return signing.sign(data, scheme, digest)
        case "decrypt":
            encrypted_key = octets_of(question, "encrypted_key")
            transport = protocol.read_transport(question)
            decryption = keys.decryption_key(key)
            used(key, "decrypt")
            return decryption.decrypt(encrypted_key, transport)
        case _:
            peer = _peer(octets_of(question, "peer"))
            decryption = keys.decryption_key(key)
            used(key, "agree")
            return decryption.exchange(peer)


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
