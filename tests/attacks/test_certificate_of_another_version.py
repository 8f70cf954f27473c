"""A certificate whose version does not exist, wherever somebody can hand one in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from smimegw.adapters.files.trust import read_certificates as read_trusted
from smimegw.adapters.keys.containers import read_certificates, read_key_material
from smimegw.adapters.keys.key_object import parse_key_object
from smimegw.adapters.smtp.tls import check_pin
from smimegw.cli.message import message
from smimegw.config.load import load
from smimegw.errors import ConfigurationError, KeystoreError, NextHopTLSError, UsageError
from tests.fakes.smime import ALICE

_V3, _V6 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"
DER = ALICE.certificate.der.replace(_V3, _V6, 1)
PEM = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(DER) + b"-----END CERTIFICATE-----\n"


def _key_file(octets: bytes) -> None:
    values = {"format": 1, "certificates": [octets.decode()], "mailboxes": [], "purpose": "both"}
    parse_key_object(json.dumps(values).encode(), "x")


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (read_certificates, UsageError),
        (lambda octets: read_key_material(ALICE.key_pem + octets), UsageError),
        (_key_file, KeystoreError),
    ],
    ids=["a file of certificates", "a key with its certificate", "a file of the keystore"],
)
def test_reader_refuses_a_version_that_does_not_exist(
    read: Callable[[bytes], object], error: type[Exception]
) -> None:
    """The library has an exception of its own kind for it (RFC 5280, 4.1.2.1; cases F05)."""
    with pytest.raises(error, match="malformed"):
        read(PEM)


def test_configured_anchor_of_another_version_is_a_mistake(tmp_path: Path) -> None:
    """A reload keeps what was; a start says the file (cases E14)."""
    path = tmp_path / "anchor.pem"
    path.write_bytes(PEM)
    with pytest.raises(ConfigurationError, match=r"anchor\.pem: trust\.anchors"):
        read_trusted((path,), "trust.anchors")


def test_configured_authority_of_another_version_is_a_mistake(tmp_path: Path) -> None:
    """The same for whom TLS believes (cases E14)."""
    (tmp_path / "ca.pem").write_bytes(PEM)
    (tmp_path / "policies").mkdir()
    configuration = tmp_path / "smimegw.toml"
    configuration.write_text(
        'version = 1\n[gateway]\nhostname = "gw.ours.example"\n'
        'internal_domains = ["ours.example"]\n'
        '[listener.mx]\naddress = "127.0.0.1:0"\n'
        '[next_hop.in]\naddress = "127.0.0.1:25"\ntls = { mode = "verify", ca = "ca.pem" }\n'
        '[policies]\npath = "policies"\n'
    )
    with pytest.raises(ConfigurationError, match=r"ca\.pem holds no PEM certificate"):
        load(configuration)


def test_next_hop_with_such_a_certificate_has_none_of_the_pins() -> None:
    """Pins do not look at the rest of a certificate, so any server may show one (cases B07)."""

    class Shown:
        def getpeercert(self, *, binary_form: bool) -> bytes:
            assert binary_form
            return DER

    with pytest.raises(NextHopTLSError, match="none of the pins"):
        check_pin(Shown(), frozenset({"00" * 32}), "next.example:25")


def test_administrator_is_told_which_file_it_is(tmp_path: Path) -> None:
    """Not that there is a bug (cases F05)."""
    (tmp_path / "bob.pem").write_bytes(PEM)
    (tmp_path / "note.eml").write_bytes(b"From: a@ours.example\r\n\r\ntext\r\n")
    words = ("encrypt", "note.eml", "--to-cert", "bob.pem", "--trust", "bob.pem")
    files = [str(tmp_path / word) if "." in word else word for word in words]
    result = CliRunner().invoke(message, files)
    assert result.exit_code == 2
    assert "bob.pem: --trust – not a certificate" in result.output
