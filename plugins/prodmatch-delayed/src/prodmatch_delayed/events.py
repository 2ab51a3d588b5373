"""`delayed.events`: layers over an event's features and the vector of any encoder of its query and product."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import torch
from torch import Tensor

from prodmatch_core.builtin.event_features import EventFeaturesEncoder
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared, Rows
from prodmatch_core.data.corpus import Corpus
from prodmatch_delayed.configs import EventsConfig

TEXT = "text:"
"Prefix of the entries of a batch that are the text encoder's."


@attrs.frozen(eq=False)
class Both:
    """A corpus made ready for features and for texts."""

    features: Prepared
    texts: Prepared | None

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return what the texts cost, or 1 an example, (n,) int64."""
        return (self.texts or self.features).lengths(query, product)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return the entries of both, the text encoder's under a prefix."""
        batch = {**self.features.batch(query, product)}
        if self.texts is not None:
            batch |= {TEXT + name: tensor for name, tensor in self.texts.batch(query, product).items()}
        return batch


class EventsEncoder(Encoder):
    """Features and, where one is named, a text encoder; one pair vector an event."""

    def __init__(self, config: EventsConfig, features: EventFeaturesEncoder, text: Encoder | None) -> None:
        """Join the two; the text's vector, brought to the features' width, is added to theirs."""
        super().__init__()
        self.config, self.features, self.text = config, features, text
        self.width = features.width
        if text is not None:
            self.token_budget = text.token_budget
            pairs = config.text is not None and "pairs" in config.text.gives
            self.join = torch.nn.Linear(text.width * (1 if pairs else 4), self.width)

    @classmethod
    def build(cls, config: EventsConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make both encoders for the training events.

        Raises:
            DataError: a column named is not there, or there is nothing to read.
        """
        features = EventFeaturesEncoder.build(config, data, rng)
        part = config.text
        return cls(config, features, part.spec.load().build(part.config, data, rng) if part else None)

    @classmethod
    def load(cls, config: EventsConfig, folder: Path) -> Self:
        """Make both encoders from what `save_assets` wrote."""
        part = config.text
        text = part.spec.load().load(part.config, folder / "text") if part else None
        return cls(config, EventFeaturesEncoder.load(config, folder), text)

    def save_assets(self, folder: Path) -> None:
        """Write the features' columns and scales, and the text encoder's assets into a folder of their own."""
        self.features.save_assets(folder)
        if self.text is not None:
            (folder / "text").mkdir()
            self.text.save_assets(folder / "text")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Make the corpus ready for both."""
        return Both(self.features.prepare(corpus), self.text.prepare(corpus) if self.text else None)

    def forward(self, batch: Batch) -> Encoding:
        """Return `pair`, (batch, width) float32."""
        found = self.features(batch)
        if self.text is None:
            return found
        texts = {name.removeprefix(TEXT): tensor for name, tensor in batch.items() if name.startswith(TEXT)}
        return Encoding(pair=found.pair + self.join(_joined(self.text(texts))))


def _joined(encoding: Encoding) -> Tensor:
    """Return the pair's vector, or the standard siamese features of its two sides."""
    if encoding.pair is not None:
        return encoding.pair
    q, p = encoding.query, encoding.product
    assert q is not None and p is not None
    made: list[Any] = [q, p, (q - p).abs(), q * p]
    return torch.cat(made, dim=-1)
