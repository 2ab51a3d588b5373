"""Core's own parts, registered through the same hooks as everyone's.

Imports nothing but the records: configuration classes are named by dotted strings, because `prodmatch --help` and
`prodmatch plugins` read this module every time they start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prodmatch_core import hookimpl
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

HERE = "prodmatch_core.builtin"
DATA = "prodmatch_core.data"
EVALUATION = "prodmatch_core.evaluation"
PAIRS = frozenset({"products", "queries", "judgements"})
"The tables that a file of judged pairs gives."


def _vectors(config: Any) -> frozenset[str]:
    """Return what an encoder gives that reads query and product together, or each alone, by its mode."""
    return frozenset({"embeddings"} if config.mode == "two_tower" else {"pairs"})


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the plain encoders."""
    yield EncoderSpec(
        name="core.ngram",
        summary="Hashed character n-grams: fast on a CPU, any language, sturdy against misspelling.",
        factory=f"{HERE}.ngram:NgramEncoder",
        config=f"{HERE}.configs:NgramConfig",
        needs={"judgements"},
        gives=_vectors,
        paper="arXiv 1607.04606, section 3.2 (n-grams of words as bags of hashed vectors)",
    )
    yield EncoderSpec(
        name="core.transformer",
        summary="Any Hugging Face encoder, or a small one made on the spot; as cross-encoder or two towers.",
        factory=f"{HERE}.transformer:TransformerEncoder",
        config=f"{HERE}.transformer_config:TransformerConfig",
        needs={"judgements"},
        gives=_vectors,
        paper="cross-encoder: arXiv 1901.04085, section 2; two towers: arXiv 1908.10084, section 3",
    )
    yield EncoderSpec(
        name="core.overlap",
        summary="Logistic regression on word-overlap features: the line every result is printed beside.",
        factory=f"{HERE}.overlap:OverlapEncoder",
        config=f"{HERE}.configs:OverlapConfig",
        needs={"judgements"},
        gives={"probabilities"},
    )


@hookimpl
def prodmatch_negative_generators() -> Iterator[NegativeGeneratorSpec]:
    """Return the plain negative generators."""
    yield NegativeGeneratorSpec(
        name="core.random_negatives",
        summary="Products drawn evenly from the corpus, in the query's locale.",
        factory=f"{HERE}.random_negatives:RandomNegatives",
        config=f"{HERE}.configs:NegativesConfig",
        needs={"judgements"},
    )
    yield NegativeGeneratorSpec(
        name="core.in_batch_negatives",
        summary="Products of other rows of the batch.",
        factory=f"{HERE}.in_batch_negatives:InBatchNegatives",
        config=f"{HERE}.configs:NegativesConfig",
        needs={"judgements"},
    )


@hookimpl
def prodmatch_losses() -> Iterator[LossSpec]:
    """Return the plain losses."""
    yield LossSpec(
        name="core.cross_entropy",
        summary="Cross entropy over the classes, with label smoothing and class weights.",
        factory=f"{HERE}.cross_entropy:CrossEntropyLoss",
        config=f"{HERE}.configs:CrossEntropyConfig",
        needs={"logits"},
    )
    yield LossSpec(
        name="core.bce",
        summary="Binary cross entropy of each class against the rest.",
        factory=f"{HERE}.bce:BinaryCrossEntropyLoss",
        needs={"logits"},
    )
    yield LossSpec(
        name="core.focal",
        summary="Cross entropy that counts examples less the surer the model is of them.",
        factory=f"{HERE}.focal:FocalLoss",
        config=f"{HERE}.configs:FocalConfig",
        needs={"logits"},
        paper="arXiv 1708.02002, equations 4 and 5",
    )
    yield LossSpec(
        name="core.in_batch_softmax",
        summary="A matching product against all other products of the batch, by cosine (InfoNCE).",
        factory=f"{HERE}.in_batch_softmax:InBatchSoftmaxLoss",
        config=f"{HERE}.configs:InBatchSoftmaxConfig",
        needs={"similarity"},
        paper="arXiv 1807.03748, equation 4",
    )


@hookimpl
def prodmatch_graph_samplers() -> Iterator[GraphSamplerSpec]:
    """Return the plain graph sampler."""
    yield GraphSamplerSpec(
        name="core.uniform_sampler",
        summary="Some neighbours of each node, all equally likely, none twice.",
        factory=f"{HERE}.uniform_sampler:UniformSampler",
        config=f"{HERE}.configs:UniformSamplerConfig",
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
        factory=f"{HERE}.mean:MeanAggregator",
        config=f"{HERE}.configs:MeanConfig",
        gives={"uncertainty"},
    )
    yield AggregatorSpec(
        name="core.logistic",
        summary="Logistic regression on the members' log-probabilities, learnt out of fold.",
        factory=f"{HERE}.logistic:LogisticAggregator",
        config=f"{HERE}.configs:LogisticConfig",
        needs={"out_of_fold"},
        gives={"uncertainty"},
        paper="Wolpert, Stacked generalization, Neural Networks 5(2), 1992",
    )


@hookimpl
def prodmatch_calibrators() -> Iterator[CalibratorSpec]:
    """Return the plain calibrators."""
    yield CalibratorSpec(
        name="core.temperature",
        summary="One temperature for all probabilities; changes no decision.",
        factory=f"{HERE}.temperature:TemperatureCalibrator",
        paper="arXiv 1706.04599, section 4.2",
    )
    yield CalibratorSpec(
        name="core.isotonic",
        summary="A non-decreasing curve per class, fitted to what was observed.",
        factory=f"{HERE}.isotonic:IsotonicCalibrator",
        config=f"{HERE}.configs:IsotonicConfig",
        paper="Zadrozny and Elkan, KDD 2002, sections 3 and 4",
    )
    yield CalibratorSpec(
        name="core.threshold",
        summary="Accepts pairs from the P(match) of best F1, or of most recall at a precision.",
        factory=f"{HERE}.threshold:ThresholdCalibrator",
        config=f"{HERE}.configs:ThresholdConfig",
    )


@hookimpl
def prodmatch_datasets() -> Iterator[DatasetSpec]:
    """Return the embedded shop and the readers."""
    yield DatasetSpec(
        name="shop.synthetic",
        summary="The embedded shop: a seeded world whose truth is known.",
        factory=f"{DATA}.shop.reading:read",
        config=f"{DATA}.shop.config:ShopConfig",
        writer=f"{DATA}.shop.generate:write_shop",
        gives=PAIRS | {"engagements", "events"},
    )
    yield DatasetSpec(
        name="core.pairs",
        summary="Query-product-label files: CSV, TSV, JSON lines, Parquet, plain or gzipped.",
        factory=f"{DATA}.pairs:read",
        config=f"{DATA}.pairs_config:PairsConfig",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.crowdflower",
        summary="CrowdFlower search relevance: four grades with rater variance, or binary.",
        factory=f"{DATA}.public_pairs:read_crowdflower",
        config=f"{DATA}.pairs_config:CrowdflowerConfig",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.homedepot",
        summary="Home Depot search relevance: mean rating as match and mismatch, or three grades.",
        factory=f"{DATA}.public_pairs:read_homedepot",
        config=f"{DATA}.pairs_config:HomeDepotConfig",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.folder",
        summary="A folder prodmatch wrote: Parquet tables and dataset.toml.",
        factory=f"{DATA}.folder:read",
        config=f"{DATA}.folder_config:FolderConfig",
        gives=PAIRS | {"engagements", "groups", "events"},
    )


@hookimpl
def prodmatch_measures() -> Iterator[MeasureSpec]:
    """Return the measures of class predictions, of probabilities and of rankings."""
    for name, module, summary, direction in (
        (
            "macro_f1",
            "classification",
            "F1 averaged over the classes, rare ones counting like others.",
            "higher",
        ),
        (
            "weighted_f1",
            "classification",
            "F1 averaged over the classes by their number of examples.",
            "higher",
        ),
        (
            "micro_f1",
            "classification",
            "F1 over all decisions; with one class per example, the accuracy.",
            "higher",
        ),
        ("accuracy", "classification", "Share of examples decided right.", "higher"),
        ("kappa", "classification", "Agreement beyond chance (Cohen).", "higher"),
        ("quadratic_kappa", "classification", "Agreement beyond chance; far misses cost more.", "higher"),
        ("match_f1", "probability", "F1 of the decision that a pair matches.", "higher"),
        ("mismatch_f1", "probability", "F1 of the decision that a pair does not match.", "higher"),
        ("average_precision", "probability", "Area under precision and recall of the match.", "higher"),
        (
            "mismatch_average_precision",
            "probability",
            "Area under precision and recall of the mismatch.",
            "higher",
        ),
        ("roc_auc", "probability", "Chance that a match scores above a mismatch.", "higher"),
        ("nll", "probability", "Mean negative log-likelihood of the true class, in nats.", "lower"),
        ("brier", "probability", "Squared distance of the probabilities from the truth.", "lower"),
        ("ece", "probability", "Gap between confidence and accuracy, in 15 bins.", "lower"),
        (
            "ndcg",
            "ranking",
            "Discounted gain of the ranking over the ideal one, averaged over queries.",
            "higher",
        ),
        ("mrr", "ranking", "Reciprocal rank of the first match, averaged over queries.", "higher"),
    ):
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"{EVALUATION}.{module}:{name}",
            needs={"judgements"},
            direction=direction,
        )
    for name, function, summary in (
        ("ndcg@10", "ndcg_at_10", "nDCG of the first ten products."),
        (
            "map",
            "mean_average_precision",
            "Average precision of each query's ranking, averaged over queries.",
        ),
        ("recall@10", "recall_at_10", "Share of a query's matches among the first ten products."),
    ):
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"{EVALUATION}.ranking:{function}",
            needs={"judgements"},
            direction="higher",
        )
