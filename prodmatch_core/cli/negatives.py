"""`prodmatch data negatives`: mined negatives as a file that a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import data_root, settings, skip_bad_rows
from prodmatch_core.cli.sources import read_source

if TYPE_CHECKING:
    import polars as pl

    from prodmatch_core.data.corpus import Corpus
    from prodmatch_core.mining.rules import Mined


@click.command()
@click.argument("source", metavar="FILE.toml|USE")
@settings
@click.option(
    "--per-query",
    metavar="N",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Negatives written of each query, best first.",
)
@click.option("--first", type=int, default=1, show_default=True, help="First rank they are taken from.")
@click.option("--last", type=int, default=50, show_default=True, help="Last rank they are taken from.")
@click.option("--relative-margin", type=float, help="Share of the match's score they must score below it.")
@click.option(
    "--max-likeness", type=float, default=0.95, show_default=True, help="Likeness to a match's title allowed."
)
@data_root
@skip_bad_rows
@click.option(
    "-o", "--out", metavar="OUT", required=True, type=click.Path(path_type=Path), help="File to write."
)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_context
def negatives(
    ctx: click.Context,
    source: str,
    settings: tuple[str, ...],
    per_query: int,
    first: int,
    last: int,
    relative_margin: float | None,
    max_likeness: float,
    data_root: Path | None,
    skip_bad_rows: bool,
    out: Path,
    quiet: bool,
) -> None:
    """Write what the lexical miner finds for the training queries of a data set, to be read.

    FILE.toml holds the [data] table of a pipeline file, or is one; USE is the name of a reader, with its options
    given by --set. OUT is CSV, TSV, JSON lines or Parquet, by its ending: each query with its lowest-scoring match and
    a negative, their scores and the negative's rank. Pairs judged in any split are left out.
    """
    import attrs
    import numpy as np

    from prodmatch_core.builtin.mined_config import MinedConfig
    from prodmatch_core.data.batch_writer import BatchWriter
    from prodmatch_core.data.batches import format_of
    from prodmatch_core.errors import ConfigError, DataError

    format_of(out, "Name the output with one of these endings.")
    try:
        config = MinedConfig(
            first=first, last=last, relative_margin=relative_margin, max_likeness=max_likeness
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None

    from prodmatch_core.builtin.mined_negatives import lexical_miner, rules_of
    from prodmatch_core.components.calibrator import positive_classes
    from prodmatch_core.data.corpus import match_examples
    from prodmatch_core.mining.rules import Catalogue, Counts
    from prodmatch_core.progress import reporting

    dataset, _ = read_source(source, settings, registry_of(ctx), data_root, skip_bad_rows)
    corpus, examples, _ = match_examples(dataset)
    assert dataset.scheme is not None
    train = examples["train"]
    matches = train.take(np.isin(train.label, positive_classes(dataset.scheme)))
    if not len(matches):
        raise DataError(
            f"{dataset.source}: no training pair matches, so there is nothing to mine for. Nothing was written."
        )
    catalogue = Catalogue.of(corpus, matches, train.concat(examples["valid"], examples["test"]))
    counts = Counts()
    with reporting(quiet) as reporter, BatchWriter.open(out) as writer:
        for block in catalogue.mine(
            lexical_miner(corpus, config), rules_of(config), counts, config.memory_mb << 20
        ):
            writer.write(table(block, corpus, per_query))
            reporter.message(f"{writer.rows} negatives written")
    click.echo(f"{out}: {writer.rows} negatives")
    figures = {name: value for name, value in attrs.asdict(counts).items() if name not in ("wanted", "found")}
    click.echo(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items()))


def table(mined: Mined, corpus: Corpus, per_query: int) -> pl.DataFrame:
    """Return the best `per_query` negatives of each query with all texts, one a row."""
    import numpy as np
    import polars as pl

    begin = np.searchsorted(mined.query, mined.query)  # a query's negatives stand together, best first
    kept = np.arange(len(mined.query)) - begin < per_query
    queries = corpus.queries[mined.query[kept]]
    positives, products = corpus.products[mined.positive[kept]], corpus.products[mined.product[kept]]
    return pl.DataFrame(
        {
            "query_id": queries["query_id"],
            "locale": queries["locale"],
            "query": queries["text"],
            "positive_id": positives["product_id"],
            "positive": positives["title"],
            "positive_score": mined.positive_score[kept],
            "negative_id": products["product_id"],
            "negative": products["title"],
            "negative_score": mined.score[kept],
            "rank": mined.rank[kept],
        }
    )
