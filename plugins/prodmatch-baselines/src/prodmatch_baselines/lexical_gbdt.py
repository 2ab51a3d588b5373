"""Boosted trees over lexical features: the baseline that commercial product search has long run on."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import lightgbm
import numpy as np

from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.lexical import FEATURE_NAMES, overlap_features


class LexicalGBDT(SelfFittingEncoder):
    """LightGBM, multiclass, over the overlap of the query with the title and with all texts together."""

    def __init__(self, config: LexicalGBDTConfig, booster: lightgbm.Booster) -> None:
        """Hold a fitted booster."""
        self.config = config
        self.booster = booster

    @classmethod
    def fit(cls, config: LexicalGBDTConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Boost on the training split until the validation loss stops falling."""
        classes = len(data.scheme.labels)
        names = [f"{where}_{name}" for where in ("title", "all") for name in FEATURE_NAMES]
        train, valid = (
            lightgbm.Dataset(
                features(config, data.corpus, examples),
                examples.label,
                weight=examples.weight,
                feature_name=names,
                free_raw_data=False,
            )
            for examples in (data.train, data.valid)
        )
        booster = lightgbm.train(
            {
                "objective": "multiclass",
                "num_class": classes,
                "learning_rate": config.learning_rate,
                "num_leaves": config.leaves,
                "min_data_in_leaf": config.leaf_rows,
                "feature_fraction": config.feature_fraction,
                "bagging_fraction": config.row_fraction,
                "bagging_freq": 1,
                "seed": int(rng.integers(2**31)),
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
            },
            train,
            num_boost_round=config.rounds,
            valid_sets=[valid],
            callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
        )
        return cls(config, booster)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        return np.asarray(self.booster.predict(features(self.config, corpus, examples)), dtype=np.float64)

    def save_assets(self, folder: Path) -> None:
        """Write the trees as LightGBM text."""
        self.booster.save_model(folder / "trees.txt", num_iteration=self.booster.best_iteration)

    @classmethod
    def load(cls, config: LexicalGBDTConfig, folder: Path) -> Self:
        """Read the trees."""
        return cls(config, lightgbm.Booster(model_file=folder / "trees.txt"))


def features(config: LexicalGBDTConfig, corpus: Corpus, examples: Examples) -> np.ndarray:
    """Return the overlap of each query with its product's title and with all its texts, (n, 2 x features) float32."""
    queries = corpus.query_texts()
    return np.hstack(
        [
            overlap_features(queries, corpus.product_texts(fields), examples.query, examples.product)
            for fields in (("title",), config.fields)
        ]
    )
