"""Killed between any two steps, the CA never uses a serial number twice nor loses a certificate."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509

from pki import keys, opening
from pki.serial_numbers import serial_text
from tests.unit.pki.steps import PASSPHRASE, issue

# The child counts every durable step (ledger entry, new file, replaced file, new directory) and
# dies without any clean-up before or after the one it is told to.
_CHILD = """
import os, sys
from datetime import datetime
from pathlib import Path
from pki import files, issuance, opening
from pki.ledger import Ledger
from tests.unit.pki.steps import PASSPHRASE, issue, revoke_and_list

path, act, step, moment, now = sys.argv[1:]
left = int(step)

def deadly(function):
    def wrapped(*args, **named):
        global left
        left -= 1
        if left == 0 and moment == "before":
            os._exit(9)
        result = function(*args, **named)
        if left == 0 and moment == "after":
            os._exit(9)
        return result
    return wrapped

now = datetime.fromisoformat(now)
with opening.changing(Path(path), now=now) as ca:
    known = ca.register.certificates()[-1]
    Ledger.append_all = deadly(Ledger.append_all)
    for name in ("write_new", "replace", "make_directory"):
        setattr(files, name, deadly(getattr(files, name)))
    if act == "issue":
        issue(ca, now)
    else:
        revoke_and_list(ca, known, now, "keyCompromise")
print("done")
"""
_PROJECT = Path(__file__).resolve().parents[3]


def _die(ca_path: Path, act: str, step: int, moment: str, now: datetime) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, ca_path, act, str(step), moment, now.isoformat()],
        capture_output=True,
        cwd=_PROJECT,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 9), done.stderr.decode()
    return done.returncode == 9


# reserved, directory, key, issued, certificate
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_issuing_survives_a_kill(ca_path: Path, now: datetime, step: int, moment: str) -> None:
    """The certificate is whole with its key, or the number is used up and nothing else (M22)."""
    assert _die(ca_path, "issue", step, moment, now)
    issued_before_death = step == 5 or (step == 4 and moment == "after")
    with opening.changing(ca_path, now=now) as ca:
        people = [item for item in ca.register.certificates() if item.mailbox]
        assert len(people) == issued_before_death
        for item in people:
            key = keys.read_key(ca.key_path(item.serial), PASSPHRASE)
            written = x509.load_pem_x509_certificate(ca.certificate_path(item.serial).read_bytes())
            assert written == item.certificate
            assert key.public_key() == item.certificate.public_key()
        assert ca.register.open_reservations() == ()
        left_keys = {path.parent.name for path in ca_path.glob("issued/*/key.pem")}
        assert left_keys == {serial_text(item.serial) for item in people}
        again = issue(ca, now)
        entries = ca.register.ledger.entries()
    reserved = [e.serial for e in entries if e.kind == "reserved"]
    assert len(reserved) == len(set(reserved))
    assert serial_text(again.serial) in reserved


def test_issuing_has_five_durable_steps(ca_path: Path, now: datetime) -> None:
    """Were there a sixth, the test above would not kill at it."""
    assert not _die(ca_path, "issue", 6, "before", now)


# revoked, crl recorded, crl file
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_revoking_survives_a_kill(ca_path: Path, now: datetime, step: int, moment: str) -> None:
    """A recorded revocation is on the next CRL, and CRL numbers neither repeat nor go back."""
    with opening.changing(ca_path, now=now) as ca:
        victim = issue(ca, now)
    assert _die(ca_path, "revoke", step, moment, now)
    with opening.changing(ca_path, now=now) as ca:
        last = ca.register.last_crl("issuing")
        assert last is not None
        assert ca.crl_path("issuing").read_bytes() == last.der
        recorded = step > 1 or moment == "after"
        assert (ca.register.find(serial_text(victim.serial)).revocation is not None) == recorded
        listed = last.crl.get_revoked_certificate_by_serial_number(victim.serial) is not None
        assert listed == (step == 3 or (step == 2 and moment == "after"))
        assert last.number == (2 if listed else 1)
