"""The CA at work for enrolments: its key open in one thread, one request at a time.

A request that came before is answered as before: the same key gets the same certificate, so an
answer that was lost on the way, or that waited for a person (RFC 7030, 4.2.3), is asked for again
without a second certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pki import approval, keys, lint, opening
from pki.approval import Filing
from pki.authority import Issuer
from pki.certified import Certified, IssuerName, current
from pki.errors import RequestError
from pki.home import Home
from pki.profiles import Baseline, Level, Profile
from pki.request import CertificationRequest, parse_request
from pki.requests import Request, RequestState
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError

Now = Callable[[], datetime]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One enrolment.

    Attributes:
        csr: PKCS #10, DER.
        profile: What the certificate is for.
        requester: Who asks, for the ledger.
        renews: It follows a certificate that the mailbox has.
    """

    csr: bytes = field(repr=False)
    profile: Profile
    requester: str
    renews: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person has to approve the request of this number first."""

    number: int


class Office:
    """Issues what requests ask for; `open` it, and `close` it.

    Args:
        path: The CA directory.
        passphrase: Of the CA's keys.
        now: The time.
    """

    def __init__(self, path: Path, passphrase: bytes, now: Now) -> None:
        self._path = path
        self._passphrase = passphrase
        self._now = now
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="office")
        self._stack = contextlib.ExitStack()
        self._home: Home | None = None
        self._issuer: tuple[IssuerName, Issuer] | None = None

    async def open(self) -> None:
        """Open the CA directory and its key.

        Raises:
            PassphraseError: The key does not open.
            UsageError: There is no CA, or none that issues.
            LedgerError: The ledger does not hold.
        """
        await self._in_thread(self._open)

    async def enrol(self, asked: Asked) -> Certified | Waiting:
        """Issue, or say that a person is waited for.

        Raises:
            RequestError: The request, its key or its addresses are not fit, or it was refused.
            UsageError: The mailbox is not ours, or may not have such a certificate.
            BusyError: The disk or another process; nothing was issued.
            LedgerError: The ledger does not hold any more.
        """
        return await self._in_thread(self._enrol, asked)

    async def authorities(self) -> tuple[bytes, ...]:
        """The certificates of the issuing CA and those above it, DER."""
        return await self._in_thread(self._authorities)

    async def close(self) -> None:
        """Close the directory; a request that is under way is finished."""
        await self._in_thread(self._stack.close)
        self._threads.shutdown()

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    # --- in the one thread -----------------------------------------------------------------------

    def _open(self) -> None:
        self._home = self._stack.enter_context(opening.reading(self._path))
        issuing = self._key(self._home).certificate
        baseline = self._home.settings.baseline
        if baseline is not Baseline.NONE:
            # Loading the linter takes seconds, which the first sender shall not wait for.
            lint.lint_certificate(issuing, level=Level.MAILBOX, baseline=baseline)

    def _key(self, opened: Home) -> Issuer:
        name = opened.issuing  # another one after a roll-over
        if self._issuer is None or self._issuer[0] != name:
            self._issuer = name, opened.issuer(name, self._passphrase)
        return self._issuer[1]

    def _authorities(self) -> tuple[bytes, ...]:
        opened = self._opened
        return tuple(opened.authority(name).der for name in reversed(opened.issuers))

    @property
    def _opened(self) -> Home:
        assert self._home is not None  # open came first
        return self._home

    def _enrol(self, asked: Asked) -> Certified | Waiting:
        opened, now = self._opened, self._now()
        wanted = parse_request(asked.csr)
        mailbox = mailbox_of(wanted)
        with opening.locked(self._path):
            opening.mend(opened, now=now)
            found = _issued_before(opened, wanted, mailbox, asked.profile, now)
            if found is not None:
                return found
            request = _filed_before(opened, wanted, asked.profile, now)
            if request is None:
                request = self._file(opened, asked, mailbox, now)
            if request.state is RequestState.PENDING:
                return Waiting(request.number)
            certified, *_ = approval.issue(
                opened,
                self._key(opened),
                request,
                passphrase=self._passphrase,
                operator=asked.requester,
                now=now,
            )
        return certified

    def _file(self, opened: Home, asked: Asked, mailbox: Mailbox, now: datetime) -> Request:
        previous = _current(opened, mailbox, asked.profile)
        if asked.renews and previous is None:
            raise RequestError(
                f"<{mailbox}> has no {asked.profile} certificate that could be renewed. "
                "Enrol it instead (simpleenroll)."
            )
        filing = Filing(
            mailbox=mailbox,
            profiles=(asked.profile,),
            requester=asked.requester,
            name=previous.name if previous else "",
            csr=asked.csr,
            renews=previous.serial if asked.renews and previous else None,
        )
        request, _ = approval.file(opened, filing, now=now)
        if opened.settings.practice.second_person:
            return request
        return approval.approve(opened, request, operator=asked.requester, now=now)


def mailbox_of(request: CertificationRequest) -> Mailbox:
    """Return the one mailbox that a request asks for.

    Raises:
        RequestError: None, several, or other kinds of names.
    """
    found: list[Mailbox] = []
    for wish in request.wished_addresses:
        try:
            mailbox = Mailbox.parse(wish)
        except AddressError:
            raise RequestError(f"The request asks for {wish!r}, which is no mailbox.") from None
        if not any(mailbox.same_as(other) for other in found):
            found.append(mailbox)
    if len(found) != 1:
        raise RequestError(
            f"The request names {len(found)} mailboxes where one is expected. Write the address "
            "into its SubjectAltName."
        )
    return found[0]


def _issued_before(
    opened: Home, wanted: CertificationRequest, mailbox: Mailbox, profile: Profile, now: datetime
) -> Certified | None:
    octets = keys.public_key_octets(wanted.public_key)
    for certified in opened.register.history.of_key(octets):
        ours = certified.mailbox is not None and certified.mailbox.same_as(mailbox)
        if ours and certified.profile is profile and certified.status(now) == "valid":
            return certified
    return None


def _filed_before(
    opened: Home, wanted: CertificationRequest, profile: Profile, now: datetime
) -> Request | None:
    for request in reversed(opened.register.history.requests.values()):
        if request.request_der != wanted.der or request.profiles != (profile,):
            continue
        match request.state_at(now):
            case RequestState.PENDING | RequestState.APPROVED:
                return request
            case RequestState.REFUSED:
                raise RequestError(f"Request {request.number} was refused: {request.reason}")
            case _:
                return None
    return None


def _current(opened: Home, mailbox: Mailbox, profile: Profile) -> Certified | None:
    found = current(opened.register.find_mailbox(mailbox))
    return next((certified for certified in found if certified.profile is profile), None)
