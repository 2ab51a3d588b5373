"""Registers the ensembles, the graph member, the command and the report's section. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prodmatch_core import hookimpl
from prodmatch_core.records import AggregatorSpec, CommandSpec, EncoderSpec, Section

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

HERE = "prodmatch_ensemble"
PAPER = "arXiv 2403.00923"


def _needs(config: Any) -> frozenset[str]:
    """Return what an ensemble needs: costs where something is decided by them, engagements where degrees are read."""
    costs = config.cascade or getattr(config, "budget_ms", 0) or getattr(config, "budget_mb", 0)
    return frozenset({"out_of_fold", "costs"} if costs else {"out_of_fold"})


def _graph_needs(config: Any) -> frozenset[str]:
    """Return what the graph member needs: pairs, and engagements where it follows them."""
    pairs = {"pair_texts", "class_labels"}
    return frozenset(pairs if config.relation == "texts" else pairs | {"engagements"})


@hookimpl
def prodmatch_aggregators() -> Iterator[AggregatorSpec]:
    """Return the ensembles."""
    yield AggregatorSpec(
        name="ensemble.lightgbm",
        summary="Boosted trees over the members' probabilities, with the Shapley value of every member.",
        config=f"{HERE}.configs:TreesConfig",
        factory=f"{HERE}.aggregators:TreesAggregator",
        needs=_needs,
        gives={"uncertainty"},
        example={"rounds": 20, "leaf_rows": 5, "patience": 5},
        paper=f"{PAPER}, section 3.3",
    )
    yield AggregatorSpec(
        name="ensemble.select",
        summary="The members worth their cost, by Shapley value or measured budget, and trees over them alone.",
        config=f"{HERE}.configs:SelectConfig",
        factory=f"{HERE}.aggregators:SelectAggregator",
        needs=_needs,
        gives={"uncertainty"},
        example={"keep": 2, "rounds": 20, "leaf_rows": 5, "patience": 0, "subsets": 3},
        paper=f"{PAPER}, section 3.3",
    )


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the graph member."""
    yield EncoderSpec(
        name="ensemble.sgc",
        summary="A graph member in seconds: texts smoothed over engagements or likeness, trees over the pair.",
        config=f"{HERE}.configs:GraphConfig",
        factory=f"{HERE}.sgc:SmoothedGraph",
        needs=_graph_needs,
        gives={"probabilities"},
        example={"relation": "texts", "width": 8, "rounds": 20, "leaf_rows": 5},
        paper="arXiv 1902.07153, equation 8",
    )


@hookimpl
def prodmatch_commands() -> Iterator[CommandSpec]:
    """Return the command that adds members to a finished run."""
    yield CommandSpec(
        name="extend",
        summary="Add members to a finished run: fits what is new, says who became useless.",
        factory=f"{HERE}.commands.extend:extend",
    )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the section on an ensemble's members, for runs that have one."""
    from prodmatch_ensemble.report import sections

    return sections(run)
