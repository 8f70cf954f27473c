"""Says whether all readers take a multipart apart at the same delimiter.

Comments, quoted pairs, folding inside quotes and a second ``boundary=`` in some other value are all
allowed by the grammar (RFC 2045, 5.1; RFC 5322, 3.2), and common readers take each of them in
different ways.  Nobody writes them, so where a signature or a lock hangs on the delimiter they are
refused.
"""

from __future__ import annotations

import re

from smimegw.errors import MIMEError
from smimegw.mime.entity import Entity

_TYPE = re.compile(rb'[^\s;"/]+/[^\s;"/]+[ \t]*;')
_QUOTED = re.compile(rb'"[^"]*"')
_BOUNDARY = re.compile(rb"(?<![0-9a-z])boundary\s*=", re.IGNORECASE)
_WRITTEN = re.compile(rb';[ \t]*boundary=(?:"[^"]+"|[^\s";]+)(?:[ \t]*;|\Z)', re.IGNORECASE)


def require_one_reading(entity: Entity) -> None:
    """Refuse a multipart whose delimiter some readers would look for under another name.

    Raises:
        MIMEError: It has two readings, or no Content-Type field.
    """
    found = entity.header.sole("content-type")
    if found is None:
        raise MIMEError("a multipart without a Content-Type field")
    text = found.body
    if b"\\" in text or b"(" in _QUOTED.sub(b"", text):
        raise MIMEError("a comment or a quoted pair in the Content-Type of a multipart")
    if not _TYPE.match(text):
        raise MIMEError("no semicolon behind the media type of a multipart")
    if len(_BOUNDARY.findall(text)) != 1 or not _WRITTEN.search(text):
        raise MIMEError("a boundary that some readers do not find, or find twice")
    if entity.content_type.boundary not in found.raw:
        raise MIMEError("a boundary that is folded in the middle")
