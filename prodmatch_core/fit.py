"""Whether the parts of a pipeline fit each other: who needs what, and who gives it.

Everything here reads records and configurations only; no part is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from prodmatch_core.errors import ConfigError, Problem
from prodmatch_core.evaluation import gains
from prodmatch_core.fields import Expected, show
from prodmatch_core.records import CAPABILITIES, DatasetSpec, Part, Spec
from prodmatch_core.registry import Registry

if TYPE_CHECKING:
    from prodmatch_core.sections import Member, Pipeline

DERIVED = {"pairs": {"logits"}, "embeddings": {"logits", "similarity"}, "nodes": {"logits"}}
"What the task's head makes of what an encoder gives."


def check(pipeline: Pipeline, registry: Registry) -> Iterator[Problem]:
    """Yield every misfit of a pipeline whose parts are each, taken alone, well configured."""
    seen: dict[str, int] = {}
    for index, member in enumerate(pipeline.member):
        if member.name in seen:
            yield Problem(
                f"member[{index}].name",
                f'"{member.name}" is taken by member[{seen[member.name]}]; names must differ',
            )
        seen.setdefault(member.name, index)
        yield from _member(member, f"member[{index}]", pipeline.data.part, registry)
    if len(pipeline.member) > 1 and pipeline.aggregator is None:
        yield Problem(
            "aggregator",
            f"missing; {len(pipeline.member)} members need one, for example "
            f"{', '.join(registry.names('aggregator')) or 'none is installed'}",
        )
    for index, measure in enumerate(pipeline.evaluation.measures):
        yield from _measure(measure, f"evaluation.measures[{index}]", registry)
    yield from _gains(pipeline)
    for index, name in enumerate(pipeline.evaluation.baselines):
        path = f"evaluation.baselines[{index}]"
        try:
            spec = registry.get("encoder", name)
        except ConfigError as error:
            yield Problem(path, str(error))
            continue
        if "probabilities" not in spec.gives_of(spec.config()):
            yield Problem(
                path, f"{name} is trained by gradient steps; a baseline must fit itself. Make it a [[member]]"
            )
    gives = {"out_of_fold"} | set().union(*(member.encoder.gives for member in pipeline.member))
    if pipeline.aggregator is not None:
        yield from _needs(pipeline.aggregator.part, "aggregator", gives, registry, "no member")
        gives |= pipeline.aggregator.part.gives
    for index, section in enumerate(pipeline.calibrator):
        yield from _needs(section.part, f"calibrator[{index}]", gives, registry, "no earlier part")


def _member(member: Member, path: str, data: Part, registry: Registry) -> Iterator[Problem]:
    encoder = member.encoder
    gives = set(data.gives)
    if member.sampler is not None:
        yield from _needs(member.sampler, f"{path}.sampler", gives, registry, f"{data.name} (dataset)")
        gives |= member.sampler.gives
    for where, inner in parts_within(encoder, f"{path}.encoder"):
        # A nested part's needs may be met by parts nested in it, or by the ones around it.
        nested = set().union(*(p.gives for _, p in parts_within(inner, where) if p is not inner))
        yield from _needs(inner, where, gives | nested, registry, f"{data.name} (dataset)")
    gives |= encoder.gives
    if not encoder.gives & {*DERIVED, "probabilities"}:
        yield Problem(
            f"{path}.encoder.use",
            f"{encoder.name} gives {', '.join(sorted(encoder.gives)) or 'nothing'}; a member's encoder must give "
            f"one of {', '.join([*DERIVED, 'probabilities'])}. Nest it in one that does, or choose another",
        )
    for given, derived in DERIVED.items():
        if given in encoder.gives:
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
    if member.training.measure:
        yield from _measure(member.training.measure, f"{path}.training.measure", registry)


def _measure(name: str, path: str, registry: Registry) -> Iterator[Problem]:
    try:
        registry.measure(name)
    except ConfigError as error:
        yield Problem(path, str(error))


def _gains(pipeline: Pipeline) -> Iterator[Problem]:
    """Yield the misfit of the gain profile, where the labels are known before the data is read."""
    spec, profile = pipeline.data.part.spec, pipeline.evaluation.gain_profile
    if isinstance(spec, DatasetSpec) and spec.labels is not None:
        labels = spec.labels(pipeline.data.part.config)
        if problem := gains.misfit(profile, labels):
            yield Problem("evaluation.gain_profile", problem)


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
        return wanted in given or any(wanted in DERIVED.get(g, ()) for g in given)

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
