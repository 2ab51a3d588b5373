"""Does mining help? No, random, in-batch and mined negatives: docs/explanation/evidence/negatives.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_negatives.py [--rows FILE]

Three seeds of every line on the embedded shop and on Home Depot. Rows that FILE already holds are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.progress import Plain
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/evidence/negatives.md"
SEEDS = (0, 1, 2)
MEASURES = ("macro_f1", "average_precision", "ndcg")
DATA = {
    "shop": ({"use": "shop.synthetic", "size": 20_000}, ["title", "brand", "color", "bullets"]),
    "homedepot": ({"use": "core.homedepot", "scheme": "binary"}, ["title"]),
}
TITLES = {
    "shop": "The embedded shop (20,000 judgements, ESCI labels)",
    "homedepot": "Home Depot (mismatch = below 2)",
}
MINED = {"use": "core.mined_negatives", "per_positive": 0.5, "first": 10, "last": 50}
NEGATIVES: dict[str, dict[str, Any] | None] = {
    "none": None,
    "random": {"use": "core.random_negatives", "per_positive": 0.5},
    "in-batch": {"use": "core.in_batch_negatives", "per_positive": 0.5},
    "mined, lexical": MINED,
    "mined, lexical, margin 0.05": {**MINED, "relative_margin": 0.05},
    "mined, self": {**MINED, "miner": "self", "relative_margin": 0.05},
}
LINES = [
    (data, mode, name)
    for data in DATA
    for mode in ("pair", "two_tower")
    for name in NEGATIVES
    if mode == "two_tower" or name != "mined, self"
]


def main() -> None:
    """Make the rows that are missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "evidence_negatives.jsonl")
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error("set PRODMATCH_DATA to the folder that holds homedepot/train.csv")
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    )
    for seed in SEEDS:
        for data, mode, name in LINES:
            key = {"data": data, "mode": mode, "negatives": name, "seed": seed}
            if not any(key.items() <= row.items() for row in rows):
                rows.append({**key, **measure(data, mode, name, seed)})
                with options.rows.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
    PAGE.write_text(page(rows), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def measure(data: str, mode: str, name: str, seed: int) -> dict[str, Any]:
    """Run one pipeline and return its figures on the test split."""
    section, fields = DATA[data]
    member: dict[str, Any] = {
        "name": "ngram",
        "encoder": {"use": "core.ngram", "mode": mode, "fields": fields},
        "training": {"epochs": 4, "learning_rate": 0.003},
    }
    if NEGATIVES[name]:
        member["negatives"] = NEGATIVES[name]
    pipeline = {
        "pipeline": {"name": "negatives", "seed": seed},
        "data": {**section, **({} if data == "shop" else {"split": {"seed": seed}})},
        "member": [member],
    }
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), base=ROOT)
        run_pipeline(
            load_pipeline(pipeline), out=Path(folder) / "run", context=context, reporter=Plain(sys.stderr)
        )
        run = Run.open(Path(folder) / "run")
        epochs = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        line = next(line for line in run.metrics["lines"] if line["name"] == "ngram")
    found = epochs[-1].get("negatives", {})
    return {
        **{measure: line["measures"][measure]["value"] for measure in MEASURES},
        "seconds": time.perf_counter() - started,
        "wanted": found.get("wanted"),
        "found": found.get("found"),
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Evidence: mined negatives",
        "",
        "`core.ngram` on the judged pairs alone, and with half a negative for each match from each generator (mined",
        f"ones from ranks {MINED['first']} to {MINED['last']}). Four epochs; figures on the test split, whose pairs",
        "were all judged: mean over three seeds, in brackets the lowest and the highest.",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_negatives.py",
        "",
    ]
    for data in DATA:
        lines += [
            f"## {TITLES[data]}",
            "",
            f"| encoder | negatives | {' | '.join(MEASURES).replace('_', ' ')} | found of wanted | seconds |",
            f"|---|---|{'---|' * len(MEASURES)}---|---:|",
        ]
        for of, mode, name in LINES:
            if of != data:
                continue
            mine = [row for row in rows if (row["data"], row["mode"], row["negatives"]) == (data, mode, name)]
            cells = [cell([row[measure] for row in mine]) for measure in MEASURES]
            share = (
                f"{statistics.mean(r['found'] / r['wanted'] for r in mine):.0%}" if mine[0]["wanted"] else "–"
            )
            seconds = statistics.mean(row["seconds"] for row in mine)
            lines.append(f"| {mode} | {name} | {' | '.join(cells)} | {share} | {seconds:.0f} |")
        lines.append("")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Return mean and range of one measure over the seeds."""
    return f"{statistics.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


if __name__ == "__main__":
    main()
