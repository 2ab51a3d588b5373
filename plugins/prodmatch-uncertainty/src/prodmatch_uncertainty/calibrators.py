"""The decision boundaries as calibrators: fitted on validation rows, one look-up a row afterwards."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Self

import attrs
import numpy as np

from prodmatch_core.components.calibrator import Calibrator, Decisions, match_score, positive_classes
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.errors import DataError
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.configs import LineConfig
from prodmatch_uncertainty.guarantee import guaranteed
from prodmatch_uncertainty.methods import METHODS, Method, Settings
from prodmatch_uncertainty.review import review_boundary
from prodmatch_uncertainty.sample import Goal, Outcome, Sample, outcome

REVIEW_BINS = 100
"Bins of the score in which rows for a person are chosen where the method has none of its own."


@attrs.frozen(eq=False)
class Fitted:
    """A boundary and what it does on the validation rows.

    Attributes:
        boundary: from which score rows are accepted.
        review: from which score rows are accepted or left to a person; None without a budget.
        figures: `reachable`, `precision`, `recall`, `accepted` (share of rows), `best` (the best value of the target
            in reach), `bound` (the most of the objective that any boundary on the same levels and bins could have,
            None where it is not known), and with a budget `reviewed` (share of rows) and `found` (share of the matches
            that are among them).
    """

    boundary: Boundary
    review: Boundary | None
    figures: dict[str, Any]

    def state(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        review = None if self.review is None else self.review.state()
        return {**self.figures, "boundary": self.boundary.state(), "review": review}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Fitted:
        """Return what `state` described."""
        figures = {key: value for key, value in state.items() if key not in ("boundary", "review")}
        review = None if state["review"] is None else Boundary.restored(state["review"])
        return cls(Boundary.restored(state["boundary"]), review, figures)


@attrs.define(eq=False)
class BoundaryCalibrator(Calibrator):
    """A boundary over score and uncertainty: for the match, or for each class against the rest.

    Attributes:
        fitted: the boundary of `match`, or of each label.
        doubtful: with a boundary a class and a review budget, the least probability of the likeliest class of rows that
            pass no boundary and are yet not left to a person.
    """

    name: ClassVar[str]
    config: LineConfig
    scheme: LabelScheme
    fitted: dict[str, Fitted] = attrs.field(factory=dict)
    doubtful: float | None = None

    @classmethod
    def build(cls, config: LineConfig, scheme: LabelScheme) -> Self:
        """Make a calibrator that accepts nothing yet."""
        return cls(config, scheme)

    @property
    def method(self) -> Method:
        """Return the way to a boundary."""
        return METHODS[self.name]

    @property
    def settings(self) -> Settings:
        """Return how the plane is cut."""
        names = attrs.fields_dict(Settings)
        own = {name: getattr(self.config, name) for name in names if hasattr(self.config, name)}
        return Settings(**own)

    @property
    def goal(self) -> Goal:
        """Return what is asked."""
        return Goal(self.config.objective, self.config.target)

    def fit(self, decisions: Decisions, labels: np.ndarray, weights: np.ndarray) -> None:
        """Choose the boundary on validation rows; rows without label or weight are left out.

        Raises:
            DataError: rows have no uncertainty and the method needs it.
        """
        used = (labels >= 0) & (weights > 0)
        unsure = decisions.uncertainty[used]
        if self.method.levels and np.isnan(unsure).any():
            raise DataError(
                f"calibrator uncertainty.{self.name}: {int(np.isnan(unsure).sum())} of {len(unsure)} validation rows "
                "have no uncertainty. Use an aggregator or encoders that give it to every row, or "
                "uncertainty.threshold, which needs none."
            )
        groups = None if decisions.groups is None else decisions.groups[used]
        probabilities, labels = decisions.probabilities[used], labels[used]
        if self.config.per_class:
            columns = {
                label: (probabilities[:, number], labels == number)
                for number, label in enumerate(self.scheme.labels)
            }
        else:
            matches = np.isin(labels, positive_classes(self.scheme))
            columns = {"match": (match_score(probabilities, self.scheme), matches)}
        rng = np.random.default_rng(self.config.seed)
        self.fitted = {
            label: self._fit(label, Sample(score, unsure, positive, weights[used], groups), rng)
            for label, (score, positive) in columns.items()
        }
        self.doubtful = None
        if self.config.per_class and self.config.review:
            unsettled = np.flatnonzero(~self._passes(probabilities, unsure).any(axis=1))
            self.doubtful = _lowest(
                probabilities.max(axis=1)[unsettled],
                weights[used][unsettled],
                self.config.review * float(weights[used].sum()),
            )

    def apply(self, decisions: Decisions) -> Decisions:
        """Return the decisions with acceptance by the boundary, labels where it decides them, and rows for a person."""
        if self.config.per_class:
            return self._apply_classes(decisions)
        score = match_score(decisions.probabilities, self.scheme)
        fitted = self.fitted["match"]
        accepted = fitted.boundary.accepts(score, decisions.uncertainty)
        labels = decisions.labels
        if len(self.scheme.labels) == 2:
            match = int(positive_classes(self.scheme)[0])
            labels = np.where(accepted, match, 1 - match)
        review = None
        if fitted.review is not None:
            review = fitted.review.accepts(score, decisions.uncertainty) & ~accepted
        return attrs.evolve(decisions, accepted=accepted, labels=labels, for_review=review)

    def state(self) -> dict[str, Any]:
        """Return the boundaries and their figures."""
        return {
            "fitted": {label: fitted.state() for label, fitted in self.fitted.items()},
            "doubtful": self.doubtful,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.fitted = {label: Fitted.restored(fitted) for label, fitted in state["fitted"].items()}
        self.doubtful = state["doubtful"]

    def _fit(self, label: str, sample: Sample, rng: np.random.Generator) -> Fitted:
        goal, settings, confidence = self.goal, self.settings, self.config.confidence
        boundary, reachable, best = Boundary.nothing(), False, 0.0
        if sample.positive.any():
            if confidence:
                found = guaranteed(self.method, sample, settings, goal, confidence, rng)
                boundary, best = found.boundary or Boundary.nothing(), found.reachable
                reachable = found.boundary is not None
            else:
                boundary = self.method.best(sample, settings, goal)
                reachable = goal.met(_on(sample, boundary))
                best = self.method.reach(sample, settings) if goal.objective == "recall" else 1.0
                if not reachable:
                    boundary = Boundary.nothing()
        if not reachable:
            self._tell(label, best)
        reached = _on(sample, boundary)
        total = float(sample.weights.sum())
        figures: dict[str, Any] = {
            "reachable": reachable,
            "precision": _known(reached.precision),
            "recall": _known(reached.recall),
            "accepted": reached.rows / total if total else 0.0,
            "best": best,
            "bound": self._bound(sample, settings, goal, confidence),
        }
        review = None
        if self.config.review and not self.config.per_class:
            review = review_boundary(sample, boundary, self.config.review, settings.bins or REVIEW_BINS)
            both = _on(sample, review)
            figures["reviewed"] = (both.rows - reached.rows) / total if total else 0.0
            figures["found"] = (both.positives - reached.positives) / both.total if both.total else None
        return Fitted(boundary, review, figures)

    def _bound(self, sample: Sample, settings: Settings, goal: Goal, confidence: float) -> float | None:
        if self.method.bound is None or confidence or not sample.positive.any():
            return None
        return self.method.bound(sample, settings, goal)

    def _tell(self, label: str, best: float) -> None:
        asked = "precision" if self.config.objective == "recall" else "recall"
        sure = f" with confidence {self.config.confidence:g}" if self.config.confidence else ""
        logging.getLogger("prodmatch").warning(
            "calibrator uncertainty.%s: no boundary reaches %s %g%s for %s on the validation rows; the best in reach "
            "is %.3f. Nothing is accepted. Lower the target, or give it more rows or better members.",
            self.name,
            asked,
            self.config.target,
            sure,
            "matches" if label == "match" and not self.config.per_class else f'the label "{label}"',
            best,
        )

    def _apply_classes(self, decisions: Decisions) -> Decisions:
        probabilities, unsure = decisions.probabilities, decisions.uncertainty
        passes = self._passes(probabilities, unsure)
        margin = np.where(passes, probabilities - self._thresholds(unsure), -np.inf)
        sure = passes.any(axis=1)
        labels = np.where(sure, margin.argmax(axis=1), probabilities.argmax(axis=1))
        accepted = sure & np.isin(labels, positive_classes(self.scheme))
        review = None
        if self.doubtful is not None:
            review = ~sure & (probabilities.max(axis=1) < self.doubtful)
        return attrs.evolve(decisions, labels=labels, accepted=accepted, for_review=review)

    def _passes(self, probabilities: np.ndarray, unsure: np.ndarray) -> np.ndarray:
        """Return which boundaries each row passes, (n, classes) bool."""
        return np.column_stack(
            [
                self.fitted[label].boundary.accepts(probabilities[:, number], unsure)
                for number, label in enumerate(self.scheme.labels)
            ]
        )

    def _thresholds(self, unsure: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [self.fitted[label].boundary.threshold_of(unsure) for label in self.scheme.labels]
        )


def _on(sample: Sample, boundary: Boundary) -> Outcome:
    return outcome(sample, boundary.accepts(sample.score, sample.uncertainty))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _lowest(values: np.ndarray, weights: np.ndarray, room: float) -> float:
    """Return the value below which rows of a weight of at most `room` lie; infinity where all fit."""
    order = np.argsort(values, kind="stable")
    weight = np.cumsum(weights[order])
    fits = int(np.searchsorted(weight, room, side="right"))
    return float(values[order][fits]) if fits < len(values) else float("inf")


class DpCalibrator(BoundaryCalibrator):
    """The best thresholds of all levels together, by dynamic programming (arXiv 2311.11723, section 5)."""

    name = "dp"


class MistCalibrator(BoundaryCalibrator):
    """Isotonic regression in every level, then one threshold on the calibrated value (arXiv 2311.11723, section 5)."""

    name = "mist"


class LagrangianCalibrator(BoundaryCalibrator):
    """Each level on its own at one price of positives, with the bound of the relaxation."""

    name = "lagrangian"


class RectangleCalibrator(BoundaryCalibrator):
    """One threshold on the score, for the rows below or above one uncertainty."""

    name = "rectangle"


class ThresholdCalibrator(BoundaryCalibrator):
    """One threshold on the score."""

    name = "threshold"


class IsotonicCalibrator(BoundaryCalibrator):
    """One threshold on the positivity that isotonic regression gives to each score."""

    name = "isotonic"
