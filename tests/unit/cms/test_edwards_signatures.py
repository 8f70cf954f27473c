"""Ed25519 and Ed448 in SignedData: pure mode, fixed digests, no parameters (RFC 8419)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import (
    DigestAlgorithm,
    SignatureScheme,
    digest_for,
    key_encryption_for,
    signature_scheme_for,
)
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.signed_data import CheckedSignature, parse_signed_data, verify_signer_info
from smimegw.errors import CMSError, SignatureError, UnsupportedAlgorithmError
from tests.fakes.pki import Issued
from tests.unit.cms.people import CONTENT, detached, person

SHA256, SHA512 = DigestAlgorithm.SHA256, DigestAlgorithm.SHA512
SHAKE256 = DigestAlgorithm.SHAKE256
KINDS = {
    "ed25519": (SignatureScheme.ED25519, SHA512),
    "ed448": (SignatureScheme.ED448, SHAKE256),
}


def _edwards(kind: str) -> Issued:
    return person("edwards", kind)


def _check(octets: bytes, content: bytes | None = CONTENT) -> CheckedSignature:
    signed_data = parse_signed_data(octets)
    (signer_info,) = signed_data.signer_infos
    return verify_signer_info(signed_data, signer_info, None if content is None else (content,))


def _without_attributes(
    kind: str, signed: bytes, digest: DigestAlgorithm, *, encapsulated: bytes | None = None
) -> bytes:
    """A SignedData whose signature is over *signed* itself."""
    signer = _edwards(kind)
    assert isinstance(signer.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    content = b"" if encapsulated is None else der.explicit(0, der.octet_string(encapsulated))
    signer_info = der.sequence(
        der.integer(1),
        issuer_and_serial_number(signer.certificate),
        algorithm_identifiers.write_digest(digest),
        algorithm_identifiers.write_signature(KINDS[kind][0], digest),
        der.octet_string(signer.key.sign(signed)),
    )
    fields = der.sequence(
        der.integer(1),
        der.set_of((algorithm_identifiers.write_digest(digest),)),
        der.sequence(der.oid(DATA), content),
        der.value(0xA0, signer.certificate.der),
        der.set_of((signer_info,)),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.explicit(0, fields))


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_sign_verifies(kind: str) -> None:
    """The signature is over the signed attributes as they are (RFC 8419, 3.1)."""
    scheme, digest = KINDS[kind]
    assert signature_scheme_for(_edwards(kind).certificate) is scheme
    checked = _check(detached(_edwards(kind), digest=digest))
    assert (checked.scheme, checked.digest_algorithm) == (scheme, digest)
    assert checked.label == f"{kind}-{digest.value}"


@pytest.mark.parametrize("kind", KINDS)
def test_changed_content_does_not_verify(kind: str) -> None:
    """The digest in the attributes is compared as ever (RFC 5652, 5.6)."""
    octets = detached(_edwards(kind), digest=KINDS[kind][1])
    with pytest.raises(SignatureError, match="digest"):
        _check(octets, CONTENT + b"\r\n")


@pytest.mark.parametrize("kind", KINDS)
def test_changed_attributes_do_not_verify(kind: str) -> None:
    """Another signing time under the same signature."""
    octets = detached(_edwards(kind), digest=KINDS[kind][1])
    attribute = octets.index(der.oid("1.2.840.113549.1.9.5"))
    position = octets.index(b"Z", attribute) - 1
    digit = b"0" if octets[position : position + 1] != b"0" else b"1"
    with pytest.raises(SignatureError, match="signature"):
        _check(octets[:position] + digit + octets[position + 1 :])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_opaque", [False, True])
def test_without_attributes_the_content_itself_is_signed(kind: str, is_opaque: bool) -> None:
    """Pure mode: no digest in between (RFC 8419, 3.2)."""
    octets = _without_attributes(
        kind, CONTENT, KINDS[kind][1], encapsulated=CONTENT if is_opaque else None
    )
    checked = _check(octets, None if is_opaque else CONTENT)
    assert not checked.has_signed_attributes


@pytest.mark.parametrize("kind", KINDS)
def test_content_in_pieces_that_come_once_verifies(kind: str) -> None:
    """An iterator that can be read only once is enough."""
    signed_data = parse_signed_data(_without_attributes(kind, CONTENT, KINDS[kind][1]))
    pieces = (CONTENT[start : start + 7] for start in range(0, len(CONTENT), 7))
    checked = verify_signer_info(signed_data, signed_data.signer_infos[0], pieces)
    assert checked.certificate == _edwards(kind).certificate


@pytest.mark.parametrize("kind", KINDS)
def test_other_content_without_attributes_does_not_verify(kind: str) -> None:
    """One octet more (RFC 8419, 3.2)."""
    with pytest.raises(SignatureError, match="signature"):
        _check(_without_attributes(kind, CONTENT, KINDS[kind][1]), CONTENT + b"x")


def test_signature_of_attributes_is_none_of_content() -> None:
    """Octets that are signed attributes never pass as content (RFC 5652, 5.3)."""
    octets = detached(_edwards("ed25519"), digest=SHA512)
    attributes = parse_signed_data(octets).signer_infos[0].signed_attributes
    assert attributes is not None
    with pytest.raises(SignatureError, match="attributes"):
        _check(_without_attributes("ed25519", attributes, SHA512), attributes)


def test_digests_of_edwards_signatures_are_fixed() -> None:
    """SHA-512 and SHAKE256 with 512 bits (RFC 8419, 3.1)."""
    assert digest_for(SignatureScheme.ED25519, SHA256) is SHA512
    assert digest_for(SignatureScheme.ED448, SHA256) is SHAKE256
    assert digest_for(SignatureScheme.ECDSA, SHA256) is SHA256


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("ed25519", SHA256), ("ed25519", SHAKE256), ("ed448", SHA512), ("rsa", SHAKE256)],
)
def test_another_digest_is_never_written(kind: str, digest: DigestAlgorithm) -> None:
    """What RFC 8419, 3.1, rules out is not made, nor SHAKE256 with other keys."""
    with pytest.raises(UnsupportedAlgorithmError):
        detached(_edwards(kind), digest=digest)


def test_rsa_signature_with_shake256_does_not_count() -> None:
    """SHAKE256 goes with EdDSA only (RFC 8419, 2.3)."""
    octets = detached(_edwards("rsa"))
    digest = algorithm_identifiers.write_digest(SHA256)
    other = algorithm_identifiers.write_digest(SHAKE256)
    outer = asn1.read_document(octets).elements()[1].elements()[0].elements()
    (info,) = outer[-1].elements()
    fields = [field.encoded for field in info.elements()]
    assert fields[2] == digest
    fields[2] = other
    changed = der.sequence(
        *(field.encoded for field in outer[:-1]), der.set_of((der.sequence(*fields),))
    )
    with pytest.raises(SignatureError, match="algorithm"):
        _check(der.sequence(der.oid(SIGNED_DATA), der.explicit(0, changed)))


@pytest.mark.parametrize("oid", ["1.3.101.112", "1.3.101.113"])
def test_parameters_of_edwards_signatures_are_malformed(oid: str) -> None:
    """They must be absent, not NULL (RFC 8410, 3)."""
    with pytest.raises(CMSError):
        algorithm_identifiers.read_signature(
            asn1.read_document(algorithm_identifiers.write(oid, der.NULL))
        )


def test_shake256_is_written_with_its_length() -> None:
    """id-shake256-len with 512 (RFC 8419, 3.1)."""
    octets = algorithm_identifiers.write_digest(SHAKE256)
    assert octets == bytes.fromhex("300f06096086480165030402120202") + b"\x02\x00"
    assert algorithm_identifiers.read_digest(asn1.read_document(octets)) is SHAKE256


def test_shake256_without_a_length_is_read() -> None:
    """id-shake256 always has 512 bits (RFC 8702, 3.1)."""
    octets = algorithm_identifiers.write("2.16.840.1.101.3.4.2.12")
    assert algorithm_identifiers.read_digest(asn1.read_document(octets)) is SHAKE256


@pytest.mark.parametrize("parameters", [(), (der.integer(256),), (der.NULL,)], ids=repr)
def test_shake256_with_another_length_is_refused(parameters: tuple[bytes, ...]) -> None:
    """The parameter must be there and 512 (RFC 8419, 3.1)."""
    octets = algorithm_identifiers.write(SHAKE256.oid, *parameters)
    with pytest.raises(UnsupportedAlgorithmError):
        algorithm_identifiers.read_digest(asn1.read_document(octets))


@pytest.mark.parametrize("kind", KINDS)
def test_edwards_keys_cannot_be_encrypted_to(kind: str) -> None:
    """They sign (RFC 8410, 5)."""
    with pytest.raises(UnsupportedAlgorithmError):
        key_encryption_for(_edwards(kind).certificate)


def test_signature_by_the_other_curve_does_not_count() -> None:
    """The certificate's key decides what a signature can be."""
    octets = detached(_edwards("ed25519"), digest=SHA512)
    ours = algorithm_identifiers.write("1.3.101.112")
    with pytest.raises(SignatureError, match="algorithm"):
        _check(octets.replace(ours + b"\x04", algorithm_identifiers.write("1.3.101.113") + b"\x04"))
