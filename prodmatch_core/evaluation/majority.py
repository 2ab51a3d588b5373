"""The answer that reads nothing: the line always printed beside results."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.errors import DataError
from prodmatch_core.evaluation.evaluated import Evaluated


def majority(evaluated: Evaluated, train_labels: np.ndarray) -> Evaluated:
    """Return the same rows with training's most frequent class decided and its class shares as probabilities.

    Every score ties, so its ranking measures are those expected of a random order.

    Args:
        evaluated: the test set.
        train_labels: (m,) class index of each training row; of equally frequent classes the best match wins.

    Raises:
        DataError: there is no training row, or a class is not of the label scheme.
    """
    classes, rows = len(evaluated.scheme.labels), len(evaluated.labels)
    labels = np.asarray(train_labels)
    if not labels.size or labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}" if labels.size else "none"
        raise DataError(
            f"majority: expected training labels, class indices from 0 to {classes - 1}, got {found}. "
            "Pass the labels of the training split."
        )
    counts = np.bincount(labels, minlength=classes)
    return attrs.evolve(
        evaluated,
        probabilities=np.tile(counts / counts.sum(), (rows, 1)),
        decisions=np.full(rows, counts.argmax()),
    )
