"""Sheets with one-time passwords, and profiles for Apple devices."""

from __future__ import annotations

import plistlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_der_x509_certificate

from pki import sheets
from pki.sheets import Client, Sheets
from smimegw.addresses import Mailbox
from tests.interop.openssl import openssl
from tests.unit.pki.steps import Operator

ALICE = Mailbox.parse("alice@corp.example")


def _sheets(folder: Path, *clients: Client) -> Sheets:
    return Sheets(folder=folder, issuer="Corp Mail CA", clients=clients)


def _password(sheet: Path) -> str:
    found = re.search(r"^Password +(\S+)$", sheet.read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_passwords_are_long_and_easy_to_type() -> None:
    """Twenty letters of 31, none of which looks like another: 99 bits."""
    made = {sheets.new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){3}[a-hjkmnp-z2-9]{5}", text) for text in made)


def test_a_person_has_one_password_on_one_sheet(tmp_path: Path) -> None:
    """Also for two files, and after a run that was killed."""
    first = _sheets(tmp_path)
    password = first.password(ALICE, "Alice Adams")
    assert first.password(ALICE, "Alice Adams") == password
    assert _sheets(tmp_path).password(ALICE, "Alice Adams") == password
    assert _password(tmp_path / "alice@corp.example.txt").encode() == password
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pdf", ".txt"]


def test_sheets_are_for_the_owner_only(tmp_path: Path) -> None:
    """Neither group nor others read a password."""
    _sheets(tmp_path).password(ALICE, "")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_the_pdf_says_what_the_text_says(tmp_path: Path) -> None:
    """Whichever is printed."""
    password = _sheets(tmp_path).password(ALICE, "Alice Adams")
    pdf = (tmp_path / "alice@corp.example.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert password in pdf
    assert b"Alice Adams" in pdf


def test_a_sheet_tells_about_the_programs_asked_for(tmp_path: Path) -> None:
    """Or about all of them."""
    some = "\n".join(sheets.sheet("CA", ALICE, "", "x", [Client.OUTLOOK]))
    assert "Outlook" in some
    assert "Thunderbird" not in some
    assert "Thunderbird" in "\n".join(sheets.sheet("CA", ALICE, "", "x"))


@pytest.mark.parametrize("address", ['"../b"@corp.example', '"x y"@corp.example', "ü@corp.example"])
def test_sheets_stay_in_their_folder(tmp_path: Path, address: str) -> None:
    """A local part may hold a slash; a file name of ours does not."""
    folder = tmp_path / "sheets"
    folder.mkdir()
    _sheets(folder).password(Mailbox.parse(address), "")
    assert len([*folder.iterdir()]) == 2
    assert [*tmp_path.iterdir()] == [folder]


def test_addresses_that_look_alike_have_sheets_of_their_own(tmp_path: Path) -> None:
    """Two people must not have one password."""
    known = _sheets(tmp_path)
    passwords = {known.password(Mailbox.parse(f"a{c}b@corp.example"), "") for c in "/_!"}
    assert len(passwords) == 3
    assert len([*tmp_path.glob("*.txt")]) == 3


# --- on the command line -------------------------------------------------------------------------


def test_a_sheets_password_opens_the_files(operator: Operator, tmp_path: Path) -> None:
    """One password for both files of a pair; neither stdout nor stderr has it."""
    out, folder = tmp_path / "out", tmp_path / "sheets"
    done = operator.succeed(
        *("issue", "alice@corp.example", "--key", "p-256", "--profile", "pair"),
        *("-o", out, "--sheets", folder, "--client", "thunderbird"),
    )
    password = _password(folder / "alice@corp.example.txt")
    containers = [*out.glob("*.p12")]
    assert len(containers) == 2
    for container in containers:
        key, certificate, above = pkcs12.load_key_and_certificates(
            container.read_bytes(), password.encode()
        )
        assert key is not None
        assert certificate is not None
        assert key.public_key() == certificate.public_key()
        assert len(above) == 2
    assert password not in done.stdout + done.stderr
    assert password.encode() not in (operator.directory / "ledger.db").read_bytes()


def test_sheets_and_a_passphrase_exclude_each_other(operator: Operator, tmp_path: Path) -> None:
    """One of them protects the file."""
    result = operator.type(
        *("issue", "alice@corp.example", "--key", "p-256", "-o", tmp_path / "out"),
        *("--sheets", tmp_path / "sheets", "--p12-passphrase-file", operator.passphrase),
    )
    assert result.exit_code == 2
    assert "takes the place" in result.stderr


def _profile(operator: Operator, tmp_path: Path) -> Path:
    """A profile of Alice's, signed by Otto."""
    issue = ("issue", "--key", "p-256")
    (alice,) = operator.succeed(*issue, "alice@corp.example").stdout.split()
    (otto,) = operator.succeed(
        *issue, "otto@corp.example", "--profile", "mailbox-sign"
    ).stdout.split()
    path = tmp_path / "alice.mobileconfig"
    operator.succeed(
        *("export", alice, "--format", "mobileconfig", "--signer", otto, "-o", path),
        *("--sheets", tmp_path / "sheets"),
    )
    return path


def test_openssl_verifies_a_profile_and_reads_it(operator: Operator, tmp_path: Path) -> None:
    """SignedData with its content, signed by a certificate of this CA."""
    content = openssl(
        *("cms", "-verify", "-inform", "DER", "-in", _profile(operator, tmp_path)),
        *("-CAfile", operator.directory / "root" / "certificate.pem", "-purpose", "smimesign"),
    )
    profile = plistlib.loads(content)
    assert profile["PayloadType"] == "Configuration"
    assert [item["PayloadType"] for item in profile["PayloadContent"]] == [
        "com.apple.security.pkcs12",
        "com.apple.security.pkcs1",
        "com.apple.security.root",
    ]
    identity, issuing, root = profile["PayloadContent"]
    password = _password(tmp_path / "sheets" / "alice@corp.example.txt")
    key, certificate, _ = pkcs12.load_key_and_certificates(
        identity["PayloadContent"], password.encode()
    )
    assert key is not None
    certificate.verify_directly_issued_by(load_der_x509_certificate(issuing["PayloadContent"]))
    assert load_der_x509_certificate(root["PayloadContent"]).subject == (
        load_der_x509_certificate(issuing["PayloadContent"]).issuer
    )


def test_a_profile_does_not_hold_its_password(operator: Operator, tmp_path: Path) -> None:
    """Whoever gets the file alone gets nothing."""
    octets = _profile(operator, tmp_path).read_bytes()
    assert _password(tmp_path / "sheets" / "alice@corp.example.txt").encode() not in octets
    assert b"<key>Password</key>" not in octets


def test_a_certificate_that_cannot_sign_signs_no_profile(
    operator: Operator, tmp_path: Path
) -> None:
    """An encryption key is none for signatures."""
    issue = ("issue", "--key", "p-256", "--profile", "mailbox-encrypt")
    (serial,) = operator.succeed(*issue, "alice@corp.example").stdout.split()
    result = operator.type(
        *("export", serial, "--format", "mobileconfig", "--signer", serial),
        *("-o", tmp_path / "x.mobileconfig", "--sheets", tmp_path / "sheets"),
    )
    assert result.exit_code == 2
    assert "cannot sign" in result.stderr
