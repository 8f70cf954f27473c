"""The chain of directories: whom it believes, and when an error must stay one."""

from __future__ import annotations

import asyncio
import functools

import pytest

from smimegw.adapters.chain.directory import ChainAuthorities, ChainDirectory
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import Certificate
from tests.fakes.directory import BOB, FakeDirectory
from tests.fakes.pki import make_ca


@functools.cache
def certificate(number: int = 0) -> Certificate:
    ca = make_ca("Chain CA")
    return ca.issue("bob@corp.example", key="p256", slot=f"chain-{number}").certificate


def test_the_first_directory_with_a_certificate_decides() -> None:
    """The order of the configuration is the order of belief (T-30)."""
    first, second = FakeDirectory(certificate(0)), FakeDirectory(certificate(1))
    (found,) = asyncio.run(ChainDirectory([first, second]).find(BOB))
    assert found.certificate == certificate(0)
    assert second.questions == 0


def test_the_next_directory_is_asked_when_the_first_has_none() -> None:
    """Absent in one is not absent in all."""
    chain = ChainDirectory([FakeDirectory(), FakeDirectory(certificate(1))])
    (found,) = asyncio.run(chain.find(BOB))
    assert found.certificate == certificate(1)


def test_a_first_directory_that_is_down_is_an_error() -> None:
    """Whom the first would have named is unknown, so a later one may not answer for it (R-06)."""
    first = FakeDirectory()
    first.down = True
    with pytest.raises(DirectoryError):
        asyncio.run(ChainDirectory([first, FakeDirectory(certificate())]).find(BOB))


def test_a_later_directory_that_is_down_is_an_error_when_it_is_needed() -> None:
    """Unknown is never "none" (R-06)."""
    second = FakeDirectory()
    second.down = True
    with pytest.raises(DirectoryError):
        asyncio.run(ChainDirectory([FakeDirectory(), second]).find(BOB))


def test_a_later_directory_that_is_down_does_not_matter_when_an_earlier_one_answers() -> None:
    """It would not have been asked (R-06)."""
    second = FakeDirectory()
    second.down = True
    found = asyncio.run(ChainDirectory([FakeDirectory(certificate()), second]).find(BOB))
    assert len(found) == 1


def test_a_flush_reaches_every_directory() -> None:
    """One command flushes the whole chain."""
    directories = [FakeDirectory(), FakeDirectory()]
    asyncio.run(ChainDirectory(directories).flush(BOB))
    assert [directory.flushed for directory in directories] == [[BOB], [BOB]]


def test_revocation_lists_of_all_directories_come_together() -> None:
    """More lists can only make a judgement better: each is verified before use."""
    chain = ChainAuthorities([FakeDirectory(name="fake:one"), FakeDirectory(name="fake:two")])
    assert asyncio.run(chain.crls(b"issuer")) == (b"fake:one", b"fake:two")


def test_revocation_lists_of_one_directory_do_while_the_other_is_down() -> None:
    """What is there is enough or it is not; the judgement decides."""
    down = FakeDirectory()
    down.down = True
    chain = ChainAuthorities([down, FakeDirectory(name="fake:two")])
    assert asyncio.run(chain.crls(b"issuer")) == (b"fake:two",)
