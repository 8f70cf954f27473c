"""``smimegw message``: files in, files out, exit codes for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.cli.message import message
from smimegw.cms.algorithms import ContentCipher
from smimegw.mime.build import split_for_protection
from smimegw.mime.confidentiality import HeaderConfidentiality, HeaderProtection
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.header_protection import protect_header
from smimegw.smime.media_types import layer_of
from tests.fakes.smime import ALICE, BOB, EVE, ISSUING, ROOT, encrypted

MAIL = (
    b"From: Alice <alice@ours.example>\r\nTo: bob@partner.example\r\nSubject: invoice\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Gr\xc3\xbc\xc3\x9fe\r\n"
)


class Desk:
    """Files of Alice, Bob, Eve and their CA, and the command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mail = self.file("mail.eml", MAIL)
        self.root = self.file("root.pem", ROOT.pem)
        self.crls = self.directory / "crls"
        self.crls.mkdir()
        (self.crls / "root.crl").write_bytes(ROOT.crl())
        (self.crls / "issuing.crl").write_bytes(ISSUING.crl())
        for name, issued in (("alice", ALICE), ("bob", BOB), ("eve", EVE)):
            self.file(f"{name}.key", issued.key_pem + issued.pem + ISSUING.pem)
            self.file(f"{name}.pem", issued.pem + ISSUING.pem)

    def file(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path

    def path(self, name: str) -> Path:
        return self.directory / name

    def run(self, *arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(message, [str(item) for item in arguments], input=stdin)

    def made(self, name: str, *arguments: object) -> Path:
        """Run a command that must succeed and write to a file."""
        path = self.directory / name
        result = self.run(*arguments, "-o", path)
        assert result.exit_code == 0, result.output
        return path

    def verify(self, file: Path, *more: object) -> Result:
        return self.run("verify", file, "--trust", self.root, "--crl", self.crls, *more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Everything in one directory."""
    return Desk(tmp_path)


@pytest.mark.parametrize("options", [(), ("--opaque",), ("--digest", "sha512"), ("--pss",)])
def test_sign_and_verify(desk: Desk, options: tuple[str, ...]) -> None:
    """Every form passes, and the outer header stays."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"), *options)
    assert signed.read_bytes().startswith(MAIL[: MAIL.index(b"Content-Type")])
    assert b"\r\nMIME-Version: 1.0\r\n" in signed.read_bytes()
    result = desk.verify(signed)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("pass")
    assert "alice@ours.example" in result.output


def test_through_standard_input_and_output(desk: Desk) -> None:
    """``-`` on both sides, as in a pipe."""
    signed = desk.run("sign", "-", "--key", desk.path("alice.key"), stdin=MAIL)
    assert signed.exit_code == 0
    checked = desk.run("verify", "-", "--trust", desk.root, stdin=signed.stdout_bytes)
    assert checked.exit_code == 0, checked.output


def test_unix_line_ends_are_taken(desk: Desk) -> None:
    """Editors write LF; the signature is over CRLF."""
    desk.mail.write_bytes(MAIL.replace(b"\r\n", b"\n"))
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    assert b"\r\n" in signed.read_bytes()
    signed.write_bytes(signed.read_bytes().replace(b"\r\n", b"\n"))
    assert desk.verify(signed).exit_code == 0


@pytest.mark.parametrize(
    "options", [(), ("--cipher", "aes-128-gcm"), ("--oaep",), ("--cipher", "aes-192-cbc")]
)
def test_encrypt_and_decrypt(desk: Desk, options: tuple[str, ...]) -> None:
    """RSA and EC recipients of one message; the body comes back octet for octet."""
    sealed = desk.made(
        "sealed.eml", "encrypt", desk.mail, "--trust", desk.root,
        "--to-cert", desk.path("alice.pem"), "--to-cert", desk.path("bob.pem"), *options,
    )  # fmt: skip
    assert MAIL[-10:] not in sealed.read_bytes()
    for name in ("alice", "bob"):
        opened = desk.made("opened.eml", "decrypt", sealed, "--key", desk.path(f"{name}.key"))
        entity = Entity.parse(opened.read_bytes())
        assert entity.body == Entity.parse(MAIL).body
        assert entity.transfer_encoding == "8bit"
        assert [field.lower_name for field in entity.header].count("subject") == 1


def test_sign_then_encrypt_and_back(desk: Desk) -> None:
    """Commands in a row do what the gateway does."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    sealed = desk.made(
        "sealed.eml", "encrypt", signed, "--trust", desk.root, "--to-cert", desk.path("bob.pem")
    )
    assert desk.verify(sealed).exit_code == 1
    assert "decrypt it first" in desk.verify(sealed).output
    opened = desk.made("opened.eml", "decrypt", sealed, "--key", desk.path("bob.key"))
    assert desk.verify(opened).exit_code == 0


def _config(desk: Desk) -> Path:
    kek = KeyEncryptionKey.generate()
    store = FilesKeystore(desk.path("keys"), kek)
    store.prepare()
    for issued in (ALICE, BOB):
        store.add(
            KeyMaterial(certificate=issued.certificate, chain=issued.chain, private_key=issued.key)
        )
    desk.file("kek", kek.export())
    return desk.file(
        "smimegw.toml",
        f"""version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10036"
[trust]
anchors = ["{desk.root}"]
crls = ["{desk.crls}"]
[keystore]
path = "{desk.path("keys")}"
key_encryption_key = {{ file = "{desk.path("kek")}" }}
""".encode(),
    )


def test_configured_keystore_and_trust(desk: Desk) -> None:
    """-c takes keys, anchors and CRLs from the gateway's configuration."""
    config = _config(desk)
    signed = desk.made("signed.eml", "sign", desk.mail, "-c", config)
    assert desk.run("verify", signed, "-c", config).exit_code == 0
    sealed = desk.made("s.eml", "encrypt", signed, "-c", config, "--to-cert", desk.path("bob.pem"))
    opened = desk.made("o.eml", "decrypt", sealed, "-c", config, "--for", "bob@partner.example")
    assert desk.run("verify", opened, "-c", config).exit_code == 0
    other = desk.run("decrypt", sealed, "-c", config, "--for", "alice@ours.example")
    assert other.exit_code == 1


def test_no_key_for_the_from_address(desk: Desk) -> None:
    """Says whose key is missing."""
    config = _config(desk)
    result = desk.run("sign", desk.mail, "-c", config, "--from", "carol@ours.example")
    assert result.exit_code == 2
    assert "<carol@ours.example>" in result.output


# --- no ------------------------------------------------------------------------------------------


def test_changed_message_is_no(desk: Desk) -> None:
    """Exit code 1 and the word."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    signed.write_bytes(signed.read_bytes().replace(b"Gr=C3=BC", b"Br=C3=BC"))
    result = desk.verify(signed)
    assert (result.exit_code, result.output.split()[:2]) == (1, ["fail", "digest"])


def test_signed_by_somebody_else_is_no(desk: Desk) -> None:
    """Signing another's mail is possible here, passing as them is not."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("eve.key"))
    result = desk.verify(signed, "--json")
    assert result.exit_code == 1
    members = json.loads(result.output)
    assert (members["result"], members["reason"]) == ("fail", "from-mismatch")
    assert members["signer"] == "eve@evil.example"


def test_unsigned_message_is_no(desk: Desk) -> None:
    """A plain message."""
    result = desk.verify(desk.mail)
    assert (result.exit_code, result.output.split()[:2]) == (1, ["none", "not-signed"])


def test_unreadable_message_is_no(desk: Desk) -> None:
    """Claims to be S/MIME and is none."""
    broken = desk.file(
        "broken.eml", b"From: a@b.example\r\nContent-Type: application/pkcs7-mime\r\n\r\nxyz\r\n"
    )
    assert desk.verify(broken).output.startswith("permerror")
    assert desk.verify(broken).exit_code == 1
    assert desk.run("decrypt", broken, "--key", desk.path("bob.key")).exit_code == 1
    assert "not readable" in desk.run("inspect", broken).output


def test_unknown_revocation_is_cannot_tell(desk: Desk) -> None:
    """Exit code 4: neither yes nor no (R-46)."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    crl = desk.crls / "root.crl"
    result = desk.run("verify", signed, "--trust", desk.root, "--crl", crl)
    assert result.exit_code == 4
    assert result.output.startswith("temperror  revocation-unknown")


def test_revoked_signer_is_no(desk: Desk) -> None:
    """A CRL in PEM works as well."""
    from cryptography import x509

    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    crl = x509.load_der_x509_crl(ISSUING.crl(revoked=[ALICE])).public_bytes(Encoding.PEM)
    (desk.crls / "issuing.crl").write_bytes(crl)
    result = desk.verify(signed)
    assert (result.exit_code, result.output.split()[:2]) == (1, ["fail", "revoked"])


def test_wrong_key_is_no(desk: Desk) -> None:
    """Eve's key opens nothing of Bob's."""
    sealed = desk.made(
        "sealed.eml", "encrypt", desk.mail, "--trust", desk.root, "--to-cert", desk.path("bob.pem")
    )
    result = desk.run("decrypt", sealed, "--key", desk.path("eve.key"))
    assert result.exit_code == 1
    assert "inspect" in result.output


def test_decrypt_puts_a_hidden_subject_back(desk: Desk) -> None:
    """Only when the cipher notices changes, and the inner From agrees (RFC 9788)."""
    mail = desk.path("hidden.eml")
    mail.write_bytes(
        b"From: alice@ours.example\r\nSubject: [...]\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\n\r\ntext\r\n--b--\r\n"
    )
    wish = HeaderProtection(confidentiality=HeaderConfidentiality.BASELINE)
    content = Entity.parse(mail.read_bytes().replace(b"[...]", b"Plan"))
    outer, inner = split_for_protection(content.header)
    readable, payload = protect_header(outer, Entity(inner, content.body), wish, encrypts=True)
    ciphers = {ContentCipher.AES_256_GCM: b"Plan", ContentCipher.AES_256_CBC: b"[...]"}
    for cipher, subject in ciphers.items():
        sealed = encrypted(payload, (BOB,), cipher)
        mail.write_bytes(
            HeaderSection((*readable, *sealed.header)).raw + b"\r\n" + sealed.body.whole()
        )
        result = desk.run("decrypt", mail, "--key", desk.path("bob.key"))
        assert b"Subject: " + subject + b"\r\n" in result.stdout_bytes
        assert "header fields inside: form=cipher" in result.stderr


def test_message_that_is_not_encrypted_is_no(desk: Desk) -> None:
    """Nothing is written."""
    result = desk.run("decrypt", desk.mail, "--key", desk.path("bob.key"))
    assert result.exit_code == 1
    assert result.stdout_bytes == b""


# --- usage ---------------------------------------------------------------------------------------


def test_nobody_to_trust(desk: Desk) -> None:
    """Verifying needs anchors."""
    result = desk.run("verify", desk.mail)
    assert result.exit_code == 2
    assert "--trust" in result.output


def test_recipient_that_nobody_vouches_for(desk: Desk) -> None:
    """Nothing is encrypted to a certificate without a path (R-08)."""
    from tests.fakes.pki import make_ca

    stranger = desk.file("x.pem", make_ca("Unknown").issue("bob@partner.example").pem)
    result = desk.run("encrypt", desk.mail, "--trust", desk.root, "--to-cert", stranger)
    assert result.exit_code == 2
    assert "untrusted-ca" in result.output
    assert result.stdout_bytes == b""


@pytest.mark.parametrize("command", ["sign", "decrypt", "inspect"])
def test_missing_file(desk: Desk, command: str) -> None:
    """One line, no traceback."""
    more = () if command == "inspect" else ("--key", desk.path("alice.key"))
    result = desk.run(command, desk.path("nothing.eml"), *more)
    assert result.exit_code == 2
    assert "nothing.eml: No such file" in result.output


# --- inspect -------------------------------------------------------------------------------------


def test_inspect_encrypted(desk: Desk) -> None:
    """Algorithms and recipients, without any key."""
    sealed = desk.made(
        "sealed.eml", "encrypt", desk.mail, "--trust", desk.root,
        "--to-cert", desk.path("alice.pem"), "--to-cert", desk.path("bob.pem"),
    )  # fmt: skip
    (line,) = desk.run("inspect", sealed, "--json").output.splitlines()
    members = json.loads(line)
    assert (members["kind"], members["cipher"]) == ("encryption", "aes-256-cbc")
    assert members["integrity"] == "none"
    labels = [recipient["key_encryption"] for recipient in members["recipients"]]
    assert labels == ["rsa-pkcs1v15", "ecdh-sha256kdf"]
    serials = [recipient["serial"] for recipient in members["recipients"]]
    assert serials[0] == f"{ALICE.certificate.serial_number:x}"
    assert "S/MIME Issuing" in members["recipients"][0]["issuer"]


def test_inspect_signed(desk: Desk) -> None:
    """Signer, digest, claimed time; and that nothing was verified."""
    signed = desk.made("signed.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    text = desk.run("inspect", signed).output
    assert "signed  clear  micalg sha-256" in text
    assert "<alice@ours.example>  rsa-pkcs1v15  sha256" in text
    assert text.rstrip().endswith("Not verified.")


def test_inspect_names_the_header_fields_inside(desk: Desk) -> None:
    """Names, and which were changed on the way; nothing about their truth (RFC 9788)."""
    mail = Path(desk.path("headers.eml"))
    mail.write_bytes(
        b"From: alice@ours.example\r\nSubject: outside\r\n"
        b'Content-Type: multipart/mixed; boundary="b"; hp="clear"\r\n'
        b"\r\n--b\r\n\r\ntext\r\n--b--\r\n"
    )
    signed = desk.made("signed.eml", "sign", str(mail), "--key", desk.path("alice.key"))
    assert "header fields  clear" in desk.run("inspect", signed).output
    members = json.loads(desk.run("inspect", signed, "--json").output.splitlines()[-1])
    assert (members["kind"], members["form"], members["names"]) == ("header", "clear", [])


def test_inspect_signed_twice(desk: Desk) -> None:
    """Layers are shown from outside in."""
    signed = desk.made("1.eml", "sign", desk.mail, "--key", desk.path("alice.key"))
    twice = desk.made("2.eml", "sign", signed, "--key", desk.path("bob.key"), "--opaque")
    lines = desk.run("inspect", twice, "--json").output.splitlines()
    assert [json.loads(line)["form"] for line in lines] == ["opaque", "clear"]


def test_inspect_plain(desk: Desk) -> None:
    """Nothing to show is said."""
    assert "No S/MIME layer" in desk.run("inspect", desk.mail).output
    assert layer_of(Entity.parse(MAIL)) is None
