"""Turns plain TOML values into frozen dataclasses and collects every mistake with its path."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from typing import Any, Generic, TypeVar, get_args, get_origin

import cattrs
from cattrs.errors import AttributeValidationNote, ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from smimegw.toml.lines import KeyPath

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake: where in the document, and what to say about it."""

    path: KeyPath
    message: str


class FaultError(ValueError):
    """A value is wrong; *path* leads from the value to the exact place inside it."""

    def __init__(self, message: str, path: KeyPath = ()) -> None:
        super().__init__(message)
        self.path = path


class _ElementsError(ValueError):
    """Several elements of one list or table of tables are wrong."""

    def __init__(self, errors: Sequence[tuple[str | int, Exception]]) -> None:
        super().__init__("elements")
        self.errors = errors


class Structurer(Generic[T]):
    """Structures documents of one dataclass; types are checked, never converted by guess."""

    def __init__(self, form: type[T], hooks: Sequence[tuple[Any, Hook]] = ()) -> None:
        self._form = form
        self._converter = converter = cattrs.Converter(detailed_validation=True)
        for plain in (str, int, float, bool):
            converter.register_structure_hook(plain, _plain)
        converter.register_structure_hook_func(_is_enum, _choice)
        converter.register_structure_hook_factory(_is_tuple, self._tuple_hook)
        converter.register_structure_hook_factory(_is_mapping, self._mapping_hook)
        converter.register_structure_hook_factory(dataclasses.is_dataclass, self._class_hook)
        for kind, hook in hooks:
            converter.register_structure_hook(kind, hook)

    def structure(self, values: Any) -> tuple[T | None, tuple[Fault, ...]]:
        """Return the dataclass and no fault, or None and every fault."""
        try:
            return self._converter.structure(values, self._form), ()
        except Exception as error:  # noqa: BLE001 – whatever a hook raises is a fault of the file
            return None, tuple(_faults(error, ()))

    def part(self, values: Any, kind: Any) -> Any:
        """For hooks that choose a type: structure *values* as *kind*."""
        return self._converter.structure(values, kind)

    def _class_hook(self, form: type) -> Hook:
        renamed = {field.name: override(rename=key_of(field.name)) for field in _fields(form)}
        inner: Hook = make_dict_structure_fn(
            form,
            self._converter,
            _cattrs_forbid_extra_keys=True,
            _cattrs_detailed_validation=True,
            **renamed,  # type: ignore[arg-type]  # each is an override
        )

        def structure_class(value: Any, kind: Any) -> Any:
            if not isinstance(value, dict):
                raise FaultError(f"{show(value)} is not a table.  {_keys_allowed(form)}")
            return inner(value, kind)

        return structure_class

    def _tuple_hook(self, kind: Any) -> Hook:
        element = get_args(kind)[0]

        def structure_tuple(value: Any, _: Any) -> Any:
            if not isinstance(value, list):
                raise FaultError(f"{show(value)} is not a list.  Write [{show(value)}]")
            return tuple(self._each(enumerate(value), element))

        return structure_tuple

    def _mapping_hook(self, kind: Any) -> Hook:
        name_kind, element = get_args(kind)

        def structure_mapping(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise FaultError(f"{show(value)} is not a table of named tables")
            names = self._each(((name, name) for name in value), name_kind)
            return dict(zip(names, self._each(value.items(), element), strict=True))

        return structure_mapping

    def _each(self, items: Iterable[tuple[str | int, Any]], element: Any) -> list[Any]:
        found, errors = [], []
        for place, item in items:
            try:
                found.append(self._converter.structure(item, element))
            except Exception as error:  # noqa: BLE001 – collected, all of them are reported
                errors.append((place, error))
        if errors:
            raise _ElementsError(errors)
        return found


def key_of(field_name: str) -> str:
    """The TOML key of a dataclass field: ``from_`` stands for ``from``."""
    return field_name.removesuffix("_")


def show(value: Any) -> str:
    """Write a value as it may stand in a TOML file, shortened for messages."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "a number of more than 64 bits"  # TOML has none; str() fails on thousands of digits
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "…"
        return '"' + "".join(c if c.isprintable() else "�" for c in short) + '"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``  Did you mean x?`` when one of *known* is near *word*, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"  Did you mean {near[0]}?" if near else ""


def _fields(form: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(form)


def _keys_allowed(form: Any) -> str:
    return "Allowed keys: " + ", ".join(key_of(field.name) for field in _fields(form))


# --- hooks -----------------------------------------------------------------------------------

_KIND_NAMES = {
    str: 'a text in "quotes"',
    int: "a whole number",
    float: "a number",
    bool: "true or false, without quotes",
}


def _plain(value: Any, kind: Any) -> Any:
    if _is_enum(kind):  # cattrs asks for str's hook first for a StrEnum
        return _choice(value, kind)
    is_huge = type(value) is int and value.bit_length() > _MOST_BITS
    if kind is float and type(value) is int and not is_huge:
        return float(value)
    if type(value) is not kind or is_huge or (kind is float and not math.isfinite(value)):
        raise FaultError(f"{show(value)} is not allowed.  Write {_KIND_NAMES[kind]}")
    return value


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _choice(value: Any, kind: Any) -> Any:
    allowed = {_word(member): member for member in kind}
    if isinstance(value, str) and value in allowed:
        return allowed[value]
    hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
    raise FaultError(f"{show(value)} is not allowed.{hint}  Allowed: {', '.join(allowed)}")


def _word(member: Enum) -> str:
    return str(getattr(member, "label", member.value))


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping


# --- faults ----------------------------------------------------------------------------------


def _faults(error: Exception, path: KeyPath) -> Iterator[Fault]:
    match error:
        case _ElementsError():
            for place, inner in error.errors:
                yield from _faults(inner, (*path, place))
        case ClassValidationError():
            with_place, others = error.group_exceptions()
            for inner, note in with_place:
                yield from _attribute_faults(inner, note, path)
            for inner in others:
                yield from _faults(inner, path)
        case ForbiddenExtraKeysError():
            known = [key_of(field.name) for field in _fields(error.cl)]
            for key in sorted(error.extra_fields):
                hint = did_you_mean(key, known)
                yield Fault((*path, key), f"unknown key.{hint}  Allowed keys: {', '.join(known)}")
        case FaultError():
            yield Fault((*path, *error.path), str(error))
        case _:
            yield Fault(path, str(error) or type(error).__name__)


def _attribute_faults(
    error: Exception, note: AttributeValidationNote, path: KeyPath
) -> Iterator[Fault]:
    key = key_of(note.name)
    if type(error) is KeyError:  # cattrs found no such key
        yield Fault((*path, key), f"missing.{_choices(note.type)}")
    else:
        yield from _faults(error, (*path, key))


def _choices(kind: Any) -> str:
    if _is_enum(kind):
        return "  Allowed: " + ", ".join(_word(member) for member in kind)
    return ""


def toml_value(value: Any) -> str:
    """Write a plain value, list or table as one line of TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return toml_value(_word(value))
    if isinstance(value, int | float | date | time):
        return str(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else _escaped(ord(c)) for c in text) + '"'


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
