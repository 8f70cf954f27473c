"""Capabilities in userSMIMECertificate: the owner's word counts, nobody else's."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import DigestAlgorithm, signature_scheme_for
from smimegw.cms.capabilities import OURS
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.signed_data import certificates_only, sign_detached, sign_opaque
from smimegw.cms.verify import digest_of
from smimegw.cms.vouched import vouched_capabilities
from smimegw.errors import CMSError
from tests.fakes.pki import NOW, Issued, make_ca
from tests.fakes.smime import assembled
from tests.unit.cms.people import detached, person

CA = make_ca("Vouching CA")
BOB = CA.issue("bob@partner.example", usage="sign")
ENCRYPTING = CA.issue("bob@partner.example", usage="encrypt")
EVE = CA.issue("eve@evil.example")


def _value(signer: Issued, *also: Issued, content: bytes = b"") -> bytes:
    """As mail programs publish it: signed nothing, signing and encryption certificate."""
    chain = tuple(other.certificate for other in also)
    return sign_detached(
        digest_of(DigestAlgorithm.SHA256, (content,)),
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=SigningCredential(signer.certificate, chain, SoftwareSigningKey(signer.key)),
        scheme=signature_scheme_for(signer.certificate),
        signing_time=NOW,
        capabilities=OURS,
    )


def test_owner_s_word_is_taken() -> None:
    """The signature is over nothing, the capabilities are signed (RFC 2798, 2.8)."""
    found = vouched_capabilities(_value(BOB, ENCRYPTING))
    assert found is not None
    assert (found.signer, found.capabilities) == (BOB.certificate, OURS)
    assert found.covers(ENCRYPTING.certificate)


def test_word_of_somebody_else_is_not_taken() -> None:
    """Whoever may write to the directory could add Bob's certificate to his own word (T-11)."""
    found = vouched_capabilities(_value(EVE, ENCRYPTING))
    assert found is not None
    assert not found.covers(ENCRYPTING.certificate)


def test_changed_word_is_not_taken() -> None:
    """The signature must hold."""
    value = _value(BOB)
    mark = OURS.algorithms[0].write()
    assert mark in value
    assert vouched_capabilities(value.replace(mark, mark[:-1] + b"\x7f")) is None


def test_word_of_two_is_not_taken() -> None:
    """Whose would it be?"""
    assert vouched_capabilities(assembled(_value(BOB), _value(EVE))) is None


def test_certificates_only_say_nothing() -> None:
    """As most directories have it."""
    assert vouched_capabilities(certificates_only((BOB.certificate,))) is None


def test_signature_over_something_counts_as_well() -> None:
    """Consumers ignore what is signed (RFC 2798, 2.8), when it is there."""
    value = sign_opaque(
        b"anything",
        digest_algorithm=DigestAlgorithm.SHA256,
        credential=SigningCredential(BOB.certificate, (), SoftwareSigningKey(BOB.key)),
        scheme=signature_scheme_for(BOB.certificate),
        signing_time=NOW,
        capabilities=OURS,
    )
    assert vouched_capabilities(value) is not None
    assert vouched_capabilities(_value(BOB, content=b"kept elsewhere")) is None


def test_word_without_capabilities_says_nothing() -> None:
    """The attribute is optional."""
    assert vouched_capabilities(detached(person(), b"", capabilities=None)) is None


def test_what_is_no_signed_data_is_an_error() -> None:
    """The adapter counts it."""
    with pytest.raises(CMSError):
        vouched_capabilities(b"\x30\x00")
