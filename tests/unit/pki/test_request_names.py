"""Names in requests that no library likes, and RSA keys that anybody can break."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pki import weak_keys
from pki.errors import RequestError
from pki.request import parse_request
from pki.serve.office import mailbox_of
from smimegw.addresses import Mailbox
from smimegw.cms import asn1, der

_KEY = ec.generate_private_key(ec.SECP256R1())
_SUBJECT_ALT_NAME = "2.5.29.17"
_BITS = 2048


def _text(octets: bytes) -> bytes:
    return der.value(0x0C, octets)  # UTF8String


def _subject(value: bytes) -> bytes:
    return der.sequence(der.value(asn1.SET, der.sequence(der.oid("2.5.4.3"), value)))


def _names(*general_names: bytes) -> bytes:
    value = der.octet_string(der.sequence(*general_names))
    return der.sequence(der.oid(_SUBJECT_ALT_NAME), value)


def _smtputf8(address: str) -> bytes:
    inner = der.value(0xA0, _text(address.encode()))
    return der.value(0xA0, der.oid("1.3.6.1.5.5.7.8.9") + inner)


_ALICE = _subject(_text(b"alice@corp.example"))
_RFC822 = der.value(0x81, b"alice@corp.example")


def _request(subject: bytes = _ALICE, *extensions: bytes, version: int = 0) -> bytes:
    public = _KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    wishes = der.value(asn1.SET, der.sequence(*extensions))
    attribute = der.sequence(der.oid("1.2.840.113549.1.9.14"), wishes)
    attributes = der.value(0xA0, attribute if extensions else b"")
    signed = der.sequence(der.integer(version), subject, public, attributes)
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    signature = der.bit_string(_KEY.sign(signed, ec.ECDSA(hashes.SHA256())))
    return der.sequence(signed, algorithm, signature)


@pytest.mark.parametrize(
    "octets",
    [
        _request(_ALICE, _names(_RFC822), _names(_RFC822)),
        _request(_ALICE, _names(der.value(0xA3))),
        _request(_ALICE, _names(der.value(0x87, b"\1\2\3"))),
        _request(_ALICE, der.sequence(der.oid(_SUBJECT_ALT_NAME), der.octet_string(b"garbage"))),
        _request(_subject(_text(b"\xff\xfe@"))),
        _request(_subject(der.bit_string(b"a@b"))),
        _request(der.sequence(der.value(asn1.SET))),
    ],
    ids=["twice", "x400", "address", "garbage", "no-utf-8", "bit-string", "empty-rdn"],
)
def test_names_that_cannot_be_read_are_remarked_and_enrol_nobody(octets: bytes) -> None:
    """The key is good, so an administrator may go on; a machine may not (RFC 2986; M22)."""
    request = parse_request(octets)
    assert any("unreadable" in remark for remark in request.remarks(Mailbox.parse("a@b.example")))
    with pytest.raises(RequestError, match="unreadable"):
        mailbox_of(request)


def test_an_unknown_version_is_no_request() -> None:
    """There is version 0 only (RFC 2986, 4.1)."""
    with pytest.raises(RequestError, match="PKCS #10"):
        parse_request(_request(version=5))


def test_a_long_internationalized_address_is_read() -> None:
    """From 128 octets on the string's length takes two (RFC 9598, 3; X.690, 8.1.3.5)."""
    address = "ä" * 30 + "@" + "a" * 60 + ".corp.example"
    octets = _request(der.sequence(), _names(_smtputf8(address)))
    assert mailbox_of(parse_request(octets)) == Mailbox.parse(address)


def _rsa(modulus: int) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


def _next_prime(number: int) -> int:
    number |= 1
    while (
        any(number % small == 0 for small in range(3, 2000, 2)) or pow(2, number - 1, number) != 1
    ):
        number += 2
    return number


def _roca_prime(seed: int) -> int:
    """k * M + 65537**a mod M, as that library made them; M is the product of small primes."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))
    power = pow(65537, seed, product)
    first = ((1 << (_BITS // 2)) - 1) // product - 10_000 * seed
    return next(
        candidate
        for candidate in (number * product + power for number in range(first, 0, -1))
        if pow(2, candidate - 1, candidate) == 1
    )


def test_a_modulus_with_a_small_factor_is_refused() -> None:
    """S/MIME BR, 6.1.6."""
    with pytest.raises(RequestError, match="small factor"):
        weak_keys.refuse(_rsa(751 * ((1 << (_BITS - 10)) + 1)))


def test_a_modulus_of_close_primes_is_refused() -> None:
    """Fermat finds them at once (S/MIME BR, 6.1.1.3; CVE-2022-26320)."""
    first = _next_prime(3 << (_BITS // 2 - 2))
    with pytest.raises(RequestError, match="close to each other"):
        weak_keys.refuse(_rsa(first * _next_prime(first + 2)))


def test_a_modulus_of_infineons_library_is_refused() -> None:
    """The card made it, and the card's maker lost it (CVE-2017-15361)."""
    with pytest.raises(RequestError, match="ROCA"):
        weak_keys.refuse(_rsa(_roca_prime(1) * _roca_prime(2)))


def test_a_weak_key_is_refused_with_its_request() -> None:
    """A proof of possession does not help (S/MIME BR, 6.1.1.3)."""
    p = _next_prime(3 << (_BITS // 2 - 2))
    q = _next_prime(p + 2)
    private = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, private, private % (p - 1), private % (q - 1), pow(q, -1, p),
        rsa.RSAPublicNumbers(65537, p * q),
    )  # fmt: skip
    key = numbers.private_key()
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = der.sequence(der.integer(0), _ALICE, public, der.value(0xA0))
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)
    with pytest.raises(RequestError, match="close to each other"):
        parse_request(der.sequence(signed, algorithm, der.bit_string(signature)))
