"""What a measure must do."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.records import MeasureSpec
from prodmatch_core.testing.benches.measures import PRODUCTS, QUERIES, found, measure_of, of_neighbours, value
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.subject import Subject
from prodmatch_core.testing.worlds import BINARY
from prodmatch_core.training import seeds

TOLERANCE = 1e-6


def check_direction_is_as_declared(subject: Subject) -> None:
    """Predictions without a fault are better, in the declared direction, than those that are all wrong."""
    assert isinstance(subject.spec, MeasureSpec)
    perfect, worst = (value(subject, found(subject, quality)) for quality in ("perfect", "worst"))
    higher = subject.spec.direction == "higher"
    if not (perfect > worst if higher else perfect < worst):
        raise Nonconformance(
            f"predictions without a fault have {perfect:.6g}, those all wrong {worst:.6g}, and the record says "
            f"that {subject.spec.direction} is better. Correct the measure or its direction."
        )


def check_perfect_is_the_bound(subject: Subject) -> None:
    """Predictions without a fault reach the better end of the record's `bounds`."""
    low, high = _bounds(subject)
    assert isinstance(subject.spec, MeasureSpec)
    best = high if subject.spec.direction == "higher" else low
    perfect = value(subject, found(subject, "perfect"))
    if abs(perfect - best) > TOLERANCE:
        raise Nonconformance(
            f"predictions without a fault have {perfect:.6g}, and the record's bounds say {best:g}. Correct "
            "one of them."
        )


def check_stays_within_bounds(subject: Subject) -> None:
    """No predictions, by chance, all wrong or without a fault, have a value outside the record's `bounds`."""
    low, high = _bounds(subject)
    for quality in ("random", "worst", "perfect"):
        for scheme in (BINARY, ESCI) if quality == "random" else (BINARY,):
            got = value(subject, found(subject, quality, scheme))
            if not low - TOLERANCE <= got <= high + TOLERANCE:
                raise Nonconformance(
                    f"{quality} predictions have {got:.6g}, outside the record's bounds {low:g} to {high:g}. "
                    "Correct the measure or its bounds."
                )


def check_row_order_does_not_matter(subject: Subject) -> None:
    """The same rows in another order have the same value."""
    predictions = found(subject, "random")
    order = seeds.rng(0, "kit", "order").permutation(len(predictions.example_weights))
    plain, other = value(subject, predictions), value(subject, predictions.subset(order))
    if abs(plain - other) > TOLERANCE:
        raise Nonconformance(
            f"the same rows in another order have {other:.6g} instead of {plain:.6g}. Let no row's place decide."
        )


def check_weights_count_rows(subject: Subject) -> None:
    """Queries of weight 0 count like no query, and those of weight 2 like two: bootstrap replicates are weights."""
    predictions = found(subject, "random")
    query = np.arange(QUERIES) if of_neighbours(subject) else np.repeat(np.arange(QUERIES), PRODUCTS)
    times = np.array([2, 0, 1, 1, 0, 2, 1, 1])
    rows = [np.flatnonzero(query == q) for q, n in enumerate(times) for _ in range(n)]
    weighted = value(subject, predictions, times[query].astype(np.float64))
    repeated = value(subject, _repeated(predictions, rows))
    if not np.isclose(weighted, repeated, rtol=1e-6, atol=TOLERANCE):
        raise Nonconformance(
            f"queries under weights have {weighted:.6g}, and so many times {repeated:.6g}. Use the weights the "
            "statistic is called with, for every row."
        )


def check_undefined_is_nan(subject: Subject) -> None:
    """Where no row has a weight the value is NaN: the bootstrap leaves it out, and an error would end the run."""
    predictions = found(subject, "random")
    got = measure_of(subject)(predictions)(np.zeros(len(predictions.example_weights)))
    if not np.isnan(got):
        raise Nonconformance(
            f"where every weight is 0 the value is {got:.6g}. Return NaN, as `evaluated.ratio` does."
        )


def _bounds(subject: Subject) -> tuple[float, float]:
    assert isinstance(subject.spec, MeasureSpec)
    if subject.spec.bounds is None:
        raise Skipped("the record declares no bounds")
    return subject.spec.bounds


def _repeated(predictions: Evaluated | Retrieved, rows: list[np.ndarray]) -> Evaluated | Retrieved:
    """Return the rows of each query in `rows`, each as a query of its own."""
    every = np.concatenate(rows)
    groups = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    arrays = {
        field.name: values[every] if isinstance(values, np.ndarray) else values
        for field in attrs.fields(type(predictions))
        for values in [getattr(predictions, field.name)]
    }
    if isinstance(predictions, Retrieved) and predictions.space is not None:
        arrays["space"] = predictions.space.subset(every)
    return type(predictions)(**{**arrays, "groups": groups})
