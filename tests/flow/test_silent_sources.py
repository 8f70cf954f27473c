"""Nothing is refused for good that a source which does not answer just now might change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from smimegw.adapters.chain.answers import CacheTimes
from smimegw.adapters.chain.cache import CachingAuthorities, CachingDirectory
from smimegw.adapters.chain.directory import ChainAuthorities, ChainDirectory, Source
from smimegw.pipeline.admit import Gateway
from smimegw.transaction import Outcome
from tests.fakes.company import Company, message
from tests.fakes.pki import CA, DAY, PAST, make_ca
from tests.fakes.ports import MemoryDirectory

ALICE, BOB = "alice@ours.example", "bob@partner.example"
ASKED_AGAIN = CacheTimes(found_seconds=0.0)


@dataclass
class Site:
    """A gateway with two directories of people, of which the new one is asked first and may be
    skipped, and two of CAs.
    """

    company: Company
    old_cas: MemoryDirectory = field(default_factory=MemoryDirectory)
    new_cas: MemoryDirectory = field(default_factory=MemoryDirectory)
    old: MemoryDirectory = field(default_factory=lambda: MemoryDirectory(name="fake:old"))
    new: MemoryDirectory = field(default_factory=lambda: MemoryDirectory(name="fake:new"))

    def __post_init__(self) -> None:
        self.company.user(ALICE)
        people = [
            Source(directory=CachingDirectory(self.new, ASKED_AGAIN), may_be_skipped=True),
            Source(directory=CachingDirectory(self.old, ASKED_AGAIN)),
        ]
        cas = (self.old_cas, self.new_cas)
        for each in cas:
            each.publish_ca(self.company.ca)
        issuers = [CachingAuthorities(each, ASKED_AGAIN) for each in cas]
        ports = replace(
            self.company.world.ports,
            directory=ChainDirectory(people),
            authorities=ChainAuthorities(issuers),
        )
        self.company.gateway = Gateway(self.company.gateway.policy, ports, self.company.settings)

    def send(self) -> Outcome:
        return self.company.send("relay", [BOB], message(ALICE, BOB))

    def issuing(self, where: MemoryDirectory, **options: object) -> CA:
        """The issuing CA of one name and key, as *where* has it."""
        found = make_ca("Issuing", parent=self.company.ca, **options)  # type: ignore[arg-type]
        where.cas.append(found.certificate)
        where.lists[found.certificate.subject_der] = [found.crl()]
        return found

    def bob(self, issuer: CA, where: MemoryDirectory, **options: object) -> None:
        issued = issuer.issue(BOB, key="p256", **options)  # type: ignore[arg-type]
        where.publish(BOB, issued.certificate)


@pytest.fixture
def site() -> Site:
    return Site(Company())


def code(outcome: Outcome) -> tuple[int, str]:
    return outcome.reply.code, outcome.reply.text[-6:]


OLDER: dict[str, dict[str, object]] = {
    "expired": {"not_before": PAST - 9 * DAY, "not_after": PAST},
    "not for this path": {"path_length": 0, "ca": False},
    "of another key": {"slot": "the key before"},
}


@pytest.mark.parametrize("older", OLDER)
def test_an_older_issuer_is_not_the_last_word_while_a_source_is_silent(
    site: Site, older: str
) -> None:
    """The newer certificate of the CA may be with the other source (R-05, not R-08)."""
    site.issuing(site.old_cas, **OLDER[older])
    site.bob(site.issuing(site.new_cas), site.old)
    site.new_cas.broken = True
    assert code(site.send()) == (451, "(R-05)")


@pytest.mark.parametrize("older", OLDER)
def test_the_newer_issuer_counts_when_the_source_is_back(site: Site, older: str) -> None:
    """The try after it succeeds (R-05)."""
    site.issuing(site.old_cas, **OLDER[older])
    site.bob(site.issuing(site.new_cas), site.old)
    assert site.send().reply.code == 250


def test_what_a_silent_source_said_before_is_not_the_last_word(site: Site) -> None:
    """A kept answer may stand in for it, but not refuse for good (R-05, R-06)."""
    site.issuing(site.new_cas, **OLDER["expired"])
    site.bob(make_ca("Issuing", parent=site.company.ca), site.old)
    assert site.send().reply.code == 550
    site.new_cas.broken = True
    assert code(site.send()) == (451, "(R-05)")


def test_what_a_silent_source_said_before_does_when_it_suffices(site: Site) -> None:
    """Mail does not wait for a directory whose kept answer makes the path (R-06)."""
    site.bob(site.issuing(site.new_cas), site.old)
    assert site.send().reply.code == 250
    site.new_cas.broken = True
    assert site.send().reply.code == 250


FINAL: dict[str, dict[str, object]] = {
    "R-03": {"not_after": PAST},
    "R-08": {"key": "rsa1024"},
}


@pytest.mark.parametrize("row", FINAL)
def test_a_flaw_of_the_certificate_itself_is_final(row: str) -> None:
    """No issuer makes it good, so nobody waits for one (R-03, R-08)."""
    company = Company()
    company.user(ALICE)
    company.partner(BOB, **FINAL[row])
    down = ChainAuthorities([company.world.directory, MemoryDirectory(broken=True)])
    ports = replace(company.world.ports, authorities=down)
    company.gateway = Gateway(company.gateway.policy, ports, company.settings)
    outcome = company.send("relay", [BOB], message(ALICE, BOB))
    assert code(outcome) == (550, f"({row})")


def _of_two_people(site: Site) -> None:
    for name in ("Bob Baker", "Bob Butcher"):
        issued = site.company.ca.issue(BOB, common_name=name, key="p256")
        site.old.publish(BOB, issued.certificate, owner=name)


UNUSABLE: dict[str, Callable[[Site], None]] = {
    "expired": lambda site: site.bob(site.company.ca, site.old, not_after=PAST),
    "of nobody's CA": lambda site: site.bob(make_ca("A stranger's CA"), site.old),
    "of two people": _of_two_people,
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_certificate_is_not_the_last_word_after_a_skipped_source(
    site: Site, what: str
) -> None:
    """The source that may be skipped might have had a better one (R-06)."""
    UNUSABLE[what](site)
    site.new.broken = True
    assert code(site.send()) == (451, "(R-06)")


@pytest.mark.parametrize("what", UNUSABLE)
def test_it_is_when_all_sources_have_answered(site: Site, what: str) -> None:
    """Then it is known, and the sender hears it at once (R-01, R-03, R-08)."""
    UNUSABLE[what](site)
    assert site.send().reply.code == 550


def test_a_kept_certificate_of_no_use_waits_for_the_directory(site: Site) -> None:
    """It may have a successor by now (R-06, not R-03)."""
    site.bob(site.company.ca, site.old, not_after=PAST)
    assert site.send().reply.code == 550
    site.old.broken = True
    assert code(site.send()) == (451, "(R-06)")


def test_every_silent_source_of_issuers_is_told(site: Site) -> None:
    """Whoever reads the log sees that something is missing (R-05)."""
    chain = ChainAuthorities([site.old_cas, site.new_cas])
    site.new_cas.broken = True
    answer = asyncio.run(chain.ask(site.company.ca.certificate.subject_der))
    assert (len(answer.authorities), answer.trouble) == (1, "connection refused")
