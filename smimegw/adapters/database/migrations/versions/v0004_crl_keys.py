"""Lets each key of an issuer have a CRL of its own, as after a roll-over (RFC 4210, 4.4)."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op
from cryptography import x509

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OLD = sa.table(
    "crls",
    sa.column("issuer_digest", sa.String),
    sa.column("issuer", sa.LargeBinary),
    sa.column("number", sa.String),
    sa.column("this_update", sa.BigInteger),
    sa.column("der", sa.LargeBinary),
)


def upgrade() -> None:
    """Make the table anew with a longer key; neither database can change one in place."""
    rows = [dict(row._mapping) for row in op.get_bind().execute(sa.select(_OLD))]
    op.drop_table("crls")
    made = op.create_table(
        "crls",
        sa.Column("issuer_digest", sa.String(64), primary_key=True),
        sa.Column("key_digest", sa.String(64), primary_key=True),
        sa.Column("issuer", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.String(50), nullable=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    if rows:
        op.bulk_insert(made, [{**row, "key_digest": _key_digest(row["der"])} for row in rows])


def downgrade() -> None:
    """Refuse: lists of a second key would get lost; the way back is a backup."""
    raise NotImplementedError("restore the backup made before the upgrade")


def _key_digest(octets: bytes) -> str:
    identifier = None
    try:
        extensions = x509.load_der_x509_crl(bytes(octets)).extensions
        identifier = extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except (ValueError, x509.ExtensionNotFound):
        pass  # it does not say, or cannot be read: the next one takes a place of its own
    return hashlib.sha256(identifier or b"").hexdigest()
