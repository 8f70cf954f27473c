"""[enrolment]: what contradicts itself is named before a mail needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.config.load import load
from smimegw.errors import ConfigurationError, Problem
from tests.peers.tls import make_tls

_START = """version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.relay]
address = "127.0.0.1:10025"
peers = ["192.0.2.10"]
[next_hop.out]
address = "127.0.0.1:10026"
"""
_URL = "https://localhost:8443/.well-known/est/mailbox-both"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes smimegw.toml with a good [enrolment], keys replaced; None leaves one out."""
    tls = make_tls(tmp_path)

    def write(more: str = "", **changed: str | None) -> Path:
        values: dict[str, str | None] = {
            "url": f'"{_URL}"',
            "ca": f'"{tls.ca}"',
            "certificate": f'"{tls.certificate}"',
            "key": f'{{ file = "{tls.key}" }}',
            **changed,
        }
        lines = [f"{name} = {value}\n" for name, value in values.items() if value is not None]
        path = tmp_path / "smimegw.toml"
        path.write_text(
            f"{_START}{more}[policies]\npath = '{tmp_path}'\n[enrolment]\n{''.join(lines)}"
        )
        return path

    return write


def problems(path: Path) -> list[Problem]:
    """What is wrong with the table."""
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return [each for each in caught.value.problems if each.key.startswith("enrolment")]


def test_a_whole_table_is_read(write: Write) -> None:
    """With the files it names."""
    enrolment = load(write()).enrolment
    assert enrolment.url == _URL
    assert enrolment.pause.total_seconds() == 900


def test_an_empty_table_enrols_nobody(write: Write) -> None:
    """The default."""
    assert load(write(url=None, ca=None, certificate=None, key=None)).enrolment.url == ""


@pytest.mark.parametrize(
    "url",
    ["http://localhost/.well-known/est", "https://localhost/est", "localhost:8443", "https://",
     "https://u:p@localhost/.well-known/est", "https://localhost:x/.well-known/est",
     "https://localhost/.well-known/est?x=1", "https://localhost/.well-known/established"],
)  # fmt: skip
def test_what_is_no_est_server_is_refused(write: Write, url: str) -> None:
    """Clear text and other paths among them."""
    (problem,) = problems(write(url=f'"{url}"'))
    assert problem.key == "enrolment.url"
    assert "/.well-known/est" in problem.message


@pytest.mark.parametrize("name", ["certificate", "key"])
def test_who_asks_must_be_known(write: Write, name: str) -> None:
    """The server certifies for nobody else."""
    (problem,) = problems(write(**{name: None}))
    assert (problem.key, "missing" in problem.message) == (f"enrolment.{name}", True)


def test_a_key_from_the_environment_is_refused(write: Write) -> None:
    """TLS reads its key from a file."""
    found = problems(write(key='{ env = "EST_KEY" }'))
    assert "from a file" in " ".join(problem.message for problem in found)


@pytest.mark.parametrize("name", ["ca", "certificate"])
def test_a_file_that_is_not_there_is_named(write: Write, name: str) -> None:
    """At the start, not with the first mail."""
    (problem,) = problems(write(**{name: '"/nowhere/file.pem"'}))
    assert problem.key == f"enrolment.{name}"


@pytest.mark.parametrize("name", ["pause", "renew_before"])
def test_no_time_at_all_is_refused(write: Write, name: str) -> None:
    """Every mail would ask."""
    (problem,) = problems(write(**{name: '"0s"'}))
    assert problem.key == f"enrolment.{name}"


def test_another_kind_of_key_is_refused(write: Write) -> None:
    """With those that there are."""
    (problem,) = problems(write(key_kind='"rsa-1024"'))
    assert "p-256" in problem.message


def test_a_key_agent_takes_no_new_keys(write: Write) -> None:
    """The gateway has no place to keep them."""
    found = problems(write('[keystore]\nagent = "/run/smimegw/agent.sock"\n'))
    assert "keystore.agent" in " ".join(problem.message for problem in found)
