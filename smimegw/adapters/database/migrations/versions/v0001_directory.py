"""Makes the tables of certificates, authorities and revocation lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "certificates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("mailbox", sa.String(400), nullable=False),
        sa.Column("fingerprint", sa.String(71), nullable=False),
        sa.Column("owner", sa.String(1000), nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("mailbox", "fingerprint", name="uq_certificates_mailbox_fingerprint"),
    )
    op.create_table(
        "authorities",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject_digest", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(71), nullable=False, unique=True),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_authorities_subject_digest", "authorities", ["subject_digest"])
    op.create_table(
        "crls",
        sa.Column("issuer_digest", sa.String(64), primary_key=True),
        sa.Column("issuer", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.String(50), nullable=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Refuse: tables that are dropped lose what was published; the way back is a backup."""
    raise NotImplementedError("restore the backup made before the upgrade")
