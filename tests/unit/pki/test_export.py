"""What leaves the CA: files that the gateway's keystore takes, and names that are safe."""

from __future__ import annotations

from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki import export
from pki.errors import PassphraseError, RequestError
from pki.home import Home
from pki.keys import KeyKind
from smimegw.adapters.keys.containers import read_key_material
from tests.unit.pki.steps import PASSPHRASE, issue


def _p12(ca: Home, certified, *, legacy: bool = False, ca_passphrase: bytes = PASSPHRASE) -> bytes:
    return export.pkcs12_file(
        ca, certified, ca_passphrase=ca_passphrase, passphrase=b"battery staple", legacy=legacy
    )


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [KeyKind.RSA_3072, KeyKind.P_256])
def test_the_gateways_keystore_takes_the_pkcs12_file(
    ca: Home, now: datetime, kind: KeyKind, legacy: bool
) -> None:
    """Key, certificate and path in the order that signing needs; within its cost limits."""
    certified = issue(ca, now, key_kind=kind)
    material = read_key_material(_p12(ca, certified, legacy=legacy), b"battery staple")
    assert material.certificate.der == certified.der
    assert material.private_key.public_key() == certified.certificate.public_key()
    assert [item.der for item in material.chain] == [
        ca.authority("issuing").der,
        ca.authority("root").der,
    ]


def test_the_cas_passphrase_guards_the_export(ca: Home, now: datetime) -> None:
    """Reading the CA directory is not enough to get a key out."""
    with pytest.raises(PassphraseError):
        _p12(ca, issue(ca, now), ca_passphrase=b"wrong")


def test_a_key_that_the_ca_never_had_is_not_exported(ca: Home, now: datetime) -> None:
    """The text names the format that works."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(RequestError, match="--format chain"):
        _p12(ca, issue(ca, now, public_key=public))


@pytest.mark.parametrize("name", ["root", "issuing"])
def test_the_cas_own_keys_are_not_exported(ca: Home, name) -> None:
    """They leave only with a backup of the whole directory."""
    with pytest.raises(RequestError, match="stays"):
        _p12(ca, ca.authority(name))


def test_the_chain_begins_with_the_certificate_and_ends_with_the_root(
    ca: Home, now: datetime
) -> None:
    """The order that servers and OpenSSL expect."""
    certified = issue(ca, now)
    blocks = export.chain(ca, certified).count(b"-----BEGIN CERTIFICATE-----")
    assert blocks == 3
    assert export.chain(ca, certified).startswith(export.pem(certified))
    assert export.chain(ca, certified).endswith(export.pem(ca.authority("root")))


@pytest.mark.parametrize(
    "address", ['"../../etc/passwd"@corp.example', "a/b@corp.example", '"a\\"b"@corp.example']
)
def test_a_file_name_stays_in_its_directory(ca: Home, now: datetime, address: str) -> None:
    """A local part may hold slashes, quotes and dots (RFC 5322, 3.2.3); a file name does not."""
    name = export.file_name(issue(ca, now, address))
    assert not set(name) & set('/\\"\x00 ')
    assert not name.startswith((".", "-"))
