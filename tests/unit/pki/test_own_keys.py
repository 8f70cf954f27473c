"""The CA's own keys in a real token: made there, used there, nothing of them on the disk."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from pki import founding, opening, own_keys, rollover
from pki.cli import main
from pki.errors import PassphraseError
from pki.hierarchy import NewKey
from pki.keys import KeyKind
from pki.own_keys import TokenChoice
from pki.places import FIRST, ROOT
from smimegw.adapters.pkcs11.keys import TokenKeys
from smimegw.errors import KeystoreError, UsageError
from tests.peers.softhsm import MODULE, PIN, SoftToken, make_token
from tests.unit.pki.steps import PASSPHRASE, issue

KINDS = [KeyKind.RSA_3072, KeyKind.P_256, KeyKind.P_384]


@pytest.fixture(scope="module")
def soft() -> SoftToken:
    """A token for all of these tests."""
    return make_token()


@pytest.fixture
def pin_file(tmp_path: Path) -> Path:
    """The file with its PIN."""
    path = tmp_path / "pin"
    path.write_text(f"{PIN}\n")
    return path


@pytest.fixture
def choice(soft: SoftToken, pin_file: Path) -> TokenChoice:
    """What the administrator says of it."""
    return TokenChoice(
        uri=f"pkcs11:token={soft.label}?module-path={MODULE}", pin_file=str(pin_file)
    )


def _found(path: Path, choice: TokenChoice, kind: KeyKind, now: datetime) -> Path:
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=founding.Settings(domains=("corp.example",)),
        key_kind=kind,
        token=choice,
    )
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=now - timedelta(days=1))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_ca_lives_in_a_token(
    tmp_path: Path, choice: TokenChoice, kind: KeyKind, now: datetime
) -> None:
    """It issues, and its certificates and first CRLs verify under each other (RFC 5280, 6.1)."""
    path = _found(tmp_path / "ca", choice, kind, now)
    with opening.changing(path, now=now) as ca:
        certified = issue(ca, now)
        root, issuing = ca.authority(ROOT).certificate, ca.authority(FIRST).certificate
        crl = ca.register.last_crl(FIRST)
    issuing.verify_directly_issued_by(root)
    certified.certificate.verify_directly_issued_by(issuing)
    assert crl is not None
    assert crl.crl.is_signature_valid(issuing.public_key())


def test_nothing_of_the_key_is_in_the_directory(
    tmp_path: Path, choice: TokenChoice, now: datetime
) -> None:
    """Neither a key file nor the PIN; the token says that the key cannot be taken out (M01)."""
    path = _found(tmp_path / "ca", choice, KeyKind.P_256, now)
    assert not list(path.rglob("key.pem"))
    written = b"".join(each.read_bytes() for each in path.rglob("*") if each.is_file())
    assert PIN.encode() not in written
    assert b"PRIVATE KEY" not in written


def test_a_rollover_moves_the_ca_from_a_file_into_a_token(
    ca_path: Path, choice: TokenChoice, now: datetime
) -> None:
    """The old key stays in its file, the new one never was in one."""
    with opening.changing(ca_path, now=now) as ca:
        new = NewKey(kind=KeyKind.P_256, token=choice)
        place, request = rollover.begin(ca, new, passphrase=PASSPHRASE, now=now)
        rollover.certify_here(ca, place, request, days=1000, passphrase=PASSPHRASE, now=now)
        assert len(rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)) == 2
        assert issue(ca, now).issuer == place
    assert (ca_path / FIRST / "key.pem").exists()
    assert not (ca_path / place / "key.pem").exists()


def test_a_key_that_is_gone_from_the_token_is_told(
    tmp_path: Path, soft: SoftToken, choice: TokenChoice, now: datetime
) -> None:
    """A token that was initialised anew has no such key (cases M10)."""
    path = _found(tmp_path / "ca", choice, KeyKind.P_256, now)
    held = TokenKeys(soft.open())
    for key in held.all():
        held.remove(key)
    with opening.changing(path, now=now) as ca, pytest.raises(KeystoreError, match="holds 0"):
        ca.issuer(FIRST, PASSPHRASE)


def test_a_wrong_pin_is_told(
    tmp_path: Path, choice: TokenChoice, pin_file: Path, now: datetime
) -> None:
    """By a process that is not logged in yet; the text is about the PIN (cases M10)."""
    path = _found(tmp_path / "ca", choice, KeyKind.P_256, now)
    pin_file.write_text("000000\n")
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    program = Path(sys.executable).with_name("smimegw-ca")
    options = ["-d", path, "--passphrase-file", tmp_path / "passphrase", "--no-input"]
    result = subprocess.run(
        [program, "crl", "make", *options], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "PIN" in result.stderr
    assert "000000" not in result.stderr


def test_a_missing_pin_file_is_told(
    tmp_path: Path, choice: TokenChoice, pin_file: Path, now: datetime
) -> None:
    """Before the token is asked."""
    path = _found(tmp_path / "ca", choice, KeyKind.P_256, now)
    pin_file.unlink()
    with opening.changing(path, now=now) as ca, pytest.raises(PassphraseError, match="PIN"):
        ca.issuer(FIRST, PASSPHRASE)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("pkcs11:token=corp", "name the token and its library"),
        (f"pkcs11:?module-path={MODULE}", "name the token and its library"),
        (f"pkcs11:token=x?module-path={MODULE}&pin-value=1234", "no PIN"),
        ("/dev/hsm", "is not a PKCS#11 URI"),
    ],
)
def test_a_token_has_to_be_named_without_its_pin(tmp_path: Path, uri: str, text: str) -> None:
    """A PIN in a URI would be in process lists and shell histories (RFC 7512, 2.4)."""
    choice = TokenChoice(uri=uri, pin_file=str(tmp_path / "pin"))
    with pytest.raises(UsageError, match=text):
        own_keys.make(tmp_path, KeyKind.P_256, label="x", passphrase=b"", token=choice)


def test_a_kind_that_tokens_cannot_make_is_refused(tmp_path: Path, choice: TokenChoice) -> None:
    """Before anything is made."""
    with pytest.raises(UsageError, match="not made in tokens"):
        own_keys.make(tmp_path, KeyKind.ML_DSA_65, label="x", passphrase=b"", token=choice)


def test_a_damaged_reference_is_told(tmp_path: Path, choice: TokenChoice, now: datetime) -> None:
    """Restoring it from the backup is enough: it holds no secret."""
    path = _found(tmp_path / "ca", choice, KeyKind.P_256, now)
    (path / FIRST / own_keys.TOKEN_FILE).write_text("uri = \n")
    with opening.changing(path, now=now) as ca, pytest.raises(PassphraseError, match="backup"):
        ca.issuer(FIRST, PASSPHRASE)


def test_the_request_of_a_token_key_proves_possession(
    tmp_path: Path, choice: TokenChoice, now: datetime
) -> None:
    """An issuing CA with a token, below a root elsewhere (RFC 2986, 4.2)."""
    plan = founding.Founding(
        name="Corp Mail CA",
        settings=founding.Settings(),
        key_kind=KeyKind.RSA_3072,
        token=choice,
    )
    founding.initialise_issuing(tmp_path / "ca", plan, passphrase=PASSPHRASE, now=now)
    request = x509.load_pem_x509_csr((tmp_path / "ca" / FIRST / "request.pem").read_bytes())
    assert request.is_signature_valid


def test_the_commands_make_and_use_keys_in_a_token(
    tmp_path: Path, choice: TokenChoice, pin_file: Path
) -> None:
    """`init`, `issue` and `crl make`; the token is named by URI, the PIN by file (RFC 7512)."""
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    options = ["-d", str(tmp_path / "ca"), "--passphrase-file", str(tmp_path / "passphrase")]
    new = ["--name", "Corp", "--key", "p-256", "--token", choice.uri, "--pin-file", str(pin_file)]
    for words in (
        ["init", *new],
        ["issue", "alice@corp.example", "--key", "p-256"],
        ["crl", "make"],
        ["ocsp", "make"],
        ["rollover", "--key", "p-256", "--yes", *new[4:]],
    ):
        result = CliRunner().invoke(main, [*words, *options])
        assert result.exit_code == 0, result.stderr
        assert PIN not in result.output
    assert not list((tmp_path / "ca").glob("*/key.pem"))
