"""Canonical form: what relays may change is encoded before signing, all else keeps its octets."""

from __future__ import annotations

import pytest

from smimegw.errors import LimitError, MIMEError
from smimegw.limits import Limits
from smimegw.mime.canonical import canonical_for_signing, is_signable
from smimegw.mime.content_type import parse_content_type
from smimegw.mime.entity import Entity
from smimegw.mime.headers import decode_words
from smimegw.mime.quoted_printable import decode_quoted_printable, encode_quoted_printable
from tests.fakes.multiparts import split_multipart

TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"


def canonical(content: bytes) -> Entity:
    """Canonical form, with the rules that always hold checked."""
    entity = canonical_for_signing(Entity.parse(content))
    raw = entity.raw
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert is_signable(entity)
    assert canonical_for_signing(entity) is entity
    return entity


def test_clean_content_keeps_its_octets() -> None:
    """A part that needs nothing is signed as it is."""
    content = b"Content-Type: text/plain\r\n\r\nhello\r\nworld\r\n"
    assert canonical(content).raw == content


@pytest.mark.parametrize(
    "body",
    [
        "grüße\r\n".encode(),
        "关于合同\r\n你好\r\n".encode(),
        b"trailing space \r\nand tab\t\r\n",
        b"ends in a space ",
        b"From the beginning\r\nFrom me\r\n",
        b"From " + b"x" * 71 + b"\r\n",
        b"From " * 40 + b"\r\n",
        b"long " * 400 + b"\r\n",
        b"x" * 2000,
        b"-- \r\nsignature\r\n",
        b".\r\n..\r\n",
        "ü".encode(),
        b"a=b \r\n",
    ],
)
def test_text_becomes_quoted_printable(body: bytes) -> None:
    """8-bit octets, long lines, trailing white space and "From " lines (RFC 8551, 3.1.3; G16)."""
    entity = canonical(TEXT + body)
    if entity.transfer_encoding == "7bit":
        assert entity.body == body
    else:
        assert entity.transfer_encoding == "quoted-printable"
        assert all(len(line) <= 76 for line in entity.body.whole().split(b"\r\n"))
    assert entity.decoded_body() == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r\nc\n", b"a\r\nb\r\nc\r\n"),
        (b"a\r\nno final line end", b"a\r\nno final line end"),
        (b"\xc3\xbc\nb\n", b"\xc3\xbc\r\nb\r\n"),
    ],
)
def test_line_ends_of_text_become_crlf(body: bytes, expected: bytes) -> None:
    """Mixed line ends are made one; a missing last one stays missing (RFC 8551, 3.1.1; G16)."""
    assert canonical(TEXT + body).decoded_body() == expected


def test_a_label_of_8bit_on_7bit_text_is_corrected() -> None:
    """Relays without 8BITMIME encode by the label, which would break the signature (L05)."""
    entity = canonical(TEXT + b"plain\r\n")
    assert entity.transfer_encoding == "7bit"
    assert entity.body == b"plain\r\n"


def test_binary_content_becomes_base64() -> None:
    """Other types keep every octet, bare line ends too (RFC 8551, 3.1.2)."""
    body = bytes(range(256)) * 10
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    entity = canonical(head + body)
    assert entity.transfer_encoding == "base64"
    assert entity.decoded_body() == body


def test_text_with_nul_is_not_taken_for_lines() -> None:
    """UTF-16 text must not have its line ends exchanged."""
    body = "grüße\n".encode("utf-16")
    head = b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    assert canonical(head + body).decoded_body() == body


@pytest.mark.parametrize(
    ("encoding", "body", "decoded"),
    [
        (b"base64", b"aGVsbG8= \r\n", b"hello"),
        (b"base64", b"aGVs" * 500, b"hel" * 500),
        (b"quoted-printable", b"From me=\r\n to you \r\n", b"From me to you\r\n"),
        (b"quoted-printable", b"a=0Ab \r\n", b"a\nb\r\n"),
    ],
)
def test_encoded_bodies_are_encoded_anew_only_when_needed(
    encoding: bytes, body: bytes, decoded: bytes
) -> None:
    """White space at line ends and long lines inside encoded bodies are repaired."""
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    assert canonical(head + body).decoded_body() == decoded


def nested(*parts: bytes, boundary: bytes = b"out", between: bytes = b"\r\n") -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n"
    head += b"Content-Transfer-Encoding: 8bit\r\n\r\nThis is multi-part.\r\n"
    body = b"".join(b"--" + boundary + between + part + b"\r\n" for part in parts)
    return head + body + b"--" + boundary + b"--\r\n"


def test_only_the_part_that_needs_it_is_changed() -> None:
    """Neighbours of an 8-bit part keep their exact octets."""
    attachment = (
        b"Content-Type:  application/pdf\r\ncontent-transfer-encoding: BASE64\r\n\r\naGVs\r\n"
    )
    entity = canonical(nested(attachment, TEXT + "ü\r\n".encode()))
    first, second = split_multipart(entity)
    assert first == attachment
    assert Entity.parse(second).decoded_body() == "ü\r\n".encode()
    assert entity.transfer_encoding == "7bit"
    assert entity.body.startswith(b"This is multi-part.\r\n--out\r\n")


def test_structures_are_walked_to_their_leaves() -> None:
    """multipart in multipart and message/rfc822 are reached (RFC 8551, 3.1)."""
    inner = nested(TEXT + "你\r\n".encode(), boundary=b"in")
    message = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + (
        b"Subject: =?utf-8?q?x?=\r\nMIME-Version: 1.0\r\n" + TEXT + "ü\r\n".encode()
    )
    entity = canonical(nested(inner, message))
    first, second = map(Entity.parse, split_multipart(entity))
    assert Entity.parse(split_multipart(first)[0]).decoded_body() == "你\r\n".encode()
    assert second.transfer_encoding == "7bit"
    assert Entity.parse(second.body).decoded_body() == "ü\r\n".encode()


@pytest.mark.parametrize("between", [b" \t\r\n", b"\n"])
def test_delimiters_are_cleaned(between: bytes) -> None:
    """White space after a delimiter would be lost on the way."""
    entity = canonical(nested(b"\r\none", b"\r\ntwo", between=between))
    assert split_multipart(entity) == (b"\r\none", b"\r\ntwo")


def test_a_dirty_preamble_is_dropped() -> None:
    """Preamble and epilogue are shown to nobody (RFC 2046, 5.1.1) and cannot be encoded."""
    content = nested(b"\r\none").replace(b"This is", "Dies ist ü".encode())
    assert split_multipart(canonical(content)) == (b"\r\none",)


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/signed; boundary=in; micalg=sha-256",
        b"multipart/encrypted; boundary=in",
        b"application/pkcs7-mime; smime-type=enveloped-data",
    ],
)
def test_sealed_parts_are_never_touched(content_type: bytes) -> None:
    """Changing the inside would break somebody's signature (promise 5)."""
    sealed = b"Content-Type: " + content_type + b"\r\n\r\n--in\r\n\r\nFrom x \r\n--in--\r\n"
    entity = canonical_for_signing(Entity.parse(nested(sealed, TEXT + "ü".encode())))
    assert split_multipart(entity)[0] == sealed


@pytest.mark.parametrize(
    "inside",
    [
        TEXT + "ü\r\n".encode(),
        TEXT + b"a label is enough for relays\r\n",
        b"\r\n" + b"x" * 999 + b"\r\n",
        b"\r\na\0b\r\n",
        b"\r\na\nb\r\n",
    ],
    ids=["8-bit", "label", "long line", "NUL", "bare LF"],
)
def test_sealed_parts_that_relays_would_change_have_no_canonical_form(inside: bytes) -> None:
    """Next hops without 8BITMIME encode them, and every signature around breaks (G16)."""
    sealed = b"Content-Type: multipart/signed; boundary=in\r\n\r\n--in\r\n" + inside + b"--in--\r\n"
    with pytest.raises(MIMEError, match="signed or encrypted"):
        canonical_for_signing(Entity.parse(nested(sealed, b"\r\nours\r\n")))


def test_names_of_attachments_survive() -> None:
    """8-bit parameters become RFC 2231, 8-bit descriptions RFC 2047."""
    part = (
        'Content-Type: application/pdf; name="合同.pdf"\r\n'
        'Content-Disposition: attachment; filename="合同.pdf"\r\n'
        "Content-Description: 合同 vom Mai\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\naGVs"
    ).encode()
    (found,) = split_multipart(canonical(nested(part)))
    header = Entity.parse(found).header
    content_type, description = header.sole("content-type"), header.sole("content-description")
    assert content_type is not None
    assert description is not None
    assert parse_content_type(content_type.body).parameter("name") == "合同.pdf"
    assert decode_words(description.body) == "合同 vom Mai"


def test_addresses_of_an_embedded_message_stay_addresses() -> None:
    """Only the words of a display name are encoded."""
    message = (
        b"Content-Type: message/rfc822\r\n\r\n"
        + 'From: "Jürgen, M." <j@corp.example>, Bob Ü <b@x.example>\r\n\r\nx\r\n'.encode()
    )
    inner = Entity.parse(canonical(message).body)
    sender = inner.header.sole("from")
    assert sender is not None
    assert decode_words(sender.body) == "Jürgen, M. <j@corp.example>, Bob Ü <b@x.example>"
    assert b"<j@corp.example>, " in sender.body


def test_a_blank_folded_line_does_not_end_the_header() -> None:
    """Removing white space must never make an empty line."""
    content = b"Content-Type: text/plain;\r\n \r\n charset=utf-8 \r\nX: y\r\n\r\nbody\r\n"
    entity = canonical(content)
    assert len(entity.header) == 2
    assert entity.body == b"body\r\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"just a body\r\n", b"Content-Type: text/plain\r\n", b"Content-Type: text/plain"],
)
def test_the_empty_line_is_always_there(content: bytes) -> None:
    """Without it a verifier takes the first line of the body for a field."""
    entity = canonical(content)
    assert Entity.parse(entity.raw).separator == b"\r\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.replace(b"8bit", b"x-own") + b"\xff",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\xff",
        nested(TEXT + b"\xff").replace(b"--out--", b"--outer--"),
        b"Content-Type: text/plain\r\njunk \xff line\r\n\r\nx",
    ],
)
def test_what_cannot_be_changed_safely_is_refused(content: bytes) -> None:
    """Ambiguous structure and unknown encodings are not guessed at."""
    with pytest.raises(MIMEError):
        canonical_for_signing(Entity.parse(content))


def test_ambiguous_content_that_needs_nothing_passes() -> None:
    """What is signed as it is need not be understood."""
    content = nested(b"\r\nx").replace(b"--out--", b"--outer--").replace(b"8bit", b"7bit")
    assert canonical(content).raw == content


def test_depth_is_bounded() -> None:
    """At the limit walked, one deeper refused; no recursion error (H07's sister in MIME)."""
    content = TEXT + "ü".encode()
    for number in range(3):
        content = nested(content, boundary=b"b%d" % number)
    canonical_for_signing(Entity.parse(content), Limits(mime_depth=3))
    with pytest.raises(LimitError) as caught:
        canonical_for_signing(Entity.parse(content), Limits(mime_depth=2))
    assert caught.value.limit == "mime_depth"


def test_quoted_printable_without_any_line_end() -> None:
    """Soft line breaks are CRLF even when the text shows no line end to copy."""
    text = "ü".encode() * 300
    encoded = encode_quoted_printable(text).whole()
    assert b"\n" not in encoded.replace(b"=\r\n", b"")
    assert decode_quoted_printable(encoded) == text


def test_a_bare_cr_in_a_field_makes_no_second_field() -> None:
    """Written as a line end it would inject a field into what gets signed (T-12)."""
    with pytest.raises(MIMEError, match="bare CR"):
        canonical_for_signing(Entity.parse(b"Content-Description: a\rContent-Type: x/y\r\n\r\nx"))


@pytest.mark.parametrize("junk", [b" \r\n", b"no field \r\n", b"no field\n"])
def test_a_dirty_line_that_is_no_field_is_refused(junk: bytes) -> None:
    """White space taken from a blank first line would leave an empty line: the header's end."""
    with pytest.raises(MIMEError, match="no field"):
        canonical_for_signing(Entity.parse(junk + b"Content-Type: text/plain\r\n\r\nx"))
