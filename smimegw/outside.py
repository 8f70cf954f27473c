"""What is asked of the servers that certificates name: lists, status, missing issuers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from smimegw.x509.certificate import Certificate


class RevocationSource(Protocol):
    """Fetches revocation lists and asks OCSP responders; what comes back is untrusted."""

    def may_ask(self, url: str) -> bool:
        """Whether the configuration lets *url* be asked at all."""
        ...

    async def crls(self, urls: Sequence[str], issuer: Certificate) -> tuple[bytes, ...]:
        """DER CertificateLists from the first of *urls* that has one; () on any trouble.

        Args:
            urls: Places of one and the same list.
            issuer: Of the certificates that the list is about; a list of this name must be signed
                by this key.
        """
        ...

    async def ocsp(
        self, certificate: Certificate, issuer: Certificate, urls: Sequence[str]
    ) -> bytes | None:
        """A DER OCSPResponse from the first of *urls* that has one; None on any trouble."""
        ...

    async def issuers(
        self, certificate: Certificate, urls: Sequence[str]
    ) -> tuple[Certificate, ...]:
        """CA certificates that issued *certificate*, from the first of *urls* that has one.

        They are untrusted, and () on any trouble (RFC 5280, 4.2.2.1, caIssuers).
        """
        ...


class NoRevocationSource:
    """Implements `RevocationSource` where nothing may be fetched."""

    def may_ask(self, url: str) -> bool:  # noqa: ARG002
        """Never."""
        return False

    async def crls(self, urls: Sequence[str], issuer: Certificate) -> tuple[bytes, ...]:  # noqa: ARG002
        """Nothing."""
        return ()

    async def ocsp(
        self,
        certificate: Certificate,  # noqa: ARG002
        issuer: Certificate,  # noqa: ARG002
        urls: Sequence[str],  # noqa: ARG002
    ) -> bytes | None:
        """Nothing."""
        return None

    async def issuers(
        self,
        certificate: Certificate,  # noqa: ARG002
        urls: Sequence[str],  # noqa: ARG002
    ) -> tuple[Certificate, ...]:
        """Nothing."""
        return ()
