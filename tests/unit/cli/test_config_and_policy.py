"""``smimegw config`` and ``smimegw policy``: output, exit codes, help."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from smimegw.cli.config import config
from smimegw.cli.policy import policy

_ROOT = Path(__file__).parents[3]
_DEFAULT = str(_ROOT / "policies/default.toml")
_GOOD = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.in]
address = "127.0.0.1:10025"
[policies]
path = "policies"
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A configuration that loads."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/default.toml").write_text(Path(_DEFAULT).read_text())
    (tmp_path / "smimegw.toml").write_text(_GOOD)
    return tmp_path / "smimegw.toml"


def _run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    group = click.Group("smimegw", commands=[config, policy])
    return CliRunner().invoke(group, arguments, env=environment or {})


def test_check_of_a_good_configuration(main: Path) -> None:
    """The answer on stdout, exit 0."""
    result = _run("config", "check", "-c", str(main))
    assert result.exit_code == 0
    assert "1 listener, 1 next hop, 1 directory, 5 rules, 11 cases passed" in result.stdout


def test_configuration_is_found_by_environment(main: Path) -> None:
    """SMIMEGW_CONFIG."""
    assert _run("config", "check", environment={"SMIMEGW_CONFIG": str(main)}).exit_code == 0


def test_check_of_a_bad_configuration(main: Path) -> None:
    """Every problem on stderr, exit 2."""
    main.write_text(_GOOD.replace("hostname", "hostnam").replace('"127.0.0.1:10025"', '"x"'))
    result = _run("config", "check", str(main))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{main}:3: gateway.hostnam – unknown key.  Did you mean hostname?" in result.stderr
    assert f"{main}:8: next_hop.in.address – " in result.stderr
    assert "3 problems, nothing loaded." in result.stderr


def test_check_looks_into_the_policies(main: Path) -> None:
    """A gateway with a broken policy does not start."""
    (main.parent / "policies/zz.toml").write_text("[[rule]]\nname = 'x'\n")
    result = _run("config", "check", str(main))
    assert result.exit_code == 2
    assert "policies/zz.toml:1" in result.stderr


def test_check_reads_the_trust_anchors(main: Path) -> None:
    """A file that is no certificate would trust nobody."""
    (main.parent / "root.pem").write_text("not a certificate")
    main.write_text(_GOOD + '[trust]\nanchors = ["root.pem"]\n')
    result = _run("config", "check", str(main))
    assert result.exit_code == 2
    assert "root.pem" in result.stderr


def test_check_in_json(main: Path) -> None:
    """For scripts: place and key apart."""
    main.write_text(_GOOD.replace("[policies]", "[policy]"))
    result = _run("config", "check", str(main), "--json")
    assert result.exit_code == 2
    problems = json.loads(result.stdout)["problems"]
    (problem,) = (each for each in problems if each["key"] == "policy")
    assert (problem["file"], problem["line"]) == (str(main), 9)
    assert "Did you mean policies?" in problem["message"]


def test_show_with_origin(main: Path) -> None:
    """Value and where it comes from."""
    result = _run("config", "show", "gateway", "--origin", "-c", str(main))
    assert result.exit_code == 0
    assert f"# {main}:3" in result.stdout
    assert "# default" in result.stdout
    assert "listener" not in result.stdout


def test_show_unknown_key(main: Path) -> None:
    """Exit 2 and what to do."""
    result = _run("config", "show", "gatway", "-c", str(main))
    assert result.exit_code == 2
    assert "smimegw config explain" in result.stderr


def test_show_in_json(main: Path) -> None:
    """One object per value."""
    result = _run("config", "show", "--json", "-c", str(main))
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    hostname = next(entry for entry in entries if entry["key"] == "gateway.hostname")
    assert hostname["origin"] == f"{main}:3"


@pytest.mark.parametrize("arguments", [("config", "sample"), ("config", "show", "--defaults")])
def test_sample_parses(arguments: tuple[str, ...]) -> None:
    """It can be written to a file and used."""
    assert tomllib.loads(_run(*arguments).stdout)["version"] == 1


def test_explain_key() -> None:
    """Meaning, choices, default."""
    result = _run("config", "explain", "next_hop.out.tls.mode")
    assert result.exit_code == 0
    assert "allowed  none, opportunistic, required, verify" in result.stdout
    assert 'default  "opportunistic"' in result.stdout


def test_explain_unknown_key() -> None:
    """With a hint."""
    result = _run("config", "explain", "gateway.hostnme")
    assert result.exit_code == 2
    assert "Did you mean gateway.hostname?" in result.stderr


def test_policy_check(main: Path) -> None:
    """By way of the configuration."""
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 0
    assert "5 rules, 11 cases passed" in result.stdout


def test_policy_check_of_a_broken_edit(main: Path) -> None:
    """Exit 2, and that the running gateway is not in danger."""
    (main.parent / "policies/default.toml").write_text("[[rule]]\nprotect = 1\n")
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 2
    assert "The running gateway keeps its policy" in result.stderr


def test_policy_test_passes() -> None:
    """Exit 0, one line per case."""
    result = _run("policy", "test", "-p", _DEFAULT)
    assert result.exit_code == 0
    assert result.stdout.count("OK  ") == 11


def test_policy_test_fails(main: Path) -> None:
    """Exit 1: the answer is no."""
    path = main.parent / "policies/default.toml"
    path.write_text(path.read_text().replace("send-signed", "refuse"))
    result = _run("policy", "test", "-c", str(main), "--json")
    assert result.exit_code == 1
    failed = [json.loads(line) for line in result.stdout.splitlines()]
    assert {entry["case"] for entry in failed if not entry["passed"]} == {
        "a stranger without a certificate gets signed mail",
        "a sender without a signing certificate can still write",
    }


def test_policy_test_of_one_case() -> None:
    """By part of its name."""
    result = _run("policy", "test", "REVOKED", "-p", _DEFAULT)
    assert result.stdout.count("OK  ") == 1
    assert _run("policy", "test", "nothing like it", "-p", _DEFAULT).exit_code == 2


def test_policy_list_is_in_order() -> None:
    """As the rules are tried."""
    result = _run("policy", "list", "--json", "-p", _DEFAULT)
    names = [json.loads(line)["name"] for line in result.stdout.splitlines()]
    assert names[-2:] == ["encrypt when possible", "open and report"]


def test_policy_explain() -> None:
    """In words, by part of the name."""
    result = _run("policy", "explain", "possible", "-p", _DEFAULT)
    assert result.exit_code == 0
    assert "without certificate: send it signed, not encrypted" in result.stdout


def test_policy_explain_of_an_unknown_rule() -> None:
    """With a hint."""
    result = _run("policy", "explain", "encrypt when posible", "-p", _DEFAULT)
    assert result.exit_code == 2
    assert "Did you mean encrypt when possible?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [(group.name, name) for group in (config, policy) for name in sorted(group.commands)],
    ids=" ".join,
)
def test_help_has_two_examples(arguments: tuple[str, str]) -> None:
    """People copy examples."""
    result = _run(*arguments, "--help")
    assert result.exit_code == 0
    assert result.stdout.count(f"  smimegw {' '.join(arguments)}") >= 2


def test_help_of_groups_has_an_example() -> None:
    """Where to begin."""
    for group in ("config", "policy"):
        assert f"smimegw {group} " in _run(group, "--help").stdout


def test_policy_check_says_which_failure_matrix_is_used(main: Path) -> None:
    """Without one of your own it is the shipped one."""
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 0
    assert "failure matrix of the program: as shipped" in result.stdout


def test_policy_check_names_the_cells_that_differ(main: Path) -> None:
    """Whoever reads the rules must know what overrules them."""
    own = main.parent / "policies/failure-matrix.toml"
    shipped = (_ROOT / "policies/failure-matrix.toml").read_text()
    cell = "sign-encrypt-sign"
    own.write_text(shipped.replace(f'{cell} = "policy"', f'{cell} = "defer"', 1))
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 0
    assert f"failure matrix {own}: 1 of its cells" in result.stdout
    assert f"certificate.none.{cell} = defer  (shipped: policy)" in result.stdout
    summary = json.loads(_run("policy", "check", "-c", str(main), "--json").stdout)
    assert summary["failure_matrix"]["cells"]["certificate.none"][cell] == "defer"


def test_matrix_that_breaks_a_promise_of_the_rules_is_not_loaded(main: Path) -> None:
    """The cases beside the rules are tried with it."""
    own = main.parent / "policies/failure-matrix.toml"
    shipped = (_ROOT / "policies/failure-matrix.toml").read_text()
    cell = "sign-then-encrypt"
    own.write_text(shipped.replace(f'{cell} = "policy"', f'{cell} = "defer"', 1))
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 2
    assert 'case "a stranger without a certificate gets signed mail"' in result.stderr


def test_policy_with_a_hole_in_its_matrix_is_not_loaded(main: Path) -> None:
    """Nothing is decided by silence (R-15)."""
    own = main.parent / "policies/failure-matrix.toml"
    own.write_text("[certificate]\n")
    result = _run("policy", "check", "-c", str(main))
    assert result.exit_code == 2
    assert f"{own}" in result.stderr
    assert "missing: the matrix may have no hole" in result.stderr
