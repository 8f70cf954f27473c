"""The directory in which a CA lives: where everything is, and which CAs are in it.

::

    ca.toml                          settings; written last, so it marks a finished init
    ledger.db                        everything issued, revoked and listed
    root/, issuing/, issuing-2/      certificate.pem, key.pem (encrypted) or token.toml, crl.der
    issued/SERIAL/                   certificate.pem, key.pem (encrypted) when the CA made the key
    lock                             held by whoever changes something

A `Home` comes from `pki.opening`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pki import authority, own_keys, places, settings
from pki.authority import Issuer
from pki.certified import Certified, IssuerName
from pki.extensions import Pointers
from pki.profiles import Profile
from pki.register import Register
from pki.serial_numbers import serial_text
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError


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
