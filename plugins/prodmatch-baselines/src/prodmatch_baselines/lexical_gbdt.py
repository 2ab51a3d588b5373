"""Boosted trees over lexical features: the baseline that commercial product search has long run on."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import lightgbm
import numpy as np

from prodmatch_baselines.features import LexicalFeatures
from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples


class LexicalGBDT(SelfFittingEncoder):
    """LightGBM, multiclass, over what the query shares with the title and with all texts together."""

    def __init__(
        self, config: LexicalGBDTConfig, booster: lightgbm.Booster, features: LexicalFeatures
    ) -> None:
        """Hold a fitted booster, and what makes the columns it was fitted on."""
        self.config = config
        self.booster = booster
        self.features = features

    @classmethod
    def fit(cls, config: LexicalGBDTConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Boost on the training split until the validation loss stops falling."""
        classes = len(data.scheme.labels)
        features = LexicalFeatures.of(config, data.corpus)
        train, valid = (
            lightgbm.Dataset(
                features.columns(data.corpus, examples),
                examples.label,
                weight=examples.weight,
                feature_name=features.names,
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
        return cls(config, booster, features)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        if not len(examples):  # LightGBM refuses an empty table
            return np.empty((0, self.booster.num_model_per_iteration()))
        columns = self.features.columns(corpus, examples)
        return np.asarray(self.booster.predict(columns), dtype=np.float64)

    def save_assets(self, folder: Path) -> None:
        """Write the trees as LightGBM text, and word weights and brands beside them."""
        self.booster.save_model(folder / "trees.txt", num_iteration=self.booster.best_iteration)
        self.features.save(folder)

    @classmethod
    def load(cls, config: LexicalGBDTConfig, folder: Path) -> Self:
        """Read the trees, word weights and brands."""
        features = LexicalFeatures.load(config, folder)
        return cls(config, lightgbm.Booster(model_file=folder / "trees.txt"), features)
