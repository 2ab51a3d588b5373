"""Put the figures of a run together: every line of the headline table, slices, the surest mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.calibrator import Decisions
from prodmatch_core.data.corpus import Examples
from prodmatch_core.data.dataset import Dataset, LabelScheme
from prodmatch_core.evaluation.classification import accuracy, confusion_matrix, per_class_f1
from prodmatch_core.evaluation.evaluated import Evaluated, Measure, Statistic
from prodmatch_core.evaluation.majority import majority
from prodmatch_core.evaluation.ranking import tie_share
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.evaluation.significance import Interval, intervals, paired_bootstrap
from prodmatch_core.evaluation.slices import Slice, by_frequency, by_locale
from prodmatch_core.records import MeasureSpec
from prodmatch_core.sections import Evaluation


@attrs.frozen(eq=False)
class Line:
    """One line of the headline table: who predicts, and what; no probabilities means the majority class."""

    name: str
    kind: str
    probabilities: np.ndarray | None
    decisions: np.ndarray | None
    "(n,) int64; None decides for the likeliest class."


def assess(
    lines: Sequence[Line],
    *,
    examples: Examples,
    groups: np.ndarray,
    train_labels: np.ndarray,
    rows: pl.DataFrame,
    scheme: LabelScheme,
    measures: Sequence[MeasureSpec],
    headline: str,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of all lines on the test split; the last line is the pipeline's own.

    Args:
        lines: who is measured.
        examples: the test split.
        groups: (n,) int64 number of each example's group, 0..G-1; groups are resampled whole.
        train_labels: class index of every training row, for the majority class.
        rows: the judgements behind `examples`, in the same order.
        scheme: the labels.
        measures: what is measured.
        headline: the measure that differences and slices are given in.
        evaluation: replicates and level of the intervals.
        seed: of the resamples; every line is measured on the same ones.
    """
    tie_break = tie_break_of(rows, evaluation.ties)
    found = [_evaluated(line, examples, groups, train_labels, scheme, tie_break) for line in lines]
    final = found[-1]
    prepare: dict[str, Measure] = {spec.name: spec.load() for spec in measures}
    settings: dict[str, Any] = {"seed": seed, "replicates": evaluation.replicates, "level": evaluation.level}
    named = [(line.name, line.kind, evaluated) for line, evaluated in zip(lines, found, strict=True)]
    return {
        **_table(named, measures, headline, settings),
        "per_class": [attrs.asdict(scores) for scores in per_class_f1(final)],
        "confusion": confusion_matrix(final),
        "slices": [
            _slice(kind, piece, final, {headline: prepare[headline], "accuracy": accuracy}, settings)
            for kind, piece in slices_of(final, rows)
        ],
        "tie_share": tie_share(final)(final.example_weights),
        "ties": {"rule": evaluation.ties, **attrs.asdict(final.ranked.ties)},
        "gain_profile": {
            "name": evaluation.gain_profile,
            "gains": dict(zip(scheme.labels, scheme.gains, strict=True)),
        },
    }


def tie_break_of(rows: pl.DataFrame, ties: str) -> np.ndarray | None:
    """Return by which of equal scores the greater comes first, (n,) int64; None under the rule *expected*.

    Rows that are no query-product pairs have no product id; there the rule *trec* goes by their order.
    """
    if ties == "expected":
        return None
    if "product_id" not in rows.columns:
        return np.arange(rows.height)[::-1]
    # As in run.trec, whose ids hold no white space.
    return rows["product_id"].str.replace_all(r"\s+", "_").rank("dense").cast(pl.Int64).to_numpy()


@attrs.frozen(eq=False)
class RetrievedLine:
    """One line of the headline table of a task that ranks neighbours: who ranks, and what was found."""

    name: str
    kind: str
    found: Retrieved


def assess_retrieved(
    lines: Sequence[RetrievedLine],
    *,
    slices: Sequence[tuple[str, str, np.ndarray]],
    measures: Sequence[MeasureSpec],
    headline: str,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of all lines on the test queries; the last line is the pipeline's own.

    Args:
        lines: who is measured.
        slices: by what, name and (queries,) bool mask of parts of the queries.
        measures: what is measured.
        headline: the measure that differences and slices are given in.
        evaluation: replicates and level of the intervals.
        seed: of the resamples; every line is measured on the same ones.
    """
    settings: dict[str, Any] = {"seed": seed, "replicates": evaluation.replicates, "level": evaluation.level}
    final = lines[-1].found
    prepare = next(spec for spec in measures if spec.name == headline).load()
    parts = []
    for by, name, mask in slices:
        part = final.subset(mask)
        figures = intervals({headline: prepare(part)}, part, **settings)
        parts.append(
            {
                "by": by,
                "name": name,
                "examples": len(part.relevant),
                "queries": part.n_groups,
                "measures": {measure: _plain(figure) for measure, figure in figures.items()},
            }
        )
    named = [(line.name, line.kind, line.found) for line in lines]
    return {**_table(named, measures, headline, settings), "slices": parts}


def _table(
    lines: Sequence[tuple[str, str, Any]],
    measures: Sequence[MeasureSpec],
    headline: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return every line's measures with intervals, and the last line's differences from the others."""
    prepare = {spec.name: spec.load() for spec in measures}
    statistics: dict[str, dict[str, Statistic]] = {
        name: {measure: make(found) for measure, make in prepare.items()} for name, _, found in lines
    }
    flat = {(name, measure): s for name, own in statistics.items() for measure, s in own.items()}
    last, _, final = lines[-1]
    figures = intervals(flat, final, **settings)
    return {
        "headline": headline,
        "level": settings["level"],
        "directions": {spec.name: spec.direction for spec in measures},
        "lines": [
            {
                "name": name,
                "kind": kind,
                "measures": {measure: _plain(figures[name, measure]) for measure in prepare},
            }
            for name, kind, _ in lines
        ],
        "differences": [
            {
                "against": name,
                "measure": headline,
                **attrs.asdict(
                    paired_bootstrap(
                        statistics[last][headline], statistics[name][headline], final, **settings
                    )
                ),
            }
            for name, _, _ in lines[:-1]
        ],
    }


def evaluated_from(
    examples: Examples,
    probabilities: np.ndarray,
    scheme: LabelScheme,
    decisions: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    tie_break: np.ndarray | None = None,
) -> Evaluated:
    """Return examples and their probabilities in the form measures read.

    Decisions default to the likeliest class, groups to the queries, equal scores to expectations over their orders.
    """
    return Evaluated(
        labels=examples.label,
        probabilities=probabilities,
        decisions=probabilities.argmax(axis=1) if decisions is None else decisions,
        groups=np.unique(examples.query, return_inverse=True)[1] if groups is None else groups,
        scheme=scheme,
        weights=examples.weight.astype(np.float64),
        tie_break=tie_break,
    )


def _evaluated(
    line: Line,
    examples: Examples,
    groups: np.ndarray,
    train_labels: np.ndarray,
    scheme: LabelScheme,
    tie_break: np.ndarray | None,
) -> Evaluated:
    classes = len(scheme.labels)
    reads_nothing = line.probabilities is None
    probabilities = np.full((len(examples), classes), 1 / classes) if reads_nothing else line.probabilities
    assert probabilities is not None
    evaluated = evaluated_from(examples, probabilities, scheme, line.decisions, groups, tie_break)
    return majority(evaluated, train_labels) if reads_nothing else evaluated


def slices_of(evaluated: Evaluated, rows: pl.DataFrame) -> list[tuple[str, Slice]]:
    """Return (by what, part) of a test set: its locales, and frequent and rare queries, as far as `rows` tell."""
    found: list[tuple[str, Slice]] = []
    if "locale" in rows.columns and rows["locale"].n_unique() > 1:
        locales = rows["locale"].to_numpy()
        found += [("locale", piece) for piece in by_locale(evaluated, locales)]
    frequency = None
    if "frequency" in rows.columns:
        frequency = np.full(evaluated.n_groups, np.nan)
        frequency[evaluated.groups] = rows["frequency"].to_numpy()
    if "query_id" in rows.columns:
        found += [("frequency", piece) for piece in by_frequency(evaluated, frequency)]
    return found


def _slice(
    kind: str,
    piece: Slice,
    evaluated: Evaluated,
    measures: Mapping[str, Measure],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    part = evaluated.subset(piece.mask)
    figures = intervals({name: make(part) for name, make in measures.items()}, part, **settings)
    return {
        "by": kind,
        "name": piece.name.removeprefix(f"{kind} "),
        "examples": piece.rows,
        "queries": piece.queries,
        "measures": {name: _plain(figure) for name, figure in figures.items()},
    }


def _plain(figure: Interval) -> dict[str, float]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def mistakes(
    rows: pl.DataFrame, decisions: Decisions, scheme: LabelScheme, dataset: Dataset, count: int
) -> list[dict[str, Any]]:
    """Return the `count` wrong decisions with the highest probability of the decided class, surest first.

    Args:
        rows: the judgements, one per decision.
        decisions: what was decided on them.
        scheme: the labels.
        dataset: for the texts, and the planted cause where the data set knows it.
        count: how many.
    """
    assert dataset.products is not None and dataset.queries is not None
    labels = np.array(scheme.labels, dtype=object)
    table = rows.select("query_id", "product_id", "locale", "label").with_columns(
        pl.Series("decided", labels[decisions.labels].tolist(), dtype=pl.String),
        pl.Series("probability", decisions.probabilities[np.arange(rows.height), decisions.labels]),
    )
    worst = table.filter(pl.col("label") != pl.col("decided")).sort(
        "probability", "query_id", "product_id", descending=[True, False, False]
    )
    # A product that fools one query often fools its neighbours; one mistake a query shows more of the world.
    worst = worst.unique("query_id", keep="first", maintain_order=True).head(count)
    worst = worst.join(dataset.queries.select("query_id", query="text"), on="query_id", how="left").join(
        dataset.products.select("product_id", "locale", "title"), on=["product_id", "locale"], how="left"
    )
    worst = worst.join(_causes(dataset), on=["query_id", "product_id"], how="left")
    return worst.sort("probability", "query_id", descending=[True, False]).to_dicts()


def _causes(dataset: Dataset) -> pl.DataFrame:
    """Return why each pair is what it is, where a synthetic world knows: the planted cause, or a rater's error."""
    truth = dataset.truth.get("judgements")
    if truth is None or not {"cause", "true_label"} <= set(truth.columns):
        return pl.DataFrame(schema={"query_id": pl.String, "product_id": pl.String, "cause": pl.String})
    assert dataset.judgements is not None
    ids = ["query_id", "product_id"]
    judged = dataset.judgements.select(*ids, "label")
    return truth.join(judged, on=ids).select(
        *ids,
        cause=pl.when(pl.col("label") != pl.col("true_label")).then(pl.lit("rater_error")).otherwise("cause"),
    )
