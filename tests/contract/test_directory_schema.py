"""The files of ldap-schema/ in a real server: the README's own lines, both forms, the rights."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.addresses import Mailbox
from tests.contract.conftest import ldap_settings
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import LDAP_SCHEMA, Slapd

README = (LDAP_SCHEMA / "README.md").read_text()
ALICE = Mailbox.parse("alice@corp.example")


@pytest.fixture(scope="module")
def alice() -> Issued:
    return make_ca("Schema CA").issue("alice@corp.example", key="p256")


@pytest.fixture(params=["conf", "cnconfig"])
def server(request: pytest.FixtureRequest, alice: Issued) -> Iterator[Slapd]:
    """A server with everything of ldap-schema/, in either form."""
    with Slapd(configuration=request.param) as running:
        running.add_person("alice@corp.example", certificates=[alice.certificate.der])
        yield running


def search_as(
    server: Slapd, dn: str, password: str, *arguments: str, base: str = ""
) -> subprocess.CompletedProcess[str]:
    who = ["-D", dn, "-w", password] if dn else []
    command = ["ldapsearch", "-x", "-LLL", "-H", server.ldapi_url, *who]
    return subprocess.run(
        [*command, "-b", base or server.suffix, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# --- the README ----------------------------------------------------------------------------------


def readme_lines(kind: str = "sh") -> list[str]:
    """Every line of every block of that kind."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def follow(line: str, server: Slapd, folder: Path) -> str:
    """Run a line as an administrator would, at *server*."""
    here = line.replace("ldapi:///", server.ldapi_url)
    here = here.replace("ldaps://ldap.corp.example", server.ldaps_url)
    done = subprocess.run(
        here,
        shell=True,
        cwd=folder,
        env={**os.environ, "LDAPTLS_CACERT": str(server.ca)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[tuple[Slapd, list[str]]]:
    """A server as its distribution leaves it, and what the README's lines printed on it."""
    with Slapd(configuration="cnconfig", bare=True) as running:
        passwords = {
            "admin": running.admin_password,
            "gateway": running.gateway_password,
            "ca": running.publisher_password,
        }
        for name, password in passwords.items():
            (tmp_path / f"{name}.password").write_text(password)
        for path in LDAP_SCHEMA.glob("*.ldif"):
            (tmp_path / path.name).write_text(path.read_text())
        outputs = [follow(line, running, tmp_path) for line in readme_lines()]
        yield running, outputs


def test_the_readme_has_lines_to_follow() -> None:
    """Otherwise the tests below would follow nothing."""
    programs = {line.split()[0] for line in readme_lines()}
    assert programs == {"ldapadd", "ldapmodify", "ldapsearch", "ldappasswd"}


def test_the_lines_of_the_readme_lead_to_a_working_directory(
    followed: tuple[Slapd, list[str]], alice: Issued
) -> None:
    """An administrator who follows them has what the gateway needs."""
    server, _ = followed
    server.add(
        f"dn: mail=alice@corp.example,{server.people_base}\nchangetype: modify\n"
        "add: userCertificate;binary\nuserCertificate;binary:: "
        + base64.b64encode(alice.certificate.der).decode()
        + "\n"
    )

    async def find() -> list[bytes]:
        directory = LDAPDirectory(ldap_settings(server))
        found = await directory.find(ALICE)
        await directory.close()
        return [item.certificate.der for item in found]

    assert asyncio.run(find()) == [alice.certificate.der]


def test_the_gateways_line_finds_and_the_anonymous_line_does_not(
    followed: tuple[Slapd, list[str]],
) -> None:
    """What step 6 promises."""
    _, outputs = followed
    assert "dn: mail=alice@corp.example" in outputs[-2]
    assert "mail:" not in outputs[-1]


def test_the_public_line_of_the_readme_opens_one_address(
    followed: tuple[Slapd, list[str]], tmp_path: Path
) -> None:
    """After it the last line of step 6 still finds nothing, and an exact address is found."""
    server, _ = followed
    (line,) = readme_lines("sh public")
    follow(line, server, tmp_path)
    assert "alice" not in search_as(server, "", "", "(mail=*)", "mail").stdout
    answer = search_as(server, "", "", "(mail=alice@corp.example)", base=server.people_base)
    assert "dn: mail=alice@corp.example" in answer.stdout


def test_the_tables_of_the_readme_name_every_definition() -> None:
    """Identifiers and names as in the schema."""
    text = (LDAP_SCHEMA / "smimegw.schema").read_text()
    wanted = re.findall(r"\( 1\.3\.6\.1\.4\.1\.32473\.1(\.\d\.\d) NAME '(\w+)'", text)
    named = re.findall(r"^\| (\.\d\.\d) \| (?:class )?`(\w+)` \|", README, re.MULTILINE)
    assert sorted(named) == sorted(wanted)


def test_every_file_is_named_in_the_readme() -> None:
    """No file without a word on what it is for."""
    files = {path.name for path in LDAP_SCHEMA.iterdir() if path.name != "README.md"}
    assert {name for name in files if name not in README} == set()


# --- one schema in three forms -------------------------------------------------------------------


def definitions(name: str) -> set[str]:
    text = re.sub(r"^#.*$", "", (LDAP_SCHEMA / name).read_text(), flags=re.MULTILINE)
    text = re.sub(r"\s+", " ", text)
    found = re.findall(r"\( 1\.3\.6\.1\.4\.1\.32473\.1\.[^)]*?(?:\([^)]*\)[^)]*?)?\)", text)
    return {
        re.sub(r"\s+", " ", re.sub(r"\{\d+\}", "", item).replace("X-ORIGIN 'smimegw' ", ""))
        for item in found
    }


@pytest.mark.parametrize("name", ["smimegw.ldif", "99smimegw.ldif"])
def test_all_forms_of_the_schema_say_the_same(name: str) -> None:
    """Whoever changes one changes all."""
    assert len(definitions("smimegw.schema")) == 4
    assert definitions(name) == definitions("smimegw.schema")


@pytest.mark.parametrize("name", ["access", "access-public"])
def test_both_forms_of_the_access_rules_say_the_same(name: str) -> None:
    """Whoever changes one changes both."""
    conf = (LDAP_SCHEMA / f"{name}.conf").read_text()
    ldif = (LDAP_SCHEMA / f"{name}.ldif").read_text()
    rules = re.sub(r"#.*", "", conf).replace("access to", "|to").replace("limits ", "|")
    others = re.sub(r"#.*", "", ldif).replace("olcAccess: to", "|to").replace("olcLimits: ", "|")
    wanted = [" ".join(rule.split()) for rule in rules.split("|")[1:]]
    found = [
        " ".join(re.sub(r"-\s*replace: olcLimits", "", rule).split())
        for rule in others.split("|")[1:]
    ]
    assert found == wanted


def test_both_forms_of_the_indexes_say_the_same() -> None:
    """Whoever changes one changes both."""
    text = (LDAP_SCHEMA / "indexes.conf").read_text()
    conf = re.findall(r"^index (\S+)\s+(\S+)$", text, re.MULTILINE)
    ldif = re.findall(
        r"^olcDbIndex: (\S+) (\S+)$", (LDAP_SCHEMA / "indexes.ldif").read_text(), re.MULTILINE
    )
    assert conf == ldif
    assert conf


# --- who may what --------------------------------------------------------------------------------


def test_the_gateway_reads_certificates(server: Slapd) -> None:
    """With its own identity."""
    answer = search_as(
        server,
        server.gateway_dn,
        server.gateway_password,
        "(mail=alice@corp.example)",
        "userCertificate;binary",
    )
    assert "userCertificate;binary::" in answer.stdout


@pytest.mark.parametrize(("flag", "found"), [("TRUE", 0), ("FALSE", 1)])
def test_an_entry_may_say_that_nobody_encrypts_to_it(
    server: Slapd, alice: Issued, flag: str, found: int
) -> None:
    """Its certificates count as none: they are for something else (R-01)."""
    server.add_person(
        "bob@corp.example",
        certificates=[alice.certificate.der],
        more={"smimegwNoEncryption": flag},
    )

    async def find() -> int:
        directory = LDAPDirectory(ldap_settings(server))
        try:
            return len(await directory.find(Mailbox.parse("bob@corp.example")))
        finally:
            await directory.close()

    assert asyncio.run(find()) == found


def test_anonymous_cannot_list_addresses(server: Slapd) -> None:
    """The directory is no address list for spammers."""
    answer = search_as(server, "", "", "(mail=*)", "mail")
    assert "alice" not in answer.stdout


def test_anonymous_cannot_ask_for_one_address(server: Slapd) -> None:
    """Nor can it be asked whether somebody is there."""
    answer = search_as(server, "", "", "(mail=alice@corp.example)", "mail")
    assert "alice" not in answer.stdout


def test_anonymous_reads_the_revocation_list(server: Slapd) -> None:
    """Whoever got a signed mail needs it."""
    answer = search_as(server, "", "", "(objectClass=*)", "dn", base=server.authorities_base)
    assert answer.returncode == 0
    assert "ou=authorities" in answer.stdout


def test_another_login_reads_no_people(server: Slapd) -> None:
    """A valid login alone opens nothing but the own entry."""
    dn = server.add_person("carol@corp.example", more={"userPassword": "carol-secret"})
    answer = search_as(server, dn, "carol-secret", "(mail=*)", "mail")
    assert answer.returncode == 0
    assert "alice" not in answer.stdout


def test_nobody_reads_passwords(server: Slapd) -> None:
    """Not even the gateway, not even its own."""
    answer = search_as(
        server, server.gateway_dn, server.gateway_password, "(userPassword=*)", "userPassword"
    )
    assert "userPassword" not in answer.stdout


def test_the_gateway_cannot_copy_the_directory(server: Slapd) -> None:
    """A stolen gateway password gives answers, not a list (olcLimits)."""
    entries = "\n".join(
        f"dn: mail=p{number}@corp.example,{server.people_base}\nobjectClass: inetOrgPerson\n"
        f"cn: p{number}\nsn: p{number}\nmail: p{number}@corp.example\n"
        for number in range(101)
    )
    server.add(entries)
    answer = search_as(server, server.gateway_dn, server.gateway_password, "(mail=*)", "mail")
    assert answer.returncode == 11
    assert "Administrative limit exceeded" in answer.stderr
    assert "mail:" not in answer.stdout


def test_the_sed_line_of_the_readme_changes_the_suffix(tmp_path: Path) -> None:
    """Nothing of the sample's suffix is left, and the tree loads."""
    for path in LDAP_SCHEMA.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (line,) = re.findall(r"^    (sed .*dc=your.*)$", README, re.MULTILINE)
    subprocess.run(line, shell=True, cwd=tmp_path, timeout=30, check=True)
    texts = [path.read_text() for path in tmp_path.glob("*.[lc]*") if path.suffix != ".md"]
    assert not [text for text in texts if "dc=corp" in text]
    with Slapd(suffix="dc=your,dc=suffix", configuration="cnconfig", bare=True) as server:
        server.add((tmp_path / "smimegw.ldif").read_text(), external=True)
        server.add((tmp_path / "sample.ldif").read_text())
        assert "mail: alice@corp.example" in server.search("(mail=alice@corp.example)")


@pytest.mark.parametrize("suffix", ["dc=b,dc=example", "dc=company"])
def test_another_suffix_works(suffix: str) -> None:
    """The access rules name the suffix, too."""
    with Slapd(suffix=suffix) as server:
        server.add_person("alice@corp.example")
        answer = search_as(
            server, server.gateway_dn, server.gateway_password, "(mail=alice@corp.example)", "mail"
        )
    assert "mail: alice@corp.example" in answer.stdout


# --- what the gateway can be told to look for ----------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "value", "template"),
    [
        (
            "smimegwMailAlternateAddress",
            "a.adams@corp.example",
            "(|(mail=%{address})(smimegwMailAlternateAddress=%{address}))",
        ),
        ("description", "smtp:a.adams@corp.example", "(description=smtp:%{address})"),
        ("uid", "a.adams", "(&(uid=%{local_part})(mail=*@%{domain}))"),
    ],
    ids=["alternate address", "proxyAddresses form", "local part and domain"],
)
def test_a_filter_finds_other_addresses(
    alice: Issued, attribute: str, value: str, template: str
) -> None:
    """Aliases in whatever attribute the directory has (``proxyAddresses`` has the ``smtp:``)."""
    with Slapd() as server:
        server.add_person(
            "alice@corp.example", certificates=[alice.certificate.der], more={attribute: value}
        )

        async def find() -> int:
            directory = LDAPDirectory(ldap_settings(server, filter=template))
            found = await directory.find(Mailbox.parse("a.adams@corp.example"))
            await directory.close()
            return len(found)

        assert asyncio.run(find()) == 1
