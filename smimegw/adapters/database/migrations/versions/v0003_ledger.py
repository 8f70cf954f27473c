"""Makes the tables of the ledger: who already has which message, and who delivers it now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ledger_accepted",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_ledger_accepted_accepted_at", "ledger_accepted", ["accepted_at"])
    op.create_table(
        "ledger_claims",
        sa.Column("claim", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Refuse: what was accepted would be sent again; the way back is a backup."""
    raise NotImplementedError("restore the backup made before the upgrade")
