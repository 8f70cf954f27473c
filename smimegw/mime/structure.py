"""Tells the media types of all parts of a message, as far as it can be taken apart."""

from __future__ import annotations

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity, read_multipart


def media_types(entity: Entity, limits: Limits = DEFAULT_LIMITS) -> frozenset[str]:
    """The media type of *entity* and of all parts below it, lower case.

    A message inside (message/rfc822) is a part like any other: what it consists of is somebody
    else's.  What is malformed, too deep or too much ends the search where it stands; what was
    found counts.
    """
    found: set[str] = set()
    waiting = [(entity, 0)]
    parts = 0
    while waiting:
        part, depth = waiting.pop()
        try:
            content_type = part.content_type
            found.add(content_type.media_type)
            if content_type.type != "multipart" or depth >= limits.mime_depth:
                continue
            inside = read_multipart(part, limits).parts
            parts += len(inside)
            if parts > limits.mime_parts:
                break
            waiting += [(Entity.parse(octets, limits), depth + 1) for octets in inside]
        except (MIMEError, LimitError):
            continue
    return frozenset(found)
