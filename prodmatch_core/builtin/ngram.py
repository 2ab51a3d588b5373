"""`core.ngram`: a fast encoder of hashed character n-grams.

Each n-gram has a vector and an importance, both learnt; importances begin as inverse document frequencies. A
text is the weighted sum of its n-grams' vectors. In `pair` mode the n-grams of the two sides are compared
first: what both have, what the query asks for in vain and what only the product has become three bags, beside
figures of how much of each side the other covers, per order of n-gram and per word of the query.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prodmatch_core.builtin.configs import NgramConfig
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared, Rows, gather_ragged
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.hashing import SHORTEST, Grams, hash_texts

WORD_FIGURES = 8
"Figures of a pair about the query's words and both sides' lengths; see `NgramEncoder._figures`."
EPSILON = 1e-6


@attrs.frozen(eq=False)
class NgramTexts:
    """The n-grams of a corpus. Batches are flat: values of all pairs one after the other, with offsets."""

    queries: Grams
    products: Grams
    buckets: int
    compare: bool
    "Whether batches say which n-grams a pair has in common."

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the number of n-grams of each example, (n,) int64."""
        sides = ((self.queries, query), (self.products, product))
        return np.sum([np.diff(grams.offsets)[rows] for grams, rows in sides if rows is not None], axis=0)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return the n-grams of the pairs, or of one side.

        Returns:
            For each side `*_ids` (total,) int64 bucket and `*_offsets` (n,) int64 first n-gram of each pair.
            Where sides are compared, also `*_pair` (total,) int64 number of the pair, `*_orders` (total,)
            int64, `*_shared` (total,) float32, 1 where the other side has the n-gram, `*_lengths` (n,) int64
            words; `query_words` (total,) int64 number of the query's word within the batch, and `word_pair`
            (words,) int64 pair of each.
        """
        sides = {"query": (self.queries, query), "product": (self.products, product)}
        batch: dict[str, np.ndarray] = {}
        keys = {}
        for name, (grams, rows) in sides.items():
            if rows is None:
                continue
            codes, offsets = gather_ragged(grams.codes, grams.offsets, rows)
            batch[f"{name}_ids"] = (codes % np.uint32(self.buckets)).astype(np.int64)
            batch[f"{name}_offsets"] = offsets[:-1]
            if self.compare:
                pair = np.repeat(np.arange(len(rows)), np.diff(offsets))
                keys[name] = (pair << 32) | codes.astype(np.int64)
                batch[f"{name}_pair"] = pair
                batch[f"{name}_orders"] = _take(grams.orders, grams.offsets, rows)
                batch[f"{name}_lengths"] = grams.lengths[rows].astype(np.int64)
        if self.compare:
            assert query is not None
            batch["query_shared"], batch["product_shared"] = _shared(keys["query"], keys["product"])
            lengths = batch["query_lengths"]
            begin = np.cumsum(lengths) - lengths
            words = _take(self.queries.words, self.queries.offsets, query)
            batch["query_words"] = begin[batch["query_pair"]] + words
            batch["word_pair"] = np.repeat(np.arange(len(query)), lengths)
        return {name: torch.from_numpy(values) for name, values in batch.items()}


def _take(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return gather_ragged(values, offsets, rows)[0].astype(np.int64)


def _shared(query: np.ndarray, product: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for two ascending lists of different keys which of each occur in the other, float32."""
    in_query, in_product = np.zeros(len(query), dtype=np.float32), np.zeros(len(product), dtype=np.float32)
    if len(query) and len(product):
        place = np.minimum(np.searchsorted(product, query), len(product) - 1)
        found = product[place] == query
        in_query[found], in_product[place[found]] = 1, 1
    return in_query, in_product


class NgramEncoder(Encoder):
    """Encodes pairs, or queries and products apart, by their hashed n-grams."""

    def __init__(self, config: NgramConfig) -> None:
        """Make an encoder with random vectors in which every n-gram is as important as any other."""
        super().__init__()
        self.config = config
        self.orders = SHORTEST + config.max_n - config.min_n + 1
        width = config.size
        # EmbeddingBag's fused weighted sum never materialises one vector per n-gram of the batch.
        self.vectors = nn.EmbeddingBag(config.buckets, width, mode="sum")
        self.importance = nn.Embedding(config.buckets, 1)
        "Logarithm of an n-gram's weight."
        nn.init.zeros_(self.importance.weight)
        if config.mode == "pair":
            nn.init.normal_(self.vectors.weight, std=0.3)
            self.figures = 2 * self.orders + WORD_FIGURES
            size = 3 * width + self.figures
            self.mix = nn.Sequential(
                nn.LayerNorm(size),
                nn.Linear(size, width),
                nn.GELU(),
                nn.Dropout(0.1),
                nn.Linear(width, width),
                nn.GELU(),
            )
            self.width = width + self.figures
        else:
            self.query_tower, self.product_tower = _tower(width), _tower(width)
            self.width = width

    @classmethod
    def build(cls, config: NgramConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder whose importances are inverse document frequencies in the catalogue."""
        encoder = cls(config)
        grams = encoder._hash(data.corpus.product_texts(config.fields))
        documents = len(grams.offsets) - 1
        frequency = np.bincount(grams.codes % np.uint32(config.buckets), minlength=config.buckets)
        # Two n-grams of one text may share a bucket, which then counts it twice.
        idf = np.log((1 + documents) / (1 + np.minimum(frequency, documents))) + 1
        with torch.no_grad():
            encoder.importance.weight[:, 0] = torch.from_numpy(np.log(idf))
        return encoder

    @classmethod
    def load(cls, config: NgramConfig, folder: Path) -> Self:
        """Make an encoder of the configured sizes; all it learnt is in its weights."""
        return cls(config)

    def save_assets(self, folder: Path) -> None:
        """Write nothing: all that was learnt is in the weights."""

    def prepare(self, corpus: Corpus) -> Prepared:
        """Hash every query and product once."""
        queries = self._hash(corpus.query_texts(self.config.fields))
        products = self._hash(corpus.product_texts(self.config.fields))
        return NgramTexts(queries, products, self.config.buckets, self.config.mode == "pair")

    def forward(self, batch: Batch) -> Encoding:
        """Encode a batch as `NgramTexts.batch` lays it out."""
        if self.config.mode == "pair":
            return Encoding(pair=self._pair(batch))
        return Encoding(
            query=self._side(batch, "query", self.query_tower),
            product=self._side(batch, "product", self.product_tower),
        )

    def _hash(self, texts: list[str]) -> Grams:
        config = self.config
        return hash_texts(texts, config.min_n, config.max_n, config.words, config.max_ngrams)

    def _side(self, batch: Batch, side: str, tower: nn.Module) -> Tensor | None:
        if f"{side}_ids" not in batch:
            return None
        ids, offsets = batch[f"{side}_ids"], batch[f"{side}_offsets"]
        weights = self.importance(ids)[:, 0].exp()
        counts = torch.diff(offsets, append=offsets.new_tensor([len(ids)]))
        text = torch.repeat_interleave(torch.arange(len(offsets), device=ids.device), counts)
        # Divided by their weights' norm, bags of unrelated vectors have one length, however long the text.
        norm = (_sum(weights.square(), text, len(offsets)) + EPSILON).sqrt()
        bag = self.vectors(ids, offsets, per_sample_weights=weights / norm[text])
        return bag + tower(bag)

    def _pair(self, batch: Batch) -> Tensor:
        pairs = len(batch["query_offsets"])
        weights, shares = {}, {}
        for side in ("query", "product"):
            weights[side] = self.importance(batch[f"{side}_ids"])[:, 0].exp()
            total = _sum(weights[side], batch[f"{side}_pair"], pairs)
            shares[side] = weights[side] / (total + EPSILON)[batch[f"{side}_pair"]]
        figures = torch.cat(
            [self._coverage(batch, side, weights[side], pairs) for side in ("query", "product")]
            + [self._figures(batch, weights["query"], pairs)],
            dim=1,
        )
        bags = [
            self.vectors(
                batch[f"{side}_ids"], batch[f"{side}_offsets"], per_sample_weights=shares[side] * chosen
            )
            for side, chosen in (
                ("query", batch["query_shared"]),
                ("query", 1 - batch["query_shared"]),
                ("product", 1 - batch["product_shared"]),
            )
        ]
        # The bags can learn a training query by heart; the figures cannot, so only the bags are dropped.
        dropped = functional.dropout(torch.cat(bags, dim=1), self.config.dropout, self.training)
        learnt = self.mix(torch.cat([dropped, figures], dim=1))
        return torch.cat([learnt.float(), figures], dim=1)

    def _coverage(self, batch: Batch, side: str, weights: Tensor, pairs: int) -> Tensor:
        """Return the weighted share of a side's n-grams that the other side has, (pairs, orders)."""
        group = batch[f"{side}_pair"] * self.orders + batch[f"{side}_orders"]
        shared = _sum(weights * batch[f"{side}_shared"], group, pairs * self.orders)
        total = _sum(weights, group, pairs * self.orders)
        return (shared / (total + EPSILON)).view(pairs, self.orders)

    def _figures(self, batch: Batch, weights: Tensor, pairs: int) -> Tensor:
        """Return how well the product covers each word of the query, summed up, (pairs, WORD_FIGURES)."""
        word_pair, lengths = batch["word_pair"], batch["query_lengths"]
        words, count = len(word_pair), lengths.clamp_min(1).float()
        shared = _sum(weights * batch["query_shared"], batch["query_words"], words)
        covered = shared / (_sum(weights, batch["query_words"], words) + EPSILON)
        ends = lengths.cumsum(0) - 1
        # In English the last word is mostly the thing itself: "stand" in "tv stand".
        last = torch.where(lengths > 0, torch.cat([covered, covered.new_zeros(1)])[ends.clamp_min(0)], 0.0)
        return torch.stack(
            [
                covered.new_ones(pairs).scatter_reduce(0, word_pair, covered, "amin"),
                covered.new_zeros(pairs).scatter_reduce(0, word_pair, covered, "amax"),
                last,
                _sum(covered, word_pair, pairs) / count,
                _sum((covered > 0.99).float(), word_pair, pairs) / count,
                _sum((covered < 0.3).float(), word_pair, pairs) / count,
                torch.log1p(lengths.float()),
                torch.log1p(batch["product_lengths"].float()),
            ],
            dim=1,
        )


def _sum(values: Tensor, group: Tensor, groups: int) -> Tensor:
    return values.new_zeros(groups).index_add(0, group, values)


def _tower(width: int) -> nn.Sequential:
    """Return a correction that begins at 0, so that training starts from the cosine of weighted bags."""
    tower = nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
    )
    for parameter in tower[-1].parameters():
        nn.init.zeros_(parameter)
    return tower
