"""Twice the structure is twice the work, whatever a stranger nests or repeats (T-09)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smimegw.cms import der
from smimegw.cms.content_info import DATA, ENVELOPED_DATA, SIGNED_DATA
from smimegw.cms.signed_data import parse_signed_data
from smimegw.errors import LimitError
from smimegw.limits import DEFAULT_LIMITS
from tests.meter.growth import METERED, is_constant, is_linear
from tests.unit.cms.people import compressed, person

Make = Callable[[int], bytes]

ASN1, CONTENT_INFO = METERED["smimegw.cms.asn1"], METERED["smimegw.cms.content_info"]
ATTRIBUTES = METERED["smimegw.cms.attributes"]
COMPRESSED = METERED["smimegw.cms.compressed_data"]
ENVELOPE, IDENTIFIERS = METERED["smimegw.cms.envelope"], METERED["smimegw.cms.identifiers"]
SIGNED = METERED["smimegw.cms.signed_data"]
PKCS12 = METERED["smimegw.adapters.keys.pkcs12_cost"]

END = b"\0\0"
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), b"\x05\x00")
CBC = der.sequence(der.oid("2.16.840.1.101.3.4.1.2"), der.octet_string(bytes(16)))


def indefinite(tag: int, *parts: bytes) -> bytes:
    """A constructed value of indefinite length."""
    return bytes((tag, 0x80)) + b"".join(parts) + END


def content_info(oid: str, *fields: bytes) -> bytes:
    """A ContentInfo around a SEQUENCE."""
    return der.sequence(der.oid(oid), der.explicit(0, der.sequence(*fields)))


TREES: dict[str, Make] = {
    "siblings": lambda n: der.sequence(b"\x05\x00" * n),
    "siblings of indefinite length": lambda n: indefinite(0x30, indefinite(0x30) * n),
    "siblings in deep ones": lambda n: b"\x30\x80" * 30 + b"\x05\x00" * n + END * 30,
    "deep ones as siblings": lambda n: indefinite(0x30, (b"\x30\x80" * 25 + END * 25) * (n // 4)),
    "ends that do not come": lambda n: b"\x30\x80" + b"\x30\x80\x00\x00" * n,
    "tag that is none": lambda n: der.sequence(b"\x05\x00" * n, b"\x1f\x81\x01\x00"),
}


@pytest.mark.parametrize("shape", TREES)
def test_values_are_walked_in_one_pass(shape: str) -> None:
    """Every element of every form (X.690, 8.1)."""

    def read(octets: bytes) -> None:
        waiting = [ASN1.read_document(octets)]
        while waiting:
            element = waiting.pop()
            if element.tag & 0x20:
                waiting += element.elements()

    assert is_linear(read, TREES[shape], 60)


CHUNKS: dict[str, Make] = {
    "chunks": lambda n: indefinite(0x24, der.octet_string(b"abc") * n),
    "empty chunks": lambda n: indefinite(0x24, b"\x04\x00" * n),
    "chunks in chunks": lambda n: indefinite(0x24, indefinite(0x24, b"\x04\x01a") * n),
    "deep chunks": lambda n: b"\x24\x80" * 28 + b"\x04\x01a" * n + END * 28,
    "something else at the end": lambda n: indefinite(0x24, b"\x04\x01a" * n, b"\x05\x00"),
}


@pytest.mark.parametrize("shape", CHUNKS)
def test_chunked_strings_are_joined_in_one_pass(shape: str) -> None:
    """However they were cut (X.690, 8.7)."""
    assert is_linear(lambda octets: ASN1.read_document(octets).octets(), CHUNKS[shape], 60)


def _key_trans(number: int) -> bytes:
    name = der.sequence(der.set_of([der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"Nobody"))]))
    who = der.sequence(name, der.integer(number))
    return der.sequence(der.integer(0), who, RSA, der.octet_string(bytes(8)))


def _enveloped(*recipients: bytes, content: bytes = b"") -> bytes:
    information = der.sequence(der.oid(DATA), CBC, content or der.value(0x80, bytes(32)))
    return content_info(
        ENVELOPED_DATA, der.integer(0), der.value(0x31, b"".join(recipients)), information
    )


def _key_agree(count: int) -> bytes:
    agreement = der.sequence(der.oid("1.3.132.1.11.1"), der.sequence(der.oid(DATA)))
    keys = der.sequence(
        *(
            der.sequence(der.value(0xA0, der.octet_string(bytes(20))), der.octet_string(bytes(40)))
            for _ in range(count)
        )
    )
    originator = der.explicit(0, der.value(0x80, bytes(20)))
    return der.value(0xA1, der.integer(3), originator, agreement, keys)


ENVELOPES: dict[str, Make] = {
    "RecipientInfos": lambda n: _enveloped(*(_key_trans(m) for m in range(n))),
    "RecipientEncryptedKeys": lambda n: _enveloped(_key_agree(n)),
    "chunks of ciphertext": lambda n: _enveloped(
        _key_trans(1), content=indefinite(0xA0, der.octet_string(bytes(16)) * n)
    ),
}


@pytest.mark.parametrize("shape", ENVELOPES)
def test_envelopes_are_read_in_one_pass(shape: str) -> None:
    """Up to the limits, of which one is the number of recipients (cases H01)."""

    def read(octets: bytes) -> None:
        found = ENVELOPE.parse_enveloped(octets)
        assert found.recipient_ids is not None
        ENVELOPE.decrypt(found, ())

    assert is_linear(read, ENVELOPES[shape], 60)


def _signer_info(number: int, attributes: bytes = b"") -> bytes:
    name = der.sequence(der.set_of([der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"Nobody"))]))
    who = der.sequence(name, der.integer(number))
    return der.sequence(der.integer(1), who, SHA256, attributes, RSA, der.octet_string(bytes(8)))


def _signed(
    *infos: bytes, certificates: bytes = b"", content: bytes = b"", digests: int = 1
) -> bytes:
    return content_info(
        SIGNED_DATA,
        der.integer(1),
        der.value(0x31, SHA256 * digests),
        der.sequence(der.oid(DATA), der.explicit(0, content) if content else b""),
        der.value(0xA0, certificates),
        der.value(0x31, *infos),
    )


SIGNATURES: dict[str, Make] = {
    "content": lambda n: _signed(_signer_info(1), content=der.octet_string(bytes(n))),
    "chunks of content": lambda n: _signed(
        _signer_info(1), content=indefinite(0x24, der.octet_string(b"a") * n)
    ),
    "certificates that are none": lambda n: _signed(certificates=der.sequence(b"\x05\x00") * n),
    "certificates": lambda n: _signed(certificates=person().certificate.der * n),
    "other certificates": lambda n: _signed(certificates=der.value(0xA3, b"\x05\x00") * n),
    "attributes": lambda n: _signed(
        _signer_info(1, der.value(0xA0, der.sequence(der.oid(DATA), b"\x31\x00") * n))
    ),
}


@pytest.mark.parametrize("shape", SIGNATURES)
def test_signatures_are_read_in_one_pass(shape: str) -> None:
    """What is in front of the signature and what is in it (RFC 5652, 5)."""

    def read(octets: bytes) -> None:
        CONTENT_INFO.content_type_of(octets)
        SIGNED.parse_signed_data(octets)

    assert is_linear(read, SIGNATURES[shape], 15)


NOT_LOOKED_AT: dict[str, Make] = {
    "one large value": lambda n: der.sequence(der.octet_string(bytes(100 * n))),
    "ciphertext": lambda n: _enveloped(_key_trans(1), content=der.value(0x80, bytes(160 * n))),
    "digest algorithms": lambda n: _signed(_signer_info(1), digests=100 * n),
}


@pytest.mark.parametrize("shape", NOT_LOOKED_AT)
def test_what_is_not_needed_costs_nothing(shape: str) -> None:
    """Values are views of what was received, and passed over by their length."""

    def read(octets: bytes) -> None:
        ASN1.read_document(octets).elements()
        if CONTENT_INFO.content_type_of(octets) == "signed-data":
            SIGNED.parse_signed_data(octets)
        else:
            ENVELOPE.parse_enveloped(octets)

    assert is_constant(read, NOT_LOOKED_AT[shape], 60)


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda n: _signed(*(_signer_info(m) for m in range(n))), "signer_infos"),
        (lambda n: b"\x30\x80" * n + END * n, "asn1_depth"),
    ],
    ids=["SignerInfos", "depth"],
)
def test_beyond_a_limit_no_more_is_done(make: Make, limit: str) -> None:
    """Ten times as much costs the same (cases H07)."""
    with pytest.raises(LimitError, match=limit):
        parse_signed_data(make(200))
    assert is_constant(SIGNED.parse_signed_data, make, 200)


NAMES: dict[str, Make] = {
    "relative names": lambda n: der.sequence(
        der.set_of([der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"a"))]) * n
    ),
    "attributes of one": lambda n: der.sequence(
        der.value(0x31, der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"a")) * n)
    ),
    "long text": lambda n: der.sequence(
        der.set_of([der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"a b" * n))])
    ),
    "white space": lambda n: der.sequence(
        der.set_of([der.sequence(der.oid("2.5.4.3"), der.value(0x0C, b"a" + b" " * n + b"b"))])
    ),
}


@pytest.mark.parametrize("shape", NAMES)
def test_names_are_compared_in_one_pass(shape: str) -> None:
    """No case, no extra spaces (RFC 5280, 7.1)."""
    assert is_linear(IDENTIFIERS.canonical_name, NAMES[shape], 60)


def test_inflating_is_one_pass() -> None:
    """However well it compresses (cases H05)."""

    def read(octets: bytes) -> None:
        COMPRESSED.inflate(COMPRESSED.parse_compressed_data(octets))

    assert is_linear(read, lambda n: compressed(bytes(range(256)) * n), 60)


def test_key_files_are_judged_in_one_pass() -> None:
    """Many bags (cases H12)."""
    data = der.oid("1.2.840.113549.1.7.1")
    bag = der.sequence(der.oid("1.2.840.113549.1.12.10.1.3"), b"\x05\x00")

    def make(count: int) -> bytes:
        bags = der.octet_string(der.sequence(bag * count))
        safes = der.octet_string(der.sequence(der.sequence(data, der.explicit(0, bags))))
        return der.sequence(der.integer(3), der.sequence(data, der.explicit(0, safes)))

    assert is_linear(lambda octets: PKCS12.check_pkcs12(octets, DEFAULT_LIMITS), make, 60)
