"""Every event the gateway can log: name, tag, level, keys in their order.

The list is closed on purpose.  What has no key here cannot be logged, so no subject, content or
secret reaches a log by a slip of the pen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """How much an event matters."""

    SILENT = 10  # feeds the metrics only
    INFO = 20
    WARNING = 30  # somebody should look this week
    ERROR = 40  # mail is affected now


class Form(StrEnum):
    """How the line is built (see `lines`)."""

    PAIRS = "pairs"
    RECEIVED = "received"
    DELIVERY = "delivery"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One entry of the catalogue.

    Attributes:
        name: Stable dotted name.
        tag: Program part behind ``smimegw/``.
        level: How much it matters.
        keys: Allowed keys in the order of the line.
        form: How the line is built.
    """

    name: str
    tag: str
    level: Level
    keys: tuple[str, ...] = ()
    form: Form = Form.PAIRS


def _kind(name: str, tag: str, level: Level, keys: str = "", form: Form = Form.PAIRS) -> EventKind:
    return EventKind(name=name, tag=tag, level=level, keys=tuple(keys.split()), form=form)


_KINDS = (
    # the process
    _kind("gateway.started", "gateway", Level.INFO, "version hostname listeners policy"),
    _kind("gateway.ready", "gateway", Level.INFO, "listeners seconds"),
    _kind("gateway.advice", "gateway", Level.WARNING, "text"),
    _kind("gateway.not_ready", "gateway", Level.ERROR, "reason"),
    _kind("gateway.draining", "gateway", Level.INFO, "reason sessions"),
    _kind("gateway.stopped", "gateway", Level.INFO, "reason"),
    _kind("worker.started", "gateway", Level.INFO, "worker version hostname listeners policy"),
    _kind("worker.ready", "gateway", Level.INFO, "worker listeners seconds"),
    _kind("worker.draining", "gateway", Level.INFO, "worker reason sessions"),
    _kind("worker.stopped", "gateway", Level.INFO, "worker reason"),
    _kind("worker.ended", "gateway", Level.ERROR, "worker process reason text again_in"),
    _kind("worker.differs", "gateway", Level.WARNING, "text"),
    _kind("internal.error", "gateway", Level.ERROR, "error text at code"),
    _kind("library.warning", "gateway", Level.WARNING, "logger level"),
    _kind("policy.reloaded", "gateway", Level.INFO, "digest rules cases"),
    _kind("policy.reload_failed", "gateway", Level.ERROR, "problems text code"),
    # sessions
    _kind(
        "session.connected",
        "smtpd",
        Level.INFO,
        "client listener tls",
    ),
    _kind("session.closed", "smtpd", Level.SILENT, "client listener"),
    _kind("session.refused", "smtpd", Level.WARNING, "client listener tls reply"),
    _kind("session.rejected", "smtpd", Level.WARNING, "client listener reason"),
    _kind("session.certificate", "smtpd", Level.INFO, "client listener name cert"),
    _kind("session.authenticated", "smtpd", Level.INFO, "client listener user result"),
    _kind("login.error", "smtpd", Level.ERROR, "listener text"),
    # one message
    _kind(
        "message.received",
        "gateway",
        Level.INFO,
        "message-id from size nrcpt direction client upstream_id",
        Form.RECEIVED,
    ),
    _kind(
        "message.refused",
        "smtpd",
        Level.WARNING,
        "stage client reply code from to proto helo",
        Form.REJECT,
    ),
    _kind("message.finished", "gateway", Level.SILENT, "direction code seconds size"),
    _kind(
        "message.opened",
        "gateway",
        Level.INFO,
        "rcpt signed reason cert encrypted cipher integrity references decrypt_reason shadow",
    ),
    _kind("shadow.would_refuse", "gateway", Level.WARNING, "reply code"),
    _kind("header.removed", "gateway", Level.INFO, "count"),
    _kind("limit.hit", "gateway", Level.WARNING, "limit text"),
    # one recipient
    _kind(
        "recipient.decided",
        "gateway",
        Level.INFO,
        "rcpt rule protect cert source status_of_cert algo refusal fallback note shadow",
    ),
    _kind(
        "recipient.delivered",
        "relay",
        Level.INFO,
        "to relay delay delays protect dsn status text",
        Form.DELIVERY,
    ),
    _kind("delivery.in_doubt", "relay", Level.ERROR, "to relay message-id reason"),
    _kind("delivery.late", "relay", Level.WARNING, "to relay text"),
    _kind("delivery.untold", "relay", Level.WARNING, "to relay message-id"),
    _kind("delivery.already_accepted", "relay", Level.INFO, "to message-id"),
    _kind("report.sent", "relay", Level.INFO, "to relay"),
    _kind("report.error", "relay", Level.ERROR, "text"),
    _kind("relay.error", "relay", Level.ERROR, "relay text"),
    # what is around us
    _kind("gateway.overloaded", "gateway", Level.ERROR, "seconds text"),
    _kind("gateway.relieved", "gateway", Level.INFO),
    _kind("host.trouble", "gateway", Level.ERROR, "text code"),
    _kind("host.recovered", "gateway", Level.INFO, "code"),
    _kind("ciphertext.replayed", "gateway", Level.WARNING, "from first_from first_seen"),
    _kind("certificate.learned", "gateway", Level.INFO, "from cert was state"),
    _kind("certificate.changed", "gateway", Level.WARNING, "from cert was state"),
    _kind("certificate.verified", "gateway", Level.INFO, "from cert state"),
    _kind("memory.error", "gateway", Level.ERROR, "text code"),
    _kind("memory.recovered", "gateway", Level.INFO, "code"),
    _kind("memory.forgotten", "gateway", Level.INFO, "count"),
    _kind("certificate.not_usable", "gateway", Level.INFO, "rcpt cert source reason"),
    _kind("certificate.ambiguous", "gateway", Level.WARNING, "rcpt source owners"),
    _kind("directory.lookup", "gateway", Level.SILENT, "source result seconds"),
    _kind("directory.error", "gateway", Level.ERROR, "source rcpt text code"),
    _kind("directory.flushed", "gateway", Level.INFO, "rcpt"),
    _kind("directory.ignored", "gateway", Level.WARNING, "source rcpt text"),
    _kind("directory.stale", "gateway", Level.WARNING, "source rcpt age"),
    _kind("revocation.fetched", "gateway", Level.INFO, "method source url size seconds"),
    _kind("revocation.error", "gateway", Level.WARNING, "method source url text code"),
    _kind("revocation.checked", "gateway", Level.SILENT, "result method"),
    _kind("keystore.locked", "gateway", Level.ERROR, "text code"),
    _kind("keystore.error", "gateway", Level.ERROR, "text code"),
    _kind("agent.serving", "agent", Level.INFO, "count text"),
    _kind("agent.refused", "agent", Level.WARNING, "user process text"),
    _kind("agent.reload_failed", "agent", Level.ERROR, "text"),
    _kind("key.used", "agent", Level.INFO, "user process key_id purpose"),
    _kind("enrolment.done", "gateway", Level.INFO, "from seconds"),
    _kind("enrolment.error", "gateway", Level.ERROR, "from text code"),
    _kind("enrolment.renewed", "gateway", Level.INFO, "from"),
    _kind("enrolment.late", "gateway", Level.WARNING, "from text"),
    _kind("record.error", "gateway", Level.ERROR, "text code"),
    _kind("spool.error", "gateway", Level.ERROR, "text code"),
    _kind("ledger.error", "gateway", Level.ERROR, "text code"),
    _kind("ledger.busy", "gateway", Level.WARNING, "text code"),
    _kind("journal.error", "gateway", Level.ERROR, "text code"),
    _kind("record.recovered", "gateway", Level.WARNING, "path count"),
    _kind("record.aborted", "gateway", Level.WARNING, "from to text"),
    _kind("journal.recovered", "gateway", Level.WARNING, "in_doubt untold torn"),
)

CATALOGUE: dict[str, EventKind] = {kind.name: kind for kind in _KINDS}
ADDRESS_KEYS = frozenset({"from", "to", "rcpt", "first_from"})
FINGERPRINT_KEYS = frozenset({"cert", "was"})
SECONDS_KEYS = frozenset({"delay", "delays", "seconds", "age"})
