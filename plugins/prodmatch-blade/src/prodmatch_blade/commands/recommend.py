"""`prodmatch recommend RUN --product ID`: what is bought after a product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prodmatch_core.cli.options import as_json, data_root, print_json, read_context

if TYPE_CHECKING:
    from prodmatch_core.rundir import Run


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--product", metavar="ID", required=True, help="Product of the run's data that was bought.")
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), default=10, show_default=True, help="Products shown."
)
@click.option("--new", is_flag=True, help="Leave out products that are known to be bought next.")
@click.option(
    "--vectors",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Answer from what `prodmatch refresh` wrote, for the data as it is now.",
)
@data_root
@as_json
def recommend(
    run: Path, product: str, top: int, new: bool, vectors: Path | None, data_root: Path | None, as_json: bool
) -> None:
    """Rank what is bought after a product, with titles.

    RUN is a finished run of the task relate. Its data is read again; --data says where it is. `yes` under "known" marks
    products that the data already tells to follow, and "back" is how the model scores the same two products the other
    way round: a case follows its phone, and not the phone its case.
    """
    from prodmatch_core.rundir import Run

    finished = Run.open(run)
    found = _ranked(finished, product, top, new, vectors, read_context(data_root, Path.cwd()))
    if as_json:
        print_json({"run": str(run), **found})
        return
    from prodmatch_core.cli.tables import print_table

    click.echo(f"after {found['product_id']}  {found['title']}\n")
    rows = [
        [
            str(rank),
            f"{row['score']:.3f}",
            f"{row['back']:.3f}",
            "yes" if row["known"] else "",
            row["product_id"],
            row["title"],
        ]
        for rank, row in enumerate(found["next"], start=1)
    ]
    print_table(("rank", "score", "back", "known", "product", "title"), rows, right=(0, 1, 2))


def _ranked(
    run: Run, product: str, top: int, new: bool, vectors: Path | None, context: Any
) -> dict[str, Any]:
    """Return the product with its title, and what follows it, best first.

    Raises:
        RunError: the run is of another task, or there are no vectors.
        DataError: the run's data is not there, or has no such product.
    """
    import numpy as np

    from prodmatch_core.config import load_pipeline
    from prodmatch_core.errors import DataError, RunError, did_you_mean
    from prodmatch_core.rundata import dataset_of, read_dataset
    from prodmatch_core.tasks.base import load_task
    from prodmatch_core.training.fitted import FittedMember

    if run.task.name != "relate":
        raise RunError(
            f"{run.path}: a run of the task {run.task.name} does not say what is bought next. Name a run of the task "
            "relate."
        )
    pipeline = load_pipeline(run.path / "resolved.toml")
    task = load_task("relate")
    dataset = dataset_of(run, context) if vectors is None else read_dataset(pipeline, context)
    data = task.examples(dataset, pipeline)
    ids = data.corpus.products["product_id"].cast(str).to_list()
    if product not in ids:
        raise DataError(
            f'{run.path}: its data has no product "{product}"{did_you_mean(product, ids[:10_000])}'
        )
    row, every = ids.index(product), np.arange(len(ids))
    if vectors is None:
        member = pipeline.member[0]
        model = FittedMember.load(member, task, data.scheme, run.path / "members" / member.name)

        def read(side: str, rows: np.ndarray) -> np.ndarray:
            return _unit(model.vectors(data.corpus, [(side, rows)])[0])
    else:
        from prodmatch_blade.refreshing import read_vectors

        kept = read_vectors(vectors)
        if kept["product_id"].to_list() != ids:
            raise DataError(
                f"{vectors}: has vectors of other products than the data. Bring them up to date: prodmatch refresh "
                f"{run.path} --out {vectors}"
            )

        def read(side: str, rows: np.ndarray) -> np.ndarray:
            return _unit(kept["source" if side == "query" else "target"].to_numpy()[rows])

    asked, offered = read("query", np.array([row])), read("product", every)
    score = (asked @ offered.T)[0]
    known = np.zeros(len(ids), dtype=bool)
    for part in data.examples.values():
        known[part.product[part.query == row]] = True
    barred = (every == row) | (known if new else False)
    best = np.argsort(-np.where(barred, -np.inf, score), kind="stable")[: min(top, int((~barred).sum()))]
    back = (read("query", best) @ offered[[row]].T)[:, 0]
    titles = data.corpus.product_texts(("title",))
    return {
        "product_id": product,
        "title": titles[row],
        "next": [
            {
                "product_id": ids[place],
                "title": titles[place],
                "score": float(score[place]),
                "back": float(other),
                "known": bool(known[place]),
            }
            for place, other in zip(best.tolist(), back.tolist(), strict=True)
        ],
    }


def _unit(vectors: Any) -> Any:
    import numpy as np

    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
