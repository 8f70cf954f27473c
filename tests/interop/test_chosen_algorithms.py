"""Copies whose algorithms were chosen for their readers, opened by four other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cryptography import x509

from smimegw.cms.capabilities import OURS
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import Issued
from tests.interop.gnupg import gnupg
from tests.interop.nss import nss
from tests.interop.openssl import Files, openssl
from tests.interop.readers import (
    BouncyCastleReader,
    GnuPGReader,
    NSSReader,
    OpenSSLReader,
    Reader,
    cms_of,
)

ALICE, EDI = "alice@ours.example", "edi@ours.example"
BOB, EVA, CAROL = "bob@partner.example", "eva@partner.example", "carol@partner.example"
TEXT = "Der Preis ist 100 EUR.\r\n"
POLICIES = Path(__file__).parents[2] / "policies"
_SAYS = [
    (
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113549.1.9.15"), OURS.write()),
        False,
    )
]
People = Mapping[str, Issued]


@pytest.fixture(scope="module")
def company() -> Company:
    """Its mail to partners is triple wrapped."""
    company = Company(policy=POLICY.replace("sign-then-encrypt", "sign-encrypt-sign"))
    company.user(ALICE)
    return company


@pytest.fixture(scope="module")
def people(company: Company) -> People:
    """Bob reads GCM and OAEP, of Eva nothing is known, Carol has a key on a curve."""
    return {
        BOB: company.partner(BOB, extensions=_SAYS),
        EVA: company.partner(EVA),
        CAROL: company.partner(CAROL, key="p256"),
    }


@pytest.fixture(scope="module", params=["openssl", "gpgsm", "nss"])
def eva(
    request: pytest.FixtureRequest, people: People, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    """Programs of somebody of whom nothing is known."""
    person = people[EVA]
    match request.param:
        case "openssl":
            yield OpenSSLReader(Files.of(person, tmp_path_factory.mktemp("eva"), "eva"))
        case "gpgsm":
            with gnupg(person) as home:
                yield GnuPGReader(home)
        case _:
            with nss(person) as database:
                yield NSSReader(database)


def sent(company: Company, *recipients: str, sender: str = ALICE) -> bytes:
    """The one copy that leaves for *recipients*."""
    before = len(company.arrived)
    content = message(sender, ", ".join(recipients), body=TEXT)
    outcome = company.send("relay", recipients, content, reverse_path=sender)
    assert outcome.reply.code == 250, outcome.reply
    (copy,) = company.arrived[before:]
    return copy


def test_program_of_which_nothing_is_known_opens_a_copy_it_shares(
    company: Company, eva: Reader
) -> None:
    """A RecipientInfo with OAEP is beside its own; both signatures hold (RFC 2634, 1.1; G24)."""
    middle = eva.verified(sent(company, BOB, EVA))
    assert TEXT.encode() in eva.verified(eva.opened(middle))


def test_gpgsm_opens_a_copy_that_is_for_a_key_on_a_curve_too(
    company: Company, people: People
) -> None:
    """A RecipientInfo with ECDH stands beside its own (RFC 5652, 6.2)."""
    with gnupg(people[EVA]) as home:
        program = GnuPGReader(home)
        middle = program.verified(sent(company, BOB, EVA, CAROL))
        assert TEXT.encode() in program.verified(program.opened(middle))


def test_nss_cannot_open_what_is_for_a_key_on_a_curve_too(company: Company, people: People) -> None:
    """QUIRK 2026-11 NSS 3.87: no EnvelopedData with a KeyAgreeRecipientInfo is read, not even one
    by openssl; newer versions do.  The manual says so."""
    with nss(people[EVA]) as database:
        program = NSSReader(database)
        middle = program.verified(sent(company, EVA, CAROL))
        assert "improperly formatted DER" in database.refusal(cms_of(middle))


@pytest.fixture(params=["openssl", "Bouncy Castle"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Issued], Reader]:
    """Programs that read everything, with somebody's key."""

    def with_key_of(person: Issued) -> Reader:
        if request.param == "openssl":
            return OpenSSLReader(Files.of(person, tmp_path, "reader"))
        return BouncyCastleReader(request.getfixturevalue("peer"), person)

    return with_key_of


@pytest.mark.parametrize("address", [BOB, EVA, CAROL])
def test_every_recipient_of_a_mixed_copy_opens_it(
    company: Company, people: People, program: Callable[[Issued], Reader], address: str
) -> None:
    """OAEP, PKCS #1 v1.5 and ECDH in one EnvelopedData (RFC 5652, 6.1)."""
    reader = program(people[address])
    middle = reader.verified(sent(company, BOB, EVA, CAROL))
    assert TEXT.encode() in reader.verified(reader.opened(middle))


def test_whoever_is_known_to_read_gcm_and_oaep_opens_it(
    company: Company, people: People, program: Callable[[Issued], Reader]
) -> None:
    """AuthEnvelopedData with AES-256-GCM and OAEP with SHA-256 (G24)."""
    reader = program(people[BOB])
    middle = reader.verified(sent(company, BOB))
    said = printed(cms_of(middle))
    assert "aes-256-gcm" in said
    assert "rsaesOaep" in said
    assert TEXT.encode() in reader.verified(reader.opened(middle))


def printed(der: bytes) -> str:
    """What openssl says of a CMS object's structure."""
    arguments = ("cms", "-cmsout", "-print", "-noout", "-inform", "DER")
    return openssl(*arguments, stdin=der).decode(errors="replace")


# --- the energy market ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Company:
    """The shipped policy, for our domain; partners of whom nothing is known."""
    text = (POLICIES / "examples" / "energy-market.toml").read_text()
    company = Company(policy=text.replace("corp.example", "ours.example"))
    company.user(EDI)
    return company


def test_market_message_has_the_agreed_algorithms(market: Company, tmp_path: Path) -> None:
    """PSS with SHA-512, AES-128-GCM and OAEP, opened and verified by openssl."""
    program = OpenSSLReader(Files.of(market.partner("edi@grid.example"), tmp_path, "grid"))
    mail = sent(market, "edi@grid.example", sender=EDI)
    outside = printed(cms_of(mail))
    assert "aes-128-gcm" in outside
    assert "rsaesOaep" in outside
    inside = program.opened(mail)
    signature = printed(cms_of(inside))
    assert "rsassaPss" in signature
    assert "sha512" in signature
    assert TEXT.encode() in program.verified(inside)


def test_market_message_from_the_partner_is_opened(market: Company, tmp_path: Path) -> None:
    """Made by openssl with the same algorithms, opened and passed."""
    grid = market.ca.issue("edi@grid.example")
    signer = Files.of(grid, tmp_path, "grid")
    ours = Files.of(market.world.keystore.held[0], tmp_path, "edi")
    pss = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-1")
    signed = openssl(
        *("cms", "-sign", "-nodetach", "-md", "sha512", "-signer", signer.certificate),
        *("-inkey", signer.key, *pss),
        stdin=b"Content-Type: text/plain\r\n\r\n" + TEXT.encode(),
    )
    sealed = openssl(
        *("cms", "-encrypt", "-aes-128-gcm", "-recip", ours.certificate),
        *("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
        stdin=signed,
    )
    head = f"From: edi@grid.example\r\nTo: {EDI}\r\nSubject: MSCONS\r\n".encode()
    content = head + sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    outcome = market.send("mx", [EDI], content, reverse_path="edi@grid.example")
    assert outcome.reply.code == 250
    assert TEXT.encode() in market.arrived[-1]
    assert b"smime=pass" in market.arrived[-1]


def test_market_message_that_was_not_encrypted_is_turned_away(market: Company) -> None:
    """The market mailbox takes encrypted mail only (R-52)."""
    content = message("edi@grid.example", EDI)
    outcome = market.send("mx", [EDI], content, reverse_path="edi@grid.example")
    assert (outcome.reply.code, outcome.reply.enhanced) == (550, "5.7.1")
