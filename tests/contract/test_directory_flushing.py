"""`smimegw directory flush` reaches every process of a gateway, and only those that run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smimegw.adapters.chain.cache import CachingAuthorities, CachingDirectory
from smimegw.adapters.chain.flushing import FlushedAuthorities, FlushedDirectory, FlushNotes
from smimegw.addresses import Mailbox
from smimegw.sources import look_up
from tests.fakes.directory import BOB, FakeDirectory
from tests.fakes.pki import make_ca

CAROL = Mailbox.parse("carol@corp.example")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flushes.jsonl"


class Process:
    """One process of the gateway: a directory, its cache, and the notes."""

    def __init__(self, file: Path) -> None:
        self.behind = FakeDirectory(make_ca("Flush CA").certificate)
        self.told: list[Mailbox | None] = []
        caches = CachingAuthorities(self.behind)
        self.authorities = FlushedAuthorities(caches, [caches.flush])
        self.directory = FlushedDirectory(
            CachingDirectory(self.behind),
            FlushNotes(file),
            authorities=self.authorities,
            told=self.told.append,
        )

    def questions(self, mailbox: Mailbox = BOB) -> int:
        """How many questions reached the directory for one more mail."""
        before = self.behind.questions
        asyncio.run(self.directory.find(mailbox))
        return self.behind.questions - before


def test_a_flush_of_everybody_reaches_every_process(file: Path) -> None:
    """Each worker has a cache of its own."""
    processes = [Process(file), Process(file)]
    assert [process.questions() for process in processes * 2] == [1, 1, 0, 0]
    FlushNotes(file).add(None)
    assert [process.questions() for process in processes * 2] == [1, 1, 0, 0]
    assert [process.told for process in processes] == [[None], [None]]


def test_a_flush_of_one_mailbox_leaves_the_others(file: Path) -> None:
    """An administrator corrects one entry and does not slow all others."""
    process = Process(file)
    for mailbox in (BOB, CAROL):
        process.questions(mailbox)
    FlushNotes(file).add(BOB)
    assert (process.questions(CAROL), process.questions(BOB)) == (0, 1)


def test_flushes_before_the_start_are_no_news(file: Path) -> None:
    """A new process has nothing to forget."""
    FlushNotes(file).add(None)
    process = Process(file)
    process.questions()
    assert (process.questions(), process.told) == (0, [])


def test_several_flushes_are_heeded_together(file: Path) -> None:
    """Nobody looks at the file while no mail comes."""
    process, notes = Process(file), FlushNotes(file)
    for mailbox in (BOB, CAROL):
        process.questions(mailbox)
        notes.add(mailbox)
    assert (process.questions(BOB), process.questions(CAROL)) == (1, 1)
    assert process.told == [BOB, CAROL]


def test_a_file_that_was_begun_anew_flushes_everything(file: Path) -> None:
    """What stood in the old one may have been missed."""
    process, notes = Process(file), FlushNotes(file)
    notes.add(CAROL)
    process.questions()
    process.questions(CAROL)
    file.unlink()
    notes.add(CAROL)
    assert process.questions(BOB) == 1


def test_the_file_does_not_grow_without_end(file: Path) -> None:
    """A script that flushes every minute fills no disk."""
    process, notes = Process(file), FlushNotes(file)
    for _ in range(2000):
        notes.add(CAROL)
    assert file.stat().st_size < 70_000
    process.questions(BOB)
    assert process.questions(BOB) == 0


def test_a_line_that_cannot_be_read_flushes_everything(file: Path) -> None:
    """Whoever wrote it wanted something asked again."""
    process = Process(file)
    process.questions()
    with file.open("a") as stream:
        stream.write("bob please\n")
    assert process.questions() == 1


def test_a_flush_of_everybody_is_for_crls_too(file: Path) -> None:
    """A new list in the directory is seen by the next mail."""
    process = Process(file)

    def questions() -> int:
        before = process.behind.questions
        asyncio.run(process.authorities.crls(b"issuer"))
        return process.behind.questions - before

    assert [questions(), questions()] == [1, 0]
    FlushNotes(file).add(None)
    process.questions()
    assert questions() == 1


def test_it_tells_what_each_source_said(file: Path) -> None:
    """The record of a mail names them, through the flushes, too."""
    directory = Process(file).directory
    assert asyncio.run(look_up(directory, BOB)).said[0].source == "fake:one"
