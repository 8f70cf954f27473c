"""Puts certificates that an administrator brings into the embedded directory."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from smimegw.adapters.database.engine import insert_if_absent, writing
from smimegw.adapters.database.schema import ACTIVE, IMPORTED, certificates
from smimegw.addresses import Mailbox
from smimegw.x509.certificate import Certificate


def import_certificate(
    engine: sa.Engine, mailbox: Mailbox, certificate: Certificate, *, now: datetime
) -> bool:
    """Keep *certificate* for *mailbox*; False when it is there already, whoever brought it.

    Raises:
        DirectoryError: Nothing was written.
    """
    values = {
        "mailbox": mailbox.key,
        "fingerprint": certificate.fingerprint,
        "der": certificate.der,
        "owner": IMPORTED,
        "state": ACTIVE,
        "published_at": int(now.timestamp()),
    }
    with writing(engine) as connection:
        return insert_if_absent(connection, certificates, values)


def is_there(engine: sa.Engine, mailbox: Mailbox, certificate: Certificate) -> bool:
    """Whether *mailbox* has *certificate* already.

    Raises:
        DirectoryError: The database could not answer.
    """
    question = sa.select(certificates.c.id).where(
        certificates.c.mailbox == mailbox.key,
        certificates.c.fingerprint == certificate.fingerprint,
    )
    with writing(engine) as connection:
        return connection.execute(question).first() is not None
