"""Registers the baselines. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from prodmatch_core import hookimpl
from prodmatch_core.fields import at_least, between, list_of, positive, unit_interval
from prodmatch_core.records import EncoderSpec

TEXTS = ("title", "brand", "color", "bullets", "description")


@attrs.frozen
class LexicalGBDTConfig:
    """Fields of `baselines.lexical_gbdt`."""

    fields: tuple[str, ...] = attrs.field(default=TEXTS, validator=list_of(*TEXTS))
    "Product texts that are compared with the query, beside the title alone."
    rounds: int = attrs.field(default=500, validator=at_least(1))
    "Boosting rounds at the most; the validation split stops them earlier."
    patience: int = attrs.field(default=30, validator=at_least(1))
    "Rounds without a better validation loss before boosting stops."
    learning_rate: float = attrs.field(default=0.05, validator=positive)
    "Shrinkage of each tree."
    leaves: int = attrs.field(default=31, validator=at_least(2))
    "Leaves a tree."
    leaf_rows: int = attrs.field(default=20, validator=at_least(1))
    "Fewest training rows in a leaf."
    feature_fraction: float = attrs.field(default=0.8, validator=between(0.05, 1))
    "Share of features each tree may use."
    row_fraction: float = attrs.field(default=0.8, validator=unit_interval)
    "Share of rows each tree sees."


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the baselines that stand in an encoder's place."""
    yield EncoderSpec(
        name="baselines.lexical_gbdt",
        summary="Boosted trees over word, character and number overlap of query and product.",
        config=LexicalGBDTConfig,
        factory="prodmatch_baselines.lexical_gbdt:LexicalGBDT",
        example={"rounds": 30, "leaf_rows": 5},
        needs={"pair_texts", "class_labels"},
        gives={"probabilities"},
        paper="the GBDT baseline of arXiv 2005.03624, section 4",
    )
