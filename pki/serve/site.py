"""Tells everybody over HTTP what the CA says of its certificates: OCSP, CRLs, its own certificates.

OCSP over GET is cacheable (RFC 5019, 6); an answer with a nonce is for whoever asked alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import unquote

from aiohttp import web

from pki import ocsp
from pki.certified import IssuerName
from pki.errors import BusyError, LedgerError
from pki.ocsp import Failure, Responder, Times
from pki.ocsp_request import REQUEST_OCTETS, Request, parse_request
from pki.places import is_place
from pki.serve.records import Records
from smimegw.errors import CMSError, LimitError, UsageError

Now = Callable[[], datetime]

_OCSP_REQUEST, _OCSP_RESPONSE = "application/ocsp-request", "application/ocsp-response"
_KEPT_ANSWERS = 1024
_KEPT_SECONDS = 300  # the same answer, so that caches between find it unchanged
_FILE_SECONDS = 3600  # a CRL may be made before its time, when somebody was revoked


def application(records: Records, now: Now) -> web.Application:
    """Return the application that serves *records*."""
    site = _Site(records, now)
    made = web.Application(client_max_size=REQUEST_OCTETS)
    made.router.add_post("/ocsp", site.ocsp_post)
    made.router.add_post("/ocsp/", site.ocsp_post)
    made.router.add_get("/ocsp/{request:.*}", site.ocsp_get)
    made.router.add_get("/crl/{name}.crl", site.crl)
    made.router.add_get("/aia/{name}.{form:cer|p7c}", site.authority)
    made.router.add_get("/healthz", site.health)
    return made


class _Answers:
    """Signed answers that still count, by what was asked."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, ...], tuple[int, Times, bytes]] = OrderedDict()

    def find(
        self, asked: tuple[bytes, ...], revision: int, now: datetime
    ) -> tuple[bytes, Times] | None:
        found = self._kept.get(asked)
        if found is None or found[0] != revision:
            return None
        _, times, octets = found
        age = (now - times.produced_at).total_seconds()
        return (octets, times) if 0 <= age < _KEPT_SECONDS else None

    def keep(self, asked: tuple[bytes, ...], revision: int, times: Times, octets: bytes) -> None:
        self._kept[asked] = revision, times, octets
        if len(self._kept) > _KEPT_ANSWERS:
            self._kept.popitem(last=False)


class _Site:
    def __init__(self, records: Records, now: Now) -> None:
        self._records = records
        self._now = now
        self._answers = _Answers()

    # --- OCSP ------------------------------------------------------------------------------------

    async def ocsp_post(self, request: web.Request) -> web.Response:
        """RFC 6960, A.1: the request is the body."""
        if request.content_type != _OCSP_REQUEST:
            return web.Response(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text=_OCSP_REQUEST)
        return self._ocsp(await request.read(), cacheable=False)

    async def ocsp_get(self, request: web.Request) -> web.Response:
        """RFC 6960, A.1: the request is the rest of the path, base64 and then URL-encoded."""
        path = request.raw_path.partition("?")[0].partition("/ocsp/")[2]
        try:
            octets = base64.b64decode(unquote(path), validate=True)
        except (binascii.Error, ValueError):
            return _unsigned(Failure.MALFORMED_REQUEST)
        return _conditional(request, self._ocsp(octets, cacheable=True))

    def _ocsp(self, octets: bytes, *, cacheable: bool) -> web.Response:
        try:
            asked = parse_request(octets)
        except (CMSError, LimitError):
            return _unsigned(Failure.MALFORMED_REQUEST)
        now = self._now()
        try:
            name, responder = self._responder_for(asked)
            if not responder.counts_at(now):
                return _unsigned(Failure.TRY_LATER)  # a new one is about to be appointed
            der, times = self._answer(asked, name, responder, now)
        except LookupError:
            return _unsigned(Failure.UNAUTHORIZED)
        except (BusyError, LedgerError):
            return _unsigned(Failure.TRY_LATER)
        response = web.Response(body=der, content_type=_OCSP_RESPONSE)
        if cacheable and not asked.nonce:
            _let_cache(response, times.this_update, times.next_update, now)
        return response

    def _responder_for(self, asked: Request) -> tuple[IssuerName, Responder]:
        for name, responder in self._records.responders():
            if any(responder.answers_for(certificate) for certificate in asked.certificates):
                return name, responder
        raise LookupError

    def _answer(
        self, asked: Request, name: IssuerName, responder: Responder, now: datetime
    ) -> tuple[bytes, Times]:
        revision = self._records.revision
        wanted = tuple(certificate.encoded for certificate in asked.certificates)
        kept = None if asked.nonce else self._answers.find(wanted, revision, now)
        if kept is not None:
            return kept
        chosen = self._records.settings
        times = ocsp.times_from(now, chosen.ocsp_hours, responder)
        der = ocsp.answer(
            asked,
            lambda certificate: self._records.standing(name, certificate.serial),
            responder,
            times,
            unissued_is_revoked=chosen.ocsp_unissued == "revoked",
        )
        if not asked.nonce:
            self._answers.keep(wanted, revision, times, der)
        return der, times

    # --- files -----------------------------------------------------------------------------------

    async def crl(self, request: web.Request) -> web.Response:
        """The newest CRL (RFC 2585, 3): ``root``, ``issuing``, ``issuing-delta``."""
        wanted = request.match_info["name"]
        # of a second issuing CA: issuing-2 and issuing-delta-2, as certificates point to them
        issuer, is_delta = wanted.replace("-delta", "", 1), "-delta" in wanted
        try:
            lists = self._records.lists(_issuer(issuer))
        except (BusyError, LedgerError):
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        found = lists.delta if is_delta else lists.complete
        if found is None:
            raise web.HTTPNotFound
        now = self._now()
        response = web.Response(body=found.der, content_type="application/pkix-crl")
        _let_cache(response, found.crl.last_update_utc, found.next_update, now, _FILE_SECONDS)
        return _conditional(request, response)

    async def authority(self, request: web.Request) -> web.Response:
        """A CA's certificate (RFC 5280, 4.2.2.1), alone or with those above it."""
        name = _issuer(request.match_info["name"])
        try:
            if request.match_info["form"] == "cer":
                body, kind = self._records.certificate(name), "application/pkix-cert"
            else:
                body = self._records.certificates(name)
                kind = "application/pkcs7-mime; smime-type=certs-only"
        except UsageError:
            raise web.HTTPNotFound from None
        response = web.Response(body=body, headers={"Content-Type": kind})
        response.headers["ETag"] = _tag(body)
        response.headers["Cache-Control"] = f"max-age={_FILE_SECONDS}, public"
        return _conditional(request, response)

    async def health(self, _: web.Request) -> web.Response:
        """200 while readers get news, else 503 and why."""
        try:
            troubles = self._records.troubles(self._now())
        except (BusyError, LedgerError) as error:
            troubles = (str(error),)
        status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
        return web.json_response({"ok": not troubles, "troubles": list(troubles)}, status=status)


def _issuer(text: str) -> IssuerName:
    if is_place(text):
        return text
    raise web.HTTPNotFound


def _unsigned(status: Failure) -> web.Response:
    response = web.Response(body=ocsp.failure(status), content_type=_OCSP_RESPONSE)
    response.headers["Cache-Control"] = "no-store"
    return response


def _let_cache(
    response: web.Response,
    made: datetime,
    until: datetime,
    now: datetime,
    seconds_max: int | None = None,
) -> None:
    # RFC 5019, 6.2: what caches keep ends before the answer itself does
    seconds = max(0, int((until - now).total_seconds()))
    seconds = seconds if seconds_max is None else min(seconds, seconds_max)
    fields = response.headers
    fields["Last-Modified"] = format_datetime(made.astimezone(UTC), usegmt=True)
    fields["Expires"] = format_datetime(until.astimezone(UTC), usegmt=True)
    fields["Cache-Control"] = f"max-age={seconds}, public, no-transform, must-revalidate"
    assert isinstance(response.body, bytes)
    fields["ETag"] = _tag(response.body)


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


def _conditional(request: web.Request, response: web.Response) -> web.Response:
    tag = response.headers.get("ETag", "")
    wanted = request.headers.get("If-None-Match", "")
    if not tag or tag not in (item.strip().removeprefix("W/") for item in wanted.split(",")):
        return response
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=kept)


_KEPT = ("ETag", "Cache-Control", "Expires", "Last-Modified")
