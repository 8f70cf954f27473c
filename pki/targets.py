"""The directories that a CA publishes to: a gateway's own database, and LDAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Self

import sqlalchemy

from pki.certified import Certified, Listed
from pki.crl import Delta
from pki.plan import Crossed
from smimegw.adapters.database import publisher as database
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.ldap.publication import Bundle
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.target import PublishingTarget


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

    def prepare(self, people: Sequence[Certified]) -> None:
        """Nothing is gained by looking ahead."""

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

    def withdraw_authority(self, certified: Certified) -> bool:
        """Let the gateway find it no more."""
        return database.withdraw_authority(self._engine, certified.der)

    def publish_crossed(self, crossed: Crossed) -> bool:
        """Let the gateway find each: it builds paths from single certificates."""
        both = (crossed.issued_to_this, crossed.issued_by_this)
        changed = [
            database.publish_authority(self._engine, der, now=self._now) for der in both if der
        ]
        return any(changed)

    def publish_crl(self, listed: Listed | Delta) -> bool:
        """Put a complete CRL in the place of the older one; deltas are for other readers."""
        if isinstance(listed, Delta):
            return False
        return database.publish_crl(self._engine, listed.der)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


class LDAPTarget:
    """An LDAP directory.

    Args:
        target: Where, and as whom.
        bundle: Returns what becomes userSMIMECertificate; None publishes none.
        show: Gets each change as LDIF, made or, with *dry_run*, only planned.
        dry_run: Change nothing.
    """

    def __init__(
        self,
        target: PublishingTarget,
        *,
        bundle: Callable[[Certified], Bundle | None],
        show: Callable[[str], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        """Connect.

        Raises:
            ConfigurationError: A URL is wrong.
            DirectoryError: No server let us in.
        """
        self._publisher = LDAPPublisher(target, dry_run=dry_run)
        self._bundle = bundle
        self._show = show

    def prepare(self, people: Sequence[Certified]) -> None:
        """Find their entries with few searches."""
        self._publisher.read_ahead(item.mailbox for item in people if item.mailbox)

    def publish_certificate(self, certified: Certified) -> bool:
        """Add userCertificate and userSMIMECertificate to the person's entry."""
        assert certified.mailbox
        return self._note(
            self._publisher.publish_certificate(
                certified.mailbox, certified.name, certified.der, self._bundle(certified)
            )
        )

    def withdraw_certificate(self, certified: Certified) -> bool:
        """Remove exactly these values."""
        assert certified.mailbox
        return self._note(self._publisher.withdraw_certificate(certified.mailbox, certified.der))

    def publish_authority(self, certified: Certified) -> bool:
        """Add cACertificate to the CA's entry."""
        return self._note(self._publisher.publish_authority(certified.der))

    def withdraw_authority(self, certified: Certified) -> bool:
        """Remove exactly this value of cACertificate."""
        return self._note(self._publisher.withdraw_authority(certified.der))

    def publish_crossed(self, crossed: Crossed) -> bool:
        """Add crossCertificatePair to the CA's entry."""
        return self._note(
            self._publisher.publish_cross_pair(crossed.issued_to_this, crossed.issued_by_this)
        )

    def publish_crl(self, listed: Listed | Delta) -> bool:
        """Replace certificateRevocationList, or deltaRevocationList, in the CA's entry."""
        return self._note(self._publisher.publish_crl(listed.der))

    def close(self) -> None:
        """Close the connection."""
        self._publisher.close()

    def _note(self, ldif: str) -> bool:
        if ldif and self._show:
            self._show(ldif)
        return bool(ldif)
