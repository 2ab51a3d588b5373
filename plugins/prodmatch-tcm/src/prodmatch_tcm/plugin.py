"""Registers the margin term, base losses, measures and commands. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from prodmatch_core import hookimpl
from prodmatch_core.fields import Expected, at_least, below_one, between, non_negative, one_of, positive
from prodmatch_core.records import CommandSpec, LossSpec, MeasureSpec, Section

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

PAPER = "arXiv 2307.04047"
_cosine = between(-1, 1)
_share = Expected(
    "a number above 0 and below 1",
    lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < 1,
)
_cut_offs = Expected(
    "a list of whole numbers of at least 1",
    lambda v: bool(v) and all(isinstance(k, int) and not isinstance(k, bool) and k >= 1 for k in v),
)


@attrs.frozen
class MarginConfig:
    """`tcm.margin`: one similarity threshold for every class, as a term beside any loss."""

    margins: str = attrs.field(default="fixed", validator=one_of("fixed", "quantile"))
    "`fixed`: as written below. `quantile`: where the similarities seen in training put the two error rates."
    positive_margin: float = attrs.field(default=0.9, validator=_cosine)
    "Cosine similarity up to which a positive pair is hard (m+)."
    negative_margin: float = attrs.field(default=0.5, validator=_cosine)
    "Cosine similarity from which a negative pair is hard (m-)."
    positive_weight: float = attrs.field(default=1.0, validator=non_negative)
    "Factor of the half of hard positives (lambda+); 0 leaves it out."
    negative_weight: float = attrs.field(default=1.0, validator=non_negative)
    "Factor of the half of hard negatives (lambda-); 0 leaves it out."
    false_reject: float = attrs.field(default=0.1, validator=_share)
    "With quantile margins: share of positive pairs that lie below the positive margin."
    false_accept: float = attrs.field(default=0.1, validator=_share)
    "With quantile margins: share of negative pairs that lie above the negative margin."
    momentum: float = attrs.field(default=0.95, validator=below_one)
    "With quantile margins: what an earlier batch still counts after one more."
    memory: int = attrs.field(default=0, validator=at_least(0))
    """Items of earlier batches the batch is also compared with; 0: none. Keep it well below the number of training
    items, or an item meets its own past self."""


@attrs.frozen
class ContrastiveConfig:
    """`tcm.contrastive`: positives above one similarity, negatives below another."""

    positive_margin: float = attrs.field(default=1.0, validator=_cosine)
    "Cosine similarity that positive pairs should reach."
    negative_margin: float = attrs.field(default=0.5, validator=_cosine)
    "Cosine similarity that negative pairs should not exceed."


@attrs.frozen
class MultiSimilarityConfig:
    """`tcm.multi_similarity`: the multi-similarity loss."""

    alpha: float = attrs.field(default=2.0, validator=positive)
    "Sharpness of the soft minimum over positives."
    beta: float = attrs.field(default=50.0, validator=positive)
    "Sharpness of the soft maximum over negatives."
    base: float = attrs.field(default=0.5, validator=_cosine)
    "Cosine similarity that positives are held above and negatives below."


@attrs.frozen
class SmoothAPConfig:
    """`tcm.smooth_ap`: average precision with soft ranks."""

    temperature: float = attrs.field(default=0.01, validator=positive)
    "Difference of cosine at which one candidate stands 73% before another."


@attrs.frozen
class RecallSurrogateConfig:
    """`tcm.recall_surrogate`: recall at k with soft ranks."""

    k: tuple[int, ...] = attrs.field(default=(1, 2, 4, 8, 16), validator=_cut_offs)
    "Cut-offs, weighing alike."
    temperature: float = attrs.field(default=0.01, validator=positive)
    "Difference of cosine at which one candidate stands 73% before another."
    rank_temperature: float = attrs.field(default=1.0, validator=positive)
    "Ranks from k at which a candidate counts 73% or 27% as within the first k."


@attrs.frozen
class ProxyAnchorConfig:
    """`tcm.proxy_anchor`: a learnt proxy of every class."""

    alpha: float = attrs.field(default=32.0, validator=between(0.1, 64))
    "Sharpness of the soft maxima."
    margin: float = attrs.field(default=0.1, validator=between(0, 0.3))
    "Cosine similarity that own items are held above and others below minus."


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the margin term and the base losses that share its matrix."""
    for name, module, config, summary, needs, paper in (
        (
            "margin",
            "margin:MarginLoss",
            MarginConfig,
            "One similarity threshold for every class; a term beside any loss.",
            "similarity",
            f"{PAPER}, section 4",
        ),
        (
            "contrastive",
            "contrastive:ContrastiveLoss",
            ContrastiveConfig,
            "Positives above one similarity, negatives below another.",
            "similarity",
            "Hadsell, Chopra and LeCun, CVPR 2006",
        ),
        (
            "multi_similarity",
            "multi_similarity:MultiSimilarityLoss",
            MultiSimilarityConfig,
            "Soft maximum of negatives, soft minimum of positives.",
            "similarity",
            "arXiv 1904.06627, equation 15",
        ),
        (
            "smooth_ap",
            "smooth_ap:SmoothAPLoss",
            SmoothAPConfig,
            "Average precision with soft ranks.",
            "similarity",
            "arXiv 2007.12163, equation 7",
        ),
        (
            "recall_surrogate",
            "recall_surrogate:RecallSurrogateLoss",
            RecallSurrogateConfig,
            "Recall at several k with soft ranks.",
            "similarity",
            "arXiv 2108.11179, section 3",
        ),
        (
            "proxy_anchor",
            "proxy_anchor:ProxyAnchorLoss",
            ProxyAnchorConfig,
            "A learnt proxy of every training group.",
            "group_labels",
            "arXiv 2003.13911, equation 4",
        ),
    ):
        yield LossSpec(
            name=f"tcm.{name}",
            summary=summary,
            config=config,
            factory=f"prodmatch_tcm.{module}",
            needs={"embeddings", needs},
            paper=paper,
        )


@hookimpl
def prodmatch_measures() -> Iterator[MeasureSpec]:
    """Return the measures of how alike all classes fare at one threshold."""
    strict = "thresholds of 0.01% to 1% false accepts"
    for name, function, direction, summary in (
        ("opis", "opis", "lower", "How much the classes' utility differs at one threshold (OPIS)."),
        ("opis@10%", "opis_worst", "lower", "How far the worst tenth of the classes falls behind the rest."),
        ("opis_strict", "opis_strict", "lower", f"OPIS at {strict}."),
        ("opis_strict@10%", "opis_strict_worst", "lower", f"10%-OPIS at {strict}."),
        (
            "class_utility",
            "class_utility",
            "higher",
            "Mean over classes of what share is accepted and rejected rightly at one threshold.",
        ),
    ):
        spread = {"direction_is_as_declared": "a search that fails every class alike is consistent"}
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"prodmatch_tcm.measures:{function}",
            needs={"neighbours", "group_labels"},
            direction=direction,
            bounds=(0.0, 1.0) if direction == "lower" else None,
            paper=f"{PAPER}, section 3",
            exempt=spread if direction == "lower" else {},
        )


@hookimpl
def prodmatch_commands() -> Iterator[CommandSpec]:
    """Return the commands that choose a threshold and compare runs by it."""
    for name, summary in (
        ("threshold", "Choose one similarity threshold, and tell what each class will get."),
        ("consistency", "Draw how consistent one threshold is, of several runs side by side."),
        ("digits", "Draw the toy: handwritten digits on a circle, with and without the term."),
    ):
        yield CommandSpec(name=name, summary=summary, factory=f"prodmatch_tcm.commands.{name}:{name}")


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the section on thresholds, for runs whose items have groups."""
    if run.task.name != "embed":
        return []
    from prodmatch_tcm.section import sections

    return sections(run)
