"""SMIMECapabilities: what somebody's software can read, preferred first (RFC 8551, 2.5.2).

They stand under a signature, or as an extension in a certificate (RFC 4262).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from cryptography import x509

from smimegw.cms import algorithm_identifiers, asn1, der, key_encryption_algorithms
from smimegw.cms.algorithms import ContentCipher, KeyEncryption, KeyWrap
from smimegw.cms.asn1 import Element
from smimegw.cms.key_encryption_algorithms import KeyAgreement
from smimegw.errors import CMSError, LimitError
from smimegw.x509.certificate import Certificate

SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"
_MOST = 100  # real lists have about ten
_REMEMBERED_OCTETS = 1024  # real lists have 200; strangers must not fill the memory
_EXTENSION = x509.ObjectIdentifier(SMIME_CAPABILITIES)  # the attribute's own OID (RFC 4262, 2)


@dataclass(frozen=True, slots=True)
class Capability:
    """One algorithm: its OID and the parameters in DER (empty when absent)."""

    oid: str
    parameters: bytes = b""

    def write(self) -> bytes:
        """Write SMIMECapability, which looks like an AlgorithmIdentifier."""
        return algorithm_identifiers.write(self.oid, self.parameters)


@dataclass(frozen=True)
class Capabilities:
    """An ordered list of algorithms, preferred first."""

    algorithms: tuple[Capability, ...] = ()

    @classmethod
    def of(
        cls, ciphers: Iterable[ContentCipher], key_encryptions: Iterable[KeyEncryption] = ()
    ) -> Capabilities:
        """Those of a program that reads *ciphers*, OAEP and ECDH in the forms given."""
        return cls(
            (
                # without parameters (RFC 3565, 4.2; RFC 5084, 1.3; RFC 8103, 4)
                *(Capability(cipher.oid) for cipher in ciphers),
                *(_of(_written(form)) for form in key_encryptions),
            )
        )

    @cached_property
    def ciphers(self) -> tuple[ContentCipher, ...]:
        """The content ciphers among them that we know too, preferred first."""
        by_oid = {cipher.oid: cipher for cipher in ContentCipher}
        return tuple(by_oid[item.oid] for item in self.algorithms if item.oid in by_oid)

    @cached_property
    def oaep(self) -> KeyEncryption | None:
        """RSAES-OAEP in the first form among them that we write: one hash, SHA-2, twice.

        The default form with SHA-1 proves nothing about SHA-2 (RFC 3560, 5; RFC 4055, 4).
        """
        found = (_oaep(item) for item in self.algorithms)
        return next((form for form in found if form is not None), None)

    @property
    def reads_oaep(self) -> bool:
        """RSAES-OAEP is among them in a form that we write."""
        return self.oaep is not None

    @cached_property
    def agreements(self) -> tuple[KeyEncryption, ...]:
        """The key agreements among them that we write (RFC 5753, 7; RFC 8418, 5)."""
        found = (_agreement(item) for item in self.algorithms)
        return tuple(dict.fromkeys(form for form in found if form is not None))

    def write(self) -> bytes:
        """Write SMIMECapabilities."""
        return der.sequence(*(item.write() for item in self.algorithms))

    @cached_property
    def attribute(self) -> bytes:
        """The attribute that announces them (RFC 8551, 2.5.2)."""
        return der.sequence(der.oid(SMIME_CAPABILITIES), der.set_of((self.write(),)))


def read_capabilities(element: Element) -> Capabilities:
    """Read SMIMECapabilities.

    Raises:
        CMSError: Malformed.
        LimitError: Absurdly many.
    """
    if len(element.content) > _REMEMBERED_OCTETS:
        return _read(element)
    return _remembered(element.encoded)


@lru_cache(maxsize=256)
def _remembered(octets: bytes) -> Capabilities:
    """Each mail of a program says the same of it."""
    return _read(asn1.read_document(octets))


def _read(element: Element) -> Capabilities:
    reader = element.children()
    algorithms: list[Capability] = []
    while not reader.at_end:
        if len(algorithms) == _MOST:
            raise LimitError("smime_capabilities")
        algorithms.append(_capability(reader.read(asn1.SEQUENCE)))
    return Capabilities(tuple(algorithms))


def certificate_capabilities(certificate: Certificate) -> Capabilities | None:
    """What the issuer of *certificate* was told of its owner's software (RFC 4262, 2).

    None without the extension, and when it cannot be read: it is a hint, and a sloppy one does
    not make a certificate bad.
    """
    try:
        extension = certificate.parsed.extensions.get_extension_for_oid(_EXTENSION)
    except x509.ExtensionNotFound:
        return None
    value = extension.value
    try:
        octets = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
        element = asn1.read_document(octets)
        return read_capabilities(element) if element.tag == asn1.SEQUENCE else None
    except (CMSError, LimitError):
        return None


def _capability(element: Element) -> Capability:
    identifier = algorithm_identifiers.read(element)
    parameters = identifier.parameters
    return Capability(identifier.oid, b"" if parameters is None else parameters.encoded)


def _of(identifier: bytes) -> Capability:
    return _capability(asn1.read_document(identifier))


def _oaep(item: Capability) -> KeyEncryption | None:
    if item.oid != key_encryption_algorithms.RSAES_OAEP:
        return None
    try:
        transport = key_encryption_algorithms.read_key_transport(asn1.read_document(item.write()))
    except CMSError:
        return None
    form = transport.oaep
    if form is None or form.digest is not form.mgf_digest or form.digest.is_weak:
        return None
    return transport.key_encryption


def _agreement(item: Capability) -> KeyEncryption | None:
    try:
        agreement = key_encryption_algorithms.read_key_agreement(asn1.read_document(item.write()))
    except CMSError:
        return None
    form = agreement.key_encryption
    weak = agreement.cofactor or form is KeyEncryption.ECDH_SHA1KDF
    return None if weak else form


def _written(form: KeyEncryption) -> bytes:
    if not form.is_agreement:
        return key_encryption_algorithms.write_key_transport(form)
    wrap = KeyWrap.AES_256  # the parameter is a key wrap (RFC 5753, 7.1.4); we read every one
    return key_encryption_algorithms.write_key_agreement(
        KeyAgreement(
            key_encryption=form,
            wrap=wrap,
            wrap_identifier=algorithm_identifiers.write(wrap.oid),
        )
    )


def _ours() -> Capabilities:
    """Everything that the gateway opens for its users, less what is read only in old mail.

    The ciphers stand first: old readers look no further than the first one that they know.
    """
    reading = Capabilities.of(
        (
            ContentCipher.AES_256_GCM,
            ContentCipher.AES_128_GCM,
            ContentCipher.CHACHA20_POLY1305,
            ContentCipher.AES_192_GCM,
            ContentCipher.AES_256_CBC,
            ContentCipher.AES_192_CBC,
            ContentCipher.AES_128_CBC,
        ),
        (
            KeyEncryption.RSA_OAEP_SHA256,
            KeyEncryption.RSA_OAEP_SHA512,
            KeyEncryption.ECDH_SHA256KDF,
            KeyEncryption.ECDH_SHA384KDF,
            KeyEncryption.ECDH_SHA512KDF,
            KeyEncryption.ECDH_HKDF_SHA256,
            KeyEncryption.ECDH_HKDF_SHA384,
            KeyEncryption.ECDH_HKDF_SHA512,
        ),
    )
    return Capabilities((*reading.algorithms, Capability(algorithm_identifiers.RSASSA_PSS)))


NOTHING_KNOWN = Capabilities()
"""Of somebody who never said."""

OURS = _ours()
"""What the gateway announces: it opens mail for its users, so it speaks for itself."""
