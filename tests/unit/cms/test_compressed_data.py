"""CompressedData is read whole or not at all, and never inflates without bound (RFC 3274)."""

from __future__ import annotations

import subprocess
import zlib

import pytest

from smimegw.cms import der
from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_info import COMPRESSED_DATA, DATA, SIGNED_DATA, content_type_of
from smimegw.errors import CMSError, LimitError
from smimegw.limits import DEFAULT_LIMITS, Limits
from tests.unit.cms.people import CONTENT, ZLIB, compressed, opaque, person

LONG = b"".join(b"line %d of many\r\n" % number for number in range(20_000))


def _inflated(octets: bytes, limits: Limits = DEFAULT_LIMITS, received: int | None = None) -> bytes:
    return inflate(parse_compressed_data(octets), limits, received_octets=received)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, LONG], ids=len)
def test_content_comes_out(content: bytes) -> None:
    """Small and large (RFC 3274, 1.1)."""
    octets = compressed(content)
    assert content_type_of(octets) == "compressed-data"
    assert _inflated(octets) == content


@pytest.mark.parametrize("level", range(10))
def test_every_level_is_read(level: int) -> None:
    """From stored to best (RFC 1950, 2.2)."""
    assert _inflated(compressed(stream=zlib.compress(LONG, level))) == LONG


def test_what_gzip_deflated_comes_out() -> None:
    """Another program's deflate, in the frame of zlib (RFC 1950, 2.2)."""
    done = subprocess.run(["gzip", "-9nc"], input=LONG, capture_output=True, check=True)
    stream = b"\x78\xda" + done.stdout[10:-8] + zlib.adler32(LONG).to_bytes(4, "big")
    assert _inflated(compressed(stream=stream)) == LONG


def test_chunked_and_indefinite_content_comes_out() -> None:
    """BER, as programs write it that do not know the length (X.690, 8.7)."""
    stream = zlib.compress(LONG)
    chunks = b"".join(
        der.octet_string(stream[start : start + 100]) for start in range(0, len(stream), 100)
    )
    inner = der.sequence(der.oid(DATA), der.explicit(0, b"\x24\x80" + chunks + b"\0\0"))
    fields = der.sequence(der.integer(0), der.sequence(der.oid(ZLIB), der.NULL), inner)
    octets = b"\x30\x80" + der.oid(COMPRESSED_DATA) + b"\xa0\x80" + fields + bytes(4)
    assert _inflated(octets) == LONG


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"hello",
        zlib.compress(LONG)[:-1],
        zlib.compress(LONG)[:-5],
        zlib.compress(LONG)[:100],
        zlib.compress(LONG) + b"\0",
        zlib.compress(LONG) + zlib.compress(LONG),
        zlib.compress(LONG)[:-4] + bytes(4),
        zlib.compress(LONG)[2:-4],
    ],
    ids=["empty", "text", "cut", "no checksum", "head", "more", "two", "checksum", "raw"],
)
def test_what_is_no_whole_zlib_stream_is_malformed(stream: bytes) -> None:
    """Truncated, followed by something, or with a wrong checksum (RFC 1950, 2.3)."""
    with pytest.raises((CMSError, LimitError)):
        _inflated(compressed(stream=stream))


def test_octets_in_a_chunk_after_the_stream_are_malformed() -> None:
    """Nothing hides behind the end."""
    stream = zlib.compress(LONG)
    chunks = der.value(0x24, der.octet_string(stream), der.octet_string(b"more"))
    inner = der.sequence(der.oid(DATA), der.explicit(0, chunks))
    fields = der.sequence(der.integer(0), der.sequence(der.oid(ZLIB)), inner)
    with pytest.raises(CMSError):
        _inflated(der.sequence(der.oid(COMPRESSED_DATA), der.explicit(0, fields)))


def test_another_compression_is_refused() -> None:
    """Only zlib is defined (RFC 3274, 2)."""
    with pytest.raises(CMSError, match=r"1\.2\.3"):
        parse_compressed_data(compressed(oid="1.2.3"))


def test_another_content_type_is_refused() -> None:
    """SignedData comes inside a MIME entity, not bare (RFC 8551, 3.7)."""
    octets = compressed().replace(der.oid(DATA), der.oid(SIGNED_DATA))
    with pytest.raises(CMSError):
        parse_compressed_data(octets)


def test_another_cms_type_is_no_compressed_data() -> None:
    """The outer content type counts."""
    with pytest.raises(CMSError):
        parse_compressed_data(opaque(person()))


def test_ratio_is_exact() -> None:
    """100 times what came, not one octet more (limits.decompression_ratio)."""
    content = LONG[:100_000]
    octets = compressed(content)
    assert _inflated(octets, received=1000) == content
    with pytest.raises(LimitError, match="decompression_ratio"):
        _inflated(octets, received=999)


def test_twice_the_message_limit_is_the_most() -> None:
    """Whatever the ratio would allow."""
    octets = compressed(LONG)
    with pytest.raises(LimitError):
        _inflated(octets, Limits(message_octets=len(LONG) // 2 - 1))
    assert _inflated(octets, Limits(message_octets=len(LONG) // 2)) == LONG


def test_ratio_holds_of_the_whole_message_too() -> None:
    """Layers of compression do not multiply (cases H05)."""
    octets = compressed(LONG)
    assert _inflated(octets, received=len(octets)) == LONG
    with pytest.raises(LimitError):
        _inflated(octets, received=len(LONG) // 100 - 1)
