"""The MIME forms we build are taken apart by openssl, with CMS objects that openssl made."""

from __future__ import annotations

import subprocess
from email.message import EmailMessage
from pathlib import Path

import pytest

from smimegw.mime.build import boundary, multipart_signed, pkcs7_mime, split_for_protection
from smimegw.mime.canonical import canonical_for_signing
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.smtp.content import FINAL_DOT, ContentReader, stuffed
from tests.fakes.multiparts import split_multipart


def openssl(*arguments: str, octets: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=octets, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a self-signed certificate, in one file."""
    file = tmp_path_factory.mktemp("identity") / "identity.pem"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-noenc", "-days", "2"),
        *("-subj", "/CN=alice", "-addext", "extendedKeyUsage=emailProtection"),
        *("-keyout", str(file), "-out", f"{file}.crt"),
    )
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


def untidy() -> bytes:
    made = EmailMessage()
    made.set_content("Grüße, \n\nFrom here on ... \n-- \nAlice\n", cte="8bit")
    made.add_attachment(b"\0\r\n\n" * 100, maintype="image", subtype="png", filename="名.png")
    return made.as_bytes()


CONTENTS = {
    "clean": b"Content-Type: text/plain\r\n\r\nhello\r\n",
    "no final line end": b"Content-Type: text/plain\r\n\r\nhello",
    "mixed line ends": b"Content-Type: text/plain\r\n\r\na\nb\r\nc\n\n",
    "8-bit and LF": untidy(),
    "no header": b"\r\nhello\r\n",
    "blank lines at the end": b"Content-Type: text/plain\r\n\r\nhello\r\n\r\n\r\n",
    "dots": b"Content-Type: text/plain\r\n\r\n.\r\n..\r\n.hidden\r\n",
    "long lines": b"Content-Type: text/plain\r\n\r\n" + b"word " * 1000 + b"\r\n",
}


def sent(fields: tuple[HeaderField, ...], body: bytes) -> bytes:
    """A whole message after its way through DATA."""
    header = HeaderSection((field("MIME-Version", "1.0"), *fields))
    wire = b"".join(stuffed(Entity(header, body).pieces())) + FINAL_DOT
    reader = ContentReader()
    reader.feed(wire)
    return reader.result().whole()


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_openssl_verifies_what_we_clear_sign(content: bytes, identity: Path) -> None:
    """The signed part is found and hashed as we meant it (RFC 8551, 3.5.3; G16)."""
    _, inner = split_for_protection(Entity.parse(content).header)
    signed = canonical_for_signing(Entity.parse(content).with_header(inner))
    signature = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-signer", str(identity)),
        octets=signed.raw,
    )
    delimiter = boundary(lambda count: b"\x17" * count)
    fields, pieces = multipart_signed(signed, signature, "sha-256", delimiter)
    verified = openssl(
        *("cms", "-verify", "-CAfile", str(identity), "-purpose", "any"),
        octets=sent(fields, b"".join(pieces)),
    )
    assert verified == signed.raw


def test_openssl_refuses_a_changed_part(identity: Path) -> None:
    """The test above can fail: one octet inside the signed part is enough."""
    signed = canonical_for_signing(Entity.parse(CONTENTS["clean"]))
    signature = openssl(
        *("cms", "-sign", "-binary", "-outform", "DER", "-signer", str(identity)),
        octets=signed.raw,
    )
    fields, pieces = multipart_signed(signed, signature, "sha-256", "b1")
    message = sent(fields, b"".join(pieces)).replace(b"hello", b"hallo")
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", str(identity), "-purpose", "any"],
        input=message,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0


@pytest.mark.parametrize("length", [0, 1, 56, 57, 100_000])
def test_openssl_opens_what_we_wrap(length: int, identity: Path) -> None:
    """The streamed base64 body is the DER that went in (RFC 8551, 3.3)."""
    secret = b"x" * length
    enveloped = openssl(
        *("cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", str(identity)),
        octets=secret,
    )
    fields, body = pkcs7_mime("enveloped-data", enveloped)
    opened = openssl(
        *("cms", "-decrypt", "-inkey", str(identity), "-recip", str(identity)),
        octets=sent(fields, b"".join(body)),
    )
    assert opened == secret


def test_we_take_apart_what_openssl_signs(identity: Path) -> None:
    """The exact octets between the delimiters verify with the signature of the second part."""
    made = openssl(
        *("cms", "-sign", "-text", "-signer", str(identity)), octets=b"hello\n.\nFrom x\n"
    )
    part, signature = split_multipart(Entity.parse(made))
    assert Entity.parse(signature).content_type.parameter("name") == "smime.p7s"
    file = identity.parent / "part"
    # openssl writes LF here and hashes CRLF.
    file.write_bytes(part.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-content", str(file)),
        *("-CAfile", str(identity), "-purpose", "any"),
        octets=Entity.parse(signature).decoded_body().whole(),
    )
