"""Whether the parts of a pipeline fit each other: who needs what, and who gives it.

Everything here reads records and configurations only; no part is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from prodmatch_core.data import gains
from prodmatch_core.errors import ConfigError, Problem
from prodmatch_core.fields import Expected, show
from prodmatch_core.records import CAPABILITIES, DatasetSpec, Part, Spec
from prodmatch_core.registry import Registry
from prodmatch_core.task_specs import TASKS, TaskSpec

if TYPE_CHECKING:
    from prodmatch_core.sections import Member, PipelineFile

_HEADS = [task.heads for task in TASKS.values()]


def check(pipeline: PipelineFile, registry: Registry) -> Iterator[Problem]:
    """Yield every misfit of a pipeline whose parts are each, taken alone, well configured."""
    task, tables = pipeline.task, pipeline.data.part.gives
    yield from _task(pipeline, registry)
    given = tables | task.gives(tables)
    seen: dict[str, int] = {}
    for index, member in enumerate(pipeline.member):
        if member.name in seen:
            yield Problem(
                f"member[{index}].name",
                f'"{member.name}" is taken by member[{seen[member.name]}]; names must differ',
            )
        seen.setdefault(member.name, index)
        yield from _member(member, f"member[{index}]", Given(given, _giver(pipeline), task), registry)
    if len(pipeline.member) > 1 and pipeline.aggregator is None and task.answer == "classes":
        yield Problem(
            "aggregator",
            f"missing; {len(pipeline.member)} members need one, for example "
            f"{', '.join(registry.names('aggregator')) or 'none is installed'}",
        )
    for index, measure in enumerate(pipeline.evaluation.measures):
        yield from measure_problems(measure, f"evaluation.measures[{index}]", task, registry)
    yield from _gains(pipeline)
    for index, name in enumerate(pipeline.baselines):
        path = f"evaluation.baselines[{index}]"
        try:
            spec = registry.get("encoder", name)
        except ConfigError as error:
            yield Problem(path, str(error))
            continue
        if task.answer != "classes":
            yield Problem(path, f"the task {task.name} brings baselines of its own; remove {name}")
        elif "probabilities" not in spec.gives_of(spec.config()):
            yield Problem(
                path, f"{name} is trained by gradient steps; a baseline must fit itself. Make it a [[member]]"
            )
    gives = {"out_of_fold"} | set().union(*(member.encoder.gives for member in pipeline.member))
    if pipeline.aggregator is not None:
        costs = {"costs"} if task.name == "match" else set()
        yield from _needs(pipeline.aggregator.part, "aggregator", gives | costs, registry, "no member")
        gives |= pipeline.aggregator.part.gives
    for index, section in enumerate(pipeline.calibrator):
        yield from _needs(section.part, f"calibrator[{index}]", gives, registry, "no earlier part")


def _task(pipeline: PipelineFile, registry: Registry) -> Iterator[Problem]:
    """Yield what the task asks of the data set and of the pipeline's shape."""
    task, data = pipeline.task, pipeline.data.part
    for missing in sorted(task.tables - data.gives):
        others = [spec.name for spec in registry.specs("dataset") if _way_to(spec, missing) is not None]
        remedy = f"; given by {', '.join(others)}" if others else ""
        yield Problem(
            "data.use",
            f"the task {task.name} needs {missing} ({CAPABILITIES[missing]}), which {data.name} (dataset) does not "
            f"give{remedy}",
        )
    for name, section in (("relate", pipeline.relate), ("convert", pipeline.convert)):
        if section != type(section)() and name != task.name:
            yield Problem(name, f"belongs to the task {name}, and the task is {task.name}; remove it")
    if task.answer == "classes":
        return
    for name, there in (("aggregator", pipeline.aggregator), ("calibrator", pipeline.calibrator)):
        if there:
            yield Problem(
                name, f"the task {task.name} ranks neighbours and has no class probabilities; remove it"
            )
    if len(pipeline.member) > 1:
        yield Problem(
            "member[1]", f"the task {task.name} takes one member; run the others alone and compare the runs"
        )


def _giver(pipeline: PipelineFile) -> str:
    return f"{pipeline.data.part.name} (dataset)"


def measure_problems(name: str, path: str, task: TaskSpec, registry: Registry) -> Iterator[Problem]:
    """Yield why a task cannot be measured by `name`, nothing where it can."""
    try:
        needs = registry.measure(name).needs_of(None) & {"classes", "neighbours", "group_labels"}
    except ConfigError as error:
        yield Problem(path, str(error))
        return
    for missing in sorted(needs - {task.answer} - task.examples):
        yield Problem(
            path,
            f"{name} needs {missing} ({CAPABILITIES[missing]}); the task {task.name} gives {task.answer}",
        )


def _gains(pipeline: PipelineFile) -> Iterator[Problem]:
    """Yield the misfit of the gain profile, where the labels are known before the data is read."""
    spec, profile = pipeline.data.part.spec, pipeline.evaluation.gain_profile
    if isinstance(spec, DatasetSpec) and spec.labels is not None:
        labels = spec.labels(pipeline.data.part.config)
        if problem := gains.misfit(profile, labels):
            yield Problem("evaluation.gain_profile", problem)


@attrs.frozen
class Given:
    """What members start from: the capabilities of the data and the task's examples, who gives them, and the task."""

    capabilities: frozenset[str]
    giver: str
    task: TaskSpec


def _member(member: Member, path: str, given: Given, registry: Registry) -> Iterator[Problem]:
    encoder, heads = member.encoder, given.task.heads
    gives = set(given.capabilities)
    if member.sampler is not None:
        yield from _needs(member.sampler, f"{path}.sampler", gives, registry, given.giver)
        gives |= member.sampler.gives
    for where, inner in parts_within(encoder, f"{path}.encoder"):
        # A nested part's needs may be met by parts nested in it, or by the ones around it.
        nested = set().union(*(p.gives for _, p in parts_within(inner, where) if p is not inner))
        yield from _needs(inner, where, gives | nested, registry, given.giver)
    if member.sampler is not None and not any(
        "blocks" in inner.needs for _, inner in parts_within(encoder, "")
    ):
        yield Problem(
            f"{path}.sampler",
            f"nothing in {encoder.name} reads {', '.join(sorted(member.sampler.gives))}; remove it, or choose an "
            "encoder over a graph",
        )
    gives |= encoder.gives
    if not encoder.gives & heads.keys():
        yield Problem(
            f"{path}.encoder.use",
            f"{encoder.name} gives {', '.join(sorted(encoder.gives)) or 'nothing'}; in the task {given.task.name} a "
            f"member's encoder must give {_one_of(heads)}. Nest it in one that does, or choose another",
        )
    for head, derived in heads.items():
        if head in encoder.gives:
            gives |= derived
    if "probabilities" in encoder.gives:
        for name, used in (
            ("loss", member.loss),
            ("negatives", member.negatives),
            ("sampler", member.sampler),
        ):
            if used:
                yield Problem(
                    f"{path}.{name}",
                    f"{encoder.name} fits itself and takes no {name}; remove it, or choose another encoder",
                )
        return
    for index, entry in enumerate(member.loss):
        yield from _needs(entry.part, f"{path}.loss[{index}]", gives, registry, f"{encoder.name} (encoder)")
    if member.negatives is not None:
        yield from _needs(member.negatives, f"{path}.negatives", gives, registry, f"{encoder.name} (encoder)")
    if member.training.locale_share < 1 and given.task.name == "embed":
        yield Problem(
            f"{path}.training.locale_share",
            "the task embed has no queries, whose locale a row would be of; remove it",
        )
    for index, phase in enumerate(member.training.phase):
        if phase.per_locale and given.task.name != "match":
            yield Problem(
                f"{path}.training.phase[{index}].per_locale",
                f"locales have copies in the task match, and the task is {given.task.name}; remove it",
            )
    if member.training.measure:
        yield from measure_problems(member.training.measure, f"{path}.training.measure", given.task, registry)


def _one_of(heads: Iterable[str]) -> str:
    names = list(heads)
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0]


def parts_within(part: Part, path: str) -> Iterator[tuple[str, Part]]:
    """Yield `part` and every part nested in its configuration, each with its path."""
    yield path, part
    for field in attrs.fields(type(part.config)):
        value: Any = getattr(part.config, field.name)
        if isinstance(value, Part):
            yield from parts_within(value, f"{path}.{field.name}")


def _needs(part: Part, path: str, gives: set[str], registry: Registry, giver: str) -> Iterator[Problem]:
    verb = "gives" if giver.startswith("no ") else "does not give"
    for missing in sorted(part.needs - gives):
        others = sorted(
            f"{spec.name} ({kind}{how})"
            for kind in ("encoder", "dataset", "graph-sampler", "aggregator")
            for spec in registry.specs(kind)
            if (how := _way_to(spec, missing)) is not None
        )
        remedy = f"; given by {', '.join(others)}" if others else ""
        yield Problem(
            f"{path}.use",
            f"{part.name} needs {missing} ({CAPABILITIES[missing]}), which {giver} {verb}{remedy}",
        )


def _way_to(spec: Spec, wanted: str) -> str | None:
    """Return which setting makes a part give what is wanted, in words that follow its kind; None if none does."""

    def found(given: frozenset[str]) -> bool:
        derived = (heads.get(g, frozenset()) for heads in _HEADS for g in given)
        return wanted in given or any(wanted in made for made in derived)

    if not callable(spec.gives):
        return "" if found(spec.gives) else None
    try:
        plain = spec.config()
    except TypeError:  # a field without default: what the part gives is not known yet
        return None
    if found(spec.gives(plain)):
        return ", by default"
    for field in attrs.fields(spec.config):
        for choice in field.validator.choices if isinstance(field.validator, Expected) else ():
            try:
                changed = attrs.evolve(plain, **{field.name: choice})
            except ValueError:  # a choice that contradicts another default
                continue
            if found(spec.gives(changed)):
                return f" with {field.name} = {show(choice)}"
    return None
