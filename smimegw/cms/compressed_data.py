"""CompressedData: reads it, and inflates no more than was agreed on (RFC 3274)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from smimegw.cms import algorithm_identifiers, asn1
from smimegw.cms.content_info import COMPRESSED_DATA, DATA, expect_sequence, read_content_info
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import CMSError, LimitError
from smimegw.limits import DEFAULT_LIMITS, Limits

_ZLIB = "1.2.840.113549.1.9.16.3.8"
_FED_OCTETS = 64 * 1024  # inflated at once; what is left over is copied, so it must stay small
_STEP_OCTETS = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedData:
    """A CompressedData, read but not inflated.

    Attributes:
        content_type: OID of the content's type, usually id-data.
        octets: The compressed octets; a view into what was parsed.
    """

    content_type: str
    octets: Content = field(repr=False)

    @property
    def compressed_octets(self) -> int:
        """How many octets are to be inflated."""
        return len(self.octets)


def parse_compressed_data(
    octets: bytes | Content, limits: Limits = DEFAULT_LIMITS
) -> CompressedData:
    """Read a ContentInfo that holds CompressedData, DER or BER, in linear time (RFC 3274, 1.1).

    Raises:
        CMSError: Malformed, truncated, followed by other octets, another content type, not zlib,
            or the content is another CMS type without MIME.
        LimitError: Too deep or too many elements.
    """
    oid, content = read_content_info(octets, limits)
    if oid != COMPRESSED_DATA:
        raise CMSError("the CMS content is not CompressedData")
    fields = expect_sequence(content)
    fields.read(asn1.INTEGER).integer()
    algorithm = algorithm_identifiers.read(fields.read(asn1.SEQUENCE))
    encapsulated = fields.read(asn1.SEQUENCE).children()
    fields.finish()
    if algorithm.oid != _ZLIB:
        raise CMSError(f"compression {algorithm.oid} is not supported")
    content_type = encapsulated.read(asn1.OBJECT_IDENTIFIER).oid()
    explicit = encapsulated.read(0xA0).children()
    encapsulated.finish()
    if content_type != DATA:
        # S/MIME nests through MIME entities (RFC 8551, 3.7)
        raise CMSError("CompressedData holds something else than data")
    string = explicit.read(asn1.OCTET_STRING, asn1.OCTET_STRING | asn1.CONSTRUCTED)
    explicit.finish()
    return CompressedData(content_type=content_type, octets=string.octet_string())


def inflate(
    compressed: CompressedData,
    limits: Limits = DEFAULT_LIMITS,
    *,
    received_octets: int | None = None,
    store: Store = MEMORY,
) -> Content:
    """Return the content, when it is not absurdly larger than what came.

    Args:
        compressed: What to inflate.
        limits: At most limits.decompression_ratio times as much comes out as goes in, and at most
            twice limits.message_octets.
        received_octets: Size of the whole message, of which the ratio holds as well: layers of
            compression do not multiply.
        store: Keeps the content.

    Raises:
        LimitError: ``decompression_ratio``: more would come out.
        CMSError: Not one whole zlib stream (RFC 1950, 2.2).
    """
    source = compressed.compressed_octets
    if received_octets is not None:
        source = min(source, received_octets)
    most = min(limits.decompression_ratio * source, 2 * limits.message_octets)
    return store.store(_bounded(compressed.octets, most))


def _bounded(octets: Content, most: int) -> Iterator[bytes]:
    inflated = 0
    try:
        for piece in _inflated(octets, most + 1):
            inflated += len(piece)
            if inflated > most:
                raise LimitError("decompression_ratio", f"more than {most} octets come out")
            yield piece
    except zlib.error:
        raise CMSError("the compressed content is not a zlib stream") from None


def _inflated(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The content in steps of bounded size, of which none is larger than *most*."""
    stream = zlib.decompressobj()
    step = min(most, _STEP_OCTETS)
    for piece in pieces:
        for start in range(0, len(piece), _FED_OCTETS):
            if stream.eof:
                raise CMSError("octets follow the compressed content")
            fed = piece[start : start + _FED_OCTETS]
            octets = None
            # what does not fit into a step waits inside, even when everything was fed
            while octets is None or fed or len(octets) == step:
                octets = stream.decompress(fed, step)
                yield octets
                fed = stream.unconsumed_tail
    if not stream.eof:
        raise CMSError("the compressed content is truncated")
    if stream.unused_data:
        raise CMSError("octets follow the compressed content")
