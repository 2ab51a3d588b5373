"""What the tests of measures draw: small weighted test sets with ties, zeros and absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.evaluation.evaluated import Evaluated


def scheme_of(classes: int, positive: int) -> LabelScheme:
    names = [f"c{k}" for k in range(classes)]
    return LabelScheme("drawn", names, [float(classes - 1 - k) for k in range(classes)], names[:positive])


@st.composite
def draw_evaluated(draw: st.DrawFn) -> Evaluated:
    classes = draw(st.integers(2, 4))
    rows = draw(st.integers(2, 24))

    def column(values: st.SearchStrategy[int]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=rows, max_size=rows)))

    label = st.integers(0, classes - 1)
    # Probabilities are ratios of small counts, so that scores tie and some probabilities are 0.
    counts = (
        np.stack([column(st.integers(0, 3)) for _ in range(classes)], axis=1) + np.eye(classes)[column(label)]
    )
    return Evaluated(
        labels=column(label),
        probabilities=counts / counts.sum(axis=1, keepdims=True),
        decisions=column(label),
        groups=np.unique(column(st.integers(0, 3)), return_inverse=True)[1],
        scheme=scheme_of(classes, draw(st.integers(1, classes - 1))),
        weights=column(st.integers(1, 9)) / 4,
    )


@pytest.fixture(scope="session")
def evaluateds() -> st.SearchStrategy[Evaluated]:
    return draw_evaluated()
