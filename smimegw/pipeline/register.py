"""One message's questions to the register of ciphertexts and signatures seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, islice

from smimegw.cms.keys import DecryptionCredential
from smimegw.failpoints import reach
from smimegw.memory import Sighting, SightingKind
from smimegw.pipeline.brief import brief
from smimegw.pipeline.facts import originator
from smimegw.pipeline.thread import own_mark
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
        self._is_marked = False

    async def mark_thread(self) -> None:
        """Remember that this message came encrypted for a key of ours (R-23).

        That is done before the key is used, too: no reply and no time tells what the key said.
        """
        marks = () if self._is_marked else own_mark(self._tx)
        self._is_marked = True
        if marks:
            now = self._ports.clock.now()
            await self._ports.sightings.first_seen(
                SightingKind.THREAD, marks, self._originator, now
            )

    async def is_replayed(
        self, layer: EncryptedLayer, credentials: Sequence[DecryptionCredential]
    ) -> bool:
        """Whether this ciphertext, or its content key, came before from somebody else (T-05).

        Who changes the content must still send the key as it was wrapped.  It is asked before a
        key is used, so that neither the answer nor its time depends on what the key said (T-07).
        """
        digests = await brief(self._ports, self._tx.size, _ciphertexts, layer, credentials)
        new = [digest for digest in digests if digest not in self._ciphertexts]
        if new:
            reach("register.before-ciphertext")
            found = await self._ports.sightings.first_seen(
                SightingKind.CIPHERTEXT, new, self._originator, self._ports.clock.now()
            )
            reach("register.ciphertext")
            others = [entry for entry in found if entry.originator != self._originator]
            self._ciphertexts.update(
                (digest, entry in others) for digest, entry in zip(new, found, strict=True)
            )
            if others:
                self._tell(min(others, key=lambda entry: entry.at))
        return any(self._ciphertexts[digest] for digest in digests)

    async def saw_signature(self, layer: SignedLayer, fingerprint: str) -> datetime:
        """Remember a signature that was verified now; when it was seen first."""
        (first,) = await self._ports.sightings.first_seen(
            SightingKind.SIGNATURE,
            [_signature(layer, fingerprint)],
            self._originator,
            self._ports.clock.now(),
        )
        reach("register.signature")
        return first.at

    async def signature_seen(self, layer: SignedLayer, fingerprint: str) -> datetime | None:
        """When this very signature was verified first; None when it never was (R-44)."""
        digest = _signature(layer, fingerprint)
        first = await self._ports.sightings.find(SightingKind.SIGNATURE, digest)
        return first.at if first else None

    def _tell(self, first: Sighting) -> None:
        self._ports.events.emit(
            "ciphertext.replayed",
            txn=self._tx.id,
            first_from=first.originator,
            first_seen=first.at.isoformat(),
            **{"from": self._originator},
        )


def _ciphertexts(
    layer: EncryptedLayer, credentials: Sequence[DecryptionCredential]
) -> tuple[bytes, ...]:
    """Of the encrypted content, and of its key as wrapped for each of *credentials*."""
    infos = layer.enveloped.recipient_infos
    wrapped: set[bytes] = set()
    for credential in credentials:
        named = (info for info in infos if info.identifier.matches(credential.certificate))
        wrapped.update(info.encrypted_key for info in islice(named, 1))  # the one that is opened
    keys = (_digest((b"key", octets)) for octets in sorted(wrapped))
    content = chain((b"content",), layer.enveloped.encrypted_content)
    return (_digest(content), *keys)


def _signature(layer: SignedLayer, fingerprint: str) -> bytes:
    """Of what cannot be made anew without the signer's key; its certificate belongs to it."""
    signer_info = layer.signed_data.signer_infos[0]
    attributes = signer_info.signed_attributes or b""
    length = len(signer_info.signature).to_bytes(8, "big")
    return _digest((fingerprint.encode("ascii"), length, signer_info.signature, attributes))


def _digest(pieces: Iterable[bytes]) -> bytes:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.digest()
