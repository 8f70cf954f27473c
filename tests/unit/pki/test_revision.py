"""One setting is changed in ca.toml, and nothing else."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pki import revision, settings
from pki.settings import Settings
from smimegw.errors import UsageError
from tests.unit.pki.steps import Operator

_PLACE = Path("ca.toml")


def _revise(text: str, key: str, *words: str) -> str:
    return revision.revise(text, key, words, chosen=settings.parse(text, _PLACE))


@pytest.mark.parametrize(
    ("key", "words", "wanted"),
    [
        ("urls.ocsp", ("http://a.example/o", "http://b.example/o"), 2),
        ("days.delta", ("2",), 2),
        ("days.root_crl", ("200",), 200),
        ("requests.second_person", ("true",), True),
        ("organization", ('Müller "&" Söhne # 1',), 'Müller "&" Söhne # 1'),
        ("directory.filter", ("(|(mail=%{address})(uid=x))",), "(|(mail=%{address})(uid=x))"),
    ],
)
def test_one_value_changes(key: str, words: tuple[str, ...], wanted: object) -> None:
    """All others stay, and so do the comments."""
    text = settings.write(Settings(country="DE"))
    revised = _revise(text, key, *words)
    found = revision.values(settings.parse(revised, _PLACE))
    assert found[key] == (list(words) if isinstance(found[key], list) else wanted)
    before = revision.values(Settings(country="DE"))
    assert {**before, key: found[key]} == found
    assert [line.partition("#")[2] for line in revised.splitlines() if line.startswith("#")] == [
        line.partition("#")[2] for line in text.splitlines() if line.startswith("#")
    ]
    assert len(revised.splitlines()) == len(text.splitlines())


def test_a_list_becomes_empty() -> None:
    """No value given is an empty list."""
    text = settings.write(replace(Settings(), ocsp_urls=("http://a.example/o",)))
    assert settings.parse(_revise(text, "urls.ocsp"), _PLACE).ocsp_urls == ()


@pytest.mark.parametrize("key", ["days.crl", "urls.delta", "country"])
def test_a_key_that_an_older_file_lacks_is_added(key: str) -> None:
    """To its table, which may be missing as well."""
    value = "DE" if key == "country" else "http://a.example/d" if key == "urls.delta" else "9"
    revised = _revise("version = 1\n[days]\nmailbox = 100\n", key, value)
    table, _, name = key.rpartition(".")
    document = tomllib.loads(revised)
    found = (document[table] if table else document)[name]
    assert found == ([value] if key == "urls.delta" else int(value) if value == "9" else value)
    assert document["days"]["mailbox"] == 100


@pytest.mark.parametrize(
    ("key", "words", "text"),
    [
        ("urls.oscp", ("http://a.example",), "Did you mean urls.ocsp?"),
        ("version", ("2",), "no setting 'version'"),
        ("days.crl", ("7", "8"), "takes one value"),
        ("days.crl", ("seven",), "whole number"),
        ("requests.second_person", ("yes",), "true or false"),
    ],
)
def test_what_cannot_be_is_refused(key: str, words: tuple[str, ...], text: str) -> None:
    """And the text says what could be."""
    with pytest.raises(UsageError, match=text.replace("?", r"\?")):
        _revise(settings.write(Settings()), key, *words)


def test_what_a_person_wrote_in_another_way_is_left_to_him() -> None:
    """A list over several lines, for example."""
    text = 'version = 1\n[urls]\nocsp = [\n  "http://a.example/o",\n]\n'
    with pytest.raises(UsageError, match="by hand"):
        _revise(text, "urls.ocsp", "http://b.example/o")


def test_the_command_changes_the_file_and_tells_the_ledger(operator: Operator) -> None:
    """Who changed what the CA does is seen later."""
    path = operator.directory / "ca.toml"
    operator.succeed("settings", "set", "urls.ocsp", "http://pki.corp.example/ocsp")
    assert settings.load(path).ocsp_urls == ("http://pki.corp.example/ocsp",)
    assert path.stat().st_mode & 0o777 == 0o600
    (entry,) = [
        entry
        for entry in operator.json("ledger", "export")
        if entry.get("entry_kind") == "settings"
    ]
    assert entry["details"] == {
        "key": "urls.ocsp",
        "value": '["http://pki.corp.example/ocsp"]',
        "operator": "rita",
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("urls.ocsp", "ftp://pki.corp.example"), "does not begin with http://"),
        (("days.crl", "0"), "out of range"),
        (("renewal.overlap", "99"), "renewal.days is 30"),
    ],
)
def test_a_value_that_the_ca_could_not_use_is_not_written(
    operator: Operator, words: tuple[str, ...], text: str
) -> None:
    """Checked as the whole file is, before it is replaced."""
    path = operator.directory / "ca.toml"
    before = path.read_bytes()
    result = operator.type("settings", "set", *words)
    assert (result.exit_code, text in result.stderr) == (2, True), result.stderr
    assert path.read_bytes() == before


def test_settings_are_shown(operator: Operator) -> None:
    """All of them, or one."""
    (shown,) = operator.json("settings")
    assert shown["settings"]["domains"] == ["corp.example"]  # type: ignore[index]
    assert operator.succeed("settings", "show", "days.crl").stdout.split() == ["days.crl", "7"]
