"""BLADE's parts: imports nothing but records and configuration classes."""

from __future__ import annotations

from collections.abc import Iterator

from prodmatch_blade.configs import AdaptiveConfig, AsymmetricConfig, BladeNegativesConfig, DualConfig
from prodmatch_core import hookimpl
from prodmatch_core.records import CommandSpec, EncoderSpec, GraphSamplerSpec, LossSpec, NegativeGeneratorSpec

PAPER = "Virinchi and Saladi, BLADE, WSDM 2023"


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the dual encoder."""
    yield EncoderSpec(
        name="blade.dual",
        summary="A source and a target vector of every product, read along directed edges.",
        factory="prodmatch_blade.dual:DualEncoder",
        config=DualConfig,
        needs={"engagements", "blocks", "directed_edges"},
        gives={"embeddings", "directed"},
        paper=f"{PAPER}; co-view: Virinchi et al., DAEMON, ECML PKDD 2022",
    )


@hookimpl
def prodmatch_negative_generators() -> Iterator[NegativeGeneratorSpec]:
    """Return the negatives of directed edges."""
    yield NegativeGeneratorSpec(
        name="blade.negatives",
        summary="Products that do not follow, drawn for a batch, and its edges turned round.",
        factory="prodmatch_blade.negatives:BladeNegatives",
        config=BladeNegativesConfig,
        needs={"pair_texts", "class_labels"},
        paper=PAPER,
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the asymmetric loss."""
    yield LossSpec(
        name="blade.asymmetric",
        summary="Logistic loss of source times target vector: an edge scores high, its reverse and others low.",
        factory="prodmatch_blade.asymmetric:AsymmetricLoss",
        config=AsymmetricConfig,
        needs={"similarity", "class_labels"},
        paper=PAPER,
    )


@hookimpl
def prodmatch_graph_samplers() -> Iterator[GraphSamplerSpec]:
    """Return the degree-biased sampler."""
    yield GraphSamplerSpec(
        name="blade.adaptive",
        summary="More neighbours of nodes that have few: a law of the degree.",
        factory="prodmatch_blade.adaptive:AdaptiveSampler",
        config=AdaptiveConfig,
        needs={"engagements"},
        gives={"blocks"},
        paper=PAPER,
    )


@hookimpl
def prodmatch_commands() -> Iterator[CommandSpec]:
    """Return the commands that recommend, and that keep vectors up to date."""
    yield CommandSpec(
        name="recommend",
        summary="Rank what is bought after a product, with titles.",
        factory="prodmatch_blade.commands.recommend:recommend",
    )
    yield CommandSpec(
        name="refresh",
        summary="Bring a run's product vectors up to date: what changed, and what reads it.",
        factory="prodmatch_blade.commands.refresh:refresh",
    )
