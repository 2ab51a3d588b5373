"""A pipeline whose every number can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
import pytest

from prodmatch_core.builtin.mean import MeanAggregator
from prodmatch_core.components.calibrator import Calibrator, Decisions
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.explaining.trace import Step, Traced
from prodmatch_core.pipeline import Pipeline

BINARY = LabelScheme("binary", ("match", "mismatch"), (1, 0), ("match",))


@attrs.frozen
class WordMember:
    """P(match) is a base and what each word of query, title and description is worth, each word once a text."""

    name: str
    base: float
    worth: Mapping[str, float]

    def predict_with_uncertainty(self, corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        return self.predict(corpus, examples), np.full(len(examples), np.nan)

    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        queries = corpus.query_texts()
        products = zip(corpus.product_texts(("title",)), corpus.product_texts(("description",)), strict=True)
        asked = np.array([self._sum(f"query:{word}" for word in set(text.split())) for text in queries])
        offered = np.array(
            [
                self._sum(f"title:{w}" for w in set(title.split()))
                + self._sum(f"description:{w}" for w in set(text.split()))
                for title, text in products
            ]
        )
        match = self.base + asked[examples.query] + offered[examples.product]
        return np.stack([match, 1 - match], axis=1)

    def _sum(self, words) -> float:
        return sum(self.worth.get(word, 0.0) for word in words)


class Halfway(Calibrator):
    """Moves every probability halfway to one half; accepts from 0.6."""

    @classmethod
    def build(cls, config, scheme):
        return cls()

    def fit(self, decisions, labels, weights) -> None:
        """Learn nothing."""

    def apply(self, decisions: Decisions) -> Decisions:
        probabilities = 0.5 * decisions.probabilities + 0.25
        return attrs.evolve(decisions, probabilities=probabilities, accepted=probabilities[:, 0] >= 0.6)

    def state(self):
        return {}

    def restore(self, state) -> None:
        """Restore nothing."""


@pytest.fixture
def one_member() -> Traced:
    """Return a pipeline of one member for whom a case is worth 0.3 on either side and red -0.1."""
    member = WordMember("alone", 0.2, {"query:case": 0.3, "title:case": 0.3, "title:red": -0.1})
    return Traced(Pipeline(BINARY, [member], None, []), [s := Step("member", "fake.words", "alone")], [s])


@pytest.fixture
def two_members() -> Traced:
    """Return two members that read different words, their mean, and a calibrator."""
    first = WordMember("first", 0.5, {"query:case": 0.4})
    second = WordMember("second", 0.5, {"title:case": 0.2, "description:steel": -0.1})
    pipeline = Pipeline(BINARY, [first, second], MeanAggregator(()), [Halfway()])
    members = [Step("member", "fake.words", "first"), Step("member", "fake.words", "second")]
    return Traced(pipeline, members, [Step("aggregator", "core.mean"), Step("calibrator", "fake.halfway")])


@pytest.fixture
def match_score() -> Callable[[np.ndarray], np.ndarray]:
    return lambda probabilities: probabilities[:, 0]
