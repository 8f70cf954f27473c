"""Brings the tables to the newest form, whole or not at all, one process at a time."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from smimegw.adapters.database.schema import HEAD
from smimegw.errors import DirectoryError

_ADVISORY_LOCK = 0x736D696D65  # "smime"; any number that nobody else uses in this database
_SCRIPTS = "smimegw.adapters.database:migrations"
_ONE_AT_A_TIME = threading.Lock()  # Alembic keeps what it works on in variables of its modules


def migrate(engine: sa.Engine) -> None:
    """Run the migrations that are missing, in one transaction.

    Raises:
        DirectoryError: The tables come from a newer release.
        sqlalchemy.exc.SQLAlchemyError: The database failed; it is as it was before.
    """
    if _revision_of(engine) == HEAD:
        return
    # Alembic takes 0.2 s to import and is needed once in the life of a database.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    with _ONE_AT_A_TIME, engine.execution_options(writing=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        revision = _read_revision(connection)  # again: another process may have been first
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            text = (
                f"the database has schema {revision}, this release knows {HEAD}: a newer release "
                "has used it; install that release again, or restore the backup made before it"
            )
            raise DirectoryError(text, retryable=False)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision_of(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return _read_revision(connection)


def _read_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version = sa.table("alembic_version", sa.column("version_num", sa.String))
    found: str | None = connection.execute(sa.select(version.c.version_num)).scalar_one_or_none()
    return found
