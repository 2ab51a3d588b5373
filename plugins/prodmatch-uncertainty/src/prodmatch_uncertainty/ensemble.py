"""`uncertainty.ensemble`: one encoder, fitted several times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np

from prodmatch_core.components.encoder import FitData, SelfFittingEncoder
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.registry import default_registry
from prodmatch_core.sections import Member
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.member import fit_member
from prodmatch_uncertainty.configs import EnsembleConfig
from prodmatch_uncertainty.spreads import spread


class EnsembleEncoder(SelfFittingEncoder):
    """The fitted copies: their mean is the prediction, their spread the uncertainty."""

    def __init__(self, config: EnsembleConfig, scheme: LabelScheme, members: Sequence[FittedMember]) -> None:
        """Hold fitted members."""
        self.config = config
        self.scheme = scheme
        self.members = members

    @classmethod
    def fit(cls, config: EnsembleConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Fit every copy on all training rows, each with a seed of its own."""
        task, registry = load_task("match"), default_registry()
        members = [
            fit_member(member, data, task, registry, int(rng.integers(2**31))) for member in _sections(config)
        ]
        return cls(config, data.scheme, members)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return the mean of the copies' class probabilities, (n, classes) float64."""
        return self.predict_with_uncertainty(corpus, examples)[0]

    def predict_with_uncertainty(self, corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of the copies' class probabilities, and how they spread, (n,) float64."""
        if not len(examples):
            return np.empty((0, len(self.scheme.labels))), np.empty(0)
        found = np.stack([member.predict(corpus, examples) for member in self.members], axis=1)
        return found.mean(axis=1), spread(found, self.config.measure, self.scheme)

    def save_assets(self, folder: Path) -> None:
        """Write each copy into a folder of its own, and the label scheme."""
        (folder / "ensemble.json").write_text(json.dumps({"scheme": attrs.asdict(self.scheme)}))
        for member in self.members:
            member.save(folder / member.name)

    @classmethod
    def load(cls, config: EnsembleConfig, folder: Path) -> Self:
        """Read the copies."""
        scheme = LabelScheme(**json.loads((folder / "ensemble.json").read_text())["scheme"])
        task = load_task("match")
        members = [
            FittedMember.load(member, task, scheme, folder / member.name) for member in _sections(config)
        ]
        return cls(config, scheme, members)


def _sections(config: EnsembleConfig) -> list[Member]:
    return [
        Member(encoder=config.encoder, name=str(number), loss=config.loss, training=config.training)
        for number in range(config.members)
    ]
