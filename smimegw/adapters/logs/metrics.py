"""Metrics for Prometheus, counted from the same events that become log lines.

Labels come from closed sets or from the configuration; no address, serial or message id ever is
one.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import InfoMetricFamily

from smimegw.adapters.logs.lines import Value

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_OCTETS = (4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 5.3e7)
_CHILDREN = 1024  # closed sets and names from the configuration are far fewer
_STAGES = ("receive", "decide", "protect", "relay")
_PROTECTIONS = {"sign+encrypt": "both", "sign-then-encrypt": "both"}
_CERTIFICATES = {
    "R-01": "none",
    "R-03": "expired",
    "R-04": "revoked",
    "R-05": "unknown",
    "R-06": "unknown",
    "R-08": "unsuitable",
}


M = TypeVar("M", Counter, Gauge, Histogram)


@lru_cache(_CHILDREN)
def _child(metric: M, *labels: str) -> M:
    """``metric.labels(…)``, which takes longer than counting does."""
    return metric.labels(*labels)


class Metrics:
    """All metrics of one gateway in a registry of their own; an `EventObserver`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._build_info()
        self._process_metrics()
        self._mail_metrics()
        self._around_metrics()

    def exposition(self) -> bytes:
        """The text that /metrics answers."""
        return generate_latest(self.registry)

    def ready(self, is_ready: bool) -> None:
        """Say whether /ready answers 200."""
        self._ready.set(is_ready)

    def shadow(self, is_shadow: bool) -> None:
        """Say whether mail is handed on unchanged."""
        self._shadow.set(is_shadow)

    def observe(self, event: str, values: Mapping[str, Value]) -> None:
        """Count one event; events without a metric are ignored."""
        count = getattr(self, "_on_" + event.replace(".", "_"), None)
        if count is not None:
            count(values)

    # --- declarations ----------------------------------------------------------------------------

    def _build_info(self) -> None:
        facts = {
            "version": version("smimegw"),
            "python": platform.python_version(),
            "cryptography": version("cryptography"),
        }

        class BuildInfo:
            def collect(self) -> list[InfoMetricFamily]:
                family = InfoMetricFamily("smimegw_build", "Versions of this build")
                family.add_metric([], facts)
                return [family]

        self.registry.register(BuildInfo())

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"smimegw_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"smimegw_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"smimegw_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _process_metrics(self) -> None:
        self._ready = self._gauge("ready", "1 while mail is taken")
        self._shadow = self._gauge("shadow", "1 while mail is handed on unchanged (shadow mode)")
        self._reload_ok = self._gauge(
            "config_last_reload_successful", "Whether the last reload of the policy succeeded"
        )
        self._reload_at = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the policy was last loaded"
        )
        self._errors = self._counter("internal_errors_total", "Unexpected exceptions (R-17)")
        self._lost = self._counter("log_lines_lost_total", "Log lines that could not be written")
        self._reload_ok.set(1)
        self._reload_at.set(time.time())

    def _mail_metrics(self) -> None:
        self._sessions = self._gauge("smtp_open_sessions", "Open sessions", "listener")
        self._sessions_total = self._counter(
            "smtp_sessions_total", "Sessions", "listener", "result"
        )
        self._messages = self._counter(
            "messages_total", "Messages by what became of them", "direction", "result"
        )
        self._recipients = self._counter(
            "recipients_total", "Recipients decided", "direction", "protection", "certificate"
        )
        self._duration = self._histogram(
            "message_duration_seconds", "From MAIL to the reply", _SECONDS, "direction"
        )
        self._stages = self._histogram(
            "stage_duration_seconds", "Time of one stage", _SECONDS, "stage"
        )
        self._sizes = self._histogram(
            "message_size_bytes", "Size of received messages", _OCTETS, "direction"
        )
        self._decisions = self._counter(
            "policy_decisions_total", "Decisions by rule", "rule", "action"
        )
        self._fallbacks = self._counter(
            "fallbacks_total", "Copies weaker than the rule's own wish", "reason", "to"
        )
        self._in_doubt = self._counter("in_doubt_total", "Final dots without a reply")
        self._verified = self._counter(
            "signatures_verified_total", "Signatures judged", "result", "reason"
        )
        self._decrypted = self._counter(
            "decryptions_total", "Encrypted messages", "result", "cipher"
        )

    def _around_metrics(self) -> None:
        self._lookups = self._counter(
            "directory_lookups_total", "Directory look-ups", "source", "result"
        )
        self._lookup_seconds = self._histogram(
            "directory_lookup_duration_seconds", "Directory look-ups", _SECONDS, "source"
        )
        self._directory_up = self._gauge("directory_up", "Last look-up was answered", "source")
        self._revocation_checks = self._counter(
            "revocation_checks_total", "Certificates asked about outside", "result", "method"
        )
        self._revocation_fetches = self._counter(
            "revocation_fetches_total", "CRLs and OCSP answers fetched", "method", "result"
        )
        self._enrolments = self._counter(
            "enrolments_total", "Certificates asked for senders who had none", "result"
        )
        self._harvested = self._counter(
            "harvested_certificates_total", "Certificates learned from mail", "state", "change"
        )
        self._replays = self._counter(
            "ciphertext_replays_total", "Ciphertexts that came before from somebody else"
        )
        self._memory_errors = self._counter(
            "memory_errors_total", "What could not be remembered or asked for"
        )
        self._next_hop_errors = self._counter("next_hop_errors_total", "Failures of next hops")
        self._limits = self._counter("limits_hit_total", "Limits passed", "limit")

    # --- events ----------------------------------------------------------------------------------

    def _on_session_connected(self, values: Mapping[str, Value]) -> None:
        listener = str(values.get("listener", ""))
        _child(self._sessions_total, listener, "accepted").inc()
        _child(self._sessions, listener).inc()

    def _on_session_closed(self, values: Mapping[str, Value]) -> None:
        _child(self._sessions, str(values.get("listener", ""))).dec()

    def _on_session_rejected(self, values: Mapping[str, Value]) -> None:
        _child(self._sessions_total, str(values.get("listener", "")), "rejected").inc()

    def _on_session_refused(self, values: Mapping[str, Value]) -> None:
        _child(self._sessions_total, str(values.get("listener", "")), "refused").inc()

    def _on_message_finished(self, values: Mapping[str, Value]) -> None:
        direction, code = str(values.get("direction", "")), _number(values, "code")
        result = "relayed" if code < 400 else "deferred" if code < 500 else "refused"
        _child(self._messages, direction, result).inc()
        _child(self._duration, direction).observe(_number(values, "seconds"))
        _child(self._sizes, direction).observe(_number(values, "size"))

    def _on_recipient_decided(self, values: Mapping[str, Value]) -> None:
        protect = str(values.get("protect", "none"))
        refusal, fallback = str(values.get("refusal", "")), str(values.get("fallback", ""))
        certificate = fallback or _CERTIFICATES.get(refusal, "used" if "cert" in values else "none")
        protection = _PROTECTIONS.get(protect, protect)
        _child(self._recipients, "outbound", protection, certificate).inc()
        action = "refuse" if refusal else protection
        _child(self._decisions, str(values.get("rule", "")), action).inc()
        if fallback:
            _child(self._fallbacks, fallback, protection).inc()

    def _on_recipient_delivered(self, values: Mapping[str, Value]) -> None:
        delays = values.get("delays")
        if isinstance(delays, tuple):
            for stage, seconds in zip(_STAGES, delays, strict=False):
                _child(self._stages, stage).observe(max(seconds, 0.0))

    def _on_message_opened(self, values: Mapping[str, Value]) -> None:
        signed, encrypted = str(values.get("signed", "none")), str(values.get("encrypted", "no"))
        if signed != "none":
            _child(self._verified, signed, str(values.get("reason", ""))).inc()
        if encrypted != "no":
            _child(self._decrypted, encrypted, str(values.get("cipher", ""))).inc()
        _child(self._recipients, "inbound", "none", "none").inc()

    def _on_delivery_in_doubt(self, _: Mapping[str, Value]) -> None:
        self._in_doubt.inc()

    def _on_directory_lookup(self, values: Mapping[str, Value]) -> None:
        source, result = str(values.get("source", "")), str(values.get("result", ""))
        _child(self._lookups, source, result).inc()
        _child(self._lookup_seconds, source).observe(_number(values, "seconds"))
        _child(self._directory_up, source).set(result not in ("error", "stale"))

    def _on_directory_error(self, values: Mapping[str, Value]) -> None:
        # Of a look-up that failed, directory.lookup tells as well, and that is what is counted.
        _child(self._directory_up, str(values.get("source", ""))).set(0)

    def _on_revocation_checked(self, values: Mapping[str, Value]) -> None:
        result, method = str(values.get("result", "")), str(values.get("method", ""))
        _child(self._revocation_checks, result, method).inc()

    def _on_revocation_fetched(self, values: Mapping[str, Value]) -> None:
        _child(self._revocation_fetches, str(values.get("method", "")), "fetched").inc()

    def _on_revocation_error(self, values: Mapping[str, Value]) -> None:
        _child(self._revocation_fetches, str(values.get("method", "")), "error").inc()

    def _on_enrolment_done(self, _: Mapping[str, Value]) -> None:
        _child(self._enrolments, "done").inc()

    def _on_enrolment_error(self, _: Mapping[str, Value]) -> None:
        _child(self._enrolments, "error").inc()

    def _on_enrolment_renewed(self, _: Mapping[str, Value]) -> None:
        _child(self._enrolments, "renewed").inc()

    def _on_enrolment_late(self, _: Mapping[str, Value]) -> None:
        _child(self._enrolments, "late").inc()

    def _on_certificate_learned(self, values: Mapping[str, Value]) -> None:
        _child(self._harvested, str(values.get("state", "")), "no").inc()

    def _on_certificate_changed(self, values: Mapping[str, Value]) -> None:
        _child(self._harvested, str(values.get("state", "")), "yes").inc()

    def _on_ciphertext_replayed(self, _: Mapping[str, Value]) -> None:
        self._replays.inc()

    def _on_memory_error(self, _: Mapping[str, Value]) -> None:
        self._memory_errors.inc()

    def _on_relay_error(self, _: Mapping[str, Value]) -> None:
        self._next_hop_errors.inc()

    def _on_limit_hit(self, values: Mapping[str, Value]) -> None:
        _child(self._limits, str(values.get("limit", ""))).inc()

    def _on_policy_reloaded(self, _: Mapping[str, Value]) -> None:
        self._reload_ok.set(1)
        self._reload_at.set(time.time())

    def _on_policy_reload_failed(self, _: Mapping[str, Value]) -> None:
        self._reload_ok.set(0)

    def _on_internal_error(self, _: Mapping[str, Value]) -> None:
        self._errors.inc()

    def _on_log_lost(self, _: Mapping[str, Value]) -> None:
        self._lost.inc()


def _number(values: Mapping[str, Value], key: str) -> float:
    value = values.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0
