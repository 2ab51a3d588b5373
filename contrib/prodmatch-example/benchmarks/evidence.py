"""What the encoder gives beside word overlap, with and without its loss; three seeds. Writes the table of README.md.

    PRODMATCH_DATA=DIR python contrib/prodmatch-example/benchmarks/evidence.py [--runs DIR]

Each run is a directory under `--runs`; one that is finished is read, not made again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.progress import Plain
from prodmatch_core.rundir import Run
from prodmatch_core.runner import run_pipeline

HERE = Path(__file__).parent.parent
README = HERE / "README.md"
BEGIN, END = "<!-- written by benchmarks/evidence.py -->", "<!-- end -->"
SEEDS = (0, 1, 2)
DATA = {
    "maxsim": ("the embedded shop, 20,000 judgements", ["data.size=20000"]),
    "crowdflower": ("CrowdFlower, four grades", []),
    "homedepot": ("Home Depot, match or mismatch", []),
}
PLAIN = 'member.0.loss=[{use="core.cross_entropy"}]'
MEASURES = ("macro_f1", "roc_auc", "average_precision")


def main() -> None:
    """Make the runs that are missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs") / "evidence-example")
    options = parser.parse_args()
    if "PRODMATCH_DATA" not in os.environ:
        parser.error(
            "set PRODMATCH_DATA to the folder that holds crowdflower/train.csv and homedepot/train.csv"
        )
    rows = [row for name in DATA for row in table(name, options.runs)]
    head, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    lines = [
        f"| data | | {' | '.join(m.replace('_', ' ') for m in MEASURES)} |",
        "|---|---|---|---|---|",
        *rows,
    ]
    README.write_text(
        f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.partition(END)[2]}", encoding="utf-8"
    )
    print("\n".join(lines))


def table(name: str, folder: Path) -> Iterator[str]:
    """Yield the rows of one data set: word overlap, and the pipeline with each loss."""
    plain = [run(name, seed, folder, "plain", [PLAIN]) for seed in SEEDS]
    both = [run(name, seed, folder, "pairwise", []) for seed in SEEDS]
    title = DATA[name][0]
    yield row(title, "word overlap", both, "word overlap")
    yield row("", "MaxSim, cross entropy", plain, "pipeline")
    yield row("", "MaxSim, cross entropy + pairwise", both, "pipeline")


def run(name: str, seed: int, folder: Path, variant: str, settings: list[str]) -> Run:
    """Return the finished run of one pipeline, seed and variant; on real data a seed also splits the queries anew."""
    out = folder / f"{name}-{variant}-{seed}"
    if not (out / "provenance.json").is_file():
        split = [] if name == "maxsim" else [f"data.split.seed={seed}"]
        file = HERE / "pipelines" / f"{name}.toml"
        pipeline = load_pipeline(file, [f"pipeline.seed={seed}", *split, *DATA[name][1], *settings])
        context = ReadContext(root=Path(os.environ["PRODMATCH_DATA"]), base=file.parent)
        run_pipeline(pipeline, out=out, context=context, reporter=Plain(sys.stderr))
    return Run.open(out)


def row(data: str, title: str, runs: list[Run], line: str) -> str:
    """Return a row of the table: the mean over seeds, and from the lowest to the highest seed."""
    cells = []
    for measure in MEASURES:
        values = [
            next(found for found in run.metrics["lines"] if found["name"] == line)["measures"][measure][
                "value"
            ]
            for run in runs
        ]
        cells.append(f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    return f"| {data} | {title} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
