"""`core.ngram`: hashed character n-grams. Fast on a CPU, at home in every language, no vocabulary to keep.

A text is the set of its n-grams and words, each hashed to a row of a table (arXiv 1607.04606, section 3.2) and
weighed by a learned importance that starts from its rarity in the catalogue.

As two towers, a text's vector is the weighted sum of its rows. Read as a pair, the query's n-grams fall into those
the product has and those it lacks, and the product's into those asked for and the rest: each group is a vector, and
beside them stand the shares by n-gram length and by word, which is what a reader of titles would look at first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.builtin.configs import NgramConfig
from prodmatch_core.builtin.hashing import Grams, hash_texts
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, gather_ragged
from prodmatch_core.data.corpus import Corpus

WORD_SHARES = 6
"How many figures summarise the coverage of the query's words."
FOUND = 0.99
"A word counts as found when this share of its n-grams' importance is in the product."
MISSED = 0.3
"A word counts as missed below this share."


class NgramEncoder(Encoder):
    """Encodes pairs, or each side alone, from hashed n-grams."""

    def __init__(self, config: NgramConfig, rarity: np.ndarray) -> None:
        """Make the encoder; `rarity` (buckets,) float32 is where the importance of each row starts."""
        super().__init__()
        self.config = config
        self.width = config.width
        self.pair = config.mode == "pair"
        self.orders = config.max_n - config.min_n + 2  # whole words are an order of their own
        self.table = nn.EmbeddingBag(config.buckets, config.width, mode="sum")
        nn.init.normal_(self.table.weight, std=0.3 if self.pair else 1.0)
        self.importance = nn.Embedding(config.buckets, 1)
        self.importance.weight.data[:, 0] = torch.from_numpy(np.log(rarity))
        if self.pair:
            size = 3 * config.width + 2 * self.orders + WORD_SHARES + 2
            self.mix = nn.Sequential(
                nn.LayerNorm(size),
                nn.Linear(size, config.width),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.width, config.width),
                nn.GELU(),
            )
        else:
            self.query_tower, self.product_tower = _tower(config.width), _tower(config.width)

    @classmethod
    def build(cls, config: NgramConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder whose importances start from document frequencies in the catalogue."""
        grams = _hash(data.corpus.product_texts(config.fields), config)
        texts = len(grams.lengths)
        # Two n-grams of one text in one row count twice; no row is in more texts than there are.
        frequency = np.minimum(np.bincount(grams.codes % config.buckets, minlength=config.buckets), texts)
        return cls(config, (1 + np.log((texts + 1) / (frequency + 1))).astype(np.float32))

    @classmethod
    def load(cls, config: NgramConfig, folder: Path) -> Self:
        """Make an encoder for weights that are loaded afterwards; hashing needs no vocabulary."""
        return cls(config, np.ones(config.buckets, dtype=np.float32))

    def save_assets(self, folder: Path) -> None:
        """Write nothing: all that was learnt is in the weights."""

    def prepare(self, corpus: Corpus) -> PreparedNgrams:
        """Hash every query and product once."""
        return PreparedNgrams(
            _hash(corpus.query_texts(), self.config),
            _hash(corpus.product_texts(self.config.fields), self.config),
            self.config.buckets,
            self.pair,
        )

    def forward(self, batch: Batch) -> Encoding:
        """Return a pair vector, or a vector of each side, of `width`."""
        if self.pair:
            return Encoding(pair=self.mix(torch.cat([self._groups(batch), self._shares(batch)], dim=1)))
        return Encoding(
            query=self._text(batch, "query", self.query_tower),
            product=self._text(batch, "product", self.product_tower),
        )

    def _weights(self, ids: Tensor) -> Tensor:
        return self.importance(ids)[:, 0].exp()

    def _text(self, batch: Batch, side: str, tower: nn.Module) -> Tensor:
        ids, pair, offsets = (batch[f"{side}_{name}"] for name in ("ids", "pair", "offsets"))
        weights = self._weights(ids)
        length = (_sum(weights**2, pair, len(offsets)) + 1e-6).sqrt()
        vector = self.table(ids, offsets, per_sample_weights=weights / length[pair])
        return vector + tower(vector)

    def _groups(self, batch: Batch) -> Tensor:
        """Return the vectors of what is shared, what is asked for in vain, and what nobody asked for."""
        vectors = []
        for side, groups in (("query", (True, False)), ("product", (False,))):
            ids, pair, offsets = (batch[f"{side}_{name}"] for name in ("ids", "pair", "offsets"))
            weights = self._weights(ids)
            weights = weights / _sum(weights, pair, len(offsets)).clamp_min(1e-6)[pair]
            for shared in groups:
                inside = batch[f"{side}_shared"] == shared
                vectors.append(self.table(ids, offsets, per_sample_weights=weights * inside))
        return torch.cat(vectors, dim=1)

    def _shares(self, batch: Batch) -> Tensor:
        """Return which share of either side is found on the other, by n-gram length and by word of the query."""
        pairs = len(batch["query_offsets"])
        columns = []
        for side in ("query", "product"):
            weights = self._weights(batch[f"{side}_ids"])
            cell = batch[f"{side}_pair"] * self.orders + batch[f"{side}_order"]
            shared = _sum(weights * batch[f"{side}_shared"], cell, pairs * self.orders)
            whole = _sum(weights, cell, pairs * self.orders)
            columns.append((shared / whole.clamp_min(1e-6)).view(pairs, self.orders))
        return torch.cat([*columns, self._words(batch, pairs)], dim=1)

    def _words(self, batch: Batch, pairs: int) -> Tensor:
        """Return how well the query's words are covered: worst, best, mean, found, missed and last; and lengths."""
        weights, owner = self._weights(batch["query_ids"]), batch["word_pair"]
        whole = _sum(weights, batch["query_word"], len(owner))
        covered = _sum(weights * batch["query_shared"], batch["query_word"], len(owner)) / whole.clamp_min(
            1e-6
        )
        count = batch["query_words"].to(covered.dtype).clamp_min(1)
        worst = covered.new_ones(pairs).scatter_reduce(0, owner, covered, "amin")
        best = covered.new_zeros(pairs).scatter_reduce(0, owner, covered, "amax")
        mean = _sum(covered, owner, pairs) / count
        found = _sum((covered > FOUND).to(covered.dtype), owner, pairs) / count
        missed = _sum((covered < MISSED).to(covered.dtype), owner, pairs) / count
        # In English the last word is most often the thing itself.
        last = _sum(covered * batch["word_last"], owner, pairs)
        lengths = [batch[name].to(covered.dtype).log1p() for name in ("query_words", "product_words")]
        return torch.stack([worst, best, mean, found, missed, last, *lengths], dim=1)


@attrs.frozen(eq=False)
class PreparedNgrams:
    """A corpus as hashed n-grams."""

    queries: Grams
    products: Grams
    buckets: int
    pair: bool
    "Whether batches say which n-grams the two sides share."

    def lengths(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return the number of n-grams of each pair, (n,) int64."""
        return np.diff(self.queries.offsets)[query] + np.diff(self.products.offsets)[product]

    def batch(self, query: np.ndarray, product: np.ndarray) -> dict[str, Tensor]:
        """Return flat n-grams of both sides.

        For each side: `_ids` (n-grams,) int64 rows of the table, `_pair` their pair, `_offsets` (batch,) where a pair
        begins; for pairs also `_shared` (n-grams,) bool, `_order`, and the query's words: `query_word` (n-grams,) the
        word of each, `word_pair` (words,) the pair of each, `word_last` (words,) bool.
        """
        sides = {"query": (self.queries, query), "product": (self.products, product)}
        arrays: dict[str, np.ndarray] = {}
        codes: dict[str, np.ndarray] = {}
        for side, (grams, rows) in sides.items():
            codes[side], offsets = gather_ragged(grams.codes, grams.offsets, rows)
            arrays[f"{side}_ids"] = (codes[side] % self.buckets).astype(np.int64)
            arrays[f"{side}_pair"] = np.repeat(np.arange(len(rows)), np.diff(offsets))
            arrays[f"{side}_offsets"] = offsets[:-1]
            if self.pair:
                arrays[f"{side}_order"] = gather_ragged(grams.orders, grams.offsets, rows)[0].astype(np.int64)
                arrays[f"{side}_words"] = grams.lengths[rows].astype(np.int64)
        if self.pair:
            arrays |= self._meeting(arrays, codes)
            arrays |= self._query_words(arrays, query)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @staticmethod
    def _meeting(arrays: dict[str, np.ndarray], codes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Codes ascend within a text, so (pair, code) ascends over the batch: one binary search finds all shared ones.
        keys = {side: (arrays[f"{side}_pair"] << 32) | codes[side].astype(np.int64) for side in codes}
        shared_product = np.zeros(len(keys["product"]), dtype=bool)
        if not len(shared_product):
            return {
                "query_shared": np.zeros(len(keys["query"]), dtype=bool),
                "product_shared": shared_product,
            }
        place = np.minimum(np.searchsorted(keys["product"], keys["query"]), len(shared_product) - 1)
        shared_query = keys["product"][place] == keys["query"]
        shared_product[place[shared_query]] = True
        return {"query_shared": shared_query, "product_shared": shared_product}

    def _query_words(self, arrays: dict[str, np.ndarray], query: np.ndarray) -> dict[str, np.ndarray]:
        counts = arrays["query_words"]
        ends = np.cumsum(counts)
        last = np.zeros(int(counts.sum()), dtype=bool)
        last[ends[counts > 0] - 1] = True
        within, _ = gather_ragged(self.queries.words, self.queries.offsets, query)
        return {
            "query_word": (ends - counts)[arrays["query_pair"]] + within,
            "word_pair": np.repeat(np.arange(len(query)), counts),
            "word_last": last,
        }


def _hash(texts: list[str], config: NgramConfig) -> Grams:
    return hash_texts(texts, config.min_n, config.max_n, config.words, config.max_ngrams)


def _tower(width: int) -> nn.Sequential:
    """Return a residual branch that starts as nothing, so that training starts from the weighted sum itself."""
    last = nn.Linear(2 * width, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), last)


def _sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    return values.new_zeros(size).index_add(0, index, values)
