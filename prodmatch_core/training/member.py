"""Fit a member from its section of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prodmatch_core.components.encoder import Encoder, FitData, SelfFittingEncoder, TwoSidedEncoder
from prodmatch_core.components.negatives import RowGenerator, StateGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.data.dataset import LabelScheme
from prodmatch_core.evaluation.assess import evaluated_from
from prodmatch_core.records import MeasureSpec, Part
from prodmatch_core.registry import Registry
from prodmatch_core.sections import LossEntry, Member
from prodmatch_core.tasks.base import Task
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel


def fit_member(
    member: Member,
    data: FitData,
    task: Task,
    registry: Registry,
    seed: int,
    on_epoch: loop.EpochListener = lambda _: None,
    on_step: loop.StepListener = lambda done, total: None,
    checkpoint: Checkpoint | None = None,
) -> FittedMember:
    """Fit one member on `data.train`, stopping early on `data.valid`.

    Args:
        member: its section of the pipeline.
        data: corpus and examples; nothing of the test split is in it but texts.
        task: what a head and a prediction are.
        registry: where the default loss and the validation measure are found.
        seed: the run's seed; the member's name makes it the member's own.
        on_epoch: hears the figures of every epoch.
        on_step: hears how many steps are done, and how many there are at the most.
        checkpoint: where training stands is kept there, and gone on from.
    """
    factory = member.encoder.spec.load()
    if issubclass(factory, SelfFittingEncoder):
        fitted = factory.fit(member.encoder.config, data, seeds.rng(seed, member.name, "fit"))
        return FittedMember(member.name, member.encoder, fitted)

    with seeds.torch_seed(seed, member.name, "weights"):
        encoder: Encoder = factory.build(member.encoder.config, data, seeds.rng(seed, member.name, "build"))
        head = task.head(encoder.width, member.encoder.gives, data.scheme)
        rows, states = _negatives(member.negatives, data, encoder, seed, member.name)
        model = MemberModel(encoder, head, task, states)
        measure = registry.get("measure", member.training.measure or task.headline)
        assert isinstance(measure, MeasureSpec)
        loop.fit(
            loop.Fitting(
                model=model,
                losses=_losses(member.loss, task, registry, data.scheme),
                data=data,
                prepared=encoder.prepare(data.corpus),
                settings=member.training,
                validate=Validation(data.valid, data.scheme, [measure]),
                measure=measure.name,
                higher=measure.direction == "higher",
                seed=seed,
                name=member.name,
                negatives=rows,
                on_epoch=on_epoch,
                on_step=on_step,
                checkpoint=checkpoint,
            )
        )
    return FittedMember(member.name, member.encoder, model.eval(), member.training.precision)


class Validation:
    """Figures of a set of examples, given their probabilities."""

    def __init__(self, examples: Examples, scheme: LabelScheme, measures: Sequence[MeasureSpec]) -> None:
        """Hold the truth that probabilities are measured against."""
        self.examples, self.scheme, self.measures = examples, scheme, measures

    def __call__(self, probabilities: np.ndarray) -> Mapping[str, float]:
        """Return the value of each measure for (n, classes) float64 probabilities."""
        evaluated = evaluated_from(self.examples, probabilities, self.scheme)
        weights = self.examples.weight.astype(np.float64)
        return {spec.name: float(spec.load()(evaluated)(weights)) for spec in self.measures}


def _losses(
    entries: Sequence[LossEntry], task: Task, registry: Registry, scheme: LabelScheme
) -> list[tuple[float, Any]]:
    if not entries:
        spec = registry.get("loss", task.default_loss)
        entries = [LossEntry(Part(spec, spec.config()))]
    return [(entry.weight, entry.part.spec.load().build(entry.part.config, scheme)) for entry in entries]


def _negatives(
    part: Part | None, data: FitData, encoder: Encoder, seed: int, name: str
) -> tuple[RowGenerator | None, StateGenerator | None]:
    if part is None:
        return None, None
    factory = part.spec.load()
    if issubclass(factory, StateGenerator):
        assert isinstance(encoder, TwoSidedEncoder)
        return None, factory.build(part.config, data, encoder, seeds.rng(seed, name, "negatives"))
    return factory.build(part.config, data), None
