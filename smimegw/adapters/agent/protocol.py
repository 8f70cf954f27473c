"""The language between gateway and key agent: length-prefixed JSON objects over a Unix socket.

A question has a member ``do``; its answer holds what was asked for, or a member ``error``.  Octets
are base64.  Neither side believes the other: what cannot be read is `ProtocolError`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from smimegw.cms.algorithms import DigestAlgorithm
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.key_encryption_algorithms import KeyTransport, OAEPParameters
from smimegw.errors import (
    DecryptionError,
    KeystoreError,
    SmimegwError,
    UnsupportedAlgorithmError,
)

HEADER_OCTETS = 4
QUESTION_OCTETS = 1024 * 1024  # signed attributes have some hundred octets
ANSWER_OCTETS = 4 * 1024 * 1024  # certificates of a mailbox with their paths

Message = dict[str, Any]


class ProtocolError(SmimegwError):
    """The other side does not speak this language."""


def encode(message: Mapping[str, Any], most: int) -> bytes:
    """Return the octets of one message.

    Raises:
        ProtocolError: It would be longer than *most*.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > most:
        raise ProtocolError(f"{len(body)} octets are more than {most}")
    return len(body).to_bytes(HEADER_OCTETS, "big") + body


def body_length(header: bytes, most: int) -> int:
    """Return how many octets follow *header*.

    Raises:
        ProtocolError: More than *most*.
    """
    length = int.from_bytes(header, "big")
    if length > most:
        raise ProtocolError(f"a message of {length} octets")
    return length


def decode(body: bytes) -> Message:
    """Read a message without its header.

    Raises:
        ProtocolError: Not a JSON object.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message


# --- members -------------------------------------------------------------------------------------


def octets(value: bytes) -> str:
    """Write octets."""
    return base64.b64encode(value).decode("ascii")


def octets_of(message: Mapping[str, Any], name: str) -> bytes:
    """Read a member of octets.

    Raises:
        ProtocolError: It is missing or something else.
    """
    try:
        return base64.b64decode(text_of(message, name), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(f"{name} is not base64") from None


def text_of(message: Mapping[str, Any], name: str) -> str:
    """Read a member of text.

    Raises:
        ProtocolError: It is missing or something else.
    """
    value = message.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{name} is not a text")
    return value


def list_of(message: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Read a member that is a list of one kind of values.

    Raises:
        ProtocolError: It is missing or something else.
    """
    value = message.get(name)
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise ProtocolError(f"{name} is not a list of {kind.__name__}")
    return value


def write_identifiers(identifiers: Sequence[CertificateIdentifier]) -> list[Message]:
    """Write how certificates are named."""
    return [
        {"key": octets(entry.key_identifier)}
        if entry.key_identifier is not None
        else {"issuer": octets(entry.issuer_der), "serial": str(entry.serial_number)}
        for entry in identifiers
    ]


def read_identifiers(message: Mapping[str, Any]) -> list[CertificateIdentifier]:
    """Read the member ``identifiers``.

    Raises:
        ProtocolError: Not such a list.
    """
    found = []
    for entry in list_of(message, "identifiers", dict):
        if "key" in entry:
            found.append(CertificateIdentifier(key_identifier=octets_of(entry, "key")))
            continue
        serial = text_of(entry, "serial").removeprefix("-")
        if not (serial.isascii() and serial.isdigit() and len(serial) < 100):
            raise ProtocolError("serial is not a number")
        number = int(text_of(entry, "serial"))
        found.append(
            CertificateIdentifier(issuer_der=octets_of(entry, "issuer"), serial_number=number)
        )
    return found


def write_transport(transport: KeyTransport) -> list[str]:
    """Write how RSA carries a key: nothing for PKCS#1 v1.5, two digests for OAEP."""
    oaep = transport.oaep
    return [] if oaep is None else [oaep.digest.value, oaep.mgf_digest.value]


def read_transport(message: Mapping[str, Any]) -> KeyTransport:
    """Read the member ``transport``.

    Raises:
        ProtocolError: Not such a list.
    """
    names = list_of(message, "transport", str)
    if not names:
        return KeyTransport()
    try:
        digest, mgf_digest = (DigestAlgorithm(name) for name in names)
    except ValueError:
        raise ProtocolError("transport names no two digests") from None
    return KeyTransport(oaep=OAEPParameters(digest=digest, mgf_digest=mgf_digest))


# --- errors --------------------------------------------------------------------------------------


def write_error(error: Exception) -> Message:
    """Write what the other side may know of *error*; of a bug only that there is one."""
    match error:
        case DecryptionError():
            return {"error": "decryption"}
        case UnsupportedAlgorithmError():
            return {"error": "algorithm", "text": str(error)}
        case KeystoreError():
            return {
                "error": "keystore",
                "text": str(error),
                "retryable": error.retryable,
                "locked": error.locked,
            }
        case ProtocolError():
            return {"error": "question", "text": str(error)}
    return {"error": "bug", "text": type(error).__name__}


def read_error(message: Mapping[str, Any], server: str) -> Exception | None:
    """Return the error that an answer tells of; None when it tells of none.

    Raises:
        ProtocolError: It tells nonsense.
    """
    match message.get("error"):
        case None:
            return None
        case "decryption":
            return DecryptionError()
        case "algorithm":
            return UnsupportedAlgorithmError(text_of(message, "text"))
        case "keystore":
            return KeystoreError(
                f"key agent: {text_of(message, 'text')}",
                server=server,
                retryable=message.get("retryable") is True,
                locked=message.get("locked") is True,
            )
        case "bug" | "question" as kind:
            text = f"key agent {server} answers {kind}: {text_of(message, 'text')}; is it of the"
            return KeystoreError(f"{text} same version as the gateway?", server=server)
    raise ProtocolError("an error of an unknown kind")
