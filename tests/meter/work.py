"""What a piece of work is: one for each call and loop, one for each octet that C code goes over.

`hooks` are the functions that instrumented code (see `instrument`) calls instead of what it says.
Libraries that are not ours, such as `cryptography` or `idna`, are charged by the size of what they
are given: that they are linear is believed, not measured.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from tests.meter.pattern_steps import Subject, program

_TEXT = (bytes, bytearray, str)
_SIZED = (bytes, bytearray, str, list, tuple, set, frozenset, dict, memoryview)
_COPIED = (bytes, bytearray, str, list, tuple)
_CONSTANT: set[Any] = {
    *(len, isinstance, issubclass, hasattr, getattr, id, type, iter, next, enumerate, zip, range),
    *(map, filter, reversed, memoryview, ord, chr, bool, hash, object, repr, bisect.bisect_right),
}
_CONVERSIONS = {bytes, bytearray, str, list, tuple, set, frozenset, dict, int, sorted, sum, max}
_CONVERSIONS |= {min, any, all}
_QUICK_LIST = {"append", "pop"}
_QUICK_DICT = {"get", "setdefault", "pop", "items", "keys", "values"}


class Work:
    """The count."""

    def __init__(self) -> None:
        self.units = 0
        self.most: int | None = None

    def charge(self, units: int) -> None:
        """Add to the count.

        Raises:
            MemoryError: More than was expected by far, so that a test ends soon.
        """
        self.units += units
        if self.most is not None and self.units > self.most:
            raise TooMuchWork(self.units)


class TooMuchWork(BaseException):
    """Ends a count that runs away; no reader catches it."""


WORK = Work()


def counted(function: Callable[[], object], most: int | None = None) -> int:
    """How much work *function* is, whether it returns or raises."""
    WORK.units, WORK.most = 0, most
    try:
        function()
    except Exception:
        pass
    finally:
        WORK.most = None
    return WORK.units


def call(function: Any, *arguments: Any, **named: Any) -> Any:
    """Call *function* and charge for it."""
    WORK.charge(1)
    owner = getattr(function, "__self__", None)
    if isinstance(function, FunctionType) and function in _PATTERN_FUNCTIONS:
        compiled = re.compile(arguments[0], named.pop("flags", 0))
        return call(getattr(compiled, function.__name__), *arguments[1:], **named)
    if isinstance(owner, re.Pattern):
        _charge_pattern(owner, function.__name__, *arguments, **named)
        result = function(*arguments, **named)
        WORK.charge(len(result) if isinstance(result, _COPIED) else 0)
        return result
    result = function(*arguments, **named)
    if isinstance(owner, (*_TEXT, list)) and not isinstance(function, type):
        WORK.charge(_method_cost(owner, function.__name__, arguments, result))
    elif isinstance(owner, dict) and function.__name__ in _QUICK_DICT:
        pass
    elif _is_charged_by_size(function):
        WORK.charge(sum(len(part) for part in arguments if isinstance(part, _SIZED)))
        WORK.charge(len(result) if isinstance(result, _COPIED) else 0)
    return result


_PATTERN_FUNCTIONS = (re.match, re.search, re.fullmatch, re.sub, re.finditer, re.findall, re.split)


def _is_charged_by_size(function: Any) -> bool:
    try:
        if function in _CONSTANT:
            return False
        if function in _CONVERSIONS:
            return True
    except TypeError:  # not hashable
        return False
    if isinstance(function, FunctionType):
        return not function.__module__.startswith("smimegw")
    return isinstance(function, BuiltinFunctionType)


def _method_cost(owner: Any, name: str, arguments: tuple[Any, ...], result: Any) -> int:
    if isinstance(owner, list):
        if name in _QUICK_LIST and arguments[:1] != (0,):
            return 0
        return (
            len(arguments[0])
            if name == "extend" and hasattr(arguments[0], "__len__")
            else len(owner)
        )
    match name:
        case "find" | "index":
            start = arguments[1] if len(arguments) > 1 else 0
            end = min(arguments[2], len(owner)) if len(arguments) > 2 else len(owner)
            return max(0, (result if result >= 0 else end) - start)
        case "rfind" | "rindex":
            start = arguments[1] if len(arguments) > 1 else 0
            end = min(arguments[2], len(owner)) if len(arguments) > 2 else len(owner)
            return max(0, end - (result if result >= 0 else start))
        case "startswith" | "endswith" | "removeprefix" | "removesuffix":
            return len(arguments[0]) + (len(result) if isinstance(result, _TEXT) else 0)
        case "append" | "extend" | "isascii":
            return len(arguments[0]) if arguments and hasattr(arguments[0], "__len__") else 1
        case "count" if len(arguments) > 1:
            end = arguments[2] if len(arguments) > 2 else len(owner)
            return max(0, min(end, len(owner)) - arguments[1])
        case "join":
            return len(result)
    return len(owner) + (len(result) if isinstance(result, _COPIED) else 0)


def _charge_pattern(pattern: re.Pattern[Any], name: str, *given: Any, **named: Any) -> None:
    if name in {"sub", "subn"}:
        text, bounds = given[1], ()
        WORK.charge(len(text))
    else:
        text, bounds = given[0], given[1:]
    position = max(0, bounds[0]) if bounds else named.get("pos", 0)
    end = min(len(text), bounds[1]) if len(bounds) > 1 else named.get("endpos", len(text))
    # Making the subject is not the engine's work, so it is not charged.
    subject, steps = Subject(text, end, WORK.charge), program(pattern)
    match name:
        case "match":
            steps.first(subject, position)
        case "fullmatch":
            steps.whole(subject, position)
        case "search":
            steps.search(subject, position)
        case _:
            for _ in steps.every(subject, position):
                pass


def sized(value: Any) -> Any:
    """A slice, sum or display: what was copied is charged."""
    if isinstance(value, _COPIED):
        WORK.charge(len(value))
    return value


def added(value: Any) -> Any:
    """The right side of an addition in place."""
    WORK.charge(len(value) if isinstance(value, _COPIED) else 1)
    return value


def grown(value: Any) -> None:
    """What an addition in place made: immutable values were copied (`str` grows in place)."""
    if isinstance(value, (bytes, tuple)):
        WORK.charge(len(value))


def items(values: Iterable[Any]) -> Iterator[Any]:
    """A loop: one for each round."""
    for value in values:
        WORK.charge(1)
        yield value


def tick() -> bool:
    """One round of a ``while``."""
    WORK.charge(1)
    return True


def contains(member: Any, values: Any) -> bool:
    """``member in values``."""
    found: bool = member in values
    if isinstance(values, _TEXT) and isinstance(member, _TEXT):
        WORK.charge(values.find(member) if found else len(values))  # type: ignore[arg-type]
    elif isinstance(values, (list, tuple)):
        WORK.charge(values.index(member) + 1 if found else len(values))
    return found


def equal(left: Any, right: Any) -> bool:
    """``left == right``."""
    if isinstance(left, _TEXT) and isinstance(right, _TEXT) and len(left) == len(right):
        WORK.charge(len(left))
    return bool(left == right)


hooks = {
    "_m_call": call,
    "_m_sized": sized,
    "_m_added": added,
    "_m_grown": grown,
    "_m_items": items,
    "_m_tick": tick,
    "_m_contains": contains,
    "_m_equal": equal,
}
