"""Compare arms: figures, paired differences, intervals by resampled queries, and tests by swapped ones.

With runs r of an arm A and m(r) a measure on r's test set, A's figure is the mean of m(r) over its runs, and the
difference of A and B is the mean of m(a) - m(b) over the pairs of runs of the same seeds. Both are worked out anew in
every bootstrap replicate (queries drawn) and every swap (queries on which a and b change places); runs on the same test
rows see the same draw and the same swap, whichever arm, seed or measure. So everything is paired, and what holds for
one run of each arm holds for several.

The p-values are those of the randomisation test; Holm's correction is over every pair of arms and every measure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from prodmatch_core.comparison.arms import Arm, differing, shared_seeds
from prodmatch_core.comparison.pairing import Seeds, Sheet
from prodmatch_core.evaluation import assess, significance
from prodmatch_core.evaluation.replicates import Seed, drawn, draws, per_query, swapped, swaps
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.progress import Reporter, Silent
from prodmatch_core.records import MeasureSpec

SAME = 1e-12
"Difference that rounding explains."

Standing = Literal["better", "worse", "open", "same", "unknown"]


@attrs.frozen
class Settings:
    """How surely a comparison is made."""

    replicates: int = 1000
    "Bootstrap resamples, and random swaps."
    level: float = 0.95
    "Coverage of the intervals; a difference is clear where its corrected p-value is at most 1 - level."
    seed: int = 0
    "Of the draws and the swaps."


@attrs.frozen(eq=False)
class _TestSet:
    """Runs on the same rows, by their place in the list of all runs."""

    seed: Seed
    runs: tuple[int, ...]
    queries: int


def compare(
    arms: Sequence[Arm],
    pairs: Sequence[tuple[int, int]],
    measures: Sequence[MeasureSpec],
    settings: Settings,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Return all figures of a comparison as plain values.

    Args:
        arms: whose sheets have the same test set where they have the same seeds (`pairing.paired`).
        pairs: numbers of the arms to compare, first less second.
        measures: what is measured; the first is the headline, in which slices are given.
        settings: replicates, level and seed.
        reporter: hears of progress; silent by default.

    Raises:
        RunError: two arms that are to be compared have no seeds in common.
    """
    work = _Comparison(arms, pairs, settings, reporter or Silent())
    task = arms[0].sheets[0].run.task
    found = work.figures(measures)
    p = [work.p_values(pair, measures) for pair in pairs]
    holm = significance.holm(np.concatenate([np.empty(0), *p])).reshape(len(pairs), len(measures))
    return {
        "task": task.name,
        "grouped": task.grouped,
        "unit": task.unit,
        "headline": measures[0].name,
        "directions": {spec.name: spec.direction for spec in measures},
        **attrs.asdict(settings),
        "comparisons": int((~np.isnan(holm)).sum()),
        "test_sets": list(work.told_test_sets()),
        "arms": [work.told_arm(number, measures, found) for number in range(len(arms))],
        "differences": [
            {
                **work.told_difference(place, spec, column, found),
                "p": float(p[place][column]),
                "holm": float(holm[place, column]),
            }
            for place in range(len(pairs))
            for column, spec in enumerate(measures)
        ],
        "settings": differing(arms),
        "slices": _slices(arms, pairs, measures[0], settings),
    }


def standing(difference: Mapping[str, Any], direction: str, level: float) -> Standing:
    """Say whether the first of two arms is better.

    Clear is a difference whose interval leaves out 0 and whose corrected p-value is at most `1 - level`.

    Args:
        difference: `value`, `low`, `high`, `p` and `holm`; None or NaN where unknown.
        direction: `higher` or `lower`, whichever is better.
        level: coverage of the interval.
    """
    numbers = [difference.get(key) for key in ("value", "low", "high", "holm")]
    if any(number is None or number != number for number in numbers):
        return "unknown"
    value, low, high, holm = (float(number) for number in numbers if number is not None)
    if value == low == high == 0 and difference["p"] == 1:
        return "same"
    if low <= 0 <= high or holm > 1 - level + 1e-9:
        return "open"
    return "better" if (value > 0) == (direction == "higher") else "worse"


@attrs.define(eq=False, slots=False)
class _Comparison:
    """The runs of all arms in one list, their test sets, and what is worked out of them."""

    arms: Sequence[Arm]
    pairs: Sequence[tuple[int, int]]
    settings: Settings
    reporter: Reporter

    def __attrs_post_init__(self) -> None:
        self.runs = [sheet for arm in self.arms for sheet in arm.sheets]
        starts = np.cumsum([0, *(len(arm.sheets) for arm in self.arms)])
        self.of_arm = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
        self.place = {
            (number, sheet.seeds): int(start) + k
            for number, (arm, start) in enumerate(zip(self.arms, starts, strict=False))
            for k, sheet in enumerate(arm.sheets)
        }
        self.test_sets = list(self._test_sets())
        self.paired = {pair: self._paired(*pair) for pair in self.pairs}

    def _test_sets(self) -> Iterator[_TestSet]:
        """Yield the distinct test sets in the order of their least seeds, so that the order of runs changes nothing."""
        groups: list[list[int]] = []
        for place in sorted(range(len(self.runs)), key=lambda place: self.runs[place].seeds):
            mine = self.runs[place]
            for group in groups:
                first = self.runs[group[0]]
                if first.fingerprint == mine.fingerprint and first.rows.equals(mine.rows):
                    group.append(place)
                    break
            else:
                groups.append([place])
        for number, group in enumerate(groups):
            seed: Seed = (self.settings.seed, number)
            yield _TestSet(seed, tuple(group), self.runs[group[0]].found.n_groups)

    def _paired(self, first: int, second: int) -> list[tuple[int, int]]:
        """Return the places of the runs of two arms that are compared with each other."""
        shared = shared_seeds(self.arms[first], self.arms[second])
        return [(self.place[first, seeds], self.place[second, seeds]) for seeds in shared]

    # -- figures ----------------------------------------------------------------------------------------------------

    def figures(self, measures: Sequence[MeasureSpec]) -> np.ndarray:
        """Return every run's figures, (runs, measures, 1 + replicates): as they are, then of every resample."""
        found = np.empty((len(self.runs), len(measures), 1 + self.settings.replicates))
        for test_set in self.test_sets:
            resampled = {
                (place, column): drawn(spec.load(), self.runs[place].found)
                for place in test_set.runs
                for column, spec in enumerate(measures)
            }
            done = 1
            for key, figure in resampled.items():
                found[(*key, 0)] = figure(np.ones((1, test_set.queries)))[0]
            for block in draws(test_set.queries, self.settings.replicates, test_set.seed):
                for key, figure in resampled.items():
                    found[(*key, slice(done, done + len(block)))] = figure(block)
                done += len(block)
                self.reporter.progress("resamples", done - 1, self.settings.replicates)
        return found

    def interval(self, values: np.ndarray, runs: Sequence[int]) -> dict[str, float]:
        """Return value and interval of a figure of some runs, (1 + replicates,)."""
        queries = min(self.runs[place].found.n_groups for place in runs)
        low, high, _ = significance.bounds(values[1:], self.settings.level, queries)
        return {"value": float(values[0]), "low": low, "high": high}

    def difference(
        self, found: np.ndarray, pair: tuple[int, int], column: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the difference of two arms in every resample, (1 + replicates,), and of each pair of runs as it is."""
        first, second = (list(places) for places in zip(*self.paired[pair], strict=True))
        each = found[first, column] - found[second, column]
        return each.mean(axis=0), each[:, 0]

    # -- the test ---------------------------------------------------------------------------------------------------

    def p_values(self, pair: tuple[int, int], measures: Sequence[MeasureSpec]) -> np.ndarray:
        """Return the p-value of two arms being alike in each measure, (measures,)."""
        name = f"swaps of {self.arms[pair[0]].name} and {self.arms[pair[1]].name}"
        tried = np.zeros((len(measures), 1 + self.settings.replicates))
        for test_set in self.test_sets:
            here = [(a, b) for a, b in self.paired[pair] if a in test_set.runs]
            if not here:
                continue
            prepared = [
                (column, swapped(spec.load(), self.runs[a].found, self.runs[b].found))
                for column, spec in enumerate(measures)
                for a, b in here
            ]
            done = 1
            for column, figure in prepared:
                tried[column, 0] += figure(np.ones((1, test_set.queries), dtype=bool))[0]
            for kept in swaps(test_set.queries, self.settings.replicates, test_set.seed):
                for column, figure in prepared:
                    tried[column, done : done + len(kept)] += figure(kept)
                done += len(kept)
                self.reporter.progress(name, done - 1, self.settings.replicates)
        tried /= len(self.paired[pair])
        return np.array([significance.swap_p(float(row[0]), row[1:]) for row in tried])

    def counts(self, pair: tuple[int, int], spec: MeasureSpec) -> dict[str, int] | None:
        """Return on how many queries the first arm is better, equal and worse, by the mean over runs; None: unknown."""
        gained = []
        for test_set in self.test_sets:
            here = [(a, b) for a, b in self.paired[pair] if a in test_set.runs]
            each = []
            for a, b in here:
                one, other = (per_query(spec.load(), self.runs[place].found) for place in (a, b))
                if one is None or other is None:
                    return None
                each.append(one - other)
            if each:
                gained.append(np.mean(each, axis=0))
        sign = 1.0 if spec.direction == "higher" else -1.0
        values = sign * np.concatenate(gained)
        values = values[~np.isnan(values)]
        return {
            "wins": int((values > SAME).sum()),
            "ties": int((np.abs(values) <= SAME).sum()),
            "losses": int((values < -SAME).sum()),
        }

    # -- in words and figures ---------------------------------------------------------------------------------------

    def told_test_sets(self) -> Iterator[dict[str, Any]]:
        """Yield what each test set is."""
        for test_set in self.test_sets:
            sheet = self.runs[test_set.runs[0]]
            yield {
                "rows": sheet.rows.height,
                "queries": test_set.queries,
                "fingerprint": sheet.fingerprint,
                "whole": all(self.runs[place].whole for place in test_set.runs),
                "runs": [str(path) for path in sorted(self.runs[place].path for place in test_set.runs)],
            }

    def told_arm(self, number: int, measures: Sequence[MeasureSpec], found: np.ndarray) -> dict[str, Any]:
        """Return an arm's figures, their spread over its runs, and its runs."""
        runs = self.of_arm[number]
        figures = {}
        for column, spec in enumerate(measures):
            values = found[runs, column]
            spread = float(values[:, 0].std(ddof=1)) if len(runs) > 1 else None
            figures[spec.name] = {**self.interval(values.mean(axis=0), runs.tolist()), "spread": spread}
        return {
            "name": self.arms[number].name,
            "measures": figures,
            "runs": [
                {
                    "path": str(self.runs[place].path),
                    "seeds": list(self.runs[place].seeds),
                    "measures": {s.name: float(found[place, c, 0]) for c, s in enumerate(measures)},
                }
                for place in runs
            ],
        }

    def told_difference(
        self, place: int, spec: MeasureSpec, column: int, found: np.ndarray
    ) -> dict[str, Any]:
        """Return the difference of a pair of arms in one measure, but for its test."""
        pair = self.pairs[place]
        values, each = self.difference(found, pair, column)
        places = [run for two in self.paired[pair] for run in two]
        return {
            "arm": self.arms[pair[0]].name,
            "against": self.arms[pair[1]].name,
            "measure": spec.name,
            **self.interval(values, places),
            "by_seed": [
                {"seeds": list(self.runs[a].seeds), "value": float(value)}
                for (a, _), value in zip(self.paired[pair], each, strict=True)
            ],
            "queries": self.counts(pair, spec),
        }


# -- slices -----------------------------------------------------------------------------------------------------------


def _slices(
    arms: Sequence[Arm], pairs: Sequence[tuple[int, int]], headline: MeasureSpec, settings: Settings
) -> list[dict[str, Any]]:
    """Return the headline of all arms, and the differences of the pairs, on parts of the test sets."""
    masks: dict[tuple[int, int], dict[tuple[str, str], np.ndarray]] = {
        (number, place): {(by, name): mask for by, name, mask in _parts(sheet)}
        for number, arm in enumerate(arms)
        for place, sheet in enumerate(arm.sheets)
    }
    found = []
    for by, name in dict.fromkeys(key for mine in masks.values() for key in mine):
        if not all((by, name) in mine for mine in masks.values()):
            continue  # a part that some test set does not have
        inside = [
            Arm(arm.name, tuple(s.taking(masks[n, k][by, name]) for k, s in enumerate(arm.sheets)))
            for n, arm in enumerate(arms)
        ]
        work = _Comparison(inside, pairs, settings, Silent())
        figures = work.figures([headline])
        found.append(
            {
                "by": by,
                "name": name,
                "rows": min(test_set["rows"] for test_set in work.told_test_sets()),
                "queries": min(test_set.queries for test_set in work.test_sets),
                "arms": [
                    work.told_arm(n, [headline], figures)["measures"][headline.name] for n in range(len(arms))
                ],
                "differences": [
                    {
                        "arm": arms[pair[0]].name,
                        "against": arms[pair[1]].name,
                        **work.interval(
                            work.difference(figures, pair, 0)[0],
                            [r for two in work.paired[pair] for r in two],
                        ),
                    }
                    for pair in pairs
                ],
            }
        )
    return found


def _parts(sheet: Sheet) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield by what, name and mask of the parts of a test set; none where it cannot be cut into at least two."""
    if isinstance(sheet.found, Retrieved):
        sizes = sheet.found.relevant
        cuts = ((1, 1, "1"), (2, 3, "2 or 3"), (4, np.inf, "4 or more"))
        parts = [("right answers", name, (sizes >= low) & (sizes <= high)) for low, high, name in cuts]
        parts = [part for part in parts if part[2].any()]
        yield from parts if len(parts) > 1 else []
        return
    for by, piece in assess.slices_of(sheet.found, sheet.rows):
        yield by, piece.name.removeprefix(f"{by} "), piece.mask


def seeds_text(seeds: Seeds | Sequence[int]) -> str:
    """Write the seeds of a run: `3`, or `3, split 1` where more than one has a say."""
    run, data, split = seeds
    return ", ".join(
        [str(run), *(f"{name} {value}" for name, value in (("data", data), ("split", split)) if value > 0)]
    )
