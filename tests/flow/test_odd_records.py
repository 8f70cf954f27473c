"""Files of records that somebody edited, cut or copied: commands go on and say what is so."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smimegw.adapters.logs.open_decisions import newest_records, open_decisions
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.cli.main import main
from smimegw.pipeline.admit import Gateway
from tests.fakes.company import Company, message

ALICE, BOB = "alice@ours.example", "bob@partner.example"
ODD = [None, 5, -1, True, "", "x", "\x1b[2J", "\ud800", [], {}, [None], ["x"], {"a": 1}, [[]], [{}]]
ODD += ["2026-13-45", "2026-11-23T00:00:00", "0001-01-01T00:00:00+14:00", float("inf")]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with the records of three messages and their configuration."""
    place = tmp_path_factory.mktemp("state")
    company = Company()
    company.user(ALICE)
    company.partner(BOB)
    (place / "policies").mkdir()
    (place / "policies/p.toml").write_text(company.policy)
    (place / "smimegw.toml").write_text(
        f'version = 1\n[gateway]\nhostname = "gw.ours.example"\n'
        f'internal_domains = ["ours.example"]\nstate_directory = "{place}"\n'
        f'[listener.relay]\naddress = "127.0.0.1:0"\npeers = ["127.0.0.1"]\n'
        f'[next_hop.out]\naddress = "127.0.0.1:9"\n[policies]\npath = "{place}/policies"\n'
    )
    records = JSONLinesRecords(place / "decisions.jsonl")
    company.world.records = records  # type: ignore[assignment]
    company.gateway = Gateway(company.gateway.policy, company.world.ports, company.settings)
    company.send("relay", [BOB], message(ALICE, BOB))
    company.send("relay", ["x@partner.example"], message(ALICE, "x@partner.example"))
    company.send("mx", [ALICE], message(BOB, ALICE), reverse_path=BOB)
    records.close()
    return place


@pytest.fixture
def state(good: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    shutil.copy(good / "decisions.jsonl", tmp_path)
    return tmp_path


def call(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "-c", str(place / "smimegw.toml")])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in inside:
        yield (*path, key)
        if isinstance(entry, (dict, list)):
            yield from places(entry, (*path, key))


def spoilt(lines: list[bytes]) -> Iterator[str]:
    """Each record with one odd value at one place, and with that place missing."""
    for line in lines:
        record = json.loads(line)
        for path in places(record):
            for odd in (*ODD, ...):
                changed = copy.deepcopy(record)
                parent = changed
                for key in path[:-1]:
                    parent = parent[key]
                if odd is ...:
                    del parent[path[-1]]
                else:
                    parent[path[-1]] = odd
                yield json.dumps(changed) + "\n"


@pytest.fixture(scope="module")
def odd(good: Path) -> Path:
    """A file with every spoilt record."""
    path = good / "odd.txt"
    path.write_text("".join(spoilt((good / "decisions.jsonl").read_bytes().splitlines())))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", BOB, "-n", "0", "-r"],
        ["trace", ALICE, "-n", "0", "--json", "-r"],
        ["records", "unfinished"],
        ["policy", "diff", "{policies}", "{policies}", "--on"],
    ],
    ids=["trace", "trace-json", "unfinished", "policy-diff"],
)
def test_an_odd_record_keeps_nobody_from_reading_the_others(
    good: Path, odd: Path, arguments: list[str]
) -> None:
    """One wrong value anywhere: it is passed over or told, never an internal error (P20, T-12)."""
    words = [word.format(policies=good / "policies") for word in arguments]
    result = call(good, *words, str(odd))
    assert result.exit_code in {0, 1}, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "\x1b" not in result.output


def test_an_odd_record_keeps_no_process_from_starting(good: Path, odd: Path) -> None:
    """At the start the newest records are read for what was left open (C06)."""
    lines = odd.read_bytes().splitlines(keepends=True)
    path = good / "all.txt"
    for start in range(0, len(lines), 400):
        path.write_bytes(b"".join(lines[start : start + 400]))
        open_decisions(newest_records(path))


def test_a_copy_of_a_file_is_no_second_delivery(good: Path, state: Path) -> None:
    """Two places, or a backup beside the file: every line of the story once (C07)."""
    shutil.copy(state / "decisions.jsonl", state / "decisions-copy.jsonl")
    result = call(good, "trace", BOB, "-r", str(state))
    once = call(good, "trace", BOB, "-r", str(state / "decisions.jsonl"))
    assert "relayed" in once.stdout
    assert result.stdout == once.stdout


@pytest.mark.parametrize("place", ["last-999999d", "last-99999999999999999999h"])
def test_policy_diff_from_before_all_time_is_a_mistake(good: Path, place: str) -> None:
    """Exit 2 and why (P20)."""
    result = call(
        good, "policy", "diff", str(good / "policies"), str(good / "policies"), "--on", place
    )
    assert result.exit_code == 2
    assert "nobody has records of so long ago" in result.output


def test_a_state_directory_that_is_a_file_is_told(good: Path, state: Path) -> None:
    """Not read as records that say nothing: exit 2."""
    text = (good / "smimegw.toml").read_text()
    path = state / "smimegw.toml"
    path.write_text(text.replace(f'state_directory = "{good}"', f'state_directory = "{path}"'))
    result = call(state, "trace", BOB)
    assert result.exit_code == 2
    assert f"{path} holds no decision records" in result.output


def test_a_packed_file_that_was_cut_is_told(good: Path, state: Path) -> None:
    """Not taken for a chain that ends there: exit 2 or more and the file's name (T-32)."""
    packed = gzip.compress((state / "decisions.jsonl").read_bytes())
    (state / "decisions.jsonl.1.gz").write_bytes(packed[: len(packed) // 2])
    result = call(good, "records", "verify", str(state / "decisions.jsonl.1.gz"))
    assert result.exit_code not in {0, 1}
    assert "decisions.jsonl.1.gz cannot be read" in result.output


def test_a_line_that_stands_twice_breaks_the_chain(good: Path, state: Path) -> None:
    """Verify names the second of them (T-32)."""
    lines = (state / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    (state / "decisions.jsonl").write_bytes(b"".join([*lines[:3], lines[2], *lines[3:]]))
    result = call(good, "records", "verify", str(state / "decisions.jsonl"))
    assert result.exit_code == 1
    assert "decisions.jsonl:4: it does not follow the line before it" in result.output


def test_garbled_octets_break_the_chain(good: Path, state: Path) -> None:
    """A block of the disk is lost: what stands there is no half line of a crash (T-32)."""
    octets = bytearray((state / "decisions.jsonl").read_bytes())
    octets[300:600] = bytes(300)
    (state / "decisions.jsonl").write_bytes(octets)
    result = call(good, "records", "verify", str(state / "decisions.jsonl"))
    assert result.exit_code == 1
    assert "half a line that the crash before this record did not leave" in result.output


def test_two_files_that_are_the_same_are_told(good: Path, state: Path) -> None:
    """One chain cannot begin twice: a copy, or what somebody put in a file's place (T-32)."""
    shutil.copy(state / "decisions.jsonl", state / "decisions.jsonl.1")
    names = [str(state / name) for name in ("decisions.jsonl.1", "decisions.jsonl")]
    result = call(good, "records", "verify", *names)
    assert result.exit_code == 1
    assert "decisions.jsonl.1, decisions.jsonl: have the same place in the chain" in result.output
