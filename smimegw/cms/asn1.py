"""Reads BER and DER iteratively, in linear time and within bounds (X.690).

Nothing is copied and nothing recurses: an `Element` is four positions in the octets that were
given, which may be longer than memory; a `Reader` is a cursor over the elements of one constructed
value.  Indefinite lengths are resolved once and remembered, so that nested ones are not scanned
again at every level.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import overload

from smimegw.content import MEMORY_OCTETS, PIECE_OCTETS, Content, evenly
from smimegw.errors import CMSError, LimitError
from smimegw.limits import DEFAULT_LIMITS, Limits

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31
CONSTRUCTED = 0x20
CONTEXT = 0x80  # [n] primitive is CONTEXT | n, constructed CONTEXT | CONSTRUCTED | n

_INDEFINITE = -1
_INTEGER_OCTETS = 64  # serial numbers have 20 (RFC 5280, 4.1.2.2); nothing we read needs more
_OID_OCTETS = 64
_SLICE_OCTETS = DEFAULT_LIMITS.crl_octets + PIECE_OCTETS  # nothing else is as long


class _Window:
    """Looks into a long content like a memoryview into bytes."""

    __slots__ = ("_block", "_content", "_start")

    def __init__(self, content: Content) -> None:
        self._content = content
        self._start, self._block = 0, b""

    @overload
    def __getitem__(self, key: int) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            if key.stop - key.start > _SLICE_OCTETS:
                raise LimitError("memory_octets", "an ASN.1 value is absurdly long")
            return self._content.read(key.start, key.stop)
        if not 0 <= key - self._start < len(self._block):
            self._start = key - key % PIECE_OCTETS
            self._block = self._content.read(self._start, self._start + PIECE_OCTETS)
        return self._block[key - self._start]


def _accessible(content: Content) -> bytes | memoryview | _Window:
    """*content* as something with indexes and slices; what is long is never copied whole."""
    view = content.view()
    if view is None:
        return _Window(content)
    return content.whole() if len(content) <= MEMORY_OCTETS else view


class _Document:
    """What all cursors over the same octets share: the octets, the bounds, the known ends."""

    __slots__ = ("content", "depth_limit", "elements_left", "ends", "octets")

    def __init__(self, octets: bytes | Content, limits: Limits) -> None:
        self.content = Content.of(octets).settled()
        self.octets = _accessible(self.content)
        self.depth_limit = limits.asn1_depth
        self.elements_left = limits.asn1_elements
        self.ends: dict[int, int] = {}  # start of an indefinite content → its end-of-contents

    def header(self, position: int, end: int) -> tuple[int, int, int]:
        """Return tag, start of the content, and its length (-1 when indefinite).

        Takes one element from the budget.
        """
        self.elements_left -= 1
        if self.elements_left < 0:
            raise LimitError("asn1_elements")
        octets = self.octets
        if position + 2 > end:
            raise CMSError("ASN.1 value is truncated")
        tag = octets[position]
        if tag & 0x1F == 0x1F:
            raise CMSError("ASN.1 tag number is above 30; CMS has none")
        length = octets[position + 1]
        position += 2
        if length == 0x80:
            if not tag & CONSTRUCTED:
                raise CMSError("ASN.1 primitive value has an indefinite length")
            return tag, position, _INDEFINITE
        if length > 0x80:
            count = length & 0x7F
            if count > 8 or position + count > end:
                raise CMSError("ASN.1 length is truncated or absurd")
            length = int.from_bytes(octets[position : position + count], "big")
            position += count
        if length > end - position:
            raise CMSError("ASN.1 value is longer than what holds it")
        return tag, position, length

    def end_of_contents(self, start: int, end: int, depth: int) -> int:
        """Find where the indefinite content that begins at *start* ends."""
        if start in self.ends:
            return self.ends[start]
        octets, open_starts, position = self.octets, [start], start
        while open_starts:
            if depth + len(open_starts) > self.depth_limit:
                raise LimitError("asn1_depth")
            if position + 2 <= end and octets[position] == 0 and octets[position + 1] == 0:
                self.ends[open_starts.pop()] = position
                position += 2
                continue
            _, position, length = self.header(position, end)
            if length == _INDEFINITE:
                open_starts.append(position)
            else:
                position += length
        return self.ends[start]


class Element:
    """One tag-length-value."""

    __slots__ = ("_depth", "_document", "_end", "_start", "content_end", "content_start", "tag")

    def __init__(
        self, document: _Document, tag: int, bounds: tuple[int, int, int, int], depth: int
    ) -> None:
        self._document, self.tag, self._depth = document, tag, depth
        self._start, self.content_start, self.content_end, self._end = bounds

    @property
    def length(self) -> int:
        """How many octets the content has."""
        return self.content_end - self.content_start

    @property
    def view(self) -> Content:
        """The content octets, however many they are."""
        return self._document.content.part(self.content_start, self.content_end)

    @property
    def content(self) -> memoryview | bytes:
        """The content octets, without end-of-contents; for values that are not long."""
        return self._document.octets[self.content_start : self.content_end]

    def whole(self) -> bytes:
        """The content octets in one piece.

        Raises:
            LimitError: They are too many.
        """
        if self.content_end - self.content_start <= MEMORY_OCTETS:
            return bytes(self.content)
        return self.view.whole()

    @property
    def encoded(self) -> bytes:
        """Tag, length and content as they were sent.

        Raises:
            CMSError: The length is indefinite where the value is needed in DER.
        """
        if self._end != self.content_end:
            raise CMSError("indefinite length where DER is needed")
        return bytes(self._document.octets[self._start : self._end])

    def children(self) -> Reader:
        """Return a cursor over the elements inside."""
        if not self.tag & CONSTRUCTED:
            raise CMSError("ASN.1 value is primitive where a constructed one is expected")
        return Reader(self._document, self.content_start, self.content_end, self._depth + 1)

    def elements(self, *tags: int) -> list[Element]:
        """Return everything inside; with *tags* exactly one element of each, in this order."""
        reader = self.children()
        if not tags:
            found = []
            while not reader.at_end:
                found.append(reader.read())
            return found
        found = [reader.read(tag) for tag in tags]
        reader.finish()
        return found

    def integer(self) -> int:
        """Read the content as INTEGER (X.690, 8.3)."""
        if not 0 < self.content_end - self.content_start <= _INTEGER_OCTETS:
            raise CMSError("ASN.1 INTEGER is empty or absurdly long")
        content = self.content
        if len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1)):
            raise CMSError("ASN.1 INTEGER is padded")
        return int.from_bytes(content, "big", signed=True)

    def oid(self) -> str:
        """Read the content as OBJECT IDENTIFIER, dotted (X.690, 8.19)."""
        if not 0 < self.content_end - self.content_start <= _OID_OCTETS:
            raise CMSError("ASN.1 OBJECT IDENTIFIER is empty or absurdly long")
        return _dotted(bytes(self.content))

    def bits(self) -> bytes:
        """Read the content as BIT STRING of whole octets (X.690, 8.6)."""
        content = self.content
        if len(content) < 1 or content[0] != 0:
            raise CMSError("ASN.1 BIT STRING does not hold whole octets")
        return bytes(content[1:])

    def octet_string(self) -> Content:
        """Return the value of an OCTET STRING, chunked or not, however long (X.690, 8.7).

        What comes in chunks is meant to be read from its beginning to its end.
        """
        if not self.tag & CONSTRUCTED:
            return self.view
        bounds = array("Q")
        stack = [self.children()]
        while stack:
            if stack[-1].at_end:
                stack.pop()
                continue
            inner = stack[-1].read()
            if inner.tag == OCTET_STRING:
                bounds.extend((inner.content_start, inner.content_end))
            elif inner.tag == OCTET_STRING | CONSTRUCTED:
                stack.append(inner.children())
            else:
                raise CMSError("ASN.1 OCTET STRING holds something else than OCTET STRINGs")
        length = sum(bounds[1::2]) - sum(bounds[::2])
        return Content.made(length, partial(_chunks, self._document.content, bounds))

    def octets(self) -> bytes:
        """Return the value of an OCTET STRING that is not long, chunked or not.

        Raises:
            LimitError: It is.
        """
        return self.octet_string().whole() if self.tag & CONSTRUCTED else self.whole()


def _chunks(content: Content, bounds: array[int]) -> Iterator[bytes]:
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return evenly(piece for start, end in pairs for piece in content.pieces(start, end))


class Reader:
    """A cursor over consecutive elements."""

    __slots__ = ("_depth", "_document", "_end", "_position")

    def __init__(self, document: _Document, position: int, end: int, depth: int) -> None:
        if depth > document.depth_limit:
            raise LimitError("asn1_depth")
        self._document = document
        self._position = position
        self._end = end
        self._depth = depth

    @property
    def at_end(self) -> bool:
        """Nothing is left."""
        return self._position >= self._end

    def next_tag(self) -> int:
        """Return the identifier octet of the next element, or -1 at the end."""
        return -1 if self.at_end else self._document.octets[self._position]

    def read(self, *tags: int) -> Element:
        """Take the next element; with *tags* it must be one of these.

        Raises:
            CMSError: There is none, it has another tag or does not fit.
            LimitError: Too deep or too many.
        """
        document, start, depth = self._document, self._position, self._depth
        octets, end, content = document.octets, self._end, start + 2
        if (
            content <= end
            and (length := octets[start + 1]) <= end - content
            and length < 0x80
            and (tag := octets[start]) & 0x1F != 0x1F
            and document.elements_left > 0
        ):
            document.elements_left -= 1  # nearly all values: the short form, without a call
        else:
            tag, content, length = document.header(start, end)
        if tags and tag not in tags:
            raise CMSError(f"ASN.1 tag {tag:#04x} where {tags[0]:#04x} is expected")
        if length == _INDEFINITE:
            content_end = document.end_of_contents(content, end, depth)
            self._position = end = content_end + 2
        else:
            self._position = content_end = end = content + length
        return Element(document, tag, (start, content, content_end, end), depth)

    def optional(self, *tags: int) -> Element | None:
        """Take the next element when it has one of *tags*."""
        position = self._position
        if position >= self._end or self._document.octets[position] not in tags:
            return None
        return self.read()

    def finish(self) -> None:
        """Refuse anything that is left.

        Raises:
            CMSError: Octets follow the last expected element.
        """
        if self._position < self._end:
            raise CMSError("octets follow the end of an ASN.1 value")


def read_document(octets: bytes | Content, limits: Limits = DEFAULT_LIMITS) -> Element:
    """Read the one element that *octets* are.

    Raises:
        CMSError: Not exactly one BER value.
        LimitError: Too deep or too many elements.
    """
    document = _Document(octets, limits)
    reader = Reader(document, 0, len(document.content), 0)
    element = reader.read()
    reader.finish()
    return element


@lru_cache(maxsize=512)
def _dotted(content: bytes) -> str:
    arcs: list[int] = []
    arc = 0
    for index, octet in enumerate(content):
        if arc == 0 and octet == 0x80:
            raise CMSError("ASN.1 OBJECT IDENTIFIER has a padded arc")
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
        elif index == len(content) - 1:
            raise CMSError("ASN.1 OBJECT IDENTIFIER is truncated")
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))
