"""Judges what opening a PKCS #12 or encrypted PKCS #8 file would cost, before it is opened.

The file says how often a password is hashed; 10,000,000 rounds stop a program for minutes, and
the crypto library has no bound (cases H12).  Only algorithm identifiers that stand in clear are
read here (RFC 7292, 4; RFC 8018, A); nothing is decrypted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from smimegw.cms import asn1
from smimegw.cms.asn1 import Element, Reader, read_document
from smimegw.errors import CMSError, LimitError, UsageError
from smimegw.limits import Limits

_DATA = "1.2.840.113549.1.7.1"
_ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
_KEY_BAG = "1.2.840.113549.1.12.10.1.1"
_SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2"
_SAFE_CONTENTS_BAG = "1.2.840.113549.1.12.10.1.6"
_PBES2 = "1.2.840.113549.1.5.13"
_PBMAC1 = "1.2.840.113549.1.5.14"
_PBKDF2 = "1.2.840.113549.1.5.12"
_PBE_SHA1_3DES = "1.2.840.113549.1.12.1.3"
_WEAK = {
    "1.2.840.113549.1.12.1.1": "RC4-128",
    "1.2.840.113549.1.12.1.2": "RC4-40",
    "1.2.840.113549.1.12.1.4": "two-key 3DES",
    "1.2.840.113549.1.12.1.5": "RC2-128",
    "1.2.840.113549.1.12.1.6": "RC2-40",
    "1.2.840.113549.1.5.3": "DES",
    "1.2.840.113549.1.5.10": "DES",
}
_WRITE_ANEW = (
    "write it anew: openssl pkcs12 -legacy -in OLD.p12 -out key.pem, then"
    " openssl pkcs12 -export -in key.pem -out NEW.p12"
)


def check_pkcs12(octets: bytes, limits: Limits) -> None:
    """Refuse a PKCS #12 file that is too large, too slow or too weakly encrypted to open.

    One with several keys, too: the crypto library would give the first and say nothing.

    Raises:
        UsageError: With the reason and what to do.
    """
    if len(octets) > limits.key_file_octets:
        raise UsageError(f"a key file of more than {limits.key_file_octets} octets is none")
    try:
        costs = list(_pkcs12_costs(read_document(octets, limits), limits))
    except (CMSError, LimitError):
        raise UsageError("the file is neither PKCS #12 nor PEM, or it is damaged") from None
    _check_rounds(sum(rounds for rounds, _ in costs), limits)
    keys = sum(keys for _, keys in costs)
    if keys > 1:
        raise UsageError(
            f"the PKCS #12 file holds {keys} private keys where one is expected; give each key"
            " with its certificate in a file of its own (openssl pkcs12 -in FILE -nodes shows them)"
        )


def check_encrypted_private_key(pem: bytes, limits: Limits) -> None:
    """Refuse an ENCRYPTED PRIVATE KEY that is too slow or too weakly encrypted to open.

    Raises:
        UsageError: With the reason and what to do.
    """
    try:
        octets = base64.b64decode(b"".join(pem.split(b"-----")[2].split()), validate=True)
        rounds = _encryption_rounds(read_document(octets, limits).children().read())
    except (CMSError, LimitError, binascii.Error, IndexError):
        raise UsageError("the encrypted private key is damaged") from None
    _check_rounds(rounds, limits)


def _check_rounds(rounds: int, limits: Limits) -> None:
    if rounds > limits.pbkdf2_rounds:
        raise UsageError(
            f"the key file wants {rounds:,} rounds of password hashing, more than"
            f" {limits.pbkdf2_rounds:,}; write it anew with fewer (openssl pkcs12 -export -iter)"
        )


def _pkcs12_costs(pfx: Element, limits: Limits) -> Iterator[tuple[int, int]]:
    """Rounds of password hashing and private keys, part by part."""
    fields = pfx.children()
    fields.read(asn1.INTEGER)
    kind, content = _content_info(fields)
    if kind != _DATA:
        raise UsageError("the PKCS #12 file is signed or public-key protected; export it anew")
    mac_data = fields.optional(asn1.SEQUENCE)
    fields.finish()
    if mac_data is not None:
        yield _mac_rounds(mac_data), 0
    safes = read_document(_octets_in(content), limits).children()
    while not safes.at_end:
        kind, content = _content_info(safes)
        if kind == _DATA:
            yield from _bag_costs(read_document(_octets_in(content), limits).children())
        elif kind == _ENCRYPTED_DATA:
            yield _encrypted_data_rounds(content), 0
        else:
            raise UsageError("the PKCS #12 file holds a part of unknown kind; export it anew")


def _content_info(reader: Reader) -> tuple[str, Element]:
    fields = reader.read(asn1.SEQUENCE).children()
    kind = fields.read(asn1.OBJECT_IDENTIFIER).oid()
    content = fields.read(0xA0).children()
    return kind, content.read()


def _octets_in(element: Element) -> bytes:
    if element.tag not in (asn1.OCTET_STRING, asn1.OCTET_STRING | asn1.CONSTRUCTED):
        raise CMSError("no OCTET STRING")
    return element.octets()


def _mac_rounds(mac_data: Element) -> int:
    fields = mac_data.children()
    algorithm = fields.read(asn1.SEQUENCE).children().read(asn1.SEQUENCE).children()
    fields.read(asn1.OCTET_STRING)  # salt
    iterations = fields.optional(asn1.INTEGER)
    if algorithm.read(asn1.OBJECT_IDENTIFIER).oid() == _PBMAC1:  # RFC 9579, 4
        return _derivation_rounds(algorithm.read(asn1.SEQUENCE).children())
    return 1 if iterations is None else _rounds(iterations)


def _encrypted_data_rounds(content: Element) -> int:
    fields = content.children()
    fields.read(asn1.INTEGER)
    information = fields.read(asn1.SEQUENCE).children()
    information.read(asn1.OBJECT_IDENTIFIER)
    return _encryption_rounds(information.read(asn1.SEQUENCE))


def _bag_costs(bags: Reader) -> Iterator[tuple[int, int]]:
    while not bags.at_end:
        bag = bags.read(asn1.SEQUENCE).children()
        kind = bag.read(asn1.OBJECT_IDENTIFIER).oid()
        if kind == _SHROUDED_KEY_BAG:
            yield _encryption_rounds(bag.read(0xA0).children().read().children().read()), 1
        elif kind == _KEY_BAG:
            yield 0, 1
        elif kind == _SAFE_CONTENTS_BAG:
            raise UsageError("the PKCS #12 file nests bags in bags; export it anew")


def _encryption_rounds(algorithm: Element) -> int:
    fields = algorithm.children()
    scheme = fields.read(asn1.OBJECT_IDENTIFIER).oid()
    if scheme in _WEAK:
        raise UsageError(f"the key file is protected by {_WEAK[scheme]} only; {_WRITE_ANEW}")
    parameters = fields.read(asn1.SEQUENCE).children()
    if scheme == _PBES2:
        return _derivation_rounds(parameters)
    if scheme != _PBE_SHA1_3DES:
        raise UsageError(f"the key file is encrypted in an unknown way ({scheme}); {_WRITE_ANEW}")
    parameters.read(asn1.OCTET_STRING)  # salt
    return _rounds(parameters.read(asn1.INTEGER))


def _derivation_rounds(parameters: Reader) -> int:
    derivation = parameters.read(asn1.SEQUENCE).children()
    function = derivation.read(asn1.OBJECT_IDENTIFIER).oid()
    if function != _PBKDF2:
        raise UsageError(f"the key file's key derivation ({function}) is not supported; use PBKDF2")
    values = derivation.read(asn1.SEQUENCE).children()
    values.read(asn1.OCTET_STRING)  # salt
    return _rounds(values.read(asn1.INTEGER))


def _rounds(element: Element) -> int:
    rounds = element.integer()
    if rounds < 1:  # would lower the sum
        raise CMSError("no positive number of rounds")
    return rounds
