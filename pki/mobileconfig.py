"""Makes configuration profiles for Apple devices that install a certificate with its key.

A profile is a property list with one payload for each certificate, signed as a whole (CMS
SignedData with its content).  The key's password is not in it: the device asks for it.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import DigestAlgorithm, digest_for, signature_scheme_for
from smimegw.cms.keys import SigningCredential
from smimegw.cms.sign import sign_opaque

_NAMESPACE = uuid.UUID("5f0f6c1e-2f6b-5d0c-9d8e-6c1b8f2a7d10")  # ours, so that a repeat replaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a profile installs.

    Attributes:
        pkcs12: Key and certificate, encrypted.
        file_name: Of the PKCS #12 file, as the device shows it.
        above: The issuer's certificates, nearest first.
    """

    mailbox: Mailbox
    pkcs12: bytes = field(repr=False)
    file_name: str
    above: Sequence[x509.Certificate]


def write_profile(identity: Identity, *, organization: str) -> bytes:
    """Return the property list, unsigned."""
    name = f"smimegw.{identity.mailbox.address}"
    contents = [
        _payload(
            "com.apple.security.pkcs12",
            f"{name}.identity",
            f"Key and certificate of {identity.mailbox.address}",
            identity.pkcs12,
            identity.file_name,
        )
    ]
    contents += [_authority(certificate, name) for certificate in identity.above]
    document = {
        "PayloadContent": contents,
        "PayloadDisplayName": f"Secure e-mail for {identity.mailbox.address}",
        "PayloadDescription": "Signs and decrypts e-mail (S/MIME).",
        "PayloadIdentifier": name,
        "PayloadOrganization": organization or "Mail CA",
        "PayloadType": "Configuration",
        "PayloadUUID": _identifier(name),
        "PayloadVersion": 1,
        "PayloadRemovalDisallowed": False,
    }
    return plistlib.dumps(document)


def sign_profile(profile: bytes, signer: SigningCredential, *, now: datetime) -> bytes:
    """Return the profile inside SignedData, DER.

    Raises:
        UnsupportedAlgorithmError: The signer's key cannot do that.
        SignatureError: Key and certificate do not belong together.
    """
    scheme = signature_scheme_for(signer.certificate)
    signed = sign_opaque(
        profile,
        digest_algorithm=digest_for(scheme, DigestAlgorithm.SHA256),
        credential=signer,
        scheme=scheme,
        signing_time=now,
        capabilities=None,
    )
    return signed.whole()


def _authority(certificate: x509.Certificate, name: str) -> dict[str, object]:
    der = certificate.public_bytes(Encoding.DER)
    is_root = certificate.subject == certificate.issuer
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    title = str(common[0].value) if common else certificate.subject.rfc4514_string()
    kind = "com.apple.security.root" if is_root else "com.apple.security.pkcs1"
    serial = f"{certificate.serial_number:x}"
    return _payload(kind, f"{name}.{serial}", title, der, f"{serial}.cer")


def _payload(
    kind: str, identifier: str, title: str, content: bytes, file_name: str
) -> dict[str, object]:
    return {
        "PayloadCertificateFileName": file_name,
        "PayloadContent": content,
        "PayloadDisplayName": title,
        "PayloadIdentifier": identifier,
        "PayloadType": kind,
        "PayloadUUID": _identifier(identifier),
        "PayloadVersion": 1,
    }


def _identifier(text: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, text)).upper()
