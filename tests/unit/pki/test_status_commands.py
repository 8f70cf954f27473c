"""`crl make --due`, `ocsp make` and `serve` on the command line, and what they read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.x509 import ocsp as library

from pki import crl, issuance, lint, opening, responder, rollover
from pki.cli import main
from pki.errors import LedgerError
from pki.founding import Founding, initialise
from pki.hierarchy import NewKey
from pki.keys import KeyKind
from pki.places import FIRST
from pki.serial_numbers import serial_text
from pki.serve import site
from pki.serve.hosting import hosting
from pki.serve.records import Records
from pki.settings import Settings
from smimegw.errors import UsageError
from smimegw.x509 import ocsp
from smimegw.x509.certificate import Certificate
from smimegw.x509.status import RevocationStatus
from tests.unit.pki.steps import PASSPHRASE, issue

Type = Callable[..., Result]


@pytest.fixture
def type_in(ca_path: Path, tmp_path: Path) -> Type:
    """Types a command for the test's CA."""
    secret = tmp_path / "passphrase"
    secret.write_bytes(PASSPHRASE + b"\n")

    def type_in(*words: str, passphrase: bool = True) -> Result:
        environment = {"SMIMEGW_CA_DIRECTORY": str(ca_path)}
        if passphrase:
            environment["SMIMEGW_CA_PASSPHRASE_FILE"] = str(secret)
        return CliRunner().invoke(main, [*words, "--no-input"], env=environment)

    return type_in


def configure(ca_path: Path, old: str, new: str) -> None:
    path = ca_path / "ca.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


# --- commands ------------------------------------------------------------------------------------


def test_what_is_not_due_asks_for_no_passphrase(type_in: Type) -> None:
    """A timer that comes every hour opens the key a few times a week."""
    result = type_in("crl", "make", "--due", passphrase=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No CRL of the issuing CA is due" in result.stderr


def test_a_revocation_makes_the_list_due(ca_path: Path, now: datetime, type_in: Type) -> None:
    """The next timer tells everybody."""
    with opening.changing(ca_path, now=now) as opened:
        certified = issue(opened, now)
        issuance.revoke(opened, certified, "superseded", now=now)
    result = type_in("crl", "make", "--due", "--json")
    assert result.exit_code == 0, result.stderr
    (said,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (said["kind"], said["number"], said["revoked"]) == ("crl", 2, 1)
    assert "is due" in type_in("crl", "make", "--due", passphrase=False).stderr


def test_with_a_place_for_deltas_a_delta_is_made(
    ca_path: Path, now: datetime, type_in: Type
) -> None:
    """And shown apart from the complete list."""
    configure(ca_path, "delta = []", 'delta = ["http://pki.corp.example/d.crl"]')
    assert "Delta CRL 2" in type_in("crl", "make", "--due").stderr
    said = json.loads(type_in("crl", "show", "--delta", "--json").stdout)
    assert (said["kind"], said["number"]) == ("delta-crl", 2)
    assert json.loads(type_in("crl", "show", "--json").stdout)["number"] == 1


def test_a_delta_that_is_not_configured_is_no_answer(type_in: Type) -> None:
    """Exit code 2 and the key of ca.toml."""
    for action in ("make", "show"):
        result = type_in("crl", action, "--delta")
        assert (result.exit_code, "urls.delta" in result.stderr) == (2, True)


def test_a_responder_is_appointed_once(type_in: Type) -> None:
    """--due does nothing the second time and asks for no passphrase."""
    first = type_in("ocsp", "make", "--due", "--json")
    said = json.loads(first.stdout)
    assert said["kind"] == "ocsp-responder"
    assert Path(said["file"]).is_file()
    second = type_in("ocsp", "make", "--due", passphrase=False)
    assert (second.exit_code, second.stdout) == (0, "")


def test_status_warns_of_a_responder_that_is_missing(ca_path: Path, type_in: Type) -> None:
    """Where certificates point to one; then exit code 3."""
    assert "OCSP" not in type_in("status").stderr
    configure(ca_path, "ocsp = []", 'ocsp = ["http://pki.corp.example/ocsp"]')
    missing = type_in("status")
    assert (missing.exit_code, "smimegw-ca ocsp make" in missing.stderr) == (3, True)
    type_in("ocsp", "make")
    assert "OCSP" not in type_in("status").stderr


def _founded(path: Path, now: datetime) -> None:
    plan = Founding(name="Old CA", settings=Settings(), key_kind=KeyKind.P_256)
    initialise(path, plan, passphrase=PASSPHRASE, now=now)


@pytest.mark.parametrize(
    ("age", "said"),
    [(300, ""), (340, "the root CRL ends on"), (366, "the root CRL is out of date since")],
)
def test_status_tells_of_the_roots_list_a_month_ahead(
    tmp_path: Path, now: datetime, age: int, said: str
) -> None:
    """Somebody has to go where the root's key is."""
    _founded(tmp_path / "old", now - timedelta(days=age))
    told = CliRunner().invoke(main, ["status", "-d", str(tmp_path / "old")]).stderr
    lines = [line for line in told.splitlines() if "root CRL" in line]
    assert len(lines) == bool(said), told
    assert all(said in line and "crl make --root" in line for line in lines)


def test_status_says_that_an_offline_key_has_to_come_back(tmp_path: Path, now: datetime) -> None:
    """Or that the list is carried, where the root is on another machine."""
    _founded(tmp_path / "old", now - timedelta(days=366))
    (tmp_path / "old" / "root" / "key.pem").unlink()
    told = CliRunner().invoke(main, ["status", "-d", str(tmp_path / "old")]).stderr
    assert "bring root/key.pem back" in told
    assert "smimegw-ca install root.crl" in told


def test_status_is_content_with_a_delta(ca_path: Path, now: datetime, type_in: Type) -> None:
    """What a delta lists is no news."""
    configure(ca_path, "delta = []", 'delta = ["http://pki.corp.example/d.crl"]')
    with opening.changing(ca_path, now=now) as opened:
        issuance.revoke(opened, issue(opened, now), "superseded", now=now)
    assert "1 revoked after the newest issuing CRL" in type_in("status").stderr
    type_in("crl", "make", "--due")
    assert "revoked after" not in type_in("status").stderr


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_where_to_listen_is_an_address_and_a_port(type_in: Type, listen: str) -> None:
    """Not all addresses by mistake."""
    result = type_in("serve", "--listen", listen)
    assert (result.exit_code, "ADDRESS:PORT" in result.stderr) == (2, True)


def test_making_what_is_due_needs_a_passphrase_in_a_file(type_in: Type) -> None:
    """Nobody is there to type it every day."""
    result = type_in("serve", "--make-due", passphrase=False)
    assert (result.exit_code, "--make-due" in result.stderr) == (2, True)


def test_enrolment_without_tls_says_how_to_make_it(type_in: Type) -> None:
    """Before the passphrase is asked for."""
    result = type_in("est", "serve", passphrase=False)
    assert (result.exit_code, "smimegw-ca est make" in result.stderr) == (2, True)


# --- what the service reads ----------------------------------------------------------------------


def asked(ca_path: Path, now: datetime, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One answer of the service."""

    async def run() -> tuple[int, bytes]:
        records = Records.open(ca_path)
        try:
            async with (
                hosting(site.application(records, lambda: now), "127.0.0.1", 0) as url,
                aiohttp.ClientSession(headers={"Content-Type": "application/ocsp-request"}) as web,
                web.request("POST" if body else "GET", url + path, data=body or None) as answer,
            ):
                return answer.status, await answer.read()
        finally:
            records.close()

    return asyncio.run(run())


def question(ca_path: Path, now: datetime) -> bytes:
    """About a certificate that is good."""
    with opening.changing(ca_path, now=now) as opened:
        certified = issue(opened, now)
        issuer = Certificate.parse(opened.authority("issuing").der)
        return ocsp.request(Certificate.parse(certified.der), issuer)


def status_of(octets: bytes) -> library.OCSPResponseStatus:
    return library.load_der_ocsp_response(octets).response_status


def test_without_a_responder_nobody_is_answered(ca_path: Path, now: datetime) -> None:
    """RFC 6960, 2.3: unauthorized, and the probe says what to do."""
    configure(ca_path, "ocsp = []", 'ocsp = ["http://pki.corp.example/ocsp"]')
    body = question(ca_path, now)
    _, said = asked(ca_path, now, "/ocsp", body)
    assert status_of(said) is library.OCSPResponseStatus.UNAUTHORIZED
    status, health = asked(ca_path, now, "/healthz")
    assert (status, b"smimegw-ca ocsp make" in health) == (503, True)


def test_a_responder_that_has_ended_asks_for_patience(ca_path: Path, now: datetime) -> None:
    """RFC 6960, 2.3: tryLater; nobody would believe its answers."""
    body = question(ca_path, now)
    with opening.changing(ca_path, now=now) as opened:
        responder.appoint(opened, "issuing", opened.issuer("issuing", PASSPHRASE), now=now)
    _, said = asked(ca_path, now + timedelta(days=40), "/ocsp", body)
    assert status_of(said) is library.OCSPResponseStatus.TRY_LATER


def test_after_a_roll_over_each_ca_has_its_responder(ca_path: Path, now: datetime) -> None:
    """RFC 6960, 4.2.2.2: same name, other key; each answers for what it issued."""
    with opening.changing(ca_path, now=now) as opened:
        old = issue(opened, now)
        new_key = NewKey(kind=KeyKind.P_256)
        place, request = rollover.begin(opened, new_key, passphrase=PASSPHRASE, now=now)
        rollover.certify_here(opened, place, request, days=1000, passphrase=PASSPHRASE, now=now)
        rollover.finish(opened, place, passphrase=PASSPHRASE, now=now)
        new = issue(opened, now, "bob@corp.example")
        pairs = [(old, opened.authority(FIRST)), (new, opened.authority(place))]
        for name in (FIRST, place):
            responder.appoint(opened, name, opened.issuer(name, PASSPHRASE), now=now)
    for certified, issuer in pairs:
        about, by = Certificate.parse(certified.der), Certificate.parse(issuer.der)
        _, said = asked(ca_path, now, "/ocsp", ocsp.request(about, by))
        result = ocsp.status(
            about, by, [said], now, revocation_of=lambda _: RevocationStatus.UNKNOWN
        )
        assert result.status is RevocationStatus.GOOD
    crossed = ocsp.request(Certificate.parse(old.der), Certificate.parse(pairs[1][1].der))
    _, said = asked(ca_path, now, "/ocsp", crossed)
    status = library.load_der_ocsp_response(said).certificate_status
    assert status is library.OCSPCertStatus.UNKNOWN


def test_a_responder_alone_keeps_no_old_ca_alive(ca_path: Path, now: datetime) -> None:
    """Else each would be followed by another, for years."""
    with opening.changing(ca_path, now=now) as opened:
        place, request = rollover.begin(
            opened, NewKey(kind=KeyKind.P_256), passphrase=PASSPHRASE, now=now
        )
        rollover.certify_here(opened, place, request, days=1000, passphrase=PASSPHRASE, now=now)
        before = opened.listing(now=now)
        responder.appoint(opened, FIRST, opened.issuer(FIRST, PASSPHRASE), now=now)
        assert opened.listing(now=now) == before


def test_a_list_that_has_ended_is_told_to_the_probe(ca_path: Path, now: datetime) -> None:
    """Monitoring learns it, with the command."""
    status, health = asked(ca_path, now + timedelta(days=30), "/healthz")
    assert (status, b"smimegw-ca crl make" in health) == (503, True)


def test_a_damaged_ledger_is_not_opened(ca_path: Path) -> None:
    """A service that answers from it could say good of what was revoked."""
    (ca_path / "ledger.db").write_bytes(b"x" * 8192)
    with pytest.raises(LedgerError):
        Records.open(ca_path)


def test_without_a_ca_nothing_is_opened(tmp_path: Path) -> None:
    """And nothing is made."""
    with pytest.raises(UsageError, match="no certificate authority"):
        Records.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_service_cannot_write_the_ledger(ca_path: Path, now: datetime) -> None:
    """It is opened read-only."""
    records = Records.open(ca_path)
    try:
        with pytest.raises(Exception, match="readonly"):
            records._ledger.append("revoked", at=now, serial=serial_text(1))
    finally:
        records.close()


# --- lint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["complete", "delta", "empty"])
def test_lists_are_clean(ca_path: Path, now: datetime, kind: str) -> None:
    """M20: pkilint finds no error in what we sign."""
    configure(ca_path, "delta = []", 'delta = ["http://pki.corp.example/d.crl"]')
    with opening.changing(ca_path, now=now) as opened:
        issuer = opened.issuer("issuing", PASSPHRASE)
        certified = [issue(opened, now, f"user{number}@corp.example") for number in range(3)]
        made: x509.CertificateRevocationList = crl.make(opened, "issuing", issuer, now=now).crl
        if kind != "empty":
            issuance.revoke(opened, certified[0], "keyCompromise", now=now)
            issuance.revoke(opened, certified[1], "unspecified", now=now)
            issuance.hold(opened, certified[2], now=now)
            make = crl.make if kind == "complete" else crl.make_delta
            made = make(opened, "issuing", issuer, now=now).crl
    found = lint.lint_crl(made)
    assert not [each for each in found if each.severity >= lint.Severity.ERROR]
