"""The page of evidence on ensembles, made of the answers that `evidence_ensemble` keeps."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from safetensors.numpy import load_file

from prodmatch_core.training import seeds
from prodmatch_ensemble.figures import measured

MEASURES = ("accuracy", "macro_f1", "weighted_f1")
TITLES = {
    "crowdflower": "CrowdFlower (four grades)",
    "shop": "The embedded shop (ESCI labels, three locales)",
}
REPLICATES = 1000
SEEDS = 3
TOGETHER = (
    "mean",
    "logistic",
    "trees, paper's settings",
    "trees on a regression",
    "trees",
    "trees, side features",
)
"Arms that read the members, in the order of the table."


@attrs.frozen(eq=False)
class Answers:
    """What every arm decided on one data set's test pairs at one seed, and notes."""

    notes: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def counts(self, arm: str, where: np.ndarray | None = None) -> np.ndarray:
        """Return each query's confusion matrix, (queries, classes, classes), of all rows or of some."""
        held = "held_" if arm.startswith("held:") else ""
        labels, groups = self.arrays[f"{held}labels"], self.arrays[f"{held}groups"]
        decided, classes = self.arrays[arm if held else f"arm:{arm}"], 4
        weights = self.arrays[f"{held}weights"] * (1.0 if where is None else where)
        code = (groups * classes + labels) * classes + decided
        size = (int(groups.max()) + 1) * classes * classes
        return np.bincount(code, weights, size).reshape(-1, classes, classes)


def all_answers(runs: Path, data: str) -> list[Answers]:
    """Return the answers of every seed that is there."""
    return [
        Answers(json.loads(path.read_text()), load_file(path.with_suffix(".safetensors")))
        for path in sorted(runs.glob(f"{data}-*.json"))
    ]


def values(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the three measures for each draw of queries, (draws, 3); `weights` (draws, queries)."""
    matrices = np.tensordot(weights, counts, axes=1)
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    true, decided = matrices.sum(axis=2), matrices.sum(axis=1)
    there = (true + decided) > 0
    f1 = np.divide(2 * hits, true + decided, out=np.zeros(hits.shape), where=there)
    whole = true.sum(axis=1)
    return np.stack(
        [hits.sum(axis=1) / whole, f1.sum(axis=1) / there.sum(axis=1), (f1 * true).sum(axis=1) / whole],
        axis=1,
    )


def draws(queries: int, seed: int) -> np.ndarray:
    """Return how often each query is drawn in each replicate, (replicates, queries)."""
    return seeds.rng(seed, "bootstrap").multinomial(queries, np.full(queries, 1 / queries), size=REPLICATES)


def mean_of(found: Sequence[Answers], arm: str, locale: str | None = None) -> list[float]:
    """Return the mean over the seeds of an arm's three measures."""
    each = []
    for one in found:
        where = None if locale is None else one.arrays["locale"] == one.notes["locales"].index(locale)
        each.append(list(measured(one.counts(arm, where).sum(axis=0)).values()))
    return np.mean(each, axis=0).tolist()


def difference(found: Sequence[Answers], first: str, second: str) -> list[tuple[float, float, float]]:
    """Return of each measure the mean over the seeds of first - second, with a 95% interval: queries drawn by seed."""
    points, drawn = [], []
    for seed, one in enumerate(found):
        left, right = one.counts(first), one.counts(second)
        weights = draws(len(left), seed)
        ones = np.ones((1, weights.shape[1]))
        points.append((values(left, ones) - values(right, ones))[0])
        drawn.append(values(left, weights) - values(right, weights))
    mean, spread = np.mean(points, axis=0), np.mean(drawn, axis=0)
    low, high = np.percentile(spread, [2.5, 97.5], axis=0)
    return [(float(m), float(a), float(b)) for m, a, b in zip(mean, low, high, strict=True)]


def page(runs: Path) -> str:
    """Return the page as Markdown."""
    found = {data: answers for data in TITLES if (answers := all_answers(runs, data))}
    lines = [
        "# Evidence: trees over members",
        "",
        "Does an ensemble beat every one of its members, and who earns its place? Members are fitted once a seed; all",
        "aggregators read the same out-of-fold probabilities, whose folds are of whole queries. Every seed divides the",
        "queries anew (CrowdFlower) or makes another shop. Settings were chosen on held-out training queries; that",
        "trees begin from nothing (`start`), that members have eight folds (two and three before) and that rare",
        "classes weigh a little more (`balance`) was settled there after figures on test had been seen.",
        "Figures are means over seeds; brackets are 95% intervals of paired differences, 1,000 draws of the test",
        "queries a seed.",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_ensemble.py",
        "",
        *missing(found),
        *(reading(found) if found else ()),
    ]
    for data, answers in found.items():
        lines += section(data, answers)
    lines += folds(runs, found)
    return "\n".join(lines).rstrip() + "\n"


def folds(runs: Path, found: Mapping[str, Sequence[Answers]]) -> Iterator[str]:
    """Yield what few folds cost, at the first seed."""
    few = {data: all_answers(runs, f"folds*-{data}") for data in found}
    if not any(few.values()):
        return
    yield "## How many folds"
    yield ""
    yield "Members say of a training pair what the model of its fold says, and of a test pair what the model of all"
    yield "pairs says. With two folds the former have seen half of the pairs, and what an aggregator learns of them"
    yield "need not hold of the latter. The first seed; accuracy / macro F1 / weighted F1, on held-out training queries"
    yield "and on test:"
    yield ""
    arms = ("logistic", "trees on a regression", "trees")
    yield f"| | folds | {' | '.join(f'{arm}: held out | test' for arm in arms)} |"
    yield f"|---|---:|{'---|---|' * len(arms)}"
    for data, others in few.items():
        for one in [*others, found[data][0]] if others else ():
            names = [name for arm in arms for name in (f"held:{arm}", arm)]
            shown = [" / ".join(f"{value:.3f}" for value in mean_of([one], name)) for name in names]
            yield f"| {data} | {one.notes['folds']} | {' | '.join(shown)} |"
    yield ""


def missing(found: Mapping[str, Sequence[Answers]]) -> Iterator[str]:
    """Yield what the page cannot tell yet: the command goes on where it was stopped."""
    lacking = [f"{TITLES[data]}: {len(found.get(data, ()))} of {SEEDS} seeds" for data in TITLES]
    if any(len(found.get(data, ())) < SEEDS for data in TITLES):
        yield f"**Not all seeds are in**: {'; '.join(lacking)}. The command above makes the rest."
        yield ""


def reading(found: Mapping[str, Sequence[Answers]]) -> Iterator[str]:
    """Yield what is shown and what is not, worked out from the answers."""
    yield "## In short"
    yield ""
    for data, answers in found.items():
        members = answers[0].notes["members"]
        yield f"**{TITLES[data]}**"
        yield ""
        for prefix, where in (("", "On test"), ("held:", "On held-out training queries")):
            yield f"- {where}: {_against_best(answers, members, prefix)}"
        simple = max(("mean", "logistic"), key=lambda arm: sum(mean_of(answers, f"held:{arm}")))
        gaps = difference(answers, "held:trees", f"held:{simple}")
        told = ", ".join(f"{_name(m)} {_interval(gap)}" for m, gap in zip(MEASURES, gaps, strict=True))
        yield f"- Trees less {simple}, the better of mean and regression, on held-out training queries: {told}."
        tuned = max((f"{name}, tuned" for name in members), key=lambda arm: mean_of(answers, arm)[1])
        gap = difference(answers, "trees, tuned", tuned)[1]
        yield (
            f"- With class weights tuned on both sides, macro F1 on test, trees less the best member "
            f"({tuned.removesuffix(', tuned')}): {_interval(gap)}."
        )
        gap = difference(answers, "trees", "one GBDT on raw features")[1]
        yield f"- Trees less one GBDT on all raw features, macro F1 on test: {_interval(gap)}."
        yield ""
    yield "What limits this:"
    yield ""
    yield (
        "- Members are small: hashed n-grams and, on CrowdFlower, a one-layer transformer made on the spot stand for "
        "language models. A pre-trained model would be a stronger member, and harder to beat."
    )
    yield (
        "- CrowdFlower has no engagements. Its graph members smooth texts over a graph of like texts, which tells them "
        "little that text members do not know. The shop's read clicks; `sage-click` is a trained GraphSAGE network, "
        "the others are smoothed texts under trees. Engagements cover test queries too, as in a running shop; no edge "
        "is a label."
    )
    yield (
        "- Test queries are few, so intervals on test are wide. Held-out training queries are several times as many; "
        "there, members are those of the folds, fitted on fewer pairs, and the number of rounds is chosen on the same "
        "folds."
    )
    yield ""


def _against_best(answers: Sequence[Answers], members: Sequence[str], prefix: str) -> str:
    """Return how trees stand against the member that is best in each measure, and against every member."""
    trees = mean_of(answers, f"{prefix}trees")
    best = [max(members, key=lambda name: mean_of(answers, f"{prefix}{name}")[place]) for place in range(3)]
    told, won = [], 0
    for place, measure in enumerate(MEASURES):
        rival = mean_of(answers, f"{prefix}{best[place]}")[place]
        gap = difference(answers, f"{prefix}trees", f"{prefix}{best[place]}")[place]
        ahead = sum(
            _one(one, f"{prefix}trees")[place] > max(_one(one, f"{prefix}{name}")[place] for name in members)
            for one in answers
        )
        won += trees[place] > rival
        told.append(
            f"{_name(measure)} {trees[place]:.3f} against {rival:.3f} of `{best[place]}` ({_interval(gap)}; ahead of "
            f"all members in {ahead} of {len(answers)} seeds)"
        )
    clear = [
        name
        for name in members
        if all(low > 0 for _, low, _ in difference(answers, f"{prefix}trees", f"{prefix}{name}"))
    ]
    head = (
        "trees beat every single member on all three measures"
        if won == 3
        else f"trees beat every single member on {won} of the three measures"
    )
    rest = f"clear of 0 on all three at once against {len(clear)} of {len(members)} members"
    return f"**{head}** on average: {', '.join(told)}; {rest}."


def section(data: str, found: Sequence[Answers]) -> Iterator[str]:
    """Yield the tables of one data set."""
    notes = found[0].notes
    counts = notes["counts"]
    yield f"## {TITLES[data]}"
    yield ""
    yield (
        f"`plugins/prodmatch-ensemble/pipelines/{data}.toml`, {len(found)} seeds; at the first, {counts['train']:,} "
        f"training, {counts['valid']:,} validation and {counts['test']:,} test pairs of {notes['queries']:,} queries."
    )
    yield ""
    yield (
        "| | accuracy | macro F1 | weighted F1 | macro F1, class weights tuned | trees - it: accuracy | macro F1 "
        "| weighted F1 |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for arm in [
        *notes["members"],
        *TOGETHER,
        "trees, weights by validation",
        "trees, in-sample",
        "one GBDT on raw features",
    ]:
        figures = [f"{value:.3f}" for value in mean_of(found, arm)]
        tuned = f"{mean_of(found, f'{arm}, tuned')[1]:.3f}" if f"{arm}, tuned" in notes["arms"] else ""
        gaps = [""] * 3 if arm == "trees" else [_interval(gap) for gap in difference(found, "trees", arm)]
        name = f"**{arm}**" if arm == "trees" else f"`{arm}`" if arm in notes["members"] else arm
        yield f"| {name} | {' | '.join(figures)} | {tuned} | {' | '.join(gaps)} |"
    yield ""
    yield (
        "*trees* is `ensemble.lightgbm` with its default fields; *on a regression* begins from a logistic regression "
        "(`start`). *Paper's settings* are those of the released code with a fifth of the rounds at five times the "
        "rate. *Tuned*: factors of the classes' probabilities with the best macro F1 on out-of-fold rows, found the "
        "same way for every arm."
    )
    yield ""
    if len(notes["locales"]) > 1:
        yield "By locale, accuracy / macro F1 / weighted F1:"
        yield ""
        yield f"| | {' | '.join(notes['locales'])} |"
        yield f"|---|{'---|' * len(notes['locales'])}"
        for arm in [*notes["members"], "mean", "logistic", "trees"]:
            cells = [
                " / ".join(f"{value:.3f}" for value in mean_of(found, arm, locale))
                for locale in notes["locales"]
            ]
            yield f"| {arm} | {' | '.join(cells)} |"
        yield ""
    yield from held(found)
    yield from fewer(found)
    yield from in_sample(found)
    yield from placed(found)


def held(found: Sequence[Answers]) -> Iterator[str]:
    """Yield the same comparison on training queries that neither members nor trees have seen."""
    queries = sum(int(one.arrays["held_groups"].max()) + 1 for one in found)
    yield f"**On held-out training queries** ({queries:,} over the seeds), members and trees cross-validated:"
    yield ""
    yield "| | accuracy | macro F1 | weighted F1 | trees - it: accuracy | macro F1 | weighted F1 |"
    yield "|---|---|---|---|---|---|---|"
    arms = [*found[0].notes["members"], *TOGETHER, "trees, weights by validation"]
    for arm in (arm for arm in arms if f"held:{arm}" in found[0].arrays):
        figures = [f"{value:.3f}" for value in mean_of(found, f"held:{arm}")]
        gaps = [""] * 3
        if arm != "trees":
            gaps = [_interval(gap) for gap in difference(found, "held:trees", f"held:{arm}")]
        name = f"**{arm}**" if arm == "trees" else f"`{arm}`" if arm in found[0].notes["members"] else arm
        yield f"| {name} | {' | '.join(figures)} | {' | '.join(gaps)} |"
    yield ""


def fewer(found: Sequence[Answers]) -> Iterator[str]:
    """Yield the table of K members, those of the greatest Shapley values."""
    yield "**K members of the greatest Shapley value, trees grown anew on each:**"
    yield ""
    yield "| K | accuracy | macro F1 | weighted F1 | the member that goes next, by seed |"
    yield "|---|---|---|---|---|"
    for count in range(len(found[0].notes["members"]), 0, -1):
        figures = " | ".join(f"{value:.3f}" for value in mean_of(found, f"K = {count}"))
        last = ", ".join(f"`{one.notes['ranking'][count - 1]}`" for one in found)
        yield f"| {count} | {figures} | {last} |"
    yield ""


def in_sample(found: Sequence[Answers]) -> Iterator[str]:
    """Yield the gap between what in-sample stacking says of itself and what comes true."""
    told = statistics.mean(one.notes["in_sample"]["told in-sample"]["macro_f1"] for one in found)
    fold = statistics.mean(one.notes["in_sample"]["told out of fold"]["macro_f1"] for one in found)
    inside, outside = mean_of(found, "trees, in-sample")[1], mean_of(found, "trees")[1]
    yield (
        f"**In-sample stacking**, as the released code does it: trees that learn from members on the rows those were "
        f"fitted to say macro F1 {told:.3f} of themselves and reach {inside:.3f} on test, a gap of "
        f"{told - inside:+.3f}. Out of fold, held-out queries say {fold:.3f} and test {outside:.3f}."
    )
    yield ""


def placed(found: Sequence[Answers]) -> Iterator[str]:
    """Yield where a noise member, a duplicate and an oracle rank."""
    yield "**Placed members**, rank by Shapley value of one more member, by seed, and its share:"
    yield ""
    yield "| | trees | trees on a regression |"
    yield "|---|---|---|"
    for name in ("noise", "oracle"):
        cells = []
        for start in ("zero", "logistic"):
            ranks = []
            for one in found:
                values_ = one.notes["placed"][name][start]
                rank = 1 + sorted(values_, key=lambda other: -values_[other]).index(name)
                ranks.append(f"{rank} of {len(values_)} ({values_[name] / sum(values_.values()):.1%})")
            cells.append(", ".join(ranks))
        yield f"| {name} | {' | '.join(cells)} |"
    cells = []
    for start in ("zero", "logistic"):
        shares = []
        for one in found:
            values_, first = one.notes["placed"]["duplicate"][start], one.notes["ranking"][0]
            whole = sum(values_.values())
            shares.append(f"{values_[first] / whole:.1%} + {values_['duplicate'] / whole:.1%}")
        cells.append(", ".join(shares))
    yield f"| the first member and a copy of it | {' | '.join(cells)} |"
    alone = ", ".join(
        f"{one.notes['importance'][one.notes['ranking'][0]] / sum(one.notes['importance'].values()):.1%}"
        for one in found
    )
    yield f"| the first member without a copy | {alone} | |"
    yield ""


def _one(answers: Answers, arm: str) -> list[float]:
    return list(measured(answers.counts(arm).sum(axis=0)).values())


def _name(measure: str) -> str:
    return measure.replace("_f1", " F1").replace("_", " ")


def _interval(gap: tuple[float, float, float]) -> str:
    return f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]"


if __name__ == "__main__":
    import sys

    here = Path(__file__).parent.parent
    written = page(Path(sys.argv[1]) if len(sys.argv) > 1 else here / "runs" / "evidence_ensemble")
    (here / "docs/explanation/evidence/ensemble.md").write_text(written, encoding="utf-8")
