"""Core's own parts, registered through the same hooks as everyone's.

Imports nothing but the records: configuration classes are named by dotted strings, because `prodmatch --help` and
`prodmatch plugins` read this module every time they start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prodmatch_core import hookimpl
from prodmatch_core.evaluation.gains import ESCI_LABELS
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
SAMPLES = "prodmatch_core.testing.samples"
PAIRS = frozenset({"products", "queries", "judgements"})
"The tables that a file of judged pairs gives."
_BOUNDS = {
    "kappa": (-1.0, 1.0),
    "quadratic_kappa": (-1.0, 1.0),
    "nll": (0.0, float("inf")),
    "brier": (0.0, 2.0),
}
"Lowest and highest value of the measures that do not run from 0 to 1."


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


_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "groups": {"path": "items.csv"},
    "edges": {"path": "edges.csv"},
    "amazon_metadata": {"path": "amazon/meta_Toys.json.gz"},
    "events": {"path": "events.csv", "categorical": ["device"], "numeric": ["size"]},
}
"Examples of the readers of groups, graphs and events; the others read their files by default."


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
    yield DatasetSpec(
        name="shop.synthetic",
        summary="The embedded shop: a seeded world whose truth is known.",
        factory=f"{DATA}.shop.reading:read",
        config=f"{DATA}.shop.config:ShopConfig",
        labels=lambda config: ESCI_LABELS,
        writer=f"{DATA}.shop.generate:write_shop",
        example={"size": 400},
        gives=PAIRS | {"engagements", "events"},
    )
    yield DatasetSpec(
        name="core.pairs",
        summary="Query-product-label files: CSV, TSV, JSON lines, Parquet, plain or gzipped.",
        factory=f"{DATA}.pairs:read",
        config=f"{DATA}.pairs_config:PairsConfig",
        labels=lambda config: config.scheme.labels,
        example={"path": "pairs.csv"},
        sample=f"{SAMPLES}:pairs",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.crowdflower",
        summary="CrowdFlower search relevance: four grades with rater variance, or binary.",
        factory=f"{DATA}.public_pairs:read_crowdflower",
        config=f"{DATA}.pairs_config:CrowdflowerConfig",
        sample=f"{SAMPLES}:crowdflower",
        gives=PAIRS,
    )
    yield DatasetSpec(
        name="core.homedepot",
        summary="Home Depot search relevance: mean rating as match and mismatch, or three grades.",
        factory=f"{DATA}.public_pairs:read_homedepot",
        config=f"{DATA}.pairs_config:HomeDepotConfig",
        sample=f"{SAMPLES}:homedepot",
        gives=PAIRS,
    )
    for name, module, summary in (
        (
            "esci",
            "Esci",
            "Shopping Queries Data Set (ESCI): its two Parquet files, by version, locale and split.",
        ),
        ("wands", "Wands", "Wayfair Annotation Dataset (WANDS): its three tab-separated files."),
        ("magellan", "Magellan", "Magellan and DeepMatcher sets: pairs of records, one CSV file a split."),
    ):
        yield DatasetSpec(
            name=f"core.{name}",
            summary=summary,
            factory=f"{DATA}.{name}:read",
            config=f"{DATA}.official_config:{module}Config",
            example={"folder": "magellan"} if name == "magellan" else {},
            sample=f"{SAMPLES}:{name}",
            gives=PAIRS,
        )
    yield from _structured()
    yield DatasetSpec(
        name="core.folder",
        summary="A folder prodmatch wrote: Parquet tables and dataset.toml.",
        factory=f"{DATA}.folder:read",
        config=f"{DATA}.folder_config:FolderConfig",
        example={"path": "tiny"},
        sample=f"{SAMPLES}:canonical",
        gives=PAIRS | {"engagements", "groups", "events"},
    )


def _structured() -> Iterator[DatasetSpec]:
    """Yield the readers that give groups, a graph of products, or events."""
    groups, graph, events = {"products", "groups"}, {"products", "engagements"}, {"events"}
    for name, factory, config, gives, summary in (
        (
            "groups",
            "groups:read",
            "groups_config:GroupsConfig",
            groups,
            "Items labelled by group, one a row.",
        ),
        (
            "shopee",
            "groups:read_shopee",
            "groups_config:ShopeeConfig",
            groups,
            "Shopee price match guarantee: listings grouped by product.",
        ),
        (
            "edges",
            "edges:read",
            "graph_config:EdgesConfig",
            graph,
            "Directed product graphs: tables of edges, SNAP edge lists, npz arrays.",
        ),
        (
            "citeseer",
            "edges:read_citeseer",
            "graph_config:CiteseerConfig",
            graph,
            "Citeseer: directed citations, with the words of each paper.",
        ),
        (
            "amazon_metadata",
            "amazon_metadata:read",
            "graph_config:AmazonMetadataConfig",
            graph,
            "Amazon product metadata: also bought, also viewed.",
        ),
        ("events", "events:read", "events_config:EventsConfig", events, "Event logs with conversions."),
        (
            "criteo",
            "events:read_criteo",
            "events_config:CriteoConfig",
            events,
            "Criteo conversion logs: clicks and when they converted.",
        ),
        (
            "criteo_display",
            "events:read_criteo_display",
            "events_config:CriteoDisplayConfig",
            events,
            "Criteo display advertising: clicks in order of time, without times.",
        ),
        (
            "talkingdata",
            "events:read_talkingdata",
            "events_config:TalkingDataConfig",
            events,
            "TalkingData: clicks on advertisements, and downloads of the app.",
        ),
    ):
        yield DatasetSpec(
            name=f"core.{name}",
            summary=summary,
            factory=f"{DATA}.{factory}",
            config=f"{DATA}.{config}",
            example=_EXAMPLES.get(name, {}),
            sample=f"{SAMPLES}:{name}",
            gives=gives,
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
    ):
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"{EVALUATION}.{module}:{name}",
            needs={"classes"},
            direction=direction,
            bounds=_BOUNDS.get(name, (0.0, 1.0)),
        )
    for name, function, summary in (
        ("ndcg", "ndcg", "Discounted gain of the ranking over the ideal one, averaged over queries."),
        ("ndcg@k", "ndcg", "nDCG of the first k products."),
        ("mrr", "mrr", "Reciprocal rank of the first match, averaged over queries."),
        ("mrr@k", "mrr", "Reciprocal rank of the first match, 0 where the first k products hold none."),
        (
            "map",
            "mean_average_precision",
            "Average precision of each query's ranking, averaged over queries.",
        ),
        (
            "map@k",
            "mean_average_precision",
            "Average precision, matches after the first k products not found.",
        ),
        ("precision@k", "precision", "Share of the first k places that hold a match."),
        ("recall@k", "recall", "Share of a query's matches among its first k products."),
        ("hit_rate@k", "hit_rate", "Share of queries with a match among the first k products."),
    ):
        yield MeasureSpec(
            name=name,
            summary=summary,
            factory=f"{EVALUATION}.ranking:{function}",
            # Of neighbours only the first are kept: what counts every right one cannot be told from them.
            needs=frozenset() if name in ("mrr@k", "hit_rate@k") else {"classes"},
            direction="higher",
            reads="ranking",
            bounds=(0.0, 1.0),
        )
    yield MeasureSpec(
        name="map_at_r",
        summary="Precision averaged over the first R neighbours, R being how many are right.",
        factory=f"{EVALUATION}.retrieval:map_at_r",
        needs={"neighbours"},
        direction="higher",
        bounds=(0.0, 1.0),
        paper="arXiv 2003.08505, section 3.2",
    )
