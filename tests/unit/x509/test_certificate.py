"""Reading one certificate."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import (
    EMAIL_PROTECTION,
    Issued,
    make_ca,
    raw_rfc822,
    smtp_utf8,
)

CA = make_ca("Certificate CA")


def issue(*names: x509.GeneralName) -> Issued:
    return CA.issue(san=names, key="p256", slot="certificate")


def refusal(octets: bytes) -> str:
    with pytest.raises(CertificateError) as caught:
        Certificate.parse(octets)
    return caught.value.reason


def test_mailboxes_are_the_alternative_names() -> None:
    """rfc822Name (RFC 5280, 4.2.1.6) and SmtpUTF8Mailbox (RFC 9598), each once, in order."""
    certificate = issue(
        raw_rfc822("Alice@ours.example"),
        smtp_utf8("jürg@bücher.example"),
        x509.DNSName("ours.example"),
        raw_rfc822("Alice@ours.example"),
    ).certificate
    assert certificate.mailboxes == (
        Mailbox("Alice", "ours.example"),
        Mailbox("jürg", "xn--bcher-kva.example"),
    )


def subject_with_email(address: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, address, _validate=False)])


def test_subject_address_counts_without_alternative_names() -> None:
    """Old certificates have nothing else (RFC 8550, 3)."""
    issued = CA.issue(san=(), subject=subject_with_email("old@ours.example"), key="p256", slot="s")
    assert issued.certificate.mailboxes == (Mailbox("old", "ours.example"),)


def test_subject_address_never_counts_beside_alternative_names() -> None:
    """Even a subjectAltName without any address silences the subject."""
    issued = CA.issue(
        san=[x509.DNSName("ours.example")],
        subject=subject_with_email("boss@ours.example"),
        key="p256",
        slot="s",
    )
    assert issued.certificate.mailboxes == ()


def test_subject_address_with_nul_voids_the_certificate() -> None:
    """The rule of rfc822Name holds there too (cases F28)."""
    with pytest.raises(CertificateError) as caught:
        CA.issue(san=(), subject=subject_with_email("a\0@ours.example"), key="p256", slot="s")
    assert caught.value.reason == "void"


def test_ascii_address_in_smtp_utf8_mailbox_is_ignored() -> None:
    """RFC 9598, 3: it would slip through rfc822Name constraints."""
    assert issue(smtp_utf8("boss@ours.example")).certificate.mailboxes == ()


def test_name_that_is_no_mailbox_names_nobody() -> None:
    """Some CAs write a bare domain into an rfc822Name."""
    assert issue(raw_rfc822("ours.example")).certificate.mailboxes == ()


@pytest.mark.parametrize(
    "value",
    [
        b"\x05\x00",
        b"\x0c\x00",
        b"\x16\x0bj@x.example",
        b"\x0c\x0d\xc3\xbc\x00@x.example",
        b"\x0c\x0b\xff@x.example",
        b"\x0c\x0b\xc3\xbcx.example",
        b"\x0c\x82\x01\x00" + b"\xc3\xbc" * 122 + b"@longer.test",
    ],
)
def test_broken_smtp_utf8_mailbox_voids_the_certificate(value: bytes) -> None:
    """It must be one UTF8String with one address (RFC 9598, 3)."""
    with pytest.raises(CertificateError) as caught:
        issue(x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), value))
    assert caught.value.reason == "void"


@pytest.mark.parametrize(
    "address",
    [
        "jürgen @ours.example",
        " jürgen@ours.example",
        "jürgen@ours.example ",
        '"jür gen"@ours.example',
        "jür\tgen@ours.example",
        "jürgen@ours.example\r\n",
        "jür\x85gen@ours.example",
        "jürgen@ours.example\0.evil.example",
        "jür\u3000gen@ours.example",
        "jür\u200bgen@ours.example",
        "jür\u202egen@ours.example",
        "\u212aarl@ours.example",
    ],
    ids=ascii,
)
def test_white_space_and_controls_void_an_international_address_too(address: str) -> None:
    """As in an rfc822Name; what is not seen or looks like ASCII deceives (cases F28)."""
    with pytest.raises(CertificateError) as caught:
        issue(smtp_utf8(address), raw_rfc822("alice@ours.example"))
    assert caught.value.reason == "void"


@pytest.mark.parametrize(
    "name",
    [
        "alice@ours.example,eve@evil.example",
        "<alice@ours.example>",
        "mailto:alice@ours.example",
        "Alice <alice@ours.example>",
        "alice@ours.example@evil.example",
        "@evil.example:alice@ours.example",
        "alice@ours_example",
        "alice@",
        "",
    ],
)
def test_name_with_more_than_an_address_is_nobodys(name: str) -> None:
    """Nothing is cut out of it; the other names of the certificate keep their meaning."""
    if " " in name:
        with pytest.raises(CertificateError, match="void"):
            issue(raw_rfc822(name), raw_rfc822("bob@ours.example"))
        return
    certificate = issue(raw_rfc822(name), raw_rfc822("bob@ours.example")).certificate
    assert [mailbox.address for mailbox in certificate.mailboxes] == ["bob@ours.example"]


def test_number_of_names_is_limited() -> None:
    """256 alternative names, and not one more (cases I24)."""
    names = [raw_rfc822(f"a{number}@ours.example") for number in range(256)]
    assert len(issue(*names).certificate.mailboxes) == 256
    with pytest.raises(CertificateError) as caught:
        issue(*names, raw_rfc822("one@too.many"))
    assert caught.value.reason == "limits"


def test_name_limit_is_an_argument() -> None:
    """`Limits.subject_alt_names` is what counts."""
    der = issue(raw_rfc822("a@ours.example"), raw_rfc822("b@ours.example")).certificate.der
    with pytest.raises(CertificateError):
        Certificate.parse(der, limits=dataclasses.replace(DEFAULT_LIMITS, subject_alt_names=1))


def test_trailing_octets_are_refused() -> None:
    """One certificate and nothing behind it: a second reader might find another."""
    assert refusal(CA.certificate.der + b"\0") == "malformed"


def test_every_truncation_is_malformed() -> None:
    """No prefix of a certificate is one."""
    der = issue(raw_rfc822("a@ours.example")).certificate.der
    assert {refusal(der[:length]) for length in range(len(der))} == {"malformed"}


def test_long_form_length_is_refused() -> None:
    """DER has one encoding only (X.690, 10.1)."""
    der = CA.certificate.der
    assert der[:2] == b"\x30\x82"
    assert refusal(b"\x30\x83\x00" + der[2:]) == "malformed"


def test_pem_is_not_der() -> None:
    """Who has PEM takes it apart first."""
    assert refusal(issue(raw_rfc822("a@ours.example")).pem) == "malformed"


def test_doubled_extension_is_malformed() -> None:
    """RFC 5280, 4.2: no more than one instance, or two readers choose differently."""
    first, second = (
        x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.4.{arc}"), b"AA") for arc in (5, 6)
    )
    issued = CA.issue(key="p256", slot="s", extensions=[(first, False), (second, False)])
    der = issued.certificate.der
    assert der.count(b"\x2a\x03\x04\x06") == 1
    assert refusal(der.replace(b"\x2a\x03\x04\x06", b"\x2a\x03\x04\x05")) == "malformed"


def test_certificates_are_equal_by_their_octets() -> None:
    """A certificate read twice is one key in a set."""
    assert len({CA.certificate, Certificate.parse(CA.certificate.der)}) == 1


def test_subject_text_is_one_bounded_printable_line() -> None:
    """Subjects come from strangers and end in logs and reports."""
    issued = CA.issue(common_name="a\r\nb\u202e", key="p256", slot="s")
    text = issued.certificate.subject_text
    assert text.isprintable()
    assert "\\0D\\0A" in text
    long = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "z" * 60)] * 9)
    assert len(CA.issue(subject=long, key="p256", slot="s").certificate.subject_text) == 200


def test_extensions_are_read() -> None:
    """What path building and lint ask for."""
    certificate = CA.issue(key="p256", usage="sign", slot="s").certificate
    assert certificate.key_usage is not None
    assert certificate.key_usage.digital_signature
    assert certificate.extended_key_usage == {EMAIL_PROTECTION}
    assert not certificate.is_ca
    assert CA.certificate.is_ca
    assert CA.certificate.is_self_issued
    assert certificate.authority_key_identifier == CA.certificate.subject_key_identifier
    assert certificate.public_key == CA.issue(key="p256", slot="s").certificate.public_key


def test_missing_extensions_are_none() -> None:
    """Absent is not the same as empty (RFC 5280, 4.2.1.3 and 4.2.1.12)."""
    issued = CA.issue(usage=None, eku=None, subject_key_identifier=False, key="p256", slot="s")
    assert issued.certificate.key_usage is None
    assert issued.certificate.extended_key_usage is None
    assert issued.certificate.subject_key_identifier is None
