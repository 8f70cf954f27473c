"""What a status service reads of a CA directory: ledger and responder, nothing that it could harm.

The ledger is opened read-only and followed while other processes write it.  No key of the CA is
touched: the responder's own is the only one this process ever sees.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pki import crl, opening, responder, settings
from pki.certified import IssuerName
from pki.crl import Lists
from pki.errors import BusyError, LedgerError, PassphraseError
from pki.home import Home
from pki.ledger import Ledger
from pki.ocsp import NOT_ISSUED, Responder, Standing
from pki.register import Register
from smimegw.cms.sign import certificates_only
from smimegw.x509.certificate import Certificate

_BUSY_SECONDS = 1.0  # a writer holds the book for milliseconds; a question must not wait longer


class Records:
    """An open CA directory, read-only.  Use it in one thread, and `close` it."""

    def __init__(self, opened: Home, ledger: Ledger) -> None:
        self._home = opened
        self._ledger = ledger
        self._responders: dict[IssuerName, tuple[int, Responder]] = {}

    @classmethod
    def open(cls, path: Path) -> Records:
        """Open a CA directory and read its ledger once.

        Raises:
            UsageError: There is no CA.
            ConfigurationError: ca.toml has mistakes.
            LedgerError: The chain does not hold.
            BusyError: It cannot be read now.
        """
        with opening.reading(path) as whole:  # which also rolls back what a crash of a writer left
            chosen = whole.settings
        ledger = Ledger(_read_only(path / "ledger.db"), path / "ledger.db")
        opened = Home(path=path, settings=chosen, register=Register(ledger))
        try:
            _ = opened.register.history
        except (LedgerError, BusyError):
            ledger.close()
            raise
        return cls(opened, ledger)

    @property
    def settings(self) -> settings.Settings:
        """The CA's settings, as they were at the start."""
        return self._home.settings

    @property
    def revision(self) -> int:
        """A number that grows with every entry of the ledger.

        Raises:
            BusyError: It cannot be read now.
            LedgerError: The chain does not hold any more.
        """
        return self._home.register.history.number

    def standing(self, name: IssuerName, serial: int) -> Standing:
        """What is known of a serial number of *name*."""
        found = self._home.register.history.certificates.get(serial)
        if found is None or found.issuer != name:
            return NOT_ISSUED
        return Standing(issued=True, revocation=found.revocation)

    def responders(self) -> Iterator[tuple[IssuerName, Responder]]:
        """Who answers now, read again when the file was exchanged; those that can be used."""
        for name in self._home.issuers:
            with contextlib.suppress(PassphraseError, OSError):
                yield name, self._responder(name)

    def lists(self, name: IssuerName) -> Lists:
        """The newest CRLs of *name*."""
        return crl.lists(self._home.register, name)

    def certificate(self, name: IssuerName) -> bytes:
        """The certificate of *name*, DER."""
        return self._home.authority(name).der

    def certificates(self, name: IssuerName) -> bytes:
        """The certificates of *name* and of those above it, certs-only SignedData."""
        names: tuple[IssuerName, ...] = ("root",) if name == "root" else (name, "root")
        return certificates_only([Certificate.parse(self.certificate(each)) for each in names])

    def troubles(self, now: datetime) -> tuple[str, ...]:
        """What an administrator must mend so that readers keep getting news."""
        found = []
        for name in self._home.listing(now=now):
            complete = self.lists(name).complete
            make = f"smimegw-ca crl make{' --root' if name == 'root' else ''}"
            if complete is None or complete.next_update <= now:
                found.append(f"the CRL of the {name} CA has ended: {make}")
            elif now < complete.crl.last_update_utc:
                found.append(
                    f"the CRL of the {name} CA begins in the future. See that the clock is right, "
                    f"then: {make}"
                )
        if self.settings.ocsp_urls and not any(who.counts_at(now) for _, who in self.responders()):
            found.append("no OCSP responder is appointed: smimegw-ca ocsp make")
        return tuple(found)

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def _responder(self, name: IssuerName) -> Responder:
        path = responder.path_of(self._home.path, name)
        changed = path.stat().st_mtime_ns
        known = self._responders.get(name)
        if known is None or known[0] != changed:
            loaded = responder.load(path, self._home.authority(name).certificate)
            known = self._responders[name] = changed, loaded
        return known[1]


def _read_only(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise LedgerError(f"{path}: the ledger is missing. Restore it from the backup.")
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
        )
    except sqlite3.OperationalError as error:
        raise BusyError(
            f"{path}: cannot be read ({error}). Run this as the CA's own user.", server=str(path)
        ) from error
