"""What a good configuration becomes: defaults, drop-ins, origins, secrets."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from smimegw.adapters.files.settings import read_settings
from smimegw.config.choices import AuthenticationMode, Protocol, TLSMode
from smimegw.config.directories import EmbeddedDirectory, LDAPDirectory
from smimegw.config.load import load, load_with_origins
from smimegw.config.sessions import EVERYBODY
from smimegw.config.values import Endpoint, Secret, duration, write_duration
from smimegw.errors import ConfigurationError
from smimegw.smtp.roles import ListenerRole


def test_role_comes_from_the_name(write: Callable[..., Path]) -> None:
    """A listener named after a role needs no role."""
    assert load(write()).listener["mx"].role is ListenerRole.MX


def test_next_hop_follows_the_role(write: Callable[..., Path]) -> None:
    """mx hands inwards, everything else outwards."""
    listeners = load(write()).listener
    assert (listeners["mx"].next_hop, listeners["relay"].next_hop) == ("in", "out")


def test_mx_lets_everybody_connect_by_default(write: Callable[..., Path]) -> None:
    """Mail comes from anywhere."""
    assert load(write()).listener["mx"].peers == EVERYBODY


def test_submission_has_logins_by_default(write: Callable[..., Path]) -> None:
    """The next hop judges them."""
    text = write().read_text().replace("[listener.mx]", "[listener.submission]")
    assert load(write(text)).listener["submission"].auth is AuthenticationMode.NEXT_HOP


def test_values_have_their_types(write: Callable[..., Path]) -> None:
    """Endpoints, words, durations and paths are parsed once."""
    found = load(write())
    assert found.next_hop["out"].address == Endpoint("127.0.0.1", 10026)
    assert found.next_hop["out"].protocol is Protocol.LMTP
    assert found.next_hop["in"].tls.mode is TLSMode.VERIFY
    directory = found.directory[0]
    assert isinstance(directory, LDAPDirectory)
    assert directory.deadline == timedelta(seconds=2)


def test_relative_paths_start_at_the_file(write: Callable[..., Path]) -> None:
    """Not at the working directory of whoever starts the gateway."""
    path = write()
    assert load(path).policies.path == path.parent / "policies"


def test_no_directory_means_the_embedded_one(write: Callable[..., Path]) -> None:
    """The demo needs no LDAP."""
    text = write().read_text()
    start, end = text.index("[[directory]]"), text.index("[policies]")
    assert load(write(text[:start] + text[end:])).directories == (EmbeddedDirectory(),)


def test_idn_domains_become_a_labels(write: Callable[..., Path]) -> None:
    """Domains are compared in one form (RFC 5890)."""
    text = write().read_text().replace('["corp.example"]', '["Bücher.example"]')
    assert load(write(text)).gateway.internal_domains == ("xn--bcher-kva.example",)


def test_later_drop_in_wins(write: Callable[..., Path]) -> None:
    """Files are read in name order, keys are merged one by one."""
    path = write(
        **{
            "10-first": '[log]\nformat = "json"\n[limits]\nrecipients = 10\n',
            "20-second": "[limits]\nrecipients = 20\n",
        }
    )
    found = load(path)
    assert (found.log.format, found.limits.recipients) == ("json", 20)
    assert found.gateway.hostname == "gw.corp.example"


def test_drop_in_changes_a_directory_by_name(write: Callable[..., Path]) -> None:
    """A list of tables is a list of named things, not of numbers."""
    path = write(**{"10-x": '[[directory]]\nname = "staff"\ndeadline = "5s"\n'})
    (directory,) = load(path).directory
    assert isinstance(directory, LDAPDirectory)
    assert (directory.deadline, directory.base[:2]) == (timedelta(seconds=5), "ou")


def test_drop_in_adds_a_directory(write: Callable[..., Path]) -> None:
    """Another name is another directory, asked later."""
    path = write(**{"10-x": '[[directory]]\nname = "own"\nkind = "embedded"\n'})
    assert [directory.name for directory in load(path).directory] == ["staff", "own"]


def test_lock_file_of_an_editor_is_no_drop_in(write: Callable[..., Path]) -> None:
    """Emacs leaves a dangling link beside the file that it has open."""
    path = write()
    (path.parent / "smimegw.toml.d/.#x.toml").symlink_to("somebody@somewhere")
    assert load(path).gateway.hostname == "gw.corp.example"


def test_mistake_in_a_drop_in_names_the_drop_in(write: Callable[..., Path]) -> None:
    """Also when another file holds the rest of that table."""
    path = write(**{"10-x": '\n[log]\nlevel = "loud"\n'})
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.file.endswith("smimegw.toml.d/10-x.toml")
    assert problem.line == 3


def test_origin_of_every_written_key_is_known(write: Callable[..., Path]) -> None:
    """``config show --origin``."""
    path = write(**{"10-x": "[limits]\nrecipients = 10\n"})
    origins = load_with_origins(path).origins
    assert origins[("gateway", "hostname")] == f"{path}:3"
    assert origins[("limits", "recipients")] == f"{path}.d/10-x.toml:2"
    assert ("gateway", "strict") not in origins


def test_replaced_list_leaves_no_origin_behind(write: Callable[..., Path]) -> None:
    """What the main file said about it no longer holds."""
    text = write().read_text().replace('["192.0.2.10"]', '["192.0.2.10", "192.0.2.11"]')
    path = write(text, **{"10-x": '[listener.relay]\npeers = ["192.0.2.12"]\n'})
    origins = load_with_origins(path).origins
    assert origins[("listener", "relay", "peers", 0)].endswith("10-x.toml:2")
    assert ("listener", "relay", "peers", 1) not in origins


def test_replaced_secret_has_one_source(write: Callable[..., Path]) -> None:
    """A drop-in that moves a secret must not leave two places for it."""
    bind = (
        '[[directory]]\nname = "staff"\nbind = { dn = "cn=x", password = { %s = "SMIMEGW_X" } }\n'
    )
    path = write(**{"10-x": bind % "env", "20-x": bind % "credential"})
    (directory,) = load(path, check_files=False).directory
    assert isinstance(directory, LDAPDirectory)
    assert directory.bind is not None
    assert directory.bind.password == Secret("credential", "SMIMEGW_X")


def test_secret_shows_its_place_never_itself(tmp_path: Path) -> None:
    """repr and str stand in logs and tracebacks."""
    (tmp_path / "password").write_text("hunter2\n")
    secret = Secret("file", str(tmp_path / "password"))
    assert secret.read_text() == "hunter2"
    assert "hunter2" not in repr(secret) + str(secret)


def test_secret_octets_are_exact(tmp_path: Path) -> None:
    """A binary key may end in an octet that looks like a line end."""
    (tmp_path / "key").write_bytes(b"x" * 31 + b"\n")
    assert Secret("file", str(tmp_path / "key")).read() == b"x" * 31 + b"\n"


def test_credential_is_read_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoadCredential= puts files there."""
    (tmp_path / "ldap").write_text("pw")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret("credential", "ldap").read() == b"pw"


def test_missing_environment_secret_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty password would bind anonymously."""
    monkeypatch.delenv("SMIMEGW_TEST_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="SMIMEGW_TEST_SECRET: is empty or not set"):
        Secret("env", "SMIMEGW_TEST_SECRET").read()


@pytest.mark.parametrize("raw", [True, False])
def test_key_encryption_key_may_be_raw_or_base64(write: Callable[..., Path], raw: bool) -> None:
    """32 octets either way."""
    path = write()
    key = os.urandom(32)
    (path.parent / "kek").write_bytes(key if raw else base64.b64encode(key) + b"\n")
    text = path.read_text() + '[keystore]\nkey_encryption_key = { file = "kek" }\n'
    assert load(write(text)).keystore.key_encryption_key == Secret("file", str(path.parent / "kek"))


def test_short_key_encryption_key_is_a_problem(write: Callable[..., Path]) -> None:
    """A password is not a key."""
    path = write()
    (path.parent / "kek").write_bytes(b"correct horse battery staple")
    text = path.read_text() + '[keystore]\nkey_encryption_key = { file = "kek" }\n'
    with pytest.raises(ConfigurationError, match="is not 32 octets"):
        load(write(text))


def test_key_encryption_key_under_a_passphrase_wants_one(write: Callable[..., Path]) -> None:
    """The check says it, not the first mail that needs a key (M10)."""
    path = write()
    (path.parent / "kek").write_bytes(b'\n{"smimegw_key_encryption_key": 1}\n')
    text = path.read_text() + '[keystore]\nkey_encryption_key = { file = "kek" }\n'
    with pytest.raises(ConfigurationError, match="under a passphrase, and keystore"):
        load(write(text))
    (path.parent / "secret").write_text("correct horse battery staple\n")
    text += 'passphrase = { file = "secret" }\n'
    assert load(write(text)).keystore.passphrase == Secret("file", str(path.parent / "secret"))


def test_raw_key_encryption_key_may_begin_like_json(write: Callable[..., Path]) -> None:
    """One of 256 raw keys does, and is under no passphrase (M10)."""
    path = write()
    (path.parent / "kek").write_bytes(b"{" + os.urandom(31))
    text = path.read_text() + '[keystore]\nkey_encryption_key = { file = "kek" }\n'
    assert load(write(text)).keystore.key_encryption_key == Secret("file", str(path.parent / "kek"))


@pytest.mark.parametrize("text", ["500ms", "2s", "5m", "1h", "30d", "0s", "90s"])
def test_durations_survive_writing(text: str) -> None:
    """What is shown can be pasted back."""
    assert duration(write_duration(duration(text))) == duration(text)


def test_results_of_an_edge_are_internal_at_every_other_listener(
    write: Callable[..., Path],
) -> None:
    """Who believes a filter at one door must not let others speak in its name."""
    more = """\
[gateway]
authserv_ids = ["spam.corp.example"]
[listener.mx]
edge_authserv_ids = ["Edge.corp.example"]
"""
    claims = read_settings(load(write(more=more), check_files=False)).claims
    assert claims["mx"].kept == {"edge.corp.example"}
    assert claims["relay"].kept == frozenset()
    assert claims["relay"].internal == {"edge.corp.example", "spam.corp.example"}
