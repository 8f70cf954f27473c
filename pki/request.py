"""Reads a certification request (PKCS #10, RFC 2986) and takes nothing from it but the key.

The signature proves that whoever sends it has the private key.  Names and extensions in it are
only wishes: what goes into the certificate comes from the administrator and the profile.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki import keys, profiles, weak_keys
from pki.errors import RequestError
from pki.keys import PublicKey
from smimegw.addresses import Mailbox
from smimegw.cms import asn1
from smimegw.errors import AddressError, CMSError

_REQUEST_OCTETS = 64 * 1024
_WEAK_DIGESTS = (hashes.MD5, hashes.SHA1)
# what is raised of names that are none
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    CMSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRequest:
    """A key whose owner proved to have it, and the addresses that the request wished for."""

    public_key: PublicKey
    wished_addresses: tuple[str, ...]
    der: bytes = b""

    def remarks(self, mailbox: Mailbox) -> tuple[str, ...]:
        """Return one warning for each way in which the wishes differ from *mailbox*."""
        others = [wish for wish in self.wished_addresses if not _is(wish, mailbox)]
        remarks = [f"the request also asks for {wish!r}; that is ignored" for wish in others]
        if self.wished_addresses and len(others) == len(self.wished_addresses):
            remarks.append(f"the request does not mention <{mailbox}>; make sure whose key it is")
        return tuple(remarks)


def parse_request(octets: bytes) -> CertificationRequest:
    """Read a PEM or DER request.

    Raises:
        RequestError: Garbage, a signature that does not hold, or a key that is too weak.
    """
    request = _load(octets)
    try:
        proven = request.is_signature_valid
        digest = request.signature_hash_algorithm
        key = request.public_key()
    except (UnsupportedAlgorithm, InvalidSignature, ValueError) as error:
        raise RequestError(
            "The request uses an algorithm or key that is not supported. "
            "Make a new one, for example with RSA-3072 or P-256 and SHA-256."
        ) from error
    accepted = keys.accept_public_key(key)
    weak_keys.refuse(accepted)
    if not proven:
        raise RequestError(
            "The request's signature does not fit its key, so nothing shows that the sender has "
            "the private key. The file was changed or damaged; ask for a new request."
        )
    if isinstance(digest, _WEAK_DIGESTS):
        raise RequestError(
            f"The request is signed with {digest.name}, which proves nothing any more. "
            "Make it again with SHA-256."
        )
    return CertificationRequest(
        public_key=accepted,
        wished_addresses=_wishes(request),
        der=request.public_bytes(Encoding.DER),
    )


def _load(octets: bytes) -> x509.CertificateSigningRequest:
    if len(octets) > _REQUEST_OCTETS:
        raise RequestError(
            f"The file is larger than {_REQUEST_OCTETS} octets, so it is no request. "
            "Give the PKCS #10 file (often .csr or .p10)."
        )
    try:
        if octets.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_csr(octets)
        return x509.load_der_x509_csr(octets)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise RequestError(
            "The file is not one PKCS #10 certification request in PEM or DER. "
            "Make one with: openssl req -new -key KEY -subj /CN=ADDRESS -out FILE"
        ) from error


def _wishes(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    # Nothing of it goes into the certificate, so garbage does no harm and is a wish like others:
    # an administrator sees it, and who enrols without one is refused.
    wishes: list[str] = []
    for kind, read in (("subject", _named), ("SubjectAltName", _alternatives)):
        try:
            wishes += read(request)
        except _UNREADABLE:
            wishes.append(f"unreadable {kind}")
    return tuple(dict.fromkeys(wishes))


def _named(request: x509.CertificateSigningRequest) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name's length is no concern of ours
        subject = request.subject
    addresses = subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
    common = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    wishes = [str(name.value) for name in addresses]
    return wishes + [str(name.value) for name in common if "@" in str(name.value)]


def _alternatives(request: x509.CertificateSigningRequest) -> list[str]:
    wishes: list[str] = []
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return wishes
    for name in extension.value:
        if isinstance(name, x509.OtherName) and name.type_id == profiles.SMTP_UTF8_MAILBOX:
            wishes.append(bytes(asn1.read_document(name.value).content).decode())
        elif isinstance(name, x509.RFC822Name | x509.DNSName | x509.UniformResourceIdentifier):
            wishes.append(name.value)
        else:
            wishes.append(type(name).__name__)
    return wishes


def _is(wish: str, mailbox: Mailbox) -> bool:
    try:
        return Mailbox.parse(wish).same_as(mailbox)
    except AddressError:
        return False
