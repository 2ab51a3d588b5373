"""`prodmatch score RUN PAIRS -o OUT`: a finished run as a function from pairs to scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli import registry_of

if TYPE_CHECKING:
    import polars as pl

    from prodmatch_core.pipeline import Pipeline
    from prodmatch_core.registry import Registry
    from prodmatch_core.serving.cached import CachedPipeline

REQUIRED = ("query", "title")
"Columns a file of pairs must have."
ADDED = ("decided", "accepted", "for_review", "score", "uncertainty")
"Columns a scored file has, before one `p_<label>` per label; `for_review` where a calibrator asks for a person."


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("pairs", metavar="PAIRS", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", metavar="OUT", required=True, type=click.Path(path_type=Path), help="File to write."
)
@click.option(
    "--batch-rows",
    metavar="N",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Rows held in memory at a time.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Number format of networks; auto takes bf16 where the processor is faster with it.",
)
@click.option(
    "--backend",
    type=click.Choice(["torch", "onnx-int8"]),
    default="torch",
    show_default=True,
    help="What computes; onnx-int8 reads what `prodmatch export RUN --int8` wrote.",
)
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of labels given before: pairs in it are not predicted again, others are added.",
)
@click.option(
    "--cache-rows",
    metavar="N",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Labels kept at the most; the oldest make room.",
)
@click.option(
    "--catalogue",
    metavar="TEXT",
    default="",
    help="Version of the catalogue; labels kept under another one are not used.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_context
def score(
    ctx: click.Context,
    run: Path,
    pairs: Path,
    out: Path,
    batch_rows: int,
    precision: str,
    backend: str,
    cache: Path | None,
    cache_rows: int,
    catalogue: str,
    quiet: bool,
) -> None:
    """Score a file of query-product pairs with a finished run.

    PAIRS is CSV, TSV, JSON lines or Parquet with the columns query and title, and if you have them
    description, bullets, brand, color, locale, query_id and product_id. OUT has the same rows in the same
    order, with the columns decided, accepted, score, uncertainty and p_LABEL for each label added, and
    for_review where a calibrator leaves pairs to a person; its ending says the format. A file of that name is
    replaced once all rows are scored. The same command goes on where an interrupted one stopped.

    With --cache, a pair whose locale, texts (but for case and blanks) and catalogue version are known for this very
    run is answered from the folder, which any number of runs may share.
    """
    from itertools import islice

    from prodmatch_core.data.batch_writer import BatchWriter
    from prodmatch_core.data.batches import ahead, columns_of, format_of, read_batches
    from prodmatch_core.errors import DataError, did_you_mean
    from prodmatch_core.progress import reporting
    from prodmatch_core.serving.cached import CachedPipeline

    format_of(out, "Name the output with one of these endings.")
    columns = columns_of(pairs)
    if not columns:
        raise DataError(f"{pairs}: holds no pairs. Nothing was written.")
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        hints = "; ".join(f"{name}{did_you_mean(name, columns)}" for name in missing)
        raise DataError(
            f"{pairs}: lacks column{'s' if len(missing) > 1 else ''} {' and '.join(missing)}; "
            f"it has {', '.join(columns)}. Rename the columns of the file. ({hints})"
        )
    fitted = _scorer(run, precision, backend, cache, cache_rows, catalogue)
    labels = fitted.labels if isinstance(fitted, CachedPipeline) else fitted.scheme.labels
    taken = [name for name in ADDED if name in columns]
    taken += [f"p_{label}" for label in labels if f"p_{label}" in columns]
    if taken:
        raise DataError(
            f"{pairs}: has column{'s' if len(taken) > 1 else ''} {', '.join(taken)}, which the scores are "
            "written to. Rename or drop what the file has."
        )
    key = _key(registry_of(ctx), run, pairs, f"batch-rows {batch_rows}, precision {precision}, {backend}")
    with reporting(quiet) as reporter, BatchWriter.open(out, key) as writer:
        if writer.rows:
            reporter.message(f"{writer.rows} rows were scored before")
        for frame in ahead(islice(read_batches(pairs, batch_rows), writer.batches, None)):
            _check_texts(frame, pairs, writer.rows)
            writer.write(fitted.predict(frame))
            reporter.message(f"scored {writer.rows} rows")
        if isinstance(fitted, CachedPipeline):
            reporter.message(f"{fitted.hits} rows came from the cache")
    click.echo(out)


def _scorer(
    run: Path, precision: str, backend: str, cache: Path | None, cache_rows: int, catalogue: str
) -> Pipeline | CachedPipeline:
    """Return what scores; with a cache, torch is imported only for a pair that is not in it."""
    if cache is not None:
        from prodmatch_core.serving.cached import CachedPipeline

        return CachedPipeline.open(run, cache, catalogue, cache_rows, precision, backend)
    from prodmatch_core.pipeline import Pipeline

    return Pipeline.load(run, precision, backend)


def _key(registry: Registry, run: Path, pairs: Path, options: str) -> str:
    """Return what the scores depend on: the run's files, the file of pairs, options and versions."""
    from prodmatch_core.provenance import LIBRARIES
    from prodmatch_core.stages import versions

    plugins = (plugin.distribution for plugin in registry.plugins)
    folders = [run / name for name in ("members", "aggregator", "calibrator", "export")]
    made = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    files = [pairs, *filter(Path.is_file, [run / "resolved.toml"]), *made]
    states = [(str(file.resolve()), file.stat()) for file in files]
    lines = [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states]
    return "\n".join(
        [
            options,
            *(f"{name} {version}" for name, version in sorted(versions([*plugins, *LIBRARIES]).items())),
            *lines,
        ]
    )


def _check_texts(frame: pl.DataFrame, path: Path, before: int) -> None:
    """Raise DataError at the first row without a text; `before` rows of the file came earlier."""
    import polars as pl

    from prodmatch_core.errors import DataError

    for name in REQUIRED:
        empty = frame[name].cast(pl.String).fill_null("").str.strip_chars() == ""
        if empty.any():
            row = before + int(empty.arg_max() or 0) + 1
            raise DataError(f"{path}: row {row}: {name} is empty. Fill it or remove the row.")
