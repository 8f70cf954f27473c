"""Senders' points that would give everybody's secret, or part of ours, open nothing (cases H14)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smimegw.cms import asn1, der
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.keys import DecryptionCredential
from smimegw.errors import DecryptionError
from tests.unit.cms.people import CONTENT, CountingKey, person, sealed

OIDS = {"x25519": "1.3.101.110", "x448": "1.3.101.111", "brainpool256": "1.2.840.10045.2.1"}
P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
ORDER_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504


def _little(number: int, octets: int = 32) -> bytes:
    return number.to_bytes(octets, "little")


def _with_point(kind: str, point: bytes | None = None, oid: str = "") -> tuple[bytes, CountingKey]:
    """A message for a person with a key of *kind* whose originator's point is *point*."""
    octets = sealed([person("points", kind)])
    header = der.sequence(der.oid(OIDS[kind])) + b"\x03"
    start = octets.index(header) + len(header)
    length = octets[start] - 1  # below 128 octets, the unused bits are counted in
    old = octets[start + 2 : start + 2 + length]
    identifier = der.sequence(der.oid(oid or OIDS[kind]))
    new = identifier + der.bit_string(old if point is None else point)
    return _replaced(octets, header + octets[start : start + 2] + old, new), CountingKey(
        person("points", kind)
    )


def _replaced(octets: bytes, old: bytes, new: bytes) -> bytes:
    """Replace one value somewhere inside, and make the lengths around it right."""

    def rebuilt(element: asn1.Element) -> bytes:
        content = bytes(element.content)
        if old not in content or not element.tag & asn1.CONSTRUCTED:
            return element.encoded
        if content.startswith(old):
            return der.value(element.tag, new + content[len(old) :])
        return der.value(element.tag, *(rebuilt(child) for child in element.elements()))

    return rebuilt(asn1.read_document(octets))


def _open(octets: bytes, key: CountingKey, kind: str) -> bytes:
    credential = DecryptionCredential(person("points", kind).certificate, key)
    return decrypt(parse_enveloped(octets), (credential,))


@pytest.mark.parametrize("kind", OIDS)
def test_the_sender_s_own_point_opens(kind: str) -> None:
    """What the cases below change is otherwise good."""
    octets, key = _with_point(kind)
    assert _open(octets, key, kind) == CONTENT


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("x25519", _little(0)),
        ("x25519", _little(1)),
        ("x25519", _little(ORDER_8)),
        ("x25519", _little(P25519 - 1)),
        ("x25519", _little(P25519)),
        ("x25519", _little(P25519 + 1)),
        ("x448", _little(0, 56)),
        ("x448", _little(1, 56)),
        ("x448", _little(P448 - 1, 56)),
        ("x448", _little(P448, 56)),
    ],
)
def test_points_of_small_order_open_nothing(kind: str, point: bytes) -> None:
    """The secret would be zeros (RFC 7748, 6.1 and 6.2)."""
    octets, key = _with_point(kind, point)
    with pytest.raises(DecryptionError):
        _open(octets, key, kind)


@pytest.mark.parametrize("kind", ["x25519", "x448"])
@pytest.mark.parametrize("length", [0, 1, 31, 33, 55, 57])
def test_points_of_another_length_use_no_key(kind: str, length: int) -> None:
    """32 and 56 octets (RFC 7748, 5)."""
    octets, key = _with_point(kind, bytes(range(length)))
    with pytest.raises(DecryptionError):
        _open(octets, key, kind)
    assert key.uses == 0


@pytest.mark.parametrize("kind", OIDS)
def test_points_that_claim_another_kind_use_no_key(kind: str) -> None:
    """The originator's algorithm is that of the recipient's key (RFC 8418, 3)."""
    for other in set(OIDS.values()) - {OIDS[kind]}:
        octets, key = _with_point(kind, oid=other)
        with pytest.raises(DecryptionError):
            _open(octets, key, kind)
        assert key.uses == 0


def test_point_of_nist_s_curve_uses_no_brainpool_key() -> None:
    """Not on the recipient's curve (RFC 5753, 3.1)."""
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = stranger.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    octets, key = _with_point("brainpool256", point)
    with pytest.raises(DecryptionError):
        _open(octets, key, "brainpool256")
    assert key.uses == 0
