"""Alembic migrations of the embedded directory; run by `migrate`, never by hand."""
