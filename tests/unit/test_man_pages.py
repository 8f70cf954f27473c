"""The manual pages can be read, and say what the programs say."""

from __future__ import annotations

import subprocess

import click
import pytest

from smimegw.config.describe import all_keys
from tests.make import documents
from tests.make.man import escaped, manual_pages

PAGES = manual_pages(documents.programs())


def _shown(name: str) -> str:
    """What a reader sees, on one long line; words are not broken."""
    formatted = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", "-rLL=400n"],
        input=PAGES[name].encode("ascii"),
        capture_output=True,
        check=True,
    )
    return " ".join(formatted.stdout.decode("ascii").split())


@pytest.mark.parametrize("name", sorted(PAGES))
def test_roff_has_nothing_to_warn_of(name: str) -> None:
    """groff as people have it behind man, with all warnings, on a line of 80 characters."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8"],
        input=PAGES[name].encode("ascii"),
        capture_output=True,
        check=True,
    )
    assert done.stderr.decode() == ""


@pytest.mark.parametrize("name", ["smimegw", "smimegw-ca"])
def test_every_command_and_option_is_shown(name: str) -> None:
    """As in --help."""
    shown = _shown(f"{name}.1")
    for words, command, _ in documents.commands():
        if not f"{words} ".startswith(f"{name} "):
            continue
        assert words in shown
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[-1] in shown


def test_every_key_is_shown() -> None:
    """Also those of tables in tables."""
    shown = _shown("smimegw.toml.5")
    assert [entry.key for entry in all_keys() if entry.key not in shown] == []
    assert "enrolment.renew_before" in shown


@pytest.mark.parametrize(
    "text", [".SH no heading", "'br", r"a \fB b", "-", "a~b^c`d", '"quoted"', "two  spaces"]
)
def test_nothing_in_a_text_is_markup(text: str) -> None:
    """A dot or an apostrophe in front, a backslash in it."""
    page = f".TH X 1\n.SH Y\n{escaped(text)}\n"
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou"],
        input=page.encode(),
        capture_output=True,
        check=True,
    )
    assert " ".join(text.split()) in done.stdout.decode()
