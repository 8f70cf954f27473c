"""Enrolment over Secure Transport (RFC 7030, clarified by RFC 8951): CSR in, certificate out.

Who asks is a registration authority: it shows a TLS client certificate with the purpose id-kp-cmcRA
(RFC 6402, 2.10) from the authority that this server trusts, and asks for mailboxes of the CA's
domains.  A label in the path names the profile (RFC 7030, 3.2.2).  The signature of the request
proves possession of the key (RFC 7030, 3.4).
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from pki import profiles
from pki.certified import Certified
from pki.errors import BusyError, LedgerError, PassphraseError
from pki.profiles import Profile
from pki.serve.access import REGISTRATION_AUTHORITY
from pki.serve.office import Asked, Office, Waiting
from smimegw.cms import der
from smimegw.cms.sign import certificates_only
from smimegw.errors import DependencyError, SmimegwError, UsageError
from smimegw.x509.certificate import Certificate

REQUEST_OCTETS = 64 * 1024
_RETRY_SECONDS = 300  # a person decides; who asks every second learns nothing sooner
_BUSY_SECONDS = 10
_DEFAULT = Profile.BOTH
# What requests may be signed with (RFC 7030, 4.5.2): ECDSA and RSA with SHA-256
_SIGNATURES = ("1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11")

Issued = Callable[[Certified], None]
Report = Callable[[str], None]


def application(office: Office, issued: Issued, report: Report) -> web.Application:
    """Return the application that enrols at *office*.

    Args:
        office: Issues.
        issued: Is told of every certificate that was handed out.
        report: Takes a text for the administrator.
    """
    site = _Site(office, issued, report)
    made = web.Application(client_max_size=REQUEST_OCTETS)
    for place in ("/.well-known/est", "/.well-known/est/{label}"):
        made.router.add_get(f"{place}/cacerts", site.cacerts)
        made.router.add_get(f"{place}/csrattrs", site.csrattrs)
        made.router.add_post(f"{place}/simpleenroll", site.simpleenroll)
        made.router.add_post(f"{place}/simplereenroll", site.simplereenroll)
    return made


def tls_context(server: Path, client_authority: Path) -> ssl.SSLContext:
    """Return a context that asks clients for a certificate of *client_authority*.

    Args:
        server: Our certificate with its key, PEM.
        client_authority: Certificates, PEM.

    Raises:
        UsageError: A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Optional here: /cacerts is for everybody (RFC 7030, 4.1.1); the rest looks at who asks.
    context.verify_mode = ssl.CERT_OPTIONAL
    try:
        context.load_cert_chain(server, password="")
        context.load_verify_locations(client_authority)
    except (OSError, ssl.SSLError) as error:
        what = getattr(error, "reason", None) or error.strerror
        raise UsageError(
            f"{server} and {client_authority} cannot be used for TLS: {what}. "
            "Make both with: smimegw-ca est make"
        ) from error
    return context


class _Site:
    def __init__(self, office: Office, issued: Issued, report: Report) -> None:
        self._office = office
        self._issued = issued
        self._report = report

    async def cacerts(self, request: web.Request) -> web.Response:
        """RFC 7030, 4.1: the CA's certificates, for everybody."""
        _profile(request)
        return await self._answered(self._cacerts())

    async def csrattrs(self, request: web.Request) -> web.Response:
        """RFC 7030, 4.5: what a request should look like."""
        _profile(request)
        wanted = der.sequence(*(der.oid(name) for name in _SIGNATURES))
        return _base64(wanted, "application/csrattrs")

    async def simpleenroll(self, request: web.Request) -> web.Response:
        """RFC 7030, 4.2.1."""
        return await self._answered(self._enrol(request, renews=False))

    async def simplereenroll(self, request: web.Request) -> web.Response:
        """RFC 7030, 4.2.2."""
        return await self._answered(self._enrol(request, renews=True))

    async def _cacerts(self) -> web.Response:
        found = await self._office.authorities()
        return _base64(_only(*found), "application/pkcs7-mime")

    async def _enrol(self, request: web.Request, *, renews: bool) -> web.Response:
        profile, requester = _profile(request), _requester(request)
        if request.content_type != "application/pkcs10":
            return _text(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/pkcs10.")
        try:
            # RFC 8951, 2.1: base64 with any white space, whatever the transfer encoding says
            csr = base64.b64decode(b"".join((await request.read()).split()), validate=True)
        except (binascii.Error, ValueError):
            return _text(HTTPStatus.BAD_REQUEST, "The request is not base64.")
        asked = Asked(csr=csr, profile=profile, requester=requester, renews=renews)
        done = await self._office.enrol(asked)
        if isinstance(done, Waiting):
            text = f"Request {done.number} waits to be approved."
            return _text(HTTPStatus.ACCEPTED, text, retry=_RETRY_SECONDS)
        self._issued(done)
        return _base64(_only(done.der), "application/pkcs7-mime; smime-type=certs-only")

    async def _answered(self, work: Awaitable[web.Response]) -> web.Response:
        try:
            return await work
        except (BusyError, LedgerError, PassphraseError, DependencyError) as error:
            self._report(str(error))
            return _unable()
        except SmimegwError as error:
            return _text(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:  # full, read-only, or not ours; what stands is in the ledger
            self._report(
                f"{error.filename}: {error.strerror}; mend it, then the gateway asks again"
            )
            return _unable()


def _profile(request: web.Request) -> Profile:
    label = request.match_info.get("label", "")
    if not label:
        return _DEFAULT
    if label not in (profile.value for profile in profiles.SUBSCRIBER):
        raise web.HTTPNotFound(text=f"There is no profile {label!r}.")
    return Profile(label)


def _requester(request: web.Request) -> str:
    """Name of the registration authority that asks.

    Raises:
        web.HTTPForbidden: Nobody who may ask.
    """
    channel = request.transport.get_extra_info("ssl_object") if request.transport else None
    octets = channel.getpeercert(binary_form=True) if channel else None
    if not octets:
        raise web.HTTPUnauthorized(text="Show a client certificate.")
    certificate = x509.load_der_x509_certificate(octets)
    if not _is_registration_authority(certificate):
        raise web.HTTPForbidden(text="The client certificate is not for a registration authority.")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f"est:{names[0].value!s}" if names else f"est:{certificate.serial_number:x}"


def _is_registration_authority(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return REGISTRATION_AUTHORITY in purposes


def _only(*certificates: bytes) -> bytes:
    return certificates_only([Certificate.parse(octets) for octets in certificates])


def _base64(octets: bytes, kind: str) -> web.Response:
    # RFC 8951, 2.1 does without Content-Transfer-Encoding; clients of RFC 7030 expect it.
    fields = {"Content-Type": kind, "Content-Transfer-Encoding": "base64"}
    return web.Response(body=base64.encodebytes(octets), headers=fields)


def _unable() -> web.Response:
    text = "The certificate authority cannot work now."
    return _text(HTTPStatus.SERVICE_UNAVAILABLE, text, retry=_BUSY_SECONDS)


def _text(status: HTTPStatus, text: str, *, retry: int = 0) -> web.Response:
    fields = {"Retry-After": str(retry)} if retry else {}
    return web.Response(status=status, text=text, headers=fields)
