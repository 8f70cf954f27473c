"""SMIMECapabilities: what a signer's software can read, preferred first (RFC 8551, 2.5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from smimegw.cms import algorithm_identifiers, asn1, der
from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.asn1 import Element
from smimegw.errors import LimitError

_MOST = 100  # real lists have about ten


@dataclass(frozen=True, slots=True)
class Capability:
    """One algorithm: its OID and the parameters in DER (empty when absent)."""

    oid: str
    parameters: bytes = b""


@dataclass(frozen=True)
class Capabilities:
    """An ordered list of algorithms, preferred first."""

    algorithms: tuple[Capability, ...] = ()

    @cached_property
    def ciphers(self) -> tuple[ContentCipher, ...]:
        """The content ciphers among them that we know too, preferred first."""
        by_oid = {cipher.oid: cipher for cipher in ContentCipher}
        return tuple(by_oid[item.oid] for item in self.algorithms if item.oid in by_oid)

    @cached_property
    def reads_oaep(self) -> bool:
        """RSAES-OAEP with SHA-256 is among them, the form that we write (RFC 4055, 4)."""
        return any(
            item.oid == algorithm_identifiers.RSAES_OAEP and item.parameters == _OAEP_SHA256
            for item in self.algorithms
        )

    def write(self) -> bytes:
        """Write SMIMECapabilities."""
        return der.sequence(
            *(algorithm_identifiers.write(item.oid, item.parameters) for item in self.algorithms)
        )


def read_capabilities(element: Element) -> Capabilities:
    """Read SMIMECapabilities.

    Raises:
        CMSError: Malformed.
        LimitError: Absurdly many.
    """
    reader = element.children()
    algorithms: list[Capability] = []
    while not reader.at_end:
        if len(algorithms) == _MOST:
            raise LimitError("smime_capabilities")
        identifier = algorithm_identifiers.read(reader.read(asn1.SEQUENCE))
        parameters = identifier.parameters
        algorithms.append(
            Capability(identifier.oid, b"" if parameters is None else parameters.encoded)
        )
    return Capabilities(tuple(algorithms))


def _parameters_of(identifier: bytes) -> bytes:
    parameters = algorithm_identifiers.read(asn1.read_document(identifier)).parameters
    return b"" if parameters is None else parameters.encoded


_OAEP_SHA256 = _parameters_of(
    algorithm_identifiers.write_key_transport(KeyEncryption.RSA_OAEP_SHA256)
)

OURS = Capabilities(
    (
        *(
            Capability(cipher.oid)
            for cipher in (
                ContentCipher.AES_256_GCM,
                ContentCipher.AES_128_GCM,
                ContentCipher.AES_256_CBC,
                ContentCipher.AES_192_CBC,
                ContentCipher.AES_128_CBC,
            )
        ),
        Capability(algorithm_identifiers.RSAES_OAEP, _OAEP_SHA256),
    )
)
"""What the gateway announces: it opens mail for its users, so it speaks for itself."""
