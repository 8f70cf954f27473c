"""Makes a key, has it certified by an EST server, and hands both to the keystore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from smimegw.adapters.est.attempts import Attempt, Attempts
from smimegw.adapters.est.client import ESTClient, Pending
from smimegw.addresses import Mailbox
from smimegw.cms import der
from smimegw.errors import EnrolmentError, SmimegwError
from smimegw.ports import Clock, Keystore
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import signing_flaw

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_UTF8_STRING = 0x0C
_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598, 3
_COMMON_NAME_CHARACTERS = 64
_DAY = timedelta(days=1)
_BUSY_SECONDS = 30.0  # a server that could not answer: not one question per mail


class EnrolmentKey(StrEnum):
    """Kinds of keys that are made here."""

    RSA_3072 = "rsa-3072"
    P_256 = "p-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A new key with its certificate and the certificates above it, issuer first."""

    mailbox: Mailbox
    certificate: Certificate
    chain: tuple[Certificate, ...]
    private_key: PrivateKey = field(repr=False)


Keep = Callable[[Enrolled], Awaitable[None]]


class ESTEnrolment:
    """Implements `ports.Enrolment`.

    Args:
        client: The server.
        keystore: Looked at again once it is our turn: another worker may have been quicker.
        keep: Puts a new key into the keystore; raises a `SmimegwError` when it cannot.
        attempts: What is under way, shared with other workers.
        renewals: The same for who has a certificate that ends soon.
        clock: The time.
        key: What kind of key to make.
        pause: How long nobody asks again after the server refused.
    """

    def __init__(
        self,
        client: ESTClient,
        keystore: Keystore,
        keep: Keep,
        attempts: Attempts,
        renewals: Attempts,
        clock: Clock,
        *,
        key: EnrolmentKey = EnrolmentKey.RSA_3072,
        pause: timedelta = timedelta(minutes=15),
    ) -> None:
        self._client = client
        self._keystore = keystore
        self._keep = keep
        self._attempts = attempts
        self._renewals = renewals
        self._clock = clock
        self._kind = key
        self._pause = pause

    async def enrol(self, mailbox: Mailbox) -> None:
        """See `ports.Enrolment`.

        Raises:
            EnrolmentError: There is none, for a reason that the text tells.
        """
        await self._obtain(mailbox, None, self._attempts)

    async def renew(self, mailbox: Mailbox, previous: Certificate) -> bool:
        """Have a new key certified in place of *previous*; whether anything was done.

        Nothing is, while a pause lasts: who asked first told why.

        Raises:
            EnrolmentError: There is none, for a reason that the text tells.
        """
        try:
            return await self._obtain(mailbox, previous, self._renewals)
        except _PauseError:
            return False

    async def _obtain(
        self, mailbox: Mailbox, previous: Certificate | None, attempts: Attempts
    ) -> bool:
        async with attempts.alone(mailbox):
            if await self._has_one(mailbox, previous):
                return False
            attempt = await self._next(mailbox, previous, attempts)
            try:
                await self._once(mailbox, attempt, renews=previous is not None)
            except EnrolmentError as exc:
                self._remember(mailbox, attempt, exc, attempts)
                raise
            except asyncio.CancelledError:
                late = EnrolmentError("the certificate authority did not answer in time")
                self._remember(mailbox, attempt, late, attempts)
                raise
            attempts.forget(mailbox)
            return True

    async def _has_one(self, mailbox: Mailbox, previous: Certificate | None) -> bool:
        try:
            found = await self._keystore.signing_credentials(mailbox)
        except SmimegwError as exc:
            raise EnrolmentError(str(exc)) from exc
        now = self._clock.now()
        usable = [each.certificate for each in found if not signing_flaw(each.certificate, now)]
        return any(previous is None or each.not_after > previous.not_after for each in usable)

    async def _next(
        self, mailbox: Mailbox, previous: Certificate | None, attempts: Attempts
    ) -> Attempt:
        """The attempt to go on with, or a new one, written down before anybody is asked."""
        now = self._clock.now()
        known = await asyncio.to_thread(attempts.find, mailbox)
        # No pause is longer: what waits for a later time was written by a clock that was ahead.
        if known is not None and now < known.again_at <= now + max(self._pause, _DAY):
            until = f"{known.again_at:%Y-%m-%d %H:%M}Z"
            raise _PauseError(f"{known.text} (asked again from {until} on)")
        if known is not None and known.key:
            return known
        key, request = await asyncio.to_thread(_key_and_request, self._kind, mailbox, previous)
        attempt = Attempt(key=key, request=request, again_at=now)
        await asyncio.to_thread(attempts.keep, mailbox, attempt)
        return attempt

    async def _once(self, mailbox: Mailbox, attempt: Attempt, *, renews: bool) -> None:
        answer = await self._client.enrol(attempt.request, renews=renews)
        if isinstance(answer, Pending):  # RFC 7030, 4.2.3: the same request again, later
            raise _PendingError(answer.seconds)
        key = load_der_private_key(attempt.key, None)
        if not isinstance(key, PrivateKey):
            raise EnrolmentError("the key that was kept for the request is of another kind")
        certificate = _ours(answer, key, mailbox)
        authorities = await self._client.cacerts()
        chain = _chain(certificate, (*answer, *authorities))
        enrolled = Enrolled(mailbox=mailbox, certificate=certificate, chain=chain, private_key=key)
        try:
            await self._keep(enrolled)
        except EnrolmentError:
            raise
        except SmimegwError as exc:
            raise EnrolmentError(f"the keystore did not take the new key: {exc}") from exc

    def _remember(
        self, mailbox: Mailbox, attempt: Attempt, error: EnrolmentError, attempts: Attempts
    ) -> None:
        wait = timedelta(seconds=_BUSY_SECONDS)
        if isinstance(error, _PendingError):
            wait = timedelta(seconds=error.seconds)
        elif not error.retryable:
            # Who is renewed can sign meanwhile, so a refusal is not repeated all day.
            wait = self._pause if attempts is self._attempts else max(self._pause, _DAY)
        # A request that was refused is not sent again; it may be the key that was refused.
        keeps = error.retryable
        attempts.keep(
            mailbox,
            Attempt(
                key=attempt.key if keeps else b"",
                request=attempt.request if keeps else b"",
                again_at=self._clock.now() + wait,
                text=str(error),
            ),
        )


class _PauseError(EnrolmentError):
    """Nobody asks now."""


class _PendingError(EnrolmentError):
    """A person has to approve first."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the request waits to be approved at the certificate authority")
        self.seconds = seconds


# --- keys and certificates -----------------------------------------------------------------------


def _key_and_request(
    kind: EnrolmentKey, mailbox: Mailbox, previous: Certificate | None
) -> tuple[bytes, bytes]:
    key: PrivateKey
    if kind is EnrolmentKey.RSA_3072:
        key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    builder = _request_as(previous) if previous else _request_for(mailbox)
    request = builder.sign(key, hashes.SHA256())
    octets = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return octets, request.public_bytes(Encoding.DER)


def _request_for(mailbox: Mailbox) -> x509.CertificateSigningRequestBuilder:
    short = mailbox.address if len(mailbox.address) <= _COMMON_NAME_CHARACTERS else ""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, short)] if short else []
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(names))
        .add_extension(x509.SubjectAlternativeName([_general_name(mailbox)]), critical=not names)
    )


def _request_as(previous: Certificate) -> x509.CertificateSigningRequestBuilder:
    """With the names of *previous*, as they are (RFC 7030, 4.2.2)."""
    parsed = previous.parsed
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(parsed.subject)
        .add_extension(names.value, critical=names.critical)
    )


def _general_name(mailbox: Mailbox) -> x509.GeneralName:
    if mailbox.needs_smtputf8:
        value = der.value(_UTF8_STRING, mailbox.address.encode())
        return x509.OtherName(_SMTP_UTF8_MAILBOX, value)
    return x509.RFC822Name(mailbox.address)


def _ours(certificates: Sequence[Certificate], key: PrivateKey, mailbox: Mailbox) -> Certificate:
    """The certificate for *key*, which must name *mailbox*: the server may be wrong as well."""
    public = key.public_key()
    for certificate in certificates:
        if certificate.parsed.public_key() == public:
            if any(name.same_as(mailbox) for name in certificate.mailboxes):
                return certificate
            raise EnrolmentError(
                f"the certificate that came does not name <{mailbox.address}>", retryable=False
            )
    raise EnrolmentError("no certificate that came is for the key of the request", retryable=False)


def _chain(certificate: Certificate, others: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The path upwards as far as names lead, without the root."""
    path: list[Certificate] = []
    current = certificate
    while True:
        above = next(
            (c for c in others if c.subject_der == current.issuer_der and c not in path), None
        )
        if above is None or above.is_self_issued:
            return tuple(path)
        path.append(above)
        current = above
