"""What a negative generator must do.

Two forms. A `RowGenerator` recombines queries and products into further examples before they are encoded
(random, in-batch, mined, generated texts added to the corpus). A `StateGenerator` overwrites one side's token
states between encoding and interaction, and may have weights and a training phase of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import attrs
import numpy as np
from torch import Tensor, nn

from prodmatch_core.components.encoder import Encoding, FitData, TwoSidedEncoder
from prodmatch_core.data.corpus import Examples


class KnownPairs:
    """The labelled pairs of a data set, for look-up: a judged pair is never returned as a negative."""

    def __init__(self, examples: Examples, products: int) -> None:
        """Index `examples`; `products` is the number of products in the corpus."""
        self._products = products
        self._codes = np.unique(examples.query * products + examples.product)

    def __contains__(self, pair: tuple[int, int]) -> bool:
        return bool(self.known(np.array([pair[0]]), np.array([pair[1]]))[0])

    def known(self, query: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Return (n,) bool: whether each pair is labelled."""
        codes = query * self._products + product
        if not len(self._codes):
            return np.zeros(len(codes), dtype=bool)
        position = np.searchsorted(self._codes, codes)
        return self._codes[np.minimum(position, len(self._codes) - 1)] == codes


class Embed(Protocol):
    """An encoder as it stands, as a function from rows of the corpus to vectors; only for encoders with embeddings."""

    def queries(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of queries, (n, width) float32 of length 1."""
        ...

    def products(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of products, (n, width) float32 of length 1."""
        ...


class RowGenerator(ABC):
    """Adds rows to a batch of examples."""

    @classmethod
    @abstractmethod
    def build(cls, config: Any, data: FitData) -> Self:
        """Make the generator for the examples of `data.train`."""

    def refresh(self, epoch: int, rng: np.random.Generator, embed: Embed) -> None:
        """Hear that an epoch begins; miners renew their index here.

        Args:
            epoch: epochs done so far, over all phases.
            rng: the epoch's generator.
            embed: the member's encoder as it stands; calling it draws no random number.
        """

    @property
    def figures(self) -> Mapping[str, int]:
        """Return what the last refresh found, in numbers, for the log."""
        return {}

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what a resumed training cannot make again from seed, epoch and encoder: names and arrays."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` returned."""

    @abstractmethod
    def propose(self, batch: Examples, rng: np.random.Generator) -> Examples:
        """Return further examples for `batch`, labelled with the scheme's worst label, never a known pair."""


@attrs.frozen(eq=False)
class Mixed:
    """A batch after some of its examples were overwritten.

    Attributes:
        encoding: states with overwritten rows; masks are those of the selected sequences.
        labels: (batch,) int64 effective labels.
        switched: (batch,) bool, which rows were overwritten.
        penalty: the generator's own loss (reconstruction, KL), a scalar, or None.
    """

    encoding: Encoding
    labels: Tensor
    switched: Tensor
    penalty: Tensor | None = None


Judge = Callable[[Encoding], Tensor]
"""A member as it stands, as a function from token states of both sides to class probabilities, (batch, classes)
float32; in evaluation mode, without a gradient, and drawing no random number."""


class StateGenerator(nn.Module, ABC):
    """Overwrites the token states of one side of some matching examples and calls them mismatches.

    Its weights are the member's while it trains, and are no part of what is saved to predict with.
    """

    @classmethod
    @abstractmethod
    def build(cls, config: Any, data: FitData, encoder: TwoSidedEncoder, rng: np.random.Generator) -> Self:
        """Make the generator for `encoder`."""

    def refresh(self, epoch: int, rng: np.random.Generator, judge: Judge) -> None:
        """Hear that an epoch begins; a generator that learns something beforehand does so here.

        Args:
            epoch: epochs done so far, over all phases.
            rng: the epoch's generator; batches are drawn from it too, so drawing nothing changes none of them.
            judge: the member as it stands.
        """

    @property
    def figures(self) -> Mapping[str, Any]:
        """Return what the last refresh found, in plain values, for the log."""
        return {}

    def leave(self, folder: Path, judge: Judge) -> None:
        """Write for a reader what the generator came to: JSON or Parquet files in `folder`, which is there.

        Args:
            folder: `negatives/` of the member's folder in the run directory.
            judge: the fitted member.
        """

    @abstractmethod
    def mix(self, encoding: Encoding, labels: Tensor, rng: np.random.Generator) -> Mixed:
        """Return the batch with some matching rows overwritten. Never called outside training."""
