"""Texts as words, and words as hashed character n-grams (fastText, arXiv 1607.04606, section 3.2)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import attrs
import numpy as np
import torch

from prodmatch_core.components.encoder import Batch, Rows, gather_ragged, pad_ragged

GRAMS = 16
"Most hashes of a word: the word itself, then its n-grams from the left."
ORDERS = (3, 4)
"Lengths of the n-grams, in characters, word boundaries included."
# Chinese and Japanese are written without spaces: each of their characters is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


@attrs.frozen(eq=False)
class Words:
    """Texts as row numbers of a table of words: flat `values` int64 and (texts + 1,) int64 `offsets`."""

    values: np.ndarray
    offsets: np.ndarray


class WordTable:
    """The different words of a corpus and the hashes of each; row 0 is no word."""

    def __init__(self, buckets: int, max_words: int) -> None:
        """Begin without words; hashes run from 1 to `buckets`, 0 stands for none."""
        self.buckets, self.max_words = buckets, max_words
        self._rows: dict[str, int] = {}

    def read(self, texts: Sequence[str]) -> Words:
        """Return the words of `texts`, adding new ones to the table."""
        rows = [
            [
                self._rows.setdefault(word, len(self._rows) + 1)
                for word in _WORD.findall(text.lower())[: self.max_words]
            ]
            for text in texts
        ]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return Words(np.fromiter((word for row in rows for word in row), np.int64, offsets[-1]), offsets)

    def hashes(self) -> np.ndarray:
        """Return the hashes of every word, (1 + words, GRAMS) int64, 0 where there are no more."""
        table = np.zeros((len(self._rows) + 1, GRAMS), dtype=np.int64)
        for word, row in self._rows.items():
            found = [1 + zlib.crc32(gram.encode()) % self.buckets for gram in _grams(word)]
            table[row, : len(found)] = found
        return table


def _grams(word: str) -> list[str]:
    """Return the word within its boundaries and its n-grams, GRAMS at the most."""
    marked = f"<{word}>"
    inner = [marked[i : i + n] for n in ORDERS for i in range(len(marked) - n + 1) if n < len(marked)]
    return [marked, *inner][:GRAMS]


@attrs.frozen(eq=False)
class PreparedWords:
    """A corpus made ready: both sides as words, and the hashes of all words."""

    queries: Words
    products: Words
    hashes: np.ndarray

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the words of both sides together, (n,) int64."""
        sides = ((self.queries, query), (self.products, product))
        return np.sum([np.diff(side.offsets)[rows] for side, rows in sides if rows is not None], axis=0)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return of each side `*_grams` (n, longest, GRAMS) int64 hashes and `*_mask` (n, longest) bool."""
        batch: dict[str, torch.Tensor] = {}
        for name, side, rows in (("query", self.queries, query), ("product", self.products, product)):
            if rows is not None:
                words, mask = pad_ragged(*gather_ragged(side.values, side.offsets, rows))
                batch[f"{name}_grams"] = torch.from_numpy(self.hashes[words.numpy()])
                batch[f"{name}_mask"] = mask
        return batch
