"""`core.event_features`: hashed embeddings of an event's categories beside its numbers, and layers over both.

Embedding and layers: Cheng et al., arXiv 1606.07792, section 3.2, the deep part. Hashing: arXiv 0902.2206.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import numpy as np
import polars as pl
import torch
from torch import nn

from prodmatch_core.builtin.structure_configs import EventFeaturesConfig
from prodmatch_core.components.encoder import Batch, Encoder, Encoding, FitData, Prepared, Rows
from prodmatch_core.data.corpus import Corpus
from prodmatch_core.errors import DataError, did_you_mean

SCALES = "scales.json"
_NOT_FEATURES = ("query_id", "locale", "text", "shown_at")


@attrs.frozen(eq=False)
class EventTable:
    """Events as arrays: `categories` (events, columns) int64 bucket, `numbers` (events, figures) float32."""

    categories: np.ndarray
    numbers: np.ndarray

    def lengths(self, query: Rows, product: Rows) -> np.ndarray:
        """Return 1 for every example, (n,) int64."""
        assert query is not None
        return np.ones(len(query), dtype=np.int64)

    def batch(self, query: Rows, product: Rows) -> Batch:
        """Return `categories` and `numbers` of the events in rows `query`."""
        assert query is not None
        return {
            "categories": torch.from_numpy(self.categories[query]),
            "numbers": torch.from_numpy(self.numbers[query]),
        }


class EventFeaturesEncoder(Encoder):
    """Layers over the vectors of an event's categories and its standardised numbers."""

    def __init__(
        self, config: EventFeaturesConfig, categories: Sequence[str], scales: Mapping[str, Sequence[float]]
    ) -> None:
        """Make an encoder of the given columns.

        Args:
            config: sizes.
            categories: columns that hold categories.
            scales: mean and standard deviation, after a signed logarithm, of every column that holds numbers.
        """
        super().__init__()
        self.config, self.categories = config, tuple(categories)
        self.scales = {name: tuple(pair) for name, pair in scales.items()}
        self.clock = ("hour of day", "day of week") if config.hour else ()
        self.vectors = nn.Embedding(config.buckets, config.width)
        nn.init.normal_(self.vectors.weight, std=0.05)
        # A number comes with a flag that says whether it is there.
        size = config.width * (len(self.categories) + len(self.clock)) + 2 * len(self.scales)
        layers: list[nn.Module] = []
        for units in config.hidden:
            layers += [nn.Linear(size, units), nn.LayerNorm(units), nn.GELU(), nn.Dropout(config.dropout)]
            size = units
        self.layers = nn.Sequential(*layers)
        self.width = size

    @classmethod
    def build(cls, config: EventFeaturesConfig, data: FitData, rng: np.random.Generator) -> Self:
        """Make an encoder of the events' columns; means and deviations are those of the training events alone.

        Raises:
            DataError: a column named is not there, or there is nothing to read.
        """
        events = data.corpus.queries
        there = [name for name in events.columns if name not in _NOT_FEATURES]
        for name in config.columns:
            if name not in there:
                raise DataError(f'events have no feature "{name}"{did_you_mean(name, there)}')
        chosen = list(config.columns or there)
        numeric = [name for name in chosen if events.schema[name].is_float()]
        rows = np.unique(data.train.query)
        scales = {}
        for name in numeric:
            values = _squashed(events[name].to_numpy()[rows])
            known = values[np.isfinite(values)]
            deviation = float(known.std()) if len(known) else 0.0
            scales[name] = (float(known.mean()) if len(known) else 0.0, deviation or 1.0)
        if not chosen and not config.hour:
            raise DataError(
                "core.event_features: the events have no features. Set hour = true or add columns."
            )
        return cls(config, [name for name in chosen if name not in numeric], scales)

    @classmethod
    def load(cls, config: EventFeaturesConfig, folder: Path) -> Self:
        """Make the encoder of the columns that `save_assets` listed."""
        saved = json.loads((folder / SCALES).read_text(encoding="utf-8"))
        return cls(config, saved["categories"], saved["numbers"])

    def save_assets(self, folder: Path) -> None:
        """Write the columns, and the scales of the numbers, as JSON."""
        saved: dict[str, Any] = {"categories": self.categories, "numbers": self.scales}
        (folder / SCALES).write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Hash every category and standardise every number once."""
        events = corpus.queries
        columns = [(name, events[name].cast(pl.String)) for name in self.categories]
        if self.clock:
            shown = events["shown_at"].dt
            columns += zip(
                self.clock, (shown.hour().cast(pl.String), shown.weekday().cast(pl.String)), strict=True
            )
        categories = np.empty((events.height, len(columns)), dtype=np.int64)
        for place, (name, column) in enumerate(columns):
            categories[:, place] = _buckets(name, column, self.config.buckets)
        numbers = np.zeros((events.height, 2 * len(self.scales)), dtype=np.float32)
        for place, (name, (mean, deviation)) in enumerate(self.scales.items()):
            values = (_squashed(events[name].to_numpy()) - mean) / deviation
            known = np.isfinite(values)
            numbers[known, 2 * place] = values[known]
            numbers[:, 2 * place + 1] = ~known
        return EventTable(categories, numbers)

    def forward(self, batch: Batch) -> Encoding:
        """Return `pair`, one vector an event, (batch, width) float32."""
        vectors = self.vectors(batch["categories"]).flatten(1)
        return Encoding(pair=self.layers(torch.cat([vectors, batch["numbers"]], dim=1)))


def _squashed(values: np.ndarray) -> np.ndarray:
    """Return a signed logarithm: counts and prices have long tails."""
    values = np.asarray(values, dtype=np.float64)
    return np.sign(values) * np.log1p(np.abs(values))


def _buckets(name: str, column: pl.Series, buckets: int) -> np.ndarray:
    """Return the bucket of every value, (n,) int64: the same on every machine; null is a category of its own."""
    unique = column.unique()
    codes = [
        zlib.crc32(f"{name}\x1f{'' if value is None else '=' + value}".encode()) % buckets for value in unique
    ]
    table = pl.DataFrame({"value": unique, "code": pl.Series(codes, dtype=pl.Int64)})
    found = column.to_frame("value").join(
        table, on="value", how="left", nulls_equal=True, maintain_order="left"
    )
    return found["code"].to_numpy()
