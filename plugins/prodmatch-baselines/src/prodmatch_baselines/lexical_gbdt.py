"""Boosted trees over lexical features: the baseline that commercial product search has long run on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import lightgbm
import numpy as np
from safetensors.numpy import load_file

from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.lexical import FEATURE_NAMES, WordFrequencies, overlap_features
from prodmatch_core.writing import write_arrays

WORDS = "words.safetensors"


class LexicalGBDT(SelfFittingEncoder):
    """LightGBM, multiclass, over the overlap of the query with the title and with all texts together."""

    def __init__(
        self,
        config: LexicalGBDTConfig,
        booster: lightgbm.Booster,
        frequencies: Mapping[str, WordFrequencies],
    ) -> None:
        """Hold a fitted booster, and by which word frequencies of `title` and of `all` texts it was fitted."""
        self.config = config
        self.booster = booster
        self.frequencies = frequencies

    @classmethod
    def fit(cls, config: LexicalGBDTConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Boost on the training split until the validation loss stops falling."""
        classes = len(data.scheme.labels)
        frequencies = {
            where: WordFrequencies.of(data.corpus.product_texts(fields))
            for where, fields in places(config).items()
        }
        names = [f"{where}_{name}" for where in frequencies for name in FEATURE_NAMES]
        train, valid = (
            lightgbm.Dataset(
                features(config, data.corpus, examples, frequencies),
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
        return cls(config, booster, frequencies)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64."""
        if not len(examples):  # LightGBM refuses an empty table
            return np.empty((0, self.booster.num_model_per_iteration()))
        columns = features(self.config, corpus, examples, self.frequencies)
        return np.asarray(self.booster.predict(columns), dtype=np.float64)

    def save_assets(self, folder: Path) -> None:
        """Write the trees as LightGBM text and the word frequencies as safetensors."""
        self.booster.save_model(folder / "trees.txt", num_iteration=self.booster.best_iteration)
        arrays: dict[str, np.ndarray] = {}
        for where, counted in self.frequencies.items():
            arrays[f"{where}.word"], arrays[f"{where}.count"] = counted.word, counted.count
            arrays[f"{where}.texts"] = np.array([counted.texts])
        write_arrays(folder / WORDS, arrays)

    @classmethod
    def load(cls, config: LexicalGBDTConfig, folder: Path) -> Self:
        """Read the trees and the word frequencies."""
        saved = load_file(folder / WORDS)
        frequencies = {
            where: WordFrequencies(
                saved[f"{where}.word"], saved[f"{where}.count"], int(saved[f"{where}.texts"][0])
            )
            for where in places(config)
        }
        return cls(config, lightgbm.Booster(model_file=folder / "trees.txt"), frequencies)


def places(config: LexicalGBDTConfig) -> dict[str, tuple[str, ...]]:
    """Return where the query's words are looked for: name -> product texts."""
    return {"title": ("title",), "all": config.fields}


def features(
    config: LexicalGBDTConfig,
    corpus: Corpus,
    examples: Examples,
    frequencies: Mapping[str, WordFrequencies],
) -> np.ndarray:
    """Return the overlap of each query with its product's title and with all its texts, (n, 2 x features) float32."""
    queries = corpus.query_texts()
    return np.hstack(
        [
            overlap_features(
                queries, corpus.product_texts(fields), examples.query, examples.product, frequencies[where]
            )
            for where, fields in places(config).items()
        ]
    )
