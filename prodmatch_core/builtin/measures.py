"""Records of the measures. Imports nothing but the records."""

from __future__ import annotations

from collections.abc import Iterator

from prodmatch_core.records import MeasureSpec

EVALUATION = "prodmatch_core.evaluation"
_BOUNDS = {
    "kappa": (-1.0, 1.0),
    "quadratic_kappa": (-1.0, 1.0),
    "nll": (0.0, float("inf")),
    "brier": (0.0, 2.0),
}
"Lowest and highest value of the measures that do not run from 0 to 1."


def measures() -> Iterator[MeasureSpec]:
    """Yield the measures of class predictions, of probabilities and of rankings."""
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
