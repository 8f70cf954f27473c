"""Writes certificates, CA certificates and revocation lists into the embedded directory.

    engine = open_database("/var/lib/smimegw/smimegw.db")
    publish_certificate(engine, mailbox, certificate_der, now=now)

Every function is one transaction and may be repeated.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import sqlalchemy as sa
from cryptography import x509

from smimegw.adapters.database.engine import writing
from smimegw.adapters.database.schema import ACTIVE, authorities, certificates, crls
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from smimegw.x509.certificate import PARSE_ERRORS, Certificate


def publish_certificate(
    engine: sa.Engine,
    mailbox: Mailbox,
    certificate_der: bytes,
    *,
    now: datetime,
    owner: str = "",
) -> bool:
    """Publish a certificate for *mailbox*; True when it was not there before.

    Args:
        engine: From `open_database`.
        mailbox: Whose certificate it is.
        certificate_der: The certificate.
        now: Aware, UTC; kept as the time of publication.
        owner: Whose mailbox it is, when two people could share it; the mailbox itself by default.
            Certificates of two owners for one mailbox are a conflict, and none is used.

    Raises:
        CertificateError: *certificate_der* is not a certificate.
        DirectoryError: Nothing was written.
    """
    certificate = Certificate.parse(certificate_der)
    key = (
        certificates.c.mailbox == mailbox.key,
        certificates.c.fingerprint == certificate.fingerprint,
    )
    values = {"owner": owner or mailbox.key, "state": ACTIVE}
    with writing(engine) as connection:
        if connection.execute(sa.update(certificates).where(*key).values(values)).rowcount:
            return False
        connection.execute(
            sa.insert(certificates).values(
                mailbox=mailbox.key,
                fingerprint=certificate.fingerprint,
                der=certificate.der,
                published_at=int(now.timestamp()),
                **values,
            )
        )
    return True


def withdraw_certificate(engine: sa.Engine, mailbox: Mailbox, certificate_der: bytes) -> bool:
    """Take a certificate of *mailbox* back; False when it was not there.

    Raises:
        DirectoryError: Nothing was written.
    """
    fingerprint = "sha256:" + hashlib.sha256(certificate_der).hexdigest()
    with writing(engine) as connection:
        removed = connection.execute(
            sa.delete(certificates).where(
                certificates.c.mailbox == mailbox.key,
                certificates.c.fingerprint == fingerprint,
            )
        )
        return bool(removed.rowcount)


def publish_authority(engine: sa.Engine, certificate_der: bytes, *, now: datetime) -> bool:
    """Publish a CA certificate; True when it was not there before.

    Raises:
        CertificateError: *certificate_der* is not a certificate.
        DirectoryError: Nothing was written.
    """
    certificate = Certificate.parse(certificate_der)
    same = authorities.c.fingerprint == certificate.fingerprint
    with writing(engine) as connection:
        if connection.execute(sa.select(authorities.c.id).where(same)).first():
            return False
        connection.execute(
            sa.insert(authorities).values(
                subject_digest=digest(certificate.subject_der),
                fingerprint=certificate.fingerprint,
                subject=certificate.subject_der,
                der=certificate.der,
                published_at=int(now.timestamp()),
            )
        )
    return True


def withdraw_authority(engine: sa.Engine, certificate_der: bytes) -> bool:
    """Take a CA certificate back; False when it was not there.

    Raises:
        DirectoryError: Nothing was written.
    """
    fingerprint = "sha256:" + hashlib.sha256(certificate_der).hexdigest()
    same = authorities.c.fingerprint == fingerprint
    with writing(engine) as connection:
        return bool(connection.execute(sa.delete(authorities).where(same)).rowcount)


def publish_crl(engine: sa.Engine, crl_der: bytes) -> bool:
    """Put a CRL in the place of the last one by the same key; False when that is the same.

    Raises:
        UsageError: Not a CRL with a number, or not newer than the one that is there.
        DirectoryError: Nothing was written.
    """
    crl, number = _read_crl(crl_der)
    issuer = crl.issuer.public_bytes()
    key = digest(key_identifier(crl))
    same = sa.and_(crls.c.issuer_digest == digest(issuer), crls.c.key_digest == key)
    with writing(engine) as connection:
        old = connection.execute(sa.select(crls.c.number, crls.c.der).where(same)).first()
        if old and bytes(old.der) == crl_der:
            return False
        if old and int(old.number) >= number:
            # RFC 5280, 5.2.3: numbers only grow; going back would bring revoked ones to life.
            raise UsageError(
                f"CRL number {number} is not newer than number {old.number}, which is published "
                "and another one; make a new CRL"
            )
        connection.execute(sa.delete(crls).where(same))
        connection.execute(
            sa.insert(crls).values(
                issuer_digest=digest(issuer),
                key_digest=key,
                issuer=issuer,
                number=str(number),
                this_update=int(crl.last_update_utc.timestamp()),
                der=crl_der,
            )
        )
    return True


def digest(octets: bytes) -> str:
    """How a distinguished name or a key identifier is found."""
    return hashlib.sha256(octets).hexdigest()


def key_identifier(crl: x509.CertificateRevocationList) -> bytes:
    """Return which key of its issuer signed a CRL; empty when it does not say."""
    try:
        found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return b""
    return found.value.key_identifier or b""


def _read_crl(octets: bytes) -> tuple[x509.CertificateRevocationList, int]:
    try:
        crl = x509.load_der_x509_crl(octets)
        _ = crl.issuer  # some lists say only then that they are none
        return crl, crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except PARSE_ERRORS as error:
        raise UsageError(f"this is not a CRL in DER: {error}") from error
    except x509.ExtensionNotFound as error:
        raise UsageError("the CRL has no number (RFC 5280, 5.2.3)") from error
