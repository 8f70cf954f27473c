"""The gateway's own database in the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.adapters.database.publisher import publish_certificate
from smimegw.addresses import Mailbox
from smimegw.app import assemble
from smimegw.config.load import load
from smimegw.errors import ConfigurationError
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import NOW, make_ca
from tests.unit.config.conftest import GOOD

SERVER = "postgresql://smimegw@db.corp.example/smimegw?sslmode=verify-full"


def database(lines: str) -> str:
    return f"{GOOD}\n[database]\n{lines}\n"


def problem(write: Callable[..., Path], lines: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(write(database(lines)))
    (found,) = caught.value.problems
    assert found.line is not None
    return f"{found.key}: {found.message}"


def test_without_a_word_it_is_a_file_in_the_state_directory(write: Callable[..., Path]) -> None:
    """One node needs no server."""
    text = GOOD.replace("[gateway]", '[gateway]\nstate_directory = "/srv/smimegw"')
    assert load(write(text)).database_location == "/srv/smimegw/smimegw.db"


def test_a_relative_file_starts_at_the_configuration(write: Callable[..., Path]) -> None:
    """Like every other path."""
    path = write(database('url = "data/own.db"'))
    assert load(path).database_location == str(path.parent / "data/own.db")


def test_a_server_is_taken_as_it_is_written(write: Callable[..., Path]) -> None:
    """With the driver's own words for TLS."""
    assert load(write(database(f'url = "{SERVER}"'))).database_location == SERVER


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://smimegw:hunter2@127.0.0.1/smimegw",
        "postgresql://smimegw@127.0.0.1/smimegw?password=hunter2",
        "mysql://smimegw:hunter2@127.0.0.1/smimegw",
    ],
)
def test_a_password_in_the_url_is_refused_unseen(write: Callable[..., Path], url: str) -> None:
    """The text says where it belongs, and does not say it."""
    text = problem(write, f'url = "{url}"')
    assert text.startswith("database.url: ")
    assert "write database.password = { credential" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("url", ["mysql://127.0.0.1/smimegw", "https://db.corp.example/"])
def test_other_databases_are_refused(write: Callable[..., Path], url: str) -> None:
    """Only what is tested is supported."""
    assert "no kind we know" in problem(write, f'url = "{url}"')


@pytest.mark.parametrize("url", ["", "postgresql://db:port/x", "postgresql://[::1/x"])
def test_what_is_no_url_is_refused(write: Callable[..., Path], url: str) -> None:
    """With what to write instead."""
    assert "Write" in problem(write, f'url = "{url}"')


def test_a_server_elsewhere_needs_tls(write: Callable[..., Path]) -> None:
    """Who writes to whom is not for everybody on the line."""
    text = problem(write, 'url = "postgresql://smimegw@db.corp.example/smimegw"')
    assert "clear text.  Add ?sslmode=verify-full" in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://smimegw@127.0.0.1/smimegw",
        "postgresql:///smimegw?host=/run/postgresql",
        "postgresql:///smimegw",
    ],
)
def test_a_server_on_this_machine_needs_none(write: Callable[..., Path], url: str) -> None:
    """Nothing leaves it."""
    assert load(write(database(f'url = "{url}"'))).database_location == url


def test_a_password_for_a_file_is_a_mistake(write: Callable[..., Path]) -> None:
    """It would be believed to protect something."""
    assert "without effect" in problem(write, 'password = { env = "HOME" }')


def test_an_unreadable_password_is_told_before_the_start(write: Callable[..., Path]) -> None:
    """Like every other secret."""
    text = problem(write, f'url = "{SERVER}"\npassword = {{ file = "nowhere" }}')
    assert text.startswith("database.password: ")


def test_remembering_for_no_time_is_refused(write: Callable[..., Path]) -> None:
    """Everything would be forgotten at once."""
    with pytest.raises(ConfigurationError, match="longer than nothing"):
        load(write(f'{GOOD}\n[memory]\nkeep = "0s"\n'))


def test_commands_that_need_no_database_make_none(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """Looking something up as root must not leave a file that the gateway cannot write to."""
    assembled = assemble(load(write(database('url = "own.db"'))))
    asyncio.run(assembled.close())
    assert not (tmp_path / "own.db").exists()


def test_the_embedded_directory_is_in_the_same_database(write: Callable[..., Path]) -> None:
    """Whoever moves the gateway to a server moves its certificates, too."""
    start, end = GOOD.index("[[directory]]"), GOOD.index("[policies]")
    assembled = assemble(load(write(GOOD[:start] + GOOD[end:] + '[database]\nurl = "own.db"\n')))
    mailbox = Mailbox.parse("bob@partner.example")
    certificate = make_ca("Partner CA").issue("bob@partner.example", key="p256").certificate
    publish_certificate(assembled.database.open(), mailbox, certificate.der, now=NOW)

    async def find() -> list[Certificate]:
        found = await assembled.ports.directory.find(mailbox)
        await assembled.close()
        return [entry.certificate for entry in found]

    assert asyncio.run(find()) == [certificate]
