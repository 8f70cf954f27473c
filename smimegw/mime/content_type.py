"""Content-Type and Content-Disposition: a value and its parameters (RFC 2045, 5.1; RFC 2231)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from smimegw.errors import MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.charsets import decode_octets

_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
_TYPE = re.compile(r"([!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+)/([!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+)")
# Values without quotes are read up to the next delimiter: "boundary=----=_Part" needs quotes by
# the letter, is written without them by many programs and is not ambiguous.
_BARE_VALUE = re.compile(r'[^\s;"(),\\\x00-\x1f\x7f]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_EXTENDED = re.compile(r"([^*]+)(?:\*(0|[1-9][0-9]{0,2}))?(\*)?")  # RFC 2231, 7
# Parameters that decide how a message is taken apart: exactly one way of writing each is allowed.
_STRUCTURAL = frozenset({"boundary", "protocol", "micalg", "smime-type"})
_REMEMBERED_OCTETS = 1024  # real fields have 100; strangers must not fill the memory
_STRICT_SUBTYPES = frozenset({"pkcs7-mime", "x-pkcs7-mime"})


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type with its parameters.

    Attributes:
        type: Lower case, such as ``multipart``.
        subtype: Lower case, such as ``signed``.
        parameters: Lower-case names with decoded values, in order; unknown octets are kept as
            surrogates so that `boundary` gives back exactly what was written.
    """

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def media_type(self) -> str:
        """``type/subtype``, lower case."""
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """The value of one parameter, or None."""
        return dict(self.parameters).get(name.lower())

    @property
    def boundary(self) -> bytes:
        """The delimiter's text of a multipart.

        Raises:
            MIMEError: There is none.
        """
        value = self.parameter("boundary")
        if not value:
            raise MIMEError(f"{self.media_type} without a boundary (RFC 2046, 5.1.1)")
        return value.encode("utf-8", "surrogateescape")

    def write(self) -> str:
        """The field's body: ASCII, values quoted where needed, others by RFC 2231."""
        return write_parameters(self.media_type, self.parameters)


TEXT_PLAIN = ContentType("text", "plain", (("charset", "us-ascii"),))


def parse_content_type(body: bytes, limits: Limits = DEFAULT_LIMITS) -> ContentType:
    """Read the body of a Content-Type field.

    Raises:
        MIMEError: No ``type/subtype``; a parameter twice; NUL in the field; a boundary that is
            empty, too long or ends with a space; for multipart and PKCS #7 types also anything
            that is no parameter.
    """
    if len(body) > _REMEMBERED_OCTETS:
        return _parsed(body, limits.boundary_octets)
    return _remembered(body, limits.boundary_octets)


@lru_cache(maxsize=256)
def _remembered(body: bytes, boundary_octets: int) -> ContentType:
    """Several steps ask for the type of the same entity."""
    return _parsed(body, boundary_octets)


def _parsed(body: bytes, boundary_octets: int) -> ContentType:
    text = _text_of(body)
    position = _skip_comments(text, 0)
    match = _TYPE.match(text, position)
    if match is None:
        raise MIMEError("Content-Type does not begin with type/subtype (RFC 2045, 5.1)")
    main, sub = match[1].lower(), match[2].lower()
    strict = main in {"multipart", "message"} or sub in _STRICT_SUBTYPES
    parameters = _parse_parameters(text, match.end(), strict=strict)
    boundary = dict(parameters).get("boundary")
    if boundary is not None and main == "multipart":
        _check_boundary(boundary, boundary_octets)
    return ContentType(main, sub, parameters)


def parse_disposition(body: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Read the body of a Content-Disposition field: its type and parameters (RFC 2183).

    Raises:
        MIMEError: No type, or a parameter twice.
    """
    text = _text_of(body)
    match = _TOKEN.match(text, _skip_comments(text, 0))
    if match is None:
        raise MIMEError("Content-Disposition without a type (RFC 2183, 2)")
    return match[0].lower(), _parse_parameters(text, match.end(), strict=False)


def write_parameters(value: str, parameters: tuple[tuple[str, str], ...]) -> str:
    """``value; name=text; ...`` for Content-Type and Content-Disposition; always ASCII."""
    return "; ".join([value, *(_write_parameter(name, text) for name, text in parameters)])


def _write_parameter(name: str, text: str) -> str:
    if text.isascii() and text.isprintable():
        if _TOKEN.fullmatch(text) and name not in {"name", "filename"}:
            return f"{name}={text}"
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{escaped}"'
    octets = text.encode("utf-8", "surrogateescape")
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        charset = "unknown-8bit"  # RFC 1428, 3: nobody said what it is, and we do not guess
    else:
        charset = "utf-8"
    return f"{name}*={charset}''{quote(octets, safe='')}"


def _text_of(body: bytes) -> str:
    if b"\0" in body:
        raise MIMEError("NUL in a MIME header field")
    return body.decode("utf-8", "surrogateescape")


def _check_boundary(boundary: str, allowed: int) -> None:
    octets = boundary.encode("utf-8", "surrogateescape")
    if not octets or len(octets) > allowed:
        raise MIMEError(f"boundary of {len(octets)} octets (allowed 1 to {allowed})")
    if octets[-1:] in b" \t" or any(octet < 32 or octet == 127 for octet in octets):
        raise MIMEError("boundary ends with a space or holds control characters (RFC 2046, 5.1.1)")


def _skip_comments(text: str, position: int) -> int:
    """Pass over white space and nested comments without recursion; stops at an open comment."""
    end = len(text)
    while position < end:
        if text[position] in " \t\r\n":
            position += 1
            continue
        if text[position] != "(":
            return position
        depth, at = 0, position
        while at < end:
            if text[at] == "\\":
                at += 1
            elif text[at] == "(":
                depth += 1
            elif text[at] == ")":
                depth -= 1
                if depth == 0:
                    break
            at += 1
        if depth:
            raise MIMEError("a comment in a MIME header field does not end")
        position = at + 1
    return position


def _parse_parameters(text: str, position: int, *, strict: bool) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    while True:
        position = _skip_comments(text, position)
        if position >= len(text):
            return _join_extended(found)
        if text[position] == ";":
            position += 1
            continue
        name, value, position = _parse_parameter(text, position)
        if not name:
            if strict:
                raise MIMEError("Content-Type holds something that is no parameter")
            # From where reading stopped: comments in front of it are not read a second time.
            following = text.find(";", position)
            position = len(text) if following < 0 else following
            continue
        if name in found:
            raise MIMEError("a parameter is there twice in a MIME header field")
        found[name] = value


def _parse_parameter(text: str, position: int) -> tuple[str, str, int]:
    """Name, value and what follows; no name and where reading stopped when it is no parameter."""
    match = _TOKEN.match(text, position)
    if match is None:
        return "", "", position
    at = _skip_comments(text, match.end())
    if at >= len(text) or text[at] != "=":
        return "", "", at
    at = _skip_comments(text, at + 1)
    if at < len(text) and text[at] == '"':
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise MIMEError("a quoted string in a MIME header field does not end")
        value, at = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), quoted.end()
    else:
        bare = _BARE_VALUE.match(text, at)
        value, at = (bare[0], bare.end()) if bare else ("", at)
    following = _skip_comments(text, at)
    if following < len(text) and text[following] != ";":
        return "", "", following
    return match[0].lower(), value, following


def _join_extended(found: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Put RFC 2231 continuations together and decode percent-encoded values."""
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    order: dict[str, None] = {}
    for name, value in found.items():
        match = _EXTENDED.fullmatch(name)
        base = match[1] if match else name
        order[base] = None
        if match is None or (match[2] is None and match[3] is None):
            plain[name] = value
            continue
        number, encoded = int(match[2] or 0), match[3] is not None
        if number in pieces.setdefault(base, {}):
            raise MIMEError("a parameter is there twice in a MIME header field")
        pieces[base][number] = (value, encoded)
    if _STRUCTURAL & pieces.keys():
        # Nobody needs that; readers without RFC 2231 see another structure, or none.
        raise MIMEError("a parameter that decides the structure is written as in RFC 2231")
    return tuple(
        (name, _decode_extended(pieces[name]) if name in pieces else plain[name]) for name in order
    )


def _decode_extended(pieces: dict[int, tuple[str, bool]]) -> str:
    if sorted(pieces) != list(range(len(pieces))):
        raise MIMEError("a continued parameter has a gap (RFC 2231, 3)")
    charset = "utf-8"
    found: list[bytes] = []
    for number in range(len(pieces)):
        value, encoded = pieces[number]
        if encoded and number == 0:
            charset, _, rest = value.partition("'")
            value = rest.partition("'")[2]
        raw = value.encode("utf-8", "surrogateescape")
        found.append(unquote_to_bytes(raw) if encoded else raw)
    octets = b"".join(found)
    if b"\0" in octets:
        raise MIMEError("NUL in a MIME parameter")
    return decode_octets(octets, charset or "us-ascii")
