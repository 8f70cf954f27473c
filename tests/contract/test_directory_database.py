"""The database of the embedded directory: migrations, writers in each other's way, damage."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography import x509

from smimegw.adapters.database.directory import EmbeddedDirectory
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import (
    key_identifier,
    publish_authority,
    publish_certificate,
    publish_crl,
    withdraw_certificate,
)
from smimegw.adapters.database.schema import HEAD, metadata
from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError, DirectoryError, UsageError
from tests.fakes.pki import CA, NOW, make_ca
from tests.peers.postgres import Postgres

BOB = Mailbox.parse("bob@corp.example")
TABLES = {"alembic_version", *metadata.tables}

KILLED_HALF_WAY = """
import os, signal, sys
import sqlalchemy as sa
from smimegw.adapters.database.engine import open_database

@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def kill(connection, cursor, statement, *rest):
    if "CREATE TABLE authorities" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

open_database(sys.argv[1])
"""

OPENED = """
import sys
from smimegw.adapters.database.engine import open_database

open_database(sys.argv[1]).dispose()
"""


@functools.cache
def authority() -> CA:
    return make_ca("Database CA")


@functools.cache
def der() -> bytes:
    return authority().issue("bob@corp.example", key="p256").certificate.der


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "smimegw.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
def engine(location: str) -> Iterator[sa.Engine]:
    opened = open_database(location)
    yield opened
    opened.dispose()


def tables(location: str) -> set[str]:
    url = location.replace("postgresql:", "postgresql+psycopg:")
    bare = sa.create_engine(url if "://" in url else f"sqlite:///{url}")
    try:
        return set(sa.inspect(bare).get_table_names())
    finally:
        bare.dispose()


def in_another_process(code: str, location: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, location], stderr=subprocess.PIPE)


# --- migrations ----------------------------------------------------------------------------------


def test_the_newest_migration_is_the_head() -> None:
    """Otherwise every start would migrate, or none."""
    config = Config()
    config.set_main_option("script_location", "smimegw.adapters.database:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_the_migrations_make_the_tables_the_code_uses(engine: sa.Engine) -> None:
    """Schema and migrations are written twice and must say the same."""
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_again_changes_nothing(engine: sa.Engine, location: str) -> None:
    """Every start opens the database."""
    publish_certificate(engine, BOB, der(), now=NOW)
    again = open_database(location)
    with again.connect() as connection:
        assert connection.execute(sa.text("select count(*) from certificates")).scalar() == 1
    again.dispose()


def test_a_migration_killed_half_way_leaves_nothing(location: str) -> None:
    """No half schema that the next start could take for a whole one."""
    process = in_another_process(KILLED_HALF_WAY, location)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert tables(location) == set()


def test_a_migration_killed_half_way_can_be_repeated(location: str) -> None:
    """The next start does it."""
    in_another_process(KILLED_HALF_WAY, location).communicate(timeout=60)
    open_database(location).dispose()
    assert tables(location) == TABLES


def test_two_processes_may_open_a_new_data_base_at_once(location: str) -> None:
    """Gateway and CA can be started together."""
    processes = [in_another_process(OPENED, location) for _ in range(3)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert tables(location) == TABLES


def test_a_data_base_of_a_newer_release_is_refused(engine: sa.Engine, location: str) -> None:
    """Writing to tables we do not know could damage them."""
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(DirectoryError, match="newer release"):
        open_database(location)


# --- publishing ----------------------------------------------------------------------------------


def find(engine: sa.Engine) -> list[bytes]:
    async def work() -> list[bytes]:
        directory = EmbeddedDirectory(engine)
        found = await directory.find(BOB)
        await directory.close()
        return [item.certificate.der for item in found]

    return asyncio.run(work())


def test_a_withdrawn_certificate_is_not_found(engine: sa.Engine) -> None:
    """Revoked and replaced certificates leave the directory."""
    publish_certificate(engine, BOB, der(), now=NOW)
    assert withdraw_certificate(engine, BOB, der())
    assert find(engine) == []


def test_withdrawing_twice_is_harmless(engine: sa.Engine) -> None:
    """The second time says that there was nothing."""
    assert not withdraw_certificate(engine, BOB, der())


def test_a_withdrawn_certificate_can_be_published_again(engine: sa.Engine) -> None:
    """A mistake is mended."""
    publish_certificate(engine, BOB, der(), now=NOW)
    withdraw_certificate(engine, BOB, der())
    assert publish_certificate(engine, BOB, der(), now=NOW)
    assert find(engine) == [der()]


def test_what_is_no_certificate_is_not_published(engine: sa.Engine) -> None:
    """Parsed before anything is written."""
    with pytest.raises(CertificateError):
        publish_certificate(engine, BOB, b"\x30\x00", now=NOW)


def test_publishing_a_ca_certificate_twice_keeps_one(engine: sa.Engine) -> None:
    """Repeating is harmless."""
    assert publish_authority(engine, authority().certificate.der, now=NOW)
    assert not publish_authority(engine, authority().certificate.der, now=NOW)


def test_an_older_crl_is_refused(engine: sa.Engine) -> None:
    """Numbers are compared as numbers: 10 is newer than 9 (RFC 5280, 5.2.3)."""
    publish_crl(engine, authority().crl(number=10))
    with pytest.raises(UsageError, match="not newer"):
        publish_crl(engine, authority().crl(number=9))


def test_the_lists_of_an_old_and_a_new_key_stand_side_by_side(engine: sa.Engine) -> None:
    """After a roll-over both keys list under one name; each replaces its own (RFC 4210, 4.4)."""
    newer = make_ca("Database CA", slot="the key after the roll-over")
    assert newer.certificate.subject_der == authority().certificate.subject_der
    lists = [authority().crl(number=7), newer.crl(number=1), authority().crl(number=8)]
    for crl in lists:
        assert publish_crl(engine, crl)
    directory = EmbeddedDirectory(engine)
    found = asyncio.run(directory.crls(authority().certificate.subject_der))
    assert set(found) == set(lists[1:])


def test_lists_of_an_older_release_are_taken_along(tmp_path: Path) -> None:
    """By the key that signed them, so that the next list takes their place."""
    old = authority().crl(number=7)
    path = tmp_path / "old.db"
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(sa.text("drop table crls"))
        connection.execute(
            sa.text(
                "create table crls (issuer_digest varchar(64) primary key, issuer blob not null, "
                "number varchar(50) not null, this_update bigint not null, der blob not null)"
            )
        )
        row = {"digest": "0" * 64, "issuer": b"0", "number": "7", "at": 1, "der": old}
        connection.execute(
            sa.text("insert into crls values (:digest, :issuer, :number, :at, :der)"), row
        )
        connection.execute(sa.text("update alembic_version set version_num = '0003'"))
    engine.dispose()
    engine = open_database(path)
    expected = hashlib.sha256(key_identifier(x509.load_der_x509_crl(old))).hexdigest()
    with engine.connect() as connection:
        kept = connection.execute(sa.text("select key_digest, der from crls")).one()
    assert (kept.key_digest, bytes(kept.der)) == (expected, old)
    engine.dispose()


def test_what_is_no_crl_is_refused(engine: sa.Engine) -> None:
    """Parsed before anything is written."""
    with pytest.raises(UsageError, match="not a CRL"):
        publish_crl(engine, b"\x30\x00")


def test_a_second_crl_of_one_number_is_refused(engine: sa.Engine) -> None:
    """A CA restored from an older copy makes one that forgot a revocation (RFC 5280, 5.2.3)."""
    assert publish_crl(engine, authority().crl(revoked=[7], number=5))
    with pytest.raises(UsageError, match="not newer"):
        publish_crl(engine, authority().crl(number=5))


def test_a_crl_number_of_twenty_octets_fits(engine: sa.Engine) -> None:
    """RFC 5280, 5.2.3 allows that many."""
    assert publish_crl(engine, authority().crl(number=2**159 - 1))


# --- troubles ------------------------------------------------------------------------------------


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """Mail flows while the CA publishes."""
    engine = open_database(tmp_path / "smimegw.db")
    publish_certificate(engine, BOB, der(), now=NOW)
    other = sqlite3.connect(tmp_path / "smimegw.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM certificates")
    assert find(engine) == [der()]
    other.close()


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path) -> None:
    """Nothing is written, and the text says what to do."""
    engine = open_database(tmp_path / "smimegw.db")
    other = sqlite3.connect(tmp_path / "smimegw.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DirectoryError, match="another program"):
        publish_certificate(engine, BOB, der(), now=NOW)
    other.close()
    engine.dispose()


def test_a_server_that_hangs_is_an_error(postgres: Postgres) -> None:
    """No mail waits longer than the deadline (R-06, cases F09)."""
    engine = open_database(postgres.create_database())
    engine.dispose()
    directory = EmbeddedDirectory(engine, deadline_seconds=0.5)
    postgres.freeze()
    try:
        with pytest.raises(DirectoryError, match="did not answer"):
            asyncio.run(directory.find(BOB))
    finally:
        postgres.thaw()
        asyncio.run(directory.close())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Never an empty directory where there was one with certificates (R-06)."""
    file = tmp_path / "smimegw.db"
    file.write_bytes(b"this was a database" * 1000)
    with pytest.raises(DirectoryError, match="backup"):
        open_database(file)


def test_a_file_that_vanished_is_an_error_not_an_empty_directory(tmp_path: Path) -> None:
    """SQLite would make a new, empty file without a word (R-06)."""
    engine = open_database(tmp_path / "smimegw.db")
    publish_certificate(engine, BOB, der(), now=NOW)
    engine.dispose()  # what a restart of the pool does
    for path in tmp_path.glob("smimegw.db*"):
        path.unlink()
    with pytest.raises(DirectoryError):
        find(engine)


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The administrator sees which path is wrong."""
    with pytest.raises(DirectoryError, match="nowhere"):
        open_database(tmp_path / "nowhere" / "smimegw.db")


def test_an_error_shows_no_password() -> None:
    """URLs hold passwords; logs must not."""
    with pytest.raises(DirectoryError) as caught:
        open_database("postgresql://smimegw:hunter2@127.0.0.1:1/smimegw")
    assert "hunter2" not in str(caught.value)


def test_another_kind_of_data_base_is_refused() -> None:
    """Only what is tested is supported."""
    with pytest.raises(DirectoryError, match="mysql"):
        open_database("mysql://127.0.0.1/smimegw")
