"""Registers the fusion encoder, its link loss and its section of the report. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prodmatch_core import hookimpl
from prodmatch_core.records import EncoderSpec, LossSpec, Section

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

HERE = "prodmatch_salam"
PAPER = "Choudhary, Rao, Subbian, Reddy: Graph-based Multilingual Language Model, KDD 2022"


def _needs(config: Any) -> frozenset[str]:
    return frozenset({"nodes", "blocks"} | ({"engagements"} if config.edges == "engagements" else set()))


def _gives(config: Any) -> frozenset[str]:
    return frozenset({"pairs"} | ({"links"} if config.links else set()))


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the fusion encoder."""
    yield EncoderSpec(
        name="salam.fusion",
        summary="A text view and the pair's two nodes in a graph, fused by attention over the views there are.",
        config=f"{HERE}.configs:FusionConfig",
        factory=f"{HERE}.fusion:FusionEncoder",
        needs=_needs,
        gives=_gives,
        example={
            "text": {"use": "core.ngram", "width": 8, "buckets": 4096},
            "graph": {"use": "core.mean_nodes", "width": 16},
            "features": {"use": "core.ngram", "mode": "two_tower", "width": 8, "buckets": 4096},
            "width": 16,
            "node_width": 16,
        },
        paper=PAPER,
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the loss of link prediction."""
    yield LossSpec(
        name="salam.link",
        summary="Which relations of the graph hold between the two of a pair? One yes-or-no question each.",
        factory=f"{HERE}.link:LinkLoss",
        needs={"links"},
        paper=f"{PAPER}, pre-training",
    )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return what a run with a fusion encoder is told beside its figures: its graph, and figures by degree."""
    from prodmatch_salam.section import sections

    return sections(run)
