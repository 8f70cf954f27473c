"""Twice the file is twice the work, also when every line of it is a mistake (T-09)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.meter.growth import METERED, is_linear

Make = Callable[[int], bytes]

DOCUMENT, PARSE = METERED["smimegw.toml.document"], METERED["smimegw.policy.parse"]

RULE = b'[[rule]]\nname = "r%d"\nwhy = "because"\ndirection = "outbound"\nthen.protect = "sign"\n'

DOCUMENTS: dict[str, Make] = {
    "keys": lambda n: b"".join(b"k%d = 1\n" % m for m in range(n)),
    "tables": lambda n: b"".join(b"[t%d]\na = 1\n" % m for m in range(n)),
    "arrays of tables": lambda n: b"[[rule]]\na = 1\n" * n,
    "one array": lambda n: b"a = [" + b"1, " * n + b"]\n",
    "array of tables in a line": lambda n: b"a = [" + b"{b = 1}, " * n + b"]\n",
    "comments": lambda n: b"# a\n" * n + b"a = 1\n",
    "empty lines": lambda n: b"\n" * n + b"a = 1\n",
    "long text": lambda n: b'a = "' + b"\\n" * n + b'"\n',
    "text of many lines": lambda n: b'a = """' + b'""a\n' * n + b'"""\n',
    "literal of many lines": lambda n: b"a = '''" + b"''a\n" * n + b"'''\n",
    "quoted keys": lambda n: b"".join(b'"k %d" = 1\n' % m for m in range(n)),
}


@pytest.mark.parametrize("shape", DOCUMENTS)
def test_lines_of_keys_are_found_in_one_pass(shape: str) -> None:
    """For the texts of problems, which name a line."""
    assert is_linear(
        lambda octets: DOCUMENT.Document.parse("a.toml", octets).lines, DOCUMENTS[shape], 60
    )


POLICIES: dict[str, Make] = {
    "rules": lambda n: b"".join(RULE % m for m in range(n)),
    "one name": lambda n: (RULE % 1) * n,
    "rules without a reason": lambda n: b'[[rule]]\nname = "r"\n' * n,
    "unknown keys": lambda n: b"".join(b"k%d = 1\n" % m for m in range(n)),
    "unknown keys of rules": lambda n: b"[[rule]]\nnmae = 1\n" * n,
}


MATRICES: dict[str, Make] = {
    "unknown groups": lambda n: b"".join(b"[g%d]\n" % m for m in range(n)),
    "unknown troubles": lambda n: b"[certificate]\n" + b"".join(b"t%d = 1\n" % m for m in range(n)),
    "unknown cells": lambda n: (
        b"[certificate.none]\n" + b"".join(b'p%d = "refuse"\n' % m for m in range(n))
    ),
    "a long word": lambda n: b'[certificate.none]\nencrypt = "' + b"a" * n + b'"\n',
}


@pytest.mark.parametrize("shape", MATRICES)
def test_failure_matrix_is_read_in_one_pass(shape: str) -> None:
    """Whatever somebody took for one."""
    assert is_linear(
        lambda octets: PARSE.parse_policy([("failure-matrix.toml", octets)]), MATRICES[shape], 20
    )


@pytest.mark.parametrize("shape", POLICIES)
def test_policies_are_read_in_one_pass(shape: str) -> None:
    """All mistakes at once, without comparing each with each."""
    assert is_linear(
        lambda octets: PARSE.parse_policy([("policy.toml", octets)]), POLICIES[shape], 20
    )
