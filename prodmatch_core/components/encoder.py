"""What an encoder must do.

An encoder lives in three steps. `build` learns what must exist before the first gradient step (vocabulary,
tokenizer, term statistics). `prepare` turns the texts of a corpus into arrays once, so that a batch is a gather.
`forward` turns a batch into an `Encoding`. Weights are saved by the runner; `save_assets` and `load` keep the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.data.streams import EventLog
from prodmatch_core.records import Part

if TYPE_CHECKING:
    from prodmatch_core.graph.nodes import Nodes

Batch = Mapping[str, Tensor]
"Named tensors whose first dimension is the batch, unless the encoder documents otherwise."


@attrs.frozen(eq=False)
class FitData:
    """What a part may look at while a member is fitted: everything but the test split's labels."""

    corpus: Corpus
    train: Examples
    valid: Examples
    scheme: LabelScheme
    dataset: Dataset
    "Tables beyond the pairs: engagements, events, groups."
    relation: str = ""
    "In the task relate: the relation whose edges the examples are."
    sampler: Part | None = None
    "The member's graph sampler, for the part that owns the graph to build."
    log: EventLog | None = None
    "All that happened, for losses that say when it was known; taken away before any part is built."
    nodes: Nodes | None = None
    "A numbering of nodes that a graph made of this keeps, further products following; None: it is made anew."


@attrs.frozen(eq=False)
class States:
    """Token states of one side: `hidden` (batch, length, width) float, `mask` (batch, length) bool, True = a token.

    `ids` (batch, length) int64 are the tokens the states are of, where the encoder is `Rereading`; else None.
    """

    hidden: Tensor
    mask: Tensor
    ids: Tensor | None = None


@attrs.frozen(eq=False)
class Links:
    """What an encoder thinks of which relations of a graph hold between pairs of nodes, and which do.

    Attributes:
        logits: (pairs, relations) float, one yes-or-no question each.
        present: (pairs, relations) float32, 1 where the relation holds.
        weights: (pairs,) float32.
    """

    logits: Tensor
    present: Tensor
    weights: Tensor


@attrs.frozen(eq=False)
class Encoding:
    """What an encoder knows about a batch. What it does not give is None.

    Attributes:
        pair: one vector per pair, (batch, width) float.
        query, product: one vector per side, (batch, width) float, meant for cosine similarity.
        query_states, product_states: token states of each side before they meet.
        logits: class logits of an encoder that brings its own head in place of the task's, (batch, classes) float.
        uncertainty: how unsure such an encoder is of each example, (batch,) float of any scale.
        links: in training, an encoder over a graph may tell links, for a loss that asks for them.
    """

    pair: Tensor | None = None
    query: Tensor | None = None
    product: Tensor | None = None
    query_states: States | None = None
    product_states: States | None = None
    logits: Tensor | None = None
    uncertainty: Tensor | None = None
    links: Links | None = None


Rows = np.ndarray | None
"(n,) int64 rows of one side of a corpus, or None for a side that is not read."


class Prepared(Protocol):
    """A corpus made ready: batches are gathered from it by row number.

    One of the two sides may be None where the encoder gives one vector per side (`embeddings`): then the other is
    read alone, and its Encoding has no vectors of the missing side.
    """

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return the tensors of the pairs (query[i], product[i]), or of one side; rows are (n,) int64."""
        ...

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return the cost of each example in tokens, (n,) int64, for batching by length."""
        ...


@runtime_checkable
class Drawn(Prepared, Protocol):
    """A corpus whose batches in training hold something drawn anew each time: sampled neighbourhoods.

    `batch` draws nothing: when predicting, an example's result does not depend on chance.
    """

    def draw(self, query: Rows, product: Rows, rng: np.random.Generator) -> Batch:
        """Return what `batch` does, for a training step; may be called from several threads at once.

        Args:
            query, product: as of `batch`. The model learns from these pairs, so it may not read what joins them.
            rng: the batch's own generator.
        """
        ...


class Encoder(nn.Module, ABC):
    """An encoder trained by gradient steps."""

    width: int
    "Size of the vectors in the Encoding."
    token_budget: int = 65_536
    "Padded tokens a batch when predicting on a processor. Deep networks are faster when a batch stays in its caches."
    exportable: ClassVar[bool] = False
    """Whether `forward` can be traced by ONNX: every tensor of a batch is (batch, tokens), none is optional, and
    nothing depends on values but through tensors."""

    @classmethod
    @abstractmethod
    def build(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        """Make a new encoder, learning from `data` what must exist before training.

        Initial weights come from torch's generator, which the runner seeds; `rng` serves everything else.
        """

    @classmethod
    @abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make an encoder from what `save_assets` wrote; the runner loads the weights afterwards."""

    @abstractmethod
    def save_assets(self, folder: Path) -> None:
        """Write what `load` needs beside the weights: JSON, safetensors or tokenizer files, never pickles."""

    @abstractmethod
    def prepare(self, corpus: Corpus) -> Prepared:
        """Make the corpus ready for batching."""

    @abstractmethod
    def forward(self, batch: Batch) -> Encoding:
        """Encode a batch. An example's result must not depend on its batch mates or on padding."""

    def encode_rows(self, prepared: Prepared, side: str, rows: np.ndarray) -> Tensor | None:
        """Return the vectors of many rows of one side, or None where batches are as cheap a way.

        Args:
            prepared: what `prepare` returned.
            side: query or product.
            rows: (n,) int64 rows of that side.

        Returns:
            (n, width) float, the same as by batches but for rounding, or None.
        """
        return None


class TwoSidedEncoder(Encoder):
    """An encoder that encodes each side alone, then lets them meet; state-level negatives step in between."""

    @abstractmethod
    def encode(self, batch: Batch) -> Encoding:
        """Return the token states of both sides."""

    @abstractmethod
    def interact(self, encoding: Encoding) -> Encoding:
        """Return `encoding` with its pair vector added."""

    def forward(self, batch: Batch) -> Encoding:
        """Encode both sides and let them meet."""
        return self.interact(self.encode(batch))


class SelfFittingEncoder(ABC):
    """A part that stands in an encoder's place, fits itself without gradient steps and gives probabilities."""

    @classmethod
    @abstractmethod
    def fit(cls, config: Any, data: FitData, rng: np.random.Generator) -> Self:
        """Return the part fitted on `data.train`, stopping early on `data.valid` where it can."""

    @abstractmethod
    def predict(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return class probabilities, (n, classes) float64, rows summing to 1. Labels are not looked at."""

    def predict_with_uncertainty(self, corpus: Corpus, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Return what `predict` does, and how unsure the part is, (n,) float64; the default cannot say: NaN."""
        return self.predict(corpus, examples), np.full(len(examples), np.nan)

    @classmethod
    @abstractmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Make the part from what `save_assets` wrote."""

    @abstractmethod
    def save_assets(self, folder: Path) -> None:
        """Write everything `load` needs: JSON, safetensors, Parquet or LightGBM text."""


def gather_ragged(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gather rows of a ragged array stored as flat values and offsets.

    Args:
        values: (total,) flat values.
        offsets: (rows + 1,) int64; row r is `values[offsets[r]:offsets[r + 1]]`.
        rows: (n,) int64 rows to take, in order, repetitions allowed.

    Returns:
        The taken values, flat, and their (n + 1,) int64 offsets.
    """
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    taken = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(counts, out=taken[1:])
    index = np.arange(taken[-1], dtype=np.int64) + np.repeat(starts - taken[:-1], counts)
    return values[index], taken


def pad_ragged(values: np.ndarray, offsets: np.ndarray, fill: int = 0) -> tuple[Tensor, Tensor]:
    """Return ragged rows as a padded (n, longest) int64 tensor and its bool mask, True where there is a value."""
    counts = np.diff(offsets)
    longest = max(int(counts.max(initial=0)), 1)
    mask = np.arange(longest) < counts[:, None]
    padded = np.full(mask.shape, fill, dtype=np.int64)
    padded[mask] = values
    return torch.from_numpy(padded), torch.from_numpy(mask)
