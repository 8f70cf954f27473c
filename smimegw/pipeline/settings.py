"""What the pipeline needs to know of the configuration, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from smimegw.addresses import Mailbox
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.pipeline.strip import Claims
from smimegw.x509.cache import ValidationCache
from smimegw.x509.certificate import Certificate
from smimegw.x509.inquiry import Inquiry
from smimegw.x509.path import Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustMaterial:
    """What the administrator configured for judging certificates.

    Attributes:
        anchors: Trusted for e-mail.
        signature_anchors: Trusted for signatures only.
        encryption_anchors: Trusted for encryption only.
        intermediates: Helpful for building paths, untrusted.
        crls: DER CertificateLists from files, untrusted until verified.
        require_revocation: Unknown revocation status makes a certificate unusable.
        crl_grace_seconds: How long after nextUpdate a CRL still counts (R-05).
        policies: A path must be valid under one of these certificate policies; none: under any.
        believes_dns: A certificate that its domain vouches for in signed DNS needs no path.
    """

    anchors: tuple[Certificate, ...] = ()
    signature_anchors: tuple[Certificate, ...] = ()
    encryption_anchors: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    require_revocation: bool = True
    crl_grace_seconds: int = 72 * 3600
    policies: tuple[str, ...] = ()
    believes_dns: bool = False

    def anchors_for(self, purpose: Purpose) -> tuple[Certificate, ...]:
        """Who is trusted when a certificate is judged for *purpose*."""
        signs = purpose is Purpose.SIGNATURE
        return (*self.anchors, *(self.signature_anchors if signs else self.encryption_anchors))

    @property
    def every_anchor(self) -> tuple[Certificate, ...]:
        """All of them."""
        return (*self.anchors, *self.signature_anchors, *self.encryption_anchors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One gateway's identity and switches.

    Attributes:
        hostname: Our name in Received and as authserv-id (RFC 8601, 2.5).
        internal_domains: A-labels; mail from them is ours.
        strict: A decryption key opens only the copy of its own mailbox.
        shadow: Decide and record everything, but hand on what came, unchanged.
        strict_local_part: Domains whose local parts are compared exactly.
        keep_original: Attach the original of an opaque-signed message that was unwrapped.
        subject_marks: Taken out of the Subject of mail from outside.
        claims: By listener, in whose name mail from outside may not bring results.
        harvest: Keep certificates that come with verified mail as candidates.
        takes_verified: What came with mail twice is used like what a directory has.
        trust: For certificates.
        judgements: Remembered judgements of certificates.
        inquiry: Finds about which certificates somebody outside has to be asked.
        senders: Login to the addresses it may use in From besides its own, all in comparison form.
        postmaster: From whom reports of ours are, and who gets those nobody else should get.
        limits: All of them.
    """

    hostname: str
    internal_domains: frozenset[str]
    strict: bool = True
    shadow: bool = False
    strict_local_part: frozenset[str] = frozenset()
    keep_original: bool = False
    subject_marks: tuple[str, ...] = ()
    claims: dict[str, Claims] = field(default_factory=dict)
    harvest: bool = True
    takes_verified: bool = False
    trust: TrustMaterial = field(default_factory=TrustMaterial)
    judgements: ValidationCache = field(default_factory=ValidationCache, repr=False)
    inquiry: Inquiry = field(default_factory=Inquiry, repr=False)
    senders: dict[str, frozenset[str]] = field(default_factory=dict)
    postmaster: Mailbox | None = None
    limits: Limits = DEFAULT_LIMITS

    def is_internal(self, mailbox: Mailbox) -> bool:
        """The mailbox belongs to one of our domains."""
        return mailbox.domain in self.internal_domains

    def compares_local_part(self, mailbox: Mailbox) -> bool:
        """The mailbox's domain wants its local parts compared exactly."""
        return mailbox.domain in self.strict_local_part
