"""What a message says about itself, read once for policy, signing and the log."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from smimegw.address_lists import NamedMailbox, sole_mailbox
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError
from smimegw.mime.headers import HeaderSection, decode_words
from smimegw.pipeline.replies import Refusal
from smimegw.pipeline.settings import Settings
from smimegw.policy.facts import MessageFacts
from smimegw.policy.model import Direction
from smimegw.smtp.roles import ListenerRole
from smimegw.transaction import Transaction

_REMEMBERED = 64  # fields, each up to its limit in length


def originator(header: HeaderSection) -> NamedMailbox | None:
    """The one mailbox of the one From field; None when there is none, several or nonsense."""
    return _sole(header, "from")


def sender(header: HeaderSection) -> NamedMailbox | None:
    """The mailbox of the Sender field; None when there is none or it is malformed."""
    return _sole(header, "sender")


def _sole(header: HeaderSection, name: str) -> NamedMailbox | None:
    fields = header.all(name)
    if len(fields) != 1 or fields[0].flaw:
        return None
    return _only(fields[0].body)


@lru_cache(_REMEMBERED)
def _only(body: bytes) -> NamedMailbox | None:
    """Every step of one message asks who its author is."""
    try:
        return sole_mailbox([body])
    except AddressError:
        return None


def direction_of(role: ListenerRole) -> Direction:
    """Mail from outside is opened, everything else is protected."""
    return Direction.INBOUND if role is ListenerRole.MX else Direction.OUTBOUND


def message_facts(tx: Transaction, settings: Settings) -> MessageFacts:
    """Read the facts that rules may ask for."""
    author = originator(tx.content.header)
    return MessageFacts(
        direction=direction_of(tx.session.role),
        originator=author.mailbox if author else None,
        reverse_path=tx.envelope.reverse_path.mailbox,
        user=tx.session.user,
        subject=_text(tx.content.header, "subject"),
        fields=tuple(_fields(tx.content.header)),
        size=tx.size,
        recipients=len(tx.envelope.recipients),
        internal_domains=settings.internal_domains,
    )


def _text(header: HeaderSection, name: str) -> str:
    return " ".join(decode_words(entry.body) for entry in header.all(name))


def _fields(header: HeaderSection) -> Iterable[tuple[str, str]]:
    for entry in header:
        if entry.lower_name:
            yield entry.lower_name, decode_words(entry.body)


def permitted_originator(tx: Transaction, settings: Settings) -> Mailbox:
    """The From address, when the client may use it (R-12).

    On `submission` the login must own it; on `relay` it must be of our domains, who may use
    which address there is the mail server's duty.

    Raises:
        Refusal: R-12, or no From field at all.
    """
    header = tx.content.header
    if not header.all("from"):
        raise Refusal("no-from")
    author = originator(header)
    if author is None:
        raise Refusal("R-12", detail="not exactly one mailbox")
    for field_name, named in (("From", author), ("Sender", sender(header))):
        if named is not None and not _may_use(named.mailbox, tx, settings):
            raise Refusal("R-12", detail=f"{field_name} <{named.mailbox.address}> is not yours")
    if header.all("sender") and sender(header) is None:
        raise Refusal("R-12", detail="Sender is not exactly one mailbox")
    return author.mailbox


def _may_use(mailbox: Mailbox, tx: Transaction, settings: Settings) -> bool:
    if not settings.is_internal(mailbox):
        return False
    if tx.session.role is not ListenerRole.SUBMISSION or not tx.session.user:
        return True  # an unauthenticated submission listener serves named peers only
    return mailbox.key in owned_keys(tx.session.user, settings)


def owned_keys(user: str, settings: Settings) -> frozenset[str]:
    """Comparison forms of the addresses that a login owns."""
    keys = set(settings.senders.get(user.casefold(), frozenset()))
    candidates = [user] if "@" in user else [f"{user}@{d}" for d in settings.internal_domains]
    for candidate in candidates:
        try:
            keys.add(Mailbox.parse(candidate).key)
        except AddressError:
            continue
    return frozenset(keys)
