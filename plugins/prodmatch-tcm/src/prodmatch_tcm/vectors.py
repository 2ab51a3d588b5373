"""A finished run's vectors with their groups: what thresholds are chosen on, and what they are told on."""

from __future__ import annotations

import attrs
import numpy as np

from prodmatch_core.errors import RunError
from prodmatch_core.evaluation.retrieved import cosine_scorer
from prodmatch_core.rundir import Run
from prodmatch_tcm.histograms import ClassHistograms, class_histograms

SPLITS = {"valid": "valid", "test": "candidates"}
"Split -> name of its vectors in a member's file."


@attrs.frozen(eq=False)
class SplitPairs:
    """All pairs of one split of a run, by class.

    Attributes:
        histograms: of every class of two items or more; classes are row numbers of `names`.
        names: (groups,) object, name of each group.
        titles: (groups,) object, what the first item of each group is called.
    """

    histograms: ClassHistograms
    names: np.ndarray
    titles: np.ndarray

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes in the histograms' order."""
        return [str(name) for name in self.names[self.histograms.classes]]

    @property
    def examples(self) -> list[str]:
        """Return what an item of each class is called, in the histograms' order."""
        return [str(title) for title in self.titles[self.histograms.classes]]


def pairs_of(run: Run, split: str) -> SplitPairs:
    """Return all pairs of a run's split, valid or test.

    Raises:
        RunError: the run ranks no items by group, keeps no vectors of the split, or none of its classes has two items.
    """
    import polars as pl
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if run.task.name != "embed":
        raise RunError(
            f"{run.path}: a run of the task {run.task.name} has no groups of items to serve with one threshold. "
            "Name a run of the task embed."
        )
    items = run.items.filter(pl.col("split") == split)
    groups = items["group"].to_numpy()
    member = next(line["name"] for line in run.metrics["lines"][::-1] if line["kind"] == "pipeline")
    files = sorted((run.path / "members").glob("*/predictions.safetensors"))
    try:
        vectors = load_file(files[0])[SPLITS[split]]
    except (IndexError, KeyError, OSError, SafetensorError) as error:
        raise RunError(
            f"{run.path}: keeps no vectors of the split {split} ({type(error).__name__}: {error}; {member}). "
            "Run the pipeline again."
        ) from None
    if len(vectors) != len(groups):
        raise RunError(
            f"{files[0]}: has {len(vectors)} vectors of the split {split}, and items.parquet {len(groups)} items. "
            "Run the pipeline again."
        )
    names, first, labels = np.unique(groups.astype(str), return_index=True, return_inverse=True)
    found = class_histograms(cosine_scorer(vectors, vectors), np.arange(len(labels)), labels)
    if not len(found.classes):
        raise RunError(
            f"{run.path}: no class of the split {split} has two items, so no threshold can be judged. "
            "Give the split groups of two items."
        )
    return SplitPairs(found, names.astype(object), items["title"].to_numpy()[first])
