"""`prodmatch explain RUN`: why did the pipeline decide so?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, data_root, print_json, read_context, skip_bad_rows

if TYPE_CHECKING:
    import polars as pl

    from prodmatch_core.data.dataset import Dataset
    from prodmatch_core.rundir import Run

ROWS = 200
"Test pairs a summary looks at."
MISTAKES = 5
"Mistakes a summary explains."


def _text(name: str, help: str) -> Any:
    return click.option(f"--{name}", metavar="TEXT", help=help)


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@_text("query", "Query of a pair to explain, as typed.")
@_text("title", "Title of its product.")
@_text("description", "Description of its product.")
@_text("bullets", "Feature bullets of its product.")
@_text("brand", "Brand of its product.")
@_text("color", "Colour of its product.")
@_text("locale", "Market and language of the pair. [en]")
@click.option(
    "--query-id", metavar="ID", help="Query of the run's data; or the item whose neighbours are shown."
)
@click.option("--product-id", metavar="ID", help="Product of the run's data.")
@click.option(
    "--rows",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"Test pairs a summary looks at, drawn by the run's seed. [{ROWS}]",
)
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="Words shown, those that move most first. --json has all of them.",
)
@data_root
@skip_bad_rows
@click.option("--quiet", is_flag=True, help="No progress.")
@as_json
@click.pass_context
def explain(
    ctx: click.Context,
    run: Path,
    query_id: str | None,
    product_id: str | None,
    rows: int | None,
    top: int,
    data_root: Path | None,
    skip_bad_rows: bool,
    quiet: bool,
    as_json: bool,
    **texts: str | None,
) -> None:
    """Tell why a finished run decides as it does.

    A pair is given by its texts (--query and --title) or by its identifiers in the run's data (--query-id and
    --product-id): what each member says of it, what the aggregator and every calibrator make of that, and what each
    word adds to the probability of the decided label, told by taking it away. Without a pair, a summary over the
    run's test pairs: the words and members that move its decisions most, and the words behind its surest mistakes.

    Of a run of embed or relate, --query-id shows the nearest neighbours of a test item. Everything but a pair given
    by its texts reads the run's data again; --data says where it is.
    """
    given = {name: text for name, text in texts.items() if text is not None}
    _check_usage(given, query_id, product_id, rows)

    from prodmatch_core.progress import reporting
    from prodmatch_core.rundir import Run

    finished = Run.open(run)

    def read() -> Dataset:
        from prodmatch_core.rundata import dataset_of

        context = read_context(data_root, Path.cwd(), skip_bad_rows=skip_bad_rows)
        return dataset_of(finished, context, registry_of(ctx))

    head = {"run": str(run), "task": finished.task.name}
    if finished.task.answer == "neighbours":
        found = _neighbours(finished, given, query_id, product_id, read)
        kind = "neighbours"
    elif finished.task.name != "match":
        _refuse(
            f"{run}: a run of the task {finished.task.name} decides on events, which have features and no words. "
            "`prodmatch report` shows what its figures rest on; decisions.parquet has its answer on every event."
        )
    else:
        with reporting(quiet or as_json) as reporter:

            def told(done: int, total: int) -> None:
                reporter.progress("words taken away", done, total)

            kind = "pair" if given or query_id else "summary"
            found = (
                _pair(finished, given, query_id, product_id, read, told)
                if kind == "pair"
                else _summary(finished, rows or ROWS, read, told)
            )
    if as_json:
        print_json({**head, "kind": kind, **found})
        return
    from prodmatch_core.cli import explained

    {"pair": explained.pair, "summary": explained.summary, "neighbours": explained.neighbours}[kind](
        found, top
    )


def _check_usage(
    texts: Mapping[str, str], query_id: str | None, product_id: str | None, rows: int | None
) -> None:
    """Raise UsageError unless the options name one pair, or none."""
    if texts and (query_id or product_id):
        raise click.UsageError("a pair is given by its texts or by its identifiers, not by both.")
    if texts and not {"query", "title"} <= texts.keys():
        raise click.UsageError("a pair given by its texts needs --query and --title.")
    if product_id and not query_id:
        raise click.UsageError("--product-id needs --query-id: a pair is a query and a product.")
    for name in ("query", "title"):
        if name in texts and not texts[name].strip():
            raise click.UsageError(f"--{name} is empty; give its words.")
    if rows and (texts or query_id):
        raise click.UsageError("--rows is for the summary; leave it out for a pair.")


def _refuse(text: str) -> Any:
    from prodmatch_core.errors import RunError

    raise RunError(text)


def _pair(
    run: Run,
    texts: Mapping[str, str],
    query_id: str | None,
    product_id: str | None,
    read: Any,
    told: Any,
) -> dict[str, Any]:
    import polars as pl

    from prodmatch_core.explaining.explanation import explain_pair
    from prodmatch_core.explaining.members import average_opinions
    from prodmatch_core.explaining.trace import Traced

    if query_id is not None and product_id is None:
        raise click.UsageError("--query-id needs --product-id: a pair is a query and a product.")
    traced = Traced.load(run.path)
    averages = average_opinions(run, traced.member_steps)
    if texts:
        return explain_pair(
            traced, pl.DataFrame({name: [text] for name, text in texts.items()}), averages, told
        )
    assert query_id is not None and product_id is not None
    pair, label = named_pair(read(), query_id, product_id)
    ids = {"query_id": query_id, "product_id": product_id, "label": label}
    return {**ids, **explain_pair(traced, pair, averages, told)}


def named_pair(dataset: Dataset, query_id: str, product_id: str) -> tuple[pl.DataFrame, str | None]:
    """Return the pair of that query and product with its texts, and its label, None where it was not judged.

    Raises:
        DataError: the data set has no such query, or no such product in the query's locale.
    """
    import polars as pl

    from prodmatch_core.errors import DataError
    from prodmatch_core.rundata import pairs_of

    assert dataset.queries is not None and dataset.products is not None and dataset.judgements is not None
    query = dataset.queries.filter(pl.col("query_id") == query_id)
    if not query.height:
        raise DataError(
            f'{dataset.source}: has no query "{query_id}"; its identifiers look like '
            f'"{dataset.queries["query_id"][0]}". Choose one that a judgement names.'
        )
    locale = query["locale"][0]
    named = pl.DataFrame({"query_id": [query_id], "product_id": [product_id], "locale": [locale]})
    if not dataset.products.join(named, on=["product_id", "locale"], how="semi").height:
        raise DataError(
            f'{dataset.source}: has no product "{product_id}" in the locale of the query, {locale}; its identifiers '
            f'look like "{dataset.products["product_id"][0]}". Choose one of that locale.'
        )
    judged = dataset.judgements.join(named, on=["query_id", "product_id"], how="semi")
    return pairs_of(named, dataset), judged["label"][0] if judged.height else None


def _summary(run: Run, rows: int, read: Any, told: Any) -> dict[str, Any]:
    import numpy as np
    import polars as pl

    from prodmatch_core.explaining.explanation import explain_run
    from prodmatch_core.explaining.members import average_opinions
    from prodmatch_core.explaining.trace import Traced
    from prodmatch_core.rundata import pairs_of
    from prodmatch_core.training import seeds

    dataset = read()
    traced = Traced.load(run.path)
    wanted = ["query_id", "product_id", "locale", "label"]
    test = run.decisions.filter(pl.col("split") == "test").select(wanted)
    seed = run.provenance["seed"]
    drawn = seeds.rng(seed, "explain").choice(test.height, min(rows, test.height), replace=False)
    mistakes = pl.DataFrame(
        run.mistakes[:MISTAKES], schema=dict.fromkeys(wanted, pl.String), infer_schema_length=None
    )
    found = explain_run(
        traced,
        pairs_of(test[np.sort(drawn)], dataset),
        pairs_of(mistakes, dataset),
        average_opinions(run, traced.member_steps),
        told,
    )
    found["sample"] |= {"of": test.height, "seed": seed}
    return found


def _neighbours(
    run: Run, texts: Mapping[str, str], query_id: str | None, product_id: str | None, read: Any
) -> dict[str, Any]:
    """Return the neighbours that were found for a test item, with their titles.

    Raises:
        RunError: the options ask for what such a run cannot tell, or name no test item.
    """
    import polars as pl

    table = run.neighbours
    task, first = run.task, table["query"][0]
    if query_id is None or texts or product_id:
        _refuse(
            f"{run.path}: a run of the task {task.name} ranks neighbours and decides on no pairs. Name one of its "
            f'test items by --query-id, e.g. --query-id "{first}", to see what was found for it; `prodmatch report` '
            "shows its surest mistakes."
        )
    found = table.filter(pl.col("query") == query_id)
    if not found.height:
        _refuse(
            f'{run.path}: "{query_id}" is none of the {table["query"].n_unique()} test items whose neighbours were '
            f'kept; the first is "{first}". neighbours.parquet lists them.'
        )
    titles = _titles(read())
    return {
        "query_id": query_id,
        "title": titles.get(str(query_id)),
        "group": found["group"][0],
        "relevant": found["relevant"][0],
        "neighbours": [
            {**row, "title": titles.get(row["neighbour"])}
            for row in found.select("rank", "neighbour", "score", "right").to_dicts()
        ],
    }


def _titles(dataset: Dataset) -> Mapping[str, str]:
    if dataset.products is None or "title" not in dataset.products.columns:
        return {}
    products: Sequence[Any] = dataset.products.select("product_id", "title").rows()
    return dict(products)
