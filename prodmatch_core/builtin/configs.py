"""The fields of the plain parts. Imports nothing heavy: listing and validating load no part."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import (
    Expected,
    at_least,
    below_one,
    between,
    non_negative,
    one_of,
    positive,
    product_fields,
)

fanouts = Expected(
    "a list of whole numbers of at least 1",
    lambda v: bool(v) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in v),
)
_weights = Expected(
    "a list of numbers of at least 0, not all 0",
    lambda v: not v or (all(non_negative.test(w) for w in v) and any(v)),
)


@attrs.frozen
class NgramConfig:
    """`core.ngram`: hashed character n-grams."""

    mode: str = attrs.field(default="pair", validator=one_of("pair", "two_tower"))
    "`pair` compares query and product and gives pairs; `two_tower` reads each alone and gives embeddings."
    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product texts that are read, in this order."
    min_n: int = attrs.field(default=3, validator=at_least(1))
    "Shortest n-gram in characters, word boundaries included; 2 suits Japanese and Chinese."
    max_n: int = attrs.field(default=5, validator=at_least(1))
    "Longest n-gram in characters."
    words: bool = True
    "Also hash every word, and every pair of neighbouring words, as a whole."
    buckets: int = attrs.field(default=2**16, validator=at_least(2))
    "Rows of the table that n-grams are hashed into; n-grams in one row share a vector."
    width: int | None = attrs.field(default=None, validator=attrs.validators.optional(at_least(4)))
    "Size of an n-gram's vector. Left out: 32 in `pair` mode, 96 in `two_tower` mode."
    max_ngrams: int = attrs.field(default=1000, validator=at_least(1))
    "N-grams read of a text, from its beginning."
    dropout: float = attrs.field(default=0.5, validator=below_one)
    "Share of the summed n-gram vectors dropped in training (`pair` mode); overlap figures always stay."

    def __attrs_post_init__(self) -> None:
        if self.min_n > self.max_n:
            raise ValueError(f"min_n ({self.min_n}) must not be above max_n ({self.max_n})")

    @property
    def size(self) -> int:
        """Return the size of an n-gram's vector, with the default filled in."""
        return self.width if self.width is not None else 32 if self.mode == "pair" else 96


@attrs.frozen
class OverlapConfig:
    """`core.overlap`: logistic regression on word-overlap features."""

    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product texts the query's words are looked for in."
    l2: float = attrs.field(default=1.0, validator=positive)
    "Strength of the penalty on squared coefficients."


@attrs.frozen
class NegativesConfig:
    """`core.random_negatives` and `core.in_batch_negatives`."""

    per_positive: float = attrs.field(default=1.0, validator=positive)
    "Negatives drawn for each matching example, on average; a fraction is drawn by chance."
    weight: float = attrs.field(default=1.0, validator=positive)
    "Weight of a negative, as a share of its matching example's weight."


@attrs.frozen
class CrossEntropyConfig:
    """`core.cross_entropy`."""

    label_smoothing: float = attrs.field(default=0.0, validator=below_one)
    "Share of each label spread evenly over all classes."
    class_weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "Factor of each class's examples, in the order of the label scheme; empty: all 1."


@attrs.frozen
class FocalConfig:
    """`core.focal`."""

    gamma: float = attrs.field(default=2.0, validator=between(0, 20))
    "How much less an example counts the surer the model is of its label; 0 is cross entropy."
    class_weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "Factor of each class's examples, in the order of the label scheme; empty: all 1."


@attrs.frozen
class InBatchSoftmaxConfig:
    """`core.in_batch_softmax`."""

    temperature: float = attrs.field(default=0.05, validator=positive)
    "Cosine similarities are divided by this; the smaller, the more the nearest negatives count."


@attrs.frozen
class UniformSamplerConfig:
    """`core.uniform_sampler`."""

    fanouts: tuple[int, ...] = attrs.field(default=(10, 5), validator=fanouts)
    "Neighbours read per node in each layer; the layer next to the wanted nodes comes first."


@attrs.frozen
class MeanConfig:
    """`core.mean`."""

    weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "Weight of each member, in the order of the file; empty: all the same."


@attrs.frozen
class LogisticConfig:
    """`core.logistic`."""

    l2: float = attrs.field(default=1.0, validator=positive)
    "Strength of the penalty on squared coefficients."
    folds: int = attrs.field(default=5, validator=at_least(2))
    "Parts the training queries are divided into; members predict each part without having seen it."


@attrs.frozen
class IsotonicConfig:
    """`core.isotonic`."""

    floor: float = attrs.field(default=1e-3, validator=between(0, 0.1))
    "Smallest calibrated probability before rows are made to sum to 1, so that nothing is called impossible."


@attrs.frozen
class ThresholdConfig:
    """`core.threshold`."""

    objective: str = attrs.field(default="f1", validator=one_of("f1", "macro_f1", "precision"))
    """`f1` takes the best F1 of the match, `macro_f1` the best mean of the F1 of match and mismatch, `precision` the
    most recall whose precision is at least `target`."""
    target: float = attrs.field(default=0.95, validator=between(0, 1))
    "Precision that accepted pairs must reach, for `precision`."
