"""CMS structures around values that somebody else made, for test vectors."""

from __future__ import annotations

from functools import cache

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.content_info import DATA, SIGNED_DATA
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import make_ca

DIGEST_OIDS = {
    "SHA-1": "1.3.14.3.2.26",
    "SHA-256": "2.16.840.1.101.3.4.2.1",
    "SHA-384": "2.16.840.1.101.3.4.2.2",
    "SHA-512": "2.16.840.1.101.3.4.2.3",
    "SHA-224": "2.16.840.1.101.3.4.2.4",
    "SHA-512/224": "2.16.840.1.101.3.4.2.5",
    "SHA-512/256": "2.16.840.1.101.3.4.2.6",
    "SHA3-224": "2.16.840.1.101.3.4.2.7",
    "SHA3-256": "2.16.840.1.101.3.4.2.8",
    "SHA3-384": "2.16.840.1.101.3.4.2.9",
    "SHA3-512": "2.16.840.1.101.3.4.2.10",
    "SHAKE256": "2.16.840.1.101.3.4.2.12",
}
"""All that Wycheproof has; ours are among them."""


def digest_identifier(name: str) -> bytes:
    """An AlgorithmIdentifier with NULL, as RFC 4055, 2.1 wants it in parameters."""
    return algorithm_identifiers.write(DIGEST_OIDS[name], der.NULL)


def pss_identifier(digest: str, mgf_digest: str, salt_octets: int) -> bytes:
    """RSASSA-PSS with its parameters (RFC 4055, 3.1)."""
    mask = algorithm_identifiers.write(algorithm_identifiers.MGF1, digest_identifier(mgf_digest))
    parameters = der.sequence(
        der.explicit(0, digest_identifier(digest)),
        der.explicit(1, mask),
        der.explicit(2, der.integer(salt_octets)),
    )
    return algorithm_identifiers.write(algorithm_identifiers.RSASSA_PSS, parameters)


@cache
def certificate_with(subject_public_key_info: bytes) -> Certificate:
    """A certificate with exactly this key; its signature does not hold, which CMS never asks."""
    outer = asn1.read_document(_template().der).children()
    fields = outer.read(asn1.SEQUENCE).children()
    parts = []
    while not fields.at_end:
        parts.append(fields.read().encoded)
    parts[6] = subject_public_key_info  # RFC 5280, 4.1
    rest = [outer.read().encoded, outer.read().encoded]
    return Certificate.parse(der.sequence(der.sequence(*parts), *rest))


@cache
def _template() -> Certificate:
    return make_ca("Vectors").issue("somebody@vectors.example").certificate


def signed_data_with(
    certificate: Certificate, content: bytes, signature: bytes, digest: str, algorithm: bytes
) -> bytes:
    """A ContentInfo with one SignerInfo without signed attributes (RFC 5652, 5)."""
    digest_algorithm = algorithm_identifiers.write(DIGEST_OIDS[digest])
    signer_info = der.sequence(
        der.integer(1),
        issuer_and_serial_number(certificate),
        digest_algorithm,
        algorithm,
        der.octet_string(signature),
    )
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([digest_algorithm]),
        der.sequence(der.oid(DATA), der.explicit(0, der.octet_string(content))),
        der.value(0xA0, certificate.der),
        der.set_of([signer_info]),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.explicit(0, signed_data))
