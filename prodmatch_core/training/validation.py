"""Figures on the validation split that pick a member's best epoch: of class probabilities, or of neighbours found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prodmatch_core.components.encoder import FitData, Prepared
from prodmatch_core.evaluation.assess import evaluated_from
from prodmatch_core.evaluation.search import Search, depth_of
from prodmatch_core.records import MeasureSpec
from prodmatch_core.task_specs import TaskSpec
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.prediction import predict, vectors


def validation(
    task: TaskSpec, data: FitData, prepared: Prepared, measures: Sequence[MeasureSpec], precision: str
) -> Callable[[MemberModel], Mapping[str, float]]:
    """Return the function from a model to its figures on `data.valid`."""
    if task.answer == "classes":
        weights = data.valid.weight.astype(np.float64)

        def classes(model: MemberModel) -> Mapping[str, float]:
            probabilities = predict(model, prepared, data.valid, precision)
            evaluated = evaluated_from(data.valid, probabilities, data.scheme)
            return {spec.name: float(spec.load()(evaluated)(weights)) for spec in measures}

        return classes

    search = Search.of(task, data.valid, data.train, data.corpus.products.height, depth_of(measures))

    def neighbours(model: MemberModel) -> Mapping[str, float]:
        found = search.run(*(vectors(model, prepared, side, rows, precision) for side, rows in search.reads))
        return {spec.name: float(spec.load()(found)(found.example_weights)) for spec in measures}

    return neighbours
