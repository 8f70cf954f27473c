"""Which media types a message has."""

from __future__ import annotations

import pytest

from smimegw.limits import Limits
from smimegw.mime.entity import Entity
from smimegw.mime.structure import media_types

INVITATION = Entity.parse(
    b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'
    b'--a\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\ncome\r\n"
    b"--b\r\nContent-Type: Text/Calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n"
    b"--b--\r\n"
    b"--a\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: image/png\r\n\r\nx\r\n"
    b"--a--\r\n"
)


def test_every_part_counts() -> None:
    """However deep, in lower case; the calendar of a meeting request is below alternatives."""
    assert media_types(INVITATION) == {
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/calendar"),
        "message/rfc822",
    }


def test_message_without_a_type_is_text() -> None:
    """RFC 2045, 5.2."""
    assert media_types(Entity.parse(b"Subject: x\r\n\r\ntext\r\n")) == {"text/plain"}


def test_what_is_forwarded_is_not_looked_into() -> None:
    """The forwarded message's picture is not this message's."""
    assert "image/png" not in media_types(INVITATION)


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Type: multipart/mixed\r\n\r\n--a\r\n",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n",
        b"Content-Type: nonsense\r\n\r\nx\r\n",
    ],
)
def test_what_cannot_be_taken_apart_ends_the_search(octets: bytes) -> None:
    """Nothing is raised; protecting it is another matter."""
    assert media_types(Entity.parse(octets)) <= {"multipart/mixed"}


@pytest.mark.parametrize("limits", [Limits(mime_depth=1), Limits(mime_parts=1)])
def test_limits_hold(limits: Limits) -> None:
    """What lies beyond them is not seen (T-09, L11)."""
    assert "text/calendar" not in media_types(INVITATION, limits)
