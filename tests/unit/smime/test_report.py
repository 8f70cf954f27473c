"""What is said of each layer afterwards."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    MessageError,
    MIMEError,
    NoMatchingKeyError,
    VerificationError,
)
from smimegw.smime.decrypt import decrypt
from smimegw.smime.media_types import EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.report import (
    LayerKind,
    report_closed,
    report_opened,
    report_unreadable,
    report_unverified,
    report_verified,
)
from smimegw.smime.verify import verify
from tests.fakes.pki import NOW
from tests.fakes.smime import ALICE, EVE, EVIDENCE, TEXT, address, clear_signed, encrypted, reader


def _signed() -> SignedLayer:
    layer = layer_of(clear_signed())
    assert isinstance(layer, SignedLayer)
    return layer


def _encrypted(cipher: ContentCipher) -> EncryptedLayer:
    layer = layer_of(encrypted(TEXT, [ALICE], cipher))
    assert isinstance(layer, EncryptedLayer)
    return layer


def test_pass_names_the_matching_address_and_the_certificate() -> None:
    """Serial number and issuer always together (RFC 7281)."""
    verified = verify(_signed(), EVIDENCE, originator=address(ALICE), sender=None, now=NOW)
    report = report_verified(1, verified)
    assert (report.layer, report.kind, report.result) == (1, LayerKind.SIGNATURE, "pass")
    assert report.signer == "alice@ours.example"
    assert report.fingerprint == ALICE.certificate.fingerprint
    assert report.algorithm == "rsa-pkcs1v15-sha256"
    assert int(report.serial, 16) == ALICE.certificate.serial_number
    assert report.issuer == "CN=S/MIME Issuing,O=Test"


def test_failure_keeps_result_reason_and_signer() -> None:
    """The word comes from the error, the signer as far as known."""
    with pytest.raises(VerificationError) as caught:
        verify(_signed(), EVIDENCE, originator=address(EVE), sender=None, now=NOW)
    report = report_unverified(0, caught.value)
    assert (report.result, report.reason) == ("fail", "from-mismatch")
    assert report.signer == "alice@ours.example"


@pytest.mark.parametrize(
    ("cipher", "integrity"),
    [(ContentCipher.AES_128_CBC, "none"), (ContentCipher.AES_256_GCM, "authenticated")],
)
def test_opened_layer_tells_its_integrity(cipher: ContentCipher, integrity: str) -> None:
    """CBC is readable to its recipient only, and changeable by everybody."""
    report = report_opened(0, decrypt(_encrypted(cipher), [reader(ALICE)]))
    assert (report.result, report.cipher, report.integrity) == (
        "decrypted",
        cipher.label,
        integrity,
    )
    assert report.fingerprint == ALICE.certificate.fingerprint


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "no-key"),
        (NoMatchingKeyError("x"), "no-key"),
        (LimitError("recipient_infos"), "limits"),
        (DecryptionError(), "failed"),
        (CMSError("x"), "failed"),
        (MIMEError("x"), "failed"),
    ],
)
def test_closed_layer(error: MessageError | None, reason: str) -> None:
    """One word for all inner causes (R-47, R-48, R-50)."""
    report = report_closed(0, _encrypted(ContentCipher.AES_256_CBC), error)
    assert (report.result, report.reason, report.detail) == ("not-decrypted", reason, "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MIMEError("x"), "mime"), (CMSError("x"), "cms"), (LimitError("mime_parts"), "limits")],
)
def test_unreadable_layer(error: MessageError, reason: str) -> None:
    """R-50, R-51."""
    report = report_unreadable(0, error)
    assert (report.kind, report.result, report.reason) == (LayerKind.UNKNOWN, "permerror", reason)
