"""Fetching is done once, remembered, bounded, and never raises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from smimegw.adapters.http.kept import KeptAnswers
from smimegw.limits import Limits
from tests.fakes.pki import DAY, NOW, make_ca
from tests.fakes.ports import ListedEvents
from tests.peers.revocation import Page, WebServer, source_for, web_server

CA = make_ca("HTTP CA")
OTHER = make_ca("HTTP Other CA")
ALICE = CA.issue("alice@ours.example", key="p256", slot="http")
ISSUER = CA.certificate
HOUR = timedelta(hours=1)


@dataclass
class MovingClock:
    """Time that moves when told."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Fetching:
    """A web server, the source in front of it, and the time."""

    web: WebServer
    clock: MovingClock = field(default_factory=MovingClock)
    events: ListedEvents = field(default_factory=ListedEvents)

    def __post_init__(self) -> None:
        self.limits = Limits(crl_octets=4096, revocation_seconds=5)
        self.make()

    def make(self, **limits: Any) -> None:
        self.source = source_for(
            self.web.rule,
            events=self.events,
            clock=self.clock,
            limits=Limits(**{"crl_octets": 4096, "revocation_seconds": 5, **limits}),
        )

    def crls(self, *paths: str, times: int = 1) -> list[tuple[bytes, ...]]:
        async def run() -> list[tuple[bytes, ...]]:
            urls = [self.web.url(path) for path in paths or ("/1.crl",)]
            try:
                return list(
                    await asyncio.gather(*(self.source.crls(urls, ISSUER) for _ in range(times)))
                )
            finally:
                await self.source.close()

        return asyncio.run(run())


@pytest.fixture
def fetching() -> Iterator[Fetching]:
    with web_server({"/1.crl": CA.crl(next_update=NOW + 2 * HOUR)}) as web:
        yield Fetching(web)


def pass_time(fetching: Fetching, seconds: float) -> None:
    fetching.clock.at += timedelta(seconds=seconds)


def test_list_is_fetched_and_told(fetching: Fetching) -> None:
    """One event with place, size and time."""
    crl = fetching.web.pages["/1.crl"]
    assert fetching.crls() == [(crl,)]
    (event,) = fetching.events.named("revocation.fetched")
    assert (event["method"], event["source"]) == ("crl", "127.0.0.1")
    assert event["url"] == fetching.web.url("/1.crl")
    assert event["size"] == len(crl)


def test_list_is_kept_until_its_next_update(fetching: Fetching) -> None:
    """Then it is fetched again."""
    fetching.crls()
    pass_time(fetching, 2 * 3600 - 1)
    fetching.crls()
    assert len(fetching.web.asked) == 1
    pass_time(fetching, 1)
    fetching.crls()
    assert len(fetching.web.asked) == 2


def test_a_clock_that_was_ahead_keeps_no_list_for_longer(fetching: Fetching) -> None:
    """Fetched while the clock was a month ahead: asked for again when it is right (T-13, T-27)."""
    pass_time(fetching, 30 * 86400)
    fetching.crls()
    pass_time(fetching, -30 * 86400)
    fetching.crls()
    assert len(fetching.web.asked) == 2
    fetching.crls()
    assert len(fetching.web.asked) == 2


def test_list_is_kept_for_hours_only(fetching: Fetching) -> None:
    """However far nextUpdate is away: somebody may be revoked today."""
    fetching.web.pages["/1.crl"] = CA.crl(next_update=NOW + 90 * DAY)
    fetching.crls()
    pass_time(fetching, 4 * 3600)
    fetching.crls()
    assert len(fetching.web.asked) == 2


def test_overdue_list_is_asked_for_again_in_minutes(fetching: Fetching) -> None:
    """It is handed on, because it may be good by grace (R-05)."""
    crl = CA.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    fetching.web.pages["/1.crl"] = crl
    assert fetching.crls() == [(crl,)]
    pass_time(fetching, 299)
    fetching.crls()
    assert len(fetching.web.asked) == 1
    pass_time(fetching, 1)
    fetching.crls()
    assert len(fetching.web.asked) == 2


def test_questions_at_the_same_time_are_one(fetching: Fetching) -> None:
    """A burst of mail downloads the list once."""
    answers = fetching.crls(times=20)
    assert len(set(answers)) == 1
    assert answers[0]
    assert len(fetching.web.asked) == 1


def test_failure_is_remembered_and_pauses_grow(fetching: Fetching) -> None:
    """60 seconds, 120, 240, then 5 minutes."""
    fetching.web.pages.clear()
    for number, pause in enumerate((60, 120, 240, 300, 300), 1):
        assert fetching.crls() == [()]
        assert len(fetching.web.asked) == number
        pass_time(fetching, pause - 1)
        fetching.crls()
        assert len(fetching.web.asked) == number
        pass_time(fetching, 1)
    assert len(fetching.events.named("revocation.error")) == 5


def test_last_good_list_stays_while_the_server_is_down(fetching: Fetching) -> None:
    """Usable until nextUpdate and grace, which the judge decides (R-05)."""
    (before,) = fetching.crls()
    fetching.web.pages.clear()
    pass_time(fetching, 3 * 3600)
    assert fetching.crls() == [before]
    assert len(fetching.web.asked) == 2


def test_success_ends_the_pauses(fetching: Fetching) -> None:
    """The next failure begins with 60 seconds again."""
    crl = fetching.web.pages.pop("/1.crl")
    fetching.crls()
    pass_time(fetching, 60)
    fetching.web.pages["/1.crl"] = crl
    assert fetching.crls() == [(crl,)]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (Page(status=403), "answers 403"),
        (Page(status=500), "answers 500"),
        (b"<html>sign in to the hotel's network</html>", "no usable CRL"),
        (b"", "no usable CRL"),
        (OTHER.crl(), "signed by the certificate's issuer"),
        (CA.crl(key=OTHER.key), "signed by the certificate's issuer"),
        (b"\0" * 4097, "longer than 4096 octets"),
    ],
    ids=range(7),
)
def test_trouble_is_an_empty_answer_and_an_event(fetching: Fetching, page: Any, text: str) -> None:
    """Error pages, forged lists, huge ones (cases F20)."""
    fetching.web.pages["/1.crl"] = page
    assert fetching.crls() == [()]
    (event,) = fetching.events.named("revocation.error")
    assert text in str(event["text"])
    assert event["code"] == "R-05"


def test_second_place_is_asked_when_the_first_fails(fetching: Fetching) -> None:
    """The URLs of one distribution point are alternatives (RFC 5280, 4.2.1.13)."""
    crl = fetching.web.pages["/1.crl"]
    assert fetching.crls("/gone.crl", "/1.crl") == [(crl,)]
    assert fetching.crls("/1.crl", "/never.crl") == [(crl,)]
    assert fetching.web.asked == ["GET /gone.crl", "GET /1.crl"]


def test_redirection_within_the_host_is_followed(fetching: Fetching) -> None:
    """A server may have moved its files."""
    fetching.web.pages["/old.crl"] = Page(status=301, fields={"Location": "/1.crl"})
    assert fetching.crls("/old.crl") == [(fetching.web.pages["/1.crl"],)]


def test_redirections_end(fetching: Fetching) -> None:
    """Four requests at most."""
    fetching.web.pages["/1.crl"] = Page(status=302, fields={"Location": "/1.crl"})
    assert fetching.crls() == [()]
    assert len(fetching.web.asked) == 4


@pytest.fixture
def stuck(fetching: Fetching) -> Iterator[Callable[[], None]]:
    """The server does not answer until the returned function is called."""
    go = threading.Event()
    crl = fetching.web.pages["/1.crl"]

    def wait(_: bytes) -> Any:
        go.wait(20)
        return crl

    fetching.web.pages["/1.crl"] = wait
    yield go.set
    go.set()


def test_message_does_not_wait_for_a_slow_server(
    fetching: Fetching, stuck: Callable[[], None]
) -> None:
    """It goes on without, and the list arrives for the next message."""
    fetching.make(revocation_seconds=0.05)
    urls = [fetching.web.url("/1.crl")]

    async def run() -> None:
        assert await fetching.source.crls(urls, ISSUER) == ()
        stuck()
        for _ in range(400):
            if fetching.events.named("revocation.fetched"):
                break
            await fetching.source.crls(urls, ISSUER)
        assert len(await fetching.source.crls(urls, ISSUER)) == 1
        assert len(fetching.web.asked) == 1
        await fetching.source.close()

    asyncio.run(run())


def test_slow_download_ends(fetching: Fetching, stuck: Callable[[], None]) -> None:
    """`Limits.download_seconds`; a body that drips never holds a place for ever."""
    fetching.make(download_seconds=0.1)
    assert fetching.crls() == [()]
    (event,) = fetching.events.named("revocation.error")
    assert event["text"] == "no answer within 0.1 s"


def test_caller_that_gives_up_does_not_take_the_list_from_others(
    fetching: Fetching, stuck: Callable[[], None]
) -> None:
    """One transaction's deadline is not another's."""
    urls = [fetching.web.url("/1.crl")]

    async def run() -> tuple[bytes, ...]:
        first = asyncio.create_task(fetching.source.crls(urls, ISSUER))
        second = asyncio.create_task(fetching.source.crls(urls, ISSUER))
        await asyncio.sleep(0)
        first.cancel()
        stuck()
        await asyncio.wait({first})
        assert first.cancelled()
        return await second

    assert len(asyncio.run(run())) == 1
    assert len(fetching.web.asked) == 1


def test_memory_is_bounded_by_octets() -> None:
    """The longest unused goes first."""
    kept = KeptAnswers(10)
    for name in ("a", "b", "c"):
        kept.keep((name,), b"xxxxx", NOW, now=NOW)
        kept.find(("a",))
    assert kept.find(("b",)) is None
    assert kept.find(("a",)) is not None
    assert kept.find(("c",)) is not None
    kept.keep(("d",), b"x" * 11, NOW, now=NOW)
    assert len(kept) == 1
    kept.keep(("e",), b"x" * 10, NOW, now=NOW)
    kept.keep(("e",), b"x" * 10, NOW, now=NOW)
    assert len(kept) == 1


def test_ocsp_answer_of_nonsense_is_none(fetching: Fetching) -> None:
    """GET first, POST for a responder that knows no GET, then None and an event."""
    fetching.web.pages["/ocsp"] = b"<html>"

    async def run() -> bytes | None:
        return await fetching.source.ocsp(ALICE.certificate, ISSUER, [fetching.web.url("/ocsp")])

    assert asyncio.run(run()) is None
    assert [line.split("/")[0] for line in fetching.web.asked] == ["GET ", "POST "]
    (event,) = fetching.events.named("revocation.error")
    assert event["method"] == "ocsp"
