"""The spool keeps what it is given and shows nobody what it is."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from smimegw.adapters.spool.file import FileStore
from smimegw.content import Content
from smimegw.errors import SpoolError
from tests.peers.ports import wait_until

LINE = b"the quick brown fox jumps over the lazy dog, again and again\r\n"
OCTETS = LINE * 5000


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """Keeps next to nothing in memory."""
    return FileStore(tmp_path, memory_octets=1000)


def open_files() -> Iterator[tuple[int, str]]:
    """What this process has open, under whatever name."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield int(link.name), str(link.readlink())
        except OSError:
            continue


def spooled(directory: Path) -> list[int]:
    """Descriptors of files without a name below *directory*."""
    return [number for number, name in open_files() if name.startswith(f"{directory}/")]


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 65535, 65536, 65537, 131072, 200_001])
def test_gives_back_what_it_was_given(store: FileStore, length: int) -> None:
    """At all lengths around a chunk, in pieces of any size."""
    octets = OCTETS[:length]
    content = store.store(octets[at : at + 777] for at in range(0, length, 777))
    assert len(content) == length
    assert b"".join(content.pieces()) == octets
    assert content.read(length // 2, length) == octets[length // 2 :]
    assert content.find(LINE, 1) == octets.find(LINE, 1)


def test_small_content_stays_in_memory(store: FileStore, tmp_path: Path) -> None:
    """No file for a small mail."""
    content = store.store([OCTETS[:1000]])
    assert spooled(tmp_path) == []
    assert content.whole() == OCTETS[:1000]


def test_file_has_no_name_and_goes_with_its_content(store: FileStore, tmp_path: Path) -> None:
    """After a crash nothing is left to be found (cases L01)."""
    content = store.store([OCTETS])
    assert list(tmp_path.iterdir()) == []
    assert len(spooled(tmp_path)) == 1
    part = content.part(10, 20)
    del content
    gc.collect()
    assert part.whole() == OCTETS[10:20]  # whoever has a view of it keeps it
    del part
    gc.collect()
    wait_until(lambda: spooled(tmp_path) == [], "the file to be closed")


def test_what_is_on_the_disk_cannot_be_read(store: FileStore, tmp_path: Path) -> None:
    """Not a word of the text, and not twice the same octets for the same text (T-15)."""
    first, second = store.store([OCTETS]), store.store([OCTETS])
    on_disk = [os.pread(number, 2 * len(OCTETS), 0) for number in spooled(tmp_path)]
    assert len(on_disk) == 2
    assert all(len(octets) > len(OCTETS) for octets in on_disk)
    assert not any(b"quick" in octets for octets in on_disk)
    assert on_disk[0][:32] != on_disk[1][:32]
    assert first == second


def test_changed_file_is_noticed(store: FileStore, tmp_path: Path) -> None:
    """A disk that forgets, or somebody who writes to it, changes no mail."""
    content = store.store([OCTETS])
    (number,) = spooled(tmp_path)
    os.pwrite(number, b"x", 100)
    with pytest.raises(SpoolError, match="check the disk"):
        content.read(0, 10)


def test_full_disk_is_told(store: FileStore, tmp_path: Path) -> None:
    """What there is no room for is an error that says what to do (R-21)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, before[1]))
    try:
        with pytest.raises(SpoolError, match="make room"):
            store.store([OCTETS])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    gc.collect()
    wait_until(lambda: spooled(tmp_path) == [], "the file to be closed")


def test_missing_directory_is_told(tmp_path: Path) -> None:
    """Of a setting that names no directory."""
    with pytest.raises(SpoolError, match="cannot be used"):
        FileStore(tmp_path / "absent", memory_octets=10).store([OCTETS])


def test_several_threads_read_at_once(store: FileStore) -> None:
    """Copies for several groups are made from one content."""
    from concurrent.futures import ThreadPoolExecutor

    content = store.store([OCTETS])

    def read(start: int) -> bytes:
        return b"".join(content.pieces(start))

    with ThreadPoolExecutor(4) as pool:
        starts = [0, 100, 70_000, 140_000] * 3
        assert all(
            octets == OCTETS[start:]
            for start, octets in zip(starts, pool.map(read, starts), strict=True)
        )


def test_a_content_is_read_through_a_store_twice(store: FileStore) -> None:
    """A content made of another one needs no memory of its own either."""
    first = store.store([OCTETS])
    second = store.store(Content.joined((b"head\r\n", first)).pieces())
    assert second == b"head\r\n" + OCTETS
