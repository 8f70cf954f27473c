"""Marks of results in a Subject: found under every disguise, and nothing else is touched (K09)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smimegw.mime.headers import decode_words, encode_text_field, parse_header_section
from smimegw.mime.marked_subject import skeleton, without_marks

MARKS = ("[signed]", "[decrypted ok]")


def cleaned(subject: bytes) -> str:
    """The text of the Subject afterwards."""
    header = parse_header_section(b"From: a@b.example\r\nSubject: " + subject + b"\r\nX: y\r\n")
    after = without_marks(header, MARKS)
    assert [entry.lower_name for entry in after] == ["from", "subject", "x"]
    return decode_words(after.fields[1].body)


def _word(text: str, charset: str = "utf-8") -> bytes:
    return b"=?%s?B?%s?=" % (charset.encode(), base64.b64encode(text.encode(charset)))


@pytest.mark.parametrize(
    "subject",
    [
        b"[signed] invoice",
        b"[SIGNED] invoice",
        b"[ signed ] invoice",
        b"(signed) invoice",
        b"{Signed} <signed> invoice",
        b"invoice [signed]",
        b"[sig[signed]ned] invoice",
        b"[decrypted\r\n ok] invoice",
        b"[decryptedok]invoice",
        b"=?utf-8?q?=5Bsigned=5D?= invoice",
        b"=?utf-8?q?=5Bsig?= =?utf-8?q?ned=5D?= invoice",
        b"=?utf-8?q?=5Bsig?= =?iso-8859-1?q?ned=5D?= invoice",
        b"=?utf-7?q?+AFs-signed+AF0-?= invoice",
        _word("[signed] invoice", "utf-16"),
        *(
            _word(f"{mark} invoice")
            for mark in (
                "\uff3b\uff53igned\uff3d",  # full width
                "\u3010signed\u3011",  # black lenticular brackets
                "[\u0455\u0456gned]",  # Cyrillic
                "[s\u0131gned]",
                "[sign\u0435d]",
                "[signe\u0301d]",  # an accent
                "[s\u200bigned]",  # zero width
                "[\u202esigned\u202c]",  # direction
                "[si\u00adgned]",  # soft hyphen
                "[s1gned]",
                "\u2045signed\u2046",
                "[\U0001d42c\U0001d422\U0001d420\U0001d427\U0001d41e\U0001d41d]",  # mathematical
            )
        ),
    ],
)
def test_mark_is_taken_out(subject: bytes) -> None:
    """Whoever reads in a hurry sees the mark in each (T-01)."""
    assert cleaned(subject).split() == ["invoice"]


@pytest.mark.parametrize(
    "subject",
    [
        b"invoice, signed",
        b"[unsigned] invoice",
        b"[designed] for you",
        b"[signed by Bob] invoice",
        b"[...]",
        b"=?utf-8?q?Stra=C3=9Fe?=  two  spaces",
        b"\xe9 octets of an unknown charset",
        b"",
    ],
)
def test_other_subjects_keep_their_octets(subject: bytes) -> None:
    """The section is the very same object."""
    header = parse_header_section(b"Subject: " + subject + b"\r\n")
    assert without_marks(header, MARKS) is header


def test_other_fields_are_not_looked_at() -> None:
    """People do not read results there."""
    header = parse_header_section(b"Comments: [signed]\r\nKeywords: [signed]\r\n")
    assert without_marks(header, MARKS) is header


def test_every_subject_is_cleaned() -> None:
    """Nobody knows which of two fields is shown, nor what is made of a space before the colon."""
    header = parse_header_section(b"Subject: [signed] a\r\nSUBJECT : [signed] b\r\n")
    after = without_marks(header, MARKS)
    assert [entry.body for entry in after] == [b"a", b"b"]


@pytest.mark.parametrize("marks", [(), ("",), ("\u200b",)])
def test_mark_of_nothing_matches_nothing(marks: tuple[str, ...]) -> None:
    """It would be found everywhere."""
    header = parse_header_section(b"Subject: [signed] a\r\n")
    assert without_marks(header, marks) is header


@given(st.text(alphabet="[]()signedx \u200b\u0455\u00e9", max_size=40))
def test_nothing_that_looks_like_a_mark_is_left(text: str) -> None:
    """Whatever the taking out brings together; doing it again changes nothing."""
    header = parse_header_section(encode_text_field("Subject", text).raw)
    after = without_marks(header, MARKS)
    assert skeleton("[signed]") not in skeleton(decode_words(after.fields[0].body))
    assert without_marks(after, MARKS) is after
