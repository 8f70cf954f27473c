"""SignedData in the forms that Bouncy Castle makes and reads; algorithms are in the table."""

from __future__ import annotations

from functools import cache

import pytest

from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    SignatureScheme,
    digest_for,
    signature_scheme_for,
)
from smimegw.cms.capabilities import OURS
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.signed_data import (
    CheckedSignature,
    parse_signed_data,
    sign_detached,
    sign_opaque,
    verify_signer_info,
)
from smimegw.cms.verify import digest_of
from smimegw.errors import SignatureError, UnsupportedAlgorithmError
from tests.fakes.pki import NOW, Issued, make_ca
from tests.peers.bouncy_castle import BouncyCastle, RefusalError

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 100
NAMES = {"rsa": "SHA256withRSA", "p256": "SHA256withECDSA", "ed25519": "Ed25519"}
FORMS = {
    "detached": (),
    "opaque": ("opaque",),
    "DER": ("opaque", "der"),
    "streamed": ("opaque", "stream"),
    "streamed, detached": ("stream",),
    "no attributes": ("opaque", "plain"),
    "key identifier": ("keyid",),
    "hints": ("hints",),
}


@cache
def _person(key: str, name: str = "alice") -> Issued:
    return make_ca("Java CA").issue(f"{name}@ours.example", key=key, usage="sign")


def _credential(issued: Issued) -> SigningCredential:
    return SigningCredential(issued.certificate, issued.chain, SoftwareSigningKey(issued.key))


def _checked(octets: bytes, content: bytes | None, issued: Issued) -> CheckedSignature:
    signed_data = parse_signed_data(octets)
    (signer_info,) = signed_data.signer_infos
    checked = verify_signer_info(signed_data, signer_info, None if content is None else (content,))
    assert checked.certificate == issued.certificate
    return checked


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_every_form_of_bouncy_castle_verifies(
    peer: BouncyCastle, key: str, form: tuple[str, ...]
) -> None:
    """DER and BER, with and without content and attributes, by key identifier (RFC 5652, 5)."""
    alice = _person(key)
    octets = peer.signed(NAMES[key], CONTENT, alice, form=form)
    opaque = "opaque" in form
    assert parse_signed_data(octets).encapsulated == (CONTENT if opaque else None)
    checked = _checked(octets, None if opaque else CONTENT, alice)
    assert checked.has_signed_attributes is ("plain" not in form)


def test_its_streams_are_indefinite_and_chunked(peer: BouncyCastle) -> None:
    """The form that the test above calls streamed is BER (X.690, 8.1.3.6)."""
    octets = peer.signed(NAMES["rsa"], CONTENT, _person("rsa"), form=["opaque", "stream"])
    assert octets[:2] == b"\x30\x80"
    assert b"\x24\x80\x04\x82\x03\xe8" in octets[:100]


def test_capabilities_and_key_preference_of_bouncy_castle_are_read(peer: BouncyCastle) -> None:
    """RFC 8551, 2.5.2 and 2.5.3; content hints and an unknown attribute do not disturb."""
    alice = _person("rsa")
    checked = _checked(peer.signed(NAMES["rsa"], CONTENT, alice, form=["hints"]), CONTENT, alice)
    assert checked.capabilities is not None
    assert checked.capabilities.ciphers == (ContentCipher.AES_256_GCM, ContentCipher.AES_256_CBC)
    assert checked.encryption_key is not None
    assert checked.encryption_key.matches(alice.certificate)


def test_countersignature_does_not_become_a_signer(peer: BouncyCastle) -> None:
    """It is an unsigned attribute and says nothing about the content (RFC 5652, 11.4)."""
    alice, eve = _person("rsa"), _person("rsa", "eve")
    octets = peer.signed(NAMES["rsa"], CONTENT, alice, eve, form=["countersigned"])
    assert eve.certificate in parse_signed_data(octets).certificates
    _checked(octets, CONTENT, alice)
    plain = peer.signed(NAMES["rsa"], CONTENT, alice, eve, form=[])
    assert len(parse_signed_data(plain).signer_infos) == 2


def test_both_signers_of_one_message_verify(peer: BouncyCastle) -> None:
    """Each for itself; what two of them mean is decided above (RFC 5652, 5.1)."""
    people = (_person("rsa"), _person("rsa", "bob"))
    signed_data = parse_signed_data(peer.signed("SHA512withRSA", CONTENT, *people))
    found = {
        verify_signer_info(signed_data, info, (CONTENT,)).certificate
        for info in signed_data.signer_infos
    }
    assert found == {person.certificate for person in people}


@pytest.mark.parametrize(
    "name", ["SHA3-256withRSA", "SHA224withRSA", "RIPEMD160withRSA", "MD5withRSA"]
)
def test_signature_that_nobody_should_make_is_no_signature(peer: BouncyCastle, name: str) -> None:
    """Named as unsupported, not as broken (RFC 8551, 2.1 and 2.2)."""
    alice = _person("rsa")
    with pytest.raises(UnsupportedAlgorithmError):
        _checked(peer.signed(name, CONTENT, alice), CONTENT, alice)


def test_crl_in_the_message_is_kept(peer: BouncyCastle) -> None:
    """RFC 5652, 10.2.1."""
    crl = make_ca("Java CA").crl()
    octets = peer.signed(NAMES["rsa"], CONTENT, _person("rsa"), crls=[crl])
    assert parse_signed_data(octets).crls == (crl,)


@pytest.mark.parametrize("key", NAMES)
def test_change_after_bouncy_castle_signed_is_noticed(peer: BouncyCastle, key: str) -> None:
    """One changed octet in the content (RFC 5652, 5.6)."""
    octets = peer.signed(NAMES[key], CONTENT, _person(key))
    with pytest.raises(SignatureError) as caught:
        _checked(octets, CONTENT.replace(b"text", b"evil", 1), _person(key))
    assert caught.value.reason == "digest"


@pytest.mark.parametrize("key", [*NAMES, "brainpool512", "ed448"])
def test_bouncy_castle_verifies_our_detached_signatures(peer: BouncyCastle, key: str) -> None:
    """With all attributes that we write, and a path to the root; a change is noticed."""
    alice = _person(key)
    scheme = signature_scheme_for(alice.certificate)
    digest = digest_for(scheme, DigestAlgorithm.SHA512)
    octets = sign_detached(
        digest_of(digest, (CONTENT,)),
        digest_algorithm=digest,
        credential=_credential(alice),
        scheme=scheme,
        signing_time=NOW,
        capabilities=OURS,
        encryption_certificate=alice.certificate,
    )
    root = alice.chain[-1]
    assert peer.verified(octets, root=root, content=CONTENT) == CONTENT
    with pytest.raises(RefusalError, match="message-digest attribute value does not match"):
        peer.verified(octets, root=root, content=CONTENT + b"\r\n")


def test_bouncy_castle_refuses_ours_below_another_root(peer: BouncyCastle) -> None:
    """So that "verified" above includes the path."""
    alice = _person("rsa")
    octets = sign_opaque(
        CONTENT,
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=_credential(alice),
        scheme=SignatureScheme.RSA_PKCS1V15,
        signing_time=NOW,
        capabilities=OURS,
    ).whole()
    with pytest.raises(RefusalError, match="CertPathBuilderException"):
        peer.verified(octets, root=make_ca("Another CA").certificate)
