"""A CA certificate that nobody has is fetched from where the certificate says, by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID

from smimegw.transaction import Outcome
from tests.fakes.company import Company, message, opaque_signed
from tests.fakes.pki import CA, Issued, make_ca
from tests.fakes.ports import World
from tests.peers.revocation import Page, WebServer, source_for, web_server

ALICE, BOB = "alice@ours.example", "bob@partner.example"
PATH = "/issuing.cer"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def company(web: WebServer) -> Company:
    """The web server may be asked; the directory knows the root only."""
    return asking(web.rule)


def asking(*hosts: str) -> Company:
    world = World()
    world.revocation = source_for(*hosts, events=world.events)
    company = Company(world=world)
    company.user(ALICE)
    return company


def issuing_ca(company: Company, name: str = "Issuing AIA", **options: object) -> CA:
    """Nobody has its certificate, everybody its list."""
    issuing = make_ca(name, parent=company.ca, **options)  # type: ignore[arg-type]
    company.world.directory.lists[issuing.certificate.subject_der] = [issuing.crl()]
    return issuing


def found_at(*urls: str) -> tuple[x509.ExtensionType, bool]:
    """An AuthorityInformationAccess extension that names the issuer's certificate."""
    method = AuthorityInformationAccessOID.CA_ISSUERS
    places = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, p) for p in places]
    ), False


def bob_of(company: Company, issuing: CA, *urls: str) -> Issued:
    issued = issuing.issue(BOB, key="p256", extensions=[found_at(*urls)])
    company.world.directory.publish(BOB, issued.certificate)
    return issued


def to_bob(company: Company) -> Outcome:
    return company.send("relay", [BOB], message(ALICE, BOB))


def bundle(*authorities: CA) -> bytes:
    found = [authority.certificate.parsed for authority in authorities]
    return pkcs7.serialize_certificates(found, Encoding.DER)


FORMS: dict[str, Callable[[CA], bytes]] = {
    ".cer": lambda issuing: issuing.certificate.der,
    ".p7c": lambda issuing: bundle(issuing, make_ca("Somebody else's CA")),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_issuer_is_fetched(company: Company, web: WebServer, form: str) -> None:
    """DER of one certificate, or certificates-only CMS (RFC 5280, 4.2.2.1)."""
    issuing = issuing_ca(company)
    web.pages[f"/issuing{form}"] = FORMS[form](issuing)
    bob_of(company, issuing, web.url(f"/issuing{form}"))
    assert to_bob(company).reply.code == 250


def test_a_fetched_issuer_serves_every_mail(company: Company, web: WebServer) -> None:
    """One download."""
    issuing = issuing_ca(company)
    web.pages[PATH] = issuing.certificate.der
    bob_of(company, issuing, web.url(PATH))
    for _ in range(2):
        assert to_bob(company).reply.code == 250
    assert web.asked == [f"GET {PATH}"]


def test_two_missing_issuers_are_fetched_one_after_the_other(
    company: Company, web: WebServer
) -> None:
    """The first fetched one says where the second is (RFC 5280, 4.2.2.1)."""
    upper = issuing_ca(company, "Upper AIA")
    lower = make_ca("Lower AIA", parent=upper, extensions=[found_at(web.url("/upper.cer"))])
    company.world.directory.lists[lower.certificate.subject_der] = [lower.crl()]
    web.pages |= {"/upper.cer": upper.certificate.der, "/lower.cer": lower.certificate.der}
    bob_of(company, lower, web.url("/lower.cer"))
    assert to_bob(company).reply.code == 250


def test_an_issuer_that_is_at_hand_is_not_fetched(company: Company, web: WebServer) -> None:
    """Nobody learns whom we write to without need."""
    issuing = issuing_ca(company)
    company.world.directory.cas.append(issuing.certificate)
    bob_of(company, issuing, web.url(PATH))
    assert to_bob(company).reply.code == 250
    assert web.asked == []


def test_an_issuer_that_the_message_carries_is_not_fetched(
    company: Company, web: WebServer
) -> None:
    """Reading a mail is no reason to tell somebody of it (T-14)."""
    issuing = issuing_ca(company)
    bob = issuing.issue(BOB, key="p256", extensions=[found_at(web.url(PATH))])
    octets = opaque_signed(bob, BOB, ALICE)
    assert company.send("mx", [ALICE], octets, reverse_path=BOB).reply.code == 250
    assert web.asked == []


def test_an_issuer_that_the_message_lacks_is_fetched(company: Company, web: WebServer) -> None:
    """A signature by an allowed CA passes though its path was left out (RFC 5280, 4.2.2.1)."""
    issuing = issuing_ca(company)
    web.pages[PATH] = issuing.certificate.der
    bob = issuing.issue(BOB, key="p256", extensions=[found_at(web.url(PATH))])
    octets = opaque_signed(replace(bob, chain=()), BOB, ALICE)
    assert company.send("mx", [ALICE], octets, reverse_path=BOB).reply.code == 250
    assert b"smime=pass" in company.arrived[-1]


def test_a_host_that_is_not_allowed_is_not_asked(web: WebServer) -> None:
    """Whoever makes a certificate chooses the address (T-14; cases F20)."""
    company = asking("127.0.0.1:1")
    issuing = issuing_ca(company)
    web.pages[PATH] = issuing.certificate.der
    bob_of(company, issuing, web.url(PATH))
    assert to_bob(company).reply.code == 550
    assert web.asked == []


@pytest.mark.parametrize(
    "url", ["ldap://127.0.0.1/cn=ca", "file:///etc/passwd", "http://169.254.169.254/ca.cer"]
)
def test_another_kind_of_address_is_not_asked(company: Company, url: str) -> None:
    """http to hosts of the list, and nothing else (T-14; cases F20)."""
    issuing = issuing_ca(company)
    bob_of(company, issuing, url)
    assert to_bob(company).reply.code == 550
    assert company.world.events.named("revocation.fetched") == []


BAD: dict[str, Callable[[CA], bytes | Page | None]] = {
    "absent": lambda _: None,
    "failing": lambda _: Page(status=500),
    "garbage": lambda _: b"<html>not here</html>",
    "huge": lambda _: bytes(300 * 1024),
    "of another CA": lambda _: make_ca("Somebody else's CA").certificate.der,
    "of the same name": lambda _: make_ca("Issuing AIA", slot="a namesake's key").certificate.der,
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_is_no_issuer(company: Company, web: WebServer, what: str) -> None:
    """It must have signed the certificate; what was not had is not known (R-05; T-11)."""
    issuing = issuing_ca(company)
    answer = BAD[what](issuing)
    if answer is not None:
        web.pages[PATH] = answer
    bob_of(company, issuing, web.url(PATH))
    assert str(to_bob(company).reply).endswith("(R-05)")
    assert len(company.world.events.named("revocation.error")) == 1


def test_a_fetched_issuer_is_not_trusted_by_itself(company: Company, web: WebServer) -> None:
    """It completes a path; it is no anchor (RFC 5280, 6.1)."""
    stranger = make_ca("A stranger's root")
    web.pages[PATH] = stranger.certificate.der
    company.world.directory.lists[stranger.certificate.subject_der] = [stranger.crl()]
    bob_of(company, stranger, web.url(PATH))
    assert to_bob(company).reply.code == 550
