"""Registers the encoder, the generators, the controls and the report's sections. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prodmatch_core import hookimpl
from prodmatch_core.records import DatasetSpec, EncoderSpec, NegativeGeneratorSpec, Section
from prodmatch_quarts.configs import AttentionConfig, AugmentedConfig, NoiseConfig, VariationalConfig

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run

PAPER = "arXiv 2005.03624"


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the classifier's encoder."""
    yield EncoderSpec(
        name="quarts.attention",
        summary="An LSTM a side, and attention of each query token over the product's tokens.",
        config=AttentionConfig,
        factory="prodmatch_quarts.attention:AttentionEncoder",
        example={"vocabulary": 400, "width": 16, "hidden": 16},
        needs={"pair_texts"},
        gives={"tokens", "pairs"},
        paper=f"{PAPER}, section 3.1; attention word by word: arXiv 1509.06664, section 2.4",
    )


@hookimpl
def prodmatch_negative_generators() -> Iterator[NegativeGeneratorSpec]:
    """Return the generator and its control."""
    small = {"latent": 8, "hidden": 16, "vocabulary": 400, "tuples": 40, "epochs": 1, "written": 20}
    yield NegativeGeneratorSpec(
        name="quarts.variational",
        summary="Writes hard mismatching queries inside the classifier, by a variational encoder-decoder.",
        config=VariationalConfig,
        factory="prodmatch_quarts.variational:VariationalGenerator",
        example={**small, "after": 0},
        needs={"tokens", "judgements", "class_labels"},
        paper=f"{PAPER}, sections 3.2 and 3.3",
    )
    yield NegativeGeneratorSpec(
        name="quarts.noise",
        summary="Gaussian noise on the states of some matching queries: the control of a generator.",
        config=NoiseConfig,
        factory="prodmatch_quarts.noise:NoiseGenerator",
        needs={"tokens", "class_labels"},
    )


@hookimpl
def prodmatch_datasets() -> Iterator[DatasetSpec]:
    """Return the other control: generated queries as rows."""
    yield DatasetSpec(
        name="quarts.augmented",
        summary="Generated queries, written by an earlier run, as further training pairs: the control of a generator.",
        config=AugmentedConfig,
        factory="prodmatch_quarts.augment:read",
        example={"path": "tiny", "generated": "generated.parquet"},
        sample="prodmatch_quarts.augment:sample",
        gives={"products", "queries", "judgements", "engagements"},
        paper=f"{PAPER}, section 4: the classifier with data augmentation",
    )


@hookimpl
def prodmatch_report_sections(run: Run) -> Iterable[Section]:
    """Return the sections on attention and on generated queries, for runs that have them."""
    if run.task.answer != "classes":
        return []
    from prodmatch_quarts.section import sections

    return sections(run)
