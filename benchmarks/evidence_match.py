"""The match task on real data and on the embedded shop, three seeds each: docs/explanation/evidence/match.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_match.py [--runs DIR] [--only NAME]

Each run is a directory under `--runs`; one that is finished is read, not made again, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.progress import Plain
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/explanation/evidence/match.md"
SEEDS = (0, 1, 2)
MEASURES = {
    "first": ("macro_f1", "weighted_f1", "accuracy", "ndcg"),
    "crowdflower": ("macro_f1", "accuracy", "quadratic_kappa", "ndcg"),
    "homedepot": ("macro_f1", "mismatch_f1", "mismatch_average_precision", "roc_auc"),
}
TITLES = {
    "first": "The embedded shop (ESCI labels, three locales, 20,000 judgements)",
    "crowdflower": "CrowdFlower (four grades)",
    "homedepot": "Home Depot (mismatch = relevance below 2)",
}


def main() -> None:
    """Make the runs that are missing and write the page."""
    found = runs_of(list(MEASURES), __doc__ or "")
    if found.keys() == MEASURES.keys():
        PAGE.write_text(page(found), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


def runs_of(names: list[str], description: str) -> dict[str, list[Run]]:
    """Return the runs of every pipeline, or of the one asked for on the command line, made where they are missing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "evidence")
    parser.add_argument("--only", choices=names)
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error(f"set PRODMATCH_DATA to the folder that holds the data of {', '.join(names)}")
    chosen = [options.only] if options.only else names
    return {name: [make_run(name, seed, options.runs) for seed in SEEDS] for name in chosen}


def make_run(name: str, seed: int, runs: Path) -> Run:
    """Return the finished run of one pipeline and seed."""
    out = runs / f"{name}-{seed}"
    if not (out / "provenance.json").is_file():
        file = ROOT / "pipelines" / f"{name}.toml"
        settings = [f"pipeline.seed={seed}"] + ([] if name == "first" else [f"data.split.seed={seed}"])
        pipeline = load_pipeline(file, settings)
        context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), base=file.parent)
        run_pipeline(pipeline, out=out, context=context, reporter=Plain(sys.stderr))
    return Run.open(out)


def page(found: dict[str, list[Run]]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Evidence: the match task",
        "",
        "What the plain built-in parts achieve, beside the majority class and a logistic regression on word overlap.",
        "Every figure is the mean over three seeds of the value on the test split; on real data each seed also",
        "splits the queries anew. In brackets: the widest of the three 95% intervals, from 1,000 bootstrap resamples",
        "of the test queries.",
        "",
        "Baselines and members decide for the likeliest class. The pipeline line may move its decisions by a",
        "calibrator (Home Depot: one threshold); there, the measures that need no decision (average precision, ROC",
        "AUC, nDCG) compare the models, and the F1 measures compare the whole answers.",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_match.py",
        "",
    ]
    for name, runs in found.items():
        lines += table(name, runs)
    return "\n".join(lines)


def table(name: str, runs: list[Run]) -> list[str]:
    """Return the section of one pipeline."""
    measures = MEASURES[name]
    counts = runs[0].metrics["counts"]
    lines = [
        f"## {TITLES[name]}",
        "",
        f"`pipelines/{name}.toml`: {counts['train']:,} training, {counts['valid']:,} validation and "
        f"{counts['test']:,} test pairs ({counts['test_queries']:,} test queries) at the first seed.",
        "",
        f"| | {' | '.join(measure.replace('_', ' ') for measure in measures)} |",
        f"|---|{'---|' * len(measures)}",
    ]
    for index, line in enumerate(runs[0].metrics["lines"]):
        cells = [
            cell([run.metrics["lines"][index]["measures"][measure] for run in runs]) for measure in measures
        ]
        lines.append(f"| {line['name']} | {' | '.join(cells)} |")
    gains = [gain for run in runs for gain in run.metrics["differences"] if gain["against"] == "word overlap"]
    clear = sum(gain["low"] > 0 for gain in gains)
    mean = statistics.mean(gain["value"] for gain in gains)
    seconds = statistics.mean(run.provenance["seconds"]["total"] for run in runs)
    lines += [
        "",
        f"The pipeline exceeds word overlap by {mean:+.3f} {gains[0]['measure'].replace('_', ' ')} on average; "
        f"the paired interval is clear of 0 in {clear} of {len(gains)} seeds. A run takes {seconds:.0f} seconds on "
        f"{runs[0].provenance['machine']['cores']} cores.",
        "",
    ]
    return lines


def cell(figures: list[dict[str, Any]]) -> str:
    """Return mean and widest interval of one measure over the seeds."""
    known = [figure for figure in figures if figure["value"] is not None]
    if not known:
        return "–"
    mean = statistics.mean(figure["value"] for figure in known)
    bounded = [figure for figure in known if figure["low"] is not None]
    if not bounded:
        return f"{mean:.3f}"
    widest = max(bounded, key=lambda figure: figure["high"] - figure["low"])
    return f"{mean:.3f} [{widest['low']:.3f}, {widest['high']:.3f}]"


if __name__ == "__main__":
    main()
