"""The cache: when an old answer may be used, and when an error must stay one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from smimegw.adapters.chain.answers import DEFAULT_TIMES, CacheTimes
from smimegw.adapters.chain.cache import CachingAuthorities, CachingDirectory
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import Certificate
from tests.fakes.directory import BOB, FakeDirectory
from tests.fakes.pki import make_ca

T = TypeVar("T")
HOUR = 3600.0
DAY = 24 * HOUR


@functools.cache
def certificate(number: int = 0) -> Certificate:
    ca = make_ca("Cache CA")
    return ca.issue("bob@corp.example", key="p256", slot=f"cache-{number}").certificate


class Hands:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def call() -> T:
        return await work()

    return asyncio.run(call())


def cached(
    directory: FakeDirectory, times: CacheTimes = DEFAULT_TIMES
) -> tuple[CachingDirectory, Hands]:
    hands = Hands()
    return CachingDirectory(directory, times, seconds=hands), hands


# --- fresh answers -------------------------------------------------------------------------------


def test_a_found_answer_is_not_asked_for_again() -> None:
    """Within its time a certificate comes from the cache (cases F13)."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)
    run(lambda: cache.find(BOB))
    run(lambda: cache.find(BOB))
    assert directory.questions == 1


def test_a_cached_answer_tells_its_age() -> None:
    """Records say how old the answer was."""
    cache, hands = cached(FakeDirectory(certificate()))
    run(lambda: cache.find(BOB))
    hands.at += 240
    (found,) = run(lambda: cache.find(BOB))
    assert (found.cached_seconds, found.stale) == (240, False)


def test_a_found_answer_is_asked_for_again_after_its_time() -> None:
    """A new certificate is seen after an hour at the latest."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.content[BOB.key] = (certificate(1),)
    hands.at += HOUR
    (found,) = run(lambda: cache.find(BOB))
    assert found.certificate == certificate(1)


def test_an_absent_answer_is_not_asked_for_again() -> None:
    """A mailing to many strangers does not load the directory."""
    directory = FakeDirectory()
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    hands.at += 299
    assert run(lambda: cache.find(BOB)) == ()
    assert directory.questions == 1


def test_an_absent_answer_lives_shorter() -> None:
    """Somebody who just got a certificate is found after five minutes."""
    directory = FakeDirectory()
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.content[BOB.key] = (certificate(),)
    hands.at += 300
    assert len(run(lambda: cache.find(BOB))) == 1


# --- a directory that is down --------------------------------------------------------------------


def test_an_old_certificate_is_used_when_the_directory_is_down() -> None:
    """Up to 24 hours, and marked (R-06, cases F13)."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.down = True
    hands.at += DAY
    (found,) = run(lambda: cache.find(BOB))
    assert (found.certificate, found.stale) == (certificate(), True)


def test_a_certificate_that_is_too_old_is_not_used() -> None:
    """After 24 hours the error stays an error (R-06, cases F13)."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.down = True
    hands.at += DAY + 1
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))


def test_an_old_absence_is_never_used() -> None:
    """ "No entry" of yesterday says nothing about today (R-06, cases F13)."""
    directory = FakeDirectory()
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.down = True
    hands.at += 301
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))


def test_a_fresh_absence_is_not_used_once_the_directory_is_known_to_be_down() -> None:
    """A failure for somebody else is enough to doubt it (R-06, cases F13)."""
    directory = FakeDirectory()
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    hands.at += 10
    directory.down = True
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(Mailbox.parse("carol@corp.example")))
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))


def test_a_certificate_that_was_taken_away_does_not_come_back() -> None:
    """The newest answer counts, even when it is "no entry" (R-06, cases F13)."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.content[BOB.key] = ()
    hands.at += HOUR
    assert run(lambda: cache.find(BOB)) == ()
    directory.down = True
    hands.at += HOUR
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))


def test_a_directory_that_is_down_does_not_delay_every_mail() -> None:
    """For a moment after a failure old answers come without waiting for it."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.down = True
    hands.at += 2 * HOUR
    run(lambda: cache.find(BOB))
    run(lambda: cache.find(BOB))
    assert directory.questions == 2


def test_a_directory_that_is_back_is_asked_again() -> None:
    """Stale ends when it can."""
    directory = FakeDirectory(certificate())
    cache, hands = cached(directory)
    run(lambda: cache.find(BOB))
    directory.down = True
    hands.at += 2 * HOUR
    run(lambda: cache.find(BOB))
    directory.down = False
    hands.at += 5
    (found,) = run(lambda: cache.find(BOB))
    assert not found.stale


def test_an_error_is_not_cached() -> None:
    """The next mail asks again."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)
    directory.down = True
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))
    directory.down = False
    assert len(run(lambda: cache.find(BOB))) == 1


# --- bounds, flush, many at once -----------------------------------------------------------------


def test_the_longest_unused_answer_goes_first() -> None:
    """The cache cannot be filled without end."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory, CacheTimes(entries=2))
    mailboxes = [Mailbox.parse(f"{name}@corp.example") for name in ("a", "b", "c")]
    for mailbox in (mailboxes[0], mailboxes[1], mailboxes[0], mailboxes[2], mailboxes[0]):
        run(functools.partial(cache.find, mailbox))
    assert directory.questions == 3
    run(lambda: cache.find(mailboxes[1]))
    assert directory.questions == 4


def test_a_flush_of_one_mailbox_leaves_the_others() -> None:
    """An administrator corrects one entry and does not slow all others."""
    directory = FakeDirectory(certificate())
    carol = Mailbox.parse("carol@corp.example")
    cache, _ = cached(directory)
    for mailbox in (BOB, carol):
        run(functools.partial(cache.find, mailbox))
    run(lambda: cache.flush(BOB))
    for mailbox in (BOB, carol):
        run(functools.partial(cache.find, mailbox))
    assert directory.questions == 3


def test_a_flush_reaches_the_directory_behind() -> None:
    """Caches behind caches are flushed, too."""
    directory = FakeDirectory()
    cache, _ = cached(directory)
    run(cache.flush)
    assert directory.flushed == [None]


def test_an_answer_on_its_way_during_a_flush_is_not_kept() -> None:
    """What was asked before the flush may be what the flush was to remove."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)

    async def scenario() -> None:
        directory.gate = asyncio.Event()
        asking = asyncio.create_task(cache.find(BOB))
        while not directory.questions:
            await asyncio.sleep(0)
        await cache.flush()
        directory.gate.set()
        await asking
        await cache.find(BOB)

    run(scenario)
    assert directory.questions == 2


def test_questions_for_one_mailbox_at_once_are_asked_once() -> None:
    """A hundred mails to one person do not become a hundred searches."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)

    async def scenario() -> None:
        directory.gate = asyncio.Event()
        asking = [asyncio.create_task(cache.find(BOB)) for _ in range(100)]
        while not directory.questions:
            await asyncio.sleep(0)
        directory.gate.set()
        assert {len(found) for found in await asyncio.gather(*asking)} == {1}

    run(scenario)
    assert directory.questions == 1


def test_a_caller_that_gives_up_does_not_take_the_answer_from_others() -> None:
    """The first who asked may be a client that went away."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)

    async def scenario() -> int:
        directory.gate = asyncio.Event()
        first = asyncio.create_task(cache.find(BOB))
        second = asyncio.create_task(cache.find(BOB))
        while not directory.questions:
            await asyncio.sleep(0)
        first.cancel()
        directory.gate.set()
        return len(await second)

    assert run(scenario) == 1


def test_a_crl_is_asked_for_as_often_as_an_absent_entry() -> None:
    """Whoever was revoked a moment ago is on the next list (R-04)."""
    directory = FakeDirectory()
    hands = Hands()
    cache = CachingAuthorities(directory, seconds=hands)
    run(lambda: cache.crls(b"issuer"))
    hands.at += 300
    run(lambda: cache.crls(b"issuer"))
    assert directory.questions == 2


def test_a_crl_is_kept_while_the_directory_is_down() -> None:
    """A list is good until its own nextUpdate (R-05)."""
    directory = FakeDirectory()
    hands = Hands()
    cache = CachingAuthorities(directory, seconds=hands)
    run(lambda: cache.crls(b"issuer"))
    directory.down = True
    hands.at += HOUR
    assert run(lambda: cache.crls(b"issuer")) == (b"fake:one",)


def test_a_flushed_answer_still_stands_in_for_a_directory_that_is_down() -> None:
    """To ask again is not to know less: mail goes on as before (R-06, cases F13)."""
    directory = FakeDirectory(certificate())
    cache, _ = cached(directory)
    run(lambda: cache.find(BOB))
    run(cache.flush)
    directory.down = True
    (found,) = run(lambda: cache.find(BOB))
    assert found.stale


def test_a_flushed_absence_does_not_stand_in() -> None:
    """A "no entry" from before is worth nothing when the directory is down (cases F13)."""
    directory = FakeDirectory()
    cache, _ = cached(directory)
    run(lambda: cache.find(BOB))
    run(cache.flush)
    directory.down = True
    with pytest.raises(DirectoryError):
        run(lambda: cache.find(BOB))
