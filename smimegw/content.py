"""Octets of any length without holding them: a message, a body, a part of one.

A `Content` is immutable and consists of stretches: of `bytes`, of a file, or of what is made anew
each time that it is read (a cipher's output, for instance).  Whoever reads it in pieces needs
little memory, whatever its length; parts and joints of contents are views.  Only what is short and
in memory is copied when it is joined: one stretch is handled faster than many.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from smimegw.errors import LimitError
from smimegw.limits import DEFAULT_LIMITS

PIECE_OCTETS: Final = 64 * 1024  # stays in the processor's cache
MEMORY_OCTETS: Final = DEFAULT_LIMITS.memory_octets
_WHOLE_OCTETS: Final = 2 * PIECE_OCTETS  # bytes that are there already are cut above this only
_HASHED_OCTETS: Final = 64


class Source(Protocol):
    """Something long that can be read in pieces, from several threads and as often as wanted."""

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The octets from *start* to *end* in order; both lie within."""
        ...


class Content:
    """A sequence of octets with random access that may be larger than memory.

    Reading a stretch that lies in a file raises `SpoolError` when the file cannot be read.
    """

    __slots__ = ("_length", "_starts", "_stretches")

    def __init__(self, octets: bytes = b"") -> None:
        self._length = len(octets)
        self._stretches: tuple[_Stretch, ...] = ((octets, 0, self._length),) if octets else ()
        self._starts: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, octets: bytes | Content) -> Content:
        """*octets* themselves, or around them."""
        return octets if isinstance(octets, Content) else cls(octets)

    @classmethod
    def read_from(cls, source: Source, length: int) -> Content:
        """The first *length* octets of *source*."""
        return cls._over([(source, 0, length)] if length else [])

    @classmethod
    def made(cls, length: int, make: Callable[[], Iterable[bytes]]) -> Content:
        """What *make* gives, always the same *length* octets; made again for every reader.

        Meant to be read from its beginning to its end.
        """
        return cls.read_from(_Made(make), length)

    @classmethod
    def joined(cls, parts: Iterable[bytes | Content]) -> Content:
        """*parts* one after the other."""
        stretches: list[_Stretch] = []
        length = 0
        for part in parts:
            length += len(part)
            if isinstance(part, Content):
                stretches += part._stretches
            elif part:
                stretches.append((part, 0, len(part)))
        if length <= PIECE_OCTETS:
            held = [octets[a:b] for octets, a, b in stretches if isinstance(octets, bytes)]
            if len(held) == len(stretches):
                return cls(b"".join(held))
        return cls._over(stretches)

    @classmethod
    def _over(cls, stretches: list[_Stretch]) -> Content:
        content = cls()
        if len(stretches) == 1:
            content._stretches, content._length = (stretches[0],), stretches[0][2] - stretches[0][1]
            return content
        starts, length = [], 0
        for _, start, end in stretches:
            starts.append(length)
            length += end - start
        content._stretches, content._length = tuple(stretches), length
        content._starts = tuple(starts) or (0,)
        return content

    # --- reading ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces()

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The octets from *start* to *end* in pieces of about `PIECE_OCTETS`, none empty."""
        for source, first, last in self._ranges(start, end):
            if not isinstance(source, bytes):
                yield from source.pieces(first, last)
            elif last - first <= _WHOLE_OCTETS:
                yield source if last - first == len(source) else source[first:last]
            else:
                for at in range(first, last, PIECE_OCTETS):
                    yield source[at : min(at + PIECE_OCTETS, last)]

    def read(self, start: int, end: int) -> bytes:
        """The octets from *start* to *end*, of which the caller knows that they are few."""
        if len(self._stretches) == 1:
            source, first, last = self._stretches[0]
            if isinstance(source, bytes):
                start, end = max(start, 0), max(end, 0)
                return source[first + start : last if end >= self._length else first + end]
        return b"".join(self.pieces(start, end))

    def whole(self, most: int = MEMORY_OCTETS) -> bytes:
        """All octets in one piece.

        Raises:
            LimitError: They are more than *most* and not in one piece already.
        """
        if len(self._stretches) == 1:
            source, first, last = self._stretches[0]
            if isinstance(source, bytes) and last - first == len(source):
                return source
        if self._length > most:
            raise LimitError("memory_octets", f"{self._length} octets are not taken in one piece")
        return b"".join(self.pieces())

    def view(self) -> memoryview | None:
        """All octets without copying them, when they are in memory in one stretch."""
        if len(self._stretches) > 1:
            return None
        source, first, last = self._stretches[0] if self._stretches else (b"", 0, 0)
        return memoryview(source)[first:last] if isinstance(source, bytes) else None

    def part(self, start: int, end: int | None = None) -> Content:
        """The octets from *start* to *end* as a view."""
        if len(self._stretches) == 1:
            source, first, last = self._stretches[0]
            until = last if end is None or end >= self._length else first + end
            first += max(start, 0)
            return Content._over([(source, first, until)] if first < until else [])
        return Content._over(list(self._ranges(start, end)))

    def settled(self) -> Content:
        """The same octets; in memory, when they are few and would be read or made again."""
        if self._length > MEMORY_OCTETS or all(isinstance(s[0], bytes) for s in self._stretches):
            return self
        return Content(b"".join(self.pieces()))

    # --- looking ---------------------------------------------------------------------------------

    def find(self, needle: bytes, start: int = 0, end: int | None = None) -> int:
        """The lowest position of *needle* between *start* and *end*, or -1."""
        if len(self._stretches) == 1 and isinstance(octets := self._stretches[0][0], bytes):
            return self._found(octets, needle, start, end)
        position, held = max(start, 0), b""
        for piece in self.pieces(start, end):
            data = held + piece if held else piece
            found = data.find(needle)
            if found >= 0:
                return position + found
            kept = min(len(needle) - 1, len(data))
            position += len(data) - kept
            held = data[len(data) - kept :]
        return -1

    def _found(self, octets: bytes, needle: bytes, start: int, end: int | None) -> int:
        _, first, last = self._stretches[0]
        until = last if end is None else min(first + end, last)
        return max(octets.find(needle, first + max(start, 0), until) - first, -1)

    def matches(self, pattern: re.Pattern[bytes], most: int) -> bool:
        """Whether *pattern* is found anywhere.

        Args:
            pattern: Must not look behind by more than one octet, nor at the end.
            most: No match is longer; longer ones may be overlooked.
        """
        held, is_first = b"", True
        for piece in self.pieces():
            data = held + piece if held else piece
            # The first octet was looked at before and only shows whether a line begins behind it.
            if pattern.search(data, 0 if is_first else 1):
                return True
            is_first = is_first and len(data) <= most
            held = data if is_first else data[-most - 1 :]
        return False

    def startswith(self, prefix: bytes, start: int = 0) -> bool:
        """Whether *prefix* stands at *start*."""
        return self.read(start, start + len(prefix)) == prefix

    def endswith(self, suffix: bytes) -> bool:
        """Whether *suffix* stands at the end."""
        return self.read(max(0, self._length - len(suffix)), self._length) == suffix

    def isascii(self) -> bool:
        """Whether no octet is above 127."""
        return all(piece.isascii() for piece in self.pieces())

    def __contains__(self, needle: bytes) -> bool:
        return self.find(needle) >= 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bytes):
            other = Content(other)
        if not isinstance(other, Content):
            return NotImplemented
        if self._length != other._length:
            return False
        if self._stretches == other._stretches:
            return True
        pairs = zip(evenly(self.pieces()), evenly(other.pieces()), strict=True)
        return all(mine == its for mine, its in pairs)

    def __hash__(self) -> int:
        return hash((self._length, self.read(0, _HASHED_OCTETS)))

    def __repr__(self) -> str:
        return f"Content({self._length} octets)"

    def _ranges(self, start: int, end: int | None) -> Iterator[_Stretch]:
        start, end = max(start, 0), self._length if end is None else min(end, self._length)
        index = bisect_right(self._starts, start) - 1
        while start < end:
            source, first, last = self._stretches[index]
            from_here = first + start - self._starts[index]
            until = min(last, from_here + end - start)
            yield source, from_here, until
            start += until - from_here
            index += 1


_Stretch = tuple[bytes | Source, int, int]


class _Made:
    """What is made anew for every reader."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Iterable[bytes]]) -> None:
        self._make = make

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        position = 0
        for piece in self._make():
            first, last = max(start - position, 0), end - position
            position += len(piece)
            if first < len(piece):
                yield piece if first == 0 and last >= len(piece) else piece[first:last]
            if position >= end:
                return


def evenly(pieces: Iterable[bytes], octets: int = PIECE_OCTETS) -> Iterator[bytes]:
    """The same octets in pieces of exactly *octets*, the last one shorter."""
    held = bytearray()
    for piece in pieces:
        if not held and len(piece) == octets:
            yield piece
            continue
        held += piece
        whole = len(held) - len(held) % octets
        with memoryview(held) as view:
            done = [bytes(view[at : at + octets]) for at in range(0, whole, octets)]
        del held[:whole]
        yield from done
    if held:
        yield bytes(held)


# --- keeping -------------------------------------------------------------------------------------


class Writer(Protocol):
    """Takes one content as it comes."""

    def append(self, octets: bytes) -> None:
        """Take the next octets.

        Raises:
            SpoolError: There is no room for them.
        """
        ...

    def finish(self) -> Content:
        """What was taken; nothing is taken afterwards.

        Raises:
            SpoolError: There is no room for it.
        """
        ...


class Store(Protocol):
    """Keeps what is made of a message for as long as somebody holds it."""

    def writer(self) -> Writer:
        """For one content."""
        ...

    def store(self, pieces: Iterable[bytes]) -> Content:
        """Keep *pieces* as one content.

        Raises:
            SpoolError: There is no room for them.
        """
        ...


class Memory:
    """Implements `Store` in memory, whatever the length."""

    def writer(self) -> Writer:
        """For one content."""
        return _MemoryWriter()

    def store(self, pieces: Iterable[bytes]) -> Content:
        """Join *pieces*."""
        return Content(b"".join(pieces))


class _MemoryWriter:
    def __init__(self) -> None:
        self._octets = bytearray()

    def append(self, octets: bytes) -> None:
        self._octets += octets

    def finish(self) -> Content:
        return Content(bytes(self._octets))


MEMORY: Final = Memory()
