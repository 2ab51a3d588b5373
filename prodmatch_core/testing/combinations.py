"""Every combination of parts: which fit each other, why the others do not, and those that do put to work.

Parts are combined as their records' examples configure them. Two tables hold everything,
because what aggregators and calibrators read is the members' predictions and nothing else of them:

- *members*: encoder x loss x negative generator x graph sampler, in each task;
- *decisions*: encoder x aggregator x calibrator, in the tasks that answer with class probabilities.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from cattrs.errors import ClassValidationError, IterableValidationError

from prodmatch_core.config import load_pipeline
from prodmatch_core.errors import ConfigError
from prodmatch_core.fields import Expected
from prodmatch_core.records import Part, Spec
from prodmatch_core.registry import Registry
from prodmatch_core.sections import PipelineFile
from prodmatch_core.structure import Mismatch, Structurer
from prodmatch_core.task_specs import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from prodmatch_core.components.encoder import FitData
    from prodmatch_core.data.corpus import Examples
    from prodmatch_core.tasks.base import Task

DATA: Mapping[str, Mapping[str, Any]] = {
    "match": {"use": "shop.synthetic", "size": 300},
    "embed": {"use": "core.shopee"},
    "relate": {"use": "shop.synthetic"},
    "convert": {"use": "shop.synthetic"},
}
"Task -> the data that `validate` is told of. Steps are made on the shop in the task match, on tiny worlds in others."
EXAMPLES = 48
"Training examples of a step, at the most; a step is one batch."
TRAINING = {"epochs": 1, "batch_size": EXAMPLES, "per_class": 0, "patience": 0}


@attrs.frozen
class Choice:
    """A part, configured as its record's example says and by one further setting where that changes what it gives."""

    spec: Spec
    settings: Mapping[str, Any] = attrs.field(factory=dict, hash=False)

    def __str__(self) -> str:
        told = ",".join(f"{field}={value}" for field, value in self.settings.items())
        return f"{self.spec.name}[{told}]" if told else self.spec.name

    def table(self) -> dict[str, Any]:
        """Return the part as a table of a pipeline file."""
        return {"use": self.spec.name, **self.spec.example, **self.settings}

    def part(self, registry: Registry) -> Part:
        """Return the part with its configuration."""
        return Structurer(registry).part(self.table(), self.spec.kind)


def choices(registry: Registry, kind: str) -> list[Choice]:
    """Return every part of a kind; those whose gifts depend on a choice of one field, once for each different gift."""
    found = []
    for spec in registry.specs(kind):
        found += [Choice(spec), *(Choice(spec, settings) for settings in _other_gifts(spec, registry))]
    return found


def _other_gifts(spec: Spec, registry: Registry) -> Iterator[dict[str, Any]]:
    """Yield the settings by which a part gives something else than by its example."""
    if not callable(spec.gives):
        return
    seen = [Choice(spec).part(registry).gives]
    for field in attrs.fields(spec.config):
        for value in field.validator.choices if isinstance(field.validator, Expected) else ():
            try:
                gives = Choice(spec, {field.name: value}).part(registry).gives
            except (ClassValidationError, IterableValidationError, Mismatch):
                continue  # the choice contradicts another field
            if gives not in seen:
                seen.append(gives)
                yield {field.name: value}


@attrs.frozen
class Combination:
    """Parts of different kinds in one pipeline of a task; a kind that is left out is not in `parts`."""

    task: str
    parts: Mapping[str, Choice] = attrs.field(hash=False)
    "By kind."

    def __str__(self) -> str:
        return f"{self.task}: {' + '.join(map(str, self.parts.values()))}"

    def source(self) -> dict[str, Any]:
        """Return the combination as the tables of a pipeline file."""
        made = {kind: choice.table() for kind, choice in self.parts.items()}
        member: dict[str, Any] = {"name": "only", "encoder": made["encoder"], "training": dict(TRAINING)}
        if "loss" in made:
            member["loss"] = [made["loss"]]
        if "negative-generator" in made:
            member["negatives"] = made["negative-generator"]
        if "graph-sampler" in made:
            member["sampler"] = made["graph-sampler"]
        pipeline: dict[str, Any] = {
            "pipeline": {"name": "combination", "task": self.task},
            "data": dict(DATA[self.task]),
            "member": [member],
        }
        if self.task == "relate":
            pipeline["relate"] = {"relation": "bought_next"}
        if "aggregator" in made:
            pipeline["member"].append({**member, "name": "other"})
            pipeline["aggregator"] = made["aggregator"]
        if "calibrator" in made:
            pipeline["calibrator"] = [made["calibrator"]]
        return pipeline

    def checked(self, registry: Registry) -> PipelineFile:
        """Return the checked pipeline.

        Raises:
            ConfigError: the parts do not fit each other; the message says why.
        """
        return load_pipeline(self.source(), registry=registry)

    def refusals(self, registry: Registry) -> list[str]:
        """Return why `validate` refuses the combination, nothing where it does not."""
        try:
            self.checked(registry)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        return []


def of_members(registry: Registry, task: str) -> Iterator[tuple[Combination, list[str]]]:
    """Yield encoder x graph sampler x loss x negative generator, each with why `validate` refuses it.

    All kinds but the encoder may be left out. Of what is refused, only the smallest combinations are told: no loss and
    no generator gives what an encoder lacks.
    """
    yield from _grown(registry, task, ("encoder", "graph-sampler"), ("loss", "negative-generator"))


def of_decisions(registry: Registry, task: str) -> Iterator[tuple[Combination, list[str]]]:
    """Yield encoder x aggregator x calibrator as `of_members` does; nothing where a task ranks neighbours."""
    if TASKS[task].answer == "classes":
        yield from _grown(registry, task, ("encoder", "aggregator"), ("calibrator",))


def pairwise(combinations: Iterable[Combination]) -> list[Combination]:
    """Return some of the combinations: every two parts that fit stand together in one, and every part in each task.

    Of encoders and what reads nothing but predictions, pairs say nothing: there every encoder stands in one.
    """
    kept: list[Combination] = []
    seen: set[Any] = set()
    ordered = sorted(combinations, key=lambda each: hashlib.sha256(str(each).encode()).digest())
    for combination in ordered:
        parts = [combination.task, *(f"{kind}={choice}" for kind, choice in combination.parts.items())]
        reading = parts[2:] if {"aggregator", "calibrator"} & combination.parts.keys() else parts
        pairs = {*parts, *itertools.combinations(reading, 2)}
        if not pairs <= seen:
            seen |= pairs
            kept.append(combination)
    return sorted(kept, key=str)


def train_one_step(combination: Combination, registry: Registry) -> None:
    """Fit the combination's member by one step on a few examples, and ask it for predictions.

    Raises:
        AssertionError: it predicts what is not a number.
        Exception: whatever a part raises.
    """
    import numpy as np

    from prodmatch_core.training.member import fit_member

    pipeline = combination.checked(registry)
    task, data = few_examples(combination.task)
    fitted = fit_member(pipeline.member[0], data, task, registry, seed=0)
    if TASKS[combination.task].answer == "classes":
        found = fitted.predict(data.corpus, data.valid)
    else:
        (found,) = fitted.vectors(data.corpus, [("product", data.valid.product)])
    assert len(found) == len(data.valid)
    assert np.isfinite(found).all()


@functools.cache
def few_examples(name: str) -> tuple[Task, FitData]:
    """Return a task, and a few of its examples: where there are several of a label or group, more than one of each."""
    from prodmatch_core.data.reading import ReadContext
    from prodmatch_core.rundata import read_dataset
    from prodmatch_core.testing.worlds import world

    if name != "match":
        found = world(name)
        return found.task, attrs.evolve(
            found.fit, train=_few(found.fit.train, name), valid=_few(found.fit.valid, name)
        )
    from prodmatch_core.components.encoder import FitData
    from prodmatch_core.tasks.base import load_task

    tree = {"pipeline": {"name": "few"}, "data": DATA[name], "member": [{"encoder": {"use": "core.overlap"}}]}
    pipeline = load_pipeline(tree)
    dataset, task = read_dataset(pipeline, ReadContext()), load_task(name)
    data = task.examples(dataset, pipeline)
    train, valid = (_few(data.examples[split], name) for split in ("train", "valid"))
    return task, FitData(data.corpus, train, valid, data.scheme, dataset)


def decide(combination: Combination, registry: Registry, folder: Path) -> None:
    """Fit the combination's aggregator and calibrator on what a member with its encoder says, and decide test rows.

    The member is fitted once for all combinations, and stands for every member that an aggregator reads.

    Args:
        combination: an encoder with an aggregator, a calibrator, or both, that fit each other.
        registry: the parts there are.
        folder: an empty folder; what a run leaves of its decisions is written there.

    Raises:
        AssertionError: a probability is not a number, or there are no figures.
        Exception: whatever a part raises.
    """
    import numpy as np
    import polars as pl

    from prodmatch_core.answers.classes import ClassAnswer
    from prodmatch_core.answers.work import Work
    from prodmatch_core.components.aggregator import Cost
    from prodmatch_core.testing.worlds import world

    pipeline, found = combination.checked(registry), world(combination.task)
    pipeline = attrs.evolve(pipeline, evaluation=attrs.evolve(pipeline.evaluation, replicates=100))
    costs = (Cost(p50_ms=1.0, p95_ms=2.0, memory_mb=10.0),) * len(pipeline.member)
    work = Work(pipeline, found.task, registry, found.dataset, found.data, folder, costs)
    answer = ClassAnswer(work)
    said = dict(_said(Combination(combination.task, {"encoder": combination.parts["encoder"]}), registry))
    if answer.folds is None:
        del said["train"]
    figures = answer.conclude([said] * len(pipeline.member))
    decided = pl.read_parquet(folder / "decisions.parquet")
    probabilities = decided.select(pl.selectors.starts_with("p_")).to_numpy()
    assert probabilities.size and np.isfinite(probabilities).all()
    assert figures


@functools.cache
def _said(member: Combination, registry: Registry) -> Mapping[str, np.ndarray]:
    """Return what a member says of the rows of its task's tiny world, by split; of training rows too."""
    from prodmatch_core.testing.worlds import world
    from prodmatch_core.training.member import fit_member

    found = world(member.task)
    fitted = fit_member(member.checked(registry).member[0], found.fit, found.task, registry, seed=0)
    said = {}
    for split in ("train", "valid", "test"):
        examples = found.data.examples[split]
        said[split], said[f"{split}.uncertainty"] = fitted.predict_with_uncertainty(
            found.data.corpus, examples
        )
    return said


def _few(examples: Examples, task: str) -> Examples:
    import numpy as np

    order = np.argsort(examples.label, kind="stable")
    if task != "embed":  # labels in turn; groups one after the other
        place = np.arange(len(order)) - np.searchsorted(examples.label[order], examples.label[order])
        order = order[np.argsort(place, kind="stable")]
    return examples.take(np.sort(order[:EXAMPLES]))


def _grown(
    registry: Registry, task: str, first: tuple[str, ...], then: tuple[str, ...]
) -> Iterator[tuple[Combination, list[str]]]:
    offered: dict[str, list[Choice | None]] = {
        kind: [None, *choices(registry, kind)] for kind in (*first, *then)
    }
    offered["encoder"] = offered["encoder"][1:]

    def tried(chosen: Iterable[Choice | None]) -> tuple[Combination, list[str]]:
        made = Combination(task, {choice.spec.kind: choice for choice in chosen if choice is not None})
        return made, made.refusals(registry)

    for base in itertools.product(*(offered[kind] for kind in first)):
        yield (found := tried(base))
        if found[1]:
            continue
        fitting: list[list[Choice | None]] = []
        for kind in then:
            fitting.append([None])
            for choice in offered[kind][1:]:
                yield (found := tried((*base, choice)))
                if not found[1]:
                    fitting[-1].append(choice)
        for further in itertools.product(*fitting):
            if sum(choice is not None for choice in further) > 1:
                yield tried((*base, *further))
