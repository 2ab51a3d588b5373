"""The page of `evidence_delayed.py`, from its files of predictions."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from prodmatch_core.evaluation.replicates import draws

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/evidence/delayed.md"
WAITS = ("0.25h", "1h", "6h")
STRENGTHS = ("weak", "medium", "strong")
AT_ONCE = ("oracle", "fnw", "fnc")
METHODS = ("oracle", "exact", "es_dfm", "defuse", "defer", "fsiw", "fnw", "fnc", "dfm", "vanilla")
REPLICATES = 2000
SEEDS = 5
LEAST = 1e-7


@attrs.frozen(eq=False)
class Cell:
    """One arm over all seeds: what each test event's loss was, hour by hour."""

    said: np.ndarray
    converted: np.ndarray
    truth: np.ndarray
    seed: np.ndarray
    cluster: np.ndarray
    "(n,) number of the event's hour, over all seeds."

    @property
    def nll(self) -> np.ndarray:
        q = np.clip(self.said, LEAST, 1 - LEAST)
        return -np.where(self.converted, np.log(q), np.log1p(-q))

    @property
    def loss(self) -> np.ndarray:
        """Return each event's excess over the truth, in nats, or its log loss where the truth is not known."""
        if np.isnan(self.truth).any():
            return self.nll
        q, p = np.clip(self.said, LEAST, 1 - LEAST), np.clip(self.truth, LEAST, 1 - LEAST)
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    def of(self, seeds: np.ndarray) -> Cell:
        """Return the arm over some of its seeds."""
        rows = np.isin(self.seed, seeds)
        return Cell(*(getattr(self, field.name)[rows] for field in attrs.fields(Cell)))

    def by_seed(self, measure: str) -> list[float]:
        made = []
        for seed in np.unique(self.seed):
            rows = self.seed == seed
            if measure == "loss":
                made.append(float(self.loss[rows].mean()))
            elif measure == "nll":
                made.append(float(self.nll[rows].mean()))
            elif measure == "said":
                made.append(float(self.said[rows].mean()))
            else:
                score = roc_auc_score if measure == "auc" else average_precision_score
                made.append(float(score(self.converted[rows], self.said[rows])))
        return made


def read(runs: Path, world: str, words: Sequence[str]) -> Cell | None:
    """Return an arm over the seeds that there are; None where there is none."""
    parts: list[Mapping[str, np.ndarray]] = []
    seeds, clusters = [], []
    for seed in range(100):
        file = runs / ("-".join([world, str(seed), *words]) + ".npz")
        if not file.exists():
            continue
        found = dict(np.load(file))
        parts.append(found)
        seeds.append(np.full(len(found["said"]), seed))
        # The same hour has the same number in every arm of a seed.
        clusters.append(found["hour"] + seed * 100_000)
    if not parts:
        return None
    joined = {name: np.concatenate([part[name] for part in parts]) for name in ("said", "converted", "truth")}
    return Cell(**joined, seed=np.concatenate(seeds), cluster=np.concatenate(clusters))


@attrs.frozen
class Gain:
    """How much less a first arm loses than a second: mean, interval by hour, and seeds won."""

    value: float
    low: float
    high: float
    won: int
    seeds: int

    @property
    def clear(self) -> str:
        return "better" if self.low > 0 else "worse" if self.high < 0 else "open"


def gain(first: Cell, second: Cell) -> Gain:
    """Return how much `first` improves on `second`, over the seeds both have, by a paired bootstrap of hours."""
    both = np.intersect1d(first.seed, second.seed)
    a, b = (np.isin(cell.seed, both) for cell in (first, second))
    difference = second.loss[b] - first.loss[a]
    seed, cluster = first.seed[a], first.cluster[a]
    _, place = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(place, difference), np.bincount(place).astype(float)
    made = [weights @ sums / (weights @ counts) for weights in draws(len(sums), REPLICATES, 0)]
    low, high = np.quantile(np.concatenate(made), [0.025, 0.975])
    won = sum(float(difference[seed == s].mean()) > 0 for s in both)
    return Gain(float(difference.mean()), float(low), float(high), won, len(both))


def page(runs: Path) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Evidence: delayed feedback",
        "",
        "What importance weights do on a stream whose truth is known, and on real clicks. Made, with everything it is",
        "drawn from, by",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_delayed.py",
        "",
        *SETTING,
    ]
    tables = [table(runs, "shop", wait) for wait in WAITS]
    lines += ["## The shop's stream", ""]
    for wait, (rows, _) in zip(WAITS, tables, strict=True):
        lines += [f"### First label after {wait.removesuffix('h')} hours", "", *rows, ""]
    lines += ["### What signals add", "", *signals(runs), ""]
    lines += [BY_ENGAGEMENT, "", *FORMS_TEXT, *forms(runs), "", *FORMS_READING, ""]
    lines += ["## What is shown", "", *verdicts(tables, runs), "", *READING]
    lines += ["## TalkingData", "", *clicks(runs), ""]
    return "\n".join(lines)


SETTING = """\
Every arm learns from the first 82% of the shop's 60 days (`size = 4000`, 8 events a judgement, conversions count
within 3 days), then goes on hour by hour: it predicts an hour's events, then learns what became known in it.
The last 16% are measured. All arms have the same network (64-32, hashed categories of width 8), three epochs of
training and one pass of the stream. Step sizes were chosen for `oracle` and `exact` on another seed's shop; no
method was tuned for itself. The network is smaller than the 256-256-128 of the papers, so that all runs fit into
a quarter of an hour of one core. Seeds draw the shop, the weights and the order anew.

**Excess** is the mean divergence between the true and the stated probability, in thousandths of a nat: the part
of the log loss that a better model could save, without the noise of drawn labels. Some of it no arm can save:
what the shop knows of a pair and shows to no model. **Relative** is the share of the way from `vanilla` (0) to
`oracle` (1), in excess. **Against vanilla** is how much excess is saved, with a 95% interval by paired bootstrap
of the hours of all seeds, and in how many seeds it is.

""".splitlines()

BY_ENGAGEMENT = "### Signals by way of the engagement"
FORMS = ("factored", "settled")
FORMS_TEXT = """\
`form` says how `signals` comes by a row's weight. `direct` asks one model that reads event and signal. `factored`
multiplies P(engages | event) by P(converts | engages, event), and once the signal is there asks the second alone.
`settled` is the second with the rule that a row without a signal has weight 1: right where nothing converts without a
signal and every signal comes before the first label. Neither is so in this shop. This table alone is made by
`python benchmarks/evidence_delayed.py --only forms`.

""".splitlines()

FORMS_READING = """\
The rule costs what it must where its condition fails: conversions without a signal stay hidden, too little is stated,
and most of what `vanilla` loses is lost here too. `factored` needs no condition, because a conversion counts as a sign
of its own. It learns from two easier questions; where signals say little, the product of two estimates is worse than
one estimate, and where they say much it is at least as good. The interval beside `direct` tells which.
""".splitlines()

READING = """\
How to read this:

- **The correction works.** Uncorrected training states too little, because a first label of 0 hides
  conversions; `exact`, ES-DFM, DEFUSE, FNW and FNC all come back to the share that converts. They differ among
  themselves by less than they do from `vanilla`.
- **`exact` beside ES-DFM and DEFUSE.** All three learn the same from the same rows; the published forms scale
  each event by 1 + its chance to convert late. Where a model is too small to fit every event, that pulls it
  towards those events (closed form: `test_delayed_spec.py`). It is worth little here.
- **FNW and FNC do not wait**, so they learn sooner, and their correction is exact for each event. On this
  stream they come close to `oracle`. Their rows are all labelled 0 first, so everything hangs on the
  correction.
- **Signals** leave what is learnt on average as it is and take noise from it. Soon after an event hardly any signal
  has been given. Where the first label waits long enough, they help, and the more they say the more. The gain stays
  small, because a late conversion is told in full when it comes; signals only bring forward what is told anyway.
- **DEFER** helps where the first label hides most, and no longer where it hides less. It reads every event twice, so
  the same epochs train it twice as long, and half of its rows are as old as the window. It was not tuned for that, and
  how much of its loss is due to it was not examined.
- **FSIW** drops late conversions and gives those in time the weight 1 / (chance of being in time): few rows carry
  much, and the correction costs as much as it brings except where there is most to correct.
- **DFM** assumes exponential delays. The shop's are a mixture of minutes, days and weeks, and from labels told soon
  after an event a rare conversion and a slow one look alike: it states far too much.

Not shown: larger networks, streams of millions, fast drift (the shop's is slow, so a late label teaches nearly as
much as a fresh one), and the published gains on Criteo's log, which is not part of the data folder. `core.criteo`
reads it, and the same pipelines run on it.

""".splitlines()


CLICKS = """\
Clicks of three days on advertisements of apps; a conversion is the download, minutes to hours later, within a day. Half
of the clicks are training, the last 48% ({clicks} clicks, {converted} of them with a download) are measured; the first
label comes after a quarter of an hour. Excess cannot be told without the truth, so the figures are log losses, in
thousandths of a nat; seeds differ in initial weights and order alone.
"""
AFTER = """\
What can be said: the readers, streams and weights work on real delays, and an arm that loses badly can be told. What
cannot: an order among the methods. So few conversions leave intervals wider than the differences expected, and one set
of clicks is one draw however many seeds train on it. Where `oracle` is not clearly better than `vanilla` there is no
scale to place a method on, and the relative column is empty.
"""


def table(runs: Path, world: str, wait: str) -> tuple[list[str], dict[str, Gain]]:
    """Return the table of all methods at one waiting window, and each one's gain over vanilla."""
    cells = {name: read(runs, world, [name] if name in AT_ONCE else [wait, name]) for name in METHODS}
    known = {name: cell for name, cell in cells.items() if cell is not None}
    # Only seeds that every method has: averages over different shops say nothing.
    seeds = functools.reduce(
        np.intersect1d, [np.unique(cell.seed) for cell in known.values()], np.arange(100)
    )
    if len(known) < len(METHODS) or not len(seeds):
        return ["(not made yet)"], {}
    known = {name: cell.of(seeds) for name, cell in known.items()}
    vanilla, gains = known["vanilla"], {}
    shop = world == "shop"
    lines = [
        f"| method | {'excess' if shop else 'log loss'} | log loss | ROC AUC | PR AUC | mean stated | relative | "
        "against vanilla | seeds |",
        "|---|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    if not shop:
        lines[0] = lines[0].replace("| log loss | log loss |", "| log loss |")
        lines[1] = "|---|---:|---:|---:|---:|---:|---|---:|"
    scale = gain(known["oracle"], vanilla)
    for name, cell in known.items():
        gains[name] = found = gain(cell, vanilla)
        cols = [name, f"{1000 * np.mean(cell.by_seed('loss')):.2f}"]
        cols += [f"{np.mean(cell.by_seed('nll')):.4f}"] if shop else []
        digits = 3 if shop else 4
        cols += [f"{np.mean(cell.by_seed(m)):.{d}f}" for m, d in (("auc", 3), ("ap", 3), ("said", digits))]
        cols += [f"{found.value / scale.value:.2f}" if scale.clear == "better" else "–"]
        cols += ["", ""] if name == "vanilla" else [span(found), f"{found.won} of {found.seeds}"]
        lines.append(f"| {' | '.join(cols)} |")
    true = known["oracle"].converted.mean()
    said = f"The share that converts is {true:.{digits}f}. Seeds: {len(seeds)}"
    lines += ["", f"{said}." if len(seeds) >= SEEDS else f"{said}; the command makes {SEEDS}."]
    return lines, gains


def clicks(runs: Path) -> list[str]:
    """Return the section on real clicks."""
    oracle = read(runs, "talkingdata", ["oracle"])
    rows, _ = table(runs, "talkingdata", "0.25h")
    if oracle is None:
        return rows
    one = oracle.seed == oracle.seed[0]
    before = CLICKS.format(clicks=f"{one.sum():,}", converted=f"{oracle.converted[one].sum():,}")
    return [*before.splitlines(), "", *rows, "", *AFTER.splitlines()]


def signals(runs: Path) -> list[str]:
    """Return what signals save beside `exact`, which weighs the same rows by the event alone."""
    lines = [
        "`signals` beside `exact`, the same method without them: excess saved, by strength of the signals.",
        "",
        "| first label after | strength | excess of `signals` | against `exact` | seeds | against vanilla |",
        "|---|---|---:|---|---:|---|",
    ]
    for wait in WAITS:
        exact, vanilla = (read(runs, "shop", [wait, name]) for name in ("exact", "vanilla"))
        for strength in STRENGTHS:
            cell = read(runs, "shop", [wait, strength, "signals"])
            if cell is None or exact is None or vanilla is None:
                continue
            plain, low = gain(cell, exact), gain(cell, vanilla)
            excess = 1000 * np.mean(cell.by_seed("loss"))
            lines.append(
                f"| {wait.removesuffix('h')} h | {strength} | {excess:.2f} | {span(plain)} | "
                f"{plain.won} of {plain.seeds} | {span(low)} |"
            )
    return lines


def page_with_forms(runs: Path) -> str:
    """Return the page as it is, but for the section on the forms of `signals`, which is made anew."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(BY_ENGAGEMENT) if BY_ENGAGEMENT in lines else lines.index("## What is shown")
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("## "))
    made = [BY_ENGAGEMENT, "", *FORMS_TEXT, *forms(runs), "", *FORMS_READING, ""]
    return "\n".join([*lines[:start], *made, *lines[end:], ""])


def forms(runs: Path) -> list[str]:
    """Return what each form of `signals` saves beside the first, beside ES-DFM and beside vanilla."""
    lines = [
        "| first label after | strength | form | excess | mean stated | against `direct` | against ES-DFM | "
        "against vanilla | seeds |",
        "|---|---|---|---:|---:|---|---|---|---:|",
    ]
    for wait in WAITS:
        lower = [read(runs, "shop", [wait, name]) for name in ("es_dfm", "vanilla")]
        for strength in STRENGTHS:
            direct = read(runs, "shop", [wait, strength, "signals"])
            for form in ("direct", *FORMS):
                words = [wait, strength, "signals", *([form] if form in FORMS else [])]
                cell = read(runs, "shop", words)
                if cell is None or direct is None or None in lower:
                    continue
                cols = [f"{wait.removesuffix('h')} h", strength, form]
                cols += [
                    f"{1000 * np.mean(cell.by_seed('loss')):.2f}",
                    f"{np.mean(cell.by_seed('said')):.3f}",
                ]
                cols += [span(gain(cell, direct)) if form in FORMS else ""]
                cols += [span(gain(cell, other)) for other in lower if other is not None]
                lines.append(f"| {' | '.join(cols)} | {len(np.unique(cell.seed))} |")
    return lines


def verdicts(tables: Sequence[tuple[list[str], dict[str, Gain]]], runs: Path) -> list[str]:
    """Return in words what the intervals say: which methods are clearly better than vanilla, and which are worse."""
    lines = []
    for wait, (_, gains) in zip(WAITS, tables, strict=True):
        parts = []
        for word in ("better", "worse", "open"):
            names = [f"`{n}`" for n, g in gains.items() if n != "vanilla" and g.clear == word]
            if names:
                said = "neither" if word == "open" else f"clearly {word}"
                parts.append(f"{said}: {', '.join(names)}")
        lines.append(f"- {wait.removesuffix('h')} h, against vanilla: {'; '.join(parts)}.")
        order = expected(runs, wait)
        if order:
            lines.append(f"  The order expected is oracle, signals, ES-DFM and DEFUSE, vanilla. {order}")
    return lines


def expected(runs: Path, wait: str) -> str:
    """Return whether the order that theory expects is what was measured, step by step."""
    names = {
        "oracle": ["oracle"],
        "signals (strong)": [wait, "strong", "signals"],
        "ES-DFM": [wait, "es_dfm"],
        "DEFUSE": [wait, "defuse"],
        "vanilla": [wait, "vanilla"],
    }
    cells = {name: read(runs, "shop", words) for name, words in names.items()}
    said = []
    for above, below in (
        ("oracle", "signals (strong)"),
        ("signals (strong)", "ES-DFM"),
        ("signals (strong)", "DEFUSE"),
        ("ES-DFM", "vanilla"),
        ("DEFUSE", "vanilla"),
    ):
        first, second = cells[above], cells[below]
        if first is None or second is None:
            return ""
        found = gain(first, second)
        word = {"better": "before", "worse": "**behind**", "open": "not told apart from"}[found.clear]
        said.append(f"{above} {word} {below}")
    return "Measured: " + "; ".join(said) + "."


def span(found: Gain) -> str:
    """Return a gain with its interval, in thousandths of a nat."""
    return f"{1000 * found.value:+.2f} [{1000 * found.low:+.2f}, {1000 * found.high:+.2f}]"
