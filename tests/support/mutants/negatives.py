from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor

from mutants.configs import PerPositive, Rate
from mutants.mutant import Mutant, mutant
from prodmatch_core.components.encoder import Encoding, FitData, States, TwoSidedEncoder
from prodmatch_core.components.negatives import Embed, KnownPairs, Mixed, RowGenerator, StateGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.records import NegativeGeneratorSpec


class Healthy(RowGenerator):
    """Products at random that nobody judged for the query, shifted by what the first epoch's encoder says."""

    def __init__(self, config: PerPositive, data: FitData) -> None:
        self.config, self.data = config, data
        self.products = data.corpus.products.height
        self.known = KnownPairs(data.train.concat(data.valid), self.products)
        self.mined = -1

    @classmethod
    def build(cls, config: PerPositive, data: FitData) -> Self:
        return cls(config, data)

    def refresh(self, epoch: int, rng: np.random.Generator, embed: Embed) -> None:
        if self.mined < 0:
            self.mined = int(1e6 * abs(embed.queries(np.array([0]))[0, 0])) % self.products

    def state(self) -> Mapping[str, np.ndarray]:
        return {"mined": np.array([self.mined])}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        if state:
            self.mined = int(state["mined"][0])

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        rows = np.repeat(np.flatnonzero(batch.label == 0), self.times())
        query = self.queries(batch.query[rows])
        product = (rng.integers(self.products, size=len(rows)) + self.mined) % self.products
        for _ in range(100):
            judged = self.judged(query, product)
            product[judged] = rng.integers(self.products, size=int(judged.sum()))
        return Examples(query, product, np.full(len(rows), self.label()), self.weights(batch.weight[rows]))

    def times(self) -> int:
        return int(self.config.per_positive)

    def queries(self, query: np.ndarray) -> np.ndarray:
        return query

    def judged(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        return self.known.known(query, product)

    def label(self) -> int:
        return 1

    def weights(self, weight: np.ndarray) -> np.ndarray:
        return weight


class Careless(Healthy):
    """query 0 and product 4 are labelled and come back as a negative. Look pairs up in KnownPairs of both splits before
    you return them.
    """

    def judged(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        return np.zeros(len(query), dtype=bool)


class Elsewhere(Healthy):
    """a negative is for a query that the batch does not hold. Take the batch's queries."""

    def queries(self, query: np.ndarray) -> np.ndarray:
        return (query + 40) % self.data.corpus.queries.height


class BeyondTheCorpus(Healthy):
    """a negative's product is no row of the corpus, which has 360. Return rows of the corpus."""

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        found = super().propose(batch, rng)
        return attrs.evolve(found, product=found.product + 100_000)


class Mislabelled(Healthy):
    """a negative has the label 0, not the worst one, 1. Label negatives with the last class of the scheme."""

    def label(self) -> int:
        return 0


class Twice(Healthy):
    """per_positive is 1, and there are 2 negatives a match on average, 66 at the most for 33 matches. Draw as many as
    per_positive says.
    """

    def times(self) -> int:
        return 2


class Unweighted(Healthy):
    """the batch's weights times 2 do not make the negatives' weights times 2. Give a negative the weight of its example,
    times a factor.
    """

    def weights(self, weight: np.ndarray) -> np.ndarray:
        return np.ones(len(weight))


class Negative(Healthy):
    """a negative's weight is negative or not finite. Derive it from its example's weight."""

    def weights(self, weight: np.ndarray) -> np.ndarray:
        return -weight


class Writes(Healthy):
    """the generator writes to the batch it is given. Return new arrays."""

    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        found = super().propose(batch, rng)
        batch.product[-1:] = 0
        return found


class Forgets(Healthy):
    """a generator restored from `state` proposes other rows. Put whatever `refresh` cannot find again into `state`."""

    def state(self) -> Mapping[str, np.ndarray]:
        return {}


class Noise(StateGenerator):
    """Healthy: noise in place of the query of some matches."""

    def __init__(self, config: Rate) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def build(cls, config: Rate, data: FitData, encoder: TwoSidedEncoder, rng: np.random.Generator) -> Self:
        return cls(config)

    def mix(self, encoding: Encoding, labels: Tensor, rng: np.random.Generator) -> Mixed:
        states = encoding.query_states
        assert states is not None
        drawn = torch.from_numpy(rng.random(len(labels)) < self.rate())
        switched = drawn & self.eligible(labels)
        noise = torch.from_numpy(rng.normal(size=states.hidden.shape)).float()
        hidden = torch.where(self.overwritten(switched)[:, None, None], noise, states.hidden)
        return Mixed(
            attrs.evolve(encoding, query_states=States(hidden, states.mask)),
            self.relabelled(labels, switched),
            switched,
        )

    def rate(self) -> float:
        return self.config.rate

    def eligible(self, labels: Tensor) -> Tensor:
        return labels == 0

    def overwritten(self, switched: Tensor) -> Tensor:
        return switched

    def relabelled(self, labels: Tensor, switched: Tensor) -> Tensor:
        return torch.where(switched, 1, labels)


class NoiseStillMatches(Noise):
    """an overwritten row still has a matching label, or a row that was left alone has another than before. Change the
    labels of the overwritten rows, and of no other.
    """

    def relabelled(self, labels: Tensor, switched: Tensor) -> Tensor:
        return labels


class NoiseForAll(Noise):
    """a row that does not match was overwritten. Overwrite matching rows only."""

    def rate(self) -> float:
        return self.config.rate

    def eligible(self, labels: Tensor) -> Tensor:
        eligible = labels == 0
        eligible[(labels != 0).nonzero()[:1]] = True
        return eligible


class NoiseBeside(Noise):
    """the query states of a row that is not switched have changed. Copy them, and their mask, as they are."""

    def overwritten(self, switched: Tensor) -> Tensor:
        return torch.ones_like(switched)


class NoiseTooOften(Noise):
    """rate is #, and there are # negatives a match on average, 17 at the most for 17 matches. Draw as many as rate
    says.
    """

    def rate(self) -> float:
        return 0.9


class NoiseInPlace(Noise):
    """the generator writes to the batch it is given. Return new arrays."""

    def mix(self, encoding: Encoding, labels: Tensor, rng: np.random.Generator) -> Mixed:
        mixed = super().mix(encoding, labels, rng)
        labels[:] = mixed.labels
        return mixed


def rows(check: str, factory: Any) -> Mutant:
    return mutant(
        check, NegativeGeneratorSpec, factory, config=PerPositive, needs={"pair_texts", "class_labels"}
    )


def states(check: str, factory: Any) -> Mutant:
    return mutant(check, NegativeGeneratorSpec, factory, config=Rate, needs={"tokens", "class_labels"})


HEALTHY = [rows("rows", Healthy), states("states", Noise)]
MUTANTS = [
    rows("never_a_known_pair", Careless),
    rows("rows_are_of_the_batch_and_corpus", Elsewhere),
    rows("rows_are_of_the_batch_and_corpus", BeyondTheCorpus),
    rows("labels_are_the_worst", Mislabelled),
    rows("rate_is_respected", Twice),
    rows("weights_follow_the_batch", Unweighted),
    rows("weights_follow_the_batch", Negative),
    rows("batch_is_not_written_to", Writes),
    rows("resumes_from_its_state", Forgets),
    states("labels_are_the_worst", NoiseStillMatches),
    states("only_matches_are_overwritten", NoiseForAll),
    states("only_matches_are_overwritten", NoiseBeside),
    states("rate_is_respected", NoiseTooOften),
    states("batch_is_not_written_to", NoiseInPlace),
]
