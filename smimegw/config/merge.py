"""Lays drop-in files over the main file and remembers which file said what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smimegw.errors import Problem
from smimegw.toml.document import Document, dotted
from smimegw.toml.lines import KeyPath

_Place = tuple[Document, KeyPath]


@dataclass(frozen=True)
class Merged:
    """The values of several documents as if they were one.

    Attributes:
        values: Later documents win.
        places: For every path, the document that set it and the path there.
    """

    values: dict[str, Any]
    places: Mapping[KeyPath, _Place]

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at *path*, in the file that wrote it or the nearest thing around it."""
        around = path
        while around and around not in self.places:
            around = around[:-1]
        document, inner = self.places[around]
        return Problem(
            file=document.name, line=document.line(inner), key=dotted(path), message=message
        )

    def origins(self) -> dict[KeyPath, str]:
        """``file:line`` of every key that was written."""
        return {
            path: f"{document.name}:{document.line(inner)}"
            for path, (document, inner) in self.places.items()
            if path
        }


def merge(documents: Sequence[Document]) -> Merged:
    """Merge tables key by key and ``[[tables]]`` by their name; everything else is replaced."""
    values: dict[str, Any] = {}
    places: dict[KeyPath, _Place] = {(): (documents[0], ())}
    for document in documents:
        _merge_table(values, document.values, (), (document, ()), places)
    return Merged(values, places)


def _merge_table(
    into: dict[str, Any],
    new: Mapping[str, Any],
    path: KeyPath,
    place: _Place,
    places: dict[KeyPath, _Place],
) -> None:
    document, inner = place
    for key, value in new.items():
        key_path, key_place = (*path, key), (document, (*inner, key))
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _is_choice(value):
            _merge_table(old, value, key_path, key_place, places)
        elif _are_tables(old) and _are_tables(value):
            _merge_named(into[key], value, key_path, key_place, places)
        else:
            _forget(places, key_path)
            into[key] = _copy(value, key_path, key_place, places)


def _merge_named(
    into: list[Any],
    new: Sequence[dict[str, Any]],
    path: KeyPath,
    place: _Place,
    places: dict[KeyPath, _Place],
) -> None:
    document, inner = place
    for number, table in enumerate(new):
        names = [old.get("name") for old in into]
        table_place = (document, (*inner, number))
        if table.get("name") is not None and table.get("name") in names:
            index = names.index(table["name"])
            _merge_table(into[index], table, (*path, index), table_place, places)
        else:
            into.append(_copy(table, (*path, len(into)), table_place, places))


def _copy(value: Any, path: KeyPath, place: _Place, places: dict[KeyPath, _Place]) -> Any:
    document, inner = place
    places[path] = place
    if isinstance(value, dict):
        return {
            key: _copy(item, (*path, key), (document, (*inner, key)), places)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _copy(item, (*path, index), (document, (*inner, index)), places)
            for index, item in enumerate(value)
        ]
    return value


def _is_choice(value: Mapping[str, Any]) -> bool:
    """A secret names one source; two files must not end in a table with two sources."""
    return len(value) == 1 and next(iter(value)) in ("credential", "file", "env")


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, dict) for i in value)


def _forget(places: dict[KeyPath, _Place], path: KeyPath) -> None:
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
