"""Which entry points are installed, read straight from the `*.dist-info` folders on the path.

Why not `importlib.metadata`: importing it and parsing metadata with `email` takes a quarter of the time in
which `prodmatch --help` is done. What is on the path but no folder (a zip file) is still left to it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

SUFFIXES = (".dist-info", ".egg-info")


@attrs.frozen
class EntryPoint:
    """One entry point of a group: `name = module` or `name = module:attribute`, and who declares it."""

    name: str
    value: str
    distribution: str
    version: str
    requires: Sequence[str] = ()
    "The distribution's requirements, as its metadata writes them."

    def load(self) -> Any:
        """Import and return what the entry point names."""
        module, _, attribute = self.value.partition(":")
        loaded: Any = importlib.import_module(module.strip())
        for name in filter(None, attribute.split("[")[0].strip().split(".")):
            loaded = getattr(loaded, name)
        return loaded


def entry_points(group: str, path: Sequence[str] | None = None) -> Iterator[EntryPoint]:
    """Yield the entry points of `group`, each once: the first on the path wins, as for imports.

    Args:
        group: name of the group.
        path: folders and zip files to look in, `sys.path` by default.
    """
    seen: set[tuple[str, str]] = set()
    for place in dict.fromkeys(sys.path if path is None else path):
        found = _in_folder(place or ".", group) if os.path.isdir(place or ".") else _elsewhere(place, group)
        for point in found:
            # An editable install may be listed twice.
            if (point.distribution, point.name) not in seen:
                seen.add((point.distribution, point.name))
                yield point


def _in_folder(place: str, group: str) -> Iterator[EntryPoint]:
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(SUFFIXES))
    except OSError:  # a folder on the path that may not be read holds nothing for us, as for imports
        return
    for name in names:
        folder = os.path.join(place, name)
        declared = dict(_section(_read(folder, "entry_points.txt"), group))
        if declared:
            facts = _read(folder, "METADATA") or _read(folder, "PKG-INFO")
            distribution, version, requires = _headers(facts)
            for point, value in declared.items():
                yield EntryPoint(point, value, distribution, version, requires)


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # not every distribution has entry points, and an .egg-info may be a file
        return ""


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield the `name = value` lines of a section of an INI file."""
    here = False
    for line in map(str.strip, text.splitlines() if group in text else ()):
        if line.startswith("["):
            here = line[1:-1].strip() == group
        elif here and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _headers(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Return name, version and requirements from the head of a metadata file."""
    head = text.partition("\n\n")[0].splitlines()
    facts = [
        (key.lower(), value.strip()) for key, sign, value in (line.partition(":") for line in head) if sign
    ]
    named = dict(facts)
    requires = tuple(value for key, value in facts if key == "requires-dist")
    return named.get("name", "unknown"), named.get("version", "0"), requires


def _elsewhere(place: str, group: str) -> Iterator[EntryPoint]:
    if not os.path.isfile(place):
        return
    from importlib import metadata

    for distribution in metadata.distributions(path=[place]):
        for point in distribution.entry_points:
            if point.group == group:
                facts = distribution.metadata
                yield EntryPoint(
                    point.name, point.value, facts["Name"], facts["Version"], distribution.requires or ()
                )
