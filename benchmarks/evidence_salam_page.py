"""The page of `evidence_salam.py`: tables of all arms, and a reading that follows from the intervals alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
import polars as pl

from prodmatch_core.evaluation.classification import macro_f1, micro_f1, per_class_f1
from prodmatch_core.evaluation.evaluated import Evaluated, Statistic
from prodmatch_core.evaluation.significance import Difference, interval, paired_bootstrap
from prodmatch_core.graph.surroundings import Surroundings
from prodmatch_core.rundir import Run
from prodmatch_salam.section import BUCKETS, bucket_of, neighbours, test_rows

Measure = Callable[[Evaluated], Statistic]
REPLICATES = 500
Answers = Callable[[Run], np.ndarray]
"A run -> class probabilities of its test rows, in their order, (n, classes) float64."
FUSED, TEXT, RANDOM, FIRST = "text + graph", "text only", "text + random graph", "phase 1 only"
THREE = "text + graph, three views"
TITLES = {
    "shop": "The embedded shop: engagements, three locales of unequal size",
    "crowdflower": "CrowdFlower: a proxy graph of training judgements, one locale",
}
NOTES = {
    "shop": "Each seed is another shop, with other queries, products and shoppers.",
    "crowdflower": "Each seed splits the queries anew. CrowdFlower has no behaviour, so the graph is a **proxy** made "
    "of training judgements without their labels. A test query is never in it; a test product is where a training "
    "query was judged with it too.",
}
WHY = {
    "shop": "The random graph keeps every node's edges of each relation in number, not their ends. Edges between "
    "products seen in one session stay where a pair's own edges are left out, and some of these sessions were the "
    "query's own; what the pair's own edge is worth is told by the trees of the next section. The text view is a small "
    "one: beside a stronger one, the graph has less to add.",
    "crowdflower": "Nearly every product was judged for one query, so the proxy has nothing to say of test pairs, "
    "while by its making it speaks of every training pair: the fused model learns to read texts beside "
    "a graph and is asked to read them alone. A proxy is no help for queries that are new; with one "
    "locale, a copy is more training on the same rows.",
}
CLAIMS = (
    ("text + graph exceeds text only", FUSED, TEXT),
    ("text + graph exceeds text + random graph, so it is the edges and not the size", FUSED, RANDOM),
    (
        "text + random graph exceeds text only, so some of it is how much shoppers did, not with what",
        RANDOM,
        TEXT,
    ),
    ("text + graph exceeds the three published views", FUSED, THREE),
    ("text + graph exceeds graph only", FUSED, "graph only"),
    ("both phases exceed phase 2 only", FUSED, "phase 2 only"),
    ("both phases exceed phase 1 only", FUSED, FIRST),
)


@attrs.frozen(eq=False)
class Pooled:
    """The test rows of all seeds of one arm, in an order that all arms share."""

    rows: pl.DataFrame
    "seed, query_id, product_id, locale."
    evaluated: Evaluated
    counts: Mapping[str, np.ndarray]
    "Side -> neighbours of each row's node."


def page(
    found: Mapping[str, Mapping[str, Sequence[Run]]], shared: Answers, signal: Sequence[str] = ()
) -> str:
    """Return the page as Markdown.

    Args:
        found: the runs of each arm of each data set.
        shared: answers for a run's shared model.
        signal: lines on what the shop's graph knows.
    """
    lines = [
        "# Evidence: a graph beside the text, and a model for each region",
        "",
        "`salam.fusion` reads a pair's texts and the pair's two nodes in a graph, without the edge between them. What",
        "is the graph worth, and what are the phases worth: pre-training on all locales, with link prediction, and",
        "fine-tuning a copy for each? All arms have the same parts and the same number of weights; an arm without a",
        "view masks it. Only *three views* is smaller: it reads what is published, texts and a vector of each node,",
        "and not how much of each relation the nodes have, nor how the two compare. The text view is `core.ngram`,",
        "the node encoder `core.mean_nodes`, node features are frozen n-gram vectors of the nodes' texts: small",
        "parts, so that all arms and seeds fit into half an hour of one core.",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_salam.py",
        "",
        "Figures are of the test rows of all seeds together; intervals are 95%, from "
        f"{REPLICATES} resamples of queries, and",
        "differences are paired: both arms on the same drawn queries. What is read beside the three views was chosen",
        "on validation rows of the shop; steps and sizes were not tuned.",
        "",
    ]
    for name, arms in found.items():
        if FUSED in arms and TEXT in arms:
            lines += section(name, arms, shared)
        if name == "shop":
            lines += signal
    return "\n".join(lines).rstrip() + "\n"


def section(name: str, arms: Mapping[str, Sequence[Run]], shared: Answers) -> list[str]:
    """Return the section of one data set."""
    seeds = sorted(set.intersection(*({seed_of(run) for run in runs} for runs in arms.values())))
    pools = {arm: pooled(name, runs, seeds) for arm, runs in arms.items()}
    pools[FIRST] = pooled(name, arms[FUSED], seeds, shared)
    first = next(iter(pools.values()))
    labels = first.evaluated.scheme.labels
    for pool in pools.values():
        assert pool.rows.equals(first.rows) and (pool.evaluated.labels == first.evaluated.labels).all()
    lines = [
        f"## {TITLES[name]}",
        "",
        f"{len(seeds)} seed{'s' * (len(seeds) != 1)}, {len(first.rows):,} test pairs of "
        f"{first.evaluated.n_groups:,} queries. {NOTES[name]}",
        "",
        "| | macro F1 | micro F1 | " + " | ".join(f"F1 {label}" for label in labels) + " |",
        "|---|---:|---:|" + "---:|" * len(labels),
        _line("majority class", majority(first.evaluated)),
        *(_line(arm, pool.evaluated) for arm, pool in pools.items()),
        "",
        "### Differences",
        "",
        "| | macro F1 | micro F1 |",
        "|---|---:|---:|",
    ]
    pairs = [(one, other) for _, one, other in CLAIMS]
    pairs += [(FUSED, "inductive")] if "inductive" in pools else []
    for one, other in pairs:
        if one in pools and other in pools:
            cells = (difference(pools[one], pools[other], measure) for measure in (macro_f1, micro_f1))
            lines.append(f"| {one} − {other} | {' | '.join(map(_difference, cells))} |")
    locales = first.rows["locale"].to_numpy()
    if len(set(locales)) > 1:
        lines += [
            "",
            "### By locale, macro F1",
            "",
            *_slices(pools, {str(n): locales == n for n in _by_size(locales)}, "locale"),
        ]
    side = "product"
    buckets = bucket_of(pools[FUSED].counts[side])
    lines += [
        "",
        "### By neighbours of the product, macro F1",
        "",
        *_slices(pools, {name: buckets == name for name in BUCKETS if (buckets == name).any()}, "neighbours"),
        "",
        *reading(pools),
        "",
        WHY[name],
        "",
    ]
    return lines


def reading(pools: Mapping[str, Pooled]) -> list[str]:
    """Return what is shown and what is not, as the intervals say."""
    lines = ["### Reading", ""]
    for claim, one, other in CLAIMS:
        if one in pools and other in pools:
            found = {m.__name__: difference(pools[one], pools[other], m) for m in (macro_f1, micro_f1)}
            told = [f"{_word(d)} on {n.replace('_', ' ').replace('f1', 'F1')}" for n, d in found.items()]
            lines.append(f"- {claim[0].upper()}{claim[1:]}: {', '.join(told)}.")
    locales = pools[FUSED].rows["locale"].to_numpy()
    if len(set(locales)) > 1 and "phase 2 only" in pools:
        order = _by_size(locales)
        gains = [
            difference(pools[FUSED], pools["phase 2 only"], macro_f1, locales == name).value for name in order
        ]
        where = order[int(np.argmax(gains))]
        smallest = "the smallest" if where == order[-1] else f"not the smallest ({order[-1]})"
        lines.append(
            f"- Pre-training gains most in {where}, {smallest} locale; the paper expects it in the smallest."
        )
    return lines


def _word(found: Difference) -> str:
    if np.isnan(found.low):
        return "cannot be told"
    return "shown" if found.low > 0 else "contradicted" if found.high < 0 else "not shown"


def seed_of(run: Run) -> int:
    """Return the seed of a run."""
    return int(run.provenance["seed"])


def pooled(name: str, runs: Sequence[Run], seeds: Sequence[int], answers: Answers | None = None) -> Pooled:
    """Return the test rows of the runs of some seeds; a query of the shop is another one in each seed's shop.

    Args:
        name: the data set.
        runs: of one arm.
        seeds: those to take.
        answers: what stands in the place of the runs' own answers.
    """
    frames, parts, counts = [], [], []
    for run in sorted(runs, key=seed_of):
        if seed_of(run) not in seeds:
            continue
        rows, evaluated = test_rows(run)
        if answers is not None:
            found = answers(run)
            evaluated = attrs.evolve(evaluated, probabilities=found, decisions=found.argmax(axis=1))
        around = Surroundings.load(run.path / "members/salam/assets/graph", two_sided=False)
        degrees = neighbours(around, rows)
        rows = rows.select("query_id", "product_id", "locale").with_row_index("row")
        order = rows.sort("locale", "query_id", "product_id")["row"].to_numpy()
        rows = rows[order].drop("row").insert_column(0, pl.Series("seed", [seed_of(run)] * rows.height))
        frames.append(rows)
        parts.append(attrs.evolve(evaluated, **{f: getattr(evaluated, f)[order] for f in _ROWS}))
        counts.append({side: values[order] for side, values in degrees.items()})
    rows = pl.concat(frames)
    keys = ["seed", "query_id"] if name == "shop" else ["query_id"]
    groups = np.unique(rows.select(pl.concat_str(keys, separator=" ")).to_series(), return_inverse=True)[1]
    whole = {field: np.concatenate([getattr(part, field) for part in parts]) for field in _ROWS}
    evaluated = Evaluated(**{**whole, "groups": groups}, scheme=parts[0].scheme)
    return Pooled(
        rows, evaluated, {side: np.concatenate([part[side] for part in counts]) for side in counts[0]}
    )


_ROWS = ("labels", "probabilities", "decisions", "groups")


def majority(evaluated: Evaluated) -> Evaluated:
    """Return the rows decided for the commonest class."""
    commonest = np.bincount(evaluated.labels).argmax()
    return attrs.evolve(evaluated, decisions=np.full(len(evaluated.labels), commonest))


def difference(one: Pooled, other: Pooled, measure: Measure, mask: np.ndarray | None = None) -> Difference:
    """Return how much an arm exceeds another, on all rows or on some."""
    mask = np.ones(len(one.rows), dtype=bool) if mask is None else mask
    left, right = one.evaluated.subset(mask), other.evaluated.subset(mask)
    return paired_bootstrap(measure(left), measure(right), left, seed=0, replicates=REPLICATES)


def _line(name: str, evaluated: Evaluated) -> str:
    cells = []
    for measure in (macro_f1, micro_f1):
        found = interval(measure(evaluated), evaluated, seed=0, replicates=REPLICATES)
        cells.append(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    cells += ["" if np.isnan(score.f1) else f"{score.f1:.3f}" for score in per_class_f1(evaluated)]
    return f"| {name} | {' | '.join(cells)} |"


def _difference(found: Difference) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _slices(pools: Mapping[str, Pooled], masks: Mapping[str, np.ndarray], what: str) -> list[str]:
    lines = [
        f"| {what} | pairs | queries | {' | '.join(pools)} | {FUSED} − {TEXT} | {FUSED} − phase 2 only |",
        "|---|---:|---:|" + "---:|" * (len(pools) + 2),
    ]
    for name, mask in masks.items():
        parts = {arm: pool.evaluated.subset(mask) for arm, pool in pools.items()}
        values = [f"{float(macro_f1(part)(part.example_weights)):.3f}" for part in parts.values()]
        gains = [
            _difference(difference(pools[FUSED], pools[other], macro_f1, mask)) if other in pools else ""
            for other in (TEXT, "phase 2 only")
        ]
        queries = next(iter(parts.values())).n_groups
        lines.append(f"| {name} | {int(mask.sum()):,} | {queries:,} | {' | '.join([*values, *gains])} |")
    return lines


def _by_size(names: np.ndarray) -> list[str]:
    found, counts = np.unique(names, return_counts=True)
    return [str(name) for name in found[np.argsort(-counts, kind="stable")]]
