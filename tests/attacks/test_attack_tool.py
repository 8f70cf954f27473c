"""The attack tool against a whole gateway with real sockets: nothing gets through but honesty."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.pool.worker import ThreadWorkers
from smimegw.adapters.smtp.listener import Listener
from smimegw.adapters.smtp.relay import SMTPRelay
from smimegw.adapters.smtp.settings import ListenerSettings, NextHopSettings
from smimegw.adapters.smtp.sink import Sink, SinkMessage
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.pipeline.settings import TrustMaterial
from smimegw.smtp.roles import ListenerRole
from smimegw.x509.certificate import Certificate
from tests.attacks.__main__ import main
from tests.attacks.cast import SECRET, Cast
from tests.attacks.catalogue import CONTROL, GROUPS
from tests.attacks.judge import judge
from tests.attacks.opened import armed
from tests.fakes.company import Company

ALICE = "alice@ours.example"
# The judge's own MIME reader is not one of those that are deceived by these.
_SEEN_BY_SOME = frozenset(
    {"external", "external-attached-message", "two-types", "two-types-attached-message"}
    | {"longer-delimiter", "preamble"}
)


def _trust(company: Company, directory: Path) -> None:
    """What the administrator does: install the CA and its list."""
    read = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    ca = Certificate.parse(read.public_bytes(Encoding.DER))
    company.settings = replace(company.settings, trust=TrustMaterial(anchors=(ca,)))
    company.world.directory.lists[ca.subject_der] = [(directory / "ca.crl").read_bytes()]


async def _attack(company: Company, directory: Path) -> list[SinkMessage]:
    sink = Sink("127.0.0.1")
    await sink.start()
    relay = SMTPRelay(
        {"in": NextHopSettings(host="127.0.0.1", port=sink.port)},
        hostname=company.settings.hostname,
        limits=DEFAULT_LIMITS,
    )
    workers = ThreadWorkers(2)
    assert company.gateway.policy is not None
    ports = replace(company.world.ports, relay=relay, workers=workers)
    listener = Listener(
        ListenerSettings(name="mx", role=ListenerRole.MX, next_hop="in"),
        Gateway(company.gateway.policy, ports, company.settings),
        DEFAULT_LIMITS,
        company.world.events,
    )
    await listener.start()
    try:
        arguments = ["--send", str(directory), "--port", str(listener.port)]
        assert await asyncio.to_thread(main, arguments) == 0
    finally:
        await listener.drain()
        await relay.aclose()
        await workers.close()
        await sink.stop()
    return sink.messages


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Company, Path]:
    company, directory = Company(), tmp_path_factory.mktemp("attacks")
    certificate = directory / "alice.pem"
    certificate.write_bytes(company.user(ALICE).pem)
    options = ["--to", ALICE, "--recipient-certificate", str(certificate)]
    assert main(["--write", str(directory / "mail"), *options]) == 0
    return company, directory / "mail"


@pytest.fixture(scope="module")
def delivered(
    written: tuple[Company, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Path of what arrived, by the attack's name."""
    company, directory = written
    _trust(company, directory)
    found = {}
    inbox = tmp_path_factory.mktemp("inbox")
    for number, message in enumerate(asyncio.run(_attack(company, directory))):
        path = inbox / f"{number}.eml"
        path.write_bytes(message.content)
        verdict = judge(message.content)
        assert verdict is not None
        found[verdict.name] = path
    return found


def test_no_attack_gets_through_and_honest_messages_pass(
    delivered: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """All groups at once, judged as the administrator would (T-01, T-04, T-05, T-08)."""
    status = main(["--judge", *map(str, delivered.values())])
    assert status == 0, capsys.readouterr().out


def test_every_group_was_delivered(written: tuple[Company, Path], delivered: set[str]) -> None:
    """Results change fields, not replies: nothing is refused but what is no message (R-42)."""
    sent = {path.stem for path in written[1].glob("*.eml")}
    assert len(sent) >= 120
    assert {name.partition(".")[0] for name in delivered} == set(GROUPS)
    assert sent - set(delivered) == set()


def test_honest_encryption_is_opened(delivered: dict[str, Path]) -> None:
    """The ciphertexts of the attacks are really for the key of the gateway's user (J01)."""
    for name in ("encrypted", "encrypted-gcm"):
        header = Entity.parse(delivered[f"{CONTROL}.{name}"].read_bytes()).header
        (status,) = header.all("x-smimegw-status")
        assert status.body == b"signed=pass; encrypted=yes; integrity=signed"


def test_eve_under_bobs_name_is_warned_of(delivered: dict[str, Path]) -> None:
    """She passes as herself, and the reader is told (I05)."""
    displayed = [path for name, path in delivered.items() if name.startswith("display.")]
    assert displayed
    for path in displayed:
        assert Entity.parse(path.read_bytes()).header.all("x-smimegw-from-warning")


def _judged(lines: Sequence[str], name: str, *options: str, directory: Path) -> int:
    path = directory / "one.eml"
    field = f"Message-ID: <{name}@attacks.invalid>"
    path.write_bytes("\r\n".join([field, *lines]).encode())
    honest = directory / "honest.eml"
    honest.write_bytes(
        b"Authentication-Results: gw; smime=pass\r\n"
        b"Message-ID: <control.clear@attacks.invalid>\r\n\r\n"
    )
    return main(["--judge", str(path), str(honest), *options])


@pytest.mark.parametrize(
    "field",
    [
        "Authentication-Results: gw.ours.example; smime=pass",
        "AUTHENTICATION-RESULTS :\r\n gw; smime\r\n = pass",
        "Authentication-Results: \uff47\uff57; smime=p\u200bass",
        "X-Smimegw-Status: signed=pass; encrypted=no",
    ],
)
def test_judge_sees_a_pass(field: str, tmp_path: Path) -> None:
    """The measuring device works, also for spellings that people take for one."""
    assert _judged([field, "", "text"], "cms.x", directory=tmp_path) == 1
    assert _judged(["", "text", field], "cms.x", directory=tmp_path) == 0


def test_judge_sees_what_was_opened(tmp_path: Path) -> None:
    """In whatever encoding the secret stands there."""
    text = SECRET.decode().replace("S", "=53")
    lines = ["Content-Transfer-Encoding: quoted-printable", "", text]
    assert _judged(lines, "efail.x", directory=tmp_path) == 1
    assert _judged(["", "nothing"], "efail.x", directory=tmp_path) == 0


class _Unprotected(Cast):
    """Who leaves the encryption out."""

    def encrypted(self, entity: bytes = b"") -> bytes:
        return entity


@pytest.mark.parametrize("name", [name for name, _ in armed(_Unprotected())])
def test_judge_sees_what_loads(name: str, tmp_path: Path) -> None:
    """The measuring device works: everything armed, delivered as it is (T-04)."""
    content = dict(armed(_Unprotected()))[name].decode("latin-1")
    status = _judged([content], f"armed.{name}", directory=tmp_path)
    assert status == (0 if name in _SEEN_BY_SOME else 1)


def test_judge_sees_a_hidden_subject(tmp_path: Path) -> None:
    """Whoever put it outside."""
    subject = f"Subject: {SECRET.decode()}"
    assert _judged([subject, "", ""], "hidden.x", directory=tmp_path) == 1
    assert _judged(["Subject: [...]", "", subject], "hidden.x", directory=tmp_path) == 0


def test_judge_sees_the_marks_it_was_told_of(tmp_path: Path) -> None:
    """Every gateway has its own."""
    lines = ["Subject: [signed by Bob] invoice", "", "text"]
    assert _judged(lines, "marks.subject", directory=tmp_path) == 0
    options = ("--mark", r"subject: .*\[signed")
    assert _judged(lines, "marks.subject", *options, directory=tmp_path) == 1


def test_eve_passing_as_bob_is_no_honest_pass(tmp_path: Path) -> None:
    """Of the display names only a result that names Eve is true (I05)."""
    field = "Authentication-Results: gw; smime=pass body.smime-identifier="
    eves, bobs = [field + "eve@evil.example", ""], [field + "bob@partner.example", ""]
    assert _judged(eves, "display.x", directory=tmp_path) == 0
    assert _judged(bobs, "display.x", directory=tmp_path) == 1
    assert _judged(eves, "from.x", directory=tmp_path) == 1


def test_gateway_that_passes_nothing_proves_nothing(tmp_path: Path) -> None:
    """Without an honest message that passes there is no result."""
    attack, control = tmp_path / "attack.eml", tmp_path / "control.eml"
    attack.write_bytes(b"Message-ID: <cms.x@attacks.invalid>\r\n\r\n")
    control.write_bytes(b"Message-ID: <control.clear@attacks.invalid>\r\n\r\n")
    assert main(["--judge", str(attack)]) == 2
    assert main(["--judge", str(attack), str(control)]) == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "mx.example.com", "::"])
def test_hosts_of_others_are_refused(host: str, tmp_path: Path) -> None:
    """It is a weapon: beyond this machine only where its owner says so."""
    with pytest.raises(SystemExit) as caught:
        main(["--send", str(tmp_path), "--host", host])
    assert caught.value.code == 2


def test_no_private_key_is_written(written: tuple[Company, Path]) -> None:
    """The CA that a gateway was told to trust ends with the run."""
    for path in written[1].iterdir():
        assert b"PRIVATE KEY" not in path.read_bytes()


def test_tool_runs_as_a_command() -> None:
    """``python -m tests.attacks --list`` names every group."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks", "--list"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert all(f"\n{group}: " in f"\n{done.stdout}" for group in GROUPS)
