"""Core's own parts, registered through the same hooks as everyone's.

Imports nothing but the records: configuration classes are named by dotted strings, because `prodmatch --help` and
`prodmatch plugins` read this module every time they start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prodmatch_core import hookimpl
from prodmatch_core.builtin.datasets import datasets
from prodmatch_core.builtin.measures import measures
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


def _texts(config: Any) -> frozenset[str]:
    """Return what such an encoder reads: both sides of an example together, or texts of any kind."""
    return frozenset({"texts"} if config.mode == "two_tower" else {"pair_texts"})


def _vectors(config: Any) -> frozenset[str]:
    """Return what an encoder gives that reads query and product together, or each alone, by its mode."""
    return frozenset({"embeddings"} if config.mode == "two_tower" else {"pairs"})


def _mining_needs(config: Any) -> frozenset[str]:
    """Return what a miner needs: embeddings where it asks the member's own encoder."""
    from prodmatch_core.builtin.mined_config import needs

    return needs(config)


@hookimpl
def prodmatch_encoders() -> Iterator[EncoderSpec]:
    """Return the plain encoders."""
    yield EncoderSpec(
        name="core.ngram",
        summary="Hashed character n-grams: fast on a CPU, any language, sturdy against misspelling.",
        factory=f"{HERE}.ngram:NgramEncoder",
        config=f"{HERE}.configs:NgramConfig",
        needs=_texts,
        gives=_vectors,
        paper="arXiv 1607.04606, section 3.2 (n-grams of words as bags of hashed vectors)",
    )
    yield EncoderSpec(
        name="core.transformer",
        summary="Any Hugging Face encoder, or a small one made on the spot; as cross-encoder or two towers.",
        factory=f"{HERE}.transformer:TransformerEncoder",
        config=f"{HERE}.transformer_config:TransformerConfig",
        example={"hidden": 32, "layers": 1, "heads": 2, "vocabulary": 400, "max_length": 32},
        needs=_texts,
        gives=_vectors,
        paper="cross-encoder: arXiv 1901.04085, section 2; two towers: arXiv 1908.10084, section 3",
    )
    yield EncoderSpec(
        name="core.node_vectors",
        summary="A source and a target vector of every product, learnt from the edges alone.",
        factory=f"{HERE}.node_vectors:NodeVectorsEncoder",
        config=f"{HERE}.structure_configs:NodeVectorsConfig",
        needs={"engagements"},
        gives={"embeddings", "directed"},
        paper="arXiv 1503.03578, section 4.1.2 (second-order proximity, a vertex and a context vector)",
    )
    yield EncoderSpec(
        name="core.graph_nodes",
        summary="Queries and products as nodes of the graph of engagements, through any network over graphs.",
        factory=f"{HERE}.graph_nodes:GraphNodesEncoder",
        config=f"{HERE}.graph_configs:GraphNodesConfig",
        example={"nodes": {"use": "core.mean_nodes"}},
        needs={"engagements", "blocks", "nodes"},
        gives={"embeddings"},
        paper="arXiv 1706.02216, section 3",
    )
    yield EncoderSpec(
        name="core.mean_nodes",
        summary="A node's own vector beside the mean of its neighbours': a plain network over graphs.",
        factory=f"{HERE}.mean_nodes:MeanNodesEncoder",
        config=f"{HERE}.graph_configs:MeanNodesConfig",
        gives={"nodes"},
        paper="arXiv 1706.02216, algorithm 1",
    )
    yield EncoderSpec(
        name="core.event_features",
        summary="Hashed embeddings of an event's categories beside its numbers, and layers over both.",
        factory=f"{HERE}.event_features:EventFeaturesEncoder",
        config=f"{HERE}.structure_configs:EventFeaturesConfig",
        needs={"event_features"},
        gives={"pairs"},
        paper="embeddings and layers: arXiv 1606.07792, section 3.2; hashing: arXiv 0902.2206",
    )
    yield EncoderSpec(
        name="core.overlap",
        summary="Logistic regression on word-overlap features: the line every result is printed beside.",
        factory=f"{HERE}.overlap:OverlapEncoder",
        config=f"{HERE}.configs:OverlapConfig",
        needs={"pair_texts", "class_labels"},
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
        needs={"pair_texts", "class_labels"},
    )
    yield NegativeGeneratorSpec(
        name="core.in_batch_negatives",
        summary="Products of other rows of the batch.",
        factory=f"{HERE}.in_batch_negatives:InBatchNegatives",
        config=f"{HERE}.configs:NegativesConfig",
        needs={"pair_texts", "class_labels"},
    )
    yield NegativeGeneratorSpec(
        name="core.mined_negatives",
        summary="Unjudged products that a lexical index or an encoder ranks high for the query.",
        factory=f"{HERE}.mined_negatives:MinedNegatives",
        config=f"{HERE}.mined_config:MinedConfig",
        needs=_mining_needs,
        paper="margins: arXiv 2407.15831, section 3; renewal: arXiv 2007.00808, section 4",
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
        name="core.metric",
        summary="Any loss of pytorch-metric-learning by its name, with any of its miners.",
        factory=f"{HERE}.metric:MetricLoss",
        config=f"{HERE}.structure_configs:MetricConfig",
        needs={"similarity"},
        paper="arXiv 2008.09164; each loss has its own",
    )
    yield LossSpec(
        name="core.in_batch_softmax",
        summary="A matching product against all other products of the batch, by cosine (InfoNCE).",
        factory=f"{HERE}.in_batch_softmax:InBatchSoftmaxLoss",
        config=f"{HERE}.configs:InBatchSoftmaxConfig",
        needs={"similarity", "class_labels"},
        paper="arXiv 1807.03748, equation 4",
    )


@hookimpl
def prodmatch_graph_samplers() -> Iterator[GraphSamplerSpec]:
    """Return the plain graph samplers."""
    yield GraphSamplerSpec(
        name="core.uniform_sampler",
        summary="Some neighbours of each node, all equally likely, none twice.",
        factory=f"{HERE}.neighbour_samplers:UniformSampler",
        config=f"{HERE}.configs:UniformSamplerConfig",
        gives={"blocks"},
        paper="arXiv 1706.02216, section 3.1",
    )
    yield GraphSamplerSpec(
        name="core.weighted_sampler",
        summary="Some neighbours of each node, as likely as their edges weigh, none twice.",
        factory=f"{HERE}.neighbour_samplers:WeightedSampler",
        config=f"{HERE}.graph_configs:WeightedSamplerConfig",
        needs={"engagements"},
        gives={"blocks"},
        paper="successive sampling: Efraimidis and Spirakis, Information Processing Letters 97(5), 2006",
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
        monotone=True,
        paper="arXiv 1706.04599, section 4.2",
    )
    yield CalibratorSpec(
        name="core.isotonic",
        summary="A non-decreasing curve per class, fitted to what was observed.",
        factory=f"{HERE}.isotonic:IsotonicCalibrator",
        monotone=True,
        config=f"{HERE}.configs:IsotonicConfig",
        paper="Zadrozny and Elkan, KDD 2002, sections 3 and 4",
    )
    yield CalibratorSpec(
        name="core.threshold",
        summary="Accepts pairs from the P(match) of best F1, or of most recall at a precision.",
        factory=f"{HERE}.threshold:ThresholdCalibrator",
        monotone=True,
        config=f"{HERE}.configs:ThresholdConfig",
    )


@hookimpl
def prodmatch_datasets() -> Iterator[DatasetSpec]:
    """Return the embedded shop and the readers."""
    return datasets()


@hookimpl
def prodmatch_measures() -> Iterator[MeasureSpec]:
    """Return the measures of class predictions, of probabilities and of rankings."""
    return measures()
