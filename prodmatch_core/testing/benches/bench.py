"""`Bench`: what the checks of every part ask of a kind, and how answers are compared."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from prodmatch_core.testing.subject import Subject

Answer = Mapping[str, np.ndarray]
"What a part answered, by name."
_BENCHES = {
    "encoder": "encoders:EncoderBench",
    "negative-generator": "negatives:NegativesBench",
    "loss": "losses:LossBench",
    "graph-sampler": "samplers:SamplerBench",
    "aggregator": "aggregators:AggregatorBench",
    "calibrator": "calibrators:CalibratorBench",
    "dataset": "datasets:DatasetBench",
    "measure": "measures:MeasureBench",
    "command": "commands:CommandBench",
}


class Bench(ABC):
    """Puts parts of one kind to work."""

    contract: tuple[type, ...] = ()
    "Classes one of which the factory must be derived from; empty: it must be a function."

    @abstractmethod
    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the part, built and fitted; `seed` is the source of whatever chance it needs."""

    @abstractmethod
    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return what the part answers to the bench's own input."""

    @abstractmethod
    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask the part about no rows."""


class SavedBench(Bench):
    """Puts parts to work that a run saves."""

    @abstractmethod
    def reload(self, subject: Subject, made: Any, folder: Path) -> Any:
        """Save the part to `folder`, and return what is loaded from there."""


def bench_of(kind: str) -> Bench:
    """Return the bench of a kind of part."""
    module, _, name = _BENCHES[kind].partition(":")
    return getattr(importlib.import_module(f"prodmatch_core.testing.benches.{module}"), name)()


def difference(left: Answer, right: Answer) -> float:
    """Return the largest difference between two answers; infinite where they differ in names, shapes or NaN."""
    if left.keys() != right.keys():
        return float("inf")
    return max((_difference(np.asarray(left[name]), np.asarray(right[name])) for name in left), default=0.0)


def _difference(left: np.ndarray, right: np.ndarray) -> float:
    if left.shape != right.shape:
        return float("inf")
    if left.dtype.kind not in "fiub" or right.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(left, right) else float("inf")
    left, right = left.astype(np.float64), right.astype(np.float64)
    if not np.array_equal(np.isnan(left), np.isnan(right)):
        return float("inf")
    same = (left == right) | np.isnan(left)
    apart = np.abs(np.where(same, 0.0, left) - np.where(same, 0.0, right))
    return float(apart.max(initial=0.0))


def near(left: Answer, right: Answer, tolerance: float = 1e-4) -> bool:
    """Return whether two answers are the same but for rounding: `tolerance` times the greater of 1 and the largest."""
    largest = max(
        (
            float(np.nanmax(np.abs(values), initial=1.0))
            for values in left.values()
            if values.dtype.kind == "f"
        ),
        default=1.0,
    )
    return difference(left, right) <= tolerance * (largest if np.isfinite(largest) else 1.0)
