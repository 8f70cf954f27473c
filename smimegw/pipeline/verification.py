"""Verifies a signature as the From author's, with all that can be gathered about the signer."""

from __future__ import annotations

from datetime import datetime

from smimegw.addresses import Mailbox
from smimegw.errors import VerificationError
from smimegw.mime.headers import HeaderSection
from smimegw.pipeline.brief import brief
from smimegw.pipeline.facts import originator, sender
from smimegw.pipeline.issuer_evidence import GatheredEvidence, signer_evidence
from smimegw.pipeline.register import Register
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smime.media_types import SignedLayer
from smimegw.smime.verify import VerifiedContent, verify


async def verified(
    layer: SignedLayer,
    header: HeaderSection,
    ports: Ports,
    settings: Settings,
    register: Register | None = None,
) -> VerifiedContent:
    """Return the proof that *layer* is signed by whom *header* says the message is from.

    With *register* the signature is remembered, and one that the gateway verified before still
    counts after its certificate has ended (R-44).

    Raises:
        VerificationError: It is not, or that cannot be told now.
        DatabaseError: The register could not be asked.
    """
    gathered = await signer_evidence(
        layer.signer_certificates, ports, settings, carried=layer.signed_data.certificates
    )
    try:
        content = await _verified_at(layer, header, gathered, ports, settings)
    except VerificationError as exc:
        if exc.reason != "expired" or register is None:
            raise _as_known(exc, gathered) from exc
        seen = await register.signature_seen(layer, exc.labels["fingerprint"])
        if seen is None:
            raise
        try:
            return await _verified_at(layer, header, gathered, ports, settings, first_seen=seen)
        except VerificationError as then:
            raise _as_known(then, gathered) from then
    if register is not None:
        await register.saw_signature(layer, content.signer.certificate.fingerprint)
    return content


async def _verified_at(
    layer: SignedLayer,
    header: HeaderSection,
    gathered: GatheredEvidence,
    ports: Ports,
    settings: Settings,
    *,
    first_seen: datetime | None = None,
) -> VerifiedContent:
    author, on_behalf = _identity(header)
    return await brief(
        ports,
        len(layer.entity.body),
        verify,
        layer,
        gathered.evidence,
        originator=author,
        sender=on_behalf,
        now=ports.clock.now(),
        limits=settings.limits,
        strict_local_part=author is not None and settings.compares_local_part(author),
        judgements=settings.judgements,
        first_seen=first_seen,
    )


def _identity(header: HeaderSection) -> tuple[Mailbox | None, Mailbox | None]:
    author, on_behalf = originator(header), sender(header)
    if header.all("sender") and on_behalf is None:
        author = None  # a malformed Sender leaves open who it is from
    return author.mailbox if author else None, on_behalf.mailbox if on_behalf else None


def _as_known(error: VerificationError, gathered: GatheredEvidence) -> VerificationError:
    """An issuer that could not be asked for is not an untrusted one (RFC 8601, 2.7.1)."""
    if gathered.trouble and error.reason == "untrusted-ca":
        return VerificationError("temperror", "directory", error.detail, labels=error.labels)
    return error
