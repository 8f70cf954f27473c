"""Adds what a mail program left out of a message that it submits (RFC 6409, 8; cases P12)."""

from __future__ import annotations

from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection, field
from smimegw.smtp.roles import ListenerRole
from smimegw.smtp.trace import date_time
from smimegw.transaction import Transaction


def completed(tx: Transaction, hostname: str) -> Entity:
    """The content of *tx* with Date and Message-ID, the same in all of its copies.

    A server behind us would add them to each copy by itself, and several copies of one message
    would be several messages to whoever compares.  What mail servers relay is not ours to complete.
    The transaction keeps what came: a retry is known by that.
    """
    content = tx.content
    if tx.session.role is not ListenerRole.SUBMISSION:
        return content
    added = []
    if not content.header.all("date"):
        added.append(field("Date", date_time(tx.received_at)))
    if not content.header.all("message-id"):
        added.append(field("Message-ID", f"<{tx.id}@{hostname}>"))
    if not added:
        return content
    return content.with_header(HeaderSection((*added, *content.header.fields)))
