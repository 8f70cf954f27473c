"""Whatever a Subject or a body holds: what is written is read again, and reading never fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smimegw.mime.confidentiality import HeaderConfidentiality, HeaderProtection
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection, encode_text_field, field
from smimegw.mime.legacy_display import with_legacy_display, without_legacy_display
from smimegw.smime.header_protection import protect_header
from smimegw.smime.protected_header import read_protected_header

_LETTERS = st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"))
_SUBJECTS = st.text(_LETTERS, max_size=200)
_PIECES = st.lists(
    st.sampled_from(
        [
            *(b"Subject: a\r\n", b"From: a@b.example\r\n", b"HP-Outer: Subject: x\r\n", b"\r\n"),
            *(b'Content-Type: text/plain; hp="cipher"\r\n', b"HP-Outer: \xff\r\n", b"To: <\r\n"),
            *(b'Content-Type: message/rfc822; forwarded="no"\r\n', b"Date: Mon, 99\r\n", b" x\r\n"),
            *(b'Content-Type: text/html; hp-legacy-display="1"\r\n', b"<body><!--", b"\0", b":"),
            *(b'<div class="header-protection-legacy-display"><pre>', b"</pre></div>"),
            b'Content-Type: multipart/mixed; boundary="b"; hp="clear"\r\n',
            *(b"--b\r\n", b"--b--\r\n"),
        ]
    ),
    max_size=20,
)
BASELINE = HeaderProtection(confidentiality=HeaderConfidentiality.BASELINE)


@given(subject=_SUBJECTS, body=st.text(_LETTERS, max_size=200), markup=st.booleans())
def test_every_subject_travels_and_comes_back(subject: str, body: str, markup: bool) -> None:
    """Hidden outside, the same text inside, and the body as it was after both."""
    kind = "text/html" if markup else "text/plain"
    header = HeaderSection((field("From", "a@ours.example"), encode_text_field("Subject", subject)))
    text = f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}"
    outer, inner = protect_header(header, Entity.parse(text.encode()), BASELINE, encrypts=True)
    assert [entry.body for entry in outer.all("subject")] == [b"[...]"]
    found = read_protected_header(Entity.parse(inner.raw), outer)
    assert found is not None
    assert [decode_words(entry.body) for entry in found.hidden] == [subject]
    plain = without_legacy_display(inner, found.hidden)
    assert plain.decoded_body().whole().decode() == body


@given(pieces=_PIECES, outer=_PIECES)
def test_reading_never_fails(pieces: list[bytes], outer: list[bytes]) -> None:
    """Any payload gives a value; what is adopted is one field each, in ASCII."""
    entity = Entity.parse(b"".join(pieces))
    for is_wrapped in (False, True):
        found = read_protected_header(
            entity, Entity.parse(b"".join(outer)).header, is_wrapped=is_wrapped
        )
        for entry in found.hidden if found else ():
            assert entry.raw.isascii()
            assert not entry.flaw
            assert entry.raw.replace(b"\r\n ", b"").count(b"\r\n") == 1


@given(pieces=_PIECES)
def test_repetitions_are_put_in_and_taken_off_of_anything(pieces: list[bytes]) -> None:
    """No structure is too odd; taking off what was put in shows nothing of it."""
    entity = Entity.parse(b"".join(pieces))
    shown = (field("Subject", "unlikely 4711"),)
    with_it = with_legacy_display(entity, shown)
    assert b"4711" not in without_legacy_display(with_it, shown).raw or with_it.raw == entity.raw
