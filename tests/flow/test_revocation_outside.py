"""Revocation from outside, through the whole pipeline: fetched, asked, or left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.transaction import Outcome
from tests.fakes.company import Company, message, opaque_signed
from tests.fakes.pki import DAY, NOW, Issued, make_ca
from tests.fakes.ports import World
from tests.peers.ports import free_port
from tests.peers.revocation import (
    WebServer,
    crl_at,
    ocsp_at,
    ocsp_responder,
    source_for,
    web_server,
)

ALICE = "alice@ours.example"
BOB = "bob@partner.example"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def company(web: WebServer) -> Company:
    """The directory knows the CA but no list of it; the web server may be asked."""
    return asking(web.rule)


def asking(*private: str, limits: Limits | None = None) -> Company:
    world = World()
    world.revocation = source_for(*private, events=world.events, limits=limits or Limits())
    company = Company(world=world, limits=limits or Limits())
    company.user(ALICE)
    world.directory.lists.clear()
    return company


def to_bob(company: Company) -> Outcome:
    return company.send("relay", [BOB], message(ALICE, BOB))


def from_bob(company: Company, bob: Issued) -> str:
    """The Authentication-Results of a mail that BOB signed."""
    octets = opaque_signed(bob, BOB, ALICE)
    assert company.send("mx", [ALICE], octets, reverse_path=BOB).reply.code == 250
    (result,) = Entity.parse(company.arrived[-1]).header.all("authentication-results")
    return result.body.decode()


# --- lists ---------------------------------------------------------------------------------------


def test_fetched_list_makes_a_certificate_good(company: Company, web: WebServer) -> None:
    """RFC 5280, 6.3.3: the list of the distribution point."""
    web.pages["/flow.crl"] = company.ca.crl()
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    assert to_bob(company).reply.code == 250
    assert company.world.events.named("revocation.checked") == [{"result": "good", "method": "crl"}]


def test_fetched_list_serves_every_mail(company: Company, web: WebServer) -> None:
    """One download."""
    web.pages["/flow.crl"] = company.ca.crl()
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    for _ in range(3):
        assert to_bob(company).reply.code == 250
    assert web.asked == ["GET /flow.crl"]


def test_fetched_list_that_names_the_certificate_refuses(company: Company, web: WebServer) -> None:
    """The fetched list counts like any other (R-04, cases F15)."""
    bob = company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    web.pages["/flow.crl"] = company.ca.crl([bob])
    reply = to_bob(company).reply
    assert reply.code == 550
    assert "certificate revoked (R-04)" in reply.text


def test_changes_to_a_fetched_list_are_fetched(company: Company, web: WebServer) -> None:
    """The list says where its deltas are (RFC 5280, 5.2.6)."""
    place = [x509.UniformResourceIdentifier(web.url("/delta.crl"))]
    freshest = x509.FreshestCRL([x509.DistributionPoint(place, None, None, None)])
    web.pages["/flow.crl"] = company.ca.crl(number=10, extensions=[(freshest, False)])
    bob = company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    based = (x509.DeltaCRLIndicator(10), True)
    web.pages["/delta.crl"] = company.ca.crl([bob], number=11, extensions=[based])
    reply = to_bob(company).reply
    assert reply.code == 550
    assert web.asked == ["GET /flow.crl", "GET /delta.crl"]


def test_server_without_the_list_defers(company: Company, web: WebServer) -> None:
    """Unknown is not good (R-05)."""
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    reply = to_bob(company).reply
    assert (reply.code, reply.enhanced) == (451, "4.7.5")
    assert "(R-05)" in reply.text
    assert web.asked == ["GET /flow.crl"]


def test_signer_passes_by_a_fetched_list(company: Company, web: WebServer) -> None:
    """Inbound the same (R-40)."""
    web.pages["/flow.crl"] = company.ca.crl()
    bob = company.ca.issue(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    assert "smime=pass" in from_bob(company, bob)


def test_signer_of_unknown_standing_is_a_temporary_error(company: Company, web: WebServer) -> None:
    """No list, no answer: neither pass nor fail (R-46)."""
    bob = company.ca.issue(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    assert "smime=temperror" in from_bob(company, bob)
    assert web.asked == ["GET /flow.crl"]


def mailed_intermediate(company: Company, web: WebServer, root_list: bytes) -> str:
    """A signer whose issuing CA is known from the message only; the result."""
    above = make_ca("Flow Issuing", parent=company.ca, extensions=[crl_at(web.url("/root.crl"))])
    web.pages["/issuing.crl"] = above.crl()
    web.pages["/root.crl"] = root_list
    return from_bob(company, above.issue(BOB, extensions=[crl_at(web.url("/issuing.crl"))]))


def test_whole_path_is_asked_about(company: Company, web: WebServer) -> None:
    """Each certificate but the anchor (RFC 5280, 6.1), also one that only the message carries."""
    assert "smime=pass" in mailed_intermediate(company, web, company.ca.crl())
    assert sorted(web.asked) == ["GET /issuing.crl", "GET /root.crl"]


def test_intermediate_of_unknown_standing_is_a_temporary_error(
    company: Company, web: WebServer
) -> None:
    """The signer is known good, the CA above is not (R-46)."""
    assert "smime=temperror" in mailed_intermediate(company, web, b"nothing")


# --- OCSP ----------------------------------------------------------------------------------------


@dataclass
class Asked:
    """A company that may ask `openssl ocsp` and a web server."""

    web: WebServer
    directory: Path

    def __post_init__(self) -> None:
        self.port = free_port()
        self.company = asking(f"127.0.0.1:{self.port}", self.web.rule)
        self.places = [
            ocsp_at(f"http://127.0.0.1:{self.port}"),
            crl_at(self.web.url("/flow.crl")),
        ]

    def responding(self, **about: Sequence[Issued]) -> AbstractContextManager[int]:
        return ocsp_responder(self.directory, self.company.ca, port=self.port, **about)


@pytest.fixture
def asked(web: WebServer, tmp_path: Path) -> Asked:
    return Asked(web, tmp_path)


def test_good_by_ocsp(asked: Asked) -> None:
    """No list anywhere, but the responder knows."""
    bob = asked.company.partner(BOB, extensions=asked.places)
    with asked.responding(known=[bob]):
        assert to_bob(asked.company).reply.code == 250
    checked = asked.company.world.events.named("revocation.checked")
    assert checked == [{"result": "good", "method": "ocsp"}]


def test_revoked_by_ocsp_is_refused(asked: Asked) -> None:
    """The word of the CA's responder is enough (R-04)."""
    bob = asked.company.partner(BOB, extensions=asked.places)
    with asked.responding(revoked=[bob]):
        reply = to_bob(asked.company).reply
    assert reply.code == 550
    assert "certificate revoked (R-04)" in reply.text


def test_signer_revoked_by_ocsp_fails(asked: Asked) -> None:
    """Inbound the same (R-45)."""
    bob = asked.company.ca.issue(BOB, extensions=asked.places)
    with asked.responding(revoked=[bob]):
        assert 'smime=fail reason="revoked"' in from_bob(asked.company, bob)


def test_unknown_to_ocsp_defers(asked: Asked) -> None:
    """A responder that does not know says nothing (R-05)."""
    asked.company.partner(BOB, extensions=asked.places)
    with asked.responding():
        reply = to_bob(asked.company).reply
    assert (reply.code, reply.enhanced) == (451, "4.7.5")


def test_responder_that_is_down_defers(asked: Asked) -> None:
    """Nobody listens (R-05)."""
    asked.company.partner(BOB, extensions=asked.places)
    assert to_bob(asked.company).reply.enhanced == "4.7.5"
    errors = asked.company.world.events.named("revocation.error")
    assert {error["method"] for error in errors} == {"crl", "ocsp"}


def test_ocsp_is_not_asked_when_a_list_answers(asked: Asked) -> None:
    """It would tell the CA whom we write to; nobody listens at its port."""
    asked.web.pages["/flow.crl"] = asked.company.ca.crl()
    asked.company.partner(BOB, extensions=asked.places)
    assert to_bob(asked.company).reply.code == 250
    assert asked.company.world.events.named("revocation.error") == []


# --- nobody is asked -----------------------------------------------------------------------------


def test_nothing_is_fetched_when_the_directory_answers(company: Company, web: WebServer) -> None:
    """A fresh list in the directory settles it."""
    company.world.directory.publish_ca(company.ca)
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl")), ocsp_at(web.url("/ocsp"))])
    assert to_bob(company).reply.code == 250
    assert web.asked == []


def test_list_in_grace_is_replaced_by_a_fresh_one(company: Company, web: WebServer) -> None:
    """The directory's list is overdue; the CA's own server has a new one, which revokes (T-13)."""
    overdue = company.ca.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    company.world.directory.lists[company.ca.certificate.subject_der] = [overdue]
    bob = company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    web.pages["/flow.crl"] = company.ca.crl([bob])
    assert "(R-04)" in to_bob(company).reply.text


def test_list_in_grace_counts_when_nothing_newer_can_be_had(
    company: Company, web: WebServer
) -> None:
    """R-05: usable until nextUpdate and 72 hours."""
    overdue = company.ca.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    company.world.directory.lists[company.ca.certificate.subject_der] = [overdue]
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    assert to_bob(company).reply.code == 250
    assert web.asked == ["GET /flow.crl"]


@pytest.mark.parametrize("kind", ["stranger", "expired"])
def test_certificate_without_a_path_makes_nobody_ask(
    company: Company, web: WebServer, kind: str
) -> None:
    """Anybody can write a URL into a certificate of his own: no request for it (T-14)."""
    places = [crl_at(web.url("/track-me.crl")), ocsp_at(web.url("/track-me"))]
    if kind == "stranger":
        bob = make_ca("Stranger CA").issue(BOB, extensions=places)
    else:
        bob = company.ca.issue(BOB, extensions=places, not_after=NOW - timedelta(hours=1))
    from_bob(company, bob)
    assert web.asked == []


def test_hosts_that_are_not_allowed_are_not_asked(web: WebServer) -> None:
    """The default: no host is."""
    company = Company()
    company.world.directory.lists.clear()
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    assert to_bob(company).reply.enhanced == "4.7.5"
    assert web.asked == []


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("revocation_seconds", [0.1, 30.0])
def test_hanging_server_means_unknown_and_not_an_unreachable_directory(
    web: WebServer, revocation_seconds: float
) -> None:
    """R-05 and not R-06, within `lookup_seconds`, also when the source itself would wait longer."""
    limits = Limits(lookup_seconds=1.0, revocation_seconds=revocation_seconds)
    company = asking(web.rule, limits=limits)
    go = threading.Event()
    web.pages["/flow.crl"] = lambda _: b"x" if go.wait(20) else b""
    company.partner(BOB, extensions=[crl_at(web.url("/flow.crl"))])
    reply = to_bob(company).reply
    go.set()
    assert (reply.code, reply.enhanced) == (451, "4.7.5")
    assert "(R-05)" in reply.text
    checked = company.world.events.named("revocation.checked")
    assert checked == [{"result": "unknown", "method": "none"}]
