"""Measures of how alike all classes fare at one threshold, as statistics of a search among items of known groups."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Statistic
from prodmatch_core.evaluation.retrieved import Retrieved, Space
from prodmatch_tcm import utility
from prodmatch_tcm.histograms import ClassHistograms, class_histograms
from prodmatch_tcm.utility import PAPER, STRICT, Calibration, Curves, curves_of

_SEEN: WeakKeyDictionary[Space, ClassHistograms] = WeakKeyDictionary()


def opis(found: Retrieved) -> Statistic:
    """Return OPIS over thresholds of 1% to 10% false accepts."""
    return over_classes(found, PAPER, utility.opis)


def opis_worst(found: Retrieved) -> Statistic:
    """Return 10%-OPIS over thresholds of 1% to 10% false accepts."""
    return over_classes(found, PAPER, _worst_tenth)


def opis_strict(found: Retrieved) -> Statistic:
    """Return OPIS over thresholds of 0.01% to 1% false accepts."""
    return over_classes(found, STRICT, utility.opis)


def opis_strict_worst(found: Retrieved) -> Statistic:
    """Return 10%-OPIS over thresholds of 0.01% to 1% false accepts."""
    return over_classes(found, STRICT, _worst_tenth)


def class_utility(found: Retrieved) -> Statistic:
    """Return the classes' mean utility over thresholds of 1% to 10% false accepts."""
    return over_classes(found, PAPER, utility.mean_utility)


def over_classes(
    found: Retrieved,
    calibration: Calibration,
    figure: Callable[[Curves, np.ndarray], float],
    beta: float = 1.0,
) -> Statistic:
    """Return a figure of the classes' curves by the rows' weights; a class weighs as its rows do on average.

    The range of thresholds is that of the whole search and stays where it is when classes are drawn anew.

    Args:
        found: a search that knows all its similarities.
        calibration: the range of thresholds.
        figure: of curves and weights of their classes.
        beta: how much more acceptance counts than rejection.

    Raises:
        DataError: the search has no groups, or none of two items.
    """
    curves = curves_of(histograms_of(found), calibration, beta)
    assert found.space is not None
    own = found.space.labels[found.space.queries]
    place = np.minimum(np.searchsorted(curves.classes, own), len(curves.classes) - 1)
    there = curves.classes[place] == own
    rows = np.bincount(place[there], minlength=len(curves.classes))

    def statistic(weights: np.ndarray) -> float:
        heft = np.bincount(place[there], weights=weights[there], minlength=len(curves.classes)) / rows
        return figure(curves, heft)

    return statistic


def histograms_of(found: Retrieved) -> ClassHistograms:
    """Return the histograms of a search, made once however many measures read them."""
    space = found.space
    if space is None:
        raise DataError(
            "measures of one threshold for every class need a search among items of known groups, and this one has "
            "none. Use them in the task embed."
        )
    if space not in _SEEN:
        made = class_histograms(space.score, space.queries, space.labels)
        if not len(made.classes):
            raise DataError(
                "no class has two items to compare, so no threshold can be judged. Give the split groups of two items."
            )
        _SEEN[space] = made
    return _SEEN[space]


def _worst_tenth(curves: Curves, weights: np.ndarray) -> float:
    return utility.opis_worst(curves, 0.1, weights)
