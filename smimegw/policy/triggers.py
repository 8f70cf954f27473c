"""Words in the Subject that switch protection on: finding them in any spelling, removing them.

People write ``[secure]``, ``[SECURE]`` or, with an East Asian keyboard, ``［ｓｅｃｕｒｅ］``; all
are one word.  A word that were overlooked would send in clear what somebody wanted protected, so
comparison is generous: compatibility forms, case, the shape of square brackets, white space and
invisible characters do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_SPACES = re.compile(r"\s+")
# Square brackets as other keyboards write them; round and curly ones are something else.
_OPENING, _CLOSING = "[【〔〖〚「『《〈⟦⦋❲", "]】〕〗〛」』》〉⟧⦌❳"
_BRACKETS = str.maketrans(_OPENING + _CLOSING, "[" * len(_OPENING) + "]" * len(_CLOSING))
_HANGUL_JAMO = range(0x1160, 0x1200)  # vowels and finals: compose with what stands before


def normalised(text: str) -> str:
    """The comparison form of *text*."""
    return _SPACES.sub(" ", "".join(form for form, _, _ in _clusters(text))).strip()


def contains_word(subject: str, word: str) -> bool:
    """Whether *word* (its comparison form) stands anywhere in *subject*."""
    return bool(word) and word in normalised(subject)


def without_words(subject: str, words: Iterable[str]) -> str:
    """*subject* less every occurrence of *words* (comparison forms), the rest as it was.

    One pass with a stack, so that a word hidden inside itself (``[sec[secure]ure]``) goes too and
    a long Subject costs linear time.
    """
    wanted = sorted((word for word in words if word), key=len, reverse=True)
    kept: list[tuple[str, list[str]]] = []  # comparison form, original pieces
    removed = False  # just now, right before the next cluster
    for form, start, end in _clusters(subject):
        after_space = not kept or kept[-1][0] == " "
        if removed and form == " " and after_space:
            continue  # the space that stood behind the word
        if kept and (not form or (form == " " and after_space)):
            kept[-1][1].append(subject[start:end])  # invisible: belongs to what it follows
            continue
        kept.append((form, [subject[start:end]]))
        removed = any(_remove_tail(kept, word) for word in wanted)
    text = "".join(piece for _, pieces in kept for piece in pieces)
    return text.rstrip() if removed else text


def _remove_tail(kept: list[tuple[str, list[str]]], word: str) -> bool:
    """Drop the last clusters if together they end with *word*."""
    tail, place = "", len(kept)
    while place and len(tail) < len(word):
        place -= 1
        tail = kept[place][0] + tail
    if not tail.endswith(word):
        return False
    del kept[place:]
    return True


def _clusters(text: str) -> Iterator[tuple[str, int, int]]:
    """Comparison form, start and end of each character with what combines with it."""
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _continues(text[start], text[end]):
            end += 1
        yield _form(text[start:end]), start, end
        start = end


def _continues(first: str, letter: str) -> bool:
    if first.isspace() and (letter.isspace() or letter.translate(_BRACKETS) == "]"):
        return True
    if first.translate(_BRACKETS) == "[" and letter.isspace():
        return True  # "[ secure ]" is the word, too
    return bool(unicodedata.combining(letter)) or ord(letter) in _HANGUL_JAMO


def _form(cluster: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold())
    visible = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
    visible = visible.translate(_BRACKETS)
    return visible.strip() if visible.strip() in {"[", "]"} else _SPACES.sub(" ", visible)
