"""What a calibrator must do."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.components.calibrator import Decisions, match_score
from prodmatch_core.data.dataset import ESCI
from prodmatch_core.records import CalibratorSpec
from prodmatch_core.testing.answers import Answer, difference, near
from prodmatch_core.testing.benches.calibrators import applied, fitted, rows_of, take
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.saved import saved_and_loaded
from prodmatch_core.testing.subject import Subject
from prodmatch_core.testing.worlds import BINARY
from prodmatch_core.training import seeds

MANY = 20_000
"Rows from which a calibrator can tell that nothing is to be learnt."
TOLERANCE = 0.05
"Mean change of a probability that was right already, at the most."


def check_rows_are_distributions(subject: Subject) -> None:
    """Every calibrated probability is within 0 and 1, and every row sums to 1."""
    for scheme in (ESCI, BINARY):
        made = fitted(subject, rows_of(0, scheme), scheme)
        probabilities = made.apply(rows_of(1, scheme).decisions).probabilities
        if (
            not ((probabilities >= 0) & (probabilities <= 1)).all()
            or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-6
        ):
            raise Nonconformance(
                f"of {len(scheme.labels)} classes, a calibrated row is not within 0 and 1 or does not sum to "
                "1. Normalise every row."
            )


def check_monotone_where_declared(subject: Subject) -> None:
    """Where the record says `monotone`: of two classes, a greater stated P(match) gets no smaller calibrated one."""
    assert isinstance(subject.spec, CalibratorSpec)
    if not subject.spec.monotone:
        raise Skipped("the record does not declare the calibrator monotone")
    made = fitted(subject, rows_of(0, BINARY), BINARY)
    stated = np.linspace(0, 1, 501)
    decisions = Decisions.plain(np.stack([stated, 1 - stated], axis=1), np.full(len(stated), 0.5), BINARY)
    rise = np.diff(match_score(made.apply(decisions).probabilities, BINARY))
    if rise.min() < -1e-9:
        at = stated[rise.argmin()]
        raise Nonconformance(
            "the record says monotone, and the calibrated P(match) falls where the stated one rises past "
            f"{at:.3f}. Correct the curve, or the record."
        )


def check_leaves_calibrated_rows(subject: Subject) -> None:
    """Learnt from many rows whose probabilities are right already, a calibrator changes them little."""
    for scheme in (ESCI, BINARY):
        right = rows_of(2, scheme, rows=MANY, sharpness=1.0)
        made = fitted(subject, attrs.evolve(right, weights=np.ones(MANY)), scheme)
        stated = rows_of(3, scheme, sharpness=1.0).decisions
        change = np.abs(made.apply(stated).probabilities - stated.probabilities).mean()
        if change > TOLERANCE:
            raise Nonconformance(
                f"probabilities of {len(scheme.labels)} classes that are right already change by {change:.3g} "
                f"on average, more than {TOLERANCE:g}. Learn the difference between what is stated and what is "
                "observed."
            )


def check_row_by_row(subject: Subject) -> None:
    """Rows in another order, or fewer of them, get the same answers."""
    decisions = rows_of(1).decisions
    order = seeds.rng(0, "kit", "order").permutation(len(decisions.labels))[: len(decisions.labels) // 2]
    plain: Answer = {name: values[order] for name, values in applied(subject.made, decisions).items()}
    if not near(plain, applied(subject.made, take(decisions, order)), 1e-9):
        raise Nonconformance(
            "a row's answer depends on the rows beside it, or on their order. Learn in `fit`, and apply row by row."
        )


def check_weight_two_is_a_row_twice(subject: Subject) -> None:
    """In `fit`, a row of weight 2 counts like two rows of weight 1, and a row of weight 0 like none."""
    rows = rows_of(0)
    number = np.arange(len(rows.labels))
    weights = number % 3
    repeated = np.repeat(number, weights)
    heavy = rows.take(number, weights.astype(np.float64))
    twice = rows.take(repeated, np.ones(len(repeated)))
    left, right = (applied(fitted(subject, given), rows_of(1).decisions) for given in (heavy, twice))
    if not near(left, right, 1e-3):
        raise Nonconformance(
            f"learnt from weighted rows, the answers differ by {difference(left, right):.3g} from those learnt "
            "from the rows so many times. Weigh every row in `fit` by `weights`."
        )


def check_fits_without_a_label(subject: Subject) -> None:
    """Rows without labels (-1) or weights teach nothing, and fitting to nothing else leaves a calibrator that works."""
    rows = rows_of(0)
    unknown = attrs.evolve(rows, labels=np.full(len(rows.labels), -1))
    weightless = attrs.evolve(rows, weights=np.zeros(len(rows.labels)))
    for given, what in ((unknown, "label"), (weightless, "weight")):
        probabilities = fitted(subject, given).apply(rows_of(1).decisions).probabilities
        if not np.isfinite(probabilities).all() or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-6:
            raise Nonconformance(
                f"fitted to rows without a {what}, the calibrator makes probabilities that are none. Leave "
                "such rows out, and change nothing where no row is left."
            )


def check_decisions_are_not_written_to(subject: Subject) -> None:
    """The decisions given are as they were after `apply`: the report shows them too."""
    given, before = rows_of(1).decisions, rows_of(1).decisions
    subject.made.apply(given)
    for field in attrs.fields(Decisions):
        if not np.array_equal(getattr(given, field.name), getattr(before, field.name)):
            raise Nonconformance(f"applying changes the {field.name} of the decisions given. Work on a copy.")


def check_saved_and_loaded_is_the_same(subject: Subject) -> None:
    """Saved and loaded, the part answers the same; no saved file could run code when it is read."""
    saved_and_loaded(subject)
