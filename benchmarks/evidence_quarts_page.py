"""The page of `evidence_quarts.py`, from the cells there are; what is missing is said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from evidence_quarts import (
    ARMS,
    ATTENTION,
    BASELINES_RATE,
    BETA,
    DATA,
    FEW_EPOCHS,
    GENERATOR,
    GROWN,
    LEARNING_RATE,
    PAGE,
    PICTURE,
    RATE,
    ROOT,
    SEEDS,
    SHARES,
    SIZES,
    SWEPT,
    TANH,
    TEST,
    TRAIN,
    TRAINING,
    VALID,
    Cell,
    Found,
    cells,
)

from prodmatch_core.evaluation.probability import (
    average_precision,
    match_f1,
    mismatch_average_precision,
    mismatch_f1,
)
from prodmatch_core.evaluation.significance import Difference, Interval, interval, paired_bootstrap
from prodmatch_core.report import svg

REPLICATES = 200
TITLES = {
    "homedepot": "Home Depot (mismatch: mean relevance below 2)",
    "crowdflower": "CrowdFlower (mismatch: median 1 or 2)",
    "shop": "The embedded shop (mismatch: not exact)",
}
PUBLISHED = {
    "DSSM": (26.2, 28.9),
    "MatchPyramid": (45.0, 40.1),
    "classifier": (52.1, 55.2),
    "+ augmentation": (50.9, 51.5),
    "joint": (56.7, 62.4),
}
"Gains over the GBDT in per cent, APR and F1 (arXiv 2005.03624); `joint` is the paper's end-to-end arm."
HARD = {
    "compatible accessory or device": ("accessory", "fitted_device", "goes_together"),
    "wrong size": ("wrong_size", "accessory_of_other_size"),
    "wrong model": ("older_model", "sibling_model", "other_model", "accessory_of_other_model"),
}
"Kinds of hard mismatches of the shop: planted causes."
EASY = ("unrelated", "same_department", "other_type")
DRAWN: dict[str, tuple[str, str | None]] = {
    "GBDT": (svg.MUTED, None),
    "classifier": (svg.INK, None),
    "+ random": (svg.GOOD, "5 3"),
    "+ mined": (svg.BAD, "5 3"),
    "+ augmentation": (svg.ACCENT, "5 3"),
    "frozen": (svg.ACCENT, None),
    "joint": (svg.ACCENT, "1 4"),
    "reread": (svg.SECOND, None),
}
"Arms of the picture, with colour and dashes; the tables have them all."
GENERATORS = ("frozen", "joint", "adversarial", "reread")
WRITERS = ("+ augmentation", *GENERATORS)
"Arms in which a generator writes, before training or in it."


class Results:
    """The finished cells of a folder, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = [cell for cell in cells() if (folder / f"{cell.name}.safetensors").exists()]
        self.kept: dict[Cell, Found] = {}

    def get(self, cell: Cell) -> Found | None:
        if cell not in self.done:
            return None
        if cell not in self.kept:
            self.kept[cell] = Found.read(cell, self.folder)
        return self.kept[cell]

    def arm(self, data: str, arm: str, share: int = 100, size: int = TRAIN) -> dict[int, Found]:
        """Return an arm's finished seeds."""
        found = {seed: self.get(Cell(data, arm, seed, share, size)) for seed in SEEDS}
        return {seed: each for seed, each in found.items() if each is not None}


def mean_of(found: Sequence[Found], measure):
    """Return the statistic that is the mean over seeds of a measure."""
    statistics = [measure(each.evaluated) for each in found]
    return lambda weights: float(np.mean([statistic(weights) for statistic in statistics]))


def valued(found: dict[int, Found], measure) -> Interval | None:
    if not found:
        return None
    runs = list(found.values())
    return interval(mean_of(runs, measure), runs[0].evaluated, seed=0, replicates=REPLICATES)


def gap(first: dict[int, Found], second: dict[int, Found], measure) -> Difference | None:
    """Return the difference of two arms over the seeds both have, on the same resamples of test queries."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    ours, theirs = ([arm[seed] for seed in shared] for arm in (first, second))
    return paired_bootstrap(
        mean_of(ours, measure),
        mean_of(theirs, measure),
        ours[0].evaluated,
        seed=0,
        replicates=REPLICATES,
    )


def told(value: Interval | Difference | None, signed: bool = False) -> str:
    if value is None:
        return "–"
    plus = "+" if signed else ""
    text = f"{value.value:{plus}.3f} [{value.low:{plus}.3f}, {value.high:{plus}.3f}]"
    return f"**{text}**" if signed and (value.low > 0 or value.high < 0) else text


def lines_of_comparison(results: Results, data: str) -> Iterator[str]:
    arms = {arm: results.arm(data, arm) for arm in ARMS}
    seeds = {arm: len(found) for arm, found in arms.items()}
    if not any(seeds.values()):
        return
    one = next(found for each in arms.values() for found in each.values())
    test = one.evaluated
    yield from (f"## {TITLES[data]}", "")
    yield (
        f"{len(test.labels):,} test pairs of {test.n_groups:,} queries, {test.labels.mean():.0%} of them mismatches; "
        f"{one.notes['train']:,} training pairs."
    )
    yield ""
    heads = (
        "arm",
        "seeds",
        "APR, mismatch",
        "F1, mismatch",
        "AP, match",
        "F1, match",
        "APR less the classifier's",
    )
    yield f"| {' | '.join(heads)} | F1 less the classifier's |"
    yield "|---|---:|---|---|---|---|---|---|"
    for arm, found in arms.items():
        if not found:
            continue
        cellsof = [
            told(valued(found, measure))
            for measure in (mismatch_average_precision, mismatch_f1, average_precision, match_f1)
        ]
        for measure in (mismatch_average_precision, mismatch_f1):
            base = arms["classifier"]
            cellsof.append("" if arm == "classifier" else told(gap(found, base, measure), signed=True))
        yield f"| {arm} | {seeds[arm]} | {' | '.join(cellsof)} |"
    yield ""


def lines_of_published(results: Results) -> Iterator[str]:
    yield from ("## Published gains beside ours", "")
    yield "Gain over the GBDT in per cent, APR / F1 of the mismatch, means over the finished seeds."
    yield ""
    yield "| arm | published | " + " | ".join(data for data in DATA) + " |"
    yield "|---|---|" + "---|" * len(DATA)
    for arm, (apr, f1) in PUBLISHED.items():
        shown = []
        for data in DATA:
            both = []
            for measure in (mismatch_average_precision, mismatch_f1):
                ours, base = (results.arm(data, name) for name in (arm, "GBDT"))
                shared = sorted(ours.keys() & base.keys())
                if not shared:
                    both.append("–")
                    continue
                values = [
                    np.mean([measure(each[s].evaluated)(each[s].evaluated.example_weights) for s in shared])
                    for each in (ours, base)
                ]
                both.append(f"{100 * (values[0] / values[1] - 1):+.1f}")
            shown.append(" / ".join(both))
        yield f"| {'end to end (joint)' if arm == 'joint' else arm} | {apr:+.1f} / {f1:+.1f} | {' | '.join(shown)} |"
    yield ""


def lines_of_hard(results: Results) -> Iterator[str]:
    rows = []
    for arm in ARMS:
        found = results.arm("shop", arm)
        if not found:
            continue
        shares: dict[str, list[float]] = {}
        for each in found.values():
            cause = np.array(each.notes["cause"])
            flagged, label = each.evaluated.decisions == 1, each.evaluated.labels == 1
            for name, causes in {**HARD, "all hard": sum(HARD.values(), ()), "easy": EASY}.items():
                inside = np.isin(cause, causes) & label
                shares.setdefault(f"{name} ({int(inside.sum())})", []).append(float(flagged[inside].mean()))
            shares.setdefault(f"matches ({int((~label).sum())})", []).append(float(flagged[~label].mean()))
        rows.append((arm, len(found), {name: float(np.mean(values)) for name, values in shares.items()}))
    if not rows:
        return
    yield from ("## Hard mismatches by construction", "")
    yield "The shop knows why a pair does not match. Share called a mismatch, at the threshold of best F1 on"
    yield "validation; in brackets how many test pairs there are. Of matches, less is better."
    yield ""
    yield "| arm | seeds | " + " | ".join(rows[0][2]) + " |"
    yield "|---|---:|" + "---:|" * len(rows[0][2])
    for arm, seeds, shares in rows:
        yield f"| {arm} | {seeds} | " + " | ".join(f"{value:.3f}" for value in shares.values()) + " |"
    yield ""


def curve(results: Results, data: str, arm: str) -> dict[int, Interval]:
    found = {share: valued(results.arm(data, arm, share), mismatch_average_precision) for share in SHARES}
    return {share: value for share, value in found.items() if value is not None}


def growth(results: Results, arm: str) -> dict[int, Interval]:
    found = {size: valued(results.arm("shop", arm, 100, size), mismatch_average_precision) for size in SIZES}
    return {size: value for size, value in found.items() if value is not None}


def lines_of_curves(results: Results) -> Iterator[str]:
    yield from ("## When mismatches are scarce", "")
    yield f"![Average precision of the mismatch over the share of mismatches kept](../../images/{PICTURE.name})"
    yield ""
    yield "APR of the mismatch (and F1) over the share of true mismatches kept in training; bold: clearly better or"
    yield "worse in APR than the classifier on the same rows. At 0% a classifier has seen no mismatch at all."
    yield ""
    for data in ("homedepot", "shop"):
        yield from (f"### {data}", "")
        yield "| arm | " + " | ".join(f"{share}%" for share in SHARES) + " |"
        yield "|---|" + "---|" * len(SHARES)
        for arm in ARMS:
            shown = []
            for share in SHARES:
                found = results.arm(data, arm, share)
                apr, f1 = (valued(found, m) for m in (mismatch_average_precision, mismatch_f1))
                if apr is None or f1 is None:
                    shown.append("–")
                    continue
                text = f"{apr.value:.3f} ({f1.value:.3f})"
                shown.append(f"**{text}**" if side(results, data, arm, share) else text)
            yield f"| {arm} | {' | '.join(shown)} |"
        yield ""
    yield from lines_of_shares(results)
    yield from ("### shop, by training pairs", "")
    yield "| arm | " + " | ".join(f"{size:,}" for size in SIZES) + " |"
    yield "|---|" + "---|" * len(SIZES)
    for arm in GROWN:
        found = growth(results, arm)
        yield f"| {arm} | " + " | ".join(told(found.get(size)) for size in SIZES) + " |"
    yield ""


def lines_of_shares(results: Results) -> Iterator[str]:
    """Tell by how much arms differ from the classifier where few mismatches are kept."""
    yield from ("### Less the classifier's, where mismatches are scarce", "")
    yield "APR of the mismatch less that of the classifier alone on the same rows."
    yield ""
    places = [(data, share) for data in ("homedepot", "shop") for share in SHARES[1:]]
    yield f"| arm | {' | '.join(f'{data}, {share}%' for data, share in places)} |"
    yield "|---|" + "---|" * len(places)
    for arm in ("+ random", "+ mined", "+ noise", *WRITERS):
        shown = []
        for data, share in places:
            base = results.arm(data, "classifier", share)
            shown.append(
                told(gap(results.arm(data, arm, share), base, mismatch_average_precision), signed=True)
            )
        yield f"| {arm} | {' | '.join(shown)} |"
    yield ""


def lines_of_forms(results: Results) -> Iterator[str]:
    """Tell what other forms of the paper's arms do: rates of the switch, and tanh in the attention."""
    rates = {"joint, rate 0.1": 0.1, "joint": RATE, "joint, rate 0.5": 0.5}
    assert set(rates) == {"joint", *SWEPT}
    if not any(results.arm(data, arm) for data in DATA for arm in (*SWEPT, TANH)):
        return
    yield from ("## What the paper leaves open", "")
    yield "APR of the mismatch less the classifier's: the joint arm by the share of matches that are overwritten, which"
    yield f"the paper does not tell ({RATE:g} everywhere else), and the classifier alone with tanh for the softmax of"
    yield "its attention, as the paper writes it."
    yield ""
    yield f"| data | {' | '.join(f'joint, rate {rate:g}' for rate in rates.values())} | tanh |"
    yield "|---|---|---|---|---|"
    for data in DATA:
        base = results.arm(data, "classifier")
        shown = [
            told(gap(results.arm(data, arm), base, mismatch_average_precision), signed=True)
            for arm in (*rates, TANH)
        ]
        yield f"| {data} | {' | '.join(shown)} |"
    yield ""


def lines_of_generator(results: Results) -> Iterator[str]:
    """Tell what the probes saw in the last epoch, on all judged pairs."""
    names = {
        "tuples_judged": "tuples judged",
        "tuples_near": "near",
        "kl": "KL",
        "active_units": "units",
        "overlap_generated": "overlap",
        "overlap_random": "random",
        "told_apart": "probe AUC",
        "p_mismatch_match": "P match",
        "p_mismatch_true_decoded": "true, decoded",
        "p_mismatch_generated": "generated",
        "p_mismatch_mined": "mined",
        "p_mismatch_random": "random query",
    }
    yield from ("## The generator looked at", "")
    yield "Means over the finished seeds, before the last epoch. P is P(mismatch) of validation matches, and of what"
    yield "stands in their queries' place; *used*: share of seeds whose best epoch came after the generator began."
    yield ""
    yield "| data | arm | used | " + " | ".join(names.values()) + " | alarms |"
    yield "|---|---|---:|" + "---:|" * len(names) + "---|"
    for data in DATA:
        for arm in GENERATORS:
            found = [each.notes for each in results.arm(data, arm).values() if each.notes["negatives"]]
            if not found:
                continue
            used = np.mean([notes["best_epoch"] > GENERATOR["after"] for notes in found])
            values = [np.mean([notes["negatives"].get(key, np.nan) for notes in found]) for key in names]
            shown = [
                f"{v:.0f}" if k.startswith(("tuples", "active")) else f"{v:.2f}"
                for k, v in zip(names, values, strict=True)
            ]
            alarms = sorted(
                {alarm.split(":")[0] for notes in found for alarm in notes["negatives"]["alarms"]}
            )
            yield f"| {data} | {arm} | {used:.0%} | {' | '.join(shown)} | {', '.join(alarms) or 'none'} |"
    yield ""


def lines_of_shortcut(results: Results) -> Iterator[str]:
    """Tell what the classifier calls a mismatch as true ones get fewer."""
    yield from prose(
        "The same on the shop by the share of mismatches kept: P(mismatch) of a random query in the true "
        "one's place, of a generated one, and KL; means over the finished seeds, before the last epoch. A "
        "classifier that calls what is generated a mismatch and a random query none has learnt who wrote, "
        "and nothing else."
    )
    yield f"| arm | {' | '.join(f'{share}%' for share in SHARES)} |"
    yield "|---|" + "---|" * len(SHARES)
    for arm in GENERATORS:
        shown = []
        for share in SHARES:
            found = [each.notes["negatives"] for each in results.arm("shop", arm, share).values()]
            figures = [
                np.mean([each[key] for each in found]) if found else np.nan
                for key in ("p_mismatch_random", "p_mismatch_generated", "kl")
            ]
            shown.append("{:.2f}, {:.2f}, KL {:.1f}".format(*figures) if found else "–")
        yield f"| {arm} | {' | '.join(shown)} |"
    yield ""


def lines_of_reading(results: Results) -> Iterator[str]:
    """Say which differences from the classifier are clear, from the rows alone."""
    yield from ("## Reading", "")
    yield "APR against the classifier alone, all mismatches kept; *better* and *worse* where the interval leaves 0 out."
    yield ""
    yield f"| arm | {' | '.join(DATA)} |"
    yield "|---|" + "---|" * len(DATA)
    for arm in ARMS:
        if arm != "classifier":
            yield f"| {arm} | {' | '.join(side(results, data, arm) or '·' for data in DATA)} |"
    yield ""
    for data in DATA:
        unused = [arm for arm in GENERATORS if unused_in(results.arm(data, arm))]
        if unused:
            yield from prose(
                f"On {data} the best epoch of {', '.join(unused)} is the first in every seed, before the generator "
                "begins: their figures are those of a classifier after one epoch."
            )
    yield "Scarce mismatches, by the share kept: the arm of the highest APR, and where arms that generate stand against"
    yield "the classifier alone."
    yield ""
    yield "| data | kept | highest | clearly better | clearly worse |"
    yield "|---|---:|---|---|---|"
    for data in ("homedepot", "shop"):
        for share in SHARES[1:]:
            sides = {arm: side(results, data, arm, share) for arm in WRITERS}
            better, worse = (
                ", ".join(arm for arm in WRITERS if sides[arm] == word) or "none"
                for word in ("better", "worse")
            )
            yield f"| {data} | {share}% | {highest(results, data, share)} | {better} | {worse} |"
    yield ""


def side(results: Results, data: str, arm: str, share: int = 100) -> str:
    """Return on which side of the classifier an arm clearly is by APR, or nothing."""
    base = results.arm(data, "classifier", share)
    apart = gap(results.arm(data, arm, share), base, mismatch_average_precision)
    if apart is None:
        return ""
    return "better" if apart.low > 0 else "worse" if apart.high < 0 else ""


def highest(results: Results, data: str, share: int) -> str:
    """Return the arm whose mean APR is the highest of those that are finished."""
    values = {arm: valued(results.arm(data, arm, share), mismatch_average_precision) for arm in ARMS}
    found = {arm: value.value for arm, value in values.items() if value is not None}
    return max(found, key=lambda arm: found[arm]) if found else "–"


def unused_in(found: dict[int, Found]) -> bool:
    """Return whether no seed's best epoch came after the generator began."""
    return bool(found) and all(each.notes["best_epoch"] <= GENERATOR["after"] for each in found.values())


def picture(results: Results) -> str:
    """Return the curves: a panel each for Home Depot and the shop over shares, and the shop over sizes."""
    shares = [f"{share}%" for share in SHARES]
    panels = [
        ("Home Depot, mismatches kept", shares, DRAWN, SHARES, lambda a: curve(results, "homedepot", a)),
        ("The shop, mismatches kept", shares, DRAWN, SHARES, lambda a: curve(results, "shop", a)),
        ("The shop, training pairs", [f"{s:,}" for s in SIZES], GROWN, SIZES, lambda a: growth(results, a)),
    ]  # fmt: skip
    marks, width, height, words = [], 250, 200, []
    for number, (title, labels, arms, places, found) in enumerate(panels):
        values = {arm: found(arm) for arm in arms if arm in DRAWN}
        every = [bound for each in values.values() for v in each.values() for bound in (v.low, v.high)]
        every = [bound for bound in every if np.isfinite(bound)] or [0.0, 1.0]
        plot = svg.Plot(
            44 + number * (width + 56), 44, width, height, (0.0, len(places) - 1.0), (min(every), max(every))
        )
        marks += plot.x_axis([float(n) for n in range(len(places))], title, labels=labels)
        marks += plot.y_axis(svg.ticks(*plot.y_range, about=5), "APR, mismatch" if not number else "")
        for beside, arm in enumerate(values):
            colour, dash = DRAWN[arm]
            points = []
            for place, key in enumerate(places):
                if key not in values[arm]:
                    continue
                value = values[arm][key]
                x, y = plot.x(place + 0.05 * (beside - (len(values) - 1) / 2)), plot.y(value.value)
                points.append((x, y))
                if np.isfinite(value.low):
                    marks.append(
                        svg.line(
                            x, plot.y(value.low), x, plot.y(value.high), stroke=colour, stroke_opacity=0.45
                        )
                    )
                marks.append(
                    svg.element(
                        "circle", svg.tooltip(f"{arm}: {value.value:.3f}"), cx=x, cy=y, r=3, fill=colour
                    )
                )
                words.append(f"{title}, {labels[place]}, {arm}: {value.value:.3f}")
            if len(points) > 1:
                marks.append(svg.path(points, stroke=colour, stroke_dasharray=dash))
    x, y = 44.0, 44 + height + 66
    for arm, (colour, dash) in DRAWN.items():
        marks.append(svg.line(x, y - 4, x + 24, y - 4, stroke=colour, stroke_width=2, stroke_dasharray=dash))
        marks.append(svg.text(x + 30, y, arm))
        x += 54 + svg.width_of(arm)
    return svg.document(
        44 + 3 * (width + 56),
        44 + height + 80,
        "When mismatches are scarce",
        "; ".join(words),
        marks,
        "quarts-scarcity",
    )  # fmt: skip


def prose(text: str) -> list[str]:
    """Return a paragraph as lines, and the empty one after it."""
    return [*textwrap.wrap(text, 118, break_on_hyphens=False), ""]


def page(results: Results) -> str:
    """Return the page as Markdown."""
    whole = len(list(cells()))
    lines = [
        "# Evidence: generated negatives inside the classifier",
        "",
        "Does a generator that writes hard mismatching queries while the classifier trains (QUARTS, arXiv 2005.03624)",
        "help to find mismatches, against what one would otherwise do? APR is the area under precision and recall.",
        "",
        "    PRODMATCH_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/evidence_quarts.py",
        "",
        f"Of {whole} cells (data, arm, seed, share of mismatches, training pairs) {len(results.done)} are finished.",
        "",
        *prose(
            "**Arms.** Boosted trees over lexical features, DSSM, MatchPyramid; the classifier (`quarts.attention`) "
            "alone; with as many generated queries as the switch overwrites in an epoch, written once and added "
            f"as rows; with {RATE:g} random or mined products a match; with Gaussian noise on states; with the "
            "generator frozen, learning jointly, or adversarially, its decoder's states in the query's place; "
            "and *reread*: its words read by the encoder, and the generator learning on from its tuples alone."
        ),
        *prose(
            f"**Fair.** All networks have {TRAINING['epochs']} epochs and weigh mismatches {BETA:g} times; the "
            "generator begins after the first. The epoch is the best APR on validation, the threshold of F1 is "
            "chosen there "
            "too. The test split is the same for all seeds; a seed draws training pairs and weights. Intervals of 95%: "
            f"{REPLICATES} resamples of test queries, two arms of a difference on the same resamples, each the mean "
            "over its seeds. **Bold**: the interval leaves 0 out. Polarity: the mismatch, as in the paper, and "
            "the match "
            "beside it."
        ),
        *lines_of_reading(results),
        *(line for data in DATA for line in lines_of_comparison(results, data)),
        *lines_of_published(results),
        *prose(
            "The paper trained on three million pairs of a shop's log with purchases as matches; ours are thousands of "
            "judged pairs, and most items have one query: the generator learns mostly from near queries, not from "
            "judged ones."
        ),
        *lines_of_hard(results),
        *lines_of_curves(results),
        *lines_of_forms(results),
        *lines_of_generator(results),
        *lines_of_shortcut(results),
        "## Why it pays so little here",
        "",
        *prose(
            "The table above says it. Few items have a judged mismatching query (*tuples judged*), so the generator "
            "learns from queries near the true one that nobody judged with the item. Reread, what it writes is to the "
            "classifier what a match is, and what a mined near query is: some of those match after all. Called "
            "mismatches, at five times the weight, they are label noise."
        ),
        *prose(
            "Where the decoder's own states take the query's place, a linear probe tells them from read ones almost "
            "without a fault (*probe AUC*), and so does the classifier: the *true* query, decoded, is called a "
            "mismatch as surely as a generated one. What is learnt then is the make of the states. That costs "
            "nothing and gives nothing while there are enough true mismatches; where there are none, it is better than "
            "nothing, and random products, which do mismatch, are better still."
        ),
        *prose(
            "The fewer the true mismatches, the more of the loss is the shortcut's: with few kept on the "
            "shop, a random query is hardly called a mismatch any more and a generated one surely is. The "
            "joint arm pays its generator for being recognised, and its latent runs away (KL). The "
            "adversarial and the reread arm leave no shortcut, and teach that what a match is mismatches."
        ),
        *prose(
            "A generator must also see enough. One that learnt from a third of the tuples in six tenths of the passes "
            "wrote the true query again and its latent collapsed; the log and the report warn of both."
        ),
        "## What was cut",
        "",
        f"{TRAIN:,} training, {VALID:,} validation and {TEST:,} test pairs at the most, so that a cell takes seconds. "
        "Encoder: "
        + ", ".join(f"{k} {v}" for k, v in ATTENTION.items() if k != "use")
        + ". Generator: "
        + ", ".join(
            f"{k} {str(v).lower() if isinstance(v, bool) else v}"
            for k, v in GENERATOR.items()
            if k != "written"
        )
        + f". Training: batches of {TRAINING['batch_size']}; learning rate "
        + ", ".join(f"{rate:g} on {data}" for data, rate in LEARNING_RATE.items())
        + f", chosen by the validation APR of the classifier alone (seed 0), {BASELINES_RATE:g} for DSSM and "
        f"MatchPyramid; two epochs above {FEW_EPOCHS:,} pairs. Sizes above {TRAIN:,} pairs have one seed, "
        "all else has three; cells that are not finished are left blank.",
        "",
    ]
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Write page and picture."""
    results = Results(folder)
    PAGE.write_text(page(results), encoding="utf-8")
    PICTURE.write_text(picture(results) + "\n", encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    from evidence_quarts import ROWS

    write(ROWS)
