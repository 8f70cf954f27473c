"""One message's questions to the register of ciphertexts and signatures seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from smimegw.memory import Sighting, SightingKind
from smimegw.pipeline.facts import originator
from smimegw.ports import Ports
from smimegw.smime.media_types import EncryptedLayer, SignedLayer
from smimegw.transaction import Transaction


class Register:
    """Knows who the message says it is from; asks about each thing once.

    Raises everywhere:
        DatabaseError: The register could not be asked (R-22).
    """

    def __init__(self, tx: Transaction, ports: Ports) -> None:
        author = originator(tx.content.header)
        self._tx = tx
        self._ports = ports
        self._originator = author.mailbox.key if author else ""
        self._ciphertexts: dict[bytes, bool] = {}

    async def is_replayed(self, layer: EncryptedLayer) -> bool:
        """Whether these encrypted octets came before in a mail from somebody else (T-05).

        It is asked before a key is used, so that neither the answer nor its time depends on what
        the key said (T-07).
        """
        digest = await self._ports.workers.run(_ciphertext, layer)
        if digest not in self._ciphertexts:
            first = await self._ports.sightings.first_seen(
                SightingKind.CIPHERTEXT, digest, self._originator, self._ports.clock.now()
            )
            self._ciphertexts[digest] = self._is_elsewhere(first)
        return self._ciphertexts[digest]

    async def saw_signature(self, layer: SignedLayer, fingerprint: str) -> datetime:
        """Remember a signature that was verified now; when it was seen first."""
        first = await self._ports.sightings.first_seen(
            SightingKind.SIGNATURE,
            _signature(layer, fingerprint),
            self._originator,
            self._ports.clock.now(),
        )
        return first.at

    async def signature_seen(self, layer: SignedLayer, fingerprint: str) -> datetime | None:
        """When this very signature was verified first; None when it never was (R-44)."""
        digest = _signature(layer, fingerprint)
        first = await self._ports.sightings.find(SightingKind.SIGNATURE, digest)
        return first.at if first else None

    def _is_elsewhere(self, first: Sighting) -> bool:
        if first.originator == self._originator:
            return False  # the same mail once more: a retry, another recipient
        self._ports.events.emit(
            "ciphertext.replayed",
            txn=self._tx.id,
            first_from=first.originator,
            first_seen=first.at.isoformat(),
            **{"from": self._originator},
        )
        return True


def _ciphertext(layer: EncryptedLayer) -> bytes:
    return _digest(layer.enveloped.encrypted_content)


def _signature(layer: SignedLayer, fingerprint: str) -> bytes:
    """Of what cannot be made anew without the signer's key; its certificate belongs to it."""
    signer_info = layer.signed_data.signer_infos[0]
    attributes = signer_info.signed_attributes or b""
    length = len(signer_info.signature).to_bytes(8, "big")
    return _digest((fingerprint.encode("ascii"), length, signer_info.signature, attributes))


def _digest(pieces: Iterable[bytes | memoryview]) -> bytes:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.digest()
