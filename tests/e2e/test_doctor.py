"""`smimegw doctor` beside a running gateway: what it sees, names and advises; shadow mode, live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import publish_authority, publish_crl
from smimegw.adapters.logs.records import JSONLinesRecords
from smimegw.cli.main import main
from tests.e2e.node import BOB, Node, SinkThread
from tests.fakes.pki import CA, NOW, make_ca
from tests.fakes.scripted_sink import ScriptedSink
from tests.peers.ports import free_port
from tests.peers.slapd import Slapd
from tests.peers.tls import make_tls
from tests.peers.unbound import Unbound

_MORE = '[trust]\nanchors = ["ca.pem"]\n'


@pytest.fixture(scope="module")
def ca() -> CA:
    return make_ca("Doctor CA")


@pytest.fixture(scope="module")
def sink() -> Iterator[ScriptedSink]:
    with SinkThread() as sink:
        yield sink


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sink: ScriptedSink, ca: CA) -> Iterator[Node]:
    """A gateway that is well, and runs."""
    node = _node(tmp_path_factory.mktemp("running") / "a", sink.port, ca)
    with node:
        assert node.send("first") == 250
        yield node


@pytest.fixture
def stopped(tmp_path: Path, sink: ScriptedSink, ca: CA) -> Node:
    """The same, not started."""
    return _node(tmp_path / "a", sink.port, ca)


def _node(directory: Path, sink: int, ca: CA, more: str = _MORE) -> Node:
    node = Node(directory, sink, workers=1, more=more)
    (directory / "ca.pem").write_bytes(ca.certificate.parsed.public_bytes(Encoding.PEM))
    engine = open_database(node.state / "smimegw.db")
    publish_authority(engine, ca.certificate.der, now=NOW)
    publish_crl(engine, ca.crl())
    engine.dispose()
    return node


def call(node: Node, *arguments: str) -> Result:
    path = str(node.configuration)
    result = CliRunner().invoke(main, [*arguments, "-c", path], catch_exceptions=False)
    assert "bug of ours" not in result.stderr
    return result


def findings(node: Node, *arguments: str) -> list[dict[str, Any]]:
    result = call(node, "doctor", *arguments, "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]


def bad(node: Node, *arguments: str) -> list[tuple[str, str, str]]:
    """Area, health and detail of everything that is not well."""
    return [
        (entry["area"], entry["health"], entry["detail"])
        for entry in findings(node, *arguments)
        if entry["health"] != "OK"
    ]


def _change(node: Node, old: str, new: str) -> None:
    text = node.configuration.read_text()
    assert old in text
    node.configuration.write_text(text.replace(old, new))


# --- a gateway that is well ------------------------------------------------------------


def test_a_healthy_gateway_has_nothing_to_mend(running: Node) -> None:
    """Every area answers, and none but the machine's clock may complain."""
    found = findings(running)
    assert {entry["area"] for entry in found} == {
        *("config", "policy", "files", "host", "database", "keys", "trust", "records"),
        *("directory", "revocation", "enrolment", "next-hop", "listener"),
    }
    assert [entry for entry in bad(running) if entry[0] != "host"] == []


def test_the_answer_is_in_the_exit_code(running: Node) -> None:
    """0 when all is well, without the clock of whatever machine tests run on."""
    result = call(running, "doctor", "config", "keys", "listener")
    assert result.exit_code == 0
    assert result.stdout.endswith("0 WARN · 0 FAIL\n")


def test_monitoring_gets_one_line(running: Node) -> None:
    """And the exit codes of its plugins."""
    result = call(running, "doctor", "keys", "--nagios")
    assert (result.exit_code, result.stdout) == (0, "SMIMEGW OK - 1 checks\n")


def test_the_doctor_sends_no_mail_and_writes_no_record(running: Node, sink: ScriptedSink) -> None:
    """It greets the next hop and hangs up."""
    before = len(sink.messages), (running.state / "decisions.jsonl").read_bytes()
    findings(running)
    assert (len(sink.messages), (running.state / "decisions.jsonl").read_bytes()) == before


def test_a_sample_address_is_looked_up_and_judged(running: Node, ca: CA) -> None:
    """Nobody published a certificate of Bob's."""
    ((area, health, detail),) = bad(running, "directory", "--sample", BOB)
    assert (area, health, detail.split()[0]) == ("directory", "WARN", "none")


def test_unknown_area_is_a_mistake(running: Node) -> None:
    """The text lists those there are."""
    result = call(running, "doctor", "ldap")
    assert result.exit_code == 2
    assert "directory" in result.stderr


# --- one thing is wrong ------------------------------------------------------------


def test_gateway_that_does_not_run(stopped: Node) -> None:
    """Its ports are closed; exit 1."""
    assert [entry[:2] for entry in bad(stopped, "listener")] == [("listener", "FAIL")] * 2
    result = call(stopped, "doctor", "listener")
    assert result.exit_code == 1
    assert "systemctl status smimegw" in result.stdout


def test_configuration_that_does_not_load(stopped: Node) -> None:
    """Nothing else can be said; each mistake is a line."""
    _change(stopped, "hostname", "hostnam")
    found = bad(stopped)
    assert {entry[:2] for entry in found} == {("config", "FAIL")}
    assert "Did you mean hostname" in str(found)


def test_policy_that_does_not_load(stopped: Node) -> None:
    """The running gateway keeps its own."""
    stopped.policy.write_text(stopped.policy.read_text().replace('"none"', '"non"', 1))
    ((area, health, _),) = bad(stopped, "policy")
    assert (area, health) == ("policy", "FAIL")


def test_next_hop_that_is_not_there(stopped: Node, sink: ScriptedSink) -> None:
    """Clients would be told to come again."""
    _change(stopped, f'address = "127.0.0.1:{sink.port}"', f'address = "127.0.0.1:{free_port()}"')
    ((area, health, _),) = bad(stopped, "next-hop")
    assert (area, health) == ("next-hop", "FAIL")


def test_next_hop_without_tls_that_is_demanded(stopped: Node) -> None:
    """As live mail would find it."""
    _change(stopped, 'mode = "none"', 'mode = "required"')
    ((_, health, detail),) = bad(stopped, "next-hop")
    assert health == "FAIL"
    assert "STARTTLS" in detail or "TLS" in detail


def test_directory_that_is_not_there(stopped: Node) -> None:
    """LDAP: nobody listens (R-06)."""
    text = f'[[directory]]\nkind = "ldap"\nname = "staff"\nurl = "ldap://127.0.0.1:{free_port()}"\n'
    _change(stopped, "[trust]", f'{text}base = "dc=corp"\n[trust]')
    ((area, health, _),) = bad(stopped, "directory")
    assert (area, health) == ("directory", "FAIL")


def test_ldap_directory_with_a_sample(stopped: Node, ca: CA) -> None:
    """A real slapd: bound, searched, and the certificate of the sample judged usable."""
    with Slapd() as server:
        _use(stopped, server, server.gateway_password)
        server.add_person(BOB, certificates=[ca.issue(BOB).certificate.der])
        publish = ("directory", "--sample", BOB)
        found = [(e["what"], e["health"], e["detail"]) for e in findings(stopped, *publish)]
        assert found[0][:2] == ("ldap:staff", "OK")
        assert f"1 certificates of <{BOB}>" in found[0][2]
        assert found[-1][:2] == (f"<{BOB}>", "OK")
        (stopped.directory / "ldap.txt").write_text("wrong")
        ((_, health, detail),) = bad(stopped, "directory")
        assert health == "FAIL"
        assert "bind" in detail or "credentials" in detail


@pytest.mark.parametrize(
    ("signed", "health", "words"),
    [(True, "OK", "validates DNSSEC"), (False, "FAIL", "does not validate DNSSEC")],
)
def test_resolver_that_does_not_validate_is_told(
    stopped: Node, signed: bool, health: str, words: str
) -> None:
    """Without validation SMIMEA would find nothing and nobody would notice (RFC 8162, 7)."""
    with Unbound() as resolver:
        resolver.publish("", [], signed=signed)
        resolver.restart()
        text = f'[dns]\nresolver = "127.0.0.1:{resolver.port}"\n[[directory]]\nkind = "smimea"\n'
        _change(stopped, "[trust]", f"{text}[trust]")
        found = [entry for entry in findings(stopped, "directory") if entry["what"] == "dns"]
    ((told, detail),) = [(entry["health"], entry["detail"]) for entry in found]
    assert told == health
    assert words in detail


def test_a_directory_is_asked_about_its_own_domains(stopped: Node) -> None:
    """Not about ours, which are none of a partner's business (T-14)."""
    with Unbound() as resolver:
        resolver.publish("partner.example", [])
        resolver.restart()
        text = f"""[dns]
resolver = "127.0.0.1:{resolver.port}"
[[directory]]
kind = "smimea"
domains = ["partner.example"]
"""
        _change(stopped, "[trust]", f"{text}[trust]")
        (found, _) = findings(stopped, "directory")
    assert found["detail"].endswith("0 certificates of <postmaster@partner.example>")


def _use(node: Node, server: Slapd, password: str) -> None:
    """The server first, then the embedded directory, which has the CA's list."""
    (node.directory / "ldap.txt").write_text(password)
    (node.directory / "ldap.txt").chmod(0o600)
    text = f"""[[directory]]
kind = "ldap"
name = "staff"
url = "{server.ldaps_url}"
base = "{server.suffix}"
ca = "{server.ca}"
bind = {{ dn = "{server.gateway_dn}", password = {{ file = "ldap.txt" }} }}
[[directory]]
kind = "embedded"
"""
    _change(node, "[trust]", f"{text}[trust]")


def test_locked_keystore(stopped: Node) -> None:
    """Without the key-encryption key mail that needs a key waits (R-13)."""
    _change(stopped, 'key_encryption_key = { file = "kek" }', "")
    assert [entry[:2] for entry in bad(stopped, "keys")] == [("keys", "FAIL")]


def test_secret_that_others_can_read(stopped: Node) -> None:
    """With the command that mends it; exit 3."""
    (stopped.directory / "kek").chmod(0o644)
    result = call(stopped, "doctor", "files")
    assert result.exit_code == 3
    assert f"chmod 0600 {stopped.directory / 'kek'}" in result.stdout


def test_state_directory_that_others_can_read(stopped: Node) -> None:
    """Who writes to whom is there."""
    stopped.state.chmod(0o755)
    assert [entry[:2] for entry in bad(stopped, "files")] == [("files", "WARN")]


def test_no_trust_anchor(stopped: Node) -> None:
    """Nothing can be encrypted."""
    _change(stopped, 'anchors = ["ca.pem"]', "anchors = []")
    assert ("trust", "FAIL") in [entry[:2] for entry in bad(stopped, "trust")]


def test_crl_that_is_overdue(stopped: Node, ca: CA) -> None:
    """Within the grace time it is a warning (R-05)."""
    update = datetime.now(UTC) - timedelta(hours=2)
    der = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.parsed.subject)
        .last_update(update - timedelta(days=1))
        .next_update(update)
        .sign(ca.key, hashes.SHA256())  # type: ignore[arg-type]
        .public_bytes(Encoding.DER)
    )
    (stopped.directory / "old.crl").write_bytes(der)
    (stopped.state / "smimegw.db").unlink()
    _change(stopped, 'anchors = ["ca.pem"]', 'anchors = ["ca.pem"]\ncrls = ["old.crl"]')
    ((_, health, detail),) = bad(stopped, "trust")
    assert health == "WARN"
    assert "next update was due" in detail


def test_ca_without_a_crl(stopped: Node) -> None:
    """Its certificates would not be used while revocation is required (R-05)."""
    (stopped.state / "smimegw.db").unlink()
    ((_, health, detail),) = bad(stopped, "trust")
    assert health == "WARN"
    assert "not used (R-05)" in detail


def test_revocation_host_that_cannot_be_reached(stopped: Node) -> None:
    """Before the first certificate needs it."""
    _change(
        stopped,
        "[trust]",
        f'[revocation]\nprivate_hosts = ["127.0.0.1:{free_port()}"]\n[trust]',
    )
    ((area, health, _),) = bad(stopped, "revocation")
    assert (area, health) == ("revocation", "WARN")


def test_enrolment_server_that_cannot_be_reached(stopped: Node, tmp_path: Path) -> None:
    """Before the first sender needs a certificate (R-10)."""
    tls = make_tls(tmp_path)
    _change(
        stopped,
        "[trust]",
        f'[enrolment]\nurl = "https://localhost:{free_port()}/.well-known/est"\nca = "{tls.ca}"\n'
        f'certificate = "{tls.certificate}"\nkey = {{ file = "{tls.key}" }}\n[trust]',
    )
    server, certificate = bad(stopped, "enrolment")
    assert server[:2] == ("enrolment", "FAIL")
    assert "no connection" in server[2]
    assert certificate[:2] == ("enrolment", "WARN")  # it is for 30 days


def test_records_that_were_changed(stopped: Node) -> None:
    """The chain is followed."""
    path = stopped.state / "decisions.jsonl"
    records = JSONLinesRecords(path)
    records.note({"rule": "as it is"})
    records.note({"rule": "another"})
    records.close()
    path.write_text(path.read_text().replace("as it is", "as it was"))
    ((area, health, detail),) = bad(stopped, "records")
    assert (area, health) == ("records", "FAIL")
    assert "line 2" in detail


# --- shadow mode ------------------------------------------------------------


def test_shadow_mode_is_seen_everywhere(tmp_path: Path, sink: ScriptedSink, ca: CA) -> None:
    """Mail that would be refused goes on unchanged; probe, metrics, doctor and trace say shadow."""
    node = _node(tmp_path / "a", sink.port, ca)
    _change(node, "[listener.relay]", "shadow = true\n[listener.relay]")
    node.policy.write_text(
        node.policy.read_text().replace('protect = "none"', 'protect = "encrypt"')
    )
    with node:
        assert node.send("unchanged") == 250
        assert json.loads(node.probe("/ready")[1])["shadow"] is True
        assert node.metric("smimegw_shadow") == 1
        assert any("shadow mode" in detail for _, _, detail in bad(node, "listener"))
        assert node.events("shadow.would_refuse") == []  # decided, not broken
    assert sink.messages[-1].content.endswith(b"unchanged\r\nthe end\r\n")
    assert b"pkcs7" not in sink.messages[-1].content
    told = call(node, "trace", BOB).stdout
    assert "SHADOW: handed on unchanged" in told
    assert "refused (R-01)" in told
    assert "shadow: would have answered 550" in told
