"""Negative generators at work: on judged pairs, with an encoder that never learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch

from prodmatch_core.components.encoder import Encoding
from prodmatch_core.components.negatives import Mixed, RowGenerator, StateGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.benches.two_sided import WordStates
from prodmatch_core.testing.subject import Bench, Subject
from prodmatch_core.testing.worlds import World, world
from prodmatch_core.training import seeds


@attrs.frozen(eq=False)
class FixedVectors:
    """Unit vectors of queries and products that depend on their row and on the epoch alone."""

    epoch: int = 0
    width: int = 8

    def queries(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, width) float32."""
        return self._vectors(rows, 1)

    def products(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, width) float32."""
        return self._vectors(rows, 2)

    def _vectors(self, rows: np.ndarray, side: int) -> np.ndarray:
        angles = np.outer(np.asarray(rows) + 1, np.arange(1, self.width + 1)) * side + self.epoch
        vectors = np.sin(angles).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def here() -> World:
    """Return the tiny world of judged pairs."""
    return world("match")


def batch(rows: int = 64) -> Examples:
    """Return the first training examples, with weights from 1 to 3."""
    examples = here().fit.train.take(np.arange(rows))  # a copy: parts must not write to the world
    return attrs.evolve(examples, weight=1 + np.arange(len(examples)) % 3)


def refreshed(made: RowGenerator, epoch: int = 0, seed: int = 0) -> RowGenerator:
    """Return the generator after it has heard that an epoch begins, with the encoder as it stands then."""
    made.refresh(epoch, seeds.rng(seed, "kit", "refresh", epoch), FixedVectors(epoch))
    return made


def of_rows(subject: Subject, seed: int = 0) -> RowGenerator:
    """Return a new generator of rows, before its first epoch."""
    with seeds.torch_seed(seed, "kit", "weights"):
        return subject.factory.build(subject.config, here().fit)


def encoded(rows: int = 32) -> tuple[Encoding, torch.Tensor]:
    """Return the token states of some training examples and their labels."""
    examples = here().fit.train.take(np.arange(rows))
    encoder = two_sided()
    with torch.no_grad():
        encoding = encoder.encode(encoder.prepare(here().fit.corpus).batch(examples.query, examples.product))
    return encoding, torch.from_numpy(examples.label)


def two_sided() -> WordStates:
    """Return the encoder whose states are overwritten, always the same."""
    with seeds.torch_seed(0, "kit", "states"):
        return WordStates()


@torch.no_grad()
def judged(encoding: Encoding) -> torch.Tensor:
    """Return what an untrained member says of token states, (n, classes)."""
    pair = two_sided().interact(encoding).pair
    assert pair is not None
    return pair[:, : len(here().fit.scheme.labels)].softmax(dim=1)


def mixed(made: StateGenerator, seed: int = 0) -> Mixed:
    """Return the states of `encoded` after the generator, in training, has overwritten some."""
    encoding, labels = encoded()
    return made.mix(encoding, labels, seeds.rng(seed, "kit", "mix"))


def answer_of(examples: Examples) -> dict[str, np.ndarray]:
    """Return examples as arrays by name."""
    return {field.name: getattr(examples, field.name) for field in attrs.fields(Examples)}


class NegativesBench(Bench):
    """Builds a generator for judged pairs and asks it for negatives."""

    contract = (RowGenerator, StateGenerator)

    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the generator after it has heard that the first epoch begins."""
        if not issubclass(subject.factory, StateGenerator):
            return refreshed(of_rows(subject, seed), seed=seed)
        with seeds.torch_seed(seed, "kit", "weights"):
            rng = seeds.rng(seed, "kit", "negatives")
            made = subject.factory.build(subject.config, here().fit, two_sided(), rng).train()
            made.refresh(0, seeds.rng(seed, "kit", "refresh"), judged)
            return made

    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return the negatives of a batch, or the batch with some states overwritten."""
        if isinstance(made, RowGenerator):
            return answer_of(made.propose(batch(), seeds.rng(seed, "kit", "propose")))
        found: Mixed = mixed(made, seed)
        states = {
            f"{side}_{what}": getattr(getattr(found.encoding, f"{side}_states"), what)
            for side in ("query", "product")
            for what in ("hidden", "mask")
        }
        given: Mapping[str, Any] = {**states, "labels": found.labels, "switched": found.switched}
        return {name: tensor.detach().numpy() for name, tensor in given.items()}

    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask for the negatives of no example."""
        if isinstance(made, RowGenerator):
            assert len(made.propose(Examples.empty(), seeds.rng(0, "kit"))) == 0
        else:
            encoding, labels = encoded(0)
            assert len(made.mix(encoding, labels, seeds.rng(0, "kit")).labels) == 0
