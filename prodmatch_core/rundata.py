"""A run's data: read as its pipeline says, and found again once the run is finished."""

from __future__ import annotations

import attrs
import polars as pl

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.dataset import Dataset
from prodmatch_core.data.gains import with_profile
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.data.splits import check_references
from prodmatch_core.errors import DataError
from prodmatch_core.fields import PRODUCT_FIELDS
from prodmatch_core.registry import Registry
from prodmatch_core.rundir import Run
from prodmatch_core.sections import PipelineFile


def read_dataset(pipeline: PipelineFile, context: ReadContext) -> Dataset:
    """Return the data set of a pipeline, with the positive labels and gains that the file asks for, checked.

    Raises:
        DataError: files are missing, or cannot be used as they are.
    """
    part = pipeline.data.part
    dataset: Dataset = part.spec.load()(part.config, attrs.evolve(context, split=pipeline.data.split))
    scheme = dataset.scheme
    if scheme is not None:
        if pipeline.data.positive:
            scheme = attrs.evolve(scheme, positive=pipeline.data.positive)
        dataset = attrs.evolve(dataset, scheme=with_profile(scheme, pipeline.evaluation.gain_profile))
    check_references(dataset)
    return dataset


def dataset_of(run: Run, context: ReadContext, registry: Registry | None = None) -> Dataset:
    """Return the data set that a finished run was made with.

    Args:
        run: the finished run.
        context: where data files are looked for.
        registry: the parts there are; the installed plugins' by default.

    Raises:
        DataError: files are missing, or hold other data than the run was made with.
        ConfigError: the data set's plugin is no longer installed.
    """
    pipeline = load_pipeline(run.path / "resolved.toml", registry=registry)
    dataset = read_dataset(pipeline, context)
    if dataset.fingerprint() != run.provenance["fingerprint"]:
        raise DataError(
            f"{dataset.source}: is not the data that {run.path} was made with: its fingerprint is "
            f"{dataset.fingerprint()[:12]}, the run's {run.provenance['fingerprint'][:12]}. Name the folder with the "
            "run's data by --data, or run the pipeline again."
        )
    return dataset


def pairs_of(rows: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """Return rows of a run's tables with their texts, ready for `Pipeline.predict`, rows in order.

    Args:
        rows: columns query_id, product_id and locale, the query's; other columns stay.
        dataset: the run's data set.
    """
    assert dataset.queries is not None and dataset.products is not None
    fields = [field for field in PRODUCT_FIELDS if field in dataset.products.columns]
    queries = dataset.queries.select("query_id", query="text")
    products = dataset.products.select("product_id", "locale", *fields)
    return rows.join(queries, on="query_id", how="left", maintain_order="left").join(
        products, on=["product_id", "locale"], how="left", maintain_order="left"
    )
