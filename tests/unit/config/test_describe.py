"""The sample, the explanations and the effective values are made from the model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.config.describe import all_keys, describe_key, sample, show
from smimegw.config.load import load, load_with_origins

_ROOT = Path(__file__).parents[3]


def test_every_key_is_documented() -> None:
    """A new key without an explanation does not pass."""
    assert [key.key for key in all_keys() if not key.text] == []


def test_sample_in_docs_is_the_generated_one() -> None:
    """Make it anew with ``smimegw config sample > docs/smimegw.toml.sample``."""
    assert (_ROOT / "docs/smimegw.toml.sample").read_text() == sample()


def test_sample_is_a_valid_configuration(tmp_path: Path) -> None:
    """Apart from the files it names."""
    (tmp_path / "smimegw.toml").write_text(sample())
    assert load(tmp_path / "smimegw.toml", check_files=False).gateway.hostname == "gw.corp.example"


def test_sample_with_every_default_written_out_means_the_same(tmp_path: Path) -> None:
    """What the sample calls a default is the default."""
    written = re.sub(r"^# (\w+ = )(?!\{)", r"\1", sample(), flags=re.MULTILINE)
    assert written != sample()
    for name, text in (("plain", sample()), ("written", written)):
        tomllib.loads(text)
        (tmp_path / f"{name}.toml").write_text(text)
    plain = load(tmp_path / "plain.toml", check_files=False)
    assert load(tmp_path / "written.toml", check_files=False) == plain


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("listener.anything.peers", "networks that may connect"),
        ("directory[3].deadline", "one look-up"),
        ("directory.bind.password", "password"),
        ("limits.recipients", "recipients"),
    ],
)
def test_key_is_explained_with_any_name_or_number(key: str, word: str) -> None:
    """People copy keys from messages."""
    assert word in describe_key(key).text


def test_unknown_key_gets_a_hint() -> None:
    """Typing mistakes."""
    with pytest.raises(KeyError, match=r"Did you mean gateway\.hostname"):
        describe_key("gateway.hostnam")


def test_show_prints_values_that_parse(write: Callable[..., Path]) -> None:
    """Each line is TOML."""
    for line in show(load(write())):
        tomllib.loads(re.sub(r"\[\d+\]", "", line))


def test_show_names_origins_and_defaults(write: Callable[..., Path]) -> None:
    """Where does this value come from?"""
    path = write()
    loaded = load_with_origins(path)
    (line,) = show(loaded.configuration, loaded.origins, "directory[0].deadline")
    assert line.split() == ["directory[0].deadline", "=", '"2s"', "#", f"{path}:21"]
    (line,) = show(loaded.configuration, loaded.origins, "gateway.strict")
    assert line.endswith("# default")
