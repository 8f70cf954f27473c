"""Makes the tables of what is remembered: correspondents, candidates, sightings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "correspondents",
        sa.Column("mailbox", sa.String(400), primary_key=True),
        sa.Column("capabilities", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.String(71), nullable=False),
        sa.Column("said_at", sa.BigInteger, nullable=False),
        sa.Column("dated", sa.Boolean, nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_correspondents_last_seen", "correspondents", ["last_seen"])
    op.create_table(
        "candidates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("mailbox", sa.String(400), nullable=False),
        sa.Column("fingerprint", sa.String(71), nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("was", sa.String(71), nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("mailbox", "fingerprint", name="uq_candidates_mailbox_fingerprint"),
    )
    op.create_index("ix_candidates_not_after", "candidates", ["not_after"])
    op.create_table(
        "sightings",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("originator", sa.String(400), nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sightings_first_seen", "sightings", ["first_seen"])


def downgrade() -> None:
    """Refuse: tables that are dropped lose what was learned; the way back is a backup."""
    raise NotImplementedError("restore the backup made before the upgrade")
