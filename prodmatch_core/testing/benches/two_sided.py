"""The smallest two-sided encoder: what generators of token states are tried on."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.components.encoder import (
    Batch,
    Encoding,
    FitData,
    Prepared,
    Rows,
    States,
    TwoSidedEncoder,
    gather_ragged,
    pad_ragged,
)
from prodmatch_core.data.corpus import Corpus

BUCKETS = 97
WIDTH = 8


@attrs.frozen(eq=False)
class WordRows:
    """The words of each text of both sides as numbers, flat, with offsets."""

    sides: dict[str, tuple[np.ndarray, np.ndarray]]

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the words of each example, (n,) int64."""
        given = {"query": query, "product": product}
        return np.sum(
            [np.diff(self.sides[s][1])[rows] for s, rows in given.items() if rows is not None], axis=0
        )

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return for each side `*_ids` (n, longest) int64 and `*_mask` (n, longest) bool."""
        batch: dict[str, Tensor] = {}
        for side, rows in (("query", query), ("product", product)):
            if rows is not None:
                batch[f"{side}_ids"], batch[f"{side}_mask"] = pad_ragged(
                    *gather_ragged(*self.sides[side], rows)
                )
        return batch


class WordStates(TwoSidedEncoder):
    """A vector a word; a side's vector is their mean, a pair's the two means and their product."""

    width = WIDTH

    def __init__(self) -> None:
        """Make the vectors."""
        super().__init__()
        self.words = nn.Embedding(BUCKETS, WIDTH)
        self.meet = nn.Linear(3 * WIDTH, WIDTH)

    @classmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        """Make a new encoder; nothing is learnt beforehand."""
        return cls()

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make the encoder; all it learnt is in its weights."""
        return cls()

    def save_assets(self, folder: Path) -> None:
        """Write nothing."""

    def prepare(self, corpus: Corpus) -> Prepared:
        """Number the words of every text."""
        return WordRows({"query": _words(corpus.query_texts()), "product": _words(corpus.product_texts())})

    def encode(self, batch: Batch) -> Encoding:
        """Return the states of the sides that are there, and their means."""
        states = {
            side: States(self.words(batch[f"{side}_ids"]), batch[f"{side}_mask"])
            for side in ("query", "product")
            if f"{side}_ids" in batch
        }
        return Encoding(
            query=self.mean(states.get("query")),
            product=self.mean(states.get("product")),
            query_states=states.get("query"),
            product_states=states.get("product"),
        )

    def interact(self, encoding: Encoding) -> Encoding:
        """Return the encoding with a pair vector, where both sides are there."""
        query, product = self.mean(encoding.query_states), self.mean(encoding.product_states)
        if query is None or product is None:
            return encoding
        pair = torch.tanh(self.meet(torch.cat([query, product, query * product], dim=1)))
        return attrs.evolve(encoding, pair=pair)

    def mean(self, states: States | None) -> Tensor | None:
        """Return the mean of the states of the words that are there, (n, width)."""
        if states is None:
            return None
        there = states.mask.unsqueeze(-1)
        return (states.hidden * there).sum(dim=1) / there.sum(dim=1).clamp_min(1)


def _words(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    numbers = [[zlib.crc32(word.encode()) % BUCKETS for word in text.split()] for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(words) for words in numbers])]).astype(np.int64)
    return np.array([number for words in numbers for number in words], dtype=np.int64), offsets
