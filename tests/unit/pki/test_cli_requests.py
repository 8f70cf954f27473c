"""The life of a certificate on the command line: request, approve, renew, rekey, hold."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import mlkem, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pki.cli import main
from tests.interop.openssl import openssl
from tests.unit.pki.steps import Operator

_GROUP = main.get_command(click.Context(main), "request")
assert isinstance(_GROUP, click.Group)
SUBCOMMANDS = sorted(_GROUP.commands)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_every_subcommand_shows_an_example(name: str) -> None:
    """An example says more than ten options."""
    text = CliRunner().invoke(main, ["request", name, "--help"]).stdout
    assert f"  smimegw-ca request {name}" in text.split("Examples:")[1]


def test_a_request_is_filed_shown_and_approved(operator: Operator, tmp_path: Path) -> None:
    """The requester needs no passphrase, whoever approves does."""
    filed = operator.succeed("request", "create", "alice@corp.example", "--key", "p-256")
    assert filed.stdout == "1\n"
    assert "request approve 1" in filed.stderr
    (listed,) = operator.json("request", "list")
    assert (listed["state"], listed["requester"]) == ("pending", "rita")
    approved = operator.succeed(
        *("request", "approve", "1", "-o", tmp_path / "out"),
        *("--p12-passphrase-file", operator.passphrase),
        name="otto",
    )
    (shown,) = operator.json("request", "show", "1")
    assert shown["serials"] == approved.stdout.split()
    assert (shown["state"], shown["decided_by"]) == ("issued", "otto")
    assert len([*(tmp_path / "out").glob("*.p12")]) == 1
    assert operator.type("request", "list").exit_code == 1


def test_the_second_person_is_another_one(operator: Operator) -> None:
    """Where ca.toml wants two, one cannot issue, nor approve his own."""
    operator.set("second_person = true")
    direct = operator.type("issue", "alice@corp.example", "--key", "p-256")
    assert direct.exit_code == 2
    assert "smimegw-ca request create" in direct.stderr
    operator.succeed("request", "create", "alice@corp.example", "--key", "p-256")
    own = operator.type("request", "approve", "1")
    assert own.exit_code == 2
    assert "wants a second person" in own.stderr
    operator.succeed("request", "approve", "1", name="otto")


def test_what_is_approved_for_later_is_issued_by_approving_again(operator: Operator) -> None:
    """Whoever decides may not have the passphrase."""
    operator.succeed("request", "create", "alice@corp.example", "--key", "p-256")
    operator.succeed("request", "approve", "1", "--later", name="otto")
    assert operator.json("request", "list")[0]["state"] == "approved"
    assert len(operator.succeed("request", "approve", "1").stdout.split()) == 1
    (shown,) = operator.json("request", "show", "1")
    assert (shown["state"], shown["decided_by"]) == ("issued", "otto")


def test_a_refused_request_tells_why(operator: Operator) -> None:
    """The reason is in the ledger."""
    operator.succeed("request", "create", "alice@corp.example")
    operator.succeed("request", "refuse", "1", "--reason", "wrong address", name="otto")
    (shown,) = operator.json("request", "show", "1")
    assert (shown["state"], shown["reason"]) == ("refused", "wrong address")


def test_a_key_that_nobody_could_prove_is_refused(operator: Operator, tmp_path: Path) -> None:
    """ML-KEM: nothing is filed, and the text says who can make one (RFC 9935; RFC 4211, 4.2)."""
    public = mlkem.MLKEM768PrivateKey.generate().public_key()
    path = tmp_path / "key.pub"
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    words = ("--public-key", path, "--challenge", tmp_path / "out.p7m")
    result = operator.type(
        "request", "create", "alice@corp.example", *words, "--profile", "mailbox-encrypt"
    )
    assert result.exit_code == 2
    assert "issue --key ml-kem-768 --experimental" in result.stderr
    assert operator.json("ledger", "export")[-1]["entry_kind"] != "requested"
    assert not (tmp_path / "out.p7m").exists()


def test_a_challenge_goes_out_and_its_answer_comes_back(operator: Operator, tmp_path: Path) -> None:
    """For a key that cannot sign a request (RFC 4211, 4.2)."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    operator.succeed(
        *("request", "create", "alice@corp.example", "--profile", "mailbox-encrypt"),
        *("--public-key", tmp_path / "key.pub", "--challenge", tmp_path / "out.p7m"),
    )
    assert operator.type("request", "approve", "1", name="otto").exit_code == 2
    answer = openssl(
        *("cms", "-decrypt", "-inform", "DER", "-in", tmp_path / "out.p7m"),
        *("-inkey", tmp_path / "key.pem"),
    )
    (tmp_path / "answer").write_bytes(answer)
    operator.succeed("request", "prove", "1", "--answer", tmp_path / "answer")
    operator.succeed("request", "approve", "1", name="otto")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["request", "show", "7"], "no request 7"),
        (["request", "create", "eve@evil.example"], "outside of the domains"),
        (["request", "create", "a@corp.example", "--public-key", "x"], "belong together"),
        (["renew"], "--due"),
        (["renew", "--due", "4F9A"], "--due"),
        (["rekey", "a@corp.example", "--reason", "certificateHold"], "smimegw-ca hold"),
        (["issue"], "--from-ldap"),
        (["issue", "a@corp.example", "--from-ldap", "(x=1)"], "--from-ldap"),
        (["issue", "--from-ldap", "(uid=1)", "--yes"], "names no directory"),
    ],
)
def test_mistakes_are_refused_with_advice(
    operator: Operator, words: list[str], expected: str
) -> None:
    """Exit 2, and the text says what to do."""
    result = operator.type(*words)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_the_ledger_tells_who_had_it_issued(operator: Operator) -> None:
    """Every certificate has somebody who is asked."""
    operator.succeed("issue", "alice@corp.example", "--key", "p-256", name="otto")
    entries = operator.json("ledger", "export")
    reserved = [entry for entry in entries if entry["entry_kind"] == "reserved"][-1]
    assert reserved["details"]["operator"] == "otto"


def test_renew_due_follows_what_ends_soon(operator: Operator, tmp_path: Path) -> None:
    """From a timer: doing it again does nothing more."""
    issue = ("issue", "--key", "p-256", "--profile", "mailbox-encrypt")
    (old,) = operator.json(*issue, "soon@corp.example", "--days", "20")
    operator.succeed(*issue, "later@corp.example", "--days", "300")
    (new,) = operator.json("renew", "--due")
    assert (new["mailbox"], new["renews"]) == ("soon@corp.example", old["serial"])
    assert new["publish_from"] is not None
    assert operator.json("renew", "--due") == []


def test_renew_due_names_whose_owner_has_the_key(operator: Operator, tmp_path: Path) -> None:
    """The CA cannot renew those; exit 3 lets a timer tell."""
    csr, key = tmp_path / "alice.csr", tmp_path / "alice.key"
    openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=alice", "-keyout", key, "-out", csr),
    )
    operator.succeed("issue", "alice@corp.example", "--csr", csr, "--days", "20")
    result = operator.type("renew", "--due")
    assert result.exit_code == 3
    assert "has to send a new request" in result.stderr


def test_rekey_replaces_and_revokes(operator: Operator) -> None:
    """One command for a key that is not to be trusted any more."""
    (old,) = operator.json("issue", "alice@corp.example", "--key", "p-256")
    assert operator.type("rekey", "alice@corp.example", "--reason", "keyCompromise").exit_code == 2
    (new,) = operator.json("rekey", "alice@corp.example", "--reason", "keyCompromise", "--yes")
    by_serial = {item["serial"]: item for item in operator.json("list")}
    assert by_serial[old["serial"]]["reason"] == "keyCompromise"
    assert by_serial[new["serial"]]["status"] == "valid"


def test_hold_and_release(operator: Operator) -> None:
    """Listed as held in between, and as valid again afterwards."""
    (issued,) = operator.json("issue", "alice@corp.example", "--key", "p-256")
    serial = str(issued["serial"])
    operator.succeed("hold", serial)
    assert [item["serial"] for item in operator.json("list", "--status", "held")] == [serial]
    assert operator.type("renew", serial).exit_code == 2
    operator.succeed("release", serial)
    assert operator.json("show", serial)[0]["status"] == "valid"
    assert operator.type("release", serial).exit_code == 2


def test_a_twin_is_refused_where_ca_toml_says_so(operator: Operator) -> None:
    """The text names the one that is there, and what to do."""
    operator.set('duplicates = "refuse"')
    (serial,) = operator.succeed("issue", "alice@corp.example", "--key", "p-256").stdout.split()
    again = operator.type("issue", "alice@corp.example", "--key", "p-256")
    assert again.exit_code == 2
    assert serial in again.stderr
