"""The `RevocationSource` port over HTTP: CRLs, OCSP answers, issuers, from hosts that are allowed.

Every answer is checked before it is kept: a list must be signed by the issuer that was asked about
(an indirect one is kept for minutes only), an OCSP answer must settle the question, an issuer must
have signed the certificate.  So whoever
sits on the network can make us know nothing, but not for long and never something wrong.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote, urljoin

from smimegw.adapters.http.client import HTTPClient, Question, Reply
from smimegw.adapters.http.destination import Destination, Gatekeeper
from smimegw.adapters.http.issuers import issuers_in
from smimegw.adapters.http.kept import KeptAnswers
from smimegw.errors import RevocationError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.ports import Clock, Events
from smimegw.x509 import ocsp
from smimegw.x509.certificate import Certificate
from smimegw.x509.crl import crl_next_update, is_indirect_crl
from smimegw.x509.status import RevocationStatus

_LONGEST = timedelta(hours=4)  # CAs revoke today although nextUpdate is next week
_SHORTEST = timedelta(minutes=5)
_REDIRECTIONS = 3
_AT_ONE_HOST = 4  # questions at the same time
_GET_OCTETS = 255  # RFC 6960, A.1
_NONCE_OCTETS = 32  # RFC 9654, 2.1
_URL_LETTERS = 200  # of a log line
_MOVED = frozenset({301, 302, 303, 307, 308})

_Answer = tuple[bytes, datetime]
_Fetch = Callable[[], Awaitable[_Answer]]


class HTTPRevocation:
    """Implements `RevocationSource`.

    Args:
        gatekeeper: Who may be asked.
        client: How.
        events: Told of every question that left the house.
        clock: Decides how long answers are kept.
        limits: Sizes and deadlines.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        client: HTTPClient,
        *,
        events: Events,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._client = client
        self._events = events
        self._clock = clock
        self._limits = limits
        self._kept = KeptAnswers(limits.revocation_cache_octets)
        self._asking: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_AT_ONE_HOST)
        )

    def may_ask(self, url: str) -> bool:
        """Whether *url* is http or https and its host is allowed; the address is checked later."""
        try:
            return self._gatekeeper.admits(Destination.parse(url))
        except RevocationError:
            return False

    async def crls(self, urls: Sequence[str], issuer: Certificate) -> tuple[bytes, ...]:
        """DER CertificateLists from the first of *urls* that has one; () on any trouble."""
        for url in urls:
            content = await self._answer(
                ("crl", url, issuer.fingerprint),
                partial(self._list, url, issuer),
            )
            if content is not None:
                return (content,)
        return ()

    async def ocsp(
        self, certificate: Certificate, issuer: Certificate, urls: Sequence[str]
    ) -> bytes | None:
        """A DER OCSPResponse from the first of *urls* that has one; None on any trouble."""
        for url in urls:
            content = await self._answer(
                ("ocsp", url, certificate.fingerprint, issuer.fingerprint),
                partial(self._response, url, certificate, issuer),
            )
            if content is not None:
                return content
        return None

    async def issuers(
        self, certificate: Certificate, urls: Sequence[str]
    ) -> tuple[Certificate, ...]:
        """CA certificates that issued *certificate*, from the first of *urls* that has one."""
        for url in urls:
            content = await self._answer(
                ("issuer", url, certificate.fingerprint), partial(self._issuers, url, certificate)
            )
            if content is not None:
                return issuers_in(content, certificate, self._limits)
        return ()

    async def close(self) -> None:
        """Stop what is on its way."""
        running = [*self._asking.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # --- once, and remembered --------------------------------------------------------------------

    async def _answer(self, key: tuple[str, ...], fetch: _Fetch) -> bytes | None:
        kept = self._kept.find(key)
        if kept is None or kept.is_due(self._clock.now()):
            task = self._asking.get(key)
            if task is None:
                task = asyncio.create_task(self._fetch(key, fetch))
                self._asking[key] = task
                task.add_done_callback(lambda _: self._asking.pop(key, None))
            # A message waits for a while only; a long list arrives for the next one.
            await asyncio.wait({task}, timeout=self._limits.revocation_seconds)
            kept = self._kept.find(key)
        return kept.content if kept else None

    async def _fetch(self, key: tuple[str, ...], fetch: _Fetch) -> None:
        method, url = key[:2]
        told = {"method": method, "url": url[:_URL_LETTERS], "source": ""}
        began = time.monotonic()
        try:
            told["source"] = Destination.parse(url).host
            async with self._turns[told["source"]]:
                began = time.monotonic()
                async with asyncio.timeout(self._limits.download_seconds):
                    content, ask_again = await fetch()
        except (RevocationError, TimeoutError) as exc:
            self._kept.fail(key, self._clock.now())
            text = str(exc) or f"no answer within {self._limits.download_seconds:g} s"
            self._events.emit("revocation.error", **told, text=text, code="R-05")
        except Exception as exc:  # noqa: BLE001 – what a server sends must not stop a mail
            self._kept.fail(key, self._clock.now())
            self._events.emit("internal.error", error=exc)
        else:
            self._kept.keep(key, content, ask_again, now=self._clock.now())
            seconds = time.monotonic() - began
            self._events.emit("revocation.fetched", **told, size=len(content), seconds=seconds)

    # --- lists -----------------------------------------------------------------------------------

    async def _list(self, url: str, issuer: Certificate) -> _Answer:
        content = await self._get(url, self._limits.crl_octets)
        next_update = await asyncio.to_thread(crl_next_update, content, issuer)
        now = self._clock.now()
        if next_update is not None:
            return content, min(max(next_update, now + _SHORTEST), now + _LONGEST)
        if await asyncio.to_thread(is_indirect_crl, content):
            return content, now + _SHORTEST
        raise RevocationError("this is no usable CRL (DER) signed by the certificate's issuer")

    async def _get(self, url: str, octets: int) -> bytes:
        first = here = Destination.parse(url)
        for _ in range(_REDIRECTIONS + 1):
            reply = await self._ask(here, Question(octets=octets))
            if reply.status not in _MOVED:
                return _content(reply)
            here = _moved(here, reply.location)
            if here.host != first.host:
                raise RevocationError("the server sends us to another host, which is not followed")
        raise RevocationError("the server sends us round in circles")

    # --- issuers ---------------------------------------------------------------------------------

    async def _issuers(self, url: str, certificate: Certificate) -> _Answer:
        content = await self._get(url, self._limits.issuers_octets)
        if not await asyncio.to_thread(issuers_in, content, certificate, self._limits):
            raise RevocationError("no CA certificate in it has issued the certificate")
        return content, self._clock.now() + _LONGEST

    # --- OCSP ------------------------------------------------------------------------------------

    async def _response(self, url: str, certificate: Certificate, issuer: Certificate) -> _Answer:
        nonce = os.urandom(_NONCE_OCTETS)
        request = ocsp.request(certificate, issuer, nonce)
        content = await self._exchange(url, request)
        if not ocsp.answers_nonce(content, nonce):
            raise RevocationError("the OCSP answer belongs to another question (nonce)")
        now = self._clock.now()
        result = ocsp.status(
            certificate,
            issuer,
            [content],
            now,
            # Only whether it is worth keeping; the judge looks at the responder's own status.
            revocation_of=lambda _: RevocationStatus.GOOD,
            limits=self._limits,
        )
        if result.status is RevocationStatus.UNKNOWN:
            raise RevocationError(result.reason)
        until = result.next_update or now + _SHORTEST
        return content, min(max(until, now + timedelta(minutes=1)), now + _LONGEST)

    async def _exchange(self, url: str, request: bytes) -> bytes:
        octets = self._limits.ocsp_octets
        encoded = quote(base64.b64encode(request), safe="")
        if len(encoded) < _GET_OCTETS and "?" not in url:
            place = Destination.parse(f"{url.removesuffix('/')}/{encoded}")
            reply = await self._ask(place, Question(octets=octets), self._limits.revocation_seconds)
            if not 400 <= reply.status < 500:
                return _content(reply)
        # Longer, or a responder that only knows POST.
        question = Question(
            method="POST",
            body=request,
            content_type="application/ocsp-request",
            octets=octets,
        )
        place = Destination.parse(url)
        return _content(await self._ask(place, question, self._limits.revocation_seconds))

    async def _ask(
        self, place: Destination, question: Question, seconds: float | None = None
    ) -> Reply:
        async with asyncio.timeout(seconds):
            return await self._client.ask(place, question, connect=self._limits.revocation_seconds)


def _moved(here: Destination, location: str) -> Destination:
    try:
        url = urljoin(here.url, location)
    except ValueError as exc:
        raise RevocationError("the server sends us to no URL") from exc
    return Destination.parse(url)


def _content(reply: Reply) -> bytes:
    if reply.status != 200:
        raise RevocationError(f"the server answers {reply.status}")
    return reply.content
