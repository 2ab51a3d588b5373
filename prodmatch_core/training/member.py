"""Fit a member from its section of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from prodmatch_core.components.encoder import Encoder, FitData, SelfFittingEncoder, TwoSidedEncoder
from prodmatch_core.components.loss import Learnt, Loss
from prodmatch_core.components.negatives import RowGenerator, StateGenerator
from prodmatch_core.data.streams import EventLog, Stream
from prodmatch_core.errors import RunError
from prodmatch_core.records import MeasureSpec, Part
from prodmatch_core.registry import Registry
from prodmatch_core.sections import LossEntry, Member
from prodmatch_core.tasks.base import Task
from prodmatch_core.training import loop, seeds
from prodmatch_core.training.checkpoint import Checkpoint
from prodmatch_core.training.copies import locales_of
from prodmatch_core.training.course import along
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.regions import fit_regions
from prodmatch_core.training.validation import validation


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
    data = attrs.evolve(data, sampler=member.sampler)
    factory = member.encoder.spec.load()
    if issubclass(factory, SelfFittingEncoder):
        fitted = factory.fit(member.encoder.config, data, seeds.rng(seed, member.name, "fit"))
        return FittedMember(member.name, member.encoder, fitted)

    log, data = data.log, attrs.evolve(data, log=None)
    with seeds.torch_seed(seed, member.name, "weights"):
        encoder: Encoder = factory.build(member.encoder.config, data, seeds.rng(seed, member.name, "build"))
        head = task.head(encoder.width, member.encoder.gives, data.scheme, member.training.head_dropout)
        rows, states = _negatives(member.negatives, data, encoder, seed, member.name)
        model = MemberModel(encoder, head, task, states)
        measure = registry.get("measure", member.training.measure or task.spec.headline)
        assert isinstance(measure, MeasureSpec)
        prepared = encoder.prepare(data.corpus)
        learnt = Learnt(data.scheme, _classes(data), encoder.width)
        losses = _losses(member.loss, task, registry, learnt)
        course = None
        if log is not None and (stream := _stream(losses, log, member.name)) is not None:
            data, course = along(stream, log, data, member.name)
        training, chosen = member.training, member.training.per_class
        common = tuple(phase for phase in training.phase if not phase.per_locale)
        regional = tuple(phase for phase in training.phase if phase.per_locale)

        def validation_of(data: FitData) -> Callable[[MemberModel], Mapping[str, float]]:
            return validation(task.spec, data, prepared, [measure], training.precision)

        job = loop.Fitting(
            model=model,
            losses=losses,
            factors={
                phase.name: [
                    entry.weight if member.counts(entry, phase.name) else None for entry in member.loss
                ]
                for phase in training.phase
                if member.loss
            },
            data=data,
            prepared=prepared,
            settings=attrs.evolve(training, phase=common),
            validate=validation_of(data),
            measure=measure.name,
            higher=measure.direction == "higher",
            seed=seed,
            name=member.name,
            locales=locales_of(data.corpus, data.train) if training.locale_share < 1 else None,
            per_class=task.spec.per_class if chosen is None else chosen,
            negatives=rows,
            on_epoch=on_epoch,
            on_step=on_step,
            course=course,
            checkpoint=checkpoint,
        )
        outcome = loop.fit(job)
        copies = {}
        if regional:
            copies = fit_regions(job, regional, validation_of, outcome.epochs, trained=bool(common))
    for fitted_model in (model, *copies.values()):
        fitted_model.eval()
    predicted = {} if course is None or outcome.ahead is None else course.by_split(outcome.ahead)
    return FittedMember(
        member.name,
        member.encoder,
        model,
        training.precision,
        regions=copies,
        shared=bool(common),
        ahead=predicted,
    )


def _stream(losses: Sequence[tuple[float, Loss]], log: EventLog, name: str) -> Stream | None:
    """Return what the losses want to learn from; a log gone through in steps needs a loss that says so.

    Raises:
        RunError: two losses want streams of their own, or none has one that is needed.
    """
    found = [stream for _, loss in losses if (stream := loss.stream(log)) is not None]
    if len(found) > 1:
        raise RunError(f"member {name}: {len(found)} losses want a stream of their own; keep one of them.")
    if not found and len(log.begins) > 1:
        raise RunError(
            f"member {name}: convert.hourly goes on learning after training, and no loss of the member says what "
            "becomes known when. Use one that does, like delayed.importance, or set convert.hourly = false."
        )
    return found[0] if found else None


def _classes(data: FitData) -> int:
    """Return how many labels an example can have: classes of the scheme, or groups as they are numbered."""
    return max(len(data.scheme.labels), int(data.train.label.max(initial=-1)) + 1)


def _losses(
    entries: Sequence[LossEntry], task: Task, registry: Registry, learnt: Learnt
) -> list[tuple[float, Any]]:
    if not entries:
        spec = registry.get("loss", task.spec.default_loss)
        entries = [LossEntry(Part(spec, spec.config()))]
    return [(entry.weight, entry.part.spec.load().build(entry.part.config, learnt)) for entry in entries]


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
