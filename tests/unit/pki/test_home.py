"""The CA's directory: one writer at a time, and no going on with an older ledger."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from pki import founding, keys, opening
from pki.errors import BusyError, LedgerError
from pki.home import Home
from pki.settings import Settings
from smimegw.errors import UsageError
from tests.unit.pki.steps import PASSPHRASE, issue, revoke_and_list

_PROJECT = Path(__file__).resolve().parents[3]


def test_a_second_writer_is_turned_away(ca: Home, ca_path: Path, now: datetime) -> None:
    """Two processes must not draw CRL numbers side by side."""
    with pytest.raises(BusyError, match="another smimegw-ca"):
        with opening.changing(ca_path, now=now, wait_seconds=0):
            pass


def test_a_reader_does_not_wait_for_the_writer(ca: Home, ca_path: Path, now: datetime) -> None:
    """Looking is always possible."""
    certified = issue(ca, now)
    with opening.reading(ca_path) as looking:
        assert looking.register.certificates()[-1] == certified


def test_the_lock_of_a_dead_process_is_free(ca_path: Path, now: datetime) -> None:
    """A crash leaves no lock file to be removed by hand."""
    program = (
        "import os, sys; from datetime import *; from pathlib import Path\n"
        "from pki import opening\n"
        "with opening.changing(Path(sys.argv[1]), now=datetime.now(timezone.utc)): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, ca_path], check=False, cwd=_PROJECT, timeout=60)
    with opening.changing(ca_path, now=now, wait_seconds=0) as opened:
        assert opened.register.certificates()


def test_an_older_copy_of_the_ledger_is_noticed_by_certificates(
    ca_path: Path, now: datetime, tmp_path: Path
) -> None:
    """A restored ledger that forgot a certificate could not revoke it."""
    shutil.copy(ca_path / "ledger.db", tmp_path / "old.db")
    with opening.changing(ca_path, now=now) as ca:
        issue(ca, now)
    shutil.copy(tmp_path / "old.db", ca_path / "ledger.db")
    with pytest.raises(LedgerError, match="does not know it"), opening.reading(ca_path):
        pass


def test_a_ledger_that_ends_before_an_issuance_is_noticed(
    ca_path: Path, now: datetime, tmp_path: Path
) -> None:
    """A backup made between two entries must not cost the key of an issued certificate (M22)."""

    def copy(*_: object) -> None:
        shutil.copy(ca_path / "ledger.db", tmp_path / "old.db")

    with opening.changing(ca_path, now=now) as ca, pytest.MonkeyPatch.context() as patch:
        write = keys.write_key
        patch.setattr(keys, "write_key", lambda *given: (copy(), write(*given)))
        issued = issue(ca, now)
    shutil.copy(tmp_path / "old.db", ca_path / "ledger.db")
    with pytest.raises(LedgerError, match="is issued, but"), opening.changing(ca_path, now=now):
        pass
    assert ca.key_path(issued.serial).exists()


def test_an_older_copy_of_the_ledger_is_noticed_by_the_crl(
    ca_path: Path, now: datetime, tmp_path: Path
) -> None:
    """A restored ledger that forgot a revocation would bring the certificate back to life."""
    with opening.changing(ca_path, now=now) as ca:
        certified = issue(ca, now)
        shutil.copy(ca_path / "ledger.db", tmp_path / "old.db")
        revoke_and_list(ca, certified, now, "keyCompromise")
    shutil.copy(tmp_path / "old.db", ca_path / "ledger.db")
    with pytest.raises(LedgerError, match="newer than the ledger"), opening.reading(ca_path):
        pass


def test_lost_files_are_written_again_from_the_ledger(ca_path: Path, now: datetime) -> None:
    """Certificates and CRLs beside the ledger are copies."""
    with opening.changing(ca_path, now=now) as ca:
        certified = issue(ca, now)
        certificate, crl = ca.certificate_path(certified.serial), ca.crl_path("issuing")
        before = certificate.read_bytes(), crl.read_bytes()
    certificate.unlink()
    crl.unlink()
    with opening.changing(ca_path, now=now):
        assert (certificate.read_bytes(), crl.read_bytes()) == before


def test_init_leaves_an_existing_ca_as_it_is(ca_path: Path, now: datetime) -> None:
    """A second root would orphan every certificate."""
    before = (ca_path / "root" / "key.pem").read_bytes()
    with pytest.raises(UsageError, match="already"):
        founding.initialise(ca_path, _plan(), passphrase=PASSPHRASE, now=now)
    assert (ca_path / "root" / "key.pem").read_bytes() == before


def test_a_half_made_ca_is_neither_used_nor_overwritten(ca_path: Path, now: datetime) -> None:
    """ca.toml is written last; without it nothing was ever issued."""
    (ca_path / "ca.toml").unlink()
    with pytest.raises(UsageError, match="did not finish"):
        founding.initialise(ca_path, _plan(), passphrase=PASSPHRASE, now=now)
    with pytest.raises(UsageError, match="no certificate authority"), opening.reading(ca_path):
        pass


def test_private_keys_are_for_the_owner_only(ca_path: Path) -> None:
    """Neither group nor others read a key, the ledger or the directories."""
    private = [*ca_path.rglob("key.pem"), ca_path / "ledger.db", ca_path / "issued", ca_path]
    assert len(private) == 5
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def _plan() -> founding.Founding:
    return founding.Founding(name="Other", settings=Settings(), key_kind=founding.KeyKind.P_256)


def test_processes_at_once_issue_one_after_the_other(ca_path: Path, now: datetime) -> None:
    """Four processes, four certificates, one unbroken chain."""
    program = (
        "import sys; from pathlib import Path; from pki import opening\n"
        "from tests.unit.pki.steps import NOW, issue\n"
        "with opening.changing(Path(sys.argv[1]), now=NOW, wait_seconds=60) as ca: issue(ca, NOW)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, ca_path], cwd=_PROJECT) for _ in range(4)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0, 0]
    with opening.reading(ca_path) as looking:
        looking.register.ledger.verify()
        assert sum(item.mailbox is not None for item in looking.register.certificates()) == 4
