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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from prodmatch_core.components.encoder import Batch, Drawn, FitData, Prepared
from prodmatch_core.components.loss import Loss
from prodmatch_core.components.negatives import RowGenerator
from prodmatch_core.data.corpus import Examples
from prodmatch_core.errors import RunError
from prodmatch_core.sections import STREAM, Phase, Training
from prodmatch_core.training import seeds
from prodmatch_core.training.ahead import ahead
from prodmatch_core.training.batches import balanced_rows, class_batches, epoch_batches
from prodmatch_core.training.checkpoint import Checkpoint, Position
from prodmatch_core.training.course import RAMP, Course
from prodmatch_core.training.embedding import Embedder
from prodmatch_core.training.model import MemberModel, Objective
from prodmatch_core.training.optimizing import clipped_apart, freeze, make_optimizer, ramp, step_size
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
    loop = _Loop(job)
    while loop.at.phase < len(loop.phases):
        loop.go_through_phase()
    return loop.finish()


class _Loop:
    """One fitting in progress: what its phases and epochs hand to each other."""

    def __init__(self, job: Fitting) -> None:
        """Begin where the checkpoint says, or at the beginning."""
        self.job, settings, course = job, job.settings, job.course
        # bf16 needs no gradient scaling, so autocast alone does; accelerate's own setting is one per process, not
        # member. Without a GPU, accelerate joins several processes only when told that it is to use the processor.
        # A phase freezes parameters or leaves a term of the loss out, and a process's share of a batch may reach none
        # of a graph: several processes must not wait for gradients that no one computes.
        several = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            mixed_precision="no", cpu=not torch.cuda.is_available(), kwargs_handlers=[several]
        )
        self.objective = Objective(job.model, job.losses)
        self.step = self.accelerator.prepare(self.objective)
        self.clipped = clipped_apart(self.objective, job.model.generator)
        self.lengths = job.prepared.lengths(*rows_of(job.data.train, job.model.task.sides))

        self.saved = saved = job.checkpoint.read() if job.checkpoint else None
        self.at = saved.position if saved else Position()
        if job.start_counts and not saved:
            self.at.best = self._worth(job.validate(job.model))
        if saved:
            self.objective.load_state_dict(saved.section("objective"))
            if job.negatives is not None:
                job.negatives.restore({name: t.numpy() for name, t in saved.section("negatives").items()})
        self.best: dict[str, Any] = {}
        "Weights of the best epoch so far; none along a course."
        if course is None:
            self.best = saved.section("best") if saved else copy.deepcopy(job.model.state_dict())
        self.foretold = [tensor.numpy() for tensor in saved.section("ahead").values()] if saved else []

        self.first = np.arange(len(job.data.train) if course is None else course.learnt[0])
        self.steps = math.ceil(len(self.first) / settings.batch_size)
        "Of an epoch, before any course."
        self.most = self.steps * sum(phase.epochs or settings.epochs for phase in settings.phase)
        self.phases = settings.phase
        if course is not None:
            self.most += course.batches(settings.batch_size, course.steps)
            rate = settings.stream_rate or None
            self.phases = (*self.phases, attrs.evolve(STREAM, epochs=course.steps, learning_rate=rate))

    def _worth(self, figures: Mapping[str, float]) -> float:
        return figures[self.job.measure] * (1 if self.job.higher else -1)

    def go_through_phase(self) -> None:
        """Train for the epochs of the phase that is next, or until no more of them helps."""
        job, settings, at = self.job, self.job.settings, self.at
        phase = self.phases[at.phase]
        following = job.course if at.phase == len(settings.phase) else None
        epochs = phase.epochs or settings.epochs
        freeze(job.model, phase)
        self.objective.factors = list(job.factors.get(phase.name, [factor for factor, _ in job.losses]))
        self.optimizer = self.accelerator.prepare(make_optimizer(self.objective, phase, settings))
        if following is None:
            schedule = step_size(settings, epochs * self.steps, start=at.epoch * self.steps)
        else:
            schedule = ramp(RAMP, start=following.batches(settings.batch_size, at.epoch))
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer.optimizer, schedule)
        if self.saved and at.epoch:
            self.saved.restore_optimizer(self.optimizer.optimizer)

        for epoch in range(at.epoch, epochs):
            started = time.perf_counter()
            draw = seeds.rng(job.seed, job.name, "epoch", at.phase, epoch)
            torch.manual_seed(int(draw.integers(2**63)))  # dropout; the caller puts torch's state back
            self._refresh(draw)
            pool = self.first if following is None else self._foretell(following, epoch)
            losses = self._learn(self._batches(pool, draw), epoch, draw)
            if bad := [f"the {name} is {loss}" for name, loss in losses.items() if not math.isfinite(loss)]:
                raise RunError(
                    f"member {job.name}, phase {phase.name}, epoch {epoch + 1}: {', '.join(bad)}. "
                    "Lower training.learning_rate, set training.clip, or use precision fp32."
                )
            figures = dict(job.validate(job.model)) if job.course is None else {}
            at.done, at.epoch = at.done + 1, epoch + 1
            self._tell(phase.name, losses, figures, time.perf_counter() - started)
            if job.course is None:
                self._remember(self._worth(figures))
            stop = epoch + 1 == epochs or (settings.patience and at.waited >= settings.patience)
            if stop:
                at.phase, at.epoch, at.waited = at.phase + 1, 0, 0
            self._keep()
            if stop:
                break

    def finish(self) -> Outcome:
        """Put the best weights in place, and say what was spent and foretold."""
        job = self.job
        freeze(job.model, Phase())
        if job.course is None:
            # A generator predicts nothing: it stays as it last was, for whoever wants to see what it writes.
            state = job.model.state_dict()
            last = {name: value for name, value in state.items() if name.startswith("generator.")}
            job.model.load_state_dict({**self.best, **last})
        # Elsewhere this would collect the garbage of the whole process and free nothing more.
        if torch.cuda.is_available():
            self.accelerator.free_memory()
        return Outcome(self.at.done, None if job.course is None else np.concatenate(self.foretold))

    # -- an epoch -----------------------------------------------------------------------------------------------

    def _refresh(self, draw: np.random.Generator) -> None:
        """Let the negative generator look at the model as it stands."""
        job = self.job
        if job.negatives is not None:
            embedder = Embedder(job.model.encoder, job.prepared, job.settings.precision)
            job.negatives.refresh(self.at.done, draw, embedder)
        if job.model.generator is not None:
            job.model.generator.refresh(self.at.done, draw, job.model.judge)

    def _foretell(self, course: Course, step: int) -> np.ndarray:
        """Predict the events that a step of time brings, and return the rows that it then learns from."""
        job = self.job
        if len(asked := course.events(step)):
            self.foretold.append(predict(job.model, job.prepared, asked, job.settings.precision))
        return course.rows(step)

    def _batches(self, pool: np.ndarray, draw: np.random.Generator) -> Iterator[tuple[Examples, float]]:
        """Yield this process's part of each batch of some training rows, and the factor of its loss."""
        job, settings, train = self.job, self.job.settings, self.job.data.train
        if settings.locale_share < 1 and job.locales is not None and job.course is None:
            pool = balanced_rows(job.locales, settings.locale_share, draw)
        batches = (
            class_batches(train.label[pool], settings.batch_size, job.per_class, draw)
            if job.per_class
            else epoch_batches(self.lengths[pool], settings.batch_size, draw)
        )
        # A step of time counts by what it holds: a quiet night, when old conversions come and few events, must not
        # teach as much as a busy evening.
        in_time = self.at.phase == len(settings.phase)
        for rows in batches:
            share, factor = my_share(proposed(train.take(pool[rows]), job, draw), self.accelerator)
            yield share, factor * len(rows) / (settings.batch_size if in_time else len(rows))

    def _learn(
        self, shares: Iterator[tuple[Examples, float]], epoch: int, draw: np.random.Generator
    ) -> dict[str, float]:
        """Take a step for each batch, and return their mean loss over all processes; beside it the generator's own."""
        job, settings, device = self.job, self.job.settings, self.accelerator.device
        bf16 = settings.precision == "bf16"
        purpose = ("batch", self.at.phase, epoch, self.accelerator.process_index)
        gathering = functools.partial(gathered, job, device, purpose)
        losses: list[Tensor] = []
        penalties: list[Tensor] = []
        self.step.train()
        for batch, labels, weights, factor in ahead(shares, gathering, prefetching(job.prepared)):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss, penalty = self.step(batch, labels, weights, draw)
            self.accelerator.backward((loss if penalty is None else loss + penalty) * factor)
            if settings.clip:
                for parameters in self.clipped:
                    self.accelerator.clip_grad_norm_(parameters, settings.clip)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach() * factor)
            if job.model.generator is not None:  # a batch in which nothing was overwritten has no penalty
                penalties.append(torch.zeros_like(loss) if penalty is None else penalty.detach() * factor)
            self.at.taken += 1
            job.on_step(self.at.taken, self.most)
        # A process sees its share of every batch; the factors make the mean over processes the batch's loss.
        # In a step of time nothing may have become known.
        own = self._mean(penalties)
        return {"loss": self._mean(losses)} | ({"generator_loss": own} if own else {})

    def _mean(self, losses: Sequence[Tensor]) -> float:
        return float(self.accelerator.reduce(torch.stack(list(losses)).mean(), "mean")) if losses else 0.0

    def _tell(
        self, phase: str, losses: Mapping[str, float], figures: Mapping[str, float], seconds: float
    ) -> None:
        job = self.job
        told: dict[str, Any] = {
            "phase": phase,
            "epoch": self.at.done,
            **losses,
            "learning_rate": self.scheduler.get_last_lr()[0],
            "seconds": seconds,
            "valid": figures,
        }
        generator = job.negatives or job.model.generator
        if generator and generator.figures:
            told["negatives"] = dict(generator.figures)
        if noted := [heard for _, term in job.losses if (heard := term.figures())]:
            told["noted"] = noted
        job.on_epoch(told)

    def _remember(self, worth: float) -> None:
        """Keep the weights of an epoch that is the best so far."""
        self.at.waited += 1
        if worth > self.at.best or math.isnan(worth):
            self.at.best, self.at.waited = worth, 0
            self.best = copy.deepcopy(self.job.model.state_dict())

    def _keep(self) -> None:
        """Write the checkpoint, where there is to be one."""
        job = self.job
        if job.checkpoint:
            mined = job.negatives.state() if job.negatives is not None else {}
            self.foretold = [np.concatenate(self.foretold)] if self.foretold else []
            job.checkpoint.write(
                self.at, self.objective, self.best, self.optimizer.optimizer, mined, *self.foretold
            )


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


def my_share(examples: Examples, accelerator: Accelerator) -> tuple[Examples, float]:
    """Return this process's part of a batch, and the factor that makes the processes' mean the batch's mean."""
    if accelerator.num_processes == 1:
        return examples, 1.0
    rows = np.array_split(np.arange(len(examples)), accelerator.num_processes)[accelerator.process_index]
    share = examples.take(rows)
    return share, float(share.weight.sum() / max(examples.weight.sum(), 1e-12)) * accelerator.num_processes
