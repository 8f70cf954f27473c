"""Brings a directory to where the ledger is: who may be encrypted to, under which CA, which CRLs.

Publishing says the same thing again each time instead of remembering what it said: every target
does nothing for what it has already.  So an interrupted run is mended by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self, TypeVar

import sqlalchemy

from pki.home import ISSUERS, Home
from pki.register import Certified, Listed
from smimegw.adapters.database import publisher as database
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.ldap.publisher import LDAPPublisher, PublishingTarget
from smimegw.cms.sign import certificates_only
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import Certificate

Item = TypeVar("Item")


class Target(Protocol):
    """A directory that is written to.  Each method returns whether something changed."""

    def publish_certificate(self, certified: Certified) -> bool:
        """Let everybody find a person's certificate."""

    def withdraw_certificate(self, certified: Certified) -> bool:
        """Let nobody find it any more; other people's values stay."""

    def publish_authority(self, certified: Certified) -> bool:
        """Let everybody find a CA's certificate."""

    def publish_crl(self, listed: Listed) -> bool:
        """Put a CRL in the place of the older one."""

    def close(self) -> None:
        """Free what is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a directory should say now."""

    authorities: tuple[Certified, ...]
    crls: tuple[Listed, ...]
    withdraw: tuple[Certified, ...]
    publish: tuple[Certified, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run changed, and what the directory refused."""

    published: int
    withdrawn: int
    authorities: int
    crls: int
    refused: tuple[str, ...]


def make_plan(home: Home, *, now: datetime) -> Plan:
    """Return what to say: only certificates that others may encrypt to, and only good ones."""
    people = [item for item in home.register.certificates() if item.profile]
    usable = not any(home.authority(name).revocation for name in ISSUERS)
    encrypting = [item for item in people if item.profile and item.profile.encrypts]
    publish = [
        item for item in encrypting if usable and not item.revocation and item.not_after >= now
    ]
    crls = (home.register.last_crl(name) for name in ISSUERS)
    return Plan(
        authorities=tuple(
            item for name in ISSUERS if not (item := home.authority(name)).revocation
        ),
        crls=tuple(listed for listed in crls if listed),
        withdraw=tuple(item for item in encrypting if item not in publish),
        publish=tuple(publish),
    )


def carry_out(plan: Plan, target: Target) -> Outcome:
    """Write *plan* to *target*: first what protects, then what is new.

    Raises:
        DirectoryError: The directory does not answer; the next run goes on from here.
    """
    refused: list[str] = []
    return Outcome(
        crls=_each(plan.crls, target.publish_crl, _crl_text, refused),
        withdrawn=_each(plan.withdraw, target.withdraw_certificate, _person, refused),
        authorities=_each(plan.authorities, target.publish_authority, _authority_text, refused),
        published=_each(plan.publish, target.publish_certificate, _person, refused),
        refused=tuple(refused),
    )


class EmbeddedTarget:
    """The gateway's own directory, an SQLite file or PostgreSQL database."""

    def __init__(self, engine: sqlalchemy.Engine, *, now: datetime) -> None:
        self._engine = engine
        self._now = now

    @classmethod
    def open(cls, location: str, *, now: datetime) -> Self:
        """Open or make the database.

        Raises:
            DirectoryError: Not reachable, damaged, or of a newer release.
        """
        return cls(open_database(location), now=now)

    def publish_certificate(self, certified: Certified) -> bool:
        """Let the gateway find a person's certificate."""
        assert certified.mailbox
        return database.publish_certificate(
            self._engine, certified.mailbox, certified.der, now=self._now
        )

    def withdraw_certificate(self, certified: Certified) -> bool:
        """Let the gateway find it no more."""
        assert certified.mailbox
        return database.withdraw_certificate(self._engine, certified.mailbox, certified.der)

    def publish_authority(self, certified: Certified) -> bool:
        """Let the gateway find a CA's certificate."""
        return database.publish_authority(self._engine, certified.der, now=self._now)

    def publish_crl(self, listed: Listed) -> bool:
        """Put a CRL in the place of the older one."""
        return database.publish_crl(self._engine, listed.der)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


class LDAPTarget:
    """An LDAP directory.

    Attributes:
        ldif: Every change so far; with *dry_run* what would have been changed.
    """

    def __init__(
        self, target: PublishingTarget, *, issuing: Certified, dry_run: bool = False
    ) -> None:
        """Connect.

        Raises:
            ConfigurationError: A URL is wrong.
            DirectoryError: No server let us in.
        """
        self._publisher = LDAPPublisher(target, dry_run=dry_run)
        self._issuing = Certificate.parse(issuing.der)
        self.ldif: list[str] = []

    def publish_certificate(self, certified: Certified) -> bool:
        """Add userCertificate and userSMIMECertificate to the person's entry.

        The latter is SignedData with the certificates only.  RFC 2798, 2.8 would have it signed by
        the owner with his capabilities, but publishing must not need anybody's private key.
        """
        assert certified.mailbox
        smime = certificates_only([Certificate.parse(certified.der), self._issuing])
        return self._note(
            self._publisher.publish_certificate(
                certified.mailbox, certified.name, certified.der, smime
            )
        )

    def withdraw_certificate(self, certified: Certified) -> bool:
        """Remove exactly these values."""
        assert certified.mailbox
        return self._note(self._publisher.withdraw_certificate(certified.mailbox, certified.der))

    def publish_authority(self, certified: Certified) -> bool:
        """Add cACertificate to the CA's entry."""
        return self._note(self._publisher.publish_authority(certified.der))

    def publish_crl(self, listed: Listed) -> bool:
        """Replace certificateRevocationList in the CA's entry."""
        return self._note(self._publisher.publish_crl(listed.der))

    def close(self) -> None:
        """Close the connection."""
        self._publisher.close()

    def _note(self, ldif: str) -> bool:
        if ldif:
            self.ldif.append(ldif)
        return bool(ldif)


def _each(
    items: tuple[Item, ...],
    act: Callable[[Item], bool],
    describe: Callable[[Item], str],
    refused: list[str],
) -> int:
    changed = 0
    for item in items:
        try:
            changed += act(item)
        except DirectoryError as error:
            if error.retryable:
                raise
            refused.append(f"{describe(item)}: {error}")  # one odd entry must not stop the rest
    return changed


def _person(certified: Certified) -> str:
    return f"<{certified.mailbox}>"


def _authority_text(certified: Certified) -> str:
    return f"CA certificate {certified.name}"


def _crl_text(listed: Listed) -> str:
    return f"CRL {listed.number} of the {listed.issuer} CA"
