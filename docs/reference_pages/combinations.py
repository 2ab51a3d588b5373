"""The page that says which parts fit each other, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prodmatch_core.registry import Registry
from prodmatch_core.task_specs import TASKS
from prodmatch_core.testing.combinations import (
    Choice,
    Combination,
    choices,
    of_decisions,
    of_members,
    pairwise,
)
from reference_pages.markdown import head, table

BESIDE = {"loss": "losses", "negative-generator": "negative generators"}
"Kinds of parts that are told for every encoder -> the column's head."


REFUSED = (
    ("match", "core.ngram", "loss", "core.metric"),
    ("match", "core.overlap", "loss", "core.focal"),
    ("match", "core.ngram", "graph-sampler", "core.uniform_sampler"),
    ("match", "core.ngram", "calibrator", "uncertainty.dp"),
    ("embed", "core.ngram", "calibrator", "core.isotonic"),
)
"Task, encoder, and a part that does not fit it: one of each sort of refusal."


def page(registry: Registry) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from head("Which parts fit each other")
    yield "`prodmatch validate` refuses a pipeline whose parts do not fit, and says what is missing. This page is what"
    yield "it says of every pair, each part configured as [its page](parts.md) shows. Where a part gives something else"
    yield "by a choice of one field, the choice stands behind its name."
    yield ""
    yield from _counted(registry)
    for name, task in TASKS.items():
        yield from ("", f"## {name}", "", task.summary, "")
        yield from _members(registry, name)
        if task.answer == "classes":
            yield from _decisions(registry, name)
    yield from ("", "## What does not fit", "", "Each sort of refusal, by an example:", "")
    for task_name, encoder, kind, part in REFUSED:
        parts = (Choice(registry.get("encoder", encoder)), Choice(registry.get(kind, part)))
        for reason in _combined(task_name, *parts).refusals(registry)[:1]:
            yield f"- {task_name}, `{encoder}` with `{part}`: {reason.partition(': ')[2]}"


def _counted(registry: Registry) -> Iterator[str]:
    """Yield how many combinations there are, and how many of them the test suite runs."""
    members = [each for task in TASKS for each in of_members(registry, task)]
    deciding = [name for name, task in TASKS.items() if task.answer == "classes"]
    decisions = [list(of_decisions(registry, name)) for name in deciding]
    fit = [made for made, reasons in members if not reasons]
    run = sum(len(pairwise(made for made, reasons in each if not reasons)) for each in decisions)
    decided = sum(not reasons for each in decisions for _, reasons in each)
    refused = sum(bool(reasons) for each in (members, *decisions) for _, reasons in each)
    yield f"Of encoders with samplers, losses and negative generators {len(fit):,} combinations fit, of aggregators"
    yield f"with calibrators {decided:,}; {refused:,} are refused, each with its reason. The test suite makes a"
    yield f"training step of {len(pairwise(fit)):,} of the former and lets {run:,} of the latter decide: enough that"
    yield "every two parts that fit stand together in one."


def _members(registry: Registry, task: str) -> Iterator[str]:
    """Yield which parts go with which encoders; encoders with which the same parts go stand together."""
    alike: dict[tuple[str, ...], list[Choice]] = {}
    samplers: list[Choice | None] = [None, *choices(registry, "graph-sampler")]
    for encoder in choices(registry, "encoder"):
        fitting = [sampler for sampler in samplers if _fits(registry, task, encoder, sampler)]
        if fitting:
            beside = (
                _names(p for p in choices(registry, kind) if _fits(registry, task, encoder, fitting[0], p))
                for kind in BESIDE
            )
            parts = (*beside, _names(s for s in fitting if s is not None))
            alike.setdefault(parts, []).append(encoder)
    rows = [[_names(encoders), *parts] for parts, encoders in alike.items()]
    yield from table(["encoders", *BESIDE.values(), "graph samplers"], rows)


def _decisions(registry: Registry, task: str) -> Iterator[str]:
    """Yield which calibrators follow which aggregators, where members say how unsure they are and where they do not."""
    calibrators = choices(registry, "calibrator")
    encoders = [e for e in choices(registry, "encoder") if _fits(registry, task, e)]
    encoders.sort(key=lambda e: sum(_fits(registry, task, e, c) for c in calibrators))
    alike: dict[tuple[str, ...], list[Choice]] = {}
    alone: tuple[str, ...] = ()
    for aggregator in (None, *choices(registry, "aggregator")):
        follow = [
            [c for c in calibrators if _fits(registry, task, encoder, aggregator, c)]
            for encoder in (encoders[0], encoders[-1])
        ]
        parts = (_names(follow[0]), _names(c for c in follow[1] if c not in follow[0]))
        if aggregator is None:
            alone = parts
        else:
            alike.setdefault(parts, []).append(aggregator)
    rows = [["none", *alone], *([_names(aggregators), *parts] for parts, aggregators in alike.items())]
    heads = ("calibrators", "further ones where members give uncertainty")
    yield from ("", *table(["aggregators", *heads], rows))


def _fits(registry: Registry, task: str, *parts: Choice | None) -> bool:
    return not _combined(task, *parts).refusals(registry)


def _combined(task: str, *parts: Choice | None) -> Combination:
    return Combination(task, {part.spec.kind: part for part in parts if part is not None})


def _names(found: Iterable[Choice]) -> str:
    return ", ".join(map(_name, found)) or "–"


def _name(choice: Choice) -> str:
    told = ", ".join(f"{field} = {value}" for field, value in choice.settings.items())
    return f"`{choice.spec.name}` ({told})" if told else f"`{choice.spec.name}`"
