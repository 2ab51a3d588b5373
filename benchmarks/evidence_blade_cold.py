"""Products without an edge, and what is viewed together: docs/explanation/evidence/blade-cold.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_blade_cold.py [--rows FILE] [--only rows|page]

Every finished fit is a line of the rows file, so a stopped benchmark goes on. The best epoch is picked on validation
edges; the edges that are asked for are read once a fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl
from evidence_blade import DATA, ROOT, SEEDS, UPTO, WORDS, Asked, World, fit_arm, rows_of, write
from evidence_blade_page import (
    NAMES,
    Row,
    auc_of,
    difference,
    direction_difference,
    hits,
    mean_over,
    paired,
    quartile,
    reciprocal,
)

from prodmatch_blade.testing import RELATION, power_law_world
from prodmatch_core.evaluation.unlearnt import relate_baselines
from prodmatch_core.training import seeds

ROWS = ROOT / "runs" / "evidence-blade" / "cold.jsonl"
PAGE = ROOT / "docs" / "explanation" / "evidence" / "blade-cold.md"
SHARE = 0.15
"Of the products that something follows, those that lose all their edges."
FIXED: dict[str, Any] = {"alpha": 0.0}
COLD: dict[str, dict[str, Any]] = {
    "learnt vectors and texts": {"sampler": FIXED},
    "learnt vectors and texts, cold 3": {"sampler": FIXED, "encoder": {"cold": 3}},
    "texts alone": {"sampler": FIXED, "encoder": {"learnt": False}},
    "texts alone, cold 3": {"sampler": FIXED, "encoder": {"learnt": False, "cold": 3}},
}
VIEWED: dict[str, dict[str, Any]] = {
    "dual": {"sampler": FIXED},
    "dual, co-view": {"sampler": FIXED, "encoder": {"co_view": ["co_view"]}},
}
LONGER: dict[str, Any] = {"epochs": 24, "patience": 6}
LONG: dict[str, dict[str, Any]] = {
    "single": {
        "sampler": FIXED,
        "encoder": {"vectors": "single"},
        "negatives": {"reverse": 0.0},
        "training": LONGER,
    },
    "dual": {"sampler": FIXED, "training": LONGER},
    "shared": {"sampler": FIXED, "encoder": {"vectors": "shared"}, "training": LONGER},
}
SMALL: dict[str, Any] = {"batch_size": 128, "epochs": 10, "learning_rate": 0.02}
BARE: dict[str, Any] = {"learnt": False}
WALKS: dict[str, Any] = {"learnt": False, "upto": UPTO}
MADE: dict[str, dict[str, Any]] = {
    "fixed": {"sampler": FIXED, "encoder": BARE, "training": SMALL},
    "adaptive 0.5": {"sampler": {"alpha": 0.5}, "encoder": BARE, "training": SMALL},
    "walks": {"sampler": FIXED, "encoder": WALKS, "training": SMALL},
    "adaptive 0.5, walks": {"sampler": {"alpha": 0.5}, "encoder": WALKS, "training": SMALL},
    "fixed, no reverse term": {
        "sampler": FIXED,
        "encoder": BARE,
        "negatives": {"reverse": 0.0},
        "training": SMALL,
    },
}
DATA["power-law"] = {
    "data": {"use": "core.edges", "path": "made"},
    "relation": RELATION,
    "text": {**WORDS, "width": 16, "buckets": 256},
}
WORLDS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "cold citeseer": ("citeseer", COLD),
    "cold magazine": ("magazine", COLD),
    "viewed shop": ("shop", VIEWED),
    "longer citeseer": ("citeseer", LONG),
    "made": ("power-law", MADE),
}
"What is asked -> the data set, and the arms."


TITLES = {
    "cold": "Without an edge",
    "viewed": "Viewed together",
    "longer": "Four times as long",
    "made": "Where what follows what follows may follow",
}


def cold_world(name: str, seed: int) -> World:
    """Return a split whose test edges leave products that have lost all their edges, of all relations."""
    plain = World.read(name, seed)
    found, corpus = plain.task_data, plain.task_data.corpus
    every = found.examples["train"].concat(found.examples["valid"], found.examples["test"])
    asking = np.unique(every.query)
    chosen = seeds.rng(seed, "cold").choice(asking, round(SHARE * len(asking)), replace=False)
    cold = np.zeros(corpus.products.height, dtype=bool)
    cold[chosen] = True
    examples = {
        split: part.take(~cold[part.query] & ~cold[part.product])
        for split, part in (
            ("train", found.examples["train"].concat(found.examples["test"])),
            ("valid", found.examples["valid"]),
        )
    }
    examples["test"] = every.take(cold[every.query] & ~cold[every.product])
    ids = corpus.products["product_id"].to_numpy()
    gone = pl.Series(ids[cold])
    # The validation edges stay hidden.
    hidden = pl.DataFrame(
        {
            "src": ids[examples["valid"].query],
            "dst": ids[examples["valid"].product],
            "relation": found.relation,
        }
    )
    assert plain.dataset.engagements is not None
    seen = plain.dataset.engagements.filter(
        ~pl.col("src").is_in(gone.implode()) & ~pl.col("dst").is_in(gone.implode())
    ).join(hidden, on=["src", "dst", "relation"], how="anti")
    task_data = attrs.evolve(found, examples=examples)
    fit = attrs.evolve(
        plain.fit,
        train=examples["train"],
        valid=examples["valid"],
        dataset=attrs.evolve(plain.fit.dataset, engagements=seen),
    )
    return World(plain.name, seed, plain.dataset, task_data, fit)


def fill(path: Path, asked_for: str, seed: int) -> None:
    """Add the rows of one split that are missing."""
    name, arms = WORLDS[asked_for]
    done = {row["arm"] for row in rows_of(path) if row["data"] == asked_for and row["seed"] == seed}
    missing = {arm: how for arm, how in arms.items() if arm not in done}
    if not missing:
        return
    if arms is COLD:
        read = cold_world(name, seed)
    elif arms is MADE:
        read = World.of(name, seed, power_law_world(seed, groups=26, size=40))
    else:
        read = World.read(name, seed)
    asked = Asked.of(read)
    if "popularity" not in done:
        for line, scorer in relate_baselines(asked.search, read.task_data.corpus, asked.known):
            write(path, read, line, asked.ranks(scorer), None, 0.0, {}, asked_for)
    for arm, how in missing.items():
        fit_arm(path, read, asked, arm, how, asked_for)


def page(rows: list[Row]) -> str:
    """Return the page as Markdown."""
    lines = HEAD.strip().splitlines()
    for asked_for, (name, arms) in WORLDS.items():
        there = [row for row in rows if row["data"] == asked_for]
        if there:
            title = TITLES[asked_for.split()[0]]
            where = f": {NAMES[name]}" if name in NAMES else ""
            lines += ["", f"## {title}{where}", "", *section(there, list(arms))]
    return "\n".join([*lines, "", *READING.strip().splitlines(), ""])


def section(rows: list[Row], arms: list[str]) -> Iterator[str]:
    """Yield the tables of one question."""
    first = rows[0]
    there = sorted({row["seed"] for row in rows})
    yield (
        f"{first['products']:,} products, {first['edges']['train']:,} edges known; {len(first['degree']):,} products "
        f"ask for {first['edges']['test']:,} edges. Seeds: {', '.join(map(str, there))}."
    )
    yield ""
    heads = "arm | seeds | HR@5 | HR@10 | HR@20 | MRR@10 | one-way HR@10 | direction AUC"
    yield f"| {heads} | lowest quartile HR@10 | highest quartile HR@10 | s |"
    yield f"|---|{'---:|' * 10}"
    for arm in ("popularity", "co-occurrence", *arms):
        mine = [row for row in rows if row["arm"] == arm]
        if mine:
            cells = [
                *(mean_over(mine, lambda row, k=k: hits(row, "all", k)) for k in (5, 10, 20)),
                mean_over(mine, lambda row: reciprocal(row, "all", 10)),
                mean_over(mine, lambda row: hits(row, "one-way", 10)),
                float(np.mean([auc_of(row) if row["directions"] else np.nan for row in mine])),
                *(mean_over(mine, lambda row, q=q: quartile(row, q)) for q in (0, 3)),
            ]
            seconds = np.mean([row["seconds"] for row in mine])
            yield f"| {arm} | {len(mine)} | {' | '.join(map(figure, cells))} | {seconds:.0f} |"
    yield ""
    yield "Differences, paired by product; in brackets 95% intervals. Bold: clear of 0."
    yield ""
    yield "| arm | against | seeds | HR@10 | lowest quartile HR@10 | MRR@10 | one-way HR@10 | direction AUC |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for arm in arms:
        for other in ("popularity", arms[0], *(("walks",) if "walks" in arms else ())):
            pairs = paired(rows, arm, other) if arm != other else []
            if pairs:
                cells = [
                    difference(pairs, lambda row: hits(row, "all", 10), "all"),
                    difference(pairs, lambda row: hits(row, "all", 10), "lowest"),
                    difference(pairs, lambda row: reciprocal(row, "all", 10), "all"),
                    difference(pairs, lambda row: hits(row, "one-way", 10), "one-way"),
                    direction_difference(pairs),
                ]
                yield f"| {arm} | {other} | {len(pairs)} | {' | '.join(cells)} |"


def figure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--only", choices=("rows", "page"))
    chosen = parser.parse_args()
    if chosen.only != "page":
        chosen.rows.parent.mkdir(parents=True, exist_ok=True)
        for seed in SEEDS:
            for asked_for in WORLDS:
                fill(chosen.rows, asked_for, seed)
    if chosen.only != "rows":
        PAGE.write_text(page(rows_of(chosen.rows)), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


HEAD = """
# Evidence: products without an edge, and what is viewed together

Two further questions to [what is bought next](blade.md), with the same networks, budgets and measures.

    PRODMATCH_DATA=DIR python benchmarks/evidence_blade_cold.py

**Without an edge.** 15% of the products that something follows lose all their edges, of every relation and both ways.
They are asked what follows them; all products are candidates. What is known of them is their texts. *cold 3*: they read
the neighbours of the three products with the nearest texts. *Texts alone*: no product has learnt vectors of its own.

**Viewed together.** The split of the other page, with the shop's co-views as a relation without direction (DAEMON) and
without. On the magazines that arm stands on the other page.

**Four times as long.** One vector is ahead of two on Citeseer there. Is that for want of training? 24 epochs instead of
6.

**Where what follows what follows may follow.** A made world of 1,040 products in groups: products are followed by later
ones of their group, degrees fall by a power, and half the titles name a wrong group. Budgets are equal as on the other
page, and walks and adaptive sizes are told apart. Only texts tell products apart.
"""
READING = """
## How to read this

- **Without an edge, borrowed neighbourhoods are what helps.** Products that read the neighbours of similar ones find
  several times as many of what follows as texts through the network do, on Citeseer, and clearly more on the magazines.
  They pay with direction on the magazines: what is similar to a product lies on both sides of its edges. Leaving out
  learnt vectors does not replace that. Popularity is strong on the magazines: no network is ahead of it there.
- **Viewed together.** In the shop co-views are not shown to help or to harm. On the magazines, on the other page, they
  help products of few edges and cost direction.
- **Four times as long.** Two vectors stay behind one on Citeseer: it is no want of training. A source vector there
  reads what a paper cites and nothing that cites it, so that a paper with few known edges knows half as much as with
  one vector. One vector with two offsets keeps most of what is found.
- **Where what follows what follows may follow**, BLADE does what it says: at an equal budget, adaptive neighbourhoods
  with walks are ahead of the fixed sampler as a whole and most for products of fewest edges, nothing is lost for those
  of most, and without the reverse term direction is known far less. The walks bring most of it; without them, adaptive
  sizes are not shown to find more: there is nothing further to read. With them they are ahead, not clearly.
  So on the graphs of the other page. Citations are
  of this kind, and walks help there. What is bought after a case is not what is bought after its phone, and walks harm.
"""


if __name__ == "__main__":
    main()
