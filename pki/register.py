"""What the CA has issued, revoked and listed: the ledger's entries read as certificates.

A certificate passes through two entries.  *reserved* takes the serial number before anything is
signed, *issued* keeps the certificate before anybody gets it.  A crash in between leaves a
reservation that the next command turns into *abandoned*: the number is used up, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import serial_numbers
from pki.certified import Certified, IssuerName, Listed, Reservation
from pki.chain import Draft
from pki.errors import LedgerError
from pki.history import History
from pki.ledger import Ledger
from pki.revocation import Revocation, RevokedSerial
from pki.serial_numbers import serial_text
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError


class Register:
    """Reads and extends a ledger in the CA's words."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._history = History()

    @property
    def history(self) -> History:
        """What the ledger says now, entries of other processes included.

        Raises:
            LedgerError: The chain does not hold.
        """
        known = self._history
        known.take(self.ledger.read(known.number, known.head))
        return known

    def reserve(
        self,
        reservation: Reservation,
        *,
        now: datetime,
        draw_serial: Callable[[], int] = x509.random_serial_number,
    ) -> int:
        """Take a serial number that was never used and never will be again.

        Raises:
            LedgerError: The source of serial numbers repeats itself.
        """
        return self.reserve_all([reservation], now=now, draw_serial=draw_serial)[0]

    def reserve_all(
        self,
        reservations: Sequence[Reservation],
        *,
        now: datetime,
        draw_serial: Callable[[], int] = x509.random_serial_number,
    ) -> tuple[int, ...]:
        """Take a serial number for each; all are on the disk, or none is.

        Raises:
            LedgerError: The source of serial numbers repeats itself.
        """
        used = self.history.serials
        drawn: list[int] = []
        for _ in reservations:
            drawn.append(serial_numbers.unused(used, drawn, draw_serial))
        self.ledger.append_all(
            [
                Draft(kind="reserved", serial=serial_text(serial), details=reservation.details())
                for serial, reservation in zip(drawn, reservations, strict=True)
            ],
            at=now,
        )
        return tuple(drawn)

    def record_issued(self, serial: int, certificate: x509.Certificate, *, now: datetime) -> None:
        """Keep a certificate; only after this may it leave the CA."""
        self.record_issued_all([(serial, certificate)], now=now)

    def record_issued_all(
        self,
        issued: Sequence[tuple[int, x509.Certificate]],
        *,
        now: datetime,
        revokes: Mapping[int, str] | None = None,
    ) -> None:
        """Keep certificates; only after this may they leave the CA.

        Args:
            issued: Serial numbers and certificates.
            now: The time.
            revokes: Serial numbers of certificates that are revoked in the same step, and why.
        """
        waiting = self.history.open_reservations()
        for serial, certificate in issued:
            if certificate.serial_number != serial or serial_text(serial) not in waiting:
                raise LedgerError(f"{serial_text(serial)}: no reservation fits this certificate.")
        self.ledger.append_all(
            [
                Draft(
                    kind="issued",
                    serial=serial_text(serial),
                    der=certificate.public_bytes(Encoding.DER),
                )
                for serial, certificate in issued
            ]
            + [self._revocation(serial, reason) for serial, reason in (revokes or {}).items()],
            at=now,
        )

    def record_abandoned(self, serial: int, *, now: datetime) -> None:
        """Close a reservation whose certificate was never recorded, so nobody ever got it."""
        self.ledger.append("abandoned", at=now, serial=serial_text(serial))

    def record_revoked(self, serial: int, revocation: Revocation) -> None:
        """Record that a certificate is revoked from now on.

        Raises:
            UsageError: It is revoked already.
        """
        certified = self.find(serial_text(serial))
        if certified.revocation and not certified.is_held:
            since = f"{certified.revocation.revoked_at:%Y-%m-%d %H:%M}Z"
            raise UsageError(
                f"{serial_text(serial)} is revoked already, since {since} because of "
                f"{certified.revocation.reason}. A revocation is final; nothing was changed."
            )
        draft = self._revocation(serial, revocation.reason)
        self.ledger.append_all([draft], at=revocation.revoked_at)

    def _revocation(self, serial: int, reason: str) -> Draft:
        details = {"reason": reason}
        before = self.history.certificates[serial].revocation
        if before:  # a hold: it was never good in between
            details["since"] = before.revoked_at.isoformat()
        return Draft(kind="revoked", serial=serial_text(serial), details=details)

    def record_held(self, serial: int, *, now: datetime) -> None:
        """Record that a certificate is on hold from now on (RFC 5280, 5.3.1).

        Raises:
            UsageError: It is revoked or on hold already.
        """
        certified = self.find(serial_text(serial))
        if certified.revocation:
            word = "on hold" if certified.is_held else "revoked"
            raise UsageError(
                f"{serial_text(serial)} is {word} already, since "
                f"{certified.revocation.revoked_at:%Y-%m-%d %H:%M}Z; nothing was changed."
            )
        self.ledger.append("held", at=now, serial=serial_text(serial))

    def record_released(self, serial: int, *, now: datetime) -> None:
        """Record that a hold is over and the certificate is good again.

        Raises:
            UsageError: It is not on hold.
        """
        certified = self.find(serial_text(serial))
        if not certified.is_held:
            raise UsageError(
                f"{serial_text(serial)} is not on hold but {certified.status(now)}; nothing was "
                "changed. Only a hold can be released: see smimegw-ca list --status held"
            )
        self.ledger.append("released", at=now, serial=serial_text(serial))

    def record_crl(
        self, issuer: IssuerName, number: int, crl: x509.CertificateRevocationList, *, now: datetime
    ) -> None:
        """Keep a CRL; only after this may it leave the CA."""
        der = crl.public_bytes(Encoding.DER)
        details: dict[str, str | int] = {"issuer": issuer, "number": number}
        self.ledger.append("crl", at=now, details=details, der=der)

    def open_reservations(self) -> tuple[int, ...]:
        """Return the serial numbers reserved, and neither issued nor abandoned."""
        return tuple(int(text, 16) for text in self.history.open_reservations())

    def certificates(self) -> tuple[Certified, ...]:
        """Return every certificate ever issued, oldest first, the CA's own included."""
        return tuple(self.history.certificates.values())

    def own_certificates(self) -> tuple[Certified, ...]:
        """Return the CA's own certificates, oldest first."""
        return self.history.own()

    def last_crl(self, issuer: IssuerName) -> Listed | None:
        """Return the newest CRL of *issuer*."""
        newest = self.history.crls.get(issuer)
        if newest is None:
            return None
        return Listed(
            issuer=issuer,
            number=int(newest.details["number"]),
            crl=x509.load_der_x509_crl(newest.der),
            der=newest.der,
        )

    def revoked_for_crl(self, issuer: IssuerName) -> tuple[RevokedSerial, ...]:
        """Return what the next CRL of *issuer* has to list.

        An entry goes only after it stood on a CRL made when the certificate had expired already
        (RFC 5280, 3.3).
        """
        last = self.last_crl(issuer)
        seen_until = last.crl.last_update_utc if last else None
        return tuple(
            RevokedSerial(serial=certified.serial, revocation=certified.revocation)
            for certified in self.certificates()
            if certified.issuer == issuer
            and certified.revocation
            and not (
                seen_until
                and certified.not_after < seen_until
                and certified.revocation.revoked_at < seen_until
            )
        )

    def released_since(self, issuer: IssuerName, moment: datetime) -> tuple[int, ...]:
        """Return what was on hold and is good again since *moment*: serial numbers of *issuer*.

        A delta CRL lists them as removeFromCRL (RFC 5280, 5.3.1).
        """
        known = self.history
        return tuple(
            serial
            for serial in dict.fromkeys(number for number, at in known.released if at >= moment)
            if known.certificates[serial].issuer == issuer
            and not known.certificates[serial].revocation
        )

    def find(self, text: str) -> Certified:
        """Return the one certificate whose serial number is or begins with *text*.

        Raises:
            UnknownSerialError: None does; the text names the nearest.
            UsageError: Several do.
        """
        known = self.history.certificates
        return known[serial_numbers.find(known, text)]

    def find_mailbox(self, mailbox: Mailbox) -> tuple[Certified, ...]:
        """Return every certificate for *mailbox*, oldest first."""
        return self.history.of_mailbox(mailbox)
