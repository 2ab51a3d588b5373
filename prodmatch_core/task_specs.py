"""The four tasks told without loading anything: what each reads, what its parts must give, what it is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Set

import attrs

_CLASS_MEASURES = ("average_precision", "mismatch_average_precision", "roc_auc", "nll", "ece")


@attrs.frozen(kw_only=True)
class TaskSpec:
    """What `validate`, listings and tables need to know of a task; `factory` names the class that does the work."""

    name: str
    summary: str
    factory: str
    "`package.module:Class`, a `tasks.base.Task`."
    tables: frozenset[str]
    "Tables a data set must have."
    examples: frozenset[str]
    "Capabilities that its examples give to every part."
    texts: frozenset[str]
    "Capabilities its examples give only where the data set has queries and products."
    heads: Mapping[str, frozenset[str]]
    "What an encoder may give, and what the task's head makes of it; one of these keys must be given."
    answer: str
    "`classes`: class probabilities of every example; `neighbours`: the ranked neighbours of every item."
    outcome: tuple[str, str]
    "What a run of the task ends in: its kind, and what it is."
    headline: str
    "Measure that early stopping and tables lead with."
    measures: tuple[str, ...]
    "Measures reported for every run."
    default_loss: str
    "Loss of members that name none."
    baselines: tuple[str, ...] = ()
    "Encoders that fit themselves, measured beside every run unless the file says otherwise."
    per_class: int = 0
    "Rows of each class in a batch, for tasks that learn from pairs within a batch; 0: batches are shuffled."
    keys: tuple[str, ...]
    "Columns that identify an example in the tables of a run."
    group: str
    "Column whose rows are resampled together, because they are not independent."
    unit: str
    "What an example is called, in the plural."
    grouped: str
    "What a group is called, in the plural."

    def gives(self, tables: Set[str]) -> frozenset[str]:
        """Return what the examples give to parts, for a data set with `tables`."""
        return self.examples | (self.texts if {"queries", "products"} <= tables else frozenset())


CLASS_HEADS = {
    "pairs": frozenset({"logits"}),
    "embeddings": frozenset({"logits", "similarity"}),
    "probabilities": frozenset(),
    "logits": frozenset(),
}
"What the head of a task of classes adds to what a member's encoder gives."

MATCH = TaskSpec(
    name="match",
    summary="Which class does a query-product pair belong to?",
    factory="prodmatch_core.tasks.match:MatchTask",
    tables=frozenset({"queries", "products", "judgements"}),
    examples=frozenset({"class_labels", "texts", "pair_texts"}),
    texts=frozenset(),
    heads=CLASS_HEADS,
    answer="classes",
    outcome=("decisions", "label and P(match)"),
    headline="macro_f1",
    measures=(
        "macro_f1",
        "weighted_f1",
        "accuracy",
        "match_f1",
        "mismatch_f1",
        *_CLASS_MEASURES[:3],
        "kappa",
        *_CLASS_MEASURES[3:],
        "ndcg",
    ),
    default_loss="core.cross_entropy",
    baselines=("core.overlap",),
    keys=("query_id", "product_id"),
    group="query_id",
    unit="pairs",
    grouped="queries",
)
EMBED = TaskSpec(
    name="embed",
    summary="Which items are the same product? Vectors whose neighbours share a group never seen in training.",
    factory="prodmatch_core.tasks.embed:EmbedTask",
    tables=frozenset({"products", "groups"}),
    examples=frozenset({"group_labels", "texts"}),
    texts=frozenset(),
    heads={"embeddings": frozenset({"similarity"})},
    answer="neighbours",
    outcome=("neighbours", "the nearest items of each"),
    headline="hit_rate@1",
    measures=("hit_rate@1", "hit_rate@5", "map_at_r", "mrr@10"),
    default_loss="core.metric",
    per_class=4,
    keys=("item_id",),
    group="group",
    unit="items",
    grouped="groups",
)
RELATE = TaskSpec(
    name="relate",
    summary="Which products follow a product? Directed edges, ranked among all products.",
    factory="prodmatch_core.tasks.relate:RelateTask",
    tables=frozenset({"products", "engagements"}),
    examples=frozenset({"class_labels", "texts", "pair_texts", "directed_edges"}),
    texts=frozenset(),
    heads={"embeddings": frozenset({"logits", "similarity"})},
    answer="neighbours",
    outcome=("neighbours", "products ranked for each"),
    headline="hit_rate@10",
    measures=("hit_rate@5", "hit_rate@10", "hit_rate@20", "mrr@5", "mrr@10", "mrr@20"),
    default_loss="core.in_batch_softmax",
    keys=("src",),
    group="src",
    unit="products",
    grouped="products",
)
CONVERT = TaskSpec(
    name="convert",
    summary="How likely does an event convert? Learnt from labels as they were known at the time.",
    factory="prodmatch_core.tasks.convert:ConvertTask",
    tables=frozenset({"events"}),
    examples=frozenset({"class_labels", "event_features"}),
    texts=frozenset({"texts", "pair_texts"}),
    heads=CLASS_HEADS,
    answer="classes",
    outcome=("decisions", "label and P(conversion)"),
    headline="nll",
    measures=("nll", "roc_auc", "average_precision", "brier", "ece"),
    default_loss="core.cross_entropy",
    keys=("event_id",),
    group="hour",
    unit="events",
    grouped="hours",
)

TASKS: Mapping[str, TaskSpec] = {spec.name: spec for spec in (MATCH, EMBED, RELATE, CONVERT)}
"The tasks by the name pipeline files use."
