"""`core.overlap`: how far shared words go. The baseline printed beside every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from prodmatch_core.builtin.configs import OverlapConfig
from prodmatch_core.builtin.linear import Linear, fit_linear
from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.lexical import overlap_features
from prodmatch_core.rundir import write_json


class Overlap(SelfFittingEncoder):
    """A multinomial logistic regression on the overlap of the query with the product's texts."""

    def __init__(self, config: OverlapConfig, model: Linear) -> None:
        """Hold a fitted regression."""
        self.config = config
        self.model = model

    @classmethod
    def fit(cls, config: OverlapConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Fit on the training split."""
        train = data.train
        features = _features(config, data.corpus, train)
        classes = len(data.scheme.labels)
        return cls(config, fit_linear(features, train.label, train.weight, classes, config.strength))

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        return self.model.probabilities(_features(self.config, corpus, examples))

    def save_assets(self, folder: Path) -> None:
        """Write the coefficients as JSON."""
        write_json(folder / "overlap.json", self.model.state())

    @classmethod
    def load(cls, config: OverlapConfig, folder: Path) -> Self:
        """Read the coefficients."""
        return cls(config, Linear.restored(json.loads((folder / "overlap.json").read_text(encoding="utf-8"))))


def _features(config: OverlapConfig, corpus: Corpus, examples: Examples) -> np.ndarray:
    texts = corpus.product_texts(config.fields)
    return overlap_features(corpus.query_texts(), texts, examples.query, examples.product)
