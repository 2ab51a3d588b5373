"""Character n-grams of many texts at once, hashed without a loop over texts.

Texts are folded (NFKC, case) and cut into words where letters and digits end and where scripts change, so
that Japanese falls into runs of kanji, hiragana and katakana. Each word is wrapped in boundary marks and no
n-gram crosses a word; `<ca` and `ca` differ by the mark, as in fastText (arXiv 1607.04606, section 3.2).
Whole words and pairs of neighbouring words are hashed beside the n-grams.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

SEPARATOR = "\0"
"Stands between texts while they are folded as one; no normal form reaches across it."
BEGIN, END = 2, 3
"Code points of the marks around a word; control characters, so no word contains them."
WORD, NUMBER, PHRASE, SHORTEST = range(4)
"What an n-gram is, by its order."
BASE = np.uint64(0x100000001B3)
"Base of the polynomial hash, modulo 2**64."
CHUNK = 1 << 20
"Characters hashed together; bounds memory, changes no result."

_BREAK, _LETTER, _DIGIT, _HIRAGANA, _KATAKANA, _HAN, _POINT, _APOSTROPHE = range(8)
_HAN_BLOCKS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x3005, 0x3007))


@attrs.frozen(eq=False)
class Grams:
    """The different n-grams of many texts; those of text r are entries `offsets[r]:offsets[r + 1]`.

    Attributes:
        codes: (total,) uint32 hash of the n-gram and its order, ascending and unique within a text.
        orders: (total,) uint8; `WORD`, `NUMBER` (a word with a digit), `PHRASE` (two neighbouring words),
            then `SHORTEST` for n-grams of the shortest length, `SHORTEST + 1` for the next.
        words: (total,) int32 number of the word, within its text, that has the n-gram first.
        offsets: (texts + 1,) int64.
        lengths: (texts,) int32 number of words.
    """

    codes: np.ndarray
    orders: np.ndarray
    words: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray


def hash_texts(
    texts: Sequence[str], min_n: int = 3, max_n: int = 5, whole_words: bool = True, limit: int = 0
) -> Grams:
    """Return the hashed n-grams of every text.

    Args:
        texts: what to hash; None is not allowed, "" has no n-grams.
        min_n: shortest n-gram in characters, marks included.
        max_n: longest.
        whole_words: also hash each word, and each pair of neighbouring words, as a whole.
        limit: n-grams read of a text, from its beginning, before repetitions are dropped; 0 reads all.
    """
    chunks = [_hash_chunk(chunk, min_n, max_n, whole_words, limit) for chunk in _chunks(texts)]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.concatenate([[], *(np.diff(chunk.offsets) for chunk in chunks)]), out=offsets[1:])
    none = np.empty(0)
    return Grams(
        np.concatenate([none, *(chunk.codes for chunk in chunks)]).astype(np.uint32),
        np.concatenate([none, *(chunk.orders for chunk in chunks)]).astype(np.uint8),
        np.concatenate([none, *(chunk.words for chunk in chunks)]).astype(np.int32),
        offsets,
        np.concatenate([none, *(chunk.lengths for chunk in chunks)]).astype(np.int32),
    )


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    start = 0
    while start < len(texts):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + CHUNK, side="right")), start + 1)
        yield texts[start:stop]
        start = stop


def _hash_chunk(texts: Sequence[str], min_n: int, max_n: int, whole_words: bool, limit: int) -> Grams:
    points, script, text = _fold(texts)
    kept = np.flatnonzero(script)
    before = np.concatenate([[0], script[:-1]])
    starts = (script != before)[kept]
    word = np.cumsum(starts) - 1
    word_text = text[kept[starts]]
    lengths = np.bincount(word, minlength=len(word_text)) + 2
    first = np.cumsum(lengths) - lengths
    last = first + lengths - 1

    stream = np.empty(len(kept) + 2 * len(word_text), dtype=np.uint64)
    stream[first], stream[last] = BEGIN, END
    stream[np.arange(len(kept)) + 2 * word + 1] = points[kept]
    left = np.repeat(last, lengths) - np.arange(len(stream)) + 1  # characters from here to the word's end
    mixed = _scramble(stream)

    # One row per position, one column per order: reading the valid cells row by row is reading order.
    codes = np.zeros((len(stream), SHORTEST + max_n - min_n + 1), dtype=np.uint32)
    valid = np.zeros(codes.shape, dtype=bool)
    if whole_words and len(stream):
        powers = np.cumprod(
            np.concatenate([[np.uint64(1)], np.full(lengths.max() - 1, BASE)]), dtype=np.uint64
        )
        whole = np.add.reduceat(mixed * powers[left - 1], first)
        number = np.add.reduceat(_is_digit(stream), first) > 0
        codes[first, WORD] = codes[first, NUMBER] = _code(whole, WORD)
        valid[first, WORD], valid[first, NUMBER] = ~number, number
        codes[first[:-1], PHRASE] = _code(_scramble(whole[:-1]) * BASE + whole[1:], PHRASE)
        valid[first[:-1], PHRASE] = word_text[:-1] == word_text[1:]
    rolling = mixed
    for n in range(1, max_n + 1):
        if n > 1:
            rolling = rolling[:-1] * BASE + mixed[n - 1 :]
        if n >= min_n and len(rolling):
            inside = left[: len(rolling)] >= n
            if n == 1:  # a mark alone says nothing
                inside &= stream > END
            column = SHORTEST + n - min_n
            codes[: len(rolling), column] = _code(rolling, SHORTEST + n)
            valid[: len(rolling), column] = inside
    position, order = np.nonzero(valid)
    word_of = np.repeat(np.arange(len(word_text)), lengths)[position]
    return _unique(codes[valid], order, word_of, word_text, len(texts), limit)


def _unique(
    codes: np.ndarray, orders: np.ndarray, word: np.ndarray, word_text: np.ndarray, texts: int, limit: int
) -> Grams:
    row = word_text[word]
    if limit:
        counts = np.bincount(row, minlength=texts)
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        codes, orders, word, row = (values[rank < limit] for values in (codes, orders, word, row))
    _, index = np.unique((row.astype(np.uint64) << np.uint64(32)) | codes, return_index=True)
    lengths = np.bincount(word_text, minlength=texts)
    offsets = np.zeros(texts + 1, dtype=np.int64)
    np.cumsum(np.bincount(row[index], minlength=texts), out=offsets[1:])
    begin = np.cumsum(lengths) - lengths
    return Grams(codes[index], orders[index], word[index] - begin[row[index]], offsets, lengths)


def _fold(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return code points, script (0 = no part of a word) and text number of every character of all texts."""
    joined = SEPARATOR.join(texts)
    if joined.count(SEPARATOR) != len(texts) - 1:
        joined = SEPARATOR.join(text.replace(SEPARATOR, " ") for text in texts)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", joined).casefold())
    points = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    present = np.flatnonzero(np.bincount(points)) if len(points) else np.empty(0, dtype=np.int64)
    table = np.zeros(int(present.max(initial=0)) + 1, dtype=np.uint8)
    table[present] = [_kind(point) for point in present.tolist()]
    kind = table[points]
    text = np.cumsum(points == 0)

    padded = np.concatenate([[_BREAK], kind, [_BREAK]])
    left, right = padded[:-2], padded[2:]
    kind = np.where((kind == _POINT) & (left == _DIGIT) & (right == _DIGIT), _DIGIT, kind)
    silent = (kind == _APOSTROPHE) & (left == _LETTER) & (right == _LETTER)
    points, kind, text = points[~silent], kind[~silent], text[~silent]
    script = np.array([0, 1, 1, 3, 4, 5, 0, 0], dtype=np.uint8)[kind]
    return points, script, text


def _kind(point: int) -> int:
    character = chr(point)
    if character in "./":
        return _POINT  # part of the number in 1.5 and 3/4, a break elsewhere
    if character in "'’":
        return _APOSTROPHE  # women's is womens
    if any(low <= point <= high for low, high in _HAN_BLOCKS):
        return _HAN
    category = unicodedata.category(character)[0]
    if category not in "LNM":
        return _BREAK
    if 0x3040 <= point <= 0x309F:
        return _HIRAGANA
    if 0x30A0 <= point <= 0x30FF or 0x31F0 <= point <= 0x31FF:
        return _KATAKANA
    return _DIGIT if category == "N" else _LETTER


def _is_digit(points: np.ndarray) -> np.ndarray:
    return (points >= ord("0")) & (points <= ord("9"))


def _scramble(values: np.ndarray) -> np.ndarray:
    """Return the splitmix64 finaliser of each value: neighbours in, unrelated 64 bits out."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _code(hashes: np.ndarray, order: int) -> np.ndarray:
    """Return 32 bits that also tell orders apart: a whole word is not the n-gram of the same letters."""
    return (_scramble(hashes ^ np.uint64(order << 56)) >> np.uint64(32)).astype(np.uint32)
