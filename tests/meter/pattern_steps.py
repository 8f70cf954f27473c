"""Counts the steps of a regular expression, as the standard library's engine takes them.

The engine itself tells nothing about its work, and a pattern that goes over its input again and
again looks as innocent as any other.  So the library's own parse of a pattern is walked here in
the same order, with one count for each thing that is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import islice
from re import _constants as sre
from re import _parser as parser
from typing import Any

Text = str | bytes | bytearray | memoryview
Step = Callable[["Subject", int], Iterator[int]]
_SINGLE = {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}
_CATEGORIES = {
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}


class Subject:
    """What is matched, with the count and the groups so far."""

    def __init__(self, text: Text, end: int, charge: Callable[[int], None]) -> None:
        self.codes = text.encode("utf-32-le", "surrogatepass") if isinstance(text, str) else text
        if isinstance(text, str):
            self.codes = memoryview(self.codes).cast("I")
        self.end = end
        self.charge = charge
        self.groups: dict[int, tuple[int, int]] = {}


class Program:
    """One pattern, ready to be walked."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        tree = parser.parse(pattern.pattern, pattern.flags & ~re.TEMPLATE)
        self._match = _sequence(tree, tree.state.flags)

    def first(self, subject: Subject, position: int) -> int | None:
        """Where a match that begins at *position* ends."""
        subject.groups.clear()
        return next(self._match(subject, position), None)

    def whole(self, subject: Subject, position: int) -> int | None:
        """The same, for a match that has to reach the end."""
        subject.groups.clear()
        ends = self._match(subject, position)
        return next((end for end in ends if end == subject.end), None)

    def search(self, subject: Subject, position: int) -> tuple[int, int] | None:
        """The first match at or after *position*."""
        for start in range(position, subject.end + 1):
            subject.charge(1)
            end = self.first(subject, start)
            if end is not None:
                return start, end
        return None

    def every(self, subject: Subject, position: int) -> Iterator[tuple[int, int]]:
        """All matches one after the other, as `finditer` and `sub` find them."""
        after_empty = False
        while position <= subject.end:
            found = self.search(subject, position)
            if found is None:
                return
            yield found
            after_empty = found[0] == found[1]
            position = found[1] + after_empty


@cache
def program(pattern: re.Pattern[Any]) -> Program:
    """The program of a pattern; made once."""
    return Program(pattern)


def _sequence(items: Any, flags: int) -> Step:
    steps = [_step(item, flags) for item in items]
    if len(steps) == 1:
        return steps[0]

    def match(subject: Subject, position: int) -> Iterator[int]:
        if not steps:
            yield position
            return
        running = [steps[0](subject, position)]
        while running:
            at = next(running[-1], None)
            if at is None:
                running.pop()
            elif len(running) == len(steps):
                yield at
            else:
                running.append(steps[len(running)](subject, at))

    return match


def _step(item: tuple[Any, Any], flags: int) -> Step:
    kind, value = item
    if kind in _SINGLE:
        return _one(_predicate(item, flags))
    match kind:
        case sre.BRANCH:
            return _branch([_sequence(way, flags) for way in value[1]])
        case sre.SUBPATTERN:
            group, added, removed, inner = value
            return _group(group, _sequence(inner, (flags | added) & ~removed))
        case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
            return _repeat(kind, value, flags)
        case sre.ATOMIC_GROUP:
            return _atomic(_sequence(value, flags))
        case sre.ASSERT | sre.ASSERT_NOT:
            direction, inner = value
            back = inner.getwidth()[0] if direction < 0 else 0
            return _look(_sequence(inner, flags), back, wanted=kind is sre.ASSERT)
        case sre.AT:
            return _at(value, flags)
        case sre.GROUPREF:
            return _reference(value)
    raise NotImplementedError(f"{kind} in a pattern")


def _one(fits: Callable[[int], bool]) -> Step:
    def match(subject: Subject, position: int) -> Iterator[int]:
        subject.charge(1)
        if position < subject.end and fits(subject.codes[position]):
            yield position + 1

    return match


def _branch(ways: list[Step]) -> Step:
    def match(subject: Subject, position: int) -> Iterator[int]:
        for way in ways:
            subject.charge(1)
            yield from way(subject, position)

    return match


def _group(number: int | None, inner: Step) -> Step:
    if number is None:
        return inner

    def match(subject: Subject, position: int) -> Iterator[int]:
        for end in inner(subject, position):
            subject.groups[number] = (position, end)
            yield end

    return match


def _repeat(kind: Any, value: tuple[int, int, Any], flags: int) -> Step:
    least, most, inner = value
    if len(inner) == 1 and inner[0][0] in _SINGLE:
        step = _run(_predicate(inner[0], flags), least, most, lazy=kind is sre.MIN_REPEAT)
    elif kind is sre.MIN_REPEAT:
        raise NotImplementedError("a lazy repetition of more than one character")
    else:
        step = _rounds(_sequence(inner, flags), least, most)
    return _atomic(step) if kind is sre.POSSESSIVE_REPEAT else step


def _run(fits: Callable[[int], bool], least: int, most: int, *, lazy: bool) -> Step:
    """A repetition of single characters."""

    def match(subject: Subject, position: int) -> Iterator[int]:
        end, last = position, min(subject.end, position + int(most))
        while end < last and fits(subject.codes[end]):
            end += 1
        subject.charge(1 if lazy else end - position + 1)
        ends = range(position + least, end + 1)
        for at in ends if lazy else reversed(ends):
            subject.charge(1)
            yield at

    return match


def _rounds(inner: Step, least: int, most: int) -> Step:
    """A repetition of anything, greedy; without recursion, however many rounds there are."""

    def match(subject: Subject, position: int) -> Iterator[int]:
        starts, running = [position], [inner(subject, position)]
        while running:
            subject.charge(1)
            at = next(running[-1], None) if len(running) <= most else None
            if at is not None and at != starts[-1]:
                starts.append(at)
                running.append(inner(subject, at))
                continue
            if at is not None and len(running) > least:
                continue
            running.pop()
            start = starts.pop()
            if len(running) >= least:
                yield start

    return match


def _atomic(inner: Step) -> Step:
    return lambda subject, position: islice(inner(subject, position), 1)


def _look(inner: Step, back: int, *, wanted: bool) -> Step:
    def match(subject: Subject, position: int) -> Iterator[int]:
        subject.charge(1)
        start = position - back
        found = start >= 0 and next(inner(subject, start), None) is not None
        if found == wanted:
            yield position

    return match


def _at(place: Any, flags: int) -> Step:
    lines = bool(flags & re.MULTILINE)

    def match(subject: Subject, position: int) -> Iterator[int]:
        subject.charge(1)
        codes, end = subject.codes, subject.end
        match place:
            case sre.AT_BEGINNING:
                holds = position == 0 or (lines and codes[position - 1] == 10)
            case sre.AT_BEGINNING_STRING:
                holds = position == 0
            case sre.AT_END_STRING:
                holds = position == end
            case sre.AT_END:
                last = position == end or (position == end - 1 and codes[position] == 10)
                holds = last or (lines and codes[position] == 10)
            case _:
                raise NotImplementedError(f"{place} in a pattern")
        if holds:
            yield position

    return match


def _reference(number: int) -> Step:
    def match(subject: Subject, position: int) -> Iterator[int]:
        start, end = subject.groups.get(number, (0, -1))
        length = end - start
        subject.charge(1 + max(length, 0))
        codes = subject.codes
        if 0 <= length <= subject.end - position and (
            codes[start:end] == codes[position : position + length]
        ):
            yield position + length

    return match


def _predicate(item: tuple[Any, Any], flags: int) -> Callable[[int], bool]:
    """Whether a character, given as its number, is of the kind *item*."""
    fits = _plain_predicate(item, flags)
    if flags & re.IGNORECASE:
        return lru_cache(None)(lambda code: any(fits(ord(letter)) for letter in _cases(chr(code))))
    return lru_cache(None)(fits)


def _cases(letter: str) -> set[str]:
    return {form for form in (letter, letter.lower(), letter.upper()) if len(form) == 1}


def _plain_predicate(item: tuple[Any, Any], flags: int) -> Callable[[int], bool]:
    kind, value = item
    match kind:
        case sre.LITERAL:
            return lambda code: code == value
        case sre.NOT_LITERAL:
            return lambda code: code != value
        case sre.RANGE:
            return lambda code: value[0] <= code <= value[1]
        case sre.ANY:
            return lambda code: bool(flags & re.DOTALL) or code != 10
        case sre.CATEGORY:
            known = re.compile(_CATEGORIES[value], flags & re.ASCII)
            if flags & re.UNICODE:
                return lambda code: known.match(chr(code)) is not None
            return lambda code: code < 128 and known.match(chr(code)) is not None
        case sre.IN:
            negated = value[0][0] is sre.NEGATE
            members = [_plain_predicate(member, flags) for member in value[negated:]]
            return lambda code: any(fits(code) for fits in members) != negated
    raise NotImplementedError(f"{kind} in a pattern")
