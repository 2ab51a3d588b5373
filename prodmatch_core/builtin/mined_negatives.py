"""`core.mined_negatives`: products that a miner ranks high for a query and that nobody judged for it.

Depth, margins relative to the match and the 95% rule: NV-Retriever, arXiv 2407.15831, section 3. Renewal by the encoder
that is being trained: ANCE, arXiv 2007.00808, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs
import numpy as np
import torch

from prodmatch_core.builtin.mined_config import MinedConfig
from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.components.encoder import Encoder, FitData
from prodmatch_core.components.negatives import Embed, RowGenerator
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.mining.miners import LexicalMiner, VectorMiner
from prodmatch_core.mining.rules import Catalogue, Counts, Mined, Miner, Rules
from prodmatch_core.training.embedding import Embedder

NEVER = -1
"Epoch of candidates that were not mined yet."


@attrs.frozen(eq=False)
class Candidates:
    """Mined products by query: those of query q are entries `offsets[q]:offsets[q + 1]`, best first."""

    product: np.ndarray
    "(total,) int64."
    score: np.ndarray
    "(total,) float32."
    offsets: np.ndarray
    "(queries + 1,) int64."

    @classmethod
    def of(cls, mined: list[Mined], queries: int) -> Candidates:
        """Gather blocks of mined products."""
        query = np.concatenate([np.empty(0, dtype=np.int64), *(block.query for block in mined)])
        product = np.concatenate([np.empty(0, dtype=np.int64), *(block.product for block in mined)])
        score = np.concatenate([np.empty(0, dtype=np.float32), *(block.score for block in mined)])
        order = np.argsort(query, kind="stable")
        return cls(product[order], score[order], np.searchsorted(query[order], np.arange(queries + 1)))


@attrs.define(eq=False)
class MinedNegatives(RowGenerator):
    """Pairs the queries of matching examples with products that were mined for them."""

    config: MinedConfig
    catalogue: Catalogue
    positive: np.ndarray
    worst: int
    matches: np.ndarray
    "(queries,) int64 matching training examples of each query."
    encoder: Encoder | None
    "The miner's own encoder, until it has mined."
    candidates: Candidates
    counts: Counts = attrs.field(factory=Counts)
    "What the last mining did."
    mined_at: int = NEVER
    "Epoch of the last mining."

    @classmethod
    def build(cls, config: MinedConfig, data: FitData) -> Self:
        """Make the generator; it knows the labelled pairs of every split `data` shows, and mines at the first epoch."""
        positive = positive_classes(data.scheme)
        matches = data.train.take(np.isin(data.train.label, positive))
        queries = data.corpus.queries.height
        encoder = None
        if config.encoder is not None:
            # Weights come from torch's generator; what else is drawn follows from the seed the caller gave it.
            rng = np.random.default_rng(torch.initial_seed())
            encoder = config.encoder.spec.load().build(config.encoder.config, data, rng).eval()
        return cls(
            config,
            Catalogue.of(data.corpus, matches, data.train.concat(data.valid)),
            positive,
            len(data.scheme.labels) - 1,
            np.bincount(matches.query, minlength=queries),
            encoder,
            Candidates.of([], queries),
        )

    def refresh(self, epoch: int, rng: np.random.Generator, embed: Embed) -> None:
        """Mine: once, or with the member's own encoder every `refresh_every` epochs."""
        due = self.mined_at == NEVER or (
            self.config.miner == "self" and epoch - self.mined_at >= self.config.refresh_every
        )
        if not due:
            return
        counts = Counts()
        blocks = self.catalogue.mine(
            self._miner(embed),
            rules_of(self.config),
            counts,
            self.config.memory_mb << 20,
            torch.get_num_threads(),
        )
        self.candidates = Candidates.of(list(blocks), len(self.matches))
        self.mined_at = epoch
        self.encoder = None
        wanted = np.ceil(self.matches * self.config.per_positive).astype(np.int64)
        counts.wanted = int(wanted.sum())
        counts.found = int(np.minimum(wanted, np.diff(self.candidates.offsets)).sum())
        self.counts = counts

    @property
    def figures(self) -> Mapping[str, int]:
        """Return the counts of the last mining."""
        return attrs.asdict(self.counts)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what the member's own encoder mined some epochs ago; other miners find the same again."""
        if self.config.miner != "self" or self.mined_at == NEVER:
            return {}
        return {
            **attrs.asdict(self.candidates),
            "mined_at": np.array([self.mined_at]),
            "counts": np.array(attrs.astuple(self.counts)),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back the candidates, and the epoch they were mined at."""
        if state:
            self.candidates = Candidates(state["product"], state["score"], state["offsets"])
            self.mined_at = int(state["mined_at"][0])
            self.counts = Counts(*state["counts"].tolist())

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return negatives for the matching examples of `batch`, each pair once, fewer where fewer were mined."""
        matching = np.flatnonzero(np.isin(batch.label, self.positive))
        whole, part = divmod(self.config.per_positive, 1)
        counts = int(whole) + (rng.random(len(matching)) < part)
        rows = np.repeat(matching, counts)
        rows = rows[np.argsort(batch.query[rows], kind="stable")]
        query, first, wanted = np.unique(batch.query[rows], return_index=True, return_counts=True)

        # Every query takes as many of its candidates as its examples ask for, by the highest keys.
        offsets = self.candidates.offsets
        size = offsets[query + 1] - offsets[query]
        which = np.repeat(np.arange(len(query)), size)
        begin = np.cumsum(size) - size
        entry = np.arange(len(which)) + np.repeat(offsets[query] - begin, size)
        order = np.lexsort((-self._keys(self.candidates.score[entry], rng), which))
        number = np.arange(len(which)) - begin[which]
        taken = number < wanted[which]
        chosen, of = entry[order[taken]], which[taken]
        example = rows[first[of] + number[taken]]
        return Examples(
            query[of],
            self.candidates.product[chosen],
            np.full(len(chosen), self.worst),
            batch.weight[example] * np.float32(self.config.weight),
        )

    def _keys(self, score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.config.sampling == "top":
            return score
        if self.config.sampling == "uniform":
            return rng.random(len(score))
        # The highest sums of logits and Gumbel noise are a draw without replacement (arXiv 1903.06059, section 2).
        return score.astype(np.float64) / self.config.temperature + rng.gumbel(size=len(score))

    def _miner(self, embed: Embed) -> Miner:
        config, corpus = self.config, self.catalogue.corpus
        if config.miner == "lexical":
            return lexical_miner(corpus, config)
        if self.encoder is not None:
            embed = Embedder(self.encoder, self.encoder.prepare(corpus))
        return VectorMiner(embed, config.index)


def lexical_miner(corpus: Corpus, config: MinedConfig) -> LexicalMiner:
    """Return the miner that reads the configured texts."""
    return LexicalMiner(corpus.query_texts(), corpus.product_texts(config.fields))


def rules_of(config: MinedConfig) -> Rules:
    """Return the rules that a configuration sets."""
    return Rules(**{field.name: getattr(config, field.name) for field in attrs.fields(Rules)})
