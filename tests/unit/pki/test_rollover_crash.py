"""Killed anywhere in a roll-over, the same command finishes it, and nobody is without an issuer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pki import opening, rollover
from pki.places import FIRST, ROOT
from tests.unit.pki.steps import PASSPHRASE, issue

SECOND = "issuing-2"
POINTS = [
    "authority.key-made=kill",
    # once for the new CA, then for each cross certificate
    "issue.reserved=kill@1",
    "issue.reserved=kill@2",
    "issue.recorded=kill@1",
    "issue.recorded=kill@2",
    "issue.recorded=kill@3",
]


def _roll_over(ca_path: Path, tmp_path: Path, failpoints: str = "") -> int:
    passphrase = tmp_path / "passphrase"
    passphrase.write_bytes(PASSPHRASE)
    program = Path(sys.executable).with_name("smimegw-ca")
    options = ["-d", ca_path, "--passphrase-file", passphrase, "--key", "p-256", "-y"]
    done = subprocess.run(
        [program, "rollover", *options],
        env={**os.environ, "SMIMEGW_FAILPOINTS": failpoints},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def _now() -> datetime:
    """By the clock of the program."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.mark.parametrize("point", POINTS)
def test_a_rollover_survives_a_kill(ca_path: Path, tmp_path: Path, point: str) -> None:
    """One new CA, one pair of cross certificates, no serial number twice (cases M22)."""
    assert _roll_over(ca_path, tmp_path, point) == -signal.SIGKILL
    now = _now()
    with opening.changing(ca_path, now=now) as ca:
        assert issue(ca, now).issuer == ca.issuing  # whichever it is, it works
    assert _roll_over(ca_path, tmp_path) == 0
    now = _now()  # not before: the new issuer's certificate begins when the program ran
    with opening.changing(ca_path, now=now) as ca:
        assert ca.issuers == (ROOT, FIRST, SECOND)
        assert len(rollover.cross_pairs(ca)) == 1
        assert ca.register.last_crl(SECOND) is not None
        assert ca.certificate_path(SECOND).exists()
        assert ca.register.open_reservations() == ()
        assert issue(ca, now, "bob@corp.example").issuer == SECOND
        serials = [entry.serial for entry in ca.register.ledger.entries() if entry.serial]
        reserved = [e.serial for e in ca.register.ledger.entries() if e.kind == "reserved"]
    assert len(reserved) == len(set(reserved))
    assert set(serials) == set(reserved)
