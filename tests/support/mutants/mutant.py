"""`Mutant`: a broken part, and the check that must tell it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import attrs

from prodmatch_core.records import Spec
from prodmatch_core.registry import Registry
from prodmatch_core.testing.isolated import isolated_registry


@attrs.frozen
class Mutant:
    """A part that breaks `check` and nothing else; the docstring of `told` is the message."""

    check: str
    spec: Spec
    told: Any

    @property
    def registry(self) -> Registry:
        return isolated_registry(self.spec)

    @property
    def message(self) -> str:
        return plain(inspect.getdoc(self.told) or "")


def plain(message: str) -> str:
    """Return a message on one line, with `#` in place of numbers that are not whole."""
    return re.sub(r"-?\d+(\.\d+)?e[+-]\d+|-?\d+\.\d+", "#", " ".join(message.split()))


def mutant(check: str, kind: type[Spec], factory: Any, told: Any = None, **fields: Any) -> Mutant:
    """Return a mutant whose record names `factory` by its module and name."""
    spec = kind(
        **{
            "name": f"mutant.{check}",
            "summary": "Broken on purpose.",
            "factory": f"{factory.__module__}:{factory.__name__}",
            **fields,
        }
    )
    return Mutant(check, spec, told or factory)
