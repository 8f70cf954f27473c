"""ECDSA signatures in other encodings and with values out of range never count (cases H25)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from smimegw.cms import der
from smimegw.cms.signed_data import SignedData, SignerInfo, parse_signed_data, verify_signer_info
from smimegw.errors import SignatureError
from tests.unit.cms.people import CONTENT, detached, person

ORDERS = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "brainpool256": 0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7,
}


def _signed(key: str) -> tuple[SignedData, SignerInfo, int, int]:
    signed_data = parse_signed_data(detached(person("encodings", key)))
    (info,) = signed_data.signer_infos
    r, s = decode_dss_signature(info.signature)
    return signed_data, info, r, s


def _pair(r: int, s: int) -> bytes:
    return der.sequence(der.integer(r), der.integer(s))


def _padded(number: int) -> bytes:
    octets = number.to_bytes(34, "big")
    return der.value(0x02, octets)


@pytest.mark.parametrize("key", ORDERS)
def test_usual_encoding_verifies(key: str) -> None:
    """What the variants below start from (RFC 5480, A)."""
    signed_data, info, r, s = _signed(key)
    for octets in (info.signature, _pair(r, s)):
        changed = replace(info, signature=octets)
        assert verify_signer_info(signed_data, changed, (CONTENT,)).label == "ecdsa-sha256"


@pytest.mark.parametrize(
    "variant",
    [
        lambda r, s, n: b"",
        lambda r, s, n: _pair(r, s) + b"\0",
        lambda r, s, n: _pair(r, s)[:-1],
        lambda r, s, n: b"\x30\x81" + _pair(r, s)[1:],
        lambda r, s, n: b"\x30\x80" + _pair(r, s)[2:] + b"\0\0",
        lambda r, s, n: der.sequence(_padded(r), der.integer(s)),
        lambda r, s, n: der.sequence(der.integer(r), der.integer(s), der.NULL),
        lambda r, s, n: der.set_of([der.integer(r), der.integer(s)]),
        lambda r, s, n: r.to_bytes(32, "big") + s.to_bytes(32, "big"),
        lambda r, s, n: _pair(0, 0),
        lambda r, s, n: _pair(0, s),
        lambda r, s, n: _pair(r, 0),
        lambda r, s, n: _pair(1, 0),
        lambda r, s, n: _pair(n, s),
        lambda r, s, n: _pair(r, n),
        lambda r, s, n: _pair(r + n, s),
        lambda r, s, n: _pair(r, s + n),
        lambda r, s, n: _pair(-r, s),
        lambda r, s, n: _pair(r - n, s),
        lambda r, s, n: _pair(s, r),
    ],
    ids=[
        *("empty", "more", "cut", "long length", "indefinite", "padded", "three", "set", "raw"),
        *("0 0", "0 s", "r 0", "1 0", "n s", "r n", "r+n", "s+n", "-r", "r-n", "swapped"),
    ],
)
@pytest.mark.parametrize("key", ORDERS)
def test_other_encodings_and_values_do_not_verify(key: str, variant: object) -> None:
    """DER alone, and both numbers from 1 to the order less 1 (SEC 1, 4.1.4; cases H25)."""
    signed_data, info, r, s = _signed(key)
    octets = variant(r, s, ORDERS[key])  # type: ignore[operator]
    with pytest.raises(SignatureError):
        verify_signer_info(signed_data, replace(info, signature=octets), (CONTENT,))
