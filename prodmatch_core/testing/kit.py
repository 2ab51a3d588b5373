"""Cases: every check of every part asked for. Imports nothing heavy; the checks are imported when asked for."""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from prodmatch_core.errors import ConfigError, did_you_mean
from prodmatch_core.records import PART_KINDS, Spec
from prodmatch_core.registry import Registry, default_registry
from prodmatch_core.testing.outcomes import Nonconformance, Skipped

if TYPE_CHECKING:
    from prodmatch_core.testing.subject import Subject

EVERY_PART = "part"
"The kind of checks that parts of every kind must pass."
_MODULES = {
    EVERY_PART: "every_part",
    "encoder": "encoders",
    "node-encoder": "node_encoders",
    "negative-generator": "negative_generators",
    "loss": "losses",
    "graph-sampler": "graph_samplers",
    "aggregator": "aggregators",
    "calibrator": "calibrators",
    "dataset": "datasets",
    "measure": "measures",
    "command": "commands",
}
NODE_ENCODER = "node-encoder"
"The kind of checks that encoders which give nodes must pass, in place of an encoder's."
Variants = Mapping[str, Iterable[Mapping[str, Any]]]
"Name of a part -> further settings to check it with, each a table of fields beside the record's example."


@attrs.frozen
class Check:
    """One law: what it is called, the kind of parts it is for, what it demands, and the function that tries it."""

    id: str
    kind: str
    "A kind of part; `node-encoder` for encoders that give nodes; or `part` where every kind must pass."
    demand: str
    "What the law says, in a sentence or two."
    function: Callable[[Subject], None] = attrs.field(repr=False)


@functools.cache
def checks_of(kind: str) -> list[Check]:
    """Return the checks of a kind of part, without those of every part; of `part`, those.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in _MODULES:
        raise ConfigError(f'unknown kind of part "{kind}"{did_you_mean(kind, _MODULES)}')
    module = importlib.import_module(f"prodmatch_core.testing.checks.{_MODULES[kind]}")
    return [
        Check(name.removeprefix("check_"), kind, " ".join((inspect.getdoc(value) or "").split()), value)
        for name, value in vars(module).items()
        if name.startswith("check_") and getattr(value, "__module__", "") == module.__name__
    ]


@attrs.frozen
class Case:
    """One check of one part, so configured."""

    id: str
    "`acme.encoder::padding_invariance`, or `acme.encoder[mode=fast]::padding_invariance` of a variant."
    part: str
    "Name of the part."
    check: Check
    subject: Subject = attrs.field(repr=False)

    def run(self) -> None:
        """Try the check.

        Raises:
            Nonconformance: the part breaks it, or declares an exemption it does not need.
            Skipped: it has nothing to say of this part, or the part declares an exemption; the message has the reason.
        """
        __tracebackhide__ = True
        reason = self.subject.spec.exempt.get(self.check.id)
        try:
            self._try()
        except Nonconformance:
            if reason is not None:
                raise Skipped(f"exempt: {reason}") from None
            raise
        if reason is not None:
            raise Nonconformance(
                f'the record declares itself exempt from {self.check.id} ("{reason}") and passes. Remove the exemption.'
            )

    def _try(self) -> None:
        try:
            self.check.function(self.subject)
        except (Nonconformance, Skipped):
            raise
        except Exception as error:  # a part may fail in any way it likes
            raise Nonconformance(
                f"the part fails with {type(error).__name__}: {error}. It should pass this check: {self.check.demand}"
            ) from error


@attrs.frozen
class Outcome:
    """What one case came to."""

    part: str
    "Name of the part, with a variant's settings."
    check: str
    "Id of the check."
    status: str
    "`passed`, `failed` or `skipped`."
    message: str
    "Why it failed or was skipped; empty where it passed."
    seconds: float
    "Time it took."


def family_of(spec: Spec) -> str:
    """Return the kind of checks for a part: its own kind's, or those of encoders of nodes."""
    nodes = spec.kind == "encoder" and not callable(spec.gives) and "nodes" in spec.gives
    return NODE_ENCODER if nodes else spec.kind


def part_checks(
    *wanted: str, registry: Registry | None = None, variants: Variants | None = None
) -> list[Case]:
    """Return every case of the parts asked for.

    Args:
        wanted: entry points (`acme`), distributions (`prodmatch-acme`) or parts (`acme.encoder`); none: all parts.
        registry: the parts there are; the installed plugins' by default.
        variants: further settings to check parts with, beside the example of their records.

    Raises:
        ConfigError: nothing has that name, its plugin failed to load, or a variant is of no part asked for.
    """
    registry = registry or default_registry()
    variants = dict(variants or {})
    specs = _chosen(registry, wanted)
    if strange := sorted(variants.keys() - {spec.name for spec in specs}):
        raise ConfigError(
            f'variants of "{strange[0]}"{did_you_mean(strange[0], (spec.name for spec in specs))}'
        )
    return [case for spec in specs for case in _cases(spec, registry, variants.get(spec.name, ()))]


def _chosen(registry: Registry, wanted: Iterable[str]) -> list[Spec]:
    every = [(spec, registry.owner(spec)) for kind in PART_KINDS for spec in registry.specs(kind)]
    if not (names := list(wanted)):
        return [spec for spec, _ in every]
    chosen: list[Spec] = []
    for name in names:
        found = [
            spec
            for spec, owner in every
            if name in (owner.entry_point, owner.distribution, owner.key, spec.name)
        ]
        for plugin in registry.plugins:
            if (
                not found
                and plugin.state != "ok"
                and name in (plugin.entry_point, plugin.distribution, plugin.key)
            ):
                raise ConfigError(plugin.problem)
        if not found:
            known = {spec.name for spec, _ in every} | {owner.entry_point for _, owner in every}
            raise ConfigError(f'no plugin and no part is called "{name}"{did_you_mean(name, known)}')
        chosen += [spec for spec in found if spec not in chosen]
    return chosen


def _cases(spec: Spec, registry: Registry, variants: Iterable[Mapping[str, Any]]) -> Iterator[Case]:
    from prodmatch_core.testing.subject import Subject

    for variant in ({}, *variants):
        title = spec.name
        if variant:
            title += f"[{','.join(f'{key}={value}' for key, value in variant.items())}]"
        subject = Subject(spec, {**spec.example, **variant}, registry)
        for check in (*checks_of(EVERY_PART), *checks_of(family_of(spec))):
            yield Case(f"{title}::{check.id}", spec.name, check, subject)


def parametrize_parts(
    *wanted: str, registry: Registry | None = None, variants: Variants | None = None
) -> Any:
    """Return the pytest decorator that gives a test every case of the parts asked for, as its argument `case`.

    Takes what `part_checks` takes.
    """
    import pytest

    cases = part_checks(*wanted, registry=registry, variants=variants)
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def run_checks(
    registry: Registry,
    distribution: str | None = None,
    part: str | None = None,
    heard: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run every check of the parts of `distribution`, of the part named, or of all, and return what each came to.

    Args:
        registry: the parts there are.
        distribution: name of a distribution or an entry point.
        part: name of a part.
        heard: is told every outcome as soon as it is known.

    Raises:
        ConfigError: as `part_checks`.
    """
    outcomes = []
    for case in part_checks(*filter(None, [part or distribution]), registry=registry):
        started = time.perf_counter()
        status, message = "passed", ""
        try:
            case.run()
        except Skipped as reason:
            status, message = "skipped", str(reason)
        except Nonconformance as failure:
            status, message = "failed", str(failure)
        title = case.id.removesuffix(f"::{case.check.id}")
        outcome = Outcome(title, case.check.id, status, message, time.perf_counter() - started)
        heard(outcome)
        outcomes.append(outcome)
    return outcomes
