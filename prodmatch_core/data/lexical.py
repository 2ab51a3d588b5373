"""Word-overlap features of query-title pairs: what can be told without understanding either side.

Everything works on arrays of code points: unique texts are cut into tokens and hashed once, then pairs look
each other's hashes up. Scripts without spaces (kana, Chinese characters) count as overlapping pairs of
characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

FEATURE_NAMES = (
    "query_coverage",
    "title_coverage",
    "jaccard",
    "idf_coverage",
    "missing_idf",
    "missing_words",
    "phrase_coverage",
    "trigram_dice",
    "trigram_coverage",
    "number_coverage",
    "query_numbers",
    "first_word_match",
    "last_word_match",
    "opening_match",
    "query_words",
    "title_words",
    "query_chars",
    "title_chars",
)
"Columns of `overlap_features`, in order."

_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_CHUNK = 200_000
_LETTER, _DIGIT, _DENSE = 1, 2, 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]


@attrs.frozen(eq=False)
class _Bag:
    """Distinct items (tokens, character trigrams, ...) of each text: hashes grouped by text."""

    start: Ints
    "(texts + 1,) where each text's items begin."
    item: Hashes

    @property
    def size(self) -> Ints:
        """Return (texts,) the number of items."""
        return np.diff(self.start)


@attrs.frozen(eq=False)
class _Side:
    """All that is known of one side's unique texts."""

    words: _Bag
    phrases: _Bag
    trigrams: _Bag
    numbers: _Bag
    first: Hashes
    last: Hashes
    chars: Ints


@attrs.frozen(eq=False)
class WordFrequencies:
    """In how many texts of a catalogue each word is: what a part that weighs words keeps of where it learnt."""

    word: Hashes
    "(words,) uint64, ascending."
    count: Ints
    "(words,) int64, texts that have the word."
    texts: int
    "How many texts there are."

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordFrequencies:
        """Count the words of `texts`."""
        return cls._of_bag(_read(texts).words, len(texts))

    @classmethod
    def _of_bag(cls, words: _Bag, texts: int) -> WordFrequencies:
        word, count = np.unique(words.item, return_counts=True)
        return cls(word, count.astype(np.int64), texts)

    def idf(self, words: Hashes) -> Floats:
        """Return the smoothed inverse document frequency of each of `words`, (n,) float64, at least about 1."""
        found = np.zeros(len(words), dtype=np.int64)
        if len(self.word):
            place = np.minimum(np.searchsorted(self.word, words), len(self.word) - 1)
            found = np.where(self.word[place] == words, self.count[place], 0)
        return np.log((1 + self.texts) / (1 + found)) + 1


def overlap_features(
    queries: Sequence[str],
    titles: Sequence[str],
    query_rows: npt.NDArray[np.integer],
    product_rows: npt.NDArray[np.integer],
    frequencies: WordFrequencies | None = None,
) -> npt.NDArray[np.float32]:
    """Return overlap features of pairs of texts.

    Args:
        queries: unique queries.
        titles: unique titles.
        query_rows: (n,) index into `queries` of each pair.
        product_rows: (n,) index into `titles` of each pair.
        frequencies: words are weighed by their inverse document frequency in this catalogue; None: among `titles`, so
            that the features of a pair depend on what else is there.

    Returns:
        (n, len(FEATURE_NAMES)) float32, all finite. `number_coverage` is -1 where the query has no number.
    """
    left, right = _read(queries), _read(titles)
    q, p = np.asarray(query_rows, dtype=np.int64), np.asarray(product_rows, dtype=np.int64)
    if frequencies is None:
        frequencies = WordFrequencies._of_bag(right.words, len(titles))
    idf = frequencies.idf(left.words.item)
    parts = [
        _pair_features(left, right, idf, q[i : i + _CHUNK], p[i : i + _CHUNK])
        for i in range(0, len(q), _CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(FEATURE_NAMES)), dtype=np.float32)


def _pair_features(left: _Side, right: _Side, idf: Floats, q: Ints, p: Ints) -> npt.NDArray[np.float32]:
    shared, weighed, whole, rarest = _shared_words(left.words, right.words, idf, q, p)
    words_q, words_p = left.words.size[q], right.words.size[p]
    numbers_q = left.numbers.size[q]
    phrases = _shared(left.phrases, right.phrases, q, p)
    trigrams = _shared(left.trigrams, right.trigrams, q, p)
    trigrams_q, trigrams_p = left.trigrams.size[q], right.trigrams.size[p]
    numbers = _shared(left.numbers, right.numbers, q, p)
    columns = (
        shared / np.maximum(words_q, 1),
        shared / np.maximum(words_p, 1),
        shared / np.maximum(words_q + words_p - shared, 1),
        weighed / np.maximum(whole, 1e-9),
        rarest,
        words_q - shared,
        phrases / np.maximum(left.phrases.size[q], 1),
        2 * trigrams / np.maximum(trigrams_q + trigrams_p, 1),
        trigrams / np.maximum(trigrams_q, 1),
        np.where(numbers_q > 0, numbers / np.maximum(numbers_q, 1), -1.0),
        numbers_q,
        _contains(right.words, left.first[q], p),
        _contains(right.words, left.last[q], p),
        _contains(left.words, right.first[p], q),
        words_q,
        words_p,
        left.chars[q],
        right.chars[p],
    )
    return np.column_stack(columns).astype(np.float32)


def _read(texts: Sequence[str]) -> _Side:
    """Cut texts into words, pairs of words, character trigrams and numbers, and hash them."""
    folded = [" " + unicodedata.normalize("NFKC", text).lower() + " " for text in texts]
    lengths = np.array([len(text) for text in folded], dtype=np.int64)
    codes = np.frombuffer("".join(folded).encode("utf-32-le"), dtype=np.uint32)
    text = np.repeat(np.arange(len(folded)), lengths)
    kind = _classes(codes)
    prefix = np.concatenate(
        [[np.uint64(0)], np.cumsum((codes.astype(np.uint64) + 7) * _powers(_BASE, len(codes)))]
    )
    undo = _powers(_INVERSE, len(codes) + 1)

    def hashed(start: Ints, end: Ints) -> Hashes:
        """Hash the characters of [start, end), wherever they stand."""
        value = (prefix[end] - prefix[start]) * undo[start] + (end - start).astype(np.uint64)
        value = (value ^ (value >> np.uint64(29))) * _MIX
        return value ^ (value >> np.uint64(32))

    start, end = _words(kind)
    word = hashed(start, end)
    owner = text[start]
    digit_start, digit_end = _runs(kind == _DIGIT)
    solid = np.flatnonzero((kind[:-2] > 0) | (kind[2:] > 0)) if len(kind) > 2 else np.zeros(0, dtype=np.int64)
    solid = solid[(text[solid] == text[np.minimum(solid + 2, len(text) - 1)]) & (kind[solid + 1] > 0)]
    follows = np.flatnonzero(owner[1:] == owner[:-1])
    count = len(folded)
    first, last = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    last[owner] = word  # the last assignment of a repeated index stays
    first[owner[::-1]] = word[::-1]
    return _Side(
        words=_bag(owner, word, count),
        phrases=_bag(owner[follows], word[follows] * np.uint64(3) + word[follows + 1], count),
        trigrams=_bag(text[solid], hashed(solid, solid + 3), count),
        numbers=_bag(text[digit_start], hashed(digit_start, digit_end), count),
        first=first,
        last=last,
        chars=lengths - 2,
    )


def _classes(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int8]:
    """Return the class of each character: gap, letter, digit (also the point within a number), dense."""
    kind = np.zeros(len(codes), dtype=np.int8)
    kind[(codes >= 0x61) & (codes <= 0x7A)] = _LETTER
    kind[(codes >= 0xC0) & (codes < 0x2000) & (codes != 0xD7) & (codes != 0xF7)] = _LETTER
    kind[(codes >= 0x30) & (codes <= 0x39)] = _DIGIT
    dense = (
        ((codes >= 0x3041) & (codes <= 0x30FF)) | ((codes >= 0x3400) & (codes <= 0x9FFF)) | (codes == 0x3005)
    )
    kind[dense & (codes != 0x30FB)] = _DENSE
    kind[(codes >= 0xAC00) & (codes <= 0xD7A3)] = _DENSE
    point = np.flatnonzero((codes == 0x2E) | (codes == 0x2C))
    point = point[(point > 0) & (point < len(codes) - 1)]
    kind[point[(kind[point - 1] == _DIGIT) & (kind[point + 1] == _DIGIT)]] = _DIGIT
    return kind


def _words(kind: npt.NDArray[np.int8]) -> tuple[Ints, Ints]:
    """Return start and end of each token in order: runs of letters and digits; pairs within dense scripts."""
    start, end = _runs((kind == _LETTER) | (kind == _DIGIT))
    dense_start, dense_end = _runs(kind == _DENSE)
    single = dense_end - dense_start == 1
    pair = np.flatnonzero((kind[:-1] == _DENSE) & (kind[1:] == _DENSE))
    starts = np.concatenate([start, dense_start[single], pair])
    ends = np.concatenate([end, dense_end[single], pair + 2])
    order = np.argsort(starts, kind="stable")
    return starts[order], ends[order]


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _powers(base: np.uint64, count: int) -> Hashes:
    values = np.full(max(count, 1), base, dtype=np.uint64)
    values[0] = 1
    return np.cumprod(values)[:count]


def _bag(owner: Ints, item: Hashes, texts: int) -> _Bag:
    order = np.lexsort((item, owner))
    owner, item = owner[order], item[order]
    new = np.ones(len(item), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (item[1:] != item[:-1])
    owner, item = owner[new], item[new]
    return _Bag(np.searchsorted(owner, np.arange(texts + 1)), item)


def _expand(bag: _Bag, rows: Ints) -> tuple[Ints, Ints]:
    """Return (pair, position in bag.item) of every item of the texts in `rows`."""
    size = bag.size[rows]
    pair = np.repeat(np.arange(len(rows)), size)
    offset = np.arange(len(pair)) - np.repeat(np.cumsum(size) - size, size)
    return pair, np.repeat(bag.start[rows], size) + offset


def _contains(bag: _Bag, item: Hashes, rows: Ints) -> npt.NDArray[np.bool_]:
    """Return whether the text in each row has the item; a binary search within the text's sorted items."""
    low, high = bag.start[rows].copy(), bag.start[rows + 1].copy()
    end = high.copy()
    if not len(bag.item):
        return np.zeros(len(rows), dtype=bool)
    while True:
        open_ = low < high
        if not open_.any():
            break
        middle = (low + high) // 2
        less = open_ & (bag.item[np.minimum(middle, len(bag.item) - 1)] < item)
        low = np.where(less, middle + 1, low)
        high = np.where(open_ & ~less, middle, high)
    return (low < end) & (bag.item[np.minimum(low, len(bag.item) - 1)] == item)


def _shared(left: _Bag, right: _Bag, q: Ints, p: Ints) -> Ints:
    pair, place = _expand(left, q)
    found = _contains(right, left.item[place], p[pair])
    return np.bincount(pair[found], minlength=len(q))


def _shared_words(
    left: _Bag, right: _Bag, idf: Floats, q: Ints, p: Ints
) -> tuple[Ints, Floats, Floats, Floats]:
    """Return words shared, their idf, the idf of all query words, and the idf of the rarest one missing."""
    pair, place = _expand(left, q)
    found = _contains(right, left.item[place], p[pair])
    weight = idf[place]
    rarest = np.zeros(len(q))
    np.maximum.at(rarest, pair[~found], weight[~found])
    shared: Ints = np.bincount(pair[found], minlength=len(q))
    weighed = np.bincount(pair[found], weights=weight[found], minlength=len(q)).astype(np.float64)
    whole = np.bincount(pair, weights=weight, minlength=len(q)).astype(np.float64)
    return shared, weighed, whole, rarest
