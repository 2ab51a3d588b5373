"""The training loop: one page, from the first phase to the best weights.

Devices, number formats and several processes are accelerate's business; what is drawn at random derives from the
run's seed by purpose, so the same seed gives the same weights on the same machine.
"""

from __future__ import annotations

import copy
import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from prodmatch_core.components.encoder import Batch, Drawn, FitData, Prepared
from prodmatch_core.components.loss import Loss
from prodmatch_core.components.negatives import RowGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.errors import RunError
from prodmatch_core.sections import Phase, Training
from prodmatch_core.training import seeds
from prodmatch_core.training.ahead import ahead
from prodmatch_core.training.batches import balanced_rows, class_batches, epoch_batches
from prodmatch_core.training.checkpoint import Checkpoint, Position
from prodmatch_core.training.course import RAMP, STREAM, Course
from prodmatch_core.training.embedding import Embedder
from prodmatch_core.training.model import MemberModel, Objective
from prodmatch_core.training.prediction import predict, rows_of, to_tensors

EpochListener = Callable[[Mapping[str, Any]], None]
"Called after every epoch with its phase, number, loss, seconds and validation figures."
StepListener = Callable[[int, int], None]
"Called after every step with how many are done and how many there are at the most."


@attrs.frozen(eq=False)
class Fitting:
    """Everything the loop needs to fit one member."""

    model: MemberModel
    losses: Sequence[tuple[float, Loss]]
    "The terms of the loss, each with its factor."
    data: FitData
    prepared: Prepared
    settings: Training
    validate: Callable[[MemberModel], Mapping[str, float]]
    "The model as it stands -> its figures on the validation split."
    measure: str
    "The figure that picks the best epoch."
    higher: bool
    "Whether more of it is better."
    seed: int
    name: str
    factors: Mapping[str, Sequence[float | None]] = attrs.field(factory=dict)
    """Name of a phase -> the factor of each term in it, None where the term does not count; those of `losses` in phases
    that are not there."""
    locales: np.ndarray | None = None
    "(n,) locale of each training example, or None where there are none."
    start_counts: bool = False
    "Whether the weights that training starts from are kept where no epoch is better."
    per_class: int = 0
    "Rows of each class in a batch; 0 shuffles."
    negatives: RowGenerator | None = None
    on_epoch: EpochListener = lambda _: None
    on_step: StepListener = lambda done, total: None
    course: Course | None = None
    "Steps of time to go through after all phases; then no epoch is picked, and the last weights stay."
    checkpoint: Checkpoint | None = None
    "Where training stands after each epoch is kept; none for models that are quickly made again."


@attrs.frozen(eq=False)
class Outcome:
    """What a fitting leaves beside the weights.

    Attributes:
        epochs: how many were spent, over all phases.
        ahead: along a course, what was predicted on the way, (n, classes) float64; else None.
    """

    epochs: int
    ahead: np.ndarray | None


def fit(job: Fitting) -> Outcome:
    """Train `job.model` in place and leave it with the weights of its best validation epoch.

    Along a course the weights are the last ones.

    Raises:
        RunError: the loss became infinite or not a number; the message names member, phase and epoch.
    """
    settings, train, course = job.settings, job.data.train, job.course
    # bf16 needs no gradient scaling, so autocast alone does; accelerate's own setting is one per process, not member.
    # Without a GPU, accelerate joins several processes only when told that it is to use the processor.
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
    bf16 = settings.precision == "bf16"
    objective = Objective(job.model, job.losses)
    step = accelerator.prepare(objective)
    sides = job.model.task.sides
    lengths = job.prepared.lengths(*rows_of(train, sides))
    threads = prefetching(job.prepared)

    saved = job.checkpoint.read() if job.checkpoint else None
    at = saved.position if saved else Position()
    if job.start_counts and not saved:
        at.best = job.validate(job.model)[job.measure] * (1 if job.higher else -1)
    if saved:
        objective.load_state_dict(saved.section("objective"))
    best_weights: dict[str, Any] = {}
    if course is None:
        best_weights = saved.section("best") if saved else copy.deepcopy(job.model.state_dict())
    foretold = [tensor.numpy() for tensor in saved.section("ahead").values()] if saved else []
    if saved and job.negatives is not None:
        job.negatives.restore({name: t.numpy() for name, t in saved.section("negatives").items()})

    first = np.arange(len(train) if course is None else course.learnt[0])
    steps = math.ceil(len(first) / settings.batch_size)
    most = steps * sum(phase.epochs or settings.epochs for phase in settings.phase)
    phases = settings.phase
    if course is not None:
        most += course.batches(settings.batch_size, course.steps)
        phases = (
            *phases,
            attrs.evolve(STREAM, epochs=course.steps, learning_rate=settings.stream_rate or None),
        )

    while at.phase < len(phases):
        phase = phases[at.phase]
        following = course if at.phase == len(settings.phase) else None
        epochs = phase.epochs or settings.epochs
        freeze(job.model, phase)
        objective.factors = list(job.factors.get(phase.name, [factor for factor, _ in job.losses]))
        optimizer = accelerator.prepare(make_optimizer(objective, phase, settings))
        if following is None:
            schedule = step_size(settings, epochs * steps, start=at.epoch * steps)
        else:
            schedule = ramp(RAMP, start=following.batches(settings.batch_size, at.epoch))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, schedule)
        if saved and at.epoch:
            saved.restore_optimizer(optimizer.optimizer)

        for epoch in range(at.epoch, epochs):
            started, losses = time.perf_counter(), []
            draw = seeds.rng(job.seed, job.name, "epoch", at.phase, epoch)
            torch.manual_seed(int(draw.integers(2**63)))  # dropout; the caller puts torch's state back
            if job.negatives is not None:
                job.negatives.refresh(
                    at.done, draw, Embedder(job.model.encoder, job.prepared, settings.precision)
                )
            if job.model.generator is not None:
                job.model.generator.refresh(at.done, draw, job.model.judge)
            pool = first
            if following is not None:
                pool = following.rows(epoch)
                if len(asked := following.events(epoch)):
                    foretold.append(predict(job.model, job.prepared, asked, settings.precision))
            step.train()
            if settings.locale_share < 1 and job.locales is not None and course is None:
                pool = balanced_rows(job.locales, settings.locale_share, draw)
            batches = (
                class_batches(train.label[pool], settings.batch_size, job.per_class, draw)
                if job.per_class
                else epoch_batches(lengths[pool], settings.batch_size, draw)
            )
            # A step of time counts by what it holds: a quiet night, when old conversions come and few events, must not
            # teach as much as a busy evening.
            whole = None if following is None else settings.batch_size
            shares = (
                (share, factor * len(rows) / (whole or len(rows)))
                for rows in batches
                for share, factor in [my_share(proposed(train.take(pool[rows]), job, draw), accelerator)]
            )
            purpose = ("batch", at.phase, epoch, accelerator.process_index)
            gathering = functools.partial(gathered, job, accelerator.device, purpose)
            for batch, labels, weights, factor in ahead(shares, gathering, threads):
                with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
                    loss = step(batch, labels, weights, draw) * factor
                accelerator.backward(loss)
                if settings.clip:
                    accelerator.clip_grad_norm_(step.parameters(), settings.clip)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad(set_to_none=True)
                losses.append(loss.detach())
                at.taken += 1
                job.on_step(at.taken, most)

            # A process sees its share of every batch; the factors make the mean over processes the batch's loss.
            # In a step of time nothing may have become known.
            mean_loss = float(accelerator.reduce(torch.stack(losses).mean(), "mean")) if losses else 0.0
            if not math.isfinite(mean_loss):
                raise RunError(
                    f"member {job.name}, phase {phase.name}, epoch {epoch + 1}: the loss is {mean_loss}. "
                    "Lower training.learning_rate, set training.clip, or use precision fp32."
                )
            figures = dict(job.validate(job.model)) if course is None else {}
            noted = [heard for _, loss in job.losses if (heard := loss.figures())]
            at.done, at.epoch = at.done + 1, epoch + 1
            job.on_epoch(
                {
                    "phase": phase.name,
                    "epoch": at.done,
                    "loss": mean_loss,
                    "learning_rate": scheduler.get_last_lr()[0],
                    "seconds": time.perf_counter() - started,
                    "valid": figures,
                    **(
                        {"negatives": dict(generator.figures)}
                        if (generator := job.negatives or job.model.generator) and generator.figures
                        else {}
                    ),
                    **({"noted": noted} if noted else {}),
                }
            )
            if course is None:
                figure = figures[job.measure] * (1 if job.higher else -1)
                at.waited += 1
                if figure > at.best or math.isnan(figure):
                    at.best, at.waited, best_weights = figure, 0, copy.deepcopy(job.model.state_dict())
            stop = epoch + 1 == epochs or (settings.patience and at.waited >= settings.patience)
            if stop:
                at.phase, at.epoch, at.waited = at.phase + 1, 0, 0
            if job.checkpoint:
                mined = job.negatives.state() if job.negatives is not None else {}
                foretold = [np.concatenate(foretold)] if foretold else []
                job.checkpoint.write(at, objective, best_weights, optimizer.optimizer, mined, *foretold)
            if stop:
                break

    freeze(job.model, Phase())
    if course is None:
        # A generator predicts nothing: it stays as it last was, for whoever wants to see what it writes.
        last = {
            name: value for name, value in job.model.state_dict().items() if name.startswith("generator.")
        }
        job.model.load_state_dict({**best_weights, **last})
    # Elsewhere this would collect the garbage of the whole process and free nothing more.
    if torch.cuda.is_available():
        accelerator.free_memory()
    return Outcome(at.done, None if course is None else np.concatenate(foretold))


def freeze(model: nn.Module, phase: Phase) -> None:
    """Let every parameter learn but those under the sub-modules that the phase freezes.

    Raises:
        RunError: the model has no such sub-module.
    """
    names = dict(model.named_modules())
    for name in phase.freeze:
        if name not in names:
            top = ", ".join(n for n in names if n and n.count(".") < 2)
            raise RunError(f"phase {phase.name}: cannot freeze {name}: the model has {top}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(name == f or name.startswith(f"{f}.") for f in phase.freeze))


def make_optimizer(module: nn.Module, phase: Phase, settings: Training) -> torch.optim.Optimizer:
    """Return AdamW over what learns; biases, norms and embeddings are not decayed."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    seen = set()
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            spare = parameter.ndim < 2 or isinstance(owner, (nn.Embedding, nn.EmbeddingBag))
            (spared if spare else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    # The fused kernel passes over the weights once instead of a dozen times.
    return torch.optim.AdamW(groups, lr=phase.learning_rate or settings.learning_rate, fused=True)


def step_size(settings: Training, total: int, start: int = 0) -> Callable[[int], float]:
    """Return the factor of the peak step size at each step: warm-up, then decay towards 0.

    Args:
        settings: share of warm-up and shape of the decay.
        total: steps of the phase.
        start: steps already done, where training goes on from a checkpoint.
    """
    warm = round(settings.warmup * total)

    def factor(step: int) -> float:
        step += start
        if step < warm:
            return (step + 1) / (warm + 1)
        done = min((step - warm) / max(total - warm, 1), 1.0)
        if settings.decay == "linear":
            return 1.0 - done
        if settings.decay == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1.0

    return factor


def proposed(examples: Examples, job: Fitting, rng: np.random.Generator) -> Examples:
    """Return a batch's examples, followed by what the member's negative generator adds to them."""
    return examples if job.negatives is None else examples.concat(job.negatives.propose(examples, rng))


def prefetching(prepared: Prepared) -> int:
    """Return how many threads gather batches ahead of the step that learns from them: none where nothing is drawn."""
    return min(4, os.cpu_count() or 1) if isinstance(prepared, Drawn) else 0


def gathered(
    job: Fitting,
    device: torch.device,
    purpose: tuple[str | int, ...],
    number: int,
    share: tuple[Examples, float],
) -> tuple[Batch, Tensor, Tensor, float]:
    """Return the tensors of an epoch's batch, drawn from a generator of its own: no thread changes them."""
    examples, factor = share
    own = seeds.rng(job.seed, job.name, *purpose, number)
    return (*to_tensors(job.prepared, examples, device, job.model.task.sides, own), factor)


def ramp(steps: int, start: int = 0) -> Callable[[int], float]:
    """Return the factor of the step size that rises to 1 within `steps` and stays there; `start` steps are done."""
    return lambda step: min((start + step + 1) / steps, 1.0)


def my_share(examples: Examples, accelerator: Accelerator) -> tuple[Examples, float]:
    """Return this process's part of a batch, and the factor that makes the processes' mean the batch's mean."""
    if accelerator.num_processes == 1:
        return examples, 1.0
    rows = np.array_split(np.arange(len(examples)), accelerator.num_processes)[accelerator.process_index]
    share = examples.take(rows)
    return share, float(share.weight.sum() / max(examples.weight.sum(), 1e-12)) * accelerator.num_processes
