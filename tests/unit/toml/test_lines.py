"""The line finder agrees with tomllib about what is there, and with people about where."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.errors import ConfigurationError
from smimegw.toml.document import Document, dotted
from smimegw.toml.lines import KeyPath, key_lines
from smimegw.toml.structure import toml_value

SAMPLE = '''a = 1 # [not.a.table]
[x."y z"]
b = { c = 1, "d.e" = [1,
 2, { f = """
k = 1
[[l]] """ } ] }
text = 'a # "b" ] }'
long = \'\'\'
[q]
\'\'\'
[[l]]
n = 1
[l.sub]
q = "es\\"c]"
[[l]]
n.m = 1979-05-27 07:32:00
[[l.t]]
w=1
'''


def _paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    found = {path} if path else set()
    if isinstance(value, dict):
        for key, item in value.items():
            found |= _paths(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found |= _paths(item, (*path, index))
    return found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("x", "y z"), 2),
        (("x", "y z", "b", "c"), 3),
        (("x", "y z", "b", "d.e", 0), 3),
        (("x", "y z", "b", "d.e", 1), 4),
        (("x", "y z", "b", "d.e", 2, "f"), 4),
        (("x", "y z", "text"), 7),
        (("x", "y z", "long"), 8),
        (("l", 0, "n"), 12),
        (("l", 0, "sub", "q"), 14),
        (("l", 1), 15),
        (("l", 1, "n", "m"), 16),
        (("l", 1, "t", 0, "w"), 18),
    ],
    ids=lambda value: dotted(value) if isinstance(value, tuple) else str(value),
)
def test_every_form_of_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    """Dotted, quoted, inline, in arrays and in arrays of tables (TOML 1.0)."""
    assert key_lines(SAMPLE)[path] == line


def test_multi_line_strings_hide_what_looks_like_keys() -> None:
    """Nothing is found that tomllib does not know either."""
    assert set(key_lines(SAMPLE)) >= _paths(tomllib.loads(SAMPLE)) - {("x",)}
    assert not set(key_lines(SAMPLE)) - _paths(tomllib.loads(SAMPLE))


_KEYS = st.text("abc.-_ \"'\\é#[]=", min_size=1, max_size=6)
_SCALARS = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text("ab\"'\\#[]{},=\n", max_size=8), st.floats(0, 1)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{toml_value(key)} = {_inline(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[ # comment ]\n" + ",\n".join(_inline(item) for item in value) + "\n]"
    return toml_value(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_finds_exactly_the_keys_that_tomllib_finds(values: dict[str, Any]) -> None:
    """Property over generated documents with awkward keys and texts."""
    text = "".join(f"{toml_value(key)} = {_inline(item)}\n" for key, item in values.items())
    assert tomllib.loads(text) == values
    assert set(key_lines(text)) == _paths(values)


def test_lines_grow_linearly() -> None:
    """Fifty thousand keys are no trouble: each is looked at once."""
    text = "".join(f"k{number} = [{number}]\n" for number in range(50_000))
    assert key_lines(text)[("k49999", 0)] == 50_000


def test_syntax_error_names_its_line() -> None:
    """tomllib's own line is kept."""
    with pytest.raises(ConfigurationError, match=r"^f\.toml:2: not valid TOML"):
        Document.parse("f.toml", b"a = 1\nb = = 2\n")


def test_unterminated_file_names_its_last_line() -> None:
    """Errors at the end of the document have no line in tomllib."""
    with pytest.raises(ConfigurationError, match=r"^f\.toml:2: not valid TOML"):
        Document.parse("f.toml", b'a = 1\nb = "\n')


def test_wrong_encoding_names_its_line() -> None:
    """A file saved in Latin-1 is told from a broken one."""
    with pytest.raises(ConfigurationError, match=r"^f\.toml:2: not UTF-8"):
        Document.parse("f.toml", b"a = 1\nb = '\xe9'\n")


def test_deep_nesting_is_a_problem_not_a_crash() -> None:
    """tomllib recurses."""
    with pytest.raises(ConfigurationError, match="nested too deep"):
        Document.parse("f.toml", b"a = " + b"[" * 100_000)
