"""`core.overlap`: what can be told from words in common, the line every result is printed beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import OverlapConfig
from prodmatch_core.builtin.softmax_regression import SoftmaxRegression
from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.lexical import FEATURE_NAMES, overlap_features
from prodmatch_core.errors import RunError

CORPUS_DEPENDENT = frozenset({"idf_coverage", "missing_idf"})
"Features that weigh words by the texts at hand; a prediction must not depend on what is scored beside it."
FEATURES = tuple(name for name in FEATURE_NAMES if name not in CORPUS_DEPENDENT)
STATE = "overlap.json"


@attrs.frozen(eq=False)
class OverlapEncoder(SelfFittingEncoder):
    """Multinomial logistic regression on standardised word-overlap features."""

    config: OverlapConfig
    regression: SoftmaxRegression

    @classmethod
    def fit(cls, config: OverlapConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Return the regression fitted on the training pairs under their weights.

        Raises:
            DataError: no training pair has a label and a weight.
        """
        train = data.train
        regression = SoftmaxRegression.fit(
            _features(config, data.corpus, train),
            train.label,
            train.weight,
            len(data.scheme.labels),
            config.l2,
        )
        return cls(config, regression)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64; a class absent from training gets 0."""
        return self.regression.predict(_features(self.config, corpus, examples))

    @classmethod
    def load(cls, config: OverlapConfig, folder: Path) -> Self:
        """Make the regression that `save_assets` wrote.

        Raises:
            RunError: it was fitted to other features than this version computes.
        """
        state = json.loads((folder / STATE).read_text())
        if tuple(state["features"]) != FEATURES:
            raise RunError(
                f"{folder / STATE}: fitted to the features {', '.join(state['features'])}; this version of "
                f"prodmatch-core computes {', '.join(FEATURES)}. Run the pipeline again, or install the "
                "version named in provenance.json."
            )
        return cls(config, SoftmaxRegression.from_state(state["regression"]))

    def save_assets(self, folder: Path) -> None:
        """Write the regression as JSON."""
        state = {"features": list(FEATURES), "regression": self.regression.state()}
        (folder / STATE).write_text(json.dumps(state))


def _features(config: OverlapConfig, corpus: Corpus, examples: Examples) -> np.ndarray:
    features = overlap_features(
        corpus.query_texts(config.fields),
        corpus.product_texts(config.fields),
        examples.query,
        examples.product,
    )
    return features[:, [FEATURE_NAMES.index(name) for name in FEATURES]]
