"""What an aggregator must do."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from prodmatch_core.components.aggregator import Combined, MemberPredictions
from prodmatch_core.testing.answers import Answer, difference, near
from prodmatch_core.testing.benches.aggregators import combined, fitted, learns, predictions, take
from prodmatch_core.testing.outcomes import Nonconformance, Skipped
from prodmatch_core.testing.saved import saved_and_loaded
from prodmatch_core.testing.subject import Subject
from prodmatch_core.training import seeds


def check_rows_sum_to_one(subject: Subject) -> None:
    """Every row is a distribution over the classes: none below 0, summing to 1."""
    given = predictions(1)
    probabilities = subject.made.combine(given).probabilities
    shape = (len(given.labels), given.probabilities.shape[2])
    if probabilities.shape != shape:
        raise Nonconformance(
            f"probabilities have shape {probabilities.shape}, expected {shape}. Return (n, classes)."
        )
    if not (probabilities >= 0).all() or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-6:
        raise Nonconformance("a row of probabilities does not sum to 1, or is below 0. Normalise every row.")


def check_uncertainty_is_as_declared(subject: Subject) -> None:
    """An aggregator that gives uncertainty has a finite number for every row of several members; others have NaN."""
    uncertainty = subject.made.combine(given := predictions(1)).uncertainty
    declared = "uncertainty" in subject.part.gives
    if uncertainty.shape != (len(given.labels),):
        raise Nonconformance(f"uncertainty has shape {uncertainty.shape}. Return one number a row.")
    if declared and not np.isfinite(uncertainty).all():
        raise Nonconformance(
            "the record gives uncertainty, and some rows have none. Give a finite number for every row."
        )
    if not declared and not np.isnan(uncertainty).all():
        raise Nonconformance('rows have an uncertainty the record does not give. Add gives={"uncertainty"}.')


def check_row_order_does_not_matter(subject: Subject) -> None:
    """Rows in another order, or fewer of them, get the same answers."""
    given = predictions(1)
    order = seeds.rng(0, "kit", "order").permutation(len(given.labels))[: len(given.labels) // 2]
    plain: Answer = {name: values[order] for name, values in combined(subject.made, given).items()}
    if not near(plain, combined(subject.made, take(given, order)), 1e-9):
        raise Nonconformance(
            "a row's answer depends on the rows beside it, or on their order. Learn in `fit`, and combine row by row."
        )


def check_labels_are_not_looked_at(subject: Subject) -> None:
    """Combining does not look at labels: they are the truth that is measured."""
    given = predictions(1)
    blind = attrs.evolve(given, labels=np.full(len(given.labels), -1))
    if difference(combined(subject.made, given), combined(subject.made, blind)):
        raise Nonconformance("what is combined depends on the labels. Read labels in `fit` alone.")


def check_asked_it_answers_as_it_combines(subject: Subject) -> None:
    """`answer`, which asks members for rows, gives what `combine` gives on all of them: a run is evaluated by one."""
    given = predictions(1)

    def ask(names: Sequence[str], rows: np.ndarray | None = None) -> MemberPredictions:
        said = given.of(names)
        return said if rows is None else said.take(rows)

    asked = attrs.asdict(subject.made.answer(ask, given.names), recurse=False)
    whole = combined(subject.made, given.of(subject.made.reads(given.names)))
    if apart := difference(asked, whole):
        raise Nonconformance(
            f"asked, the aggregator answers otherwise than it combines, by {apart:.3g}. A run is evaluated by "
            "`combine` and scores by `answer`; make them agree."
        )


def check_contributions_have_a_row_for_every_pair(subject: Subject) -> None:
    """Contributions, where there are any, are finite, a number for every pair, source and class."""
    given = predictions(1)
    read = given.of(subject.made.reads(given.names))
    found = subject.made.contributions(read)
    if found is None:
        raise Skipped("the aggregator's scores are no sum")
    rows, classes = len(given.labels), given.probabilities.shape[2]
    wanted = (rows, len(found.sources), classes), (rows, classes)
    shapes = found.values.shape, found.base.shape
    if shapes != wanted or not (np.isfinite(found.values).all() and np.isfinite(found.base).all()):
        raise Nonconformance(
            f"contributions have shapes {shapes}, expected {wanted}, all finite. Return what each source adds to the "
            "score of each class, and what is there without any."
        )


def check_learning_is_out_of_fold(subject: Subject) -> None:
    """An aggregator with a `fit` of its own needs `out_of_fold` predictions and has a field `folds`; no other has."""
    declared = "out_of_fold" in subject.part.needs
    folds = getattr(subject.config, "folds", None)
    if learns(subject) and (not declared or folds is None or folds < 2):
        raise Nonconformance(
            "the aggregator learns, and would learn from predictions on rows the members were fitted to. "
            'Declare needs={"out_of_fold"}, and add a field `folds` of at least 2.'
        )
    if declared and not learns(subject):
        raise Nonconformance(
            "the record needs out_of_fold, for which every member is fitted several times, and nothing is "
            "learnt. Remove it."
        )


def check_weight_two_is_a_row_twice(subject: Subject) -> None:
    """In `fit`, a row of weight 2 counts like two rows of weight 1, and a row of weight 0 like none."""
    if not learns(subject):
        raise Skipped("the aggregator learns nothing")
    given = predictions(0)
    weights = np.arange(len(given.labels)) % 3
    rows = np.repeat(np.arange(len(given.labels)), weights)
    heavy = take(given, np.arange(len(given.labels)), weights.astype(np.float64))
    twice = take(given, rows, np.ones(len(rows)))
    left, right = (combined(fitted(subject, rows), predictions(1)) for rows in (heavy, twice))
    if not near(left, right, 1e-3):
        raise Nonconformance(
            f"learnt from weighted rows, the answers differ by {difference(left, right):.3g} from those learnt "
            "from the rows so many times. Weigh every row in `fit` by `members.weights`."
        )


def check_predictions_are_not_written_to(subject: Subject) -> None:
    """The members' predictions are as they were after combining: tables and other parts read them too."""
    given, before = predictions(1), predictions(1)
    assert isinstance(subject.made.combine(given), Combined)
    for field in ("probabilities", "labels", "groups", "weights"):
        if not np.array_equal(getattr(given, field), getattr(before, field)):
            raise Nonconformance(f"combining changes the members' {field}. Work on a copy.")


def check_saved_and_loaded_is_the_same(subject: Subject) -> None:
    """Saved and loaded, the part answers the same; no saved file could run code when it is read."""
    saved_and_loaded(subject)
