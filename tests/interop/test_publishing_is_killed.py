"""`smimegw-ca publish` killed at any step: the next run brings the directory to the same state."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ldap3
import pytest
from click.testing import CliRunner

from pki import founding, issuance, opening
from pki.certified import Certified
from pki.cli import main, publishing
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.settings import Settings
from smimegw.addresses import Mailbox
from tests.peers.slapd import Slapd

PASSPHRASE = b"correct horse battery"
COMMAND = publishing.publish  # imported before there is a child: it takes seconds


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """Emptied before each test."""
    with Slapd() as server:
        yield server


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person to withdraw from an entry that is there, two to publish, one of them new."""
    path, now = tmp_path_factory.mktemp("killed") / "ca", datetime.now(UTC)
    plan = founding.Founding(
        name="Killed CA", settings=Settings(domains=("corp.example",)), key_kind=KeyKind.P_256
    )
    founding.initialise(path, plan, passphrase=PASSPHRASE, now=now - timedelta(days=1))
    with opening.changing(path, now=now) as opened:
        gone = _issue(opened, "gone@corp.example", now)
        for name in ("there", "new"):
            _issue(opened, f"{name}@corp.example", now)
        issuance.revoke(opened, gone, "superseded", now=now)
        (path / "gone.der").write_bytes(gone.der)
    return path


def _issue(opened: Home, address: str, now: datetime) -> Certified:
    order = Order(mailbox=Mailbox.parse(address), profile=Profile.BOTH, key_kind=KeyKind.P_256)
    issuer = opened.issuer("issuing", PASSPHRASE)
    return issuance.issue(opened, issuer, order, passphrase=PASSPHRASE, now=now)


def reset(slapd: Slapd, ca: Path) -> None:
    """People and CAs as before the first run."""
    for base in (slapd.people_base, slapd.authorities_base):
        ldif = slapd.search("(!(objectClass=organizationalUnit))", "dn", base=base)
        for dn in re.findall(r"^dn: (.*)$", ldif, re.MULTILINE):
            slapd.delete(dn)
    slapd.add_person("there@corp.example", more={"telephoneNumber": "12"})
    slapd.add_person("gone@corp.example", certificates=[(ca / "gone.der").read_bytes()])


def publish(slapd: Slapd, ca: Path, tmp_path: Path, step: int, moment: str) -> int:
    """Run the command in a child; 9 is the death at *step*, 0 a whole run."""
    password = tmp_path / "password"
    password.write_text(slapd.publisher_password)
    words = (
        *("publish", "--directory", ca, "--ldap", slapd.ldaps_url, "--ca", slapd.ca),
        *("--bind-dn", slapd.publisher_dn, "--password-file", password),
        *("--people-base", slapd.people_base, "--authorities-base", slapd.authorities_base),
    )
    child = os.fork()  # a new interpreter would take seconds to import everything
    if child == 0:
        code = 70
        try:
            _die_at(step, moment)
            code = CliRunner().invoke(main, [str(word) for word in words]).exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _die_at(step: int, moment: str) -> None:
    """Count what is sent that changes something; die without any clean-up before or after one."""
    left = step

    def deadly(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0 and moment == "before":
                os._exit(9)
            result = function(*args, **named)
            if left == 0 and moment == "after":
                os._exit(9)
            return result

        return wrapped

    for name in ("add", "modify"):
        setattr(ldap3.Connection, name, deadly(getattr(ldap3.Connection, name)))


def state(slapd: Slapd) -> str:
    """Everything that people and readers see."""
    ldif = slapd.search("(|(objectClass=pkiCA)(mail=*))", "*")
    return "\n\n".join(
        sorted("\n".join(sorted(entry.splitlines())) for entry in ldif.strip().split("\n\n"))
    )


@pytest.fixture(scope="module")
def wanted(slapd: Slapd, ca: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The state after a run that nothing disturbs."""
    reset(slapd, ca)
    assert publish(slapd, ca, tmp_path_factory.mktemp("wanted"), 0, "before") == 0
    return state(slapd)


# two entries of CAs made with their lists, two certificates into them, one person less, two more
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7])
def test_the_next_run_completes_what_a_kill_left(
    slapd: Slapd, ca: Path, tmp_path: Path, wanted: str, step: int, moment: str
) -> None:
    """Nothing is lost, nothing is there twice, nothing of others is touched (M22)."""
    reset(slapd, ca)
    assert publish(slapd, ca, tmp_path, step, moment) == 9
    assert publish(slapd, ca, tmp_path, 0, "before") == 0
    assert state(slapd) == wanted


def test_there_are_no_more_steps(slapd: Slapd, ca: Path, tmp_path: Path) -> None:
    """Otherwise the table above would leave some out."""
    reset(slapd, ca)
    assert publish(slapd, ca, tmp_path, 8, "before") == 0
