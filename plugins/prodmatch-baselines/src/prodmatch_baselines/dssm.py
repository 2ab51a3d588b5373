"""`baselines.dssm`: deep structured semantic models (Huang et al., CIKM 2013).

Each side is a bag of its letter trigrams, which two or three tanh layers turn into a vector. The paper ranks by cosine
and softmax; here the task's head or any loss of similarities reads the vectors.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Self

import numpy as np
from torch import Tensor, nn

from prodmatch_baselines.plugin import DSSMConfig
from prodmatch_core.builtin.ngram import NgramTexts
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.tokens.hashing import Grams, hash_texts

LETTERS = 3
"Letters of an n-gram, word boundaries included (the paper's word hashing, section 3.2)."


class DSSM(Encoder):
    """Two towers over letter trigrams: a batch is laid out as `NgramTexts.batch` says."""

    def __init__(self, config: DSSMConfig) -> None:
        """Make both towers with random weights."""
        super().__init__()
        self.config, self.width = config, config.width
        self.query_grams, self.product_grams = _bag(config), _bag(config)
        self.query_tower, self.product_tower = _tower(config), _tower(config)

    @classmethod
    def build(cls, config: DSSMConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make the towers; trigrams are hashed, so there is nothing to learn beforehand."""
        return cls(config)

    @classmethod
    def load(cls, config: DSSMConfig, folder: Path) -> Self:
        """Make towers of the configured sizes; all they learnt is in their weights."""
        return cls(config)

    def save_assets(self, folder: Path) -> None:
        """Write nothing: all that was learnt is in the weights."""

    def prepare(self, corpus: Corpus) -> Prepared:
        """Hash every query and product once."""
        fields = self.config.fields
        sides = (_hash(corpus.query_texts(fields)), _hash(corpus.product_texts(fields)))
        return NgramTexts(*sides, self.config.buckets, compare=False)

    def forward(self, batch: Batch) -> Encoding:
        """Return `query` and `product`, (batch, width) float32, None for a side that is not there."""
        return Encoding(
            query=self._side(batch, "query", self.query_grams, self.query_tower),
            product=self._side(batch, "product", self.product_grams, self.product_tower),
        )

    def _side(self, batch: Batch, side: str, grams: nn.Module, tower: nn.Module) -> Tensor | None:
        if f"{side}_ids" not in batch:
            return None
        return tower(grams(batch[f"{side}_ids"], batch[f"{side}_offsets"]))


def _hash(texts: list[str]) -> Grams:
    return hash_texts(texts, LETTERS, LETTERS, whole_words=False)


def _bag(config: DSSMConfig) -> nn.EmbeddingBag:
    bag = nn.EmbeddingBag(config.buckets, config.hidden, mode="sum")
    nn.init.normal_(bag.weight, std=0.1)
    return bag


def _tower(config: DSSMConfig) -> nn.Sequential:
    sizes = [config.hidden] * config.layers + [config.width]
    layers: list[nn.Module] = [nn.Tanh()]  # the bag is the first layer's sum
    for inside, outside in itertools.pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.Tanh()]
    return nn.Sequential(*layers)
