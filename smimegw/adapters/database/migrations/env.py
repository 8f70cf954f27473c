"""Tells Alembic which connection to migrate: the one that `migrate` opened a transaction on."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
