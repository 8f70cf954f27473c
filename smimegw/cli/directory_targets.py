"""The directories that ``smimegw directory publish`` writes to, under one face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from smimegw.adapters.database import publisher as database
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.ldap.publication import Bundle
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.addresses import Mailbox
from smimegw.app import own_database
from smimegw.cli.key_source import keystore_of
from smimegw.cms.capabilities import OURS
from smimegw.cms.directory_value import signed_directory_value
from smimegw.cms.keys import SigningCredential
from smimegw.cms.sign import certificates_only
from smimegw.config.directories import EmbeddedDirectory, LDAPDirectory
from smimegw.config.model import Configuration
from smimegw.errors import UsageError
from smimegw.x509.certificate import Certificate


class Target(Protocol):
    """A directory that is written to; each method returns what it changed, "" for nothing."""

    def publish(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found."""

    def withdraw(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found no more."""

    def publish_authority(self, certificate: Certificate) -> str:
        """Let a CA's certificate be found."""

    def close(self) -> None:
        """Free what is open."""


# --- the gateway's own database ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedTarget:
    """The gateway's own database."""

    engine: sa.Engine
    close: Callable[[], None]
    now: datetime

    @classmethod
    def open(
        cls, entry: EmbeddedDirectory, configuration: Configuration, now: datetime
    ) -> EmbeddedTarget:
        """Open or make the database.

        Raises:
            DirectoryError: It cannot be opened.
        """
        if entry.path is not None:
            engine = open_database(str(entry.path))
            return cls(engine=engine, close=engine.dispose, now=now)
        own = own_database(configuration)
        return cls(engine=own.open(), close=lambda: asyncio.run(own.close()), now=now)

    def publish(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found."""
        der = certificate.der
        changed = database.publish_certificate(self.engine, mailbox, der, now=self.now)
        return "published" if changed else ""

    def withdraw(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found no more."""
        changed = database.withdraw_certificate(self.engine, mailbox, certificate.der)
        return "withdrawn" if changed else ""

    def publish_authority(self, certificate: Certificate) -> str:
        """Let a CA's certificate be found."""
        changed = database.publish_authority(self.engine, certificate.der, now=self.now)
        return "published" if changed else ""


# --- LDAP ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LDAPTarget:
    """An LDAP directory, and what makes its userSMIMECertificate."""

    publisher: LDAPPublisher
    bundle: Callable[[Mailbox, Certificate], Bundle]

    def publish(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found."""
        bundle = self.bundle(mailbox, certificate)
        return self.publisher.publish_certificate(mailbox, "", certificate.der, bundle)

    def withdraw(self, mailbox: Mailbox, certificate: Certificate) -> str:
        """Let it be found no more."""
        return self.publisher.withdraw_certificate(mailbox, certificate.der)

    def publish_authority(self, certificate: Certificate) -> str:
        """Let a CA's certificate be found."""
        return self.publisher.publish_authority(certificate.der)

    def close(self) -> None:
        """Close the connection."""
        self.publisher.close()


def publishing_target(
    entry: LDAPDirectory, bind_dn: str | None, password: bytes | None
) -> PublishingTarget:
    """Where and as whom to publish into a directory of the configuration.

    Raises:
        UsageError: Nobody to write as.
    """
    if bind_dn is not None:
        if password is None:
            raise UsageError("--bind-dn needs --password-file")
        text = password.decode("utf-8", "strict")
        who, secret = bind_dn, lambda: text
    elif entry.bind is not None:
        who, secret = entry.bind.dn, entry.bind.password.read_text
    else:
        raise UsageError("nobody writes without a name: give --bind-dn and --password-file")
    return PublishingTarget(
        urls=entry.url,
        bind_dn=who,
        password=secret,
        people_base=entry.base,
        authorities_base=entry.authority_base or entry.base,
        ca=entry.ca,
        start_tls=entry.start_tls,
        person_filter=entry.filter,
    )


class Bundles:
    """Values of userSMIMECertificate: signed by the owner where his key is here."""

    def __init__(
        self, given: Sequence[Certificate], signing: Configuration | None, now: datetime
    ) -> None:
        self._issuers = {item.subject_der: item for item in given if item.is_ca}
        self._keystore = keystore_of(signing) if signing else None
        self._now = now

    def bundle(self, mailbox: Mailbox, certificate: Certificate) -> Bundle:
        """The value for a certificate."""
        issuer = self._issuers.get(certificate.issuer_der)
        chain = (issuer,) if issuer else ()
        credential = self._credential(mailbox)
        if credential is None:
            return Bundle(make=lambda: certificates_only([certificate, *chain]))
        return Bundle(
            make=lambda: signed_directory_value(
                credential,
                capabilities=OURS,
                encryption_certificate=certificate,
                now=self._now,
                chain=chain,
            ),
            signed=True,
        )

    def _credential(self, mailbox: Mailbox) -> SigningCredential | None:
        if self._keystore is None:
            return None
        found = asyncio.run(self._keystore.signing_credentials(mailbox))
        current = (
            item
            for item in found
            if item.certificate.not_before <= self._now <= item.certificate.not_after
        )
        return next(current, None)
