"""Makes the enrolment of senders from the configuration: EST client, keystore and files joined."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl

from smimegw.adapters.est.attempts import Attempts
from smimegw.adapters.est.client import ESTClient, ESTServer
from smimegw.adapters.est.enrolment import Enrolled, EnrolmentKey, ESTEnrolment
from smimegw.adapters.est.renewal import RenewingEnrolment
from smimegw.adapters.keys.containers import KeyMaterial
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import SealedSecret
from smimegw.addresses import Mailbox
from smimegw.config.enrolment import Enrolment as EnrolmentConfiguration
from smimegw.config.model import Configuration
from smimegw.errors import EnrolmentError, KeystoreError
from smimegw.ports import Clock, Enrolment, Events, Keystore, NoEnrolment


def open_enrolment(
    configuration: Configuration,
    keystore: Keystore,
    events: Events,
    clock: Clock,
    closing: contextlib.AsyncExitStack,
) -> Enrolment:
    """What senders without a certificate get one from; connections are made when needed."""
    settings = configuration.enrolment
    if not settings.url or not isinstance(keystore, FilesKeystore):
        return NoEnrolment()

    async def keep(enrolled: Enrolled) -> None:
        material = KeyMaterial(
            certificate=enrolled.certificate,
            chain=enrolled.chain,
            private_key=enrolled.private_key,
        )
        await asyncio.to_thread(keystore.add, material, [enrolled.mailbox])

    def report(mailbox: Mailbox, trouble: str) -> None:
        whose = {"from": mailbox.address}
        if trouble:
            events.emit("enrolment.late", **whose, text=trouble)
        else:
            events.emit("enrolment.renewed", **whose)

    folder = configuration.gateway.state_directory / "enrolment"
    sealer = _KeystoreSealer(keystore)
    asking = ESTEnrolment(
        est_client(settings),
        keystore,
        keep,
        Attempts(folder, sealer),
        Attempts(folder.with_name("renewal"), sealer),
        clock,
        key=EnrolmentKey(settings.key_kind.value),
        pause=settings.pause,
    )
    renewing = RenewingEnrolment(
        asking,
        clock,
        report,
        before=settings.renew_before,
        seconds=configuration.limits.enrolment_seconds,
    )
    closing.push_async_callback(renewing.close)
    return renewing


def est_client(settings: EnrolmentConfiguration) -> ESTClient:
    """The client of the server that is configured."""
    return ESTClient(ESTServer.parse(settings.url), lambda: _context(settings))


def _context(settings: EnrolmentConfiguration) -> ssl.SSLContext:
    """The TLS context, with files read now, so that renewed ones count.

    Raises:
        EnrolmentError: A file cannot be used.
    """
    assert settings.certificate is not None  # the configuration was checked
    assert settings.key is not None
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.certificate, settings.key.path, password="")
    except (OSError, ssl.SSLError) as exc:
        what = getattr(exc, "reason", None) or exc.strerror
        raise EnrolmentError(
            f"{settings.certificate}, its key or enrolment.ca cannot be used: {what}",
            retryable=False,
        ) from exc
    return context


class _KeystoreSealer:
    """Seals the keys that wait for a certificate as the keystore seals its own."""

    def __init__(self, keystore: FilesKeystore) -> None:
        self._keystore = keystore

    def seal(self, secret: bytes, context: bytes) -> bytes:
        sealed = self._keystore.seal(secret, context)
        return json.dumps(
            [sealed.key_identifier, _text(sealed.wrapped_key), _text(sealed.sealed)]
        ).encode()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            identifier, wrapped, octets = json.loads(sealed)
            secret = SealedSecret(
                key_identifier=str(identifier),
                wrapped_key=base64.b64decode(wrapped, validate=True),
                sealed=base64.b64decode(octets, validate=True),
            )
        except (ValueError, TypeError) as exc:
            raise KeystoreError("a key that waits for its certificate is damaged") from exc
        return self._keystore.unseal(secret, context)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
