"""The fields of `core.mined_negatives`. Importing this loads nothing heavy."""

from __future__ import annotations

from typing import Any

import attrs

from prodmatch_core.fields import (
    Expected,
    at_least,
    non_negative,
    one_of,
    part,
    positive,
    product_fields,
    unit_interval,
)
from prodmatch_core.records import Part

_number = Expected("a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool))


def _optional(validator: Expected) -> Any:
    return attrs.validators.optional(validator)


@attrs.frozen
class MinedConfig:
    """Products that a miner ranks high for a query and that nobody judged for it.

    A query's candidates are the products of its locale, best score first, without those it is judged with. The
    margins, score bounds and the guard then remove some of the ranks `first` to `last`; negatives are taken from the
    rest. Scores are cosines, of vectors or of weighted words and character n-grams.
    """

    miner: str = attrs.field(default="lexical", validator=one_of("lexical", "self", "encoder"))
    """What ranks products: `lexical` words and character n-grams they share with the query, `self` the member's own
    encoder as it stands when the index is renewed, `encoder` the one under `encoder`."""
    encoder: Part | None = part("encoder", default=None)
    'With `miner = "encoder"`: an encoder that gives embeddings; made once and used as it is.'
    per_positive: float = attrs.field(default=1.0, validator=positive)
    "Negatives for each matching example, on average; a fraction is drawn by chance. Fewer where fewer are found."
    weight: float = attrs.field(default=1.0, validator=positive)
    "Weight of a negative, as a share of its matching example's weight."
    first: int = attrs.field(default=1, validator=at_least(1))
    "First rank that negatives are taken from; the ranks before it are left out as likely matches nobody judged."
    last: int = attrs.field(default=50, validator=at_least(1))
    "Last rank that negatives are taken from."
    absolute_margin: float | None = attrs.field(default=None, validator=_optional(non_negative))
    "A negative scores at least this much below the query's lowest-scoring match. Left out: no such bound."
    relative_margin: float | None = attrs.field(default=None, validator=_optional(unit_interval))
    "A negative scores below the query's lowest-scoring match by at least this share of its score. Left out: no bound."
    min_score: float | None = attrs.field(default=None, validator=_optional(_number))
    "Lowest score of a negative."
    max_score: float | None = attrs.field(default=None, validator=_optional(_number))
    "Highest score of a negative."
    sampling: str = attrs.field(default="uniform", validator=one_of("top", "uniform", "score"))
    "Which of the candidates left become negatives: the best, any, or better ones more often."
    temperature: float = attrs.field(default=0.05, validator=positive)
    'With `sampling = "score"`: a candidate is drawn with odds of exp(score / temperature).'
    distinct_titles: bool = True
    "Products of one title (case and spaces aside) count once: the first of the table stands for all of them."
    max_likeness: float = attrs.field(default=0.95, validator=unit_interval)
    """A candidate whose title is more alike than this to the title of one of the query's matches (cosine of words and
    character n-grams) is taken for the same product and left out; 1 leaves out none."""
    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product texts that the lexical miner reads."
    index: str = attrs.field(default="exact", validator=one_of("exact", "hnsw", "ivf"))
    "How vectors are searched: every product, or approximately (`hnsw`, `ivf`), which needs faiss-cpu."
    memory_mb: int = attrs.field(default=256, validator=at_least(1))
    "Working memory of the search beside vectors, index and results, in megabytes; blocks are sized by it."
    refresh_every: int = attrs.field(default=1, validator=at_least(1))
    'With `miner = "self"`: epochs between two renewals of the index. Other miners never change.'

    def __attrs_post_init__(self) -> None:
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) must not be above last ({self.last})")
        if self.miner == "encoder" and self.encoder is None:
            raise ValueError(
                'miner = "encoder" needs an encoder: encoder = { use = "...", mode = "two_tower" }'
            )
        if self.encoder is not None and self.miner != "encoder":
            raise ValueError(
                f'encoder is read with miner = "encoder" only, and miner is "{self.miner}"; set it'
            )
        if self.encoder is not None and "embeddings" not in self.encoder.gives:
            gives = ", ".join(sorted(self.encoder.gives)) or "nothing"
            raise ValueError(
                f"encoder: {self.encoder.name}, so configured, gives {gives}; a miner needs embeddings. Where the "
                'encoder has a mode, set mode = "two_tower"'
            )
        if self.miner == "lexical" and self.index != "exact":
            raise ValueError(
                f'index = "{self.index}" searches vectors; the lexical miner has none. Remove index'
            )
        if self.min_score is not None and self.max_score is not None and self.min_score > self.max_score:
            raise ValueError(f"min_score ({self.min_score}) must not be above max_score ({self.max_score})")


def needs(config: MinedConfig) -> frozenset[str]:
    """Return what the miner needs of the data and of the member's own encoder."""
    needed = {"judgements"}
    if config.miner == "self":
        needed.add("embeddings")
    if config.encoder is not None:
        needed |= config.encoder.needs
    return frozenset(needed)
