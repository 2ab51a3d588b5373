"""The words of a text, and the text without one of them.

White space parts words. Japanese and Chinese have none: there a run of katakana or hiragana is a word, and so are two
ideographs at a time. Punctuation around a word goes with it; punctuation alone is no word.
"""

from __future__ import annotations

import re
import unicodedata

import attrs

_KATAKANA = "\u30a0-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HIRAGANA = "\u3041-\u309f"
_IDEOGRAPHS = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECES = re.compile(
    rf"[{_KATAKANA}]+|[{_HIRAGANA}]+|[{_IDEOGRAPHS}]{{1,2}}|[^\s{_KATAKANA}{_HIRAGANA}{_IDEOGRAPHS}]+"
)


@attrs.frozen
class Word:
    """A word of a text: its form, case-folded and without punctuation, and where it stands in the text."""

    form: str
    spans: tuple[tuple[int, int], ...]
    "Start and end of every occurrence, punctuation around it included."


def words_of(text: str) -> list[Word]:
    """Return the different words of a text in the order of their first occurrence."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for found in _PIECES.finditer(text):
        form = _bare(found.group()).casefold()
        if form:
            spans.setdefault(form, []).append(found.span())
    return [Word(form, tuple(places)) for form, places in spans.items()]


def without(text: str, word: Word) -> str:
    """Return the text without any occurrence of `word`, single-spaced where one was taken out; "" if none is left."""
    kept, last = [], 0
    for start, end in word.spans:
        kept.append(text[last:start].rstrip())
        last = end
    kept.append(text[last:])
    head, *rest = kept
    for piece in rest:
        # A word between blanks leaves one of them; within a script without blanks it leaves none.
        head += piece if head else piece.lstrip()
    return head.strip()


def _bare(piece: str) -> str:
    """Return a piece without the punctuation and symbols at its ends."""
    start, end = 0, len(piece)
    while start < end and not _counts(piece[start]):
        start += 1
    while end > start and not _counts(piece[end - 1]):
        end -= 1
    return piece[start:end]


def _counts(character: str) -> bool:
    """Return whether a character is a letter, a mark or a digit."""
    return unicodedata.category(character)[0] in "LMN"
