"""Registers the estimators of uncertainty, the decision boundaries and their report. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prodmatch_core import hookimpl
from prodmatch_core.records import AggregatorSpec, CalibratorSpec, EncoderSpec, LossSpec, Section

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

HERE = "prodmatch_uncertainty"
PAPER = "arXiv 2311.11723"
SMALL = {"use": "core.ngram", "width": 8, "buckets": 4096}
"An encoder for examples."


def _vectors(config: Any) -> frozenset[str]:
    """Return what a head needs of the encoder nested under it: vectors of pairs, or of each side."""
    return frozenset() if config.encoder.gives & {"pairs", "embeddings"} else frozenset({"pairs"})


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the estimators that are one member."""
    yield EncoderSpec(
        name="uncertainty.posterior",
        summary="Posterior network: a density of every class over any encoder's vectors counts the evidence.",
        config=f"{HERE}.configs:PosteriorConfig",
        factory=f"{HERE}.posterior:PosteriorEncoder",
        needs=_vectors,
        gives={"logits", "uncertainty"},
        example={"encoder": SMALL},
        paper="arXiv 2006.09239, section 3; in product search: arXiv 2311.11723, section 3",
    )
    yield EncoderSpec(
        name="uncertainty.mc_dropout",
        summary="Dropout kept on while predicting: how much a prediction varies from one mask to the next.",
        config=f"{HERE}.configs:DropoutConfig",
        factory=f"{HERE}.dropout:DropoutEncoder",
        needs=_vectors,
        gives={"logits", "uncertainty"},
        example={"encoder": SMALL, "samples": 4},
        paper="arXiv 1506.02142, section 4",
    )
    yield EncoderSpec(
        name="uncertainty.ensemble",
        summary="Deep ensemble: one encoder fitted several times from different beginnings.",
        config=f"{HERE}.configs:EnsembleConfig",
        factory=f"{HERE}.ensemble:EnsembleEncoder",
        gives={"probabilities", "uncertainty"},
        example={"encoder": SMALL, "members": 2, "training": {"epochs": 1}},
        paper="arXiv 1612.01474, section 2.4",
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the loss of posterior networks."""
    yield LossSpec(
        name="uncertainty.uce",
        summary="Expected cross entropy under the Dirichlet whose log-concentrations are the logits.",
        config=f"{HERE}.configs:UCEConfig",
        factory=f"{HERE}.uce:UCELoss",
        needs={"logits"},
        paper="arXiv 2006.09239, equation 7",
    )


@hookimpl
def prodmatch_aggregators() -> Iterator[AggregatorSpec]:
    """Return the aggregator that says how much members disagree."""
    yield AggregatorSpec(
        name="uncertainty.disagreement",
        summary="The members' average; the uncertainty is their variance, mutual information or own doubt.",
        config=f"{HERE}.configs:DisagreementConfig",
        factory=f"{HERE}.disagreement:DisagreementAggregator",
        gives={"uncertainty"},
        paper="mutual information: arXiv 1703.02910, equation 1",
    )


@hookimpl
def prodmatch_calibrators() -> Iterator[CalibratorSpec]:
    """Return the decision boundaries, and what they have to beat."""
    for name, config, factory, summary, paper in (
        (
            "dp",
            "Dp",
            "Dp",
            "One threshold a level of uncertainty: the best there is, by dynamic programming.",
            "section 5",
        ),
        (
            "mist",
            "Plane",
            "Mist",
            "One threshold a level: isotonic regression in each, then one value for all.",
            "section 5",
        ),
        (
            "lagrangian",
            "Plane",
            "Lagrangian",
            "One threshold a level in milliseconds, with a bound on what any could reach.",
            "",
        ),
        (
            "rectangle",
            "Rectangle",
            "Rectangle",
            "One threshold on the score, for the sure rows or the unsure.",
            "section 6",
        ),
    ):
        yield CalibratorSpec(
            name=f"uncertainty.{name}",
            summary=summary,
            config=f"{HERE}.configs:{config}Config",
            factory=f"{HERE}.calibrators:{factory}Calibrator",
            needs={"uncertainty"},
            paper=f"{PAPER}, {paper}" if paper else "",
        )
    for name, factory, summary in (
        ("threshold", "Threshold", "One threshold on the score: what boundaries have to beat."),
        ("isotonic", "Isotonic", "One threshold on the score after isotonic regression."),
    ):
        yield CalibratorSpec(
            name=f"uncertainty.{name}",
            summary=summary,
            config=f"{HERE}.configs:LineConfig",
            factory=f"{HERE}.calibrators:{factory}Calibrator",
        )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the section on score and uncertainty, where the run has any."""
    from prodmatch_uncertainty.report import sections

    return sections(run)
