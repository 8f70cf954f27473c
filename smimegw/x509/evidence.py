"""Everything gathered from outside to judge a certificate; no judgement here."""

from __future__ import annotations

from dataclasses import dataclass

from smimegw.x509.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a path search may use.

    Attributes:
        trust_anchors: Certificates that the administrator trusts for e-mail.
        intermediates: Candidates from the message, the directory and the configuration, untrusted.
        crls: DER CertificateLists, untrusted until their signature is checked.
        ocsp_responses: DER OCSPResponses, untrusted in the same way.
        require_revocation: Unknown status makes a path unusable (``revocation.mode = "require"``).
        crl_grace_seconds: How long after nextUpdate a CRL still counts (R-05).
        policies: Object identifiers of certificate policies; a path must be valid under one of
            them (user-initial-policy-set with initial-explicit-policy, RFC 5280, 6.1.1).  With
            none, policies are only what CAs make of them.
        vouched: End-entities that count without a path where there is none: their domains said so,
            signed, and the administrator takes that word (RFC 8162, usage 3).
    """

    trust_anchors: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()
    require_revocation: bool = True
    crl_grace_seconds: int = 72 * 3600
    policies: tuple[str, ...] = ()
    vouched: tuple[Certificate, ...] = ()
