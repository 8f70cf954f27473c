"""`smimegw directory check`, `flush` and `publish` with a real slapd and the gateway's database."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.chain.flushing import FlushNotes
from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.survey import Grade, survey
from smimegw.addresses import Mailbox
from smimegw.cli.directory import directory
from smimegw.cms.capabilities import OURS
from smimegw.ports import FoundCertificate
from tests.contract.conftest import ldap_settings, publishing_target
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import Slapd

CA = make_ca("Command CA")


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    """One server with everything that the gateway needs: every test has people of its own."""
    with Slapd() as running:
        with LDAPPublisher(publishing_target(running)) as publisher:
            publisher.publish_authority(CA.certificate.der)
            publisher.publish_crl(CA.crl())
        yield running


class Gateway:
    """A configuration with one LDAP directory and the embedded one."""

    def __init__(self, folder: Path, server: Slapd) -> None:
        self.folder = folder
        (folder / "gateway.password").write_text(server.gateway_password)
        self.password = folder / "ca.password"
        self.password.write_text(server.publisher_password)
        self.kek = folder / "kek"
        self.kek.write_bytes(KeyEncryptionKey.generate().export())
        self.kek.chmod(0o600)
        self.file = folder / "smimegw.toml"
        self.configure(server)

    def configure(self, server: Slapd, *, bind: bool = True, base: str = "") -> None:
        who = (
            f'bind = {{ dn = "{server.gateway_dn}",'
            f' password = {{ file = "{self.folder}/gateway.password" }} }}'
        )
        self.file.write_text(f"""\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
state_directory = "{self.folder}"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.corp.example:25"
[keystore]
key_encryption_key = {{ file = "{self.kek}" }}
[[directory]]
kind = "ldap"
name = "staff"
url = "{server.ldaps_url}"
ca = "{server.ca}"
base = "{base or server.people_base}"
authority_base = "{server.authorities_base}"
deadline = "60s"
{who if bind else ""}
[[directory]]
kind = "embedded"
""")

    def type(self, *words: str | Path) -> Result:
        return CliRunner().invoke(
            directory, [*(str(word) for word in words), "--config", str(self.file)]
        )

    def findings(self, *words: str) -> dict[str, dict[str, str]]:
        """What `check` says of the LDAP directory, by what was looked at."""
        result = self.type("check", "--name", "staff", "--json", *words)
        values = [json.loads(line) for line in result.stdout.splitlines()]
        return {item["what"]: item for item in values}


@pytest.fixture
def gateway(tmp_path: Path, server: Slapd) -> Gateway:
    return Gateway(tmp_path, server)


def issued(name: str, usage: str = "both") -> Issued:
    return CA.issue(f"{name}@corp.example", key="p256", slot=f"{name} {usage}", usage=usage)


def authority_pem() -> bytes:
    return CA.certificate.parsed.public_bytes(Encoding.PEM)


def written(folder: Path, *parts: Issued | bytes) -> Path:
    path = folder / "certificates.pem"
    path.write_bytes(b"".join(part.pem if isinstance(part, Issued) else part for part in parts))
    return path


def found_in(server: Slapd, name: str) -> tuple[FoundCertificate, ...]:
    async def find() -> tuple[FoundCertificate, ...]:
        opened = LDAPDirectory(ldap_settings(server, deadline_seconds=60.0))
        try:
            return await opened.find(Mailbox.parse(f"{name}@corp.example"))
        finally:
            await opened.close()

    return asyncio.run(find())


# --- check ---------------------------------------------------------------------------------------


def test_a_good_directory_is_found_good(gateway: Gateway, server: Slapd) -> None:
    """Bind, search, the sample's values, CA entries, and outsiders who list nobody."""
    server.add_person("fine@corp.example", certificates=[issued("fine").certificate.der])
    result = gateway.type("check", "fine@corp.example", "--name", "staff")
    assert result.exit_code == 0, result.output
    assert "1 values" in result.stdout
    assert "1 CA certificates, 1 revocation lists" in result.stdout
    assert "outsiders: cannot list addresses" in result.stdout


def test_all_directories_are_looked_at(gateway: Gateway) -> None:
    """Also those of other kinds."""
    result = gateway.type("check")
    assert {line.split()[1] for line in result.stdout.splitlines()} >= {
        "ldap:staff",
        "embedded:embedded",
    }


def test_a_directory_of_another_name_is_told(gateway: Gateway) -> None:
    """With the names that there are."""
    result = gateway.type("check", "--name", "stuff")
    assert result.exit_code == 2
    assert "staff, embedded" in result.stderr


def test_a_wrong_password_is_found(gateway: Gateway) -> None:
    """Exit 4: mail waits."""
    (gateway.folder / "gateway.password").write_text("wrong-secret")
    result = gateway.type("check", "--name", "staff")
    assert result.exit_code == 4
    assert "its password is wrong" in result.stdout
    assert "wrong-secret" not in result.output


def test_a_base_that_does_not_exist_is_found(gateway: Gateway, server: Slapd) -> None:
    """The server's words and ours."""
    gateway.configure(server, base=f"ou=peple,{server.suffix}")
    result = gateway.type("check", "--name", "staff")
    assert result.exit_code == 4
    assert "`base` does not exist there" in result.stdout


def test_a_sample_without_entry_is_found(gateway: Gateway) -> None:
    """A warning: the person may really not be there."""
    finding = gateway.findings("nobody@corp.example")["<nobody@corp.example>"]
    assert (finding["health"], finding["detail"]) == ("WARN", "no entry")


def test_a_sample_without_certificate_is_found(gateway: Gateway, server: Slapd) -> None:
    """Or whose certificate the gateway may not read, which looks the same."""
    server.add_person("bare@corp.example")
    finding = gateway.findings("bare@corp.example")["<bare@corp.example>"]
    assert "nothing in userSMIMECertificate, userCertificate" in finding["detail"]
    assert "may not read it" in finding["remedy"]


def test_an_entry_that_wants_no_encryption_is_found(gateway: Gateway, server: Slapd) -> None:
    """Whoever looks for the missing certificate learns why it is not used (R-01)."""
    server.add_person(
        "flagged@corp.example",
        certificates=[issued("flagged").certificate.der],
        more={"smimegwNoEncryption": "TRUE"},
    )
    finding = gateway.findings("flagged@corp.example")["<flagged@corp.example>"]
    assert finding["health"] == "WARN"
    assert "smimegwNoEncryption is TRUE" in finding["detail"]


def test_an_unreadable_value_is_found(gateway: Gateway, server: Slapd) -> None:
    """It is skipped in mail, and nobody hears of it there (cases F05)."""
    server.add_person(
        "odd@corp.example",
        certificates=[issued("odd").certificate.der],
        smime_certificates=[b"\x30\x03\x02\x01\x03"],
    )
    finding = gateway.findings("odd@corp.example")["<odd@corp.example>"]
    assert finding["health"] == "WARN"
    assert "1 of them unreadable" in finding["detail"]


def test_two_entries_of_the_sample_are_found(gateway: Gateway, server: Slapd) -> None:
    """No certificate of either is used (cases F11)."""
    for name in ("one", "two"):
        dn = f"cn=twin {name},{server.people_base}"
        server.add_person("twin@corp.example", dn=dn, name=name)
    finding = gateway.findings("twin@corp.example")["<twin@corp.example>"]
    assert finding["health"] == "FAIL"
    assert "2 entries have it" in finding["detail"]


def test_a_directory_without_revocation_lists_is_found(tmp_path: Path) -> None:
    """Certificates cannot be judged without."""
    with Slapd() as empty:
        finding = Gateway(tmp_path, empty).findings()["authorities"]
    assert finding["health"] == "WARN"
    assert "0 CA certificates, 0 revocation lists" in finding["detail"]


def test_a_directory_that_anybody_may_list_is_found(tmp_path: Path) -> None:
    """slapd without access rules lets everybody read everything (T-36)."""
    with Slapd(bare=True) as open_to_all:
        open_to_all.add("\n\n".join(open_to_all.adapted("sample.ldif").split("\n\n")[:3]))
        open_to_all.add(
            f"dn: cn=Ann,{open_to_all.people_base}\nobjectClass: inetOrgPerson\ncn: Ann\n"
            "sn: A\nmail: ann@corp.example\n"
        )
        gateway = Gateway(tmp_path, open_to_all)
        gateway.configure(open_to_all, bind=False)
        finding = gateway.findings("ann@corp.example")["outsiders"]
    assert finding["health"] == "WARN"
    assert "(mail=*)" in finding["detail"]
    assert "ldap-schema/access.conf" in finding["remedy"]


def test_a_server_that_looks_at_everybody_is_found(server: Slapd) -> None:
    """A quarter of the deadline for one question: it has no index."""
    ticks = iter([0.0, 1.0])
    settings = ldap_settings(server, deadline_seconds=2.0)
    seen = {
        item.what: item
        for item in survey(settings.servers[0], settings, seconds=lambda: next(ticks))
    }
    assert seen["search"].grade is Grade.ODD
    assert "indexed" in seen["search"].remedy


def test_every_server_of_a_directory_is_looked_at(gateway: Gateway, server: Slapd) -> None:
    """One that is down is hidden by fail-over in mail, and not here."""
    text = gateway.file.read_text()
    gateway.file.write_text(
        text.replace(server.ldaps_url, f"ldaps://127.0.0.1:1 {server.ldaps_url}")
    )
    result = gateway.type("check", "--name", "staff")
    assert result.exit_code == 4
    assert "FAIL  ldap:staff ldaps://127.0.0.1:1  bind" in result.stdout
    assert f"OK    ldap:staff {server.ldaps_url}  bind" in result.stdout


def test_what_a_directory_says_cannot_write_to_the_terminal(
    gateway: Gateway, server: Slapd
) -> None:
    """A DN may hold anything (T-12)."""
    for number in (1, 2):
        server.add_person(
            "shown@corp.example", name="x", dn=f"cn=a\x1b[31m{number},{server.people_base}"
        )
    assert "\x1b" not in gateway.type("check", "shown@corp.example", "--name", "staff").stdout


# --- flush ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["bob@corp.example", None])
def test_a_flush_reaches_who_runs(gateway: Gateway, address: str | None) -> None:
    """Through the state directory; nothing has to listen for it."""
    running = FlushNotes(gateway.folder / "flushes.jsonl")
    result = gateway.type("flush", *([address] if address else []))
    assert result.exit_code == 0, result.output
    assert list(running.news()) == [Mailbox.parse(address) if address else None]


# --- publish -------------------------------------------------------------------------------------


def publish(gateway: Gateway, server: Slapd, *words: str | Path) -> Result:
    return gateway.type(
        *("publish", *words, "--name", "staff", "--bind-dn", server.publisher_dn),
        *("--password-file", gateway.password),
    )


def test_a_certificate_is_put_into_ldap(gateway: Gateway, server: Slapd) -> None:
    """For the address that it names, and again is no change."""
    person = issued("put")
    file = written(gateway.folder, person)
    assert publish(gateway, server, file).stdout == "changed  <put@corp.example>\n"
    assert {item.certificate for item in found_in(server, "put")} == {person.certificate}
    assert publish(gateway, server, file).stdout == "as it was  <put@corp.example>\n"


def test_it_is_taken_back(gateway: Gateway, server: Slapd) -> None:
    """From both attributes."""
    file = written(gateway.folder, issued("back"))
    publish(gateway, server, file)
    assert publish(gateway, server, file, "--withdraw").exit_code == 0
    assert found_in(server, "back") == ()


def test_the_owners_key_says_what_the_gateway_reads(gateway: Gateway, server: Slapd) -> None:
    """RFC 2798, 2.8: others then encrypt with what is best; openssl checks the signature."""
    person = issued("signs")
    keystore = FilesKeystore(
        gateway.folder / "keys", KeyEncryptionKey.load(gateway.kek.read_bytes())
    )
    keystore.prepare()
    keystore.add(
        KeyMaterial(certificate=person.certificate, chain=(CA.certificate,), private_key=person.key)
    )
    result = publish(gateway, server, written(gateway.folder, person, authority_pem()), "--sign")
    assert result.exit_code == 0, result.output
    assert {item.capabilities for item in found_in(server, "signs")} == {OURS}
    ldif = server.search("(mail=signs@corp.example)", "userSMIMECertificate")
    value = ldif.partition("userSMIMECertificate:: ")[2].split()[0]
    (gateway.folder / "ca.pem").write_bytes(authority_pem())
    command = "base64 -d | openssl cms -verify -inform DER -content /dev/null -binary -CAfile"
    subprocess.run(
        f"{command} {gateway.folder}/ca.pem",
        shell=True,
        input=value.encode(),
        capture_output=True,
        timeout=30,
        check=True,
    )


def test_a_dry_run_writes_ldif(gateway: Gateway, server: Slapd) -> None:
    """And nothing else."""
    result = publish(gateway, server, written(gateway.folder, issued("dry")), "--dry-run")
    assert "dn: mail=dry@corp.example," in result.stdout
    assert found_in(server, "dry") == ()


def test_the_gateways_own_name_writes_nothing(gateway: Gateway) -> None:
    """By the shipped rules: its password is on a machine that takes mail from everywhere (T-11)."""
    result = gateway.type("publish", written(gateway.folder, issued("own")), "--name", "staff")
    assert result.exit_code == 3
    assert "access rules forbid" in result.stderr


def test_a_certificate_that_only_signs_is_not_published(gateway: Gateway, server: Slapd) -> None:
    """Nobody can encrypt to it."""
    result = publish(gateway, server, written(gateway.folder, issued("signer", "sign")))
    assert result.exit_code == 3
    assert "not published" in result.stderr
    assert found_in(server, "signer") == ()


def test_a_file_without_certificate_is_refused(gateway: Gateway, server: Slapd) -> None:
    """Before anything is written."""
    empty = gateway.folder / "empty.pem"
    empty.write_text("nothing\n")
    assert publish(gateway, server, empty).exit_code == 2


def test_a_certificate_is_put_into_the_gateways_own_directory(gateway: Gateway) -> None:
    """Found by the next mail."""
    person = issued("embedded")
    result = gateway.type("publish", written(gateway.folder, person), "--name", "embedded")
    assert result.exit_code == 0, result.output

    async def find() -> set[bytes]:
        opened = EmbeddedDirectory(open_database(str(gateway.folder / "smimegw.db")))
        try:
            found = await opened.find(Mailbox.parse("embedded@corp.example"))
            return {item.certificate.der for item in found}
        finally:
            await opened.close()

    assert asyncio.run(find()) == {person.certificate.der}
