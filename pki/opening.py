"""Opens a CA directory: to look at it, or alone to change it, after what a crash left is mended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files, settings
from pki.certified import IssuerName
from pki.errors import BusyError, LedgerError
from pki.home import Home
from pki.ledger import Ledger
from pki.profiles import Profile
from pki.register import Register
from smimegw.errors import UsageError

LOCK_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.05


def require(path: Path) -> None:
    """Make sure that there is a CA in *path*.

    Raises:
        UsageError: There is none.
    """
    if not (path / settings.FILE_NAME).is_file():
        raise UsageError(
            f"{path}: there is no certificate authority (no {settings.FILE_NAME}). Make one with "
            "`smimegw-ca init`, or name its directory with --directory or SMIMEGW_CA_DIRECTORY."
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Home]:
    """Open a CA directory to look at it.

    Raises:
        UsageError: There is no CA.
        LedgerError: The ledger does not hold, or is older than the files beside it.
    """
    require(path)
    loaded = settings.load(path / settings.FILE_NAME)
    # the register checks each entry as it adds it up, so that nothing is read twice
    with Ledger.open(path / "ledger.db", verify=False) as ledger:
        home = Home(path=path, settings=loaded, register=Register(ledger))
        _compare_with_files(home)
        yield home


@contextlib.contextmanager
def changing(path: Path, *, now: datetime, wait_seconds: float | None = None) -> Iterator[Home]:
    """Open a CA directory alone, mend what a crash left, and yield it.

    Raises:
        BusyError: Another process is at work.
        UsageError: There is no CA.
        LedgerError: The ledger does not hold, or is older than the files beside it.
    """
    require(path)
    with locked(path, wait_seconds=wait_seconds), reading(path) as home:
        mend(home, now=now)
        yield home


@contextlib.contextmanager
def locked(path: Path, *, wait_seconds: float | None = None) -> Iterator[None]:
    """Keep other processes from changing the same CA; the kernel frees the lock after a crash.

    Raises:
        BusyError: Another process kept it for longer than *wait_seconds* (ten by default).
    """
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + (LOCK_SECONDS if wait_seconds is None else wait_seconds)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise BusyError(
                        f"{path}: another smimegw-ca is at work there. Nothing was changed; "
                        "do it again when the other is done.",
                        server=str(path),
                    ) from None
            time.sleep(_LOCK_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def mend(home: Home, *, now: datetime) -> None:
    """Finish what a crash interrupted: the ledger is right, the files follow it."""
    for serial in home.register.open_reservations():
        # Never recorded means never handed out: the key protects nothing and may go.
        home.key_path(serial).unlink(missing_ok=True)
        home.register.record_abandoned(serial, now=now)
    for certified in home.register.certificates():
        owner: IssuerName | int = certified.own or certified.serial
        if not (certified.mailbox or certified.own or certified.profile is Profile.ISSUING):
            continue  # a responder's, and the CA's own of the first release
        path = home.certificate_path(owner)
        if not path.exists():
            files.make_directory(path.parent)
            files.write_new(
                path, certified.certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC
            )
    for issuer in home.issuers:
        newest = home.register.last_crl(issuer)
        path = home.crl_path(issuer)
        if newest and (not path.exists() or path.read_bytes() != newest.der):
            files.replace(path, newest.der)


def _compare_with_files(home: Home) -> None:
    # A ledger that is shorter than what stands beside it was cut, or comes from an old backup:
    # going on with it would number CRLs twice and forget revocations.
    advice = (
        "Entries were cut off its end, or an older copy was put back. Stop issuing and restore "
        "the newest backup of the whole directory."
    )
    # Files first, ledger then: a process at work writes the other way round.
    places = sorted((home.path / "issued").glob("[0-9A-F]*"))
    known = home.register.history.serials
    for place in places:
        if place.name not in known:
            raise LedgerError(f"{place}: exists, but the ledger does not know it. {advice}")
    open_places = [home.certificate_path(serial) for serial in home.register.open_reservations()]
    written = [path.parent for path in open_places if path.exists()]
    unfinished = home.register.history.open_reservations() if written else ()
    for place in written:
        if place.name in unfinished:  # to give the number up would throw the key away
            raise LedgerError(f"{place}: is issued, but the ledger does not know that. {advice}")
    for issuer in home.issuers:
        path = home.crl_path(issuer)
        if not path.exists():
            continue
        try:
            crl = x509.load_der_x509_crl(path.read_bytes())
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (ValueError, x509.ExtensionNotFound):
            continue  # a damaged copy; the ledger has the CRL and mends the file
        newest = home.register.last_crl(issuer)
        if newest is None or number > newest.number:
            raise LedgerError(f"{path}: is newer than the ledger. {advice}")
