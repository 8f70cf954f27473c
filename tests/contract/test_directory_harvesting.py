"""Thirteen thousand people in slapd: found one by one, listed by nobody who may not."""

from __future__ import annotations

import asyncio
import base64
import functools
import subprocess
from collections.abc import Iterator

import pytest

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import Certificate
from tests.contract.conftest import ldap_settings
from tests.fakes.pki import make_ca
from tests.peers.ports import wait_until
from tests.peers.slapd import Slapd

PEOPLE = 13_000
WANTED = tuple(range(0, PEOPLE, 650))  # these have certificates of their own
CA = make_ca("Harvest CA")
STAFF_PASSWORD = "staff-secret"


def address(number: int) -> str:
    return f"person{number}@corp.example"


@functools.cache
def certificate(number: int) -> Certificate:
    return CA.issue(address(number), key="p256", slot=f"harvest {number}").certificate


def everybody(server: Slapd) -> str:
    ours = {number: certificate(number).der for number in WANTED}
    shared = certificate(1).der
    entries = [
        f"dn: mail={address(number)},{server.people_base}\n"
        "objectClass: inetOrgPerson\nobjectClass: smimegwMailPerson\n"
        f"cn: Person {number}\nsn: {number}\nmail: {address(number)}\n"
        f"smimegwMailAlternateAddress: p.{number}@corp.example\n"
        f"userCertificate;binary:: {base64.b64encode(ours.get(number, shared)).decode()}\n"
        for number in range(PEOPLE)
    ]
    staff = (
        f"dn: cn=Staff,{server.people_base}\nobjectClass: inetOrgPerson\ncn: Staff\nsn: Staff\n"
        f"userPassword: {STAFF_PASSWORD}\n"
    )
    return "\n".join([*entries, staff])


@pytest.fixture(scope="module", params=["conf", "cnconfig"])
def public(request: pytest.FixtureRequest) -> Iterator[Slapd]:
    """A server with the rules for outsiders, in either form."""
    with Slapd(configuration=request.param, public=True) as server:
        server.load(everybody(server))
        yield server


@pytest.fixture(scope="module")
def closed() -> Iterator[Slapd]:
    """A server with the rules that keep outsiders out."""
    with Slapd() as server:
        server.load(everybody(server))
        yield server


def ask(
    server: Slapd, *words: str, who: tuple[str, str] | None = None, base: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ldapsearch, without a name unless one is given."""
    bind = ["-D", who[0], "-w", who[1]] if who else []
    return subprocess.run(
        [
            *("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", server.ldapi_url),
            *(*bind, "-b", base or server.people_base, *words),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- the gateway ---------------------------------------------------------------------------------


def found(server: Slapd, *numbers: int, template: str = "(mail=%{address})") -> list[bytes]:
    async def look_up() -> list[bytes]:
        directory = LDAPDirectory(ldap_settings(server, filter=template, deadline_seconds=30.0))
        try:
            answers = await asyncio.gather(
                *(directory.find(Mailbox.parse(address(number))) for number in numbers)
            )
            return [item.certificate.der for answer in answers for item in answer]
        finally:
            await directory.close()

    return asyncio.run(look_up())


def test_the_gateway_finds_each_of_thirteen_thousand(public: Slapd) -> None:
    """The right one, by the index, whatever the order."""
    assert found(public, *WANTED) == [certificate(number).der for number in WANTED]


def test_the_gateway_finds_by_the_other_attribute_too(public: Slapd) -> None:
    """The filter with two attributes stays below the limits."""
    template = "(|(mail=%{address})(smimegwMailAlternateAddress=%{address}))"
    assert found(public, 650, template=template) == [certificate(650).der]


def test_who_is_not_there_is_not_there(public: Slapd) -> None:
    """An answer, not an error."""
    assert found(public, PEOPLE + 1) == []


def test_a_stolen_gateway_password_lists_nobody(closed: Slapd) -> None:
    """It answers for addresses that one knows; a prefix is stopped without a word (T-36)."""
    who = (closed.gateway_dn, closed.gateway_password)
    for wanted in ("(mail=*)", "(mail=person12*)", "(objectClass=inetOrgPerson)"):
        answer = ask(closed, wanted, "mail", who=who)
        assert (answer.returncode, answer.stdout) == (11, "")


def test_a_filter_that_lists_is_an_error_for_the_gateway(closed: Slapd) -> None:
    """Never "no certificate": the mail waits, and the text names the index (R-06)."""
    with pytest.raises(DirectoryError, match="index `mail`"):
        found(closed, 1, template="(mail=*%{domain})")


def test_a_partners_gateway_sees_who_wants_no_encryption(public: Slapd) -> None:
    """Without a name it has to read the flag, or it would encrypt all the same (R-01)."""
    public.add_person(
        "flagged@corp.example",
        certificates=[certificate(1).der],
        more={"smimegwNoEncryption": "TRUE"},
    )
    answer = ask(public, "(mail=flagged@corp.example)", "smimegwNoEncryption")
    assert "smimegwNoEncryption: TRUE\n" in answer.stdout


# --- Thunderbird ---------------------------------------------------------------------------------


def test_thunderbirds_question_is_answered_to_outsiders(public: Slapd) -> None:
    """``(mail=…)`` for ``usercertificate;binary``, as its source writes it."""
    answer = ask(public, f"(mail={address(1300)})", "usercertificate;binary")
    value = base64.b64encode(certificate(1300).der).decode()
    assert f"userCertificate;binary:: {value}\n" in answer.stdout


def test_thunderbirds_question_about_two_recipients_is_answered(public: Slapd) -> None:
    """It joins the addresses of one mail in one filter."""
    answer = ask(
        public, f"(|(mail={address(650)})(mail={address(1300)}))", "usercertificate;binary"
    )
    assert answer.stdout.count("userCertificate;binary::") == 2


def test_outsiders_are_shown_certificates_and_nothing_else(public: Slapd) -> None:
    """No names, no other addresses, though they ask for everything."""
    answer = ask(public, f"(mail={address(650)})", "*", "+")
    names = {line.partition(":")[0] for line in answer.stdout.splitlines() if line}
    assert names == {"dn", "userCertificate;binary"}


def test_outsiders_ask_nothing_where_they_are_kept_out(closed: Slapd) -> None:
    """Not even whether somebody is there."""
    answer = ask(closed, f"(mail={address(650)})", "usercertificate;binary")
    assert "person" not in answer.stdout


# --- harvesters ----------------------------------------------------------------------------------

# What a harvester tries, each with its own way round an exact address.
ATTEMPTS = (
    ("everything", ("(mail=*)",)),
    ("by class", ("(objectClass=*)",)),
    ("a prefix", ("(mail=person1*)",)),
    ("all but the end", ("(mail=person1@corp.exampl*)",)),
    ("a middle", ("(mail=*son1*)",)),
    ("not somebody", ("(!(mail=nobody@corp.example))",)),
    ("greater", ("(mail>=a)",)),
    ("approximately", ("(mail~=person1)",)),
    ("by name", ("(cn=Person 1)",)),
    ("a name and a prefix", ("(&(cn=Person 1)(mail=p*))",)),
    ("by certificate", ("(userCertificate;binary=*)",)),
    ("by another attribute", ("(smimegwMailAlternateAddress=p.1*)",)),
    ("page by page", ("-E", "pr=1/noprompt", "(mail=person1*)")),
    ("sorted", ("-E", "sss=mail", "(mail=person1*)")),
    ("one level", ("-s", "one", "(mail=person1*)")),
    ("one at a time", ("-z", "1", "(mail=person1*)")),
    ("an extensible match", ("(:dn:mail:caseIgnoreIA5Match:=person1@corp.example)",)),
)


@pytest.mark.parametrize("words", [row[1] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS])
def test_a_harvester_gets_nothing(public: Slapd, words: tuple[str, ...]) -> None:
    """Stopped by the limit on what no index narrows down, or by what may be asked (T-36)."""
    assert "person" not in ask(public, *words, "mail", "userCertificate").stdout


@pytest.mark.parametrize("words", [row[1] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS])
def test_a_harvester_gets_nothing_where_outsiders_are_kept_out(
    closed: Slapd, words: tuple[str, ...]
) -> None:
    """The rules alone are enough there."""
    assert "person" not in ask(closed, *words, "mail", "userCertificate").stdout


def test_many_guesses_in_one_question_give_two_answers(public: Slapd) -> None:
    """Guessing costs a question for each two addresses, whatever is packed into one."""
    guesses = "".join(f"(mail={address(number)})" for number in range(500))
    answer = ask(public, f"(|{guesses})", "userCertificate")
    assert answer.returncode in (4, 11)
    assert answer.stdout.count("dn:") <= 2


def test_a_login_without_rights_gets_nothing(public: Slapd) -> None:
    """A name alone opens nothing but the own entry."""
    who = (f"cn=Staff,{public.people_base}", STAFF_PASSWORD)
    for wanted in ("(mail=*)", "(mail=person1*)", f"(mail={address(650)})"):
        assert "person" not in ask(public, wanted, "mail", who=who).stdout


def test_an_index_for_prefixes_opens_the_door() -> None:
    """Why the README forbids it: the check has to find it (`smimegw directory check`)."""
    with Slapd(configuration="cnconfig", public=True) as server:
        server.add(
            "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcDbIndex\n"
            "olcDbIndex: objectClass eq\nolcDbIndex: mail eq,sub\n",
            external=True,
        )
        for name in ("alice", "bob", "carol"):
            server.add_person(f"{name}@corp.example")
        wait_until(lambda: "alice" in ask(server, "(mail=ali*)").stdout, "the index to be built")
