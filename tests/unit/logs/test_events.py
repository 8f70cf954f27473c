"""Log lines: the grammar, what never gets into them, and that a log never stops mail."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.adapters.logs.catalogue import CATALOGUE, Form
from smimegw.adapters.logs.events import LibraryHandler, LoggedEvents
from smimegw.adapters.logs.privacy import AddressMask, address_key
from smimegw.addresses import Mailbox
from smimegw.config.choices import LogAddresses, LogFormat, LogLevel
from smimegw.errors import DirectoryError

_SOURCES = Path(__file__).parents[3] / "smimegw"
_TXN = "4ZkRjG3vXpz2T8"
_ADDRESSES = r"<[^<>\s]*>(?:,<[^<>\s]*>)*"
_BARE = r'[^\s,"=()]+(?:,[^\s,"=()]+)*'
_PAIR = rf'(?:[a-z_-]+=(?:"(?:[^"\\\x00-\x1f]|\\["\\])*"|{_ADDRESSES}|{_BARE}))'
_EVENT = re.compile(rf"smimegw/[a-z]+\[\d+\]: (?:{_TXN}|NOTXN): {_PAIR}(?:, {_PAIR})*\n")
_DELIVERY = re.compile(
    rf"smimegw/relay\[\d+\]: {_TXN}: to={_ADDRESSES}(?:, {_PAIR})*,"
    rf" delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+(?:, {_PAIR})*,"
    r" dsn=[245]\.\d+\.\d+, status=(?:sent|deferred|bounced) \([^\r\n]*\)\n"
)
# The patterns by which postfix_exporter reads delivery lines.
_EXPORTER_DELAYS = re.compile(r"delays=(.+)/(.+)/(.+)/(\S+),")
_EXPORTER_STATUS = re.compile(r"dsn=\S+, status=(\w+) \(")
_DELIVERED: dict[str, Any] = {
    "to": "bob@partner.example",
    "relay": "out.corp.example[192.0.2.20]:10026",
    "delay": 0.14,
    "delays": (0.01, 0.05, 0.02, 0.064),
    "protect": "sign+encrypt",
    "dsn": "2.0.0",
    "status": "sent",
    "text": "250 2.0.0 Ok: queued as 4ZkRkC0Qm1z3Fs",
}
_REFUSED: dict[str, Any] = {
    "stage": "END-OF-MESSAGE",
    "client": "mail.corp.example[192.0.2.10]",
    "reply": "550 5.7.5 <bob@partner.example>: no usable certificate, encryption required",
    "code": "R-01",
    "from": "alice@corp.example",
    "to": "bob@partner.example",
    "proto": "ESMTP",
    "helo": "mail.corp.example",
}


def _lines(event: str, values: dict[str, Any], txn: str = _TXN, **options: Any) -> str:
    stream = io.StringIO()
    LoggedEvents(stream=stream, strict=True, **options).emit(event, txn=txn, **values)
    return re.sub(r"\[\d+\]: (?=4Zk|NOTXN)", "[71]: ", stream.getvalue())


def test_delivery_line() -> None:
    """Postfix's delivery line with our protection in it."""
    assert _lines("recipient.delivered", _DELIVERED) == (
        "smimegw/relay[71]: 4ZkRjG3vXpz2T8: to=<bob@partner.example>,"
        " relay=out.corp.example[192.0.2.20]:10026, delay=0.14, delays=0.01/0.05/0.02/0.06,"
        " protect=sign+encrypt, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4ZkRkC0Qm1z3Fs)\n"
    )


def test_delivery_line_is_read_by_existing_tools() -> None:
    """The patterns of postfix_exporter match."""
    line = _lines("recipient.delivered", _DELIVERED)
    delays = _EXPORTER_DELAYS.search(line)
    assert delays is not None
    assert [float(text) for text in delays.groups()] == [0.01, 0.05, 0.02, 0.06]
    status = _EXPORTER_STATUS.search(line)
    assert status is not None
    assert status[1] == "sent"


def test_reject_line() -> None:
    """Postfix's reject line with the row of the failure table."""
    assert _lines("message.refused", _REFUSED) == (
        "smimegw/smtpd[71]: 4ZkRjG3vXpz2T8: reject: END-OF-MESSAGE from"
        " mail.corp.example[192.0.2.10]: 550 5.7.5 <bob@partner.example>: no usable certificate,"
        " encryption required (R-01); from=<alice@corp.example> to=<bob@partner.example>"
        " proto=ESMTP helo=<mail.corp.example>\n"
    )


def test_received_is_two_lines_as_in_postfix() -> None:
    """cleanup's and qmgr's."""
    values = {"message-id": "<a1@corp.example>", "from": "", "size": 5, "nrcpt": 2}
    assert _lines("message.received", values).splitlines() == [
        "smimegw/gateway[71]: 4ZkRjG3vXpz2T8: message-id=<a1@corp.example>",
        "smimegw/gateway[71]: 4ZkRjG3vXpz2T8: from=<>, size=5, nrcpt=2",
    ]


def test_decision_line_shortens_the_fingerprint() -> None:
    """Twelve digits for people; JSON has all."""
    values = {"rcpt": "b@p.example", "rule": "two words", "cert": "AB" * 32}
    assert 'rule="two words", cert=sha256:abababababab\n' in _lines("recipient.decided", values)
    assert "AB" * 32 in _lines("recipient.decided", values, form=LogFormat.JSON)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (0.004, "0"), (0.014, "0.01"), (0.1, "0.1"), (1.26, "1.3"), (12.6, "13"), (-1, "0")],
)
def test_delays_are_rounded_as_in_postfix(seconds: float, text: str) -> None:
    """Two digits that say something; a clock that went back is no delay."""
    line = _lines("recipient.delivered", {**_DELIVERED, "delay": seconds})
    assert f", delay={text}, " in line


_HOSTILE = st.text(st.sampled_from('a"\\,=<>()\r\n\0\x1b\x85\u2028é @.;'), max_size=30)
_EVENTS = sorted(name for name, kind in CATALOGUE.items() if kind.form is Form.PAIRS)


@given(st.sampled_from(_EVENTS), _HOSTILE, _HOSTILE)
def test_no_value_can_forge_a_line_or_a_pair(event: str, first: str, second: str) -> None:
    """Addresses, replies and names come from strangers (T-12)."""
    keys = CATALOGUE[event].keys
    values = dict(zip(keys, [first, second] * len(keys), strict=False))
    line = _lines(event, values)
    if line:
        assert _EVENT.fullmatch(line), line


@given(_HOSTILE, _HOSTILE, _HOSTILE)
def test_hostile_reply_stays_in_its_brackets(text: str, relay: str, address: str) -> None:
    """A next hop cannot write a second delivery line."""
    values = {**_DELIVERED, "text": text, "relay": relay or "x", "to": address}
    assert _DELIVERY.fullmatch(_lines("recipient.delivered", values))


@given(_HOSTILE, _HOSTILE)
def test_hostile_helo_stays_on_its_line(helo: str, address: str) -> None:
    """Nor can a client."""
    line = _lines("message.refused", {**_REFUSED, "helo": helo, "from": address})
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert re.search(r" helo=<[^<>\s]*>\n$", line)


@given(_HOSTILE)
def test_json_is_one_line_with_the_exact_value(text: str) -> None:
    """Nothing is lost, nothing breaks out."""
    line = _lines("directory.error", {"source": "ldap:x", "text": text}, form=LogFormat.JSON)
    assert line.count("\n") == 1
    entry = json.loads(line)
    assert entry.get("text", "") == text
    assert (entry["event"], entry["level"], entry["txn"]) == ("directory.error", "error", _TXN)


def test_very_long_value_is_cut() -> None:
    """Two hundred recipients belong into the record."""
    many = ",".join(f"user{number}@partner.example" for number in range(500))
    assert len(_lines("message.refused", {**_REFUSED, "to": many})) < 2500


# --- the catalogue -------------------------------------------------------------------------------


def test_unknown_event_is_an_error_in_tests() -> None:
    """The catalogue is closed."""
    with pytest.raises(TypeError, match=r"message\.subject"):
        LoggedEvents(stream=io.StringIO(), strict=True).emit("message.subject")


def test_unknown_key_is_an_error_in_tests() -> None:
    """So no subject can be logged by a slip."""
    with pytest.raises(TypeError, match="subject"):
        LoggedEvents(stream=io.StringIO(), strict=True).emit("message.received", subject="secret")


def test_unknown_key_is_left_out_in_production() -> None:
    """Mail is not stopped; the name is told, the value is not."""
    stream = io.StringIO()
    LoggedEvents(stream=stream).emit("message.received", subject="plans", size=1)
    assert "unlisted:message.received:subject" in stream.getvalue()
    assert "size=1" in stream.getvalue()
    assert "plans" not in stream.getvalue()


def test_no_key_names_content() -> None:
    """Subject, content and secrets have no place in the catalogue."""
    keys = {key for kind in CATALOGUE.values() for key in kind.keys}
    assert not keys & {"subject", "content", "body", "password", "key", "header"}


def _emitted() -> list[tuple[str, int, str, list[str]]]:
    found = []
    for path in sorted(_SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "emit"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                keys = [word.arg for word in node.keywords if word.arg not in (None, "txn")]
                found.append((path.name, node.lineno, str(node.args[0].value), keys))
    return found


def test_every_event_in_the_source_is_in_the_catalogue() -> None:
    """Found by reading the code, so that rare paths count too."""
    emitted = _emitted()
    assert len(emitted) > 10
    for file, line, event, keys in emitted:
        assert event in CATALOGUE, f"{file}:{line}"
        assert set(keys) <= set(CATALOGUE[event].keys), f"{file}:{line}"


# --- what is hidden ------------------------------------------------------------------------------


def test_domain_mode_hides_every_local_part() -> None:
    """Also those that stand in a reply of the next hop."""
    values = {**_DELIVERED, "text": '550 <bob@partner.example> "b b"@x.example unknown'}
    line = _lines("recipient.delivered", values, mask=AddressMask(LogAddresses.DOMAIN))
    assert "to=<*@partner.example>" in line
    assert "550 <*@partner.example> *@x.example unknown" in line


def test_hash_mode_is_keyed_and_stable() -> None:
    """The same person is the same hash, another gateway's hash is another."""
    one, again = (
        _lines("recipient.delivered", _DELIVERED, mask=AddressMask(LogAddresses.HASH, b"k" * 32))
        for _ in range(2)
    )
    other = _lines(
        "recipient.delivered", _DELIVERED, mask=AddressMask(LogAddresses.HASH, b"l" * 32)
    )
    assert one == again != other
    assert "bob" not in one
    assert re.search(r"to=<[0-9a-f]{12}@partner\.example>", one)


def test_message_id_is_not_an_address() -> None:
    """Without it nobody can follow a mail."""
    values = {"message-id": "<a1@corp.example>"}
    line = _lines("message.received", values, mask=AddressMask(LogAddresses.DOMAIN))
    assert "message-id=<a1@corp.example>" in line


def test_hash_key_is_made_once_and_private(tmp_path: Path) -> None:
    """A restart must not change the hashes."""
    key = address_key(tmp_path / "log.key")
    assert len(key) == 32
    assert address_key(tmp_path / "log.key") == key
    assert (tmp_path / "log.key").stat().st_mode & 0o077 == 0


def _fail(secret: str) -> None:
    raise KeyError(secret)


@pytest.mark.parametrize("form", list(LogFormat))
def test_unexpected_exception_shows_its_place_never_its_values(form: LogFormat) -> None:
    """Its text may hold content (R-17)."""
    try:
        _fail("the subject of the mail")
    except KeyError as error:
        line = _lines("internal.error", {"error": error}, form=form)
    assert "KeyError" in line
    assert "test_events.py" in line
    assert ":_fail" in line
    assert "subject" not in line


def test_our_own_exception_shows_its_text() -> None:
    """Those texts are written for administrators and hold no content."""
    line = _lines("internal.error", {"error": DirectoryError("search timed out")})
    assert 'text="search timed out"' in line


def test_library_warning_tells_who_not_what() -> None:
    """aiosmtpd logs lines of mail."""
    stream = io.StringIO()
    handler = LibraryHandler(LoggedEvents(stream=stream, strict=True))
    handler.handle(logging.LogRecord("mail.log", 30, "f", 1, "content %s", ("x",), None))
    assert "logger=mail.log, level=warning" in stream.getvalue()
    assert "content" not in stream.getvalue()


# --- never in the way of mail --------------------------------------------------------------------


def test_mailbox_and_empty_values() -> None:
    """Values of the program become text; what is empty is left out."""
    values = {"rcpt": Mailbox.parse("b@p.example"), "rule": "r", "note": "", "fallback": None}
    assert _lines("recipient.decided", values).endswith(": rcpt=<b@p.example>, rule=r\n")


def test_level_hides_lines_but_not_counts() -> None:
    """Metrics are complete at any level."""
    seen: list[str] = []

    class Observer:
        def observe(self, event: str, values: object) -> None:
            seen.append(event)

    line = _lines(
        "recipient.delivered", _DELIVERED, level=LogLevel.WARNING, observers=(Observer(),)
    )
    assert line == ""
    assert seen == ["recipient.delivered"]


def test_full_disk_does_not_raise() -> None:
    """/dev/full refuses every octet; the loss is counted."""
    seen: list[str] = []

    class Observer:
        def observe(self, event: str, values: object) -> None:
            seen.append(event)

    stream = Path("/dev/full").open("w")  # noqa: SIM115
    LoggedEvents(stream=stream, observers=(Observer(),)).emit("gateway.stopped", reason="x")
    assert seen == ["gateway.stopped", "log.lost"]
    with pytest.raises(OSError, match="No space"):
        stream.close()
