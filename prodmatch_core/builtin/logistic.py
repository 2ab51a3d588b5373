"""`core.logistic`: stacking, a logistic regression that learns whom to believe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import attrs
import numpy as np

from prodmatch_core.builtin.configs import LogisticConfig
from prodmatch_core.builtin.mean import disagreement
from prodmatch_core.builtin.softmax_regression import SoftmaxRegression
from prodmatch_core.components.aggregator import Aggregator, Combined, MemberPredictions
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import RunError

STATE = "logistic.json"
SMALLEST = 1e-6
"Probabilities below this count as this, so that no single member outvotes all others without limit."


@attrs.define(eq=False)
class LogisticAggregator(Aggregator):
    """Multinomial logistic regression on members' log-probabilities (Wolpert, Neural Networks 5(2), 1992)."""

    config: LogisticConfig
    classes: int
    names: tuple[str, ...] = ()
    regression: SoftmaxRegression | None = None

    @classmethod
    def build(cls, config: LogisticConfig, scheme: LabelScheme) -> Self:
        """Make an aggregator that has learnt nothing yet."""
        return cls(config, len(scheme.labels))

    def fit(self, members: MemberPredictions, rng: np.random.Generator) -> None:
        """Learn from out-of-fold predictions under the rows' weights.

        Raises:
            DataError: no row has a label and a weight.
        """
        self.names = tuple(members.names)
        self.regression = SoftmaxRegression.fit(
            _features(members), members.labels, members.weights, self.classes, self.config.l2
        )

    def combine(self, members: MemberPredictions) -> Combined:
        """Return the regression's probabilities, and the members' disagreement as uncertainty.

        Raises:
            RunError: the members are not the ones that were learnt from, or nothing was learnt.
        """
        if self.regression is None or self.names != tuple(members.names):
            raise RunError(
                f"core.logistic has learnt from {', '.join(self.names) or 'no members'} and is asked to "
                f"combine {', '.join(members.names)}. Run the pipeline again."
            )
        count = len(members.names)
        return Combined(
            self.regression.predict(_features(members)),
            disagreement(members.probabilities, np.full(count, 1 / count)),
        )

    def save(self, folder: Path) -> None:
        """Write the members' names and the regression as JSON."""
        learnt = self.regression.state() if self.regression is not None else None
        (folder / STATE).write_text(json.dumps({"members": list(self.names), "regression": learnt}))

    @classmethod
    def load(cls, config: LogisticConfig, scheme: LabelScheme, folder: Path) -> Self:
        """Make the aggregator that `save` wrote."""
        state = json.loads((folder / STATE).read_text())
        learnt = state["regression"]
        regression = SoftmaxRegression.from_state(learnt) if learnt is not None else None
        return cls(config, len(scheme.labels), tuple(state["members"]), regression)


def _features(members: MemberPredictions) -> np.ndarray:
    return np.log(np.maximum(members.probabilities, SMALLEST)).reshape(len(members.probabilities), -1)
