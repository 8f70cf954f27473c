"""OCSP responses that a message brings along."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from smimegw.cms import der
from smimegw.errors import VerificationError
from smimegw.mime.entity import Entity
from smimegw.smime.media_types import SignedLayer, layer_of
from smimegw.smime.verify import verify
from tests.fakes.pki import CA, DAY, NOW
from tests.fakes.smime import (
    ALICE,
    EVIDENCE,
    ISSUING,
    ROOT,
    TEXT,
    address,
    assembled,
    clear_signed,
    multipart_signed,
    signature_of,
)

HOUR = timedelta(hours=1)
RI_OCSP_RESPONSE = "1.3.6.1.5.5.7.16.2"
WITHOUT_LIST = replace(EVIDENCE, crls=(ROOT.crl(),))  # nothing about Alice


def response(
    made_at: datetime = NOW - HOUR,
    *,
    good: bool = True,
    by: CA = ISSUING,
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().responder_id(
        ocsp.OCSPResponderEncoding.HASH, by.certificate.parsed
    )
    builder = builder.add_response(
        cert=ALICE.certificate.parsed,
        issuer=ISSUING.certificate.parsed,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD if good else ocsp.OCSPCertStatus.REVOKED,
        this_update=made_at,
        next_update=made_at + 7 * DAY,
        revocation_time=None if good else made_at,
        revocation_reason=None,
    )
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def stapled(*responses: bytes, kind: str = RI_OCSP_RESPONSE) -> Entity:
    """Alice's clear-signed mail with *responses* in its SignedData."""
    entity = clear_signed(TEXT)
    choices = [der.value(0xA1, der.oid(kind), octets) for octets in responses]
    signature = assembled(signature_of(entity), revocation=choices)
    return multipart_signed(TEXT.raw, signature)


def result(entity: Entity) -> str:
    layer = layer_of(entity)
    assert isinstance(layer, SignedLayer)
    try:
        verify(layer, WITHOUT_LIST, originator=address(ALICE), sender=None, now=NOW)
    except VerificationError as exc:
        return exc.result
    return "pass"


def test_fresh_response_proves_good() -> None:
    """Nobody outside has to be asked (RFC 5940)."""
    assert result(stapled()) == "temperror"
    assert result(stapled(response())) == "pass"


def test_old_response_proves_nothing() -> None:
    """A thief of the key would bring one from before it was revoked (T-13)."""
    assert result(stapled(response(NOW - 24 * HOUR))) == "pass"
    assert result(stapled(response(NOW - 24 * HOUR - timedelta(seconds=1)))) == "temperror"


def test_response_of_somebody_else_proves_nothing() -> None:
    """Only the issuer, or whom it appointed, may answer (RFC 6960, 4.2.2.2)."""
    assert result(stapled(response(by=ROOT))) == "temperror"


def test_carried_response_that_says_revoked_counts() -> None:
    """Whoever says it of himself is believed (R-45)."""
    assert result(stapled(response(good=False))) == "fail"


def test_newer_answer_from_elsewhere_wins() -> None:
    """One "revoked" is enough."""
    layer = layer_of(stapled(response()))
    assert isinstance(layer, SignedLayer)
    evidence = replace(WITHOUT_LIST, crls=(ROOT.crl(), ISSUING.crl([ALICE])))
    with pytest.raises(VerificationError) as caught:
        verify(layer, evidence, originator=address(ALICE), sender=None, now=NOW)
    assert caught.value.reason == "revoked"


def test_other_revocation_information_is_ignored() -> None:
    """RFC 5652, 10.2.1: other formats may come."""
    assert result(stapled(response(), kind="1.2.3.4")) == "temperror"


@pytest.mark.parametrize("octets", [b"\x30\x00", b"\x30\x03\x0a\x01\x03"])
def test_nonsense_in_the_place_of_a_response_does_no_harm(octets: bytes) -> None:
    """Empty, or an error of the responder."""
    assert result(stapled(octets)) == "temperror"
