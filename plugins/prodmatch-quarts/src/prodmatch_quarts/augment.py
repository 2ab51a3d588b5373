"""Rows from generated queries, written once and added to the training split: the control of a generator inside."""

from __future__ import annotations

from pathlib import Path

import attrs
import polars as pl

from prodmatch_core.data.badrows import BadRows
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.files import read_table
from prodmatch_core.data.folder import read_folder
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.errors import DataError
from prodmatch_core.writing import write_parquet
from prodmatch_quarts.configs import AugmentedConfig

COLUMNS = ("product_id", "locale", "generated")


def read(config: AugmentedConfig, context: ReadContext) -> Dataset:
    """Return the data set of a folder with generated queries in its training split.

    Raises:
        DataError: folder or file cannot be read or do not fit each other, or the folder holds no judged pairs.
    """
    folder, file = context.find(config.path), context.find(config.generated)
    dataset = read_folder(folder)
    check_references(dataset)
    if dataset.judgements is None or dataset.scheme is None:
        raise DataError(
            f"{folder}: has no judged pairs that queries could be added to. Name a folder that has."
        )
    table = read_table(file, "parquet", "utf-8", "", BadRows(file, skip=False)).frame
    if config.novel and "novel" in table.columns:
        table = table.filter(pl.col("novel").fill_null(True))
    return augmented(dataset, table, str(file))


def augmented(dataset: Dataset, generated: pl.DataFrame, where: str) -> Dataset:
    """Return the data set with every generated query as a training query that its product does not match.

    Args:
        dataset: judged pairs.
        generated: columns product_id, locale and generated, as `generated.parquet` of a run has them.
        where: the file, named in errors.

    Raises:
        DataError: columns are missing, or the file names products that the data set does not have.
    """
    missing = [name for name in COLUMNS if name not in generated.columns]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)}. Name the generated.parquet that a run with quarts.variational "
            "wrote to members/<name>/negatives/."
        )
    products, queries, judgements = dataset.products, dataset.queries, dataset.judgements
    assert products is not None and queries is not None and judgements is not None and dataset.scheme
    rows = generated.select(*COLUMNS).with_row_index("row")
    strange = rows.join(products, on=["product_id", "locale"], how="anti")
    if strange.height:
        raise DataError(
            f"{where}, row {strange['row'][0] + 1}: product_id {strange['product_id'][0]!r} is not in the data set "
            f"(rows like this: {strange.height}). Name the file of a run on the same data."
        )
    rows = rows.select(
        pl.format("generated-{}", "row").alias("query_id"), "locale", "product_id", text="generated"
    )
    judged = rows.select(
        "query_id", "product_id", label=pl.lit(dataset.scheme.labels[-1]), split=pl.lit("train")
    )
    return attrs.evolve(
        dataset,
        queries=pl.concat([queries, rows.select("query_id", "locale", "text")], how="diagonal"),
        judgements=pl.concat([judgements, judged], how="diagonal").with_columns(
            pl.col("weight").fill_null(1.0) if "weight" in judgements.columns else []
        ),
        notes=(*dataset.notes, f"generated queries added to the training split: {rows.height}"),
    )


def sample(folder: Path) -> None:
    """Write the folder `tiny` and `generated.parquet`: a query for each of its first products."""
    from prodmatch_core.testing.samples import canonical

    canonical(folder)
    products = read_folder(folder / "tiny").products
    assert products is not None
    written = products.head(4).select(
        "product_id", "locale", generated=pl.lit("garden hose"), novel=pl.lit(True)
    )
    write_parquet(folder / "generated.parquet", written)
