"""Registers the parts that come with the core, through the same hooks as everyone's. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from prodmatch_core import hookimpl
from prodmatch_core.builtin import configs
from prodmatch_core.builtin.transformer_config import TransformerConfig, transformer_gives
from prodmatch_core.data.folder_config import FolderConfig
from prodmatch_core.data.pairs_config import CrowdflowerConfig, HomeDepotConfig, PairsConfig
from prodmatch_core.data.shop.config import ShopConfig
from prodmatch_core.records import (
    AggregatorSpec,
    CalibratorSpec,
    DatasetSpec,
    EncoderSpec,
    GraphSamplerSpec,
    LossSpec,
    MeasureSpec,
    NegativeGeneratorSpec,
)

PAIRS = frozenset({"products", "queries", "judgements"})
"The tables that a file of judged pairs gives."
TABLES = PAIRS | {"engagements", "groups", "events"}
"The tables there are."


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the plain encoders."""
    yield EncoderSpec(
        name="core.ngram",
        summary="Hashed character n-grams: fast on a CPU, at home in every language.",
        config=configs.NgramConfig,
        factory="prodmatch_core.builtin.ngram:NgramEncoder",
        needs={"judgements"},
        gives=configs.ngram_gives,
        paper="hashed n-grams as in arXiv 1607.04606, section 3.2",
    )
    yield EncoderSpec(
        name="core.transformer",
        summary="Any Hugging Face encoder, or a small one trained from scratch; one or two towers.",
        config=TransformerConfig,
        factory="prodmatch_core.builtin.transformer:TransformerEncoder",
        needs={"judgements"},
        gives=transformer_gives,
        paper="cross-encoder: arXiv 1901.04085, section 2; two towers: arXiv 1908.10084, section 3",
    )
    yield EncoderSpec(
        name="core.overlap",
        summary="Logistic regression on word overlap: the baseline beside every run.",
        config=configs.OverlapConfig,
        factory="prodmatch_core.builtin.overlap:Overlap",
        needs={"judgements"},
        gives={"probabilities"},
    )


@hookimpl
def prodmatch_negative_generators() -> Iterator[NegativeGeneratorSpec]:
    """Return the plain negative generators."""
    yield NegativeGeneratorSpec(
        name="core.random_negatives",
        summary="Products drawn from the whole catalogue.",
        config=configs.RandomNegativesConfig,
        factory="prodmatch_core.builtin.negatives:RandomNegatives",
        needs={"judgements"},
    )
    yield NegativeGeneratorSpec(
        name="core.in_batch_negatives",
        summary="Products of the batch's other rows.",
        config=configs.InBatchNegativesConfig,
        factory="prodmatch_core.builtin.negatives:InBatchNegatives",
        needs={"judgements"},
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the plain losses."""
    yield LossSpec(
        name="core.cross_entropy",
        summary="Softmax cross-entropy.",
        config=configs.CrossEntropyConfig,
        factory="prodmatch_core.builtin.losses:CrossEntropy",
        needs={"logits"},
    )
    yield LossSpec(
        name="core.bce",
        summary="One logistic loss per class against the rest.",
        config=configs.BinaryCrossEntropyConfig,
        factory="prodmatch_core.builtin.losses:BinaryCrossEntropy",
        needs={"logits"},
    )
    yield LossSpec(
        name="core.focal",
        summary="Cross-entropy that looks away from what is easy.",
        config=configs.FocalConfig,
        factory="prodmatch_core.builtin.losses:Focal",
        needs={"logits"},
        paper="arXiv 1708.02002, equation 4",
    )
    yield LossSpec(
        name="core.in_batch_softmax",
        summary="Each matching query prefers its product to the batch's others (InfoNCE).",
        config=configs.InBatchSoftmaxConfig,
        factory="prodmatch_core.builtin.losses:InBatchSoftmax",
        needs={"similarity"},
        paper="arXiv 1807.03748, equation 4",
    )


@hookimpl
def prodmatch_graph_samplers() -> Iterator[GraphSamplerSpec]:
    """Return the plain graph sampler."""
    yield GraphSamplerSpec(
        name="core.uniform_sampler",
        summary="A fixed number of neighbours, all alike, without replacement.",
        config=configs.UniformSamplerConfig,
        factory="prodmatch_core.builtin.sampler:UniformSampler",
        needs={"engagements"},
        gives={"blocks"},
        paper="arXiv 1706.02216, section 3.1",
    )


@hookimpl
def prodmatch_aggregators() -> Iterator[AggregatorSpec]:
    """Return the plain aggregators."""
    yield AggregatorSpec(
        name="core.mean",
        summary="The members' average; their disagreement is the uncertainty.",
        config=configs.MeanConfig,
        factory="prodmatch_core.builtin.aggregators:Mean",
        gives={"uncertainty"},
    )
    yield AggregatorSpec(
        name="core.logistic",
        summary="Logistic regression over the members, fitted out of fold.",
        config=configs.LogisticConfig,
        factory="prodmatch_core.builtin.aggregators:Logistic",
        needs={"out_of_fold"},
        gives={"uncertainty"},
    )


@hookimpl
def prodmatch_calibrators() -> Iterator[CalibratorSpec]:
    """Return the plain calibrators."""
    yield CalibratorSpec(
        name="core.temperature",
        summary="One number that softens or sharpens all probabilities.",
        config=configs.TemperatureConfig,
        factory="prodmatch_core.builtin.calibrators:Temperature",
        paper="arXiv 1706.04599, section 4.2",
    )
    yield CalibratorSpec(
        name="core.isotonic",
        summary="One rising step function per class.",
        config=configs.IsotonicConfig,
        factory="prodmatch_core.builtin.calibrators:Isotonic",
        paper="Zadrozny and Elkan, KDD 2002",
    )
    yield CalibratorSpec(
        name="core.threshold",
        summary="One threshold on the match score: best F1, or a precision to hold.",
        config=configs.ThresholdConfig,
        factory="prodmatch_core.builtin.calibrators:Threshold",
    )


@hookimpl
def prodmatch_datasets() -> Iterator[DatasetSpec]:
    """Return the embedded shop and the readers."""
    yield DatasetSpec(
        name="shop.synthetic",
        summary="The embedded shop: a seeded world whose truth is known.",
        config=ShopConfig,
        factory="prodmatch_core.data.shop.reading:read",
        gives=PAIRS | {"engagements", "events"},
    )
    yield DatasetSpec(
        name="core.pairs",
        summary="A file of judged query-product pairs: CSV, TSV, JSON lines or Parquet.",
        config=PairsConfig,
        factory="prodmatch_core.data.pairs:read",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.crowdflower",
        summary="CrowdFlower search relevance: four grades with rater variance.",
        config=CrowdflowerConfig,
        factory="prodmatch_core.data.public_pairs:read_crowdflower",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.homedepot",
        summary="Home Depot search relevance: match and mismatch, or three grades.",
        config=HomeDepotConfig,
        factory="prodmatch_core.data.public_pairs:read_homedepot",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.folder",
        summary="A folder of Parquet tables that `prodmatch data` wrote.",
        config=FolderConfig,
        factory="prodmatch_core.data.folder:read",
        gives=TABLES,
    )


@hookimpl
def prodmatch_measures() -> Iterator[MeasureSpec]:
    """Return the measures of the match task."""
    for name, function, direction, summary in (
        ("accuracy", "classification:accuracy", "higher", "Share of rows decided rightly."),
        ("macro_f1", "classification:macro_f1", "higher", "F1 averaged over classes, each alike."),
        ("micro_f1", "classification:micro_f1", "higher", "F1 over all decisions together."),
        ("weighted_f1", "classification:weighted_f1", "higher", "F1 averaged by how frequent a class is."),
        ("kappa", "classification:kappa", "higher", "Agreement beyond chance."),
        (
            "quadratic_kappa",
            "classification:quadratic_kappa",
            "higher",
            "Agreement that forgives near misses.",
        ),
        ("match_f1", "probability:match_f1", "higher", "F1 of matches against mismatches."),
        ("mismatch_f1", "probability:mismatch_f1", "higher", "F1 of mismatches against matches."),
        (
            "average_precision",
            "probability:average_precision",
            "higher",
            "Area under precision-recall of matches.",
        ),
        (
            "mismatch_average_precision",
            "probability:mismatch_average_precision",
            "higher",
            "Area under precision-recall of mismatches.",
        ),
        ("roc_auc", "probability:roc_auc", "higher", "Chance that a match outscores a mismatch."),
        ("nll", "probability:nll", "lower", "Mean negative log-likelihood of the true class."),
        ("brier", "probability:brier", "lower", "Mean squared error of the probabilities."),
        ("ece", "probability:ece", "lower", "Expected calibration error, 15 equal-width bins."),
        ("ndcg", "ranking:ndcg", "higher", "Discounted gain over a perfect ranking's, whole list."),
        ("ndcg@10", "ranking:ndcg_at_10", "higher", "Discounted gain of the first ten."),
        ("mrr", "ranking:mrr", "higher", "Reciprocal rank of the first match."),
        ("map", "ranking:mean_average_precision", "higher", "Average precision, averaged over queries."),
        ("recall@10", "ranking:recall_at_10", "higher", "Share of a query's matches in its first ten."),
    ):
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"prodmatch_core.evaluation.{function}",
            needs={"judgements"},
            direction=direction,
        )
