"""What of two runs may be compared: the same test rows, with the same labels and weights, in the same order.

A `Sheet` is what one run answered on its test set, its rows sorted by the task's keys, so that neither the order of a
file nor that of the runs matters. Runs of the same seeds are compared row by row and must have the same test
set; otherwise both are named, with what differs and what to do.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.config import SEEDS, flat
from prodmatch_core.errors import RunError
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.rundir import Run

Seeds = tuple[int, ...]
"Values of `config.SEEDS` in that order, -1 for one the pipeline does not have."


@attrs.frozen(eq=False, slots=False)
class Sheet:
    """What one run answered on its test set."""

    run: Run
    found: Evaluated | Retrieved
    "Rows in the order of `rows`."
    rows: pl.DataFrame
    "The task's keys, its group, label, weight and what slices are made of, sorted by the keys."
    whole: bool = True
    "Whether these are all rows of the test set."

    @classmethod
    def read(cls, path: str | Path) -> Sheet:
        """Read a finished run.

        Raises:
            RunError: it is no run directory, or a file of it is missing or cannot be read.
        """
        run = Run.open(path)
        try:
            rows, found = (_classes if run.task.answer == "classes" else _neighbours)(run)
            order = _order(rows, run.task.keys)
            return cls(run, found.subset(order), rows[order])
        except (KeyError, pl.exceptions.PolarsError) as error:
            raise RunError(
                f"{path}: the run's tables lack what is needed to compare it: {error}. Run the pipeline again."
            ) from None

    @property
    def path(self) -> Path:
        """Return the run's directory."""
        return self.run.path

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Return the resolved pipeline as path -> value, e.g. `member.0.loss.0.use`.

        Raises:
            RunError: resolved.toml is missing or damaged.
        """
        path = self.path / "resolved.toml"
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {error}. Run the pipeline again.") from None
        return flat(tree)

    @property
    def seeds(self) -> Seeds:
        """Return the run's seeds; runs are paired where they are equal."""
        return tuple(int(self.settings.get(path, -1)) for path in SEEDS)

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the run's data."""
        return str(self.run.provenance.get("fingerprint", ""))

    def taking(self, rows: np.ndarray) -> Sheet:
        """Return the sheet of the rows that a mask or indices select."""
        return attrs.evolve(self, found=self.found.subset(rows), rows=self.rows[_indices(rows)], whole=False)


def _indices(rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _classes(run: Run) -> tuple[pl.DataFrame, Evaluated]:
    rows = run.decisions.filter(pl.col("split") == "test")
    wanted = dict.fromkeys([*run.task.keys, run.task.group, "locale", "frequency", "label", "weight"])
    return rows.select(name for name in wanted if name in rows.columns), run.evaluated()


def _neighbours(run: Run) -> tuple[pl.DataFrame, Retrieved]:
    first = run.neighbours.filter(pl.col("rank") == 1)
    key = run.task.keys[0]
    names: dict[str, Any] = {key: pl.col("query"), run.task.group: pl.col("group")}
    # What is right for a query is told by its group and by how many are.
    rows = first.select(**names, label=pl.col("relevant").cast(pl.String), weight=pl.lit(1.0))
    return rows, run.retrieved()


def _order(rows: pl.DataFrame, keys: Sequence[str]) -> np.ndarray:
    by = dict.fromkeys([*keys, *(name for name in ("locale", "label", "weight") if name in rows.columns)])
    return rows.select(pl.arg_sort_by(list(by))).to_series().to_numpy().astype(np.int64)


# -- the same test set ----------------------------------------------------------------------------------------------


def check_comparable(sheets: Sequence[Sheet]) -> None:
    """Refuse runs whose figures mean different things.

    Raises:
        RunError: two runs have another task, other labels or gains, or another rule for ties.
    """
    first = sheets[0]
    for other in sheets[1:]:
        two = f"{first.path} and {other.path}"
        if first.run.task.name != other.run.task.name:
            raise RunError(
                f"{two}: cannot be compared: their tasks are {first.run.task.name} and {other.run.task.name}. "
                "Name runs of one task."
            )
        if attrs.evolve(first.run.scheme, name="") != attrs.evolve(other.run.scheme, name=""):
            raise RunError(
                f"{two}: cannot be compared: their label schemes differ ({_scheme(first)}; {_scheme(other)}). Run both "
                "with the same labels, [data] positive and [evaluation] gain_profile."
            )
        rules = [str(sheet.run.provenance.get("ties", "expected")) for sheet in (first, other)]
        if rules[0] != rules[1]:
            raise RunError(
                f"{two}: cannot be compared: equal scores are ranked by the rules {rules[0]} and {rules[1]}. Run both "
                "with the same [evaluation] ties."
            )


def _scheme(sheet: Sheet) -> str:
    scheme = sheet.run.scheme
    worth = zip(scheme.labels, scheme.gains, strict=True)
    return f"{', '.join(f'{label} {gain:g}' for label, gain in worth)}, positive {', '.join(scheme.positive)}"


def check_same_test_set(first: Sheet, other: Sheet) -> None:
    """Refuse two runs that were not tested on the same rows.

    Raises:
        RunError: data, rows, labels or weights differ; the message names both runs and the remedy.
    """
    two, unit = f"{first.path} and {other.path}", first.run.task.unit
    if first.fingerprint != other.fingerprint:
        raise RunError(
            f"{two}: cannot be compared: their data differ (fingerprints {first.fingerprint[:12]} and "
            f"{other.fingerprint[:12]}). Run both on the same data, or compare the {unit} that both have with --common."
        )
    keys = list(first.run.task.keys)
    if not first.rows.select(keys).equals(other.rows.select(keys)):
        both = first.rows.join(other.rows, on=keys, how="semi").height
        raise RunError(
            f"{two}: cannot be compared: their test {unit} differ ({both:,} in both, "
            f"{first.rows.height - both:,} only in the first, {other.rows.height - both:,} only in the second). Run "
            f"both with the same split, or compare the {unit} that both have with --common."
        )
    check_same_truth(first, other)


def check_same_truth(first: Sheet, other: Sheet) -> None:
    """Refuse two runs that disagree on what is right for the rows they share, in the same order.

    Raises:
        RunError: labels, groups or weights of some rows differ.
    """
    keys, group = list(first.run.task.keys), first.run.task.group
    for column in dict.fromkeys(["label", group, "weight"]):
        one, two = first.rows[column], other.rows[column]
        if one.equals(two):
            continue
        differ = (one != two).fill_null(True)
        row = int(differ.arg_max() or 0)
        where = ", ".join(f"{key} {first.rows[key][row]!r}" for key in keys)
        what = (
            "number of right answers" if column == "label" and first.run.task.answer != "classes" else column
        )
        raise RunError(
            f"{first.path} and {other.path}: cannot be compared: {int(differ.sum()):,} of {len(one):,} test "
            f"{first.run.task.unit} have another {what} (first {where}: {one[row]!r} and {two[row]!r}). Run both on "
            "the same data."
        )


def paired(sheets: Sequence[Sheet], common: bool = False) -> list[Sheet]:
    """Return the sheets with the same test set for all runs of the same seeds.

    Args:
        sheets: of all runs, in any order.
        common: keep the rows that all runs of the same seeds have, instead of refusing runs whose rows differ.

    Raises:
        RunError: the runs cannot be compared.
    """
    check_comparable(sheets)
    by_seeds: dict[Seeds, list[int]] = {}
    for number, sheet in enumerate(sheets):
        by_seeds.setdefault(sheet.seeds, []).append(number)
    result = list(sheets)
    for numbers in by_seeds.values():
        if common:
            for number, sheet in zip(numbers, _in_common([sheets[n] for n in numbers]), strict=True):
                result[number] = sheet
        for number in numbers[1:]:
            check = check_same_truth if common else check_same_test_set
            check(result[numbers[0]], result[number])
    return result


def _in_common(sheets: Sequence[Sheet]) -> list[Sheet]:
    keys = list(sheets[0].run.task.keys)
    shared = sheets[0].rows.select(keys)
    for other in sheets[1:]:
        shared = shared.join(other.rows.select(keys), on=keys, how="semi")
        if not shared.height:
            raise RunError(
                f"{sheets[0].path} and {other.path}: cannot be compared: they have no test {sheets[0].run.task.unit} "
                "in common. Run both on the same data."
            )
    there = [
        sheet.rows.select(keys).join(shared.with_columns(_=True), on=keys, how="left") for sheet in sheets
    ]
    masks = [table["_"].fill_null(False).to_numpy() for table in there]
    return [sheet if mask.all() else sheet.taking(mask) for sheet, mask in zip(sheets, masks, strict=True)]
