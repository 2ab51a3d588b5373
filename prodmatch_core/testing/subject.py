"""`Subject`: one part under test, so configured; `Bench`: what puts parts of its kind to work for the checks."""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from cattrs.errors import ClassValidationError, IterableValidationError

from prodmatch_core.errors import PluginError
from prodmatch_core.records import Part, Spec
from prodmatch_core.registry import Registry
from prodmatch_core.structure import Mismatch, Structurer, problems
from prodmatch_core.testing.answers import Answer
from prodmatch_core.testing.outcomes import Nonconformance

_BENCHES = {
    "encoder": "encoders:EncoderBench",
    "negative-generator": "negatives:NegativesBench",
    "loss": "losses:LossBench",
    "graph-sampler": "samplers:SamplerBench",
    "aggregator": "aggregators:AggregatorBench",
    "calibrator": "calibrators:CalibratorBench",
    "dataset": "datasets:DatasetBench",
    "measure": "measures:MeasureBench",
    "command": "commands:CommandBench",
}


@attrs.frozen(eq=False, slots=False)
class Subject:
    """A part and its settings; what is built of it is built once for all checks, which must leave it as it was."""

    spec: Spec
    settings: Mapping[str, Any]
    "Its fields as a pipeline file would write them: the record's example and a variant's settings."
    registry: Registry
    "Where nested parts are found."

    @functools.cached_property
    def part(self) -> Part:
        """Return the part with its configuration.

        Raises:
            Nonconformance: the settings do not make a configuration.
        """
        try:
            return Structurer(self.registry).part({"use": self.spec.name, **self.settings}, self.spec.kind)
        except (ClassValidationError, IterableValidationError, Mismatch) as error:
            found = "; ".join(str(problem) for problem in problems(error))
            raise Nonconformance(
                f"the part cannot be configured from its record's example: {found}. Give the record an example "
                "with a value for every required field."
            ) from None

    @property
    def config(self) -> Any:
        """Return the part's configuration."""
        return self.part.config

    @functools.cached_property
    def factory(self) -> Any:
        """Return what the record's `factory` names.

        Raises:
            Nonconformance: it cannot be imported.
        """
        try:
            return self.spec.load()
        except PluginError as error:
            raise Nonconformance(str(error)) from error

    @property
    def bench(self) -> Bench:
        """Return what puts parts of this kind to work."""
        return bench_of(self.spec.kind)

    @functools.cached_property
    def made(self) -> Any:
        """Return the part, built and fitted with seed 0; whoever changes it must put it back."""
        return self.bench.build(self)


class Bench(ABC):
    """Puts parts of one kind to work."""

    contract: tuple[type, ...] = ()
    "Classes one of which the factory must be derived from; empty: it must be a function."

    @abstractmethod
    def build(self, subject: Subject, seed: int = 0) -> Any:
        """Return the part, built and fitted; `seed` is the source of whatever chance it needs."""

    @abstractmethod
    def ask(self, subject: Subject, made: Any, seed: int = 0) -> Answer:
        """Return what the part answers to the bench's own input."""

    @abstractmethod
    def ask_nothing(self, subject: Subject, made: Any) -> None:
        """Ask the part about no rows."""


class SavedBench(Bench):
    """Puts parts to work that a run saves."""

    @abstractmethod
    def reload(self, subject: Subject, made: Any, folder: Path) -> Any:
        """Save the part to `folder`, and return what is loaded from there."""


def bench_of(kind: str) -> Bench:
    """Return the bench of a kind of part."""
    module, _, name = _BENCHES[kind].partition(":")
    return getattr(importlib.import_module(f"prodmatch_core.testing.benches.{module}"), name)()
