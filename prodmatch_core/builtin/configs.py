"""The fields of the plain parts. Imports nothing heavy: listing and validating read this module, not the parts'."""

from __future__ import annotations

import attrs

from prodmatch_core.fields import Expected, at_least, between, list_of, non_negative, one_of, positive

PRODUCT_FIELDS = ("title", "brand", "color", "description", "bullets")

_below_one = Expected(
    "a number of at least 0 and below 1",
    lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < 1,
)
_fanouts = Expected(
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
    "`pair` reads query and product together and gives pairs; `two_tower` reads each alone and gives embeddings."
    fields: tuple[str, ...] = attrs.field(default=("title",), validator=list_of(*PRODUCT_FIELDS))
    "Product texts that are read, in this order."
    min_n: int = attrs.field(default=3, validator=at_least(1))
    "Shortest n-gram in characters, word boundaries included; 2 suits Japanese and Chinese."
    max_n: int = attrs.field(default=5, validator=at_least(1))
    "Longest n-gram in characters."
    words: bool = True
    "Also hash every word as a whole."
    buckets: int = attrs.field(default=2**16, validator=at_least(2))
    "Rows of the table that n-grams are hashed into; n-grams in one row share a vector."
    width: int = attrs.field(default=32, validator=at_least(4))
    "Size of an n-gram's vector and of the vectors given."
    max_ngrams: int = attrs.field(default=1000, validator=at_least(1))
    "N-grams read of a text, from its beginning."
    dropout: float = attrs.field(default=0.1, validator=_below_one)
    "Share of the pair's features dropped while training."

    def __attrs_post_init__(self) -> None:
        if self.min_n > self.max_n:
            raise ValueError(f"min_n ({self.min_n}) must not be above max_n ({self.max_n})")


def ngram_gives(config: NgramConfig) -> frozenset[str]:
    """Return what `core.ngram` gives in the configured mode."""
    return frozenset({"pairs"} if config.mode == "pair" else {"embeddings"})


@attrs.frozen
class OverlapConfig:
    """`core.overlap`: a logistic regression on word overlap."""

    fields: tuple[str, ...] = attrs.field(default=("title",), validator=list_of(*PRODUCT_FIELDS))
    "Product texts that the query is compared with."
    strength: float = attrs.field(default=1.0, validator=positive)
    "Inverse of the L2 penalty on standardised features."


@attrs.frozen
class RandomNegativesConfig:
    """`core.random_negatives`: products drawn from the whole catalogue."""

    per_match: float = attrs.field(default=1.0, validator=positive)
    "Negatives added per matching example, on average."
    weight: float = attrs.field(default=1.0, validator=positive)
    "Weight of an added example."


@attrs.frozen
class InBatchNegativesConfig:
    """`core.in_batch_negatives`: products of the batch's other rows."""

    per_match: float = attrs.field(default=1.0, validator=positive)
    "Negatives added per matching example, on average."
    weight: float = attrs.field(default=1.0, validator=positive)
    "Weight of an added example."


@attrs.frozen
class CrossEntropyConfig:
    """`core.cross_entropy`: softmax cross-entropy."""

    label_smoothing: float = attrs.field(default=0.0, validator=between(0, 0.5))
    "Share of the target spread evenly over all classes."
    class_weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "One factor per label in the scheme's order; empty: all 1."


@attrs.frozen
class BinaryCrossEntropyConfig:
    """`core.bce`: one logistic loss per class."""

    class_weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "One factor per label in the scheme's order; empty: all 1."


@attrs.frozen
class FocalConfig:
    """`core.focal`: cross-entropy that looks away from what is easy."""

    gamma: float = attrs.field(default=2.0, validator=between(0, 10))
    "How strongly; 0 is cross-entropy."


@attrs.frozen
class InBatchSoftmaxConfig:
    """`core.in_batch_softmax`: each matching query should prefer its product to the batch's others."""

    temperature: float = attrs.field(default=0.05, validator=positive)
    "Cosine similarities are divided by it."


@attrs.frozen
class UniformSamplerConfig:
    """`core.uniform_sampler`: a fixed number of neighbours a layer."""

    fanouts: tuple[int, ...] = attrs.field(default=(10, 5), validator=_fanouts)
    "Neighbours per node, the outermost layer first."


@attrs.frozen
class MeanConfig:
    """`core.mean`: the members' average."""

    weights: tuple[float, ...] = attrs.field(default=(), validator=_weights)
    "One weight per member; empty: all alike."


@attrs.frozen
class LogisticConfig:
    """`core.logistic`: a logistic regression over the members."""

    folds: int = attrs.field(default=5, validator=at_least(2))
    "Parts of the training queries; each is predicted by members fitted on the others."
    strength: float = attrs.field(default=1.0, validator=positive)
    "Inverse of the L2 penalty on standardised log-probabilities."


@attrs.frozen
class TemperatureConfig:
    """`core.temperature`: one number that softens or sharpens all probabilities."""


@attrs.frozen
class IsotonicConfig:
    """`core.isotonic`: one rising step function per class."""


@attrs.frozen
class ThresholdConfig:
    """`core.threshold`: one threshold on the match score."""

    objective: str = attrs.field(default="f1", validator=one_of("f1", "mismatch_f1", "precision"))
    "Best F1 of matches, best F1 of mismatches, or most recall at the target precision."
    target: float = attrs.field(default=0.9, validator=between(0, 1))
    "Precision of the accepted pairs, for the objective `precision`."
