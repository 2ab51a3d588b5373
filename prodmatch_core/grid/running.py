"""Run a grid: what is finished and still holds is kept, an arm that fails is told of, the others go on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from prodmatch_core.config import flat, resolved, to_toml
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import ProdmatchError, RunError
from prodmatch_core.grid.plan import Cell
from prodmatch_core.progress import Reporter
from prodmatch_core.records import PART_KINDS
from prodmatch_core.registry import Registry
from prodmatch_core.rundata import read_dataset
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline
from prodmatch_core.stages import content_key, versions
from prodmatch_core.training import processes


@attrs.frozen(eq=False)
class Outcome:
    """What became of a grid."""

    finished: tuple[Cell, ...]
    failed: Mapping[str, str]
    "Arm -> which run failed, and why; its later seeds were not tried."


def distributions(settings: Mapping[str, Any], registry: Registry) -> set[str]:
    """Return the distributions that a run's figures depend on: those of its parts, the core and torch.

    Args:
        settings: the resolved pipeline as path -> value.
        registry: the parts there are; of a part that is not installed the distribution is guessed by its name.
    """
    names = {value for path, value in settings.items() if path.rpartition(".")[2] == "use"}
    names |= set(settings.get("evaluation.baselines") or ())
    found = {"prodmatch-core", "torch"}
    for name in names:
        owners = {
            registry.owner(registry.get(k, name)).distribution for k in PART_KINDS if registry.knows(k, name)
        }
        found |= owners or {f"prodmatch-{name.partition('.')[0]}"}
    return found


def made_by(run: Run, settings: Mapping[str, Any], registry: Registry) -> dict[str, str]:
    """Return the versions that a run's figures depend on, as they were when it was made."""
    noted = run.provenance.get("distributions", {})
    return {name: noted.get(name, "absent") for name in sorted(distributions(settings, registry))}


def run_grid(cells: Sequence[Cell], context: ReadContext, registry: Registry, reporter: Reporter) -> Outcome:
    """Make every run that is not there yet.

    A finished run is kept if its resolved pipeline, its data's fingerprint and the versions of its parts are what they
    would be now; one that was stopped goes on where it stopped.

    Args:
        cells: the runs, in order.
        context: where data files are, and whether bad rows are skipped.
        registry: the parts there are.
        reporter: hears of progress.
    """
    fingerprints = _Fingerprints(context)
    finished: list[Cell] = []
    failed: dict[str, str] = {}
    for number, cell in enumerate(cells, start=1):
        if cell.arm in failed:
            continue
        reporter.stage(f"{cell.name} ({number} of {len(cells)})")
        try:
            if processes.agreed(is_current(cell, fingerprints, registry)):
                reporter.message(f"{cell.out}: kept; nothing it depends on has changed")
            else:
                run_pipeline(
                    cell.pipeline,
                    out=cell.out,
                    context=context,
                    overwrite=True,
                    registry=registry,
                    reporter=reporter,
                )
            finished.append(cell)
        except Exception as error:  # whatever a part does, the other arms are worth having
            if processes.count() > 1:
                raise  # the other processes wait for this one
            if not isinstance(error, ProdmatchError):
                logging.getLogger("prodmatch").exception("%s failed", cell.name)
            reason = str(error) if isinstance(error, ProdmatchError) else f"{type(error).__name__}: {error}"
            failed[cell.arm] = f"seed {cell.seed}: {reason}"
            reporter.message(f"{cell.name} failed: {reason}")
    return Outcome(tuple(finished), failed)


def is_current(cell: Cell, fingerprints: _Fingerprints, registry: Registry) -> bool:
    """Return whether a finished run is what making it again would give."""
    if not (cell.out / "provenance.json").is_file():
        return False
    tree = resolved(cell.pipeline)
    try:
        run = Run.open(cell.out)
        text = (cell.out / "resolved.toml").read_text(encoding="utf-8")
        settings = flat(tree)
        same = text == to_toml(tree) and made_by(run, settings, registry) == versions(
            distributions(settings, registry)
        )
        return same and run.provenance["fingerprint"] == fingerprints.of(cell)
    except (RunError, OSError, ValueError, KeyError):  # damaged: the remedy is the same, make it again
        return False


class _Fingerprints:
    """Fingerprints of the data of cells, read once for all that read the same."""

    def __init__(self, context: ReadContext) -> None:
        self.context = context
        self._known: dict[str, str] = {}

    def of(self, cell: Cell) -> str:
        """Return the fingerprint that a run of the cell would note."""
        tree = resolved(cell.pipeline)
        key = content_key(data=tree["data"], gains=cell.pipeline.evaluation.gain_profile)
        if key not in self._known:
            self._known[key] = read_dataset(cell.pipeline, self.context).fingerprint()
        return self._known[key]
