"""The directory in which a CA lives: where everything is, who may work in it, what a crash left.

::

    ca.toml                          settings; written last, so it marks a finished init
    ledger.db                        everything issued, revoked and listed
    root/, issuing/, issuing-2/      certificate.pem, key.pem (encrypted) or token.toml, crl.der
    issued/SERIAL/                   certificate.pem, key.pem (encrypted) when the CA made the key
    lock                             held by whoever changes something
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, files, own_keys, places, settings
from pki.authority import Issuer
from pki.errors import BusyError, LedgerError
from pki.extensions import Pointers
from pki.ledger import Ledger
from pki.profiles import Profile
from pki.register import Certified, IssuerName, Register, serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

LOCK_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.05


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

    @property
    def issuers(self) -> tuple[IssuerName, ...]:
        """The CAs whose certificates are here, the root first, then the issuing ones by age."""
        return tuple(places.assigned(self.register.own_certificates()))

    @property
    def issuing(self) -> IssuerName:
        """The CA that issues now: the newest.

        Raises:
            UsageError: There is none, or its certificate is not here yet.
        """
        name = next(reversed(self.issuers), places.ROOT)
        return places.FIRST if name == places.ROOT else name

    def authority(self, issuer: IssuerName) -> Certified:
        """Return the CA's own certificate.

        Raises:
            UsageError: It is not here: this is a root alone, or the root did not certify it yet.
        """
        assigned = places.assigned(self.register.own_certificates())
        if issuer in assigned:
            return assigned[issuer]
        if self.request_path(issuer).exists():
            raise UsageError(
                f"The {issuer} CA has no certificate yet. Carry {self.request_path(issuer)} to the "
                "root, have it signed (smimegw-ca root sign), and bring the certificate back: "
                "smimegw-ca install FILE"
            )
        raise UsageError(
            f"{self.path}: there is no {issuer} CA in this directory. It holds: "
            f"{', '.join(assigned) or 'nothing yet'}. Name the right one with --directory."
        )

    def issuer(self, name: IssuerName, passphrase: bytes) -> Issuer:
        """Open a CA key, in its file or its token.

        Raises:
            PassphraseError: It does not open.
            UsageError: This CA is not here.
            KeystoreError: The token does not answer.
        """
        certificate = self.authority(name).certificate
        return Issuer(certificate=certificate, key=own_keys.open_key(self.path / name, passphrase))

    def name_of(self, issuer: Issuer) -> IssuerName:
        """Return which of the CAs here *issuer* is.

        Raises:
            UsageError: None of them.
        """
        for name in self.issuers:
            if self.authority(name).certificate == issuer.certificate:
                return name
        subject = issuer.certificate.subject.rfc4514_string()
        raise UsageError(f"{self.path}: {subject} is no CA of this directory.")

    def holds_key(self, name: IssuerName) -> bool:
        """Whether this directory can sign for *name*; an offline root's key is elsewhere."""
        return own_keys.exists(self.path / name)

    def listing(self, *, now: datetime) -> tuple[IssuerName, ...]:
        """The CAs that need fresh CRLs, and answers about what they issued.

        One that was followed by another still lists until the last certificate it issued ended.
        Whether this directory can sign for it, `holds_key` says.
        """
        return tuple(
            name
            for name in self.issuers
            if self.authority(name).not_after >= now
            and (name in (places.ROOT, self.issuing) or self._has_issued_valid(name, now))
        )

    def request_path(self, name: IssuerName) -> Path:
        """Where the request to the root for *name* is, PEM."""
        return self.path / name / "request.pem"

    def pointers(self, name: IssuerName) -> Pointers:
        """What the certificates that *name* issues to subscribers point to."""
        every = self.settings.mailbox_pointers

        def located(urls: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(places.located(url, name) for url in urls)

        return replace(
            every,
            crl_urls=located(every.crl_urls),
            delta_urls=located(every.delta_urls),
            issuer_urls=located(every.issuer_urls),
        )

    def check_mailbox(self, mailbox: Mailbox) -> None:
        """Make sure that this CA may speak for a mailbox.

        Raises:
            UsageError: Its domain is not one of the CA's.
        """
        issuing = self.authority(self.issuing)
        if issuing.revocation:
            raise UsageError(
                f"The {self.issuing} CA was revoked ({issuing.revocation.reason}), so no reader "
                "would trust what it issues. Give it a new key first: smimegw-ca rollover"
            )
        permitted = authority.permitted_domains(issuing.certificate)
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

    def _has_issued_valid(self, name: IssuerName, now: datetime) -> bool:
        # Its responder is there for the others; alone it would keep the CA listing for ever.
        return any(
            certified.issuer == name
            and certified.not_after >= now
            and certified.profile is not Profile.OCSP
            for certified in self.register.certificates()
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
