"""The directory in which a CA lives: where everything is, who may work in it, what a crash left.

::

    ca.toml                          settings; written last, so it marks a finished init
    ledger.db                        everything issued, revoked and listed
    root/ and issuing/               certificate.pem, key.pem (encrypted), crl.der
    issued/SERIAL/                   certificate.pem, key.pem (encrypted) when the CA made the key
    lock                             held by whoever changes something
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, files, keys, settings
from pki.authority import Issuer
from pki.errors import BusyError, LedgerError
from pki.ledger import Ledger
from pki.register import Certified, IssuerName, Register, serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

LOCK_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.05
ISSUERS: tuple[IssuerName, ...] = ("root", "issuing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An open CA directory."""

    path: Path
    settings: Settings
    register: Register

    def key_path(self, owner: IssuerName | int) -> Path:
        """Where the private key of a CA (by name) or of a certificate (by serial number) is."""
        return self._place(owner) / "key.pem"

    def certificate_path(self, owner: IssuerName | int) -> Path:
        """Where a certificate is, PEM."""
        return self._place(owner) / "certificate.pem"

    def crl_path(self, issuer: IssuerName) -> Path:
        """Where the newest CRL is, DER."""
        return self.path / issuer / "crl.der"

    def authority(self, issuer: IssuerName) -> Certified:
        """Return the CA's own certificate."""
        own = self.register.own_certificates()
        return own[ISSUERS.index(issuer)]

    def issuer(self, name: IssuerName, passphrase: bytes) -> Issuer:
        """Open a CA key.

        Raises:
            PassphraseError: It does not open.
        """
        key = keys.read_signing_key(self.key_path(name), passphrase)
        return Issuer(certificate=self.authority(name).certificate, key=key)

    def check_mailbox(self, mailbox: Mailbox) -> None:
        """Make sure that this CA may speak for a mailbox.

        Raises:
            UsageError: Its domain is not one of the CA's.
        """
        permitted = authority.permitted_domains(self.authority("issuing").certificate)
        if mailbox.domain.startswith("["):
            raise UsageError(f"<{mailbox}> is at an address literal; only domain names are issued.")
        if " " in mailbox.address:
            raise UsageError(
                f"<{mailbox}> holds a space. Readers, the gateway among them, take a certificate "
                "with one for forged. Give the person an address without."
            )
        for domains, place in (
            (permitted, "the name constraints of the issuing CA's certificate"),
            (self.settings.domains, f"domains in {self.path / settings.FILE_NAME}"),
        ):
            if not authority.domain_is_permitted(mailbox.domain, domains):
                raise UsageError(
                    f"<{mailbox}> is outside of the domains of this CA: {', '.join(domains)} "
                    f"({place}). Correct the address, or set up a CA for {mailbox.domain}."
                )

    def _place(self, owner: IssuerName | int) -> Path:
        return self.path / (owner if isinstance(owner, str) else f"issued/{serial_text(owner)}")


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
    with Ledger.open(path / "ledger.db") as ledger:
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
        owner: IssuerName | int = certified.serial
        if certified.mailbox is None:
            continue
        path = home.certificate_path(owner)
        if not path.exists():
            files.make_directory(path.parent)
            files.write_new(
                path, certified.certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC
            )
    for issuer in ISSUERS:
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
    known = {entry.serial for entry in home.register.ledger.entries()}
    for place in sorted((home.path / "issued").glob("[0-9A-F]*")):
        if place.name not in known:
            raise LedgerError(f"{place}: exists, but the ledger does not know it. {advice}")
    for issuer in ISSUERS:
        path, newest = home.crl_path(issuer), home.register.last_crl(issuer)
        if not path.exists():
            continue
        try:
            crl = x509.load_der_x509_crl(path.read_bytes())
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (ValueError, x509.ExtensionNotFound):
            continue  # a damaged copy; the ledger has the CRL and mends the file
        if newest is None or number > newest.number:
            raise LedgerError(f"{path}: is newer than the ledger. {advice}")
