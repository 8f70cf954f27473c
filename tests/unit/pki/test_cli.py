"""The command line: exit codes, streams, secrets, and texts that say what to do."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pki.cli import main
from pki.ledger import Ledger
from pki.opening import locked
from tests.unit.pki.steps import PASSPHRASE

_CONTEXT = click.Context(main)
COMMANDS = main.list_commands(_CONTEXT)
_PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Administrator:
    """Somebody who types commands for one CA directory."""

    directory: Path
    passphrase: Path

    def type(self, *words: str | Path, stdin: str = "") -> Result:
        environment = {
            "SMIMEGW_CA_DIRECTORY": str(self.directory),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.passphrase),
        }
        return CliRunner().invoke(main, [str(word) for word in words], stdin, environment)

    def succeed(self, *words: str | Path) -> Result:
        result = self.type(*words)
        assert result.exit_code == 0, result.stderr
        return result

    def issue(self, address: str = "alice@corp.example", *words: str | Path) -> list[str]:
        return self.succeed("issue", address, "--key", "p-256", *words).stdout.split()

    def json(self, *words: str | Path) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.succeed(*words, "--json").stdout.splitlines()]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    return path


@pytest.fixture
def admin(ca_path: Path, secret: Path) -> Administrator:
    return Administrator(ca_path, secret)


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_two_examples(name: str) -> None:
    """An example says more than ten options."""
    text = CliRunner().invoke(main, [name, "--help"]).stdout
    assert text.split("Examples:")[1].count(f"  smimegw-ca {name}") >= 2


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_examples_exist(name: str) -> None:
    """An example that does not work is worse than none."""
    command = main.get_command(_CONTEXT, name)
    assert command is not None
    known = {
        option
        for owner in (command, main, *getattr(command, "commands", {}).values())
        for parameter in owner.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    words = (command.epilog or "").replace("\\", " ").split()
    options = {word for word in words if word.startswith("-") and word != "-"}
    assert options <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_a_secret_itself(name: str) -> None:
    """A secret on the command line is in everybody's process list; only files are named there."""
    command = main.get_command(_CONTEXT, name)
    assert command is not None
    names = [opt for parameter in command.params for opt in parameter.opts]
    assert all(opt.endswith("-file") for opt in names if "pass" in opt)


# --- streams and exit codes ----------------------------------------------------------------------


def test_init_answers_with_the_root_certificate(tmp_path: Path, secret: Path) -> None:
    """stdout is the path, the talk and the next command are on stderr."""
    admin = Administrator(tmp_path / "new", secret)
    result = admin.succeed(
        "init", "--name", "Corp CA", "--domain", "corp.example", "--key", "p-256", "--no-input"
    )
    assert result.stdout == f"{tmp_path}/new/root/certificate.pem\n"
    assert "Root fingerprint sha256:" in result.stderr
    assert result.stderr.rstrip().splitlines()[-1].startswith("Next: smimegw-ca issue")


def test_init_twice_is_refused(admin: Administrator) -> None:
    """Exit 2, and the CA there is as before."""
    result = admin.type("init", "--name", "Other", "--no-input")
    assert result.exit_code == 2
    assert "already" in result.stderr


def test_issue_answers_with_serial_numbers(admin: Administrator) -> None:
    """One line for each certificate, for scripts."""
    serials = admin.issue("alice@corp.example", "--profile", "pair")
    assert len(serials) == 2
    assert [item["profile"] for item in admin.json("list")] == ["mailbox-sign", "mailbox-encrypt"]
    assert [item["serial"] for item in admin.json("list")] == serials


@pytest.mark.parametrize("command", [["list"], ["status"], ["ledger"], ["crl", "show"]])
def test_every_json_object_has_schema_kind_and_time(
    admin: Administrator, command: list[str]
) -> None:
    """Scripts can tell what they read."""
    admin.issue()
    result = admin.type(*command, "--json")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert objects
    assert all({"schema", "kind", "at"} <= set(item) for item in objects)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["issue", "alice"], 2, "not an e-mail address"),
        (["issue", "alice@corp.example\x00"], 2, "not an e-mail address"),
        (["issue", "alice@evil.example"], 2, "outside of the domains"),
        (["issue", "alice@corp.example", "--profile", "tls"], 2, "mailbox-sign"),
        (["issue", "alice@corp.example", "--days", "0"], 2, "range"),
        (["issue", "alice@corp.example", "--days", "3000"], 2, "outlive"),
        (["renew", "alice@corp.example"], 2, "smimegw-ca issue alice@corp.example"),
        (["show", "1234"], 1, "smimegw-ca list"),
        (["revoke", "1234", "--reason", "keyCompromise", "-y"], 1, "smimegw-ca list"),
        (["revoke", "1234", "--reason", "lost", "-y"], 2, "keyCompromise"),
        (["revoke", "1234"], 2, "--reason"),
        (["list", "--expires-in", "30"], 2, "30d"),
        (["ledger", "verify", "--head", "xyz"], 2, "hexadecimal"),
        (["ledger", "verify", "--head", "00" * 32], 5, "not in the ledger"),
        (["ledger", "verify", "--head", ""], 2, "64 hexadecimal digits"),
        (["rollover", "-y", "--name", ""], 2, "1 to 64 characters"),
        (["est", "make", "-o", "x", "--gateway", ""], 2, "1 to 64 characters"),
        (["est", "make", "-o", "x", "--gateway", "a\nb"], 2, "invisible"),
        (["est", "make", "-o", "x", "--host", "ca ca"], 2, "no host's name"),
        (["publish"], 2, "--embedded"),
        (["publish", "--embedded", "x", "--ldap", "y"], 2, "either"),
        (["publish", "--ldap", "ldap://ldap.corp.example", "--password-file", "/x"], 2, "/x"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_mistakes_get_a_code_and_advice(
    admin: Administrator, words: list[str], code: int, text: str
) -> None:
    """1 is no, 2 is you, 5 is not allowed; never a traceback, nothing on stdout."""
    result = admin.type(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_passphrase_uses_up_no_serial_number(admin: Administrator, tmp_path: Path) -> None:
    """Exit 5, and the ledger is as before."""
    wrong = tmp_path / "wrong"
    wrong.write_text("not the passphrase\n")
    entries = admin.json("status")[0]["ledger"]
    result = admin.type("issue", "alice@corp.example", "--passphrase-file", wrong)
    assert result.exit_code == 5
    assert "passphrase is wrong" in result.stderr
    assert admin.json("status")[0]["ledger"] == entries


def test_revoking_twice_is_refused(admin: Administrator) -> None:
    """The first revocation stands."""
    (serial,) = admin.issue()
    admin.succeed("revoke", serial, "--reason", "superseded", "-y")
    result = admin.type("revoke", serial, "--reason", "keyCompromise", "-y")
    assert result.exit_code == 2
    assert "revoked already" in result.stderr
    assert admin.json("show", serial)[0]["reason"] == "superseded"


def test_revoking_asks_and_nobody_answers(admin: Administrator) -> None:
    """What cannot be undone needs a person or --yes."""
    (serial,) = admin.issue()
    result = admin.type("revoke", serial, "--reason", "superseded", "--no-input")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert admin.json("show", serial)[0]["status"] == "valid"


def test_no_input_names_the_missing_option(ca_path: Path) -> None:
    """A script is told which flag to add instead of waiting for ever."""
    words = ["issue", "alice@corp.example", "--no-input", "-d", str(ca_path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "--passphrase-file" in result.stderr


def test_a_short_passphrase_is_refused_for_new_keys(tmp_path: Path) -> None:
    """Seven characters are guessed; nothing is made."""
    (tmp_path / "short").write_text("1234567\n")
    result = Administrator(tmp_path / "new", tmp_path / "short").type("init", "--name", "X")
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_the_passphrase_may_come_from_stdin(ca_path: Path) -> None:
    """`--passphrase-file -` for pipes."""
    words = ["crl", "make", "-d", str(ca_path), "--passphrase-file", "-"]
    result = CliRunner().invoke(main, words, input=PASSPHRASE.decode() + "\n")
    assert result.exit_code == 0, result.stderr


def test_common_options_may_stand_before_the_command(ca_path: Path) -> None:
    """Both orders are typed."""
    result = CliRunner().invoke(main, ["-d", str(ca_path), "--json", "status"])
    assert json.loads(result.stdout)["kind"] == "status"


def test_status_warns_about_a_pending_revocation(admin: Administrator) -> None:
    """Exit 3 until the CRL is made: nobody else knows of it before."""
    (serial,) = admin.issue()
    admin.succeed("revoke", serial, "--reason", "superseded", "-y")
    assert admin.type("status").exit_code == 3
    admin.succeed("crl", "make")
    assert admin.type("status").exit_code == 0


def test_list_of_what_ends_says_no_when_something_does(admin: Administrator) -> None:
    """Exit 1 for a cron job, and what has a successor is left out."""
    (old,) = admin.issue("alice@corp.example", "--days", "20")
    assert admin.type("list", "--expires-in", "30d").exit_code == 1
    admin.succeed("renew", old)
    assert admin.type("list", "--expires-in", "30d").exit_code == 0


def test_a_busy_ca_is_no_error_of_the_administrator(
    admin: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4: try again."""
    monkeypatch.setattr("pki.opening.LOCK_SECONDS", 0.0)
    with locked(admin.directory):
        result = admin.type("crl", "make")
    assert result.exit_code == 4
    assert "at work" in result.stderr


def test_a_tampered_ledger_stops_everything(admin: Administrator) -> None:
    """Exit 5 for reading and writing alike."""
    (admin.directory / "ledger.db").write_bytes(b"garbage" * 1000)
    for words in (["list"], ["issue", "alice@corp.example"], ["status"]):
        result = admin.type(*words)
        assert result.exit_code == 5
        assert "Restore" in result.stderr


def test_a_bug_is_reported_without_traceback(
    admin: Administrator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit 70; the traceback is in a file that the text names."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Ledger, "verify", broken)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    result = admin.type("status")
    assert result.exit_code == 70
    assert "Traceback" not in result.stderr
    (report,) = tmp_path.glob("smimegw-ca-*.txt")
    assert str(report) in result.stderr
    assert "ZeroDivisionError" in report.read_text()


def test_an_interruption_ends_with_130(
    admin: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell expects."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "verify", interrupted)
    assert admin.type("status").exit_code == 130


# --- files ---------------------------------------------------------------------------------------


def test_issue_writes_key_certificate_and_chain(admin: Administrator, tmp_path: Path) -> None:
    """What the gateway and the owner need, keys for the owner's eyes only."""
    out = tmp_path / "out"
    admin.issue("a/b@corp.example", "-o", out, "--p12-passphrase-file", admin.passphrase)
    kinds = {"".join(path.suffixes[-2:]): path for path in out.iterdir()}
    assert {path.name.split("-")[0] for path in out.iterdir()} == {"a_b@corp.example"}
    assert len(kinds) == 3
    (p12,) = out.glob("*.p12")
    assert p12.stat().st_mode & 0o777 == 0o600


def test_export_never_overwrites(admin: Administrator, tmp_path: Path) -> None:
    """The older file may be the only copy of a key."""
    (serial,) = admin.issue()
    (tmp_path / "alice.pem").write_text("mine")
    result = admin.type("export", serial, "--format", "pem", "-o", tmp_path / "alice.pem")
    assert result.exit_code == 2
    assert (tmp_path / "alice.pem").read_text() == "mine"


def test_a_requested_key_cannot_be_exported(admin: Administrator, tmp_path: Path) -> None:
    """The CA never had it; the text says what can be exported."""
    request = tmp_path / "alice.csr"
    make = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    make += ["-nodes", "-keyout", str(tmp_path / "key"), "-out", str(request)]
    make += ["-subj", "/CN=x@evil.example"]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    result = admin.succeed("issue", "alice@corp.example", "--csr", request)
    assert "'x@evil.example'; that is ignored" in result.stderr
    refused = admin.type("export", result.stdout.strip(), "--format", "p12")
    assert refused.exit_code == 2
    assert "--format chain" in refused.stderr


def test_a_request_for_a_pair_is_refused(admin: Administrator, tmp_path: Path) -> None:
    """One key is one certificate: two uses need two requests."""
    (tmp_path / "x.csr").write_text("garbage")
    result = admin.type(
        "issue", "alice@corp.example", "--csr", tmp_path / "x.csr", "--profile", "pair"
    )
    assert result.exit_code == 2


# --- a real process ------------------------------------------------------------------------------


def _process(words: Sequence[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pki.cli import main; main()", *map(str, words)],
        cwd=_PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_a_full_disk_issues_nothing(admin: Administrator) -> None:
    """Exit 4 with the reason; the ledger holds and goes on when there is space again."""
    limit = (admin.directory / "ledger.db").stat().st_size

    def fill_disk() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = ["issue", "alice@corp.example", "--key", "p-256", "-d", admin.directory]
    words += ["--passphrase-file", admin.passphrase]
    codes = set()
    for _ in range(12):  # a few entries fit into the last page of the database
        result = _process(words, preexec_fn=fill_disk)
        codes.add(result.returncode)
        if result.returncode:
            break
    assert codes <= {0, 4}
    assert 4 in codes, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    before = len(admin.json("list"))
    admin.issue("bob@corp.example")
    assert len(admin.json("list")) == before + 1


def test_the_passphrase_is_asked_on_a_terminal_without_echo(admin: Administrator) -> None:
    """A person at a terminal is asked; what he types is not shown."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(_PROJECT)}
    environment.pop("SMIMEGW_CA_PASSPHRASE_FILE", None)
    process = subprocess.Popen(
        [sys.executable, "-c", "from pki.cli import main; main()", "crl", "-d", admin.directory],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        cwd=_PROJECT,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - this process has one thread
    )
    os.close(terminal)
    shown = _read_until(controller, b"Passphrase")
    os.write(controller, PASSPHRASE + b"\n")
    shown += _read_until(controller, b"CRL 2")
    assert process.wait(timeout=60) == 0
    os.close(controller)
    assert PASSPHRASE not in shown


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(descriptor: int, expected: bytes) -> bytes:
    octets = b""
    while expected not in octets:
        octets += os.read(descriptor, 4096)
    return octets


def test_the_program_runs_as_a_process(admin: Administrator) -> None:
    """Installed entry point, real streams, real exit code."""
    done = _process(["status", "-d", admin.directory, "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "status"
