"""The chain of directories: whom it believes, and when an error must stay one."""

from __future__ import annotations

import asyncio
import functools

import pytest

from smimegw.adapters.chain.directory import ChainAuthorities, ChainDirectory, Source
from smimegw.config.hosts import DomainRule
from smimegw.config.values import Domain
from smimegw.errors import DirectoryError
from smimegw.sources import Said
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


# --- what each source said ------------------------------------------------------------------------


def said(chain: ChainDirectory) -> list[tuple[str, str, int]]:
    answer = asyncio.run(chain.look_up(BOB))
    return [(entry.source, entry.said.value, entry.count) for entry in answer.said]


def test_every_source_that_was_asked_is_named_with_its_word() -> None:
    """The record says which source said what; who was not asked is not there (cases F05)."""
    sources = [FakeDirectory(name="ldap:staff"), FakeDirectory(certificate(), name="smimea:dns")]
    chain = ChainDirectory([*sources, FakeDirectory(certificate(1), name="embedded:local")])
    assert said(chain) == [("ldap:staff", "none", 0), ("smimea:dns", "found", 1)]


def test_a_source_that_failed_is_named_with_its_reason() -> None:
    """Whoever reads the record sees whom to repair (R-06)."""
    first = FakeDirectory(name="ldap:staff")
    first.down = True
    answer = asyncio.run(ChainDirectory([first, FakeDirectory(certificate())]).look_up(BOB))
    (entry,) = answer.said
    assert (entry.source, entry.said, entry.text) == ("ldap:staff", Said.FAILED, "down")
    assert isinstance(answer.error, DirectoryError)


# --- sources for some domains, and sources that may be skipped ------------------------------------


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (DomainRule(Domain("corp.example")), 1),
        (DomainRule(Domain("")), 1),
        (DomainRule(Domain("example"), below=True), 1),
        (DomainRule(Domain("corp.example"), below=True), 0),
        (DomainRule(Domain("orp.example")), 0),
        (DomainRule(Domain("partner.example")), 0),
    ],
    ids=str,
)
def test_a_source_is_asked_about_its_domains_only(rule: DomainRule, asked: int) -> None:
    """A partner's directory is not told whom else we write to (T-14)."""
    directory = FakeDirectory(certificate())
    chain = ChainDirectory([Source(directory=directory, domains=(rule,))])
    assert len(asyncio.run(chain.find(BOB))) == asked
    assert directory.questions == asked


def skippable() -> Source:
    directory = FakeDirectory(name="smimea:dns")
    directory.down = True
    return Source(directory=directory, may_be_skipped=True)


def test_a_source_that_may_be_skipped_lets_the_next_answer() -> None:
    """Its failure costs the order of belief, and only where the administrator said so (R-06)."""
    chain = ChainDirectory([skippable(), FakeDirectory(certificate(), name="ldap:staff")])
    assert said(chain) == [("smimea:dns", "failed", 0), ("ldap:staff", "found", 1)]
    assert len(asyncio.run(chain.find(BOB))) == 1


def test_a_source_that_was_skipped_is_missed_when_nobody_has_a_certificate() -> None:
    """Unknown never becomes "none" (R-06)."""
    with pytest.raises(DirectoryError):
        asyncio.run(ChainDirectory([skippable(), FakeDirectory()]).find(BOB))
