"""Verifies a signature as the From author's, with all that can be gathered about the signer."""

from __future__ import annotations

from smimegw.errors import VerificationError
from smimegw.mime.headers import HeaderSection
from smimegw.pipeline.facts import originator, sender
from smimegw.pipeline.gather import GatheredEvidence, signer_evidence
from smimegw.pipeline.settings import Settings
from smimegw.ports import Ports
from smimegw.smime.media_types import SignedLayer
from smimegw.smime.verify import VerifiedContent, verify


async def verified(
    layer: SignedLayer, header: HeaderSection, ports: Ports, settings: Settings
) -> VerifiedContent:
    """Return the proof that *layer* is signed by whom *header* says the message is from.

    Raises:
        VerificationError: It is not, or that cannot be told now.
    """
    author, on_behalf = originator(header), sender(header)
    if header.all("sender") and on_behalf is None:
        author = None  # a malformed Sender leaves open who it is from
    gathered = await signer_evidence(
        layer.signer_certificates, ports, settings, carried=layer.signed_data.certificates
    )
    try:
        return await ports.workers.run(
            verify,
            layer,
            gathered.evidence,
            originator=author.mailbox if author else None,
            sender=on_behalf.mailbox if on_behalf else None,
            now=ports.clock.now(),
            limits=settings.limits,
            strict_local_part=author is not None and settings.compares_local_part(author.mailbox),
            judgements=settings.judgements,
        )
    except VerificationError as exc:
        raise _as_known(exc, gathered) from exc


def _as_known(error: VerificationError, gathered: GatheredEvidence) -> VerificationError:
    """An issuer that could not be asked for is not an untrusted one (RFC 8601, 2.7.1)."""
    if gathered.trouble and error.reason == "untrusted-ca":
        return VerificationError("temperror", "directory", error.detail, labels=error.labels)
    return error
