"""What the shipped ESCI pipeline costs on official files of growing size: docs/explanation/esci-scale.md.

    [PRODMATCH_DATA=DIR] python benchmarks/esci_scale.py [--sizes 1000 3000 10000 30000] [--rows DIR] [--page]

Each size is a process of its own, so that its largest memory is its own; what is measured is kept under `--rows` and
not measured again. `--page` measures nothing and writes the page of the sizes there are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.rundata import read_dataset
from prodmatch_core.runner import run_pipeline

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/explanation/esci-scale.md"
PIPELINE = ROOT / "plugins/prodmatch-salam/pipelines/esci.toml"
SIZES = (1_000, 3_000, 10_000, 30_000)
LEAST = 10_000
"Pairs of the largest size from which a line is drawn on."
FULL = {"small (the file's own `version`)": 1_118_000, "large": 2_622_000}
"Judgements of the official data in all three locales, in round thousands (arXiv 2206.06588, table 2)."
LOCALES = {"en": "us", "es": "es", "ja": "jp"}
TEXTS = {
    "title": "title",
    "description": "description",
    "bullets": "bullet_point",
    "brand": "brand",
    "color": "color",
}
READ = ("query", "product_title", "product_brand", "product_color")
"What the pipeline's text view reads of a pair."


def main() -> None:
    """Measure the sizes that are missing, each in a process of its own, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rows", type=Path, default=ROOT / "runs" / "esci-scale")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rows.mkdir(parents=True, exist_ok=True)
    if options.measure:
        measure(options.measure, options.rows)
        return
    for size in () if options.page else sorted(options.sizes):
        if not point_of(size, options.rows).is_file():
            again = [sys.executable, __file__, "--measure", str(size), "--rows", str(options.rows)]
            subprocess.run(again, check=True)
    points = [json.loads(path.read_text(encoding="utf-8")) for path in options.rows.glob("esci-*.json")]
    if not points:
        parser.error(f"{options.rows} holds no measurement; run without --page")
    PAGE.write_text(page(sorted(points, key=lambda point: int(point["pairs"]))), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def point_of(size: int, rows: Path) -> Path:
    """Return the file that keeps what one size cost."""
    return rows / f"esci-{size}.json"


def measure(size: int, rows: Path) -> None:
    """Run the pipeline, unchanged, on official files of a size, and keep what this process took."""
    folder = rows / f"files-{size}"
    plain = {
        "pipeline": {"name": "files"},
        "data": {"use": "shop.synthetic", "size": size},
        "member": [{"encoder": {"use": "core.ngram"}}],
    }
    found = write_official(read_dataset(load_pipeline(plain), ReadContext()), folder / "esci")
    wall, processor = time.perf_counter(), time.process_time()
    pipeline = load_pipeline(PIPELINE)
    run = run_pipeline(pipeline, out=folder / "run", context=ReadContext(root=folder), overwrite=True)
    point = found | {
        "seconds": time.process_time() - processor,
        "wall": time.perf_counter() - wall,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "disk": sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()) / 2**20,
        "machine": machine(),
    }
    point_of(size, rows).write_text(json.dumps(point), encoding="utf-8")
    print(
        f"{size:,} pairs: {point['seconds']:.0f} processor seconds, {point['megabytes']:.0f} MB", flush=True
    )


def write_official(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write the two files of the Shopping Queries Data Set, filled from the embedded shop; return what they hold."""
    assert dataset.judgements is not None and dataset.queries is not None and dataset.products is not None
    letters = {"exact": "E", "substitute": "S", "complement": "C", "irrelevant": "I"}
    judged = dataset.judgements.join(
        dataset.queries.select("query_id", "locale", "text"), on="query_id", maintain_order="left"
    )
    market = pl.col("locale").replace_strict(LOCALES).alias("product_locale")
    examples = judged.select(
        pl.int_range(pl.len()).alias("example_id"),
        pl.col("text").alias("query"),
        pl.col("query_id").str.extract(r"(\d+)").cast(pl.Int64),
        "product_id",
        market,
        pl.col("label").replace_strict(letters).alias("esci_label"),
        pl.lit(1).alias("small_version"),
        pl.lit(1).alias("large_version"),
        pl.when(pl.col("split") == "test").then(pl.lit("test")).otherwise(pl.lit("train")).alias("split"),
    )
    sold = dataset.products.join(judged, on=["product_id", "locale"], how="semi", maintain_order="left")
    products = sold.select(
        "product_id", *(pl.col(ours).alias(f"product_{theirs}") for ours, theirs in TEXTS.items()), market
    )
    folder.mkdir(parents=True, exist_ok=True)
    examples.write_parquet(folder / "shopping_queries_dataset_examples.parquet")
    products.write_parquet(folder / "shopping_queries_dataset_products.parquet")
    both = examples.join(products, on=["product_id", "product_locale"], maintain_order="left")
    return {
        "pairs": examples.height,
        "queries": examples["query_id"].n_unique(),
        "products": products.height,
        "letters": letters_of(both),
    }


def letters_of(pairs: pl.DataFrame) -> float:
    """Return the mean number of characters that the text view reads of a pair."""
    return float(
        pairs.select(pl.sum_horizontal(pl.col(READ).str.len_chars().fill_null(0))).to_series().mean() or 0
    )  # type: ignore[arg-type]


def machine() -> str:
    """Return what is measured on."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    version = torch.__version__.split("+")[0]
    return f"{os.cpu_count()} cores ({platform.machine()}, torch {version}), {card}"


# -- the page --


def page(points: list[dict[str, Any]]) -> str:
    """Return the page as Markdown."""
    pairs, seconds, memory, disk = (
        np.array([float(point[name]) for point in points])
        for name in ("pairs", "seconds", "megabytes", "disk")
    )
    lines = [
        "# The ESCI pipeline at scale",
        "",
        "[`esci.toml`](../how-to/train-for-regions.md) of `prodmatch-salam`, unchanged, on files in the exact format",
        "of the Shopping Queries Data Set, in its three locales, filled with pairs of the embedded shop. Written by",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/esci_scale.py",
        "",
        "Each size is a process of its own: reading, the proxy graph, node features, four epochs everywhere, two a",
        "locale, evaluation, report. Processor time, because it is the same on a busy machine.",
        f"{points[-1]['machine']}.",
        "",
        "| pairs | queries | products | processor s | ms a pair | largest memory, MB | run on disk, MB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {point['pairs']:,} | {point['queries']:,} | {point['products']:,} | {point['seconds']:.0f} | "
            f"{1e3 * point['seconds'] / point['pairs']:.1f} | {point['megabytes']:.0f} | "
            f"{point['disk']:.0f} |"
            for point in points
        ),
        "",
    ]
    if len(points) > 1 and pairs[-1] >= LEAST:
        lines += extrapolated(pairs, seconds, memory, disk)
    else:
        lines += [f"No line is drawn on from less than {LEAST:,} pairs.", ""]
    return "\n".join([*lines, *texts(points[-1]), *COMMANDS]) + "\n"


def extrapolated(pairs: np.ndarray, seconds: np.ndarray, memory: np.ndarray, disk: np.ndarray) -> list[str]:
    """Return the straight lines through what was measured, and where they lead."""
    lines = {name: line(pairs, values) for name, values in (("s", seconds), ("MB", memory), ("disk", disk))}
    growth = {name: exponent(pairs, values) for name, values in (("time", seconds), ("memory", memory))}
    rows = []
    for name, count in FULL.items():
        at = {key: base + slope * count for key, (base, slope) in lines.items()}
        rows.append(
            f"| {name} | {count:,} | {at['s'] / 3600:.1f} | {at['MB'] / 1024:.1f} | {at['disk'] / 1024:.1f} |"
        )
    return [
        f"The lines through these points: {lines['s'][0]:.0f} s and {1e3 * lines['s'][1]:.1f} s a thousand pairs; "
        f"{lines['MB'][0]:.0f} MB and {1e3 * lines['MB'][1]:.1f} MB a thousand pairs.",
        "Between the last two sizes time grows with the power "
        f"{growth['time']:.2f} of the pairs, memory with {growth['memory']:.2f}: 1 is a straight line, and less what a",
        "process needs to begin.",
        "",
        "## The full data",
        "",
        "**Extrapolated**: the same lines, drawn on "
        f"{FULL['large'] / pairs[-1]:.0f} times as far as was measured. Nobody has run this here.",
        "",
        "| official data, three locales | pairs | processor hours | largest memory, GB | run on disk, GB |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def line(pairs: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return base and slope of the line of least relative error."""
    slope, base = np.polyfit(pairs, values, 1, w=1 / values)
    return float(base), float(slope)


def exponent(pairs: np.ndarray, values: np.ndarray) -> float:
    """Return with which power of the pairs values grow between the last two sizes."""
    return float(np.log(values[-1] / values[-2]) / np.log(pairs[-1] / pairs[-2]))


def texts(point: dict[str, Any]) -> list[str]:
    """Return how long the texts are beside real ones, where the data folder has some."""
    root = os.environ.get("PRODMATCH_DATA")
    file = Path(root, "esci_fixture", "esci.csv") if root else None
    if file is None or not file.is_file():
        return []
    rows = pl.read_csv(file)
    real = letters_of(rows)
    ratio = real / float(point["letters"])
    return [
        f"The shop's pairs have {point['letters']:.0f} characters of query, title, brand and colour on average;",
        f"{rows.height} real pairs of ESCI have {real:.0f}, {ratio:.1f} times as many. Steps of the text view take up",
        "to that much longer on them, until the 96 tokens at which it cuts, and texts take that much more memory.",
        "",
    ]


COMMANDS = [
    "The commands; the two official files are in `DIR/esci`:",
    "",
    "    prodmatch run plugins/prodmatch-salam/pipelines/esci.toml --data DIR",
    "    prodmatch run plugins/prodmatch-salam/pipelines/esci.toml --data DIR --set data.version=large",
    "",
    "Hours are of one processor of the machine above. A graphics card is used where there is one, and `torchrun`",
    "shares each batch among processes. To need less memory, leave out texts that are not read:",
    '`--set \'data.fields=["title", "brand", "color"]\'`.',
]


if __name__ == "__main__":
    main()
