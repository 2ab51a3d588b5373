"""The fields of the parts. Imports nothing heavy: listing and validating load no part."""

from __future__ import annotations

from collections.abc import Mapping

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
    unit_interval,
)

SIDES = ("locale", "lengths", "degree")
"What may be read beside the members' probabilities."
_sides = Expected(
    'a list of different words out of "locale", "lengths", "degree"',
    lambda v: len(set(v)) == len(v) and set(v) <= set(SIDES),
)


@attrs.frozen
class TreesConfig:
    """`ensemble.lightgbm`: boosted trees over the members' probabilities."""

    folds: int = attrs.field(default=5, validator=at_least(2))
    "Parts the training queries are divided into; members predict each part without having seen it."
    start: str = attrs.field(default="zero", validator=one_of("zero", "logistic"))
    """What the trees begin from: nothing, as in the paper, or a logistic regression on the members' log-probabilities,
    which they correct."""
    rounds: int = attrs.field(default=1000, validator=at_least(1))
    "Boosting rounds; the most of them where `patience` is not 0."
    patience: int = attrs.field(default=30, validator=at_least(0))
    """Rounds without a better loss on held-out queries before boosting stops; the number of rounds is chosen by
    cross-validation. 0: `rounds` are boosted."""
    learning_rate: float = attrs.field(default=0.05, validator=positive)
    "Shrinkage of each tree."
    leaves: int = attrs.field(default=8, validator=at_least(2))
    "Leaves a tree."
    leaf_rows: int = attrs.field(default=25, validator=at_least(1))
    "Fewest training pairs in a leaf."
    feature_fraction: float = attrs.field(default=0.8, validator=between(0.05, 1))
    "Share of columns each tree may use."
    row_fraction: float = attrs.field(default=0.8, validator=between(0.05, 1))
    "Share of pairs each tree sees."
    balance: float = attrs.field(default=0.1, validator=unit_interval)
    """How far rare classes are made up for: pairs of a class weigh (1 / its share) to this power. More of it raises
    macro F1 and costs accuracy: 0 is for accuracy and log loss alone, 1 is the paper's balanced weighting."""
    side: tuple[str, ...] = attrs.field(default=(), validator=_sides)
    """What is read beside the probabilities: `locale`, `lengths` (words of query and title), `degree` (how often query
    and product were engaged with; needs a data set with engagements)."""
    explained: int = attrs.field(default=50_000, validator=at_least(1))
    "Training pairs whose Shapley values are added up, at the most; drawn where there are more."
    families: Mapping[str, str] = attrs.field(factory=dict)
    "Member -> family, such as `language` or `graph`; Shapley values are added up by family too."
    relations: Mapping[str, str] = attrs.field(factory=dict)
    "Member -> relation of the graph it reads, such as `click`; Shapley values are added up by relation too."
    cascade: float = attrs.field(default=0.0, validator=below_one)
    """Macro F1 that may be lost, on held-out training queries and with its standard error, so that cheap members answer
    alone where they are sure and the others are asked only for the rest. 0: every member is asked for every pair."""


@attrs.frozen
class SelectConfig(TreesConfig):
    """`ensemble.select`: the members that are worth their cost, and trees over them alone."""

    keep: int = attrs.field(default=0, validator=at_least(0))
    "Members to keep at the most, those of the greatest Shapley value; 0: no limit."
    budget_ms: float = attrs.field(default=0.0, validator=non_negative)
    "Milliseconds a pair may cost, the kept members' 95th percentiles added up; 0: no limit."
    budget_mb: float = attrs.field(default=0.0, validator=non_negative)
    "Megabytes the kept members may take together; 0: no limit."
    measure: str = attrs.field(default="macro_f1", validator=one_of("macro_f1", "accuracy", "weighted_f1"))
    "What the best set is best in, on held-out training queries."
    subsets: int = attrs.field(default=63, validator=at_least(1))
    """Sets of members that are tried at the most: all of them where they are so few, else those that Shapley values
    and one member less at a time lead to."""


@attrs.frozen
class GraphConfig:
    """`ensemble.sgc`: texts smoothed over a graph of queries and products, and trees over the smoothed pair."""

    relation: str = ""
    """Links that are followed: one relation of the engagements, such as `click`; "" all of them; `texts`: every query
    and product is linked to the titles most like it, which needs no engagements."""
    fields: tuple[str, ...] = attrs.field(default=("title",), validator=product_fields)
    "Product texts that are read."
    hops: int = attrs.field(default=2, validator=at_least(1))
    "How far texts travel."
    width: int = attrs.field(default=32, validator=at_least(2))
    "Size of a text's vector."
    neighbours: int = attrs.field(default=10, validator=at_least(1))
    "Titles each text is linked to, for `texts`."
    rounds: int = attrs.field(default=300, validator=at_least(1))
    "Boosting rounds at the most; the validation split stops them earlier."
    patience: int = attrs.field(default=20, validator=at_least(1))
    "Rounds without a better validation loss before boosting stops."
    learning_rate: float = attrs.field(default=0.1, validator=positive)
    "Shrinkage of each tree."
    leaves: int = attrs.field(default=15, validator=at_least(2))
    "Leaves a tree."
    leaf_rows: int = attrs.field(default=20, validator=at_least(1))
    "Fewest training rows in a leaf."
