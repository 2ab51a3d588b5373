"""Arms of a comparison: runs that differ in nothing but their seeds, under the name a reader knows them by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core.comparison.pairing import Seeds, Sheet
from prodmatch_core.config import SEEDS, of_arm
from prodmatch_core.errors import ConfigError, RunError, did_you_mean


@attrs.frozen(eq=False)
class Arm:
    """Runs of the same settings."""

    name: str
    sheets: tuple[Sheet, ...]
    "By their seeds, each different."

    @property
    def by_seeds(self) -> dict[Seeds, Sheet]:
        """Return the runs by their seeds."""
        return {sheet.seeds: sheet for sheet in self.sheets}

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that all its runs share, path -> value."""
        return of_arm(self.sheets[0].settings)


def arms_of(sheets: Iterable[Sheet], versions: Mapping[Path, Mapping[str, str]] | None = None) -> list[Arm]:
    """Sort runs into arms, in the order in which each arm is first met.

    Runs of the same settings and the same seeds (a repetition, or a copy) are told apart by the folder they lie in, or
    else by their own.

    Args:
        sheets: all runs; one that is named twice counts once.
        versions: of what each run's parts come from, by its path; another version makes another arm.
    """
    unique = {sheet.path.resolve(): sheet for sheet in sheets}
    groups: dict[str, list[Sheet]] = {}
    for sheet in unique.values():
        made_by = (versions or {}).get(sheet.path, {})
        key = repr((sorted(of_arm(sheet.settings).items()), sorted(made_by.items())))
        groups.setdefault(key, []).append(sheet)
    found: list[list[Sheet]] = []
    for group in groups.values():
        found += [sorted(apart, key=lambda sheet: sheet.seeds) for apart in _told_apart(group)]
    names = _names(found)
    return [Arm(name, tuple(runs)) for name, runs in zip(names, found, strict=True)]


def _told_apart(group: list[Sheet]) -> list[list[Sheet]]:
    for key in (
        lambda sheet: None,
        lambda sheet: sheet.path.resolve().parent,
        lambda sheet: sheet.path.resolve(),
    ):
        parts: dict[Any, list[Sheet]] = {}
        for sheet in group:
            parts.setdefault(key(sheet), []).append(sheet)
        if all(len({sheet.seeds for sheet in part}) == len(part) for part in parts.values()):
            break
    return list(parts.values())


def _names(groups: Sequence[Sequence[Sheet]]) -> list[str]:
    """Name every arm by its folder, or else by its pipeline; names that repeat get more of the path, or a number."""
    choices = []
    for runs in groups:
        others = [sheet for group in groups if group is not runs for sheet in group]
        folder = _folder(runs, {sheet.path.resolve().parent for sheet in others})
        if folder is None:
            choices.append([str(runs[0].run.metrics.get("name", "run"))])
        else:
            choices.append([folder.name, "/".join(folder.parts[-2:]), str(folder)])
    names: list[str] = []
    for number, choice in enumerate(choices):
        others_first = {other[0] for place, other in enumerate(choices) if place != number}
        name = next((text for text in choice if text not in others_first), choice[0])
        stem, count = name, 2
        while name in names:
            name, count = f"{stem} ({count})", count + 1
        names.append(name)
    return names


def _folder(runs: Sequence[Sheet], of_others: Set[Path]) -> Path | None:
    """Return the folder that an arm may be called after: its only run's, or the one that holds its runs alone."""
    parents = {sheet.path.resolve().parent for sheet in runs}
    one = runs[0].path.resolve() if len(runs) == 1 else None
    if one is not None and not one.name.startswith("seed-"):
        return one
    return next(iter(parents)) if len(parents) == 1 and not parents & of_others else one


def find(arms: Sequence[Arm], wanted: str) -> int:
    """Return the number of the arm of that name, or of the one that holds the run of that path.

    Raises:
        ConfigError: there is none.
    """
    for number, arm in enumerate(arms):
        if wanted == arm.name:
            return number
    for number, arm in enumerate(arms):
        places = {
            folder for sheet in arm.sheets for folder in (sheet.path.resolve(), sheet.path.resolve().parent)
        }
        if Path(wanted).resolve() in places:
            return number
    raise ConfigError(f'--against: no arm "{wanted}"{did_you_mean(wanted, [arm.name for arm in arms])}')


def differing(arms: Sequence[Arm]) -> dict[str, list[Any]]:
    """Return the settings in which arms differ: path -> value of each arm, None where it has no such setting."""
    tables = [arm.settings for arm in arms]
    paths = dict.fromkeys(path for table in tables for path in table)
    found = {path: [table.get(path) for table in tables] for path in paths}
    return {path: values for path, values in found.items() if any(value != values[0] for value in values)}


def shared_seeds(first: Arm, other: Arm) -> list[Seeds]:
    """Return the seeds of which both arms have a run, ascending.

    Raises:
        RunError: there are none.
    """
    shared = sorted(first.by_seeds.keys() & other.by_seeds.keys())
    if shared:
        return shared
    runs = [*first.sheets, *other.sheets]
    places = [k for k in range(len(SEEDS)) if len({sheet.seeds[k] for sheet in runs}) > 1]
    remedy = " ".join(f"--set {SEEDS[k]}={other.sheets[0].seeds[k]}" for k in places)
    raise RunError(
        f"{first.sheets[0].path} and {other.sheets[0].path}: cannot be compared: runs are paired by their seeds, and "
        f"{first.name} and {other.name} have none in common ({' with '.join(SEEDS[k] for k in places)} "
        f"{_values(first, places)}; {_values(other, places)}). Run one with the other's: {remedy}"
    )


def _values(arm: Arm, places: Sequence[int]) -> str:
    return ", ".join(" with ".join(str(sheet.seeds[k]) for k in places) for sheet in arm.sheets)
