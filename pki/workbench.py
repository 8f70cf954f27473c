"""Makes keys, lints drafts and packs files in processes of their own: what takes long in bulk.

The processes never get the CA's key: they draft with a stand-in.  Private keys of subscribers come
back encrypted under the CA's passphrase, as they will lie on the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection
from types import TracebackType
from typing import Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_public_key,
    load_pem_private_key,
)

from pki import authority, export, keys, lint, orders, profiles
from pki.authority import Issuer
from pki.errors import BusyError, LedgerError
from pki.extensions import Pointers
from pki.keys import PrivateKey, PublicKey, VerifyingKey
from pki.orders import Order
from pki.settings import Settings
from pki.validity import Validity
from smimegw.errors import UsageError

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 8  # tasks that wait in front of each process
_ROUNDS_FOR_ONE_TIME_PASSWORDS = 20_000  # nobody guesses those


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """One certificate that lacks its key; everything in it can travel to another process."""

    order: Order
    settings: Settings
    validity: Validity
    pointers: Pointers


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new key whose draft is clean.

    Attributes:
        public_der: SubjectPublicKeyInfo.
        sealed: The private key, PKCS #8 under the CA's passphrase, PEM.
        findings: Warnings of the lint.
    """

    order: Order
    public_der: bytes
    sealed: bytes = field(repr=False)
    findings: tuple[str, ...]

    @property
    def public_key(self) -> PublicKey:
        """The public key."""
        return keys.accept_public_key(load_der_public_key(self.public_der))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What goes into one PKCS #12 file.

    Attributes:
        one_time: The passphrase is one that nobody can guess.
    """

    name: str
    sealed: bytes = field(repr=False)
    certificate: bytes
    above: tuple[bytes, ...]
    passphrase: bytes = field(repr=False)
    legacy: bool
    one_time: bool


@dataclass(slots=True)
class _Place:
    """What a process knows from its beginning."""

    issuer: x509.Certificate
    passphrase: bytes = field(repr=False)


_place: _Place


class Workbench:
    """Several processes; a context manager."""

    def __init__(self, issuer: x509.Certificate, *, passphrase: bytes, processes: int) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes,
            # no copy of a process that holds the CA's key
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(issuer.public_bytes(Encoding.DER), passphrase),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def make(self, blanks: Iterable[Blank]) -> Iterator[Made | tuple[Order, str]]:
        """Make the keys in order; where a draft is not clean, say of which order and why.

        Raises:
            BusyError: A process was ended by somebody.
        """
        return self._each(_make, blanks)

    def pack(self, parcels: Iterable[Parcel]) -> Iterator[bytes]:
        """Make the files in order."""
        return self._each(_pack, parcels)

    def _each(self, act: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        waiting: deque[Future[Result]] = deque()
        for task in tasks:
            waiting.append(self._submit(act, task))
            if len(waiting) > self._processes * _AHEAD:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())

    def _submit(self, act: Callable[[Task], Result], task: Task) -> Future[Result]:
        try:
            return self._pool.submit(act, task)
        except BrokenProcessPool as error:
            raise _ended() from error


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _ended() from error


def _ended() -> BusyError:
    return BusyError(
        "A process that makes keys has ended; the system may have no memory left. What was issued "
        "is safe: do it again, with fewer --jobs, and it goes on from there.",
        server="workbench",
    )


def _begin(issuer_der: bytes, passphrase: bytes) -> None:
    # Whoever started us may be killed; nobody would tell a process that waits for work.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _place
    _place = _Place(issuer=x509.load_der_x509_certificate(issuer_der), passphrase=passphrase)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _make(blank: Blank) -> Made | tuple[Order, str]:
    order = blank.order
    try:
        private = keys.generate(order.key_kind)
        public = private.public_key()
        profiles.check_key(order.profile, public)
        findings = _lint(blank, public)
    except UsageError as error:  # a lint that refuses is one of them
        return order, str(error)
    sealed = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(_place.passphrase)
    )
    return Made(
        order=order,
        public_der=keys.public_key_octets(public),
        sealed=sealed,
        findings=findings,
    )


def _lint(blank: Blank, public: PublicKey) -> tuple[str, ...]:
    issuer = Issuer(certificate=_place.issuer, key=_KeyElsewhere(_place.issuer))
    builder = authority.compose_mailbox(
        public,
        orders.subject(blank.settings, blank.order),
        blank.order.mailbox,
        profile=blank.order.profile,
        issuer=issuer,
        serial=x509.random_serial_number(),
        validity=blank.validity,
        pointers=blank.pointers,
    )
    draft = issuer.draft(builder)
    return lint.inspect_draft(draft, profile=blank.order.profile, baseline=blank.pointers.baseline)


class _KeyElsewhere:
    """Stands for the CA's key where it is not; drafts need its public half only."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self._public = certificate.public_key()

    def public_key(self) -> VerifyingKey:
        """Return the public half."""
        assert isinstance(self._public, VerifyingKey)
        return self._public

    def sign_octets(self, octets: bytes, digest: object) -> bytes:  # noqa: ARG002
        """Never called."""
        raise LedgerError("The CA's key is not in this process.")


def _pack(parcel: Parcel) -> bytes:
    # made here a moment ago, so the slow check of an RSA key finds nothing
    key: PrivateKey = load_pem_private_key(  # type: ignore[assignment]
        parcel.sealed, _place.passphrase, unsafe_skip_rsa_key_validation=True
    )
    options = {"rounds": _ROUNDS_FOR_ONE_TIME_PASSWORDS} if parcel.one_time else {}
    return export.pack(
        key,
        x509.load_der_x509_certificate(parcel.certificate),
        [x509.load_der_x509_certificate(der) for der in parcel.above],
        name=parcel.name,
        passphrase=parcel.passphrase,
        legacy=parcel.legacy,
        **options,
    )
