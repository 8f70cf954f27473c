"""A request proves possession of a key, and gives nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import NameOID

from pki.errors import RequestError
from pki.request import parse_request
from smimegw.addresses import Mailbox

ALICE = Mailbox.parse("alice@corp.example")
_ENCODING = serialization.Encoding


def _request(
    key=None, *, names: Sequence[str] = (), common_name: str = "Alice", digest=None
) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    if names:
        wishes = x509.SubjectAlternativeName([x509.RFC822Name(name) for name in names])
        builder = builder.add_extension(wishes, critical=False)
    key = key or ec.generate_private_key(ec.SECP256R1())
    algorithm = None if isinstance(key, ed448.Ed448PrivateKey) else digest or hashes.SHA256()
    return builder.sign(key, algorithm)


@pytest.mark.parametrize("encoding", [_ENCODING.PEM, _ENCODING.DER])
def test_the_key_of_a_request_is_taken(encoding: serialization.Encoding) -> None:
    """PEM and DER are both in use (RFC 2986)."""
    key = ec.generate_private_key(ec.SECP256R1())
    assert parse_request(_request(key).public_bytes(encoding)).public_key == key.public_key()


def test_a_wished_address_that_is_the_mailbox_passes_in_silence() -> None:
    """Nothing to remark when both say the same."""
    request = parse_request(_request(names=["Alice@corp.example"]).public_bytes(_ENCODING.PEM))
    assert request.remarks(ALICE) == ()


def test_other_wished_addresses_are_remarked() -> None:
    """Somebody wished for more than he gets."""
    octets = _request(names=["alice@corp.example", "ceo@corp.example"]).public_bytes(_ENCODING.PEM)
    (remark,) = parse_request(octets).remarks(ALICE)
    assert "ceo@corp.example" in remark


def test_a_request_for_somebody_else_is_remarked() -> None:
    """The administrator may have taken the wrong file."""
    octets = _request(names=["bob@corp.example"]).public_bytes(_ENCODING.PEM)
    assert any("make sure" in remark for remark in parse_request(octets).remarks(ALICE))


def test_an_address_in_the_common_name_counts_as_wish() -> None:
    """Many programs put it there only."""
    octets = _request(common_name="bob@corp.example").public_bytes(_ENCODING.PEM)
    assert parse_request(octets).wished_addresses == ("bob@corp.example",)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"garbage",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"\x30\x82\xff\xff" + b"\x00" * 100,
        b"\x30" * 200_000,
    ],
)
def test_garbage_is_no_request(octets: bytes) -> None:
    """The text says what a request is and how to make one."""
    with pytest.raises(RequestError, match="PKCS #10"):
        parse_request(octets)


def test_a_request_that_was_cut_off_is_refused() -> None:
    """Half a DER structure is none."""
    with pytest.raises(RequestError):
        parse_request(_request().public_bytes(_ENCODING.DER)[:-1])


def test_octets_after_a_request_are_refused() -> None:
    """DER has one reading only."""
    with pytest.raises(RequestError):
        parse_request(_request().public_bytes(_ENCODING.DER) + b"\x00")


def test_a_wrong_signature_proves_nothing() -> None:
    """Without proof of possession somebody could have another's key certified as his own."""
    der = bytearray(_request().public_bytes(_ENCODING.DER))
    at = bytes(der).index(b"Alice")
    der[at : at + 5] = b"Malic"
    with pytest.raises(RequestError, match="signature does not fit"):
        parse_request(bytes(der))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["rsa-1024", "exponent-3", "p-224", "secp256k1", "ed448"],
)
def test_weak_and_unusual_keys_are_refused(key: object) -> None:
    """S/MIME BR, 6.1.5 and 6.1.6; what the gateway cannot use is not certified."""
    with pytest.raises(RequestError):
        parse_request(_request(key).public_bytes(_ENCODING.PEM))
