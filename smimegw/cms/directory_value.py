"""Makes the value of userSMIMECertificate in which a person says what he reads (RFC 2798, 2.8)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from smimegw.cms.algorithms import DigestAlgorithm, digest_for, signature_scheme_for
from smimegw.cms.capabilities import Capabilities
from smimegw.cms.keys import SigningCredential
from smimegw.cms.sign import sign_detached
from smimegw.cms.verify import digest_of
from smimegw.x509.certificate import Certificate


def signed_directory_value(
    credential: SigningCredential,
    *,
    capabilities: Capabilities,
    encryption_certificate: Certificate,
    now: datetime,
    chain: Iterable[Certificate] = (),
) -> bytes:
    """Return SignedData over no content, with *capabilities* under the person's signature.

    Args:
        credential: The person's signing key; certificate and chain go along.
        capabilities: What the person's software reads.
        encryption_certificate: What others shall encrypt to; the signer's own or a second one.
        now: The signingTime; aware.
        chain: More certificates that go along, such as those above *encryption_certificate*.

    Raises:
        UnsupportedAlgorithmError: The key cannot sign.
        SignatureError: The key is not the certificate's.
        KeystoreError: The key cannot be used now.
    """
    scheme = signature_scheme_for(credential.certificate)
    digest_algorithm = digest_for(scheme, DigestAlgorithm.SHA256)
    others = (*credential.chain, encryption_certificate, *chain)
    return sign_detached(
        digest_of(digest_algorithm, (b"",)),
        digest_algorithm=digest_algorithm,
        credential=SigningCredential(credential.certificate, others, credential.key),
        scheme=scheme,
        signing_time=now,
        capabilities=capabilities,
        encryption_certificate=encryption_certificate,
    )
