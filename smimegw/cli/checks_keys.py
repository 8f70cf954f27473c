"""What ``smimegw doctor`` looks at in the keystore: that keys open, how they are kept, who ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from smimegw.adapters.agent.client import AgentKeystore
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_object import Holder, KeyObject, KeyPurpose
from smimegw.app import Assembled
from smimegw.cli.finding import Finding, Health
from smimegw.errors import KeystoreError

_SOON = timedelta(days=30)
_LISTED = 3


async def keys(assembled: Assembled) -> Iterable[Finding]:
    """Whether every key opens, and what is to be done about keys."""
    keystore = assembled.keystore
    try:
        await keystore.check()
        if isinstance(keystore, AgentKeystore):
            text = "key agent answers, its keys open; run doctor as its user for more"
            return [Finding(area="keys", what=str(keystore.path), detail=text)]
        objects = keystore.objects()
    except KeystoreError as exc:
        return [
            Finding(
                area="keys",
                what=str(keystore.path),
                health=Health.FAIL,
                detail=str(exc),
                remedy=_remedy(keystore, exc),
            )
        ]
    escrows = assembled.configuration.keystore.recovery_certificate is not None
    return [
        _open(keystore, objects),
        *(_warning("file", text) for text in keystore.flaws()),
        *_rotation(keystore, objects),
        *(_escrow(keystore, objects) if escrows else ()),
        *_ending(objects, assembled.ports.clock.now()),
    ]


def _remedy(keystore: FilesKeystore | AgentKeystore, error: KeystoreError) -> str:
    if isinstance(keystore, AgentKeystore):
        return "mail that needs a key waits (R-10, R-13); see: systemctl status smimegw-key-agent"
    if error.server and not error.locked:
        return "mail that needs a key waits (R-14); see keystore.token"
    return "mail that needs a key waits (R-13); see keystore.key_encryption_key"


def _open(keystore: FilesKeystore, objects: tuple[KeyObject, ...]) -> Finding:
    held = sum(1 for entry in objects if entry.holder is Holder.TOKEN)
    where = f", {held} of them in the token" if held else ""
    detail = f"{len(objects)} keys open{where}; sealed with {keystore.sealing_key}"
    return Finding(area="keys", what=str(keystore.path), detail=detail)


def _rotation(keystore: FilesKeystore, objects: tuple[KeyObject, ...]) -> Iterator[Finding]:
    current = keystore.sealing_key
    earlier = sum(1 for entry in objects if entry.secret.key_identifier != current)
    if earlier:
        text = f"{earlier} keys are still under an earlier key-encryption key"
        yield _warning("rotation", text, "smimegw key rotate")


def _escrow(keystore: FilesKeystore, objects: tuple[KeyObject, ...]) -> Iterator[Finding]:
    lacking = [
        entry
        for entry in objects
        if entry.purpose is KeyPurpose.ENCRYPT
        and entry.holder is Holder.FILE
        and not keystore.escrow_path(entry).exists()
    ]
    if lacking:
        text = f"{len(lacking)} decryption keys are not escrowed: {_who(lacking)}"
        yield _warning("escrow", text, "smimegw key escrow")


def _ending(objects: tuple[KeyObject, ...], now: datetime) -> Iterator[Finding]:
    ending = [entry for entry in objects if now <= entry.certificate.not_after < now + _SOON]
    if ending:
        text = f"{len(ending)} end within {_SOON.days} days: {_who(ending)}"
        remedy = "renew them: smimegw-ca renew ADDRESS, publish, smimegw key import"
        yield _warning("certificates", text, remedy)


def _who(keys: list[KeyObject]) -> str:
    return ", ".join(entry.mailboxes[0].address for entry in keys[:_LISTED])


def _warning(what: str, text: str, remedy: str = "") -> Finding:
    return Finding(area="keys", what=what, health=Health.WARN, detail=text, remedy=remedy)
