"""Registers the late-interaction encoder and its loss. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from prodmatch_core import hookimpl
from prodmatch_core.fields import Expected, at_least, below_one, between, list_of
from prodmatch_core.records import EncoderSpec, LossSpec

TEXTS = ("title", "brand", "color", "bullets", "description")

_odd = Expected(
    "an odd whole number of at least 1",
    lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1 and v % 2 == 1,
)


@attrs.frozen
class MaxSimConfig:
    """`example.maxsim`: every word of the query looks for its best word in the product."""

    fields: tuple[str, ...] = attrs.field(default=("title",), validator=list_of(*TEXTS))
    "Product texts that are read, in this order."
    width: int = attrs.field(default=64, validator=at_least(4))
    "Size of a word's vector."
    context: int = attrs.field(default=3, validator=_odd)
    "Words a word's vector sees: itself and as many to its left as to its right; 1 sees the word alone."
    buckets: int = attrs.field(default=2**16, validator=at_least(2))
    "Rows of the table that words and their character n-grams are hashed into."
    max_words: int = attrs.field(default=48, validator=at_least(1))
    "Words read of a text, from its beginning. Chinese and Japanese characters count as words."
    dropout: float = attrs.field(default=0.3, validator=below_one)
    "Share of the pair vector dropped in training; the scores in it always stay."


@attrs.frozen
class PairwiseConfig:
    """`example.pairwise`: of two rows of a batch, the better labelled shall score higher."""

    margin: float = attrs.field(default=0.0, validator=between(0, 20))
    "Log-odds by which the better row shall lead."


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the late-interaction encoder."""
    yield EncoderSpec(
        name="example.maxsim",
        summary="Late interaction over words: each query word is scored by its best product word.",
        config=MaxSimConfig,
        factory="prodmatch_example.maxsim:MaxSimEncoder",
        needs={"pair_texts"},
        gives={"tokens", "pairs"},
        paper="arXiv 2004.12832, section 3.3 (ColBERT); words as bags of n-grams: arXiv 1607.04606, section 3.2",
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the loss that ranks the rows of a batch."""
    yield LossSpec(
        name="example.pairwise",
        summary="Softmax cross entropy of every better labelled row of a batch against every worse one.",
        config=PairwiseConfig,
        factory="prodmatch_example.pairwise:PairwiseLoss",
        needs={"logits", "class_labels"},
        paper="arXiv 2004.12832, section 3.4; pairs weighted by gain: Burges, MSR-TR-2010-82, section 3",
    )
