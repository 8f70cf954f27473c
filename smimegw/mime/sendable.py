"""Gives what came out of an opened layer a form that SMTP carries: CRLF lines, no NUL.

RFC 8551, 3.1.1 wants CRLF inside as well.  Tools on Unix forget it, and some programs nest binary
CMS without base64 (RFC 8551, 3.1.3 allows it): both are read and written in the form that lines
of mail have.  Anything else would have to be guessed.
"""

from __future__ import annotations

from smimegw.content import MEMORY, Content, Store
from smimegw.errors import MIMEError
from smimegw.mime import base64
from smimegw.mime.entity import Entity
from smimegw.mime.headers import field
from smimegw.mime.lines import has_crlf_only, in_crlf_lines, with_crlf


def sendable(entity: Entity, store: Store = MEMORY) -> Entity | None:
    """The same content in lines that end with CRLF; None when it has no such form.

    Without any CR there is one way only to read line ends.  A body that is labelled binary and is
    no structure becomes base64.  What is written anew, *store* keeps.
    """
    content = entity.content
    if _is_sendable(content):
        return entity
    if b"\r" not in content and b"\0" not in content:
        return Entity.parse(in_crlf_lines(content, store))
    header = entity.header.raw
    if b"\r" not in header:
        header = with_crlf(header)
    if not _is_sendable(header) or not _is_binary_leaf(entity):
        return None
    body = base64.encoded(entity.body).settled()
    parsed = Entity.parse(Content.joined((header, b"\r\n", body)))
    return parsed.with_header(
        parsed.header.replace(field("Content-Transfer-Encoding", "base64")),
    )


def _is_sendable(octets: bytes | Content) -> bool:
    return has_crlf_only(octets) and b"\0" not in octets


def _is_binary_leaf(entity: Entity) -> bool:
    try:
        return entity.transfer_encoding == "binary" and entity.content_type.type not in {
            "multipart",
            "message",
        }
    except MIMEError:
        return False
