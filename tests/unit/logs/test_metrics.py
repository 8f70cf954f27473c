"""Metrics come from the events and have bounded labels."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smimegw.adapters.logs.events import LoggedEvents
from smimegw.adapters.logs.metrics import Metrics


def _counted(event: str, **values: Any) -> dict[str, float]:
    metrics = Metrics()
    LoggedEvents(stream=io.StringIO(), observers=(metrics,), strict=True).emit(event, **values)
    return _samples(metrics)


def _samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("event", "values", "sample"),
    [
        (
            "certificate.learned",
            {"from": "b@p.example", "state": "candidate"},
            "smimegw_harvested_certificates_total change=no state=candidate",
        ),
        (
            "certificate.changed",
            {"from": "b@p.example", "state": "successor"},
            "smimegw_harvested_certificates_total change=yes state=successor",
        ),
        ("ciphertext.replayed", {"from": "e@x.example"}, "smimegw_ciphertext_replays_total"),
        ("memory.error", {"text": "down"}, "smimegw_memory_errors_total"),
        (
            "message.finished",
            {"direction": "outbound", "code": 250, "seconds": 0.2, "size": 9},
            "smimegw_messages_total direction=outbound result=relayed",
        ),
        (
            "message.finished",
            {"direction": "outbound", "code": 451, "seconds": 0.2, "size": 9},
            "smimegw_messages_total direction=outbound result=deferred",
        ),
        (
            "message.finished",
            {"direction": "inbound", "code": 554, "seconds": 0.2, "size": 9},
            "smimegw_messages_total direction=inbound result=refused",
        ),
        (
            "recipient.decided",
            {"rcpt": "b@p.example", "rule": "r", "protect": "sign+encrypt", "cert": "ab"},
            "smimegw_recipients_total certificate=used direction=outbound protection=both",
        ),
        (
            "recipient.decided",
            {"rcpt": "b@p.example", "rule": "r", "protect": "sign+encrypt", "refusal": "R-03"},
            "smimegw_policy_decisions_total action=refuse rule=r",
        ),
        (
            "recipient.decided",
            {"rcpt": "b@p.example", "rule": "r", "protect": "sign", "fallback": "none"},
            "smimegw_fallbacks_total reason=none to=sign",
        ),
        (
            "message.opened",
            {"rcpt": "a@c.example", "signed": "fail", "reason": "digest", "encrypted": "no"},
            "smimegw_signatures_verified_total reason=digest result=fail",
        ),
        (
            "message.opened",
            {"rcpt": "a@c.example", "signed": "none", "encrypted": "yes", "cipher": "aes-256-gcm"},
            "smimegw_decryptions_total cipher=aes-256-gcm result=yes",
        ),
        (
            "directory.lookup",
            {"source": "ldap:staff", "result": "found", "seconds": 0.01},
            "smimegw_directory_lookups_total result=found source=ldap:staff",
        ),
        (
            "revocation.checked",
            {"result": "good", "method": "ocsp"},
            "smimegw_revocation_checks_total method=ocsp result=good",
        ),
        (
            "revocation.fetched",
            {"method": "crl", "source": "crl.ca.example", "size": 9, "seconds": 0.1},
            "smimegw_revocation_fetches_total method=crl result=fetched",
        ),
        (
            "revocation.error",
            {"method": "crl", "source": "crl.ca.example", "text": "the server answers 403"},
            "smimegw_revocation_fetches_total method=crl result=error",
        ),
        (
            "enrolment.done",
            {"from": "a@corp.example", "seconds": 0.5},
            "smimegw_enrolments_total result=done",
        ),
        (
            "enrolment.error",
            {"from": "a@corp.example", "text": "refused", "code": "R-10"},
            "smimegw_enrolments_total result=error",
        ),
        (
            "session.refused",
            {"client": "192.0.2.1", "listener": "mx", "reply": "421"},
            "smimegw_smtp_sessions_total listener=mx result=refused",
        ),
        ("limit.hit", {"limit": "recipients"}, "smimegw_limits_hit_total limit=recipients"),
        ("delivery.in_doubt", {"to": "b@p.example"}, "smimegw_in_doubt_total"),
        ("internal.error", {"error": ValueError()}, "smimegw_internal_errors_total"),
    ],
)
def test_event_is_counted(event: str, values: dict[str, Any], sample: str) -> None:
    """One emit feeds log and metrics."""
    assert _counted(event, **values)[sample] == 1


def test_a_failed_look_up_is_counted_once() -> None:
    """The log has a line about it and the look-up has its result: two events, one failure."""
    metrics = Metrics()
    events = LoggedEvents(stream=io.StringIO(), observers=(metrics,), strict=True)
    events.emit("directory.error", source="ldap:staff", text="not reachable")
    events.emit("directory.lookup", source="ldap:staff", result="error", seconds=2.0)
    counted = _samples(metrics)
    assert counted["smimegw_directory_lookups_total result=error source=ldap:staff"] == 1
    assert counted["smimegw_directory_up source=ldap:staff"] == 0


def test_open_sessions_go_up_and_down() -> None:
    """A gauge of what is open now."""
    metrics = Metrics()
    events = LoggedEvents(stream=io.StringIO(), observers=(metrics,), strict=True)
    for _ in range(3):
        events.emit("session.connected", client="192.0.2.1", listener="mx")
    events.emit("session.closed", client="192.0.2.1", listener="mx")
    assert _samples(metrics)["smimegw_smtp_open_sessions listener=mx"] == 2


def test_failed_reload_shows_until_the_next_good_one() -> None:
    """An alert watches this."""
    metrics = Metrics()
    events = LoggedEvents(stream=io.StringIO(), observers=(metrics,), strict=True)
    events.emit("policy.reload_failed", problems=1)
    assert _samples(metrics)["smimegw_config_last_reload_successful"] == 0
    events.emit("policy.reloaded", rules=1)
    assert _samples(metrics)["smimegw_config_last_reload_successful"] == 1


def test_stages_come_from_the_delivery_line() -> None:
    """a/b/c/d are receiving, deciding, protecting, relaying."""
    found = _counted(
        "recipient.delivered", to="b@p.example", delays=(0.1, 0.2, 0.3, 0.4), status="sent"
    )
    assert found["smimegw_stage_duration_seconds_sum stage=protect"] == pytest.approx(0.3)


def test_no_label_holds_an_address() -> None:
    """Nor a message id: labels are for ever."""
    metrics = Metrics()
    events = LoggedEvents(stream=io.StringIO(), observers=(metrics,), strict=True)
    events.emit("recipient.decided", txn="4ZkRjG3vXpz2T8", rcpt="bob@partner.example", rule="r")
    events.emit("message.opened", txn="4ZkRjG3vXpz2T8", rcpt="bob@partner.example", signed="pass")
    assert not re.search(r"@|4ZkRj", metrics.exposition().decode())


def test_two_gateways_in_one_process_do_not_share_counters() -> None:
    """No global registry."""
    one, two = Metrics(), Metrics()
    one.observe("limit.hit", {"limit": "sessions"})
    assert "limits_hit_total limit=sessions" not in "".join(_samples(two))
