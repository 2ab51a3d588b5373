"""The fields of the plain parts for groups, graphs and events. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from prodmatch_core.fields import Expected, at_least, below_one, not_empty

_plain_options = Expected(
    "a table of numbers, texts, true and false",
    lambda v: all(isinstance(item, (int, float, str, bool)) for item in v.values()),
)


@attrs.frozen
class NodeVectorsConfig:
    """`core.node_vectors`: a source and a target vector of every product."""

    width: int = attrs.field(default=128, validator=at_least(2))
    "Size of the vectors."
    dropout: float = attrs.field(default=0.2, validator=below_one)
    "Share of units dropped while training."


@attrs.frozen
class EventFeaturesConfig:
    """`core.event_features`: categories and numbers of an event."""

    columns: tuple[str, ...] = ()
    "Columns read; empty: every feature of the events."
    buckets: int = attrs.field(default=2**16, validator=at_least(2))
    "Rows of the table that categories are hashed into, over all columns; categories in one row share a vector."
    width: int = attrs.field(default=8, validator=at_least(1))
    "Size of a category's vector."
    hidden: tuple[int, ...] = attrs.field(
        default=(64, 32),
        validator=Expected(
            "a list of whole numbers of at least 1",
            lambda v: bool(v) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in v),
        ),
    )
    "Units of each layer; the last one is the size of an event's vector."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of units dropped while training."
    hour: bool = True
    "Also read the hour of the day and the day of the week of the event."


@attrs.frozen
class MetricConfig:
    """`core.metric`: a loss of pytorch-metric-learning."""

    loss: str = attrs.field(default="MultiSimilarityLoss", validator=not_empty)
    "Name of the loss, as in `pytorch_metric_learning.losses`."
    options: Mapping[str, Any] = attrs.field(factory=dict, validator=_plain_options)
    "The loss's own arguments; `num_classes` and `embedding_size` are filled in where it asks for them."
    miner: str = ""
    "Name of a miner, as in `pytorch_metric_learning.miners`; empty: all pairs of the batch."
    miner_options: Mapping[str, Any] = attrs.field(factory=dict, validator=_plain_options)
    "The miner's own arguments."
