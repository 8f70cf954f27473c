"""Makes HTML that loads nothing and runs nothing, and plain text of HTML that is too costly.

nh3 (the Rust library ammonia) reads HTML as browsers do and writes what is on a list; nothing here
looks for bad things in markup.  A link is a mailto: with one plain address, an image a cid: only:
not even what somebody clicks may carry away what stands in it.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nh3

_LAYOUT = (
    "a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col "
    "colgroup dd del dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i "
    "img ins kbd li main mark ol p pre q s samp section small span strike strong sub sup table "
    "tbody td tfoot th thead tr tt u ul var wbr"
)
_NEW_LINES = "br div h1 h2 h3 h4 h5 h6 hr li p table tr"
_UNSEEN = frozenset({"script", "style", "template", "title"})  # what is inside is no text
_ATTRIBUTES = {
    "*": {"align", "bgcolor", "dir", "height", "lang", "title", "valign", "width"},
    "a": {"href", "name"},
    "br": {"clear"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"color", "face", "size"},
    "hr": {"color", "noshade", "size"},
    "img": {"alt", "border", "src"},
    "li": {"type", "value"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "summary"},
    "td": {"colspan", "nowrap", "rowspan"},
    "th": {"colspan", "nowrap", "rowspan", "scope"},
    "ul": {"type"},
}
_SCHEMES = frozenset({"cid", "mailto"})
_TARGETS = {
    "href": re.compile(
        r"mailto:[A-Za-z0-9.!#$'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}", re.IGNORECASE
    ),
    "src": re.compile(r"cid:.{1,998}", re.IGNORECASE | re.DOTALL),
}
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+)?[^<>]*+>")
_LONG_NUMBER = re.compile(r"&#[0-9]{20,}+;?")
_ATTRIBUTE_COST = 2
_TAG_COST = 12  # an open element is looked at by many later ones, a character reference is not


def cost(markup: str) -> int:
    """How much work `inert_html` has with *markup*: its time grows with the square of this."""
    _, *stretches = markup.split("<")
    attributes = sum(_attributes(stretch) for stretch in stretches)
    return _TAG_COST * len(stretches) + _ATTRIBUTE_COST * attributes + markup.count("&")


def _attributes(stretch: str) -> int:
    """How many attributes, at most, *stretch* adds to a tag, its own or one before it.

    Each is compared with all others of the tag.  In quotes a tag may hold < and >, so where there
    are any, words count too.
    """
    quotes = stretch.count('"') + stretch.count("'")
    inside = stretch if quotes else stretch.partition(">")[0]
    return max(0, len(inside.split()) - 1) + inside.count("/", 1) + quotes // 2


def inert_html(markup: str) -> str:
    """Return *markup* with the elements and attributes that only arrange text and parts."""
    return f"<html><body>{_cleaner().clean(markup)}</body></html>\n"


def plain_text(markup: str) -> str:
    """Return the text of *markup* without any markup, in linear time; for reading, not exact."""
    pieces: list[str] = []
    position, unseen = 0, ""
    for tag in _TAG.finditer(markup):
        name = (tag[2] or "").lower()
        if not unseen:
            pieces.append(markup[position : tag.start()])
            if name in _NEW_LINES.split():
                pieces.append("\n")
            unseen = name if name in _UNSEEN and not tag[1] else ""
        elif tag[1] and name == unseen:
            unseen = ""
        position = tag.end()
    if not unseen:
        pieces.append(markup[position:])
    return unescaped("".join(pieces))


def unescaped(text: str) -> str:
    """*text* with its character references resolved; absurdly long ones are no character.

    Python refuses to make a number of thousands of digits, and raises.
    """
    return html.unescape(_LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text))


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3  # noqa: PLC0415 - only gateways that open such mail need it in memory

    return nh3.Cleaner(
        tags=set(_LAYOUT.split()),
        clean_content_tags=_UNSEEN,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel=None,
        attribute_filter=_harmless,
    )


def _harmless(_: str, name: str, value: str) -> str | None:
    target = _TARGETS.get(name)
    return value if target is None or target.fullmatch(value) else None
