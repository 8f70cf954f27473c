"""Killed between any two steps of a request, nothing is forgotten and nothing issued twice."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from pki import approval, opening
from pki.approval import Filing
from pki.home import Home
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.requests import Request, RequestState
from smimegw.addresses import Mailbox
from tests.unit.pki.steps import PASSPHRASE

_PROJECT = Path(__file__).resolve().parents[3]
_CHILD = """
import sys
from datetime import datetime
from pathlib import Path
from pki import opening
from tests.unit.pki.test_request_crash import go_on
now = datetime.fromisoformat(sys.argv[2])
with opening.changing(Path(sys.argv[1]), now=now) as ca:
    go_on(ca, now)
"""
_PROFILES = (Profile.SIGN, Profile.ENCRYPT)


def go_on(ca: Home, now: datetime) -> Request:
    """File a request unless it is there, then approve and issue it: what a person repeats."""
    if not ca.register.history.requests:
        filing = Filing(
            mailbox=Mailbox.parse("alice@corp.example"),
            profiles=_PROFILES,
            requester="rita",
            key_kind=KeyKind.P_256,
        )
        approval.file(ca, filing, now=now)
    request = approval.find(ca, 1)
    if request.state is not RequestState.ISSUED:
        request = approval.approve(ca, request, operator="otto", now=now)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    approval.issue(ca, issuer, request, passphrase=PASSPHRASE, operator="otto", now=now)
    return approval.find(ca, 1)


@pytest.mark.parametrize(
    "point",
    [
        "request.filed",
        "request.approved",
        "issue.reserved",
        "issue.key-kept@2",
        "issue.signed@2",
        "issue.recorded",
        "issue.written@2",
    ],
)
def test_a_request_is_finished_after_a_kill(ca_path: Path, now: datetime, point: str) -> None:
    """One request, one approval, one certificate for each profile (M22)."""
    name, _, turn = point.partition("@")
    environment = {**os.environ, "SMIMEGW_FAILPOINTS": f"{name}=kill@{turn or 1}"}
    killed = subprocess.run(
        [sys.executable, "-c", _CHILD, ca_path, now.isoformat()],
        env=environment,
        cwd=_PROJECT,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9
    with opening.changing(ca_path, now=now) as ca:
        request = go_on(ca, now)
        issued = [item for item in ca.register.certificates() if item.mailbox]
        kinds = [entry.kind for entry in ca.register.ledger.entries()]
    assert request.state is RequestState.ISSUED
    assert tuple(item.profile for item in issued) == _PROFILES
    assert all(item.request == 1 for item in issued)
    assert (kinds.count("requested"), kinds.count("approved")) == (1, 1)
    assert kinds.count("reserved") == kinds.count("issued") + kinds.count("abandoned")


def test_processes_at_once_issue_a_request_once(ca_path: Path, now: datetime) -> None:
    """The lock lets one after the other in, and the second finds it done."""
    running = [
        subprocess.Popen([sys.executable, "-c", _CHILD, ca_path, now.isoformat()], cwd=_PROJECT)
        for _ in range(2)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    with opening.reading(ca_path) as ca:
        assert len([item for item in ca.register.certificates() if item.mailbox]) == 2
