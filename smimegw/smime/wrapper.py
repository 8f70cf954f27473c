"""Takes the message/rfc822 off that older programs put around what they sign or encrypt.

RFC 8551, 3.1 has it so, to protect the header section.  A forwarded message looks the same; it is
content and stays a part of its own.
"""

from __future__ import annotations

from smimegw.address_lists import sole_mailbox
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.content_type import parse_disposition
from smimegw.mime.entity import IDENTITY, Entity

_TYPES = frozenset({"message/rfc822", "message/global"})


def wrapped_message(
    entity: Entity, originator: Mailbox, limits: Limits = DEFAULT_LIMITS
) -> Entity | None:
    """Return the message that *entity* wraps; None when it is no wrapper.

    A wrapper is the whole content of a signed or encrypted layer (that, the caller knows), holds a
    message of the one who wrote what is around it, and is not said to be forwarded or attached.

    Args:
        entity: What the layer held.
        originator: The one mailbox of the one From field outside.
        limits: Numeric limits.
    """
    try:
        content_type = entity.content_type
        if (
            content_type.media_type not in _TYPES
            or content_type.parameter("forwarded") == "yes"
            or entity.transfer_encoding not in IDENTITY
            or _is_attached(entity)
        ):
            return None
        message = Entity.parse(entity.body, limits)
    except (MIMEError, LimitError):
        return None
    author = _author(message)
    if author is None or not author.same_as(originator):
        return None
    return message


def _is_attached(entity: Entity) -> bool:
    found = entity.header.sole("content-disposition")
    return found is not None and parse_disposition(found.body)[0] == "attachment"


def _author(message: Entity) -> Mailbox | None:
    fields = message.header.all("from")
    if any(entry.flaw for entry in fields):
        return None
    try:
        return sole_mailbox([entry.body for entry in fields]).mailbox
    except AddressError:
        return None
