"""``smimegw directory import``: what is taken from files, what is refused, and why."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.addresses import Mailbox
from smimegw.cli.directory import directory
from smimegw.ports import FoundCertificate
from tests.fakes.pki import CA, PAST, SERVER_AUTH, Issued, make_ca

BOB, CAROL = "bob@partner.example", "carol@partner.example"
CONFIGURATION = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "mail.corp.example:25"
[database]
url = "own.db"
"""


@functools.cache
def ca() -> CA:
    return make_ca("Import CA")


@functools.cache
def issued(address: str, **options: Any) -> Issued:
    return ca().issue(address, key="p256", **options)


@functools.cache
def flawed(what: str) -> Issued:
    options: dict[str, dict[str, Any]] = {
        "expired": {"not_after": PAST},
        "extended-key-usage": {"eku": [SERVER_AUTH]},
        "key-usage": {"usage": "sign"},
    }
    return ca().issue(BOB, key="p256", slot=what, **options[what])


def der(address: str) -> bytes:
    return issued(address).certificate.der


def base64_of(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def bundle(*addresses: str, encoding: Encoding = Encoding.DER) -> bytes:
    """PKCS #7 with certificates only, and the CA's."""
    found = [x509.load_der_x509_certificate(der(address)) for address in addresses]
    return pkcs7.serialize_certificates([*found, ca().certificate.parsed], encoding)


def empty_bundle() -> bytes:
    """SignedData with nothing in it (RFC 5652, 5.1)."""
    algorithms = signers = bytes.fromhex("3100")
    content = bytes.fromhex("300b06092a864886f70d010701")
    signed = bytes.fromhex("020101") + algorithms + content + signers
    inner = bytes([0xA0, len(signed) + 2, 0x30, len(signed)]) + signed
    outer = bytes.fromhex("06092a864886f70d010702") + inner
    return bytes([0x30, len(outer)]) + outer


class Desk:
    """A configuration, a database, files, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "smimegw.toml"
        self.configuration.write_text(CONFIGURATION)
        self.database = folder / "own.db"
        open_database(str(self.database)).dispose()

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, *arguments: str | Path) -> Result:
        where = ("-c", str(self.configuration))
        return CliRunner().invoke(directory, ["import", *map(str, arguments), *where])

    def outcomes(self, *arguments: str | Path) -> list[tuple[str, str]]:
        results = json.loads(self.run(*arguments, "--json").stdout)["results"]
        return [(entry["outcome"], entry["text"]) for entry in results]

    def found(self, address: str) -> Sequence[FoundCertificate]:
        async def ask() -> Sequence[FoundCertificate]:
            embedded = EmbeddedDirectory(open_database(str(self.database)))
            try:
                return await embedded.find(Mailbox.parse(address))
            finally:
                await embedded.close()

        return asyncio.run(ask())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bob.cer", lambda: der(BOB)),
        ("bob.pem", lambda: issued(BOB).pem),
        ("bob.b64", lambda: base64_of(der(BOB))),
        ("bob.p7b", lambda: bundle(BOB)),
        ("bob.p7c", lambda: bundle(BOB, encoding=Encoding.PEM)),
        ("bob.p12", lambda: issued(BOB).pkcs12("secret")),
        ("list.csv", lambda: f"address,certificate\n{BOB},{base64_of(der(BOB))}\n"),
        ("list.csv", lambda: f"{BOB};{base64_of(der(BOB))}\n"),
        (
            "list.ldif",
            lambda: f"dn: cn=Bob\nmail: {BOB}\nuserCertificate;binary:: {base64_of(der(BOB))}\n",
        ),
        (
            "list.ldif",
            lambda: f"dn: cn=Bob\nmail: {BOB}\nuserSMIMECertificate:: {base64_of(bundle(BOB))}\n",
        ),
    ],
    ids=["DER", "PEM", "base64", "PKCS7", "PKCS7 PEM", "PKCS12", "CSV", "CSV ;", "LDIF", "LDIF p7"],
)
def test_every_usual_form_is_taken(desk: Desk, name: str, content: Any) -> None:
    """What partners send differs; what is looked up does not (RFC 5652; RFC 7292; RFC 2849)."""
    password = desk.file("password", "secret\n")
    result = desk.run(desk.file(name, content()), "--password-file", password)
    assert result.exit_code == 0, result.output
    (found,) = desk.found(BOB)
    assert found.certificate == issued(BOB).certificate
    assert found.source == "imported:local"


def test_folded_lines_of_ldif_are_one(desk: Desk) -> None:
    """ldapsearch folds at 78 characters (RFC 2849, note 2)."""
    value = f"userCertificate;binary:: {base64_of(der(BOB))}"
    folded = "\r\n ".join(value[at : at + 70] for at in range(0, len(value), 70))
    file = desk.file("list.ldif", f"version: 1\r\n\r\ndn: cn=Bob\r\nmail: {BOB}\r\n{folded}\r\n")
    assert desk.run(file).exit_code == 0
    assert len(desk.found(BOB)) == 1


def test_a_csv_line_may_name_a_file_beside_it(desk: Desk) -> None:
    """Addresses in a table, certificates in a folder."""
    desk.file("bob.cer", der(BOB))
    assert desk.run(desk.file("list.csv", f"{BOB},bob.cer\n")).exit_code == 0
    assert len(desk.found(BOB)) == 1


def test_a_folder_is_read_with_all_below_it(desk: Desk) -> None:
    """Hidden files are somebody's rest."""
    desk.file("bob.cer", der(BOB))
    desk.file(".hidden.cer", b"nothing")
    below = desk.folder / "in" / "more"
    below.mkdir()
    (below / "carol.p7b").write_bytes(bundle(CAROL))
    outcomes = sorted(outcome for outcome, _ in desk.outcomes(desk.folder / "in"))
    assert outcomes == ["authority", "taken", "taken"]
    assert len(desk.found(BOB)) == len(desk.found(CAROL)) == 1


def test_a_folder_that_contains_itself_is_read_once(desk: Desk) -> None:
    """Links to folders may lead in a circle (T-09)."""
    desk.file("bob.cer", der(BOB))
    (desk.folder / "in" / "again").symlink_to(desk.folder / "in")
    assert desk.outcomes(desk.folder / "in") == [("taken", BOB)]


def test_a_pipe_is_not_waited_for(desk: Desk) -> None:
    """Nobody may ever write into it (T-09)."""
    desk.file("bob.cer", der(BOB))
    os.mkfifo(desk.folder / "in" / "pipe.cer")
    assert ("refused", "cannot be read: not a regular file") in desk.outcomes(desk.folder / "in")
    assert len(desk.found(BOB)) == 1


def test_several_certificates_in_one_file_are_taken(desk: Desk) -> None:
    """Each says itself for whom it is (RFC 8550, 3)."""
    desk.file("both.pem", issued(BOB).pem + issued(CAROL).pem)
    assert [outcome for outcome, _ in desk.outcomes(desk.folder / "in")] == ["taken", "taken"]
    assert len(desk.found(BOB)) == len(desk.found(CAROL)) == 1


# --- what is refused, and why ---------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["expired", "extended-key-usage", "key-usage"])
def test_a_certificate_nobody_could_use_is_refused(desk: Desk, reason: str) -> None:
    """The same reasons as when mail is sent (R-03, R-08)."""
    file = desk.file("bob.cer", flawed(reason).certificate.der)
    ((outcome, text),) = desk.outcomes(file)
    assert outcome == "refused"
    assert text.startswith(f"{reason} (valid to ")
    assert desk.found(BOB) == ()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("list.csv", lambda: f"{CAROL},{base64_of(der(BOB))}", "address-mismatch"),
        (
            "list.ldif",
            lambda: f"dn: cn=x\nmail: {CAROL}\nuserCertificate:: {base64_of(der(BOB))}",
            "address-mismatch",
        ),
        ("list.csv", lambda: "not an address,MIIabc", "not an address"),
        ("list.csv", lambda: f"{BOB},missing.cer", "'missing.cer' is neither base64 nor a file"),
        ("list.csv", lambda: BOB, "two columns are needed"),
        ("list.ldif", lambda: f"dn: x\nmail: {BOB}\nuserCertificate: MII", "not in base64"),
        ("list.ldif", lambda: f"dn: x\nmail: {BOB}\nuserCertificate:: MIIü", "damaged base64"),
        ("notes.txt", lambda: "dear administrator", "no certificate that can be read"),
        ("empty.pem", lambda: "-----BEGIN NOTHING-----\n-----END NOTHING-----\n", "no certificate"),
        ("broken.cer", lambda: der(BOB)[:-9], "no certificate that can be read"),
        ("empty.p7b", empty_bundle, "no certificate in it"),
        ("noise.p7b", lambda: bytes(range(255, 0, -1)), "no certificate that can be read"),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_reason(
    desk: Desk, name: str, content: Any, why: str
) -> None:
    """Whoever sends the file needs to know what to correct (R-07)."""
    file = desk.file(name, content())
    outcomes = desk.outcomes(file)
    assert [outcome for outcome, _ in outcomes] == ["refused"]
    assert why in outcomes[0][1]
    assert desk.run(file).exit_code == 1


def test_one_bad_line_does_not_keep_the_others_out(desk: Desk) -> None:
    """Done, with something to look at (exit 3)."""
    lines = f"{BOB},{base64_of(der(BOB))}\n{BOB},{base64_of(der(CAROL))}\n"
    result = desk.run(desk.file("list.csv", lines))
    assert result.exit_code == 3
    assert "list.csv:2" in result.stdout
    assert "1 taken, 0 already there, 0 of CAs, 1 refused" in result.stdout


def test_a_pkcs12_file_needs_its_password(desk: Desk) -> None:
    """Wrong or none: nothing is taken, and the option is named."""
    file = desk.file("bob.p12", issued(BOB).pkcs12("secret"))
    ((outcome, text),) = desk.outcomes(file)
    assert outcome == "refused"
    assert "--password-file" in text


def test_a_private_key_is_ignored_and_that_is_said(desk: Desk) -> None:
    """A correspondent's key has no business here (T-15)."""
    password = desk.file("password", "secret\n")
    file = desk.file("bob.p12", issued(BOB).pkcs12("secret"))
    result = desk.run(file, "--password-file", password)
    assert "the private key in it is ignored" in result.stdout
    for path in desk.folder.glob("own.db*"):
        assert issued(BOB).key_pem not in path.read_bytes()


def test_a_ca_certificate_becomes_no_trust(desk: Desk) -> None:
    """It helps to build paths; whom to trust is written in trust.anchors (T-11)."""
    ((outcome, text),) = desk.outcomes(desk.file("ca.pem", ca().pem))
    assert outcome == "authority"
    assert "trusted by trust.anchors only" in text


# --- doing it -------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    """It says what would be done."""
    result = desk.run(desk.file("bob.p7b", bundle(BOB)), "--dry-run")
    assert result.exit_code == 0
    assert "would be taken" in result.stdout
    assert desk.found(BOB) == ()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["really", "dry"])
def test_importing_twice_changes_nothing(desk: Desk, dry_run: list[str]) -> None:
    """The second time everything is there."""
    file = desk.file("bob.cer", der(BOB))
    desk.run(file)
    assert desk.outcomes(file, *dry_run) == [("there", BOB)]
    assert len(desk.found(BOB)) == 1


def test_without_a_database_nothing_is_made(desk: Desk) -> None:
    """Made by root it would shut the gateway out."""
    desk.database.unlink()
    result = desk.run(desk.file("bob.cer", der(BOB)))
    assert result.exit_code == 2
    assert "there is no database" in result.stderr
    assert not desk.database.exists()


def test_a_directory_that_nobody_asks_takes_nothing(desk: Desk) -> None:
    """Without the embedded one among the sources the import would be in vain."""
    with desk.configuration.open("a") as file:
        file.write('[[directory]]\nkind = "smimea"\n')
    result = desk.run(desk.file("bob.cer", der(BOB)))
    assert result.exit_code == 2
    assert 'kind = "embedded"' in result.stderr
