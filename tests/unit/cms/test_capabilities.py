"""What software says that it can read, under a signature or in a certificate."""

from __future__ import annotations

import pytest
from cryptography import x509

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.capabilities import (
    OURS,
    Capabilities,
    Capability,
    certificate_capabilities,
    read_capabilities,
)
from smimegw.cms.content_ciphers import LegacyCipher
from smimegw.errors import CMSError
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import make_ca

_OID = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
CA = make_ca("Capabilities CA")


def _certificate(value: bytes) -> Certificate:
    extension = x509.UnrecognizedExtension(_OID, value)
    return CA.issue("bob@partner.example", extensions=[(extension, False)]).certificate


def _read(octets: bytes) -> Capabilities:
    return read_capabilities(asn1.read_document(octets))


def test_what_is_written_is_read() -> None:
    """Order and parameters stay (RFC 8551, 2.5.2)."""
    assert _read(OURS.write()) == OURS


def test_ours_are_everything_that_is_opened() -> None:
    """Every cipher that is not weak, and OAEP and the key agreements with SHA-2."""
    assert set(OURS.ciphers) == set(ContentCipher)
    assert OURS.oaep is KeyEncryption.RSA_OAEP_SHA256
    assert set(OURS.agreements) == {
        form
        for form in KeyEncryption
        if form.is_agreement and form is not KeyEncryption.ECDH_SHA1KDF
    }


def test_ciphers_without_authentication_come_after_those_with() -> None:
    """Preferred first (RFC 8551, 2.5.2; T-04)."""
    authenticated = [cipher.authenticated for cipher in OURS.ciphers]
    assert authenticated == sorted(authenticated, reverse=True)


def test_old_ciphers_are_not_announced() -> None:
    """What is read only where a rule allows it must not be asked for."""
    announced = {item.oid for item in OURS.algorithms}
    assert announced.isdisjoint(cipher.oid for cipher in LegacyCipher)


def test_capabilities_of_the_rfc_are_written_as_it_shows_them() -> None:
    """AES-128-CBC: 30 0B 06 09 60 86 48 01 65 03 04 01 02 (RFC 3565, 4.2)."""
    written = Capabilities.of([ContentCipher.AES_128_CBC]).write()
    assert written.hex() == "300d" + "300b0609608648016503040102"


def test_oaep_of_the_rfc_is_read() -> None:
    """RSAES-OAEP with SHA-256 twice, as RFC 4055, 6 writes it, label included."""
    sha256 = bytes.fromhex("300d06096086480165030402010500")
    mgf1 = der.sequence(der.oid("1.2.840.113549.1.1.8"), sha256)
    label = der.sequence(der.oid("1.2.840.113549.1.1.9"), der.octet_string(b""))
    parameters = der.sequence(
        der.explicit(0, sha256), der.explicit(1, mgf1), der.explicit(2, label)
    )
    known = Capabilities((Capability("1.2.840.113549.1.1.7", parameters),))
    assert known.oaep is KeyEncryption.RSA_OAEP_SHA256


@pytest.mark.parametrize("parameters", ["", "3000", "0500", "3003020101"])
def test_oaep_in_another_form_proves_nothing(parameters: str) -> None:
    """The default is SHA-1 (RFC 3560, 5); what cannot be read is no promise."""
    known = Capabilities((Capability("1.2.840.113549.1.1.7", bytes.fromhex(parameters)),))
    assert not known.reads_oaep


def test_oaep_with_two_hashes_proves_nothing() -> None:
    """We write one hash for both."""
    sha256 = bytes.fromhex("300d06096086480165030402010500")
    known = Capabilities(
        (Capability("1.2.840.113549.1.1.7", der.sequence(der.explicit(0, sha256))),)
    )
    assert known.oaep is None


def test_certificate_says_what_its_owner_reads() -> None:
    """The extension holds the same list (RFC 4262, 2)."""
    assert certificate_capabilities(_certificate(OURS.write())) == OURS


def test_certificate_without_the_extension_says_nothing() -> None:
    """The usual case."""
    assert certificate_capabilities(CA.issue("bob@partner.example").certificate) is None


@pytest.mark.parametrize("value", ["", "0500", "30030201", "3003020101", "3004300206"])
def test_sloppy_extension_says_nothing(value: str) -> None:
    """It is a hint; the certificate stays good."""
    assert certificate_capabilities(_certificate(bytes.fromhex(value))) is None


def test_absurd_number_of_capabilities_is_not_read() -> None:
    """Real lists have about ten (T-09)."""
    many = Capabilities.of([ContentCipher.AES_128_CBC] * 101)
    assert certificate_capabilities(_certificate(many.write())) is None


def test_capability_of_another_shape_is_malformed() -> None:
    """SMIMECapability is a SEQUENCE (RFC 8551, 2.5.2)."""
    with pytest.raises(CMSError):
        _read(der.sequence(der.octet_string(b"x")))
