"""The unit file that we ship is one that systemd reads without complaint, and a hardened one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
UNIT = PROJECT / "docs" / "smimegw.service"
AGENT = PROJECT / "docs" / "smimegw-key-agent.service"
_EXPOSURE = "20"  # in tenths: "OK" is below 50, services like ours have 90 without hardening


@pytest.fixture(params=[UNIT, AGENT], ids=["gateway", "agent"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that is here."""
    path = tmp_path / request.param.name
    path.write_text(request.param.read_text().replace("/opt/smimegw/bin/smimegw", "/bin/true"))
    return path


def _analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stderr


def test_every_line_is_understood(unit: Path) -> None:
    """systemd-analyze verify has nothing to say."""
    assert _analyze("verify", "--man=no", unit) == ""


def test_the_service_is_hardened(unit: Path) -> None:
    """systemd-analyze security stays below the threshold."""
    _analyze("security", "--offline=true", f"--threshold={_EXPOSURE}", unit)


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",  # the gateway says READY=1
        "KillMode=mixed",  # a SIGTERM to each worker as well would be its second
        "RestartPreventExitStatus=2",
        "LimitCORE=0",
    ],
)
def test_what_the_program_relies_on_is_there(line: str) -> None:
    """Lines without which draining or secrets would suffer."""
    assert line in UNIT.read_text().splitlines()


@pytest.mark.parametrize("line", ["PrivateNetwork=yes", "LimitCORE=0", "LimitMEMLOCK=infinity"])
def test_the_agent_keeps_its_keys_to_itself(line: str) -> None:
    """No network, no core dumps, no swap."""
    assert line in AGENT.read_text().splitlines()


def test_the_agent_has_a_user_of_its_own() -> None:
    """Else there would be no point in having it."""
    users = [
        line for path in (UNIT, AGENT) for line in path.read_text().splitlines()
        if line.startswith("User=")
    ]  # fmt: skip
    assert users == ["User=smimegw", "User=smimegw-keys"]


def test_there_is_time_to_drain() -> None:
    """systemd kills later than the gateway gives up (`limits.drain_seconds` and ten more)."""
    lines = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line)
    assert int(lines["TimeoutStopSec"]) > 60 + 10
