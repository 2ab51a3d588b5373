"""`Subject`: one part under test, so configured, and what the checks of its kind build of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import attrs
from cattrs.errors import ClassValidationError, IterableValidationError

from prodmatch_core.errors import PluginError
from prodmatch_core.records import Part, Spec
from prodmatch_core.registry import Registry
from prodmatch_core.structure import Mismatch, Structurer, problems
from prodmatch_core.testing.benches.bench import Bench, bench_of
from prodmatch_core.testing.kit import Nonconformance


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
