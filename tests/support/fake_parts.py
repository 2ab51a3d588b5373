"""A small world of parts for the tests of the contract, so that no text depends on what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from prodmatch_core.fields import at_least, one_of, part, unit_interval
from prodmatch_core.plugins import PluginState, new_manager
from prodmatch_core.records import (
    AggregatorSpec,
    CalibratorSpec,
    CommandSpec,
    DatasetSpec,
    EncoderSpec,
    GraphSamplerSpec,
    LossSpec,
    MeasureSpec,
    NegativeGeneratorSpec,
    Part,
    Spec,
)
from prodmatch_core.registry import Registry


@attrs.frozen
class FilesConfig:
    path: str
    "File to read."
    columns: Mapping[str, str] = attrs.field(factory=dict)
    "Which column holds what."
    rows: int = attrs.field(default=100, validator=at_least(1))
    "How many rows to read."
    seed: int = 0
    "Which rows."


@attrs.frozen
class TextConfig:
    width: int = attrs.field(default=8, validator=at_least(1))
    "Size of the vectors."
    mode: str = attrs.field(default="tower", validator=one_of("tower", "pair"))
    "One vector per side, or one per pair."
    dropout: float | None = attrs.field(default=None, validator=attrs.validators.optional(unit_interval))
    "Share of units left out; none: the model's own."
    rates: tuple[float, ...] = ()
    "Step sizes by layer."
    pooling: Literal["mean", "first"] = "mean"
    "How token states become one vector."


def _text_gives(config: TextConfig) -> frozenset[str]:
    return frozenset({"pairs"} if config.mode == "pair" else {"embeddings"})


@attrs.frozen
class GraphConfig:
    text: Part = part("encoder")
    "Gives the nodes their first vectors."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "How far it looks."


@attrs.frozen
class MarginConfig:
    margin: float = attrs.field(default=0.5, validator=unit_interval)
    "Cosine similarity above which a negative counts."


@attrs.frozen
class RangeConfig:
    low: float = 0.0
    "Lower end."
    high: float = attrs.field(default=1.0)
    "Upper end."

    @high.validator
    def _ordered(self, attribute: attrs.Attribute, value: float) -> None:
        if value <= self.low:
            raise ValueError(f"high must be above low, got low = {self.low} and high = {value}")


def records() -> list[Spec]:
    """Return the fake parts, two or so of each kind."""
    where = "fake.parts"
    return [
        DatasetSpec(
            name="fake.files",
            summary="Files.",
            factory=f"{where}:Files",
            config=FilesConfig,
            gives={"products", "queries", "judgements"},
        ),
        DatasetSpec(
            name="fake.shop",
            summary="A shop.",
            factory=f"{where}:Shop",
            gives={"products", "queries", "judgements", "engagements"},
        ),
        EncoderSpec(
            name="fake.text",
            summary="Texts to vectors.",
            factory=f"{where}:Text",
            config=TextConfig,
            needs={"judgements"},
            gives=_text_gives,
            paper="arXiv 0000.00000, section 1",
        ),
        EncoderSpec(
            name="fake.graph",
            summary="A graph network.",
            factory=f"{where}:Graph",
            config=GraphConfig,
            needs={"engagements", "blocks", "embeddings"},
            gives={"pairs"},
        ),
        EncoderSpec(
            name="fake.trees", summary="Fits itself.", factory=f"{where}:Trees", gives={"probabilities"}
        ),
        # Every pipeline is measured beside the core's baseline unless it says otherwise.
        EncoderSpec(
            name="core.overlap", summary="Word overlap.", factory=f"{where}:Overlap", gives={"probabilities"}
        ),
        LossSpec(name="fake.entropy", summary="Cross entropy.", factory=f"{where}:Entropy", needs={"logits"}),
        LossSpec(
            name="fake.margin",
            summary="A margin.",
            factory=f"{where}:Margin",
            config=MarginConfig,
            needs={"similarity"},
        ),
        LossSpec(name="fake.range", summary="A range.", factory=f"{where}:Range", config=RangeConfig),
        NegativeGeneratorSpec(name="fake.random", summary="Random rows.", factory=f"{where}:Random"),
        GraphSamplerSpec(
            name="fake.uniform",
            summary="Uniform.",
            factory=f"{where}:Uniform",
            needs={"engagements"},
            gives={"blocks"},
        ),
        AggregatorSpec(name="fake.mean", summary="The mean.", factory=f"{where}:Mean", gives={"uncertainty"}),
        AggregatorSpec(name="fake.vote", summary="The majority.", factory=f"{where}:Vote"),
        CalibratorSpec(
            name="fake.reject", summary="Rejects.", factory=f"{where}:Reject", needs={"uncertainty"}
        ),
        CalibratorSpec(name="fake.scale", summary="Scales.", factory=f"{where}:Scale"),
        MeasureSpec(name="accuracy", summary="Accuracy.", factory=f"{where}:accuracy", direction="higher"),
        MeasureSpec(name="macro_f1", summary="Macro F1.", factory=f"{where}:macro", direction="higher"),
        CommandSpec(name="greet", summary="Says hello.", factory="fake_commands:greet"),
    ]


def fake_registry(*plugins: PluginState) -> Registry:
    """Return a registry of the fake parts and of `plugins`."""
    state = PluginState("fake", "prodmatch-fake", "1.2", "prodmatch_fake.plugin")
    state.records.extend(records())
    return Registry(new_manager(), [state, *plugins])


BASE = """\
[pipeline]
name = "demo"

[data]
use = "fake.files"
path = "pairs.csv"

[[member]]
encoder = { use = "fake.text" }
"""
"A valid pipeline file that tests break."
