"""Looks into a delivered message as mail programs do, for anything that reaches outside of it.

An independent reader: the standard library's `email` and `html.parser`, not the code that disarms.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email.message import Message
from html.parser import HTMLParser

ADDRESS = re.compile(
    r"(?:^|[\s'\"(=,;])(?:[a-z][a-z0-9+.-]*:/|//|\\\\)|https?:|ftp:|file:", re.IGNORECASE
)
_ALLOWED = re.compile(r"(?:mailto:[^?&,;%@\s]+@[^?&,;%@\s]+|cid:.*)\Z", re.IGNORECASE)
_MARKUP_NAME = re.compile(r"\.(?:[xs]?html?|mht|svg|xml|eml|ics)[. ]*\Z", re.IGNORECASE)
_LOADING = (
    "applet audio base embed form frame iframe image input link math meta object script source "
    "style svg template track video"
)
_TEXT_ONLY = frozenset({"alt", "title", "summary"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _LOADING.split():
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            text = (value or "").strip()
            is_address = name in {"href", "src"} and not _ALLOWED.match(text)
            is_active = name in {"style", "background", "srcset", "ping"} or name.startswith("on")
            if is_address or is_active or (name not in _TEXT_ONLY and ADDRESS.search(text)):
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_comment(self, data: str) -> None:
        self.found.append("<!-- -->")


def references(octets: bytes) -> list[str]:
    """What a mail program would load, follow or run when it shows the message *octets*."""
    return [found for part in _shown(email.message_from_bytes(octets)) for found in _in(part)]


def _shown(message: Message) -> Iterator[Message]:
    for part in message.walk():
        if not part.is_multipart() and part.get_content_disposition() != "attachment":
            yield part


def _in(part: Message) -> list[str]:
    found = [f"field {name}" for name in ("Content-Base", "Content-Location") if name in part]
    kind = part.get_content_type()
    if kind != "text/html" and _MARKUP_NAME.search(part.get_filename() or ""):
        found.append("shown under the file name of another type")
    if kind in {"text/plain", "image/png"} or kind.startswith("message/"):
        return found
    if kind != "text/html":
        return [*found, f"shown as {kind}"]
    reader = _Reader()
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    if part.get_content_charset() != "utf-8":
        return [*found, "HTML in another character set"]
    reader.feed(payload.decode())
    reader.close()
    return found + reader.found
