"""What a person's own signature in a directory value says of his software (RFC 2798, 2.8)."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.cms.capabilities import Capabilities
from smimegw.cms.signed_data import parse_signed_data
from smimegw.cms.verify import verify_signer_info
from smimegw.errors import CMSError, SignatureError, UnsupportedAlgorithmError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class VouchedCapabilities:
    """Capabilities under a signature that holds; its certificate is NOT validated.

    Attributes:
        signer: Whose key made the signature.
        capabilities: As the signer says.
    """

    signer: Certificate
    capabilities: Capabilities

    def covers(self, certificate: Certificate) -> bool:
        """It is about the person of *certificate*, who may sign with another one of his."""
        return not set(self.signer.mailboxes).isdisjoint(certificate.mailboxes)


def vouched_capabilities(
    octets: bytes, limits: Limits = DEFAULT_LIMITS
) -> VouchedCapabilities | None:
    """Return what the signer of a userSMIMECertificate value says that he reads.

    None without exactly one signer, when the signature does not hold, is by a CA, or says nothing
    of it.  What is signed does not matter; mostly it is nothing at all.

    Raises:
        CMSError: Not SignedData.
        LimitError: Too deep or too many elements.
    """
    signed_data = parse_signed_data(octets, limits)
    if len(signed_data.signer_infos) != 1:
        return None
    content = (b"",) if signed_data.encapsulated is None else None
    try:
        checked = verify_signer_info(signed_data, signed_data.signer_infos[0], content)
    except (SignatureError, UnsupportedAlgorithmError, CMSError):
        return None
    if checked.capabilities is None or checked.certificate.is_ca:
        return None
    return VouchedCapabilities(signer=checked.certificate, capabilities=checked.capabilities)
