"""Octets to text by a charset name that a stranger chose; always gives text, never raises."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
from encodings.aliases import aliases

# Looking a name up that is none costs a search for a module, and Python remembers the failure
# for ever: strangers' names must not reach the registry.
_KNOWN = {
    *aliases,
    *aliases.values(),
    *(module.name for module in pkgutil.iter_modules(encodings.__path__)),
}
# Python's registry also holds codecs that are no charsets, are slow on purpose-made input (idna,
# punycode) or warn (unicode_escape); a name from a message must not reach them.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)
# QUIRK 2026-03 Outlook and others: say gb2312 and write characters of its supersets.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "ascii": "utf-8"}


def decode_octets(octets: bytes, charset: str) -> str:
    """Decode *octets*; whatever the charset (or we) cannot read becomes U+FFFD."""
    try:
        return octets.decode(codec_of(charset), "replace")
    except (LookupError, ValueError):
        return octets.decode("ascii", "replace")


def codec_of(charset: str) -> str:
    """The codec that reads *charset*: it, or the superset that programs mean by it.

    Raises:
        LookupError: Not a charset that is known here.
    """
    if len(charset) > 40 or not charset.isascii() or not charset.isprintable():
        raise LookupError("no charset")
    if encodings.normalize_encoding(charset).lower().replace(".", "_") not in _KNOWN:
        raise LookupError("unknown charset")
    codec = codecs.lookup(charset)
    name = codec.name.replace("-", "_")
    if name in _NO_CHARSETS:
        raise LookupError("no charset")
    return _SUPERSETS.get(name, codec.name)
