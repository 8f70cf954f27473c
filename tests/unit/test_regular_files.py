"""Files that are no files, or huge, where the configuration names one or the keystore holds one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.adapters.files.trust import read_certificates
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.adapters.logs.privacy import address_key
from smimegw.addresses import Mailbox
from smimegw.config.load import load
from smimegw.config.policies import PolicyFolder
from smimegw.config.values import Secret
from smimegw.errors import ConfigurationError, DependencyError, KeystoreError
from smimegw.regular_files import read_given, read_regular

CONFIGURATION = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.relay]
address = "127.0.0.1:10025"
peers = ["192.0.2.10"]
[next_hop.out]
address = "127.0.0.1:10026"
{}
[policies]
path = "."
"""


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(place))  # the system takes 108 letters


def _directory(place: Path) -> None:
    place.mkdir()


def _huge(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


KINDS = [
    pytest.param(_pipe, "not a regular file", id="pipe"),
    pytest.param(_device, "not a regular file", id="device"),
    pytest.param(_socket, "not a regular file", id="socket"),
    pytest.param(_directory, "Is a directory", id="directory"),
    pytest.param(_huge, "larger than", id="huge"),
]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a file that is none, of this name."""
    monkeypatch.chdir(tmp_path)

    def make(kind: Callable[[Path], None], name: str = "odd") -> Path:
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        kind(place)
        return place

    return make


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_secret_that_is_no_file(odd: Callable[..., Path], kind: object, text: str) -> None:
    """A secret is in a file of 64 KiB at most; all else is told and not waited for."""
    with pytest.raises(ConfigurationError, match=text):
        Secret("file", str(odd(kind))).read()


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_key_that_is_no_file(odd: Callable[..., Path], kind: object, text: str) -> None:
    """The keystore names what is no key file, and waits for none (R-14)."""
    place = odd(kind, f"keys/{'f' * 64}.key.json")
    keystore = FilesKeystore(place.parent, KeyEncryptionKey(bytes(range(32))))
    with pytest.raises(KeystoreError, match=text) as caught:
        asyncio.run(keystore.signing_credentials(Mailbox.parse("alice@corp.example")))
    assert str(place) in str(caught.value)


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_trust_folder_with_what_is_no_file(
    odd: Callable[..., Path], kind: object, text: str
) -> None:
    """An entry of a trust folder that is none is named itself."""
    place = odd(kind, "trusted/ca.pem")
    with pytest.raises(ConfigurationError, match=text) as caught:
        read_certificates([place.parent], "trust.anchors")
    assert str(place) in str(caught.value)


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_policy_that_is_no_file(odd: Callable[..., Path], kind: object, text: str) -> None:
    """A folder of policies holds files; one that is none ends no reload in waiting."""
    with pytest.raises(ConfigurationError, match=text):
        PolicyFolder(odd(kind, "policies/a.toml").parent).parse()


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_drop_in_that_is_no_file(odd: Callable[..., Path], kind: object, text: str) -> None:
    """A drop-in that is no file is named as what cannot be read."""
    main = odd(kind, "main.toml.d/a.toml").parent.parent / "main.toml"
    main.write_text(CONFIGURATION.format(""))
    with pytest.raises(ConfigurationError, match=text):
        load(main)


@pytest.mark.parametrize(("kind", "text"), KINDS)
def test_authority_that_is_no_file(odd: Callable[..., Path], kind: object, text: str) -> None:
    """What OpenSSL would read is looked at first: it would wait, or fill the memory."""
    place = odd(kind)
    main = place.parent / "main.toml"
    main.write_text(CONFIGURATION.format('tls = { mode = "verify", ca = "odd" }'))
    wanted = "is a directory" if kind is _directory else text
    with pytest.raises(ConfigurationError, match=wanted) as caught:
        load(main)
    assert [problem.key for problem in caught.value.problems] == ["next_hop.out.tls.ca"]


def test_configuration_may_come_through_a_pipe(tmp_path: Path) -> None:
    """Shells write ``-c <(command)`` as a pipe that somebody writes to."""
    reading, writing = os.pipe()
    try:
        os.write(writing, CONFIGURATION.format("").encode())
        os.close(writing)
        content = read_given(Path(f"/dev/fd/{reading}"), 10_000)
    finally:
        os.close(reading)
    assert content == CONFIGURATION.format("").encode()


def test_configuration_in_a_pipe_that_nobody_writes_to(odd: Callable[..., Path]) -> None:
    """It is an empty one, and waited for by nobody."""
    with pytest.raises(ConfigurationError, match="missing"):
        load(odd(_pipe))


def test_configuration_without_an_end(odd: Callable[..., Path]) -> None:
    """It is read as far as a configuration may be long."""
    with pytest.raises(ConfigurationError, match="larger than"):
        load(odd(_device))


def test_file_without_a_size_is_read_within_bounds(tmp_path: Path) -> None:
    """Files of the kernel say that they are empty and are not."""
    with pytest.raises(OSError, match="larger than"):
        read_regular(Path("/proc/self/status"), 10)


def test_key_of_hashed_addresses_is_not_taken_short(tmp_path: Path) -> None:
    """A file that a crash left empty gives no key that everybody knows."""
    (tmp_path / "address-hash.key").touch()
    with pytest.raises(DependencyError, match="0 octets instead of 32; delete it"):
        address_key(tmp_path / "address-hash.key")
