"""Reading keys that somebody hands in: every kind that works, and every refusal (cases H12)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from smimegw.adapters.keys import containers
from smimegw.adapters.keys.containers import read_certificates, read_key_material
from smimegw.adapters.keys.key_object import KeyPurpose, purpose_of
from smimegw.cms import der
from smimegw.errors import CertificateError, PasswordError, UsageError
from tests.fakes.pki import Issued, make_ca

ROOT = make_ca("Container Root")
ISSUING = make_ca("Container Issuing", parent=ROOT)
ALICE = ISSUING.issue("alice@ours.example")
BOB = ISSUING.issue("bob@ours.example", key="p256")
PASSWORD = b"correct horse"


def _pkcs12(issued: Issued, encryption: object = None, *, with_key: bool = True) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"test",
        issued.key if with_key else None,
        issued.certificate.parsed,
        [item.parsed for item in issued.chain],
        encryption or BestAvailableEncryption(PASSWORD),
    )


def _legacy(issued: Issued) -> bytes:
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSWORD)
    )
    return _pkcs12(issued, encryption)


@pytest.mark.parametrize("issued", [ALICE, BOB], ids=["rsa", "p256"])
@pytest.mark.parametrize("make", [_pkcs12, _legacy], ids=["modern", "3des-sha1"])
def test_pkcs12_gives_key_certificate_and_path(issued: Issued, make: object) -> None:
    """Files of today and those of Windows and gpgsm (3DES, SHA-1 MAC) are read."""
    material = read_key_material(make(issued), PASSWORD)  # type: ignore[operator]
    assert material.certificate == issued.certificate
    assert material.chain == issued.chain
    assert material.private_key.private_numbers() == issued.key.private_numbers()


def test_pkcs12_without_password_is_read() -> None:
    """A file that is not encrypted needs no password."""
    assert read_key_material(_pkcs12(ALICE, NoEncryption())).certificate == ALICE.certificate


def test_pem_with_certificate_in_any_order() -> None:
    """Bundles come with the key first or last."""
    for octets in (ALICE.key_pem + ALICE.pem, ROOT.pem + ALICE.pem + ALICE.key_pem):
        assert read_key_material(octets).certificate == ALICE.certificate


def test_pem_key_and_certificate_in_two_files() -> None:
    """The certificate may stand in a file of its own, with those above it."""
    material = read_key_material(ALICE.key_pem, certificates=ROOT.pem + ISSUING.pem + ALICE.pem)
    assert material.certificate == ALICE.certificate
    assert material.chain == ALICE.chain


def test_encrypted_pem_key_is_read() -> None:
    """PKCS #8 under PBES2, as openssl writes it."""
    pem = ALICE.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD)
    )
    assert read_key_material(pem + ALICE.pem, PASSWORD).certificate == ALICE.certificate


def test_certificates_that_do_not_belong_to_the_path_are_left_out() -> None:
    """A bundle with other people's certificates does not put them into our signatures."""
    material = read_key_material(ALICE.key_pem + ALICE.pem + BOB.pem + ISSUING.pem)
    assert material.chain == (ISSUING.certificate,)


def test_cross_signed_authorities_end() -> None:
    """Two CAs that signed each other do not make an endless path."""
    other = make_ca("Other")
    first = make_ca("Loop A", parent=other)
    second = make_ca("Loop B", parent=first)
    back = make_ca("Loop A", parent=second)
    leaf = back.issue("loop@ours.example", slot="alice@ours.example/both")
    octets = leaf.key_pem + leaf.pem + second.pem + back.pem
    assert len(read_key_material(octets).chain) == 2


def test_repr_of_key_material_shows_no_key() -> None:
    """Key material is never in a repr."""
    assert "PrivateKey" not in repr(read_key_material(ALICE.key_pem + ALICE.pem))


# --- refusals ------------------------------------------------------------------------------------


def test_wrong_password() -> None:
    """Told apart from a file that is none, as far as the format allows (cases H12)."""
    with pytest.raises(UsageError, match="wrong password"):
        read_key_material(_pkcs12(ALICE), b"wrong")


def test_password_with_an_octet_of_zero() -> None:
    """A file in UTF-16 has some, and the library does not survive them (M10)."""
    with pytest.raises(UsageError, match="UTF-16"):
        read_key_material(_pkcs12(ALICE), "pw".encode("utf-16-le"))


def test_password_that_is_not_utf_8() -> None:
    """An editor wrote Latin-1; the text says so instead of blaming the key (cases H12)."""
    with pytest.raises(PasswordError, match="wrong password: it is not UTF-8"):
        read_key_material(_pkcs12(ALICE), "schlüssel".encode("latin-1"))


def test_missing_password() -> None:
    """The text says how to give it (cases H12)."""
    with pytest.raises(UsageError, match="--password-file"):
        read_key_material(_pkcs12(ALICE))


def test_missing_password_of_a_pem_key() -> None:
    """The same for PEM."""
    pem = ALICE.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD)
    )
    with pytest.raises(UsageError, match="--password-file"):
        read_key_material(pem + ALICE.pem)


def test_no_key() -> None:
    """A PKCS #12 file of certificates only (cases H12)."""
    with pytest.raises(UsageError, match="no private key"):
        read_key_material(_pkcs12(ALICE, with_key=False), PASSWORD)


def test_no_certificate() -> None:
    """A key alone says not whose it is."""
    with pytest.raises(UsageError, match="no certificate"):
        read_key_material(ALICE.key_pem)


def test_key_of_another_certificate() -> None:
    """Key and certificate must match (cases H12)."""
    with pytest.raises(UsageError, match="does not belong"):
        read_key_material(ALICE.key_pem + BOB.pem)


def test_two_keys_in_a_pem_file() -> None:
    """Which one is meant is not guessed."""
    with pytest.raises(UsageError, match="2 private keys"):
        read_key_material(ALICE.key_pem + BOB.key_pem + ALICE.pem)


def test_kind_of_key_that_cannot_be_used() -> None:
    """DSA has no place in mail (RFC 8551, 2.2)."""
    other = dsa.generate_private_key(2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(UsageError, match="RSA and elliptic curve"):
        read_key_material(other + ALICE.pem)


@pytest.mark.parametrize(
    ("kind", "usage"),
    [("ed25519", "sign"), ("ed448", "sign"), ("x25519", "encrypt"), ("x448", "encrypt")],
)
def test_keys_of_one_use(kind: str, usage: str) -> None:
    """They only sign or only agree, and the keystore knows (RFC 8410, 5)."""
    one = ISSUING.issue("one@ours.example", key=kind, usage=usage)
    material = read_key_material(one.key_pem + one.pem)
    assert material.certificate == one.certificate
    assert purpose_of(material.certificate) is KeyPurpose(usage)


def test_key_that_only_agrees_in_a_certificate_for_signatures() -> None:
    """X25519 cannot do what the certificate says (RFC 8410, 5)."""
    odd = ISSUING.issue("odd@ours.example", key="x25519", usage="sign")
    with pytest.raises(CertificateError, match="key-usage"):
        purpose_of(odd.certificate)


@pytest.mark.parametrize("kind", ["rsa1024", "p224", "secp256k1"])
def test_weak_key(kind: str) -> None:
    """RSA below 2,048 bits and curves that nobody else uses are refused."""
    weak = ISSUING.issue("weak@ours.example", key=kind)
    with pytest.raises(UsageError, match="cannot be used"):
        read_key_material(weak.key_pem + weak.pem)


@pytest.mark.parametrize(
    "octets", [b"", b"hello", b"\x30\x80", b"\x30\x03\x02\x01\x03", b"\0" * 99]
)
def test_something_else_entirely(octets: bytes) -> None:
    """Neither PKCS #12 nor PEM."""
    with pytest.raises(UsageError):
        read_key_material(octets)


def test_huge_file_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by its size (cases H12)."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    with pytest.raises(UsageError, match="octets"):
        read_key_material(b"\x30" * (1024 * 1024 + 1), PASSWORD)


# --- cost: judged before the library hashes anything ----------------------------------------------

_DATA = der.oid("1.2.840.113549.1.7.1")
_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))


def _never(*_: object) -> None:
    raise AssertionError("the library was asked to open it")


def _pbes2(rounds: int, function: str = "1.2.840.113549.1.5.12") -> bytes:
    derivation = der.sequence(
        der.oid(function), der.sequence(der.octet_string(b"salt"), der.integer(rounds))
    )
    cipher = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(b"\0" * 16))
    return der.sequence(der.oid("1.2.840.113549.1.5.13"), der.sequence(derivation, cipher))


def _pbes1(scheme: str, rounds: int) -> bytes:
    parameters = der.sequence(der.octet_string(b"salt"), der.integer(rounds))
    return der.sequence(der.oid(scheme), parameters)


def _encrypted(algorithm: bytes) -> bytes:
    information = der.sequence(_DATA, algorithm, der.value(0x80, b"\0" * 16))
    return der.sequence(
        der.oid("1.2.840.113549.1.7.6"),
        der.explicit(0, der.sequence(der.integer(0), information)),
    )


def _bag(kind: str, value: bytes) -> bytes:
    safe = der.sequence(der.sequence(der.oid(kind), der.explicit(0, value)))
    return der.sequence(_DATA, der.explicit(0, der.octet_string(safe)))


def _shrouded(algorithm: bytes) -> bytes:
    return _bag("1.2.840.113549.1.12.10.1.2", der.sequence(algorithm, der.octet_string(b"\0" * 16)))


def _pfx(*infos: bytes, mac_rounds: int | None = 2048, mac_algorithm: bytes = _SHA256) -> bytes:
    safe = der.octet_string(der.sequence(*infos))
    mac = b""
    if mac_rounds is not None:
        digest = der.sequence(mac_algorithm, der.octet_string(b"\0" * 32))
        mac = der.sequence(digest, der.octet_string(b"salt"), der.integer(mac_rounds))
    return der.sequence(der.integer(3), der.sequence(_DATA, der.explicit(0, safe)), mac)


PBMAC1 = der.sequence(
    der.oid("1.2.840.113549.1.5.14"),
    der.sequence(
        der.sequence(
            der.oid("1.2.840.113549.1.5.12"),
            der.sequence(der.octet_string(b"salt"), der.integer(10_000_000)),
        ),
        _SHA256,
    ),
)


@pytest.mark.parametrize(
    "octets",
    [
        _pfx(_encrypted(_pbes2(10_000_000))),
        _pfx(_shrouded(_pbes2(10_000_000))),
        _pfx(_shrouded(_pbes1("1.2.840.113549.1.12.1.3", 10_000_000))),
        _pfx(_encrypted(_pbes2(2048)), mac_rounds=10_000_000),
        _pfx(mac_algorithm=PBMAC1),
        _pfx(*[_encrypted(_pbes2(600_000))] * 2),
    ],
    ids=["certificates", "key", "key-pbes1", "mac", "pbmac1", "sum"],
)
def test_too_many_rounds(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000,000 rounds are refused before the first one (cases H12)."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    with pytest.raises(UsageError, match="rounds of password hashing"):
        read_key_material(octets, PASSWORD)


def test_rounds_below_one_cannot_lower_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative number next to a huge one is damage."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    octets = _pfx(_encrypted(_pbes2(10_000_000)), mac_rounds=-10_000_000)
    with pytest.raises(UsageError, match="damaged"):
        read_key_material(octets, PASSWORD)


def test_rounds_within_the_limit_reach_the_library() -> None:
    """The bound does not refuse what is slow and allowed; here the content is wrong."""
    with pytest.raises(UsageError, match="wrong password"):
        read_key_material(_pfx(_encrypted(_pbes2(1000)), mac_rounds=1000), PASSWORD)


@pytest.mark.parametrize(
    ("scheme", "name"),
    [("1.2.840.113549.1.12.1.6", "RC2-40"), ("1.2.840.113549.1.12.1.2", "RC4-40")],
)
def test_export_grade_protection(scheme: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that anybody can open is refused, with the way out (cases H12)."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    with pytest.raises(UsageError, match=rf"{name} only; write it anew: openssl"):
        read_key_material(_pfx(_encrypted(_pbes1(scheme, 2048))), PASSWORD)


def test_derivation_we_cannot_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """scrypt's cost has other numbers; it is refused by name."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    with pytest.raises(UsageError, match="use PBKDF2"):
        read_key_material(_pfx(_encrypted(_pbes2(1, "1.3.6.1.4.1.11591.4.11"))), PASSWORD)


def test_bags_in_bags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested SafeContents could hide what opening costs."""
    monkeypatch.setattr(containers.pkcs12, "load_pkcs12", _never)
    with pytest.raises(UsageError, match="nests"):
        read_key_material(_pfx(_bag("1.2.840.113549.1.12.10.1.6", der.sequence())), PASSWORD)


def test_too_many_rounds_in_pem(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENCRYPTED PRIVATE KEY is bounded alike (cases H12)."""
    import base64

    monkeypatch.setattr(containers, "load_pem_private_key", _never)
    octets = der.sequence(_pbes2(10_000_000), der.octet_string(b"\0" * 16))
    body = base64.encodebytes(octets)
    pem = (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + body + b"-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    with pytest.raises(UsageError, match="rounds of password hashing"):
        read_key_material(pem + ALICE.pem, PASSWORD)


def test_certificates_file_without_certificate() -> None:
    """A key where a certificate was expected."""
    with pytest.raises(UsageError, match="no certificate"):
        read_certificates(ALICE.key_pem)
