"""What ``smimegw config check`` and ``smimegw run`` advise although the configuration is valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.files.advice import advice
from smimegw.config.load import load
from smimegw.errors import ConfigurationError
from tests.fakes.pki import make_ca
from tests.peers.tls import make_tls

CA = make_ca("Advice CA")
NOW = datetime.now(UTC)
GOOD = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
state_directory = "{directory}"
[listener.mx]
address = "127.0.0.1:10035"
tls = {{ certificate = "{directory}/server.pem", key = {{ file = "{directory}/server.key" }} }}
[next_hop.in]
address = "127.0.0.1:10025"
[trust]
anchors = ["{directory}/anchor.pem"]
[keystore]
key_encryption_key = {{ file = "{directory}/kek" }}
"""


def advised(
    directory: Path, text: str = GOOD, *, now: datetime = NOW, anchored: bool = True
) -> str:
    """The sentences for a configuration."""
    make_tls(directory)
    (directory / "anchor.pem").write_bytes(CA.certificate.parsed.public_bytes(Encoding.PEM))
    (directory / "kek").write_bytes(bytes(range(32)))
    file = directory / "smimegw.toml"
    file.write_text(text.format(directory=directory))
    anchors = (CA.certificate,) if anchored else ()
    return "\n".join(advice(load(file, check_files=False), anchors, now=now))


def test_nothing_is_said_when_all_is_well(tmp_path: Path) -> None:
    """Advice that always comes is not read."""
    assert advised(tmp_path) == ""


def test_shadow_mode(tmp_path: Path) -> None:
    """Nobody may forget that nothing is protected."""
    shadow = GOOD.replace("[listener.mx]", "shadow = true\n[listener.mx]")
    assert "gateway.shadow is on" in advised(tmp_path, shadow)


def test_no_trust_anchor(tmp_path: Path) -> None:
    """Everything would be untrusted, and nobody would see why."""
    assert "trust.anchors holds no certificate" in advised(tmp_path, anchored=False)


def test_ended_trust_anchor(tmp_path: Path) -> None:
    """A path ends with its anchor (RFC 5280, 6.1)."""
    later = CA.certificate.not_after + timedelta(days=1)
    assert "CN=Advice CA,O=Test ended on" in advised(tmp_path, now=later)


def test_no_key_encryption_key(tmp_path: Path) -> None:
    """The keystore is locked then (R-13)."""
    text = "\n".join(GOOD.splitlines()[:-1])
    assert "keystore.key_encryption_key is not set" in advised(tmp_path, text)


@pytest.mark.parametrize(
    "elsewhere",
    [
        'agent = "/run/smimegw-keys/agent.sock"\n',
        (
            '[keystore.token]\nmodule = "m.so"\nlabel = "a"\npin = {{ env = "PIN" }}\n'
            'key_encryption_key = "kek-2027"\n'
        ),
    ],
    ids=["key agent", "token"],
)
def test_key_encryption_key_that_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    """Whoever has it in a token, or at a key agent, misses nothing."""
    monkeypatch.setenv("PIN", "1234")
    text = "\n".join(GOOD.splitlines()[:-1])
    assert advised(tmp_path, f"{text}\n{elsewhere}") == ""


def test_ended_tls_certificate(tmp_path: Path) -> None:
    """Clients would refuse it and say so to nobody here."""
    assert "clients refuse it" in advised(tmp_path, now=NOW + timedelta(days=36500))


def test_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Found before the first start, not by it; /proc takes no directory of anybody."""
    text = GOOD.replace('state_directory = "{directory}"', 'state_directory = "/proc/1/x/y"')
    if "state_directory" not in advised(tmp_path, text):
        pytest.fail("a state directory below /proc was thought good")


def test_unreadable_value_says_how_text_is_written(tmp_path: Path) -> None:
    """TOML's own words are only "invalid value"."""
    (tmp_path / "smimegw.toml").write_text("version = 1\n[gateway]\nhostname = gw.corp\n")
    with pytest.raises(ConfigurationError, match="quotation marks"):
        load(tmp_path / "smimegw.toml")
