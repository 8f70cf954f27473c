"""Writes DER: definite, minimal lengths and sorted SETs (X.690, 10 and 11)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from smimegw.cms import asn1

NULL = b"\x05\x00"


@lru_cache(maxsize=1024)
def header(tag: int, length: int) -> bytes:
    """Return tag and length of a value of *length* content octets."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def value(tag: int, *parts: bytes) -> bytes:
    """Return one value whose content is *parts* one after the other."""
    content = b"".join(parts)
    return header(tag, len(content)) + content


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return value(asn1.SEQUENCE, *parts)


def set_of(parts: Iterable[bytes], tag: int = asn1.SET) -> bytes:
    """Return a SET OF, sorted (X.690, 11.6); *tag* for an IMPLICIT one."""
    return value(tag, *sorted(parts))


def explicit(number: int, *parts: bytes) -> bytes:
    """Return ``[number] EXPLICIT``, which is also a constructed ``[number] IMPLICIT``."""
    return value(asn1.CONTEXT | asn1.CONSTRUCTED | number, *parts)


def octet_string(octets: bytes) -> bytes:
    """Return an OCTET STRING."""
    return value(asn1.OCTET_STRING, octets)


def bit_string(octets: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return value(asn1.BIT_STRING, b"\0", octets)


def integer(number: int) -> bytes:
    """Return an INTEGER."""
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return value(asn1.INTEGER, number.to_bytes(size, "big", signed=True))


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *arcs = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *arcs):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return value(asn1.OBJECT_IDENTIFIER, bytes(octets))


def time(moment: datetime) -> bytes:
    """Return a Time: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5652, 11.3)."""
    moment = moment.astimezone(UTC)
    if 1950 <= moment.year < 2050:
        return value(asn1.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return value(asn1.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))
