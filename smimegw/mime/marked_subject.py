"""Takes marks that tell a result, such as ``[signed]``, out of a Subject, also disguised (T-01)."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

from smimegw.mime.encoded_words import decode_words
from smimegw.mime.headers import HeaderField, HeaderSection, encode_text_field

# Letters of other scripts, digits and signs that look like those of the basic Latin alphabet (the
# common ones of Unicode's UTS 39), after case folding.  Only for comparing: nothing is written so.
_LOOK_ALIKES = {
    letter: latin
    for latin, letters in {
        "a": "\u0430\u03b1\u0251@",
        "b": "\u044c\u0432\u03b2",
        "c": "\u0441\u03f2",
        "d": "\u0501",
        "e": "\u0435\u03b5\u0454\u212e",
        "g": "\u0261\u0581",
        "h": "\u04bb\u043d",
        "j": "\u0458\u03f3",
        "k": "\u043a\u03ba",
        "l": "i1|!\u0456\u03b9\u0131\u04cf\u0406\u05d5\u01c0",
        "m": "\u043c",
        "n": "\u0578\u03b7",
        "o": "0\u043e\u03bf\u0585\u05e1",
        "p": "\u0440\u03c1",
        "q": "\u051b",
        "r": "\u0433",
        "s": "\u0455$5",
        "t": "\u0442\u03c4",
        "u": "\u03c5\u057d\u0446",
        "v": "\u03bd\u0475\u05d8",
        "w": "\u051d\u0461\u03c9",
        "x": "\u0445\u03c7\u00d7",
        "y": "\u0443\u03b3\u04af",
    }.items()
    for letter in letters
}
# Like brackets; Unicode's own opening and closing ones are known by their category.
_OPENING, _CLOSING = "<\u2039\u00ab", ">\u203a\u00bb"
_NOT_SEEN = frozenset({"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"})


def skeleton(text: str) -> str:
    """*text* as a hasty reader sees it: case, accents, spaces and kinds of brackets left out."""
    return "".join(_looks(letter) for letter in text)


def without_marks(header: HeaderSection, marks: Sequence[str]) -> HeaderSection:
    """*header* with each of *marks* taken out of its Subject; itself when there is none in it."""
    wanted = tuple(seen for seen in map(skeleton, marks) if seen)
    fields = tuple(_unmarked(entry, wanted) for entry in header) if wanted else header.fields
    unchanged = all(new is old for new, old in zip(fields, header.fields, strict=True))
    return header if unchanged else HeaderSection(fields)


def _unmarked(entry: HeaderField, wanted: Sequence[str]) -> HeaderField:
    if entry.lower_name != "subject":
        return entry
    text = decode_words(entry.body)
    rest = _less(text, wanted)
    if rest == text:
        return entry
    printable = "".join(letter if letter.isprintable() else " " for letter in rest)
    return encode_text_field(entry.name.decode("ascii"), printable.strip())


def _less(text: str, wanted: Sequence[str]) -> str:
    """One pass that also finds a mark put together by taking another one out of its middle."""
    marks, ends_of_marks = tuple(wanted), {mark[-1] for mark in wanted}
    longest = max(map(len, marks))
    seen: list[str] = []  # of what stays so far, one item for each letter of the skeleton
    ends: list[int] = []  # where in `kept` the letter that shows it ends
    kept: list[str] = []
    for letter in text:
        kept.append(letter)
        for looks in _looks(letter):
            seen.append(looks)
            ends.append(len(kept))
            if looks not in ends_of_marks:
                continue
            tail = "".join(seen[-longest:])
            if tail.endswith(marks):
                length = next(len(mark) for mark in marks if tail.endswith(mark))
                start = max(0, ends[-length] - 1)
                del seen[-length:], ends[-length:], kept[start:]
    return "".join(kept)


@functools.lru_cache(maxsize=4096)
def _looks(letter: str) -> str:
    """What *letter* looks like; nothing when it is not seen."""
    shown = []
    for part in unicodedata.normalize("NFKD", letter).casefold():
        category = unicodedata.category(part)
        if category in _NOT_SEEN:
            continue
        if category == "Ps" or part in _OPENING:
            shown.append("[")
        elif category == "Pe" or part in _CLOSING:
            shown.append("]")
        else:
            shown.append(_LOOK_ALIKES.get(part, part))
    return "".join(shown)
