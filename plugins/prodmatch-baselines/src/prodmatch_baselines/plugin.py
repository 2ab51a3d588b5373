"""Registers the baselines. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from prodmatch_core import hookimpl
from prodmatch_core.fields import at_least, below_one, between, list_of, positive, unit_interval
from prodmatch_core.records import EncoderSpec
from prodmatch_core.tokens.fields import TokenFields

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


@attrs.frozen
class DSSMConfig:
    """Fields of `baselines.dssm`."""

    fields: tuple[str, ...] = attrs.field(default=("title",), validator=list_of(*TEXTS))
    "Product texts that are read, in this order."
    buckets: int = attrs.field(default=2**14, validator=at_least(2))
    "Rows of each side's table that letter trigrams are hashed into."
    hidden: int = attrs.field(default=300, validator=at_least(4))
    "Width of the layers between trigrams and vector."
    layers: int = attrs.field(default=2, validator=at_least(1))
    "Layers of that width."
    width: int = attrs.field(default=128, validator=at_least(4))
    "Size of a query's or a product's vector."


@attrs.frozen
class MatchPyramidConfig(TokenFields):
    """Fields of `baselines.match_pyramid`."""

    kernels: int = attrs.field(default=8, validator=at_least(1))
    "Patterns that each convolution looks for."
    convolutions: int = attrs.field(default=2, validator=at_least(1))
    "Convolutions of 3 x 3, one after the other."
    query_cells: int = attrs.field(default=4, validator=at_least(1))
    "Rows that the query's length is pooled to."
    product_cells: int = attrs.field(default=8, validator=at_least(1))
    "Columns that the product's length is pooled to."
    dropout: float = attrs.field(default=0.1, validator=below_one)
    "Share of the pooled patterns dropped in training."


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
    yield EncoderSpec(
        name="baselines.dssm",
        summary="Two towers over hashed letter trigrams, compared by their vectors.",
        config=DSSMConfig,
        factory="prodmatch_baselines.dssm:DSSM",
        example={"buckets": 512, "hidden": 16, "width": 16},
        needs={"texts"},
        gives={"embeddings"},
        paper="Huang et al., CIKM 2013, section 3",
    )
    yield EncoderSpec(
        name="baselines.match_pyramid",
        summary="Convolutions over the picture of which query token is how alike to which product token.",
        config=MatchPyramidConfig,
        factory="prodmatch_baselines.match_pyramid:MatchPyramid",
        example={"vocabulary": 400, "width": 16, "kernels": 4},
        needs={"pair_texts"},
        gives={"tokens", "pairs", "embeddings"},
        paper="arXiv 1602.06359, section 3; dot product, cosine and Gaussian kernel: arXiv 1606.04648, section 2",
    )
