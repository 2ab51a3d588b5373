"""The page that `evidence_uncertainty.py` writes: every figure and every verdict is counted from its rows.

    python benchmarks/evidence_uncertainty_page.py [--rows FILE]

Writes the page anew from rows that are there, without making any.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence_uncertainty import (
    CONFIDENCE,
    DATA,
    ESTIMATORS,
    HELD,
    NGRAM,
    PAGE,
    PIECES,
    PLANES,
    PROMISED,
    RATES,
    REPEATS,
    ROOT,
    SEEDS,
    SETTINGS,
    SWEEP,
    TARGETS,
    TRAIN_ROWS,
    TRAINING,
)
from scipy import stats

LEAST = 0.05
"Recall of one threshold from which gains are told; below, a few rows make any figure."
METHODS = {
    "threshold": "one threshold",
    "isotonic": "isotonic, one threshold",
    "rectangle": "rectangle",
    "lagrangian": "Lagrangian",
    "mist": "MIST",
    "dp": "dynamic programme",
}
Row = dict[str, Any]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "evidence_uncertainty.jsonl")
    options = parser.parse_args()
    if not options.rows.exists():
        parser.error(f"{options.rows}: no rows; make them with evidence_uncertainty.py")
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()]
    PAGE.write_text(page(rows), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def page(rows: list[Row]) -> str:
    """Return the page as Markdown."""
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in PIECES}
    lines = [
        "# Evidence: when many thresholds pay",
        "",
        *prose(
            "The claim (arXiv 2311.11723): at the same score, positivity depends on the uncertainty of the score, "
            "so one threshold for each level of uncertainty finds 25 to 40% more at the same high precision. Here "
            "each boundary is fitted on a hold-out and judged on a test set, both with the natural shares of the "
            "classes."
        ),
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_uncertainty.py",
        "",
        *prose(
            "**How methods are compared.** More thresholds promise more on the hold-out and break more of the "
            "promise on test. So recall is compared *at equal precision on test*: each method's boundaries, from "
            "strict to lenient, are fitted on the hold-out, and of their curve on test the recall counts at the "
            "precision asked for (between two neighbours a coin may decide). The **placebo** is the same method "
            "with uncertainties shuffled among the rows: what it gains or loses is owed to having more "
            f"thresholds, not to uncertainty. Levels: {SETTINGS.levels}, bins: {SETTINGS.bins}, the defaults of "
            "the parts, not tuned. Intervals are 95%, of differences paired by seed (Student's t)."
        ),
        *in_short(of),
        *map_section(of["map"]),
        *real_section(of["real"]),
        *slip_section(of["real"]),
        *promise_section(of["promise"], of["real"]),
        *sweep_section(of["real"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def prose(text: str, indent: str = "") -> list[str]:
    """Return a paragraph, folded, and the empty line after it."""
    return [*textwrap.wrap(text, 118, subsequent_indent=indent, break_on_hyphens=False), ""]


def bullet(text: str) -> list[str]:
    return prose(f"- {text}", "  ")[:-1]


# -- counting ------------------------------------------------------------------------------------------------


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95% interval by Student's t."""
    mean = statistics.mean(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def cells_of(rows: list[Row], by: Sequence[str]) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """Return rows grouped by the values of some keys, in order of first appearance."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in by), []).append(row)
    return list(found.items())


def equal(row: Row) -> dict[str, float]:
    """Return the recalls at equal precision of a row of either kind."""
    return row.get("equal", row)


def mean(found: list[Row], key: str) -> float:
    return statistics.mean(equal(row)[key] for row in found)


def difference(found: list[Row], name: str, other: str, target: float) -> list[float]:
    """Return how much more recall `name` has than `other`, seed by seed."""
    return [equal(row)[f"{name}@{target}"] - equal(row)[f"{other}@{target}"] for row in found]


def clear(found: list[Row], name: str, target: float) -> bool:
    """Return whether a method's gain over one threshold, and over its placebo, are both clear of 0."""
    others = ("threshold", f"{name} placebo")
    return all(interval(difference(found, name, other, target))[1] > 0 for other in others)


def gain(found: list[Row], name: str, target: float) -> str:
    """Write a method's gain over one threshold with its interval, bold where it and that over the placebo are "
    "clear."""
    middle, low, high = interval(difference(found, name, "threshold", target))
    text = f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if clear(found, name, target) else text


def relative(found: list[Row], name: str, target: float) -> float:
    """Return a method's gain as a share of one threshold's recall."""
    return mean(found, f"{name}@{target}") / mean(found, f"threshold@{target}") - 1


def worth(found: list[Row], target: float) -> bool:
    """Return whether one threshold finds something at a precision that not everything has."""
    base = statistics.mean(row["base"] for row in found)
    return target > base and mean(found, f"threshold@{target}") >= LEAST


# -- sections ------------------------------------------------------------------------------------------------


def in_short(of: dict[str, list[Row]]) -> list[str]:
    """Return the verdicts, counted."""
    known = cells_of(of["map"], ("rate", "spread", "held"))
    won = sum(clear(found, "dp", 0.9) for _, found in known)
    gains = {key: relative(found, "dp", 0.9) for key, found in known}
    mixed = gains[max(RATES), "hundredfold", max(HELD)]
    best = max(gains, key=lambda key: gains[key])
    plain = [value for (rate, _, _), value in gains.items() if rate == 1]
    real = [
        (found, target)
        for _, found in cells_of(of["real"], ("data", "estimator", "rate"))
        for target in TARGETS
        if worth(found, target)
    ]
    ahead = [(found, target) for found, target in real if clear(found, "dp", target)]
    behind = sum(interval(difference(found, "dp", "threshold", target))[2] < 0 for found, target in real)
    by = [ESTIMATORS[found[0]["estimator"]] for found, _ in ahead]
    who = ", ".join(f"{by.count(name)} {name}" for name in ESTIMATORS.values() if name in by) or "none"
    median = statistics.median(relative(found, "dp", target) for found, target in real)
    beyond = sum(interval(difference(found, "dp", "dp placebo", target))[1] > 0 for found, target in real)
    below = sum(interval(difference(found, "dp", "dp placebo", target))[2] < 0 for found, target in real)
    gap = statistics.median(
        abs(statistics.mean(row[key] for row in found))
        for _, found in cells_of(of["real"], ("data", "estimator", "rate"))
        for key in ("gap_low", "gap_high")
    )
    return [
        "## In short",
        "",
        *bullet(
            f"With known truth, many thresholds beat one threshold and their placebo in {won} of {len(known)} "
            f"conditions. Where the claim's own conditions hold most (1 of {max(RATES)} negatives kept, evidence "
            f"varying a hundredfold, {max(HELD):,} hold-out rows) the gain is {mixed:+.0%} of the recall; the most "
            f"is {gains[best]:+.0%} (1/{best[0]}, {best[1]}, {best[2]:,}). Where all negatives are kept it lies "
            f"between {min(plain):+.1%} and {max(plain):+.1%}."
        ),
        *bullet(
            f"On real data there are {len(real)} combinations of data, estimator, rate of negatives and precision "
            f"in which one threshold finds at least {LEAST:.0%} of the matches. Many thresholds are clearly ahead "
            f"of one and of their placebo in {len(ahead)} of them ({who}), and clearly behind one in {behind}. The "
            f"median gain is {median:+.1%} of the recall; the published one is +25 to +40%."
        ),
        *bullet(
            "Read at the same target on the hold-out instead, the same boundaries would seem to gain "
            f"{' and '.join(apparent(of['real'], data) for data in DATA)}: where precision falls slowly, keeping a "
            "little less of it accepts much more. A comparison that does not look at the precision on test cannot "
            "tell this from a gain."
        ),
        *bullet(
            f"Against their placebo, many thresholds are clearly ahead in {beyond} of the {len(real)} and clearly "
            f"behind in {below}; chance alone puts one in forty on either side. What these estimators say that "
            "the score does not is little: at the same score, positivity of the surer and the less sure half of "
            f"the rows differs by {gap:.3f} in the median."
        ),
        "",
    ]


def apparent(rows: list[Row], data: str) -> str:
    """Return what the dynamic programme seems to gain at a target of 0.8 on the hold-out, and what it then keeps."""
    pairs = [
        (row["methods"]["dp@0.8"], row["methods"]["threshold@0.8"])
        for row in rows
        if row["data"] == data and row["methods"]["threshold@0.8"]["plain_held_recall"]
    ]
    more, less = (statistics.mean(pair[side]["plain_held_recall"] for pair in pairs) for side in (0, 1))
    known = [pair for pair in pairs if all(side["plain_test_precision"] is not None for side in pair)]
    dp, one = (statistics.mean(pair[side]["plain_test_precision"] for pair in known) for side in (0, 1))
    return f"{more / less - 1:+.0%} ({DATA[data][0].partition(',')[0]}, 0.8; precision on test {dp:.3f} for {one:.3f})"


def map_section(rows: list[Row]) -> list[str]:
    lines = [
        "## Known truth: where the gain lives",
        "",
        *prose(
            "A row's true probability is a draw of Beta(0.3, 0.3). The score is what some trials of it say, of "
            "which negative ones are kept at a rate of 1, 1/3 or 1/5. Evidence is alike (20 trials each), or "
            "varies tenfold (6 to 60) or a hundredfold (2 to 200). Recall at a precision of 0.9 on 60,000 test "
            f"rows, {len(SEEDS)} seeds; gains over one threshold, bold where they and the gains over the placebo "
            "are clear of 0."
        ),
        "| kept | evidence varies | hold-out | one threshold | dynamic programme | its placebo | MIST | its "
        "placebo |",
        "|---|---|---:|---:|---|---:|---|---:|",
    ]
    for (rate, spread, held), found in cells_of(rows, ("rate", "spread", "held")):
        placebo = {
            name: statistics.mean(difference(found, f"{name} placebo", "threshold", 0.9)) for name in PLANES
        }
        lines.append(
            f"| 1/{rate} | {'not' if spread == 'none' else spread} | {held:,} | {mean(found, 'threshold@0.9'):.3f} "
            f"| {gain(found, 'dp', 0.9)} | {placebo['dp']:+.3f} | {gain(found, 'mist', 0.9)} | "
            f"{placebo['mist']:+.3f} |"
        )
    return [*lines, ""]


def real_section(rows: list[Row]) -> list[str]:
    lines = [
        "## Real data, at equal test precision",
        "",
        *prose(
            f"Estimators on a small `core.ngram` ({NGRAM['width']} numbers an n-gram), {TRAIN_ROWS:,} training "
            f"rows at the most, of which negatives are kept at 1, 1/3 or 1/5; the best of {TRAINING['epochs']} "
            f"epochs by average precision on the hold-out. Hold-out: 20% of the queries, test: 30%. {len(SEEDS)} "
            "seeds, each with splits of its own. AP is average precision. Sure - unsure is by how much positivity "
            "differs at the same score between the surer and the less sure half of the test rows, in the lower "
            "and the upper half of the scores: the claim needs it away from 0, and says that its sign may turn."
        ),
        *prose(
            "Each cell: recall of one threshold, the dynamic programme's gain over it, and its placebo's. Bold: "
            "the gain, and that over the placebo, are clear of 0. Left out (–) are precisions that all rows "
            f"together have, or at which one threshold finds less than {LEAST:.0%}."
        ),
    ]
    for data, (title, _, _) in DATA.items():
        mine = [row for row in rows if row["data"] == data]
        held, test, base = (
            statistics.mean(row[key] for row in mine) for key in ("held_rows", "test_rows", "base")
        )
        heads = " | ".join(f"at {target}" for target in TARGETS)
        lines += [
            f"### {title}",
            "",
            f"{held:,.0f} hold-out and {test:,.0f} test rows, {base:.0%} of them match.",
            "",
            f"| estimator | kept | AP | sure - unsure, low / high | {heads} |",
            f"|---|---|---:|---:|{'---|' * len(TARGETS)}",
        ]
        cells = dict(cells_of(mine, ("estimator", "rate")))
        for estimator, rate in [(name, rate) for name in ESTIMATORS for rate in RATES]:
            found = cells[estimator, rate]
            ap, low, high = (
                statistics.mean(row[key] for row in found)
                for key in ("average_precision", "gap_low", "gap_high")
            )
            text = " | ".join(real_cell(found, target) for target in TARGETS)
            lines.append(
                f"| {ESTIMATORS[estimator]} | 1/{rate} | {ap:.3f} | {low:+.3f} / {high:+.3f} | {text} |"
            )
        lines.append("")
    return lines


def real_cell(found: list[Row], target: float) -> str:
    if not worth(found, target):
        return "–"
    placebo = statistics.mean(difference(found, "dp placebo", "threshold", target))
    return f"{mean(found, f'threshold@{target}'):.3f}: {gain(found, 'dp', target)}, placebo {placebo:+.3f}"


def slip_section(rows: list[Row]) -> list[str]:
    lines = [
        "## What the hold-out promises and test keeps",
        "",
        *prose(
            "The same target on the hold-out for every method; means over all estimators, rates and seeds in "
            "which every method reaches it there. What looks like more recall on the hold-out comes back as less "
            "precision on test."
        ),
    ]
    for data, (title, _, _) in DATA.items():
        mine = [row for row in rows if row["data"] == data]
        lines += [
            f"### {title.partition(',')[0]}",
            "",
            "| target | method | recall, hold-out | recall, test | precision, test | kept on test |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for target in TARGETS:
            keys = [f"{name}@{target}" for name in METHODS]
            shared = [
                row
                for row in mine
                if all(
                    row["methods"][key][f"plain_{where}_precision"] is not None
                    for key in keys
                    for where in ("held", "test")
                )
            ]
            if target <= statistics.mean(row["base"] for row in mine) or len(shared) < 3:
                continue
            for key, called in zip(keys, METHODS.values(), strict=True):
                found = [row["methods"][key] for row in shared]
                kept = sum(row["plain_test_precision"] >= target for row in found)
                values = " | ".join(
                    f"{statistics.mean(row[f'plain_{name}'] for row in found):.3f}"
                    for name in ("held_recall", "test_recall", "test_precision")
                )
                lines.append(f"| {target} | {called} | {values} | {kept} of {len(found)} |")
        lines.append("")
    return lines


def promise_section(simulated: list[Row], rows: list[Row]) -> list[str]:
    lines = [
        "## Promises kept, with and without `confidence`",
        "",
        *prose(
            f"Known truth (1/5 of negatives kept, evidence varying a hundredfold), precision 0.9, {REPEATS} "
            "hold-outs each. Kept: the precision on 100,000 test rows is at least 0.9, or nothing is accepted."
        ),
        "| hold-out | method | confidence | kept | mean recall |",
        "|---:|---|---:|---:|---:|",
    ]
    for row in simulated:
        confidence = f"{row['confidence']:g}" if row["confidence"] else "none"
        lines.append(
            f"| {row['held']:,} | {METHODS[row['method']]} | {confidence} | {row['kept']:.0%} | {row['recall']:.3f} |"
        )
    lines += [
        "",
        *prose(
            f"Real data, all estimators, rates and seeds, confidence {CONFIDENCE:g}. A boundary that accepts "
            "nothing keeps its promise; how many do stands in brackets. The test set is a sample itself: of "
            "boundaries exactly at the target, half would fall short on it, and with few queries by much."
        ),
        "| data | target | method | boundaries | plain: kept | with confidence: kept |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for data in DATA:
        mine = [row for row in rows if row["data"] == data]
        for target in TARGETS:
            if target <= statistics.mean(row["base"] for row in mine):
                continue
            for name in PROMISED:
                found = [row["methods"][f"{name}@{target}"] for row in mine]
                reached = {how: [row[f"{how}_test_precision"] for row in found] for how in ("plain", "sure")}
                kept = [
                    f"{sum(value is None or value >= target for value in values)} ({values.count(None)})"
                    for values in reached.values()
                ]
                lines.append(
                    f"| {data} | {target} | {METHODS[name]} | {len(found)} | {kept[0]} | {kept[1]} |"
                )
    return [*lines, ""]


def sweep_section(rows: list[Row]) -> list[str]:
    lines = [
        "## Levels and bins",
        "",
        *prose(
            "Gain of the dynamic programme over one threshold at a precision of 0.8 on test, over all estimators, "
            "rates and seeds; behind it the placebo's."
        ),
        f"| data | {' | '.join(f'{levels} x {bins}' for levels, bins in SWEEP)} |",
        f"|---|{'---|' * len(SWEEP)}",
    ]
    for data in DATA:
        cells = []
        for levels, bins in SWEEP:
            found = [row["sweep"][f"{levels}x{bins}"] for row in rows if row["data"] == data]
            gains = [
                statistics.mean(row[f"{name}@0.8"] - row["threshold@0.8"] for row in found)
                for name in ("dp", "dp placebo")
            ]
            cells.append(f"{gains[0]:+.4f}, placebo {gains[1]:+.4f}")
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
