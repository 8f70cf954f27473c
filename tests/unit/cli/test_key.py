"""``smimegw key``: what an administrator types, sees and gets as exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.keys.passphrase import load as load_key_encryption_key
from smimegw.adapters.pkcs11.keys import TokenKeys
from smimegw.adapters.pkcs11.uri import TokenURI
from smimegw.addresses import Mailbox
from smimegw.cli.key import key
from tests.fakes.pki import make_ca
from tests.peers.softhsm import MODULE, PIN, SoftToken, make_token

CA = make_ca("Key command CA")
ALICE = CA.issue("alice@ours.example", key="p256")
BOB = CA.issue("bob@ours.example", key="p256")


class Desk:
    """A directory with files, and the command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.p12 = directory / "alice.p12"
        self.p12.write_bytes(ALICE.pkcs12("correct horse"))
        self.keys = directory / "keys"
        self.kek = directory / "kek"
        assert self.run("generate-kek", self.kek).exit_code == 0

    def run(self, *arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(key, [str(item) for item in arguments], input=stdin)

    def at(self, *arguments: object, stdin: bytes | None = None) -> Result:
        places = ("--keystore", self.keys, "--kek-file", self.kek)
        return self.run(*arguments, *places, stdin=stdin)

    def import_alice(self) -> Result:
        return self.at("import", self.p12, "--password-file", "-", stdin=b"correct horse\n")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """With a key-encryption key and Alice's PKCS #12 file."""
    return Desk(tmp_path)


def test_generated_key_is_private_and_usable(desk: Desk) -> None:
    """Mode 0600, and what the gateway loads."""
    assert desk.kek.stat().st_mode & 0o777 == 0o600
    assert KeyEncryptionKey.load(desk.kek.read_bytes())


def test_generated_key_is_not_printed(desk: Desk) -> None:
    """Only its identifier and what to do next."""
    result = desk.run("generate-kek", desk.directory / "other")
    assert (desk.directory / "other").read_text().strip() not in result.output
    assert "key_encryption_key = { file =" in result.output


def test_password_file_may_begin_with_a_bom(desk: Desk) -> None:
    """Some editors write one before UTF-8; it is no part of the password (cases H12)."""
    password = b"\xef\xbb\xbfcorrect horse\r\n"
    result = desk.at("import", desk.p12, "--password-file", "-", stdin=password)
    assert result.exit_code == 0, result.output


def test_key_encryption_key_is_never_overwritten(desk: Desk) -> None:
    """That would lose every private key."""
    before = desk.kek.read_bytes()
    result = desk.run("generate-kek", desk.kek)
    assert result.exit_code == 2
    assert "never overwritten" in result.output
    assert desk.kek.read_bytes() == before


def test_import_with_password_from_standard_input(desk: Desk) -> None:
    """What is imported is in the keystore, under the key-encryption key."""
    result = desk.import_alice()
    assert result.exit_code == 0, result.output
    assert "<alice@ours.example>" in result.output
    store = FilesKeystore(desk.keys, KeyEncryptionKey.load(desk.kek.read_bytes()))
    (credential,) = asyncio.run(store.signing_credentials(Mailbox.parse("alice@ours.example")))
    assert credential.certificate == ALICE.certificate
    assert credential.chain == ALICE.chain


def test_import_with_password_from_a_file(desk: Desk) -> None:
    """--password-file FILE takes the first line."""
    (desk.directory / "pw").write_text("correct horse\nsecond line\n")
    result = desk.at("import", desk.p12, "--password-file", desk.directory / "pw")
    assert result.exit_code == 0, result.output


def test_import_by_configuration(desk: Desk) -> None:
    """The configured keystore and key-encryption key; the directory is made."""
    config = desk.directory / "smimegw.toml"
    config.write_text(
        f"""version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{desk.directory}/state"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
[keystore]
key_encryption_key = {{ file = "{desk.kek}" }}
"""
    )
    result = desk.run(
        "import", desk.p12, "--password-file", "-", "-c", config, stdin=b"correct horse"
    )
    assert result.exit_code == 0, result.output
    assert len(list((desk.directory / "state" / "keys").iterdir())) == 1
    assert "alice@ours.example" in desk.run("list", "-c", config).output


@pytest.mark.parametrize(
    ("password", "words", "code"),
    [(b"wrong\n", "wrong password", 5), (b"\n", "first line is empty", 2)],
)
def test_wrong_password(desk: Desk, password: bytes, words: str, code: int) -> None:
    """One line with file and reason, exit code 2 (cases H12)."""
    result = desk.at("import", desk.p12, "--password-file", "-", stdin=password)
    assert result.exit_code == code
    assert words in result.output
    assert "Traceback" not in result.output


# --- a folder ------------------------------------------------------------------------------------


def _folder(desk: Desk) -> Path:
    """Two keys, their certificates beside them, and something else."""
    folder = desk.directory / "out"
    folder.mkdir()
    for name, issued in (("alice", ALICE), ("bob", BOB)):
        (folder / f"{name}.p12").write_bytes(issued.pkcs12("correct horse"))
        (folder / f"{name}.chain.pem").write_bytes(issued.pem)
    (folder / "notes.txt").write_text("read me\n")
    return folder


def _import_folder(desk: Desk, folder: Path, password: bytes = b"correct horse\n") -> Result:
    return desk.at("import", folder, "--password-file", "-", stdin=password)


def test_folder_is_imported(desk: Desk) -> None:
    """Certificates and other files beside the keys are no mistake."""
    result = _import_folder(desk, _folder(desk))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "2 keys imported, 0 already there, 0 refused"
    assert "<bob@ours.example>  bob.p12" in result.stdout


def test_folder_that_was_imported_in_part_is_finished(desk: Desk) -> None:
    """What is there is left as it is."""
    desk.import_alice()
    result = _import_folder(desk, _folder(desk))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "1 keys imported, 1 already there, 0 refused"


def test_one_bad_file_does_not_stop_the_others(desk: Desk) -> None:
    """It is named, and the exit code says that something is to be looked at."""
    folder = _folder(desk)
    (folder / "aaa.p12").write_bytes(b"no key")
    result = _import_folder(desk, folder)
    assert result.exit_code == 3
    assert "refused   aaa.p12: " in result.stdout
    assert result.stdout.splitlines()[-1] == "2 keys imported, 0 already there, 1 refused"


def test_wrong_password_of_a_folder_imports_nothing(desk: Desk) -> None:
    """Each file says so (cases H12)."""
    result = _import_folder(desk, _folder(desk), b"wrong\n")
    assert result.exit_code == 1
    assert result.stdout.count("wrong password") == 2


def test_wrong_password_of_many_files_is_not_tried_with_all(desk: Desk) -> None:
    """Nobody wants ten thousand lines of one mistake."""
    folder = desk.directory / "out"
    folder.mkdir()
    for number in range(22):
        (folder / f"{number:02}.p12").write_bytes(b"no key")
    result = _import_folder(desk, folder)
    assert result.stdout.splitlines()[-1] == "0 keys imported, 0 already there, 20 refused"


def test_folder_without_keys_is_no_success(desk: Desk) -> None:
    """The wrong folder, most likely."""
    folder = desk.directory / "empty"
    folder.mkdir()
    assert _import_folder(desk, folder).exit_code == 1


def test_certificate_of_one_file_is_not_given_for_a_folder(desk: Desk) -> None:
    """It could be of one of them only."""
    result = desk.at("import", _folder(desk), "--address", "alice@ours.example")
    assert result.exit_code == 2
    assert "for one file" in result.output


# --- more of a file ------------------------------------------------------------------------------


def test_missing_password_says_how_to_give_it(desk: Desk) -> None:
    """Without a terminal nobody is asked (cases H12)."""
    result = desk.at("import", desk.p12)
    assert result.exit_code == 2
    assert str(desk.p12) in result.output
    assert "--password-file" in result.output


def test_missing_file(desk: Desk) -> None:
    """The path and the system's reason."""
    result = desk.at("import", desk.directory / "nothing.p12")
    assert result.exit_code == 2
    assert "nothing.p12: No such file" in result.output


def test_huge_file(desk: Desk) -> None:
    """Read no further than the limit (cases H12)."""
    with desk.p12.open("wb") as file:
        file.truncate(1 << 30)
    result = desk.at("import", desk.p12)
    assert result.exit_code == 2
    assert "larger than" in result.output


def test_second_import_is_refused(desk: Desk) -> None:
    """The first one stays."""
    desk.import_alice()
    result = desk.import_alice()
    assert result.exit_code == 2
    assert "already" in result.output


def test_address_must_be_the_certificate_s(desk: Desk) -> None:
    """--address of somebody else."""
    pem = desk.directory / "alice.pem"
    pem.write_bytes(ALICE.key_pem + ALICE.pem)
    result = desk.at("import", pem, "--address", "bob@ours.example")
    assert result.exit_code == 2
    assert "not for <bob@ours.example>" in result.output
    assert desk.at("import", pem, "--address", "alice@ours.example").exit_code == 0


def test_certificate_in_a_second_file(desk: Desk) -> None:
    """--certificate FILE."""
    (desk.directory / "a.key").write_bytes(ALICE.key_pem)
    (desk.directory / "a.pem").write_bytes(ALICE.pem)
    (desk.directory / "b.pem").write_bytes(BOB.pem)
    wrong = desk.at("import", desk.directory / "a.key", "--certificate", desk.directory / "b.pem")
    assert wrong.exit_code == 2
    assert "does not belong" in wrong.output
    right = desk.at("import", desk.directory / "a.key", "--certificate", desk.directory / "a.pem")
    assert right.exit_code == 0, right.output


def test_wrong_key_encryption_key_file(desk: Desk) -> None:
    """A file that is none: locked, exit code 5."""
    result = desk.run(
        "import", desk.p12, "--password-file", "-", "--keystore", desk.keys, "--kek-file", desk.p12,
        stdin=b"correct horse",
    )  # fmt: skip
    assert result.exit_code == 5
    assert "generate-kek" in result.output


def test_locked_keystore_imports_nothing(desk: Desk) -> None:
    """Without --kek-file, exit code 5."""
    pem = desk.directory / "alice.pem"
    pem.write_bytes(ALICE.key_pem + ALICE.pem)
    result = desk.run("import", pem, "--keystore", desk.keys)
    assert result.exit_code == 5
    assert "locked" in result.output


def test_list_and_show(desk: Desk) -> None:
    """Both for people and, one object per line, for programs; needs no key-encryption key."""
    desk.import_alice()
    listed = desk.run("list", "--keystore", desk.keys)
    assert ALICE.certificate.fingerprint[7:19] in listed.output
    (line,) = desk.run("list", "--json", "--keystore", desk.keys).output.splitlines()
    members = json.loads(line)
    assert (members["schema"], members["kind"]) == (1, "key")
    assert members["mailboxes"] == ["alice@ours.example"]
    assert members["purpose"] == "both"
    assert desk.run("show", "alice@ours.example", "--keystore", desk.keys).exit_code == 0
    assert desk.run("show", members["id"][:12], "--keystore", desk.keys).exit_code == 0
    assert desk.run("show", "bob@ours.example", "--keystore", desk.keys).exit_code == 1


def test_list_names_files_that_cannot_be_read(desk: Desk) -> None:
    """The others are listed; the exit code says that something is wrong."""
    desk.import_alice()
    (path,) = desk.keys.iterdir()
    (desk.keys / f"{'0' * 64}.key.json").write_text("{")
    result = desk.run("list", "--keystore", desk.keys)
    assert result.exit_code == 4
    assert "0" * 64 in result.output
    assert path.name[:12] in result.output


def test_remove_asks(desk: Desk) -> None:
    """Not answering yes keeps the key; -y removes it."""
    desk.import_alice()
    name = ALICE.certificate.fingerprint[7:19]
    assert desk.at("remove", name, stdin=b"n\n").exit_code == 1
    assert len(list(desk.keys.iterdir())) == 1
    assert desk.at("remove", name, "-y").exit_code == 0
    assert list(desk.keys.iterdir()) == []


@pytest.mark.parametrize("which", ["", "0", "ffffffffffff"])
def test_remove_needs_exactly_one(desk: Desk, which: str) -> None:
    """Too short or unknown identifiers remove nothing."""
    desk.import_alice()
    assert desk.at("remove", which, "-y").exit_code == 2
    assert len(list(desk.keys.iterdir())) == 1


def test_password_is_no_option(desk: Desk) -> None:
    """Secrets never stand on the command line."""
    assert desk.at("import", desk.p12, "--password", "x").exit_code == 2


def test_root_does_not_write_where_the_gateway_cannot_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key file of root in the gateway's directory would stop its user's mail."""
    desk.keys.mkdir()
    if os.geteuid() == 0:
        os.chown(desk.keys, 65534, 65534)
    monkeypatch.setattr("smimegw.cli.key_import.os.geteuid", lambda: 0)
    result = desk.import_alice()
    assert result.exit_code == 2
    assert "smimegw key import" in result.output
    assert list(desk.keys.iterdir()) == []


# --- rotation ------------------------------------------------------------------------------------


def _rotate(desk: Desk, *, new: str = "new") -> Result:
    desk.run("generate-kek", desk.directory / new)
    places = ("--keystore", desk.keys, "--kek-file", desk.directory / new)
    return desk.run("rotate", *places, "--previous-kek-file", desk.kek)


def test_rotation_moves_every_key(desk: Desk) -> None:
    """Afterwards the new key-encryption key alone opens the keystore."""
    desk.import_alice()
    result = _rotate(desk)
    assert result.exit_code == 0, result.output
    assert "1 keys moved" in result.output
    new = KeyEncryptionKey.load((desk.directory / "new").read_bytes())
    asyncio.run(FilesKeystore(desk.keys, new).check())


def test_second_rotation_has_nothing_to_do(desk: Desk) -> None:
    """Rotation can be run again at any time."""
    desk.import_alice()
    _rotate(desk)
    assert "0 keys moved" in _rotate(desk).output


def test_needed_key_encryption_key_is_not_destroyed(desk: Desk) -> None:
    """As long as one key is sealed with it, it stays (cases M05)."""
    desk.import_alice()
    desk.run("generate-kek", desk.directory / "new")
    places = ("--keystore", desk.keys, "--kek-file", desk.directory / "new")
    result = desk.run("destroy-kek", desk.kek, "--backup", desk.keys, *places, "--yes")
    assert result.exit_code == 2
    assert "1 keys are still sealed with it" in result.output
    assert desk.kek.exists()


def test_key_encryption_key_is_not_destroyed_before_the_backup(desk: Desk) -> None:
    """A backup from before the rotation does not count (cases M05)."""
    desk.import_alice()
    shutil.copytree(desk.keys, desk.directory / "backup")
    _rotate(desk)
    places = ("--keystore", desk.keys, "--kek-file", desk.directory / "new")
    arguments = ("destroy-kek", desk.kek, "--backup", desk.directory / "backup", *places, "--yes")
    result = desk.run(*arguments)
    assert result.exit_code == 2
    assert "lacks 1 keys" in result.output
    assert desk.kek.exists()


def test_rotated_and_backed_up_the_old_one_goes(desk: Desk) -> None:
    """With rotation and backup done, it is overwritten and deleted (cases M05)."""
    desk.import_alice()
    _rotate(desk)
    shutil.copytree(desk.keys, desk.directory / "backup")
    places = ("--keystore", desk.keys, "--kek-file", desk.directory / "new")
    arguments = ("destroy-kek", desk.kek, "--backup", desk.directory / "backup", *places, "--yes")
    assert desk.run(*arguments).exit_code == 0
    assert not desk.kek.exists()


def test_current_key_encryption_key_is_never_destroyed(desk: Desk) -> None:
    """Not even while the keystore is empty."""
    desk.keys.mkdir()
    result = desk.at("destroy-kek", desk.kek, "--backup", desk.keys, "--yes")
    assert result.exit_code == 2
    assert "current" in result.output
    assert desk.kek.exists()


def test_generated_key_under_a_passphrase(desk: Desk) -> None:
    """The file alone opens nothing."""
    path = desk.directory / "sealed"
    result = desk.run("generate-kek", path, "--passphrase-file", "-", stdin=b"correct horse\n")
    assert result.exit_code == 0, result.output
    opened = load_key_encryption_key(path.read_bytes(), lambda: b"correct horse")
    assert opened.identifier in result.output
    assert "    passphrase = {" in result.output


# --- a token -------------------------------------------------------------------------------------


def _with_token(desk: Desk) -> tuple[str, Path]:
    soft = make_token()
    (desk.directory / "pin").write_text(PIN)
    config = desk.directory / "smimegw.toml"
    config.write_text(
        f"""version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{desk.directory}/state"
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
[keystore.token]
module = "{MODULE}"
label = "{soft.label}"
pin = {{ file = "{desk.directory}/pin" }}
key_encryption_key = "kek-1"
"""
    )
    return soft.label, config


def test_key_encryption_key_and_key_in_a_token(desk: Desk) -> None:
    """By commands alone: the token gets both, and the keystore says so."""
    _, config = _with_token(desk)
    made = desk.run("generate-kek", "--token", "kek-1", "-c", config)
    assert made.exit_code == 0, made.output
    arguments = ("import", desk.p12, "--password-file", "-", "--token", "-c", config)
    result = desk.run(*arguments, stdin=b"correct horse\n")
    assert result.exit_code == 0, result.output
    shown = json.loads(desk.run("show", "alice@ours.example", "--json", "-c", config).output)
    assert shown["holder"] == "token"
    assert shown["key_encryption_key"] in made.output


def test_name_that_is_no_uri_is_not_adopted(desk: Desk) -> None:
    """Octets that are no text, as a shell can give them, are an answer to their author (M10)."""
    _, config = _with_token(desk)
    (desk.directory / "alice.pem").write_bytes(ALICE.pem)
    result = desk.run("adopt", desk.directory / "alice.pem", "pkcs11:object=\udcff", "-c", config)
    assert result.exit_code == 2
    assert "is not a PKCS#11 URI" in result.output


def test_key_that_was_made_in_the_token_is_adopted(desk: Desk) -> None:
    """A certificate joins the key that never was anywhere else."""
    label, config = _with_token(desk)
    desk.run("generate-kek", "--token", "kek-1", "-c", config)
    keys = TokenKeys(SoftToken(label).open())
    key = keys.add(ALICE.key, label="made inside")
    (desk.directory / "alice.pem").write_bytes(ALICE.pem)
    uri = str(TokenURI(id=key.id))
    result = desk.run("adopt", desk.directory / "alice.pem", uri, "-c", config)
    assert result.exit_code == 0, result.output
    other = keys.generate("p-256", label="another")
    (desk.directory / "bob.pem").write_bytes(BOB.pem)
    uri = str(TokenURI(id=other.id))
    refused = desk.run("adopt", desk.directory / "bob.pem", uri, "-c", config)
    assert "not the certificate's" in refused.output


def test_import_into_a_token_says_what_the_token_cannot(desk: Desk) -> None:
    """SoftHSM 2.6 knows OAEP with SHA-1 only; the administrator learns it before mail comes."""
    _, config = _with_token(desk)
    desk.run("generate-kek", "--token", "kek-1", "-c", config)
    reader = CA.issue("dora@ours.example", usage="encrypt")
    (desk.directory / "dora.pem").write_bytes(reader.key_pem + reader.pem)
    result = desk.run("import", desk.directory / "dora.pem", "--token", "-c", config)
    assert result.exit_code == 0, result.output
    assert "cannot decrypt RSA-OAEP with SHA-256" in result.output


def test_removed_key_leaves_the_token(desk: Desk) -> None:
    """`key remove` destroys what is in the token, too."""
    label, config = _with_token(desk)
    desk.run("generate-kek", "--token", "kek-1", "-c", config)
    arguments = ("import", desk.p12, "--password-file", "-", "--token", "-c", config)
    desk.run(*arguments, stdin=b"correct horse\n")
    assert len(TokenKeys(SoftToken(label).open()).all()) == 1
    fingerprint = ALICE.certificate.fingerprint.removeprefix("sha256:")
    assert desk.run("remove", fingerprint, "--yes", "-c", config).exit_code == 0
    assert TokenKeys(SoftToken(label).open()).all() == ()
