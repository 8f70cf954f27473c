"""Tables of the embedded directory, as the newest migration leaves them."""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "0001"
"""The newest migration; an older database is migrated when opened, a newer one is refused."""

metadata = sa.MetaData()

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mailbox", sa.String(400), nullable=False),  # Mailbox.key
    sa.Column("fingerprint", sa.String(71), nullable=False),
    sa.Column("owner", sa.String(1000), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("published_at", sa.BigInteger, nullable=False),  # seconds since 1970, UTC
    sa.UniqueConstraint("mailbox", "fingerprint", name="uq_certificates_mailbox_fingerprint"),
)
"""Which certificates a mailbox has; the unique constraint is the index the look-up uses."""

authorities = sa.Table(
    "authorities",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject_digest", sa.String(64), nullable=False, index=True),
    sa.Column("fingerprint", sa.String(71), nullable=False, unique=True),
    sa.Column("subject", sa.LargeBinary, nullable=False),  # Name, DER
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("published_at", sa.BigInteger, nullable=False),
)
"""CA certificates; names can be longer than an index entry may be, so a SHA-256 finds them."""

crls = sa.Table(
    "crls",
    metadata,
    sa.Column("issuer_digest", sa.String(64), primary_key=True),
    sa.Column("issuer", sa.LargeBinary, nullable=False),  # Name, DER
    sa.Column("number", sa.String(50), nullable=False),  # up to 20 octets (RFC 5280, 5.2.3)
    sa.Column("this_update", sa.BigInteger, nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
)
"""The newest CertificateList of each issuer."""

ACTIVE = "active"
"""The only state so far; certificates learned from mail will wait in others."""
