"""The plan of a grid: every arm's pipeline checked before any work, every run with its seed and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from prodmatch_core.config import apply_overrides, flat, load_pipeline, of_arm, read_toml, resolved
from prodmatch_core.errors import ConfigError, Problem
from prodmatch_core.grid.swaps import Variant, parse_swaps, variants
from prodmatch_core.registry import Registry
from prodmatch_core.sections import PipelineFile


@attrs.frozen
class Cell:
    """One run of a grid."""

    arm: str
    seed: int
    pipeline: PipelineFile
    out: Path

    @property
    def name(self) -> str:
        """Return what the run is called in messages."""
        return f"{self.arm}, seed {self.seed}"


def plan(
    file: Path,
    swaps: Sequence[str],
    *,
    out: Path | None = None,
    settings: Sequence[str] = (),
    seeds: int = 1,
    split_seeds: bool = False,
    registry: Registry,
) -> list[Cell]:
    """Return all runs of a grid, seed by seed, so that a grid that is stopped has compared all arms on some seeds.

    Args:
        file: the pipeline file.
        swaps: `path=value,value` of each `--swap`; the arms are all combinations.
        out: folder of the grid; `runs/NAME-arms` by default.
        settings: `path=value` of each `--set`, applied to every arm before the swaps.
        seeds: runs an arm, from the file's seed upwards.
        split_seeds: divide the data anew for each seed as well.
        registry: the parts there are.

    Raises:
        ConfigError: everything that is wrong with any arm, or two arms that are the same pipeline.
    """
    base = read_toml(file)
    parsed = parse_swaps(swaps)
    apply_overrides(base, settings)
    checked: dict[str, PipelineFile] = {}
    problems: dict[Problem, list[str]] = {}
    wanted = variants(parsed, default=file.stem)
    for variant in wanted:
        try:
            checked[variant.name] = load_pipeline(_written(base, variant), registry=registry)
        except ConfigError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(variant.name)
    if problems:
        raise ConfigError(list(_told(problems, len(wanted))), str(file))
    _refuse_same(checked, file)
    if out is None:
        name = next(iter(checked.values())).pipeline.name
        out = Path("runs") / f"{name}-arms"
    return [
        _cell(arm, pipeline, step, split_seeds, out)
        for step in range(seeds)
        for arm, pipeline in checked.items()
    ]


def _written(base: dict[str, Any], variant: Variant) -> dict[str, Any]:
    import copy

    tree = copy.deepcopy(base)
    variant.apply(tree)
    return tree


def _told(problems: dict[Problem, list[str]], arms: int) -> list[Problem]:
    """Return the problems, each under the name of its arm; what is wrong with every arm is told once."""
    return [
        told
        for problem, names in problems.items()
        for told in (
            [problem]
            if len(names) == arms
            else [
                Problem(f"{name}: {problem.path}" if problem.path else name, problem.message)
                for name in names
            ]
        )
    ]


def _refuse_same(arms: dict[str, PipelineFile], file: Path) -> None:
    seen: dict[str, str] = {}
    problems = []
    for name, pipeline in arms.items():
        key = repr(sorted(of_arm(flat(resolved(pipeline))).items()))
        if key in seen:
            problems.append(
                Problem(
                    name,
                    f"is the same pipeline as {seen[key]}, but for its seeds or its name. Correct the path or the "
                    "values of --swap; for several seeds use --seeds",
                )
            )
        seen.setdefault(key, name)
    if problems:
        raise ConfigError(problems, str(file))


def _cell(arm: str, pipeline: PipelineFile, step: int, split_seeds: bool, out: Path) -> Cell:
    seed = pipeline.pipeline.seed + step
    data = pipeline.data
    if split_seeds:
        data = attrs.evolve(data, split=attrs.evolve(data.split, seed=data.split.seed + step))
    seeded = attrs.evolve(pipeline, pipeline=attrs.evolve(pipeline.pipeline, seed=seed), data=data)
    return Cell(arm, seed, seeded, out / arm / f"seed-{seed}")
