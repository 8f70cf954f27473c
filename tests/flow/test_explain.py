"""`smimegw explain` and `smimegw directory find` say what the live way would do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from cryptography import x509

from smimegw.adapters.database import publisher
from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.schema import sightings
from smimegw.adapters.keys.containers import read_key_material
from smimegw.adapters.keys.files import FilesKeystore
from smimegw.adapters.keys.key_encryption import KeyEncryptionKey
from smimegw.addresses import Mailbox
from smimegw.cli.main import main
from smimegw.cms.capabilities import OURS, Capabilities
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import NOW, PAST, Issued, make_ca
from tests.flow.protected import encrypted, signed

ALICE = "alice@ours.example"
BOB = "bob@partner.example"

CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{place}"
[listener.relay]
address = "127.0.0.1:0"
peers = ["127.0.0.1"]
[next_hop.out]
address = "127.0.0.1:9"
[trust]
anchors = ["{place}/ca.pem"]
[keystore]
key_encryption_key = {{ file = "{place}/kek" }}
[policies]
path = "{place}/policies"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A state directory with a CA that is trusted, a policy and alice's key."""
    ca = make_ca("Explain CA")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.toml").write_text(POLICY)
    key = KeyEncryptionKey.generate()
    (tmp_path / "kek").write_bytes(key.export())
    (tmp_path / "smimegw.toml").write_text(CONFIGURATION.format(place=tmp_path))
    engine = open_database(tmp_path / "smimegw.db")
    publisher.publish_authority(engine, ca.certificate.der, now=NOW)
    publisher.publish_crl(engine, ca.crl())
    engine.dispose()
    keystore = FilesKeystore(tmp_path / "keys", key)
    keystore.prepare()
    alice = ca.issue(ALICE)
    keystore.add(read_key_material(alice.key_pem + alice.pem))
    return tmp_path


@pytest.fixture
def publish(place: Path) -> Callable[..., Issued]:
    """Publish a certificate in the embedded directory."""

    def publish(address: str, **options: object) -> Issued:
        issued = make_ca("Explain CA").issue(address, **options)  # type: ignore[arg-type]
        engine = open_database(place / "smimegw.db")
        publisher.publish_certificate(
            engine, Mailbox.parse(address), issued.certificate.der, now=NOW
        )
        engine.dispose()
        return issued

    return publish


def call(place: Path, *arguments: str, stdin: bytes = b"") -> Result:
    config = ["-c", str(place / "smimegw.toml")]
    return CliRunner().invoke(main, [*arguments, *config], input=stdin)


def explained(place: Path, *to: str) -> tuple[int, dict[str, dict[str, str]]]:
    options = [part for address in to for part in ("--to", address)]
    result = call(place, "explain", "--from", ALICE, *options, "--json")
    values = json.loads(result.stdout)
    return result.exit_code, {entry["address"]: entry for entry in values["recipients"]}


def test_explain_says_what_the_live_way_does(place: Path, publish: Callable[..., Issued]) -> None:
    """The same decision and the same reply for every recipient."""
    bob = publish(BOB)
    publish("eva@partner.example", not_after=PAST)
    company = Company()
    company.user(ALICE)
    company.world.directory.publish(BOB, company.ca.issue(BOB).certificate)
    company.world.directory.publish(
        "eva@partner.example",
        company.ca.issue("eva@partner.example", not_after=PAST).certificate,
    )
    people = (BOB, "eva@partner.example", "none@partner.example", "x@else.example")
    _, rows = explained(place, *people)
    for address in people:
        outcome = company.send("relay", [address], message(ALICE, address))
        said, real = rows[address]["reply"], str(outcome.reply)
        assert said == real or (said, real[:12]) == ("250 2.0.0 OK", "250 2.0.0 OK")
    assert rows[BOB]["used"] == [bob.certificate.fingerprint]


def test_explain_knows_addresses_beyond_ascii(place: Path) -> None:
    """They are UTF-8 in the header section, as in SMTPUTF8 mail (RFC 6532, 3.2; L03)."""
    code, rows = explained(place, "jörg@partner.example")
    assert code == 1
    assert rows["jörg@partner.example"]["reply"].startswith("550 5.7.5 <j?rg@partner.example>: no ")


def test_explain_names_certificates_that_are_not_used_and_why(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """Expired and good: the reader sees both."""
    old = publish(BOB, not_after=PAST)
    publish(BOB, key="p256")
    result = call(place, "explain", "--from", ALICE, "--to", BOB)
    assert result.exit_code == 0
    assert old.certificate.fingerprint[:19] in result.stdout
    assert "not used: expired" in result.stdout


def test_explain_says_what_each_source_said(place: Path, publish: Callable[..., Issued]) -> None:
    """For people and for programs (R-01)."""
    publish(BOB)
    result = call(place, "explain", "--from", ALICE, "--to", BOB, "--to", "none@partner.example")
    assert "  asked      embedded:embedded: 1 found\n" in result.stdout
    assert "  asked      embedded:embedded: none\n" in result.stdout
    _, rows = explained(place, BOB, "none@partner.example")
    assert rows[BOB]["sources"] == [{"source": "embedded:embedded", "said": "found", "count": 1}]
    assert [entry["said"] for entry in rows["none@partner.example"]["sources"]] == ["none", "none"]


@pytest.mark.parametrize(
    ("known", "words", "values"),
    [
        (
            OURS,
            "aes-256-gcm: everybody who can open this copy is known to read it",
            ("aes-256-gcm", "capabilities", "rsa-oaep-sha256"),
        ),
        (
            Capabilities.of([]),
            "aes-256-cbc: nothing stronger is known of somebody",
            ("aes-256-cbc", "default", "rsa-pkcs1v15"),
        ),
    ],
)
def test_explain_says_which_algorithms_and_why(
    place: Path,
    publish: Callable[..., Issued],
    known: Capabilities,
    words: str,
    values: tuple[str, str, str],
) -> None:
    """For people and for programs (G24)."""
    oid = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
    publish(BOB, extensions=[(x509.UnrecognizedExtension(oid, known.write()), False)])
    result = call(place, "explain", "--from", ALICE, "--to", BOB)
    assert words in result.stdout
    assert f"key        <{BOB}> {values[2]}" in result.stdout
    row = explained(place, BOB)[1][BOB]
    assert (row["cipher"], row["because"]) == values[:2]
    assert [key["algorithm"] for key in row["keys"]] == [values[2]]  # type: ignore[index]


def test_explain_shows_the_certificates_of_other_readers(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """An archive without a certificate refuses mail; here one sees why (R-01)."""
    rule = POLICY.replace('"refuse" }', '"refuse", also_encrypt_for = ["a@ours.example"] }')
    (place / "policies" / "p.toml").write_text(rule)
    publish(BOB)
    result = call(place, "explain", "--from", ALICE, "--to", BOB)
    assert "also for   <a@ours.example>  none: the directories know no certificate" in result.stdout
    assert "550 5.7.5 <a@ours.example>: no usable certificate" in result.stdout


def test_explain_says_that_the_mail_program_has_signed_or_encrypted(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """Then nothing of it is ours to do (R-26)."""
    ca = make_ca("Explain CA")
    bob, alice = publish(BOB), ca.issue(ALICE)
    result = call(place, "explain", "-", "--to", BOB, stdin=signed(message(ALICE, BOB), alice))
    assert "signature  the mail program's own holds and is kept (R-26)" in result.stdout
    mail = encrypted(message(ALICE, BOB), ca, bob)
    result = call(place, "explain", "-", "--to", BOB, stdin=mail)
    assert "encrypt    nothing: the mail program did, for this recipient (R-26)" in result.stdout


def test_explained_mail_is_no_report(place: Path) -> None:
    """Its reverse-path is the From address."""
    report = """
[[rule]]
name = "reports"
why = "test"
when = { direction = "outbound", null_reverse_path = true }
then = { protect = "none" }
"""
    (place / "policies" / "p.toml").write_text(report + POLICY)
    assert explained(place, BOB)[1][BOB]["rule"] == "must encrypt"


def test_find_says_what_to_do_about_an_unknown_ca(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """A reason word alone does not help the one who has to mend it (R-08)."""
    publish(BOB)
    (place / "ca.pem").write_bytes(make_ca("Another CA").pem)
    result = call(place, "directory", "find", BOB)
    assert result.exit_code == 1
    assert "put the root certificate into trust.anchors" in result.stdout


def test_find_says_what_to_do_when_there_is_no_crl(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """Without a CRL the status is unknown, which is neither good nor bad (R-05)."""
    publish(BOB)
    engine = open_database(place / "smimegw.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM crls")
    engine.dispose()
    result = call(place, "directory", "find", BOB)
    assert result.exit_code == 4
    assert "no current CRL of its CA was found" in result.stdout


def test_explain_exits_1_when_mail_would_be_refused(place: Path) -> None:
    """A script can ask (exit codes)."""
    code, rows = explained(place, "none@partner.example")
    assert code == 1
    assert rows["none@partner.example"]["refusal"] == "R-01"


def test_explain_exits_4_when_the_keystore_is_locked(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """Deferred is neither yes nor no."""
    publish(BOB)
    (place / "kek").write_bytes(KeyEncryptionKey.generate().export())
    assert explained(place, BOB)[0] == 4


def test_explain_reads_a_message_from_standard_input(place: Path) -> None:
    """Recipients and sender come from its own fields."""
    content = message(ALICE, "x@else.example")
    result = call(place, "explain", "-", stdin=content)
    assert "<x@else.example>  ->  NONE" in result.stdout


def test_explain_of_inbound_mail_names_its_layers(place: Path) -> None:
    """Mail from others is explained as inbound."""
    result = call(place, "explain", "-", stdin=message(BOB, ALICE))
    assert "Direction  inbound" in result.stdout
    assert "none: not S/MIME" in result.stdout


REQUIRED = """
[[rule]]
name = "partners sign"
why = "test"
when = { direction = "inbound", sender_domain = ["partner.example"] }
then = { require = "signed" }
"""


@pytest.mark.parametrize(
    ("to", "reply"),
    [
        (ALICE, "550 5.7.7 a valid signature is required from this sender (R-52)"),
        ("carol@else.example", "550 5.7.1 relaying denied"),
    ],
    ids=["requirement", "relaying"],
)
def test_explain_of_inbound_mail_that_would_be_refused_says_so(
    place: Path, to: str, reply: str
) -> None:
    """The reply and exit 1, as for outbound mail (R-52)."""
    (place / "policies" / "p.toml").write_text(REQUIRED + POLICY)
    result = call(place, "explain", "--from", BOB, "--to", to)
    assert result.exit_code == 1
    assert f"<{to}>   would reply {reply}" in result.stdout
    result = call(place, "explain", "--from", BOB, "--to", to, "--json")
    assert json.loads(result.stdout)["recipients"][0]["reply"].startswith(reply)


def test_explain_refuses_a_file_that_every_listener_refuses(place: Path) -> None:
    """Bare CR and NUL (R-53); line ends of files may be LF."""
    path = place / "x.eml"
    path.write_bytes(b"From: alice@ours.example\nTo: c@else.example\n\nx\rx\n")
    result = call(place, "explain", str(path))
    assert result.exit_code == 2
    assert "bare CR or NUL, which every listener refuses (R-53)" in result.output


def test_explain_without_anything_says_what_to_give(place: Path) -> None:
    """Usage errors exit with 2."""
    result = call(place, "explain")
    assert result.exit_code == 2
    assert "give a message file, or --from ADDRESS and --to ADDRESS" in result.stderr


def test_explain_writes_nothing(place: Path, publish: Callable[..., Issued]) -> None:
    """Nothing is sent, stored or learned."""
    publish(BOB)
    explained(place, BOB)
    assert not (place / "decisions.jsonl").exists()


def test_explain_of_encrypted_mail_leaves_no_mark(place: Path) -> None:
    """Neither of its ciphertext nor of its thread: it did not come as mail (T-05, R-23)."""
    keystore = FilesKeystore(place / "keys", KeyEncryptionKey.load((place / "kek").read_bytes()))
    [alice] = keystore.objects()
    content = encrypted(message(BOB, ALICE), make_ca("Explain CA"), alice)  # type: ignore[arg-type]
    result = call(place, "explain", "-", stdin=content)
    assert "encryption decrypted" in result.stdout
    engine = open_database(place / "smimegw.db")
    with engine.connect() as connection:
        assert connection.execute(sa.select(sightings)).all() == []
    engine.dispose()


def test_directory_find_judges_every_certificate(
    place: Path, publish: Callable[..., Issued]
) -> None:
    """The same judgement as for mail."""
    publish(BOB)
    result = call(place, "directory", "find", BOB, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["answer"] == "usable"


def test_directory_find_exits_1_for_nobody(place: Path) -> None:
    """The answer is no."""
    assert call(place, "directory", "find", "none@partner.example").exit_code == 1


def test_the_doctor_does_not_blame_the_configuration_for_a_database_that_is_down(
    place: Path,
) -> None:
    """It says what keeps a gateway from starting, and that nothing else was looked at (R-22)."""
    with (place / "smimegw.toml").open("a") as file:
        file.write('[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n')
    result = call(place, "doctor", "--json")
    [finding] = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert (finding["area"], finding["health"]) == ("start", "FAIL")
    assert "is the server running" in finding["detail"]
    assert "nothing else could be looked at" in finding["remedy"]


def test_damaged_database_is_named(place: Path) -> None:
    """The administrator learns which file and what to do."""
    shutil.copyfile(place / "kek", place / "smimegw.db")
    result = call(place, "directory", "find", BOB)
    assert result.exit_code in {2, 4}
    assert str(place / "smimegw.db") in result.stderr
