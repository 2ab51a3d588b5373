"""Vectors of all products of a run, kept in a folder and brought up to date with the data."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import torch

from prodmatch_core.components.encoder import Encoding, FitData
from prodmatch_core.components.graph_encoder import GraphEncoder
from prodmatch_core.components.node_embeddings import NodeEmbeddings, changed_edges
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.reading import ReadContext
from prodmatch_core.errors import DataError, RunError
from prodmatch_core.graph.surroundings import Surroundings
from prodmatch_core.rundata import read_dataset
from prodmatch_core.rundir import Draft, Run
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.prediction import evaluating
from prodmatch_core.writing import saving, write_json, write_parquet

VECTORS, NOTES, STATE = "vectors.parquet", "refresh.json", "state"
"Vectors of the data's products, what was computed, and what the next refresh compares with."


@attrs.frozen
class Refreshed:
    """What a refresh found and computed. With two vectors a product, a product counts as two places."""

    products: int
    "Products of the data now."
    new: int
    retold: int
    "Products whose texts are others."
    moved: int
    "Products that were there and whose edges are others, those that random walks or borrowing make included."
    places: int
    computed: tuple[int, ...]
    "Places computed of the first vectors and of each layer."
    width: int
    kept: bool
    "Whether there were vectors of this model to go on from."


def refresh_vectors(run: Run, out: Path, context: ReadContext, anew: bool = False) -> Refreshed:
    """Write the source and target vectors of all products of a run's data as it is now.

    Every edge the data holds is read, those that were hidden for test too. Vectors that a former refresh left in `out`
    are kept where nothing they read has changed. The folder is there whole or not at all.

    Args:
        run: a finished run of the task relate, whose first member reads a graph.
        out: folder of the vectors.
        context: where the data is.
        anew: compute all vectors.

    Raises:
        RunError: the run has no such member, or `out` is something else.
        DataError: the data cannot be read, or lacks relations the model knows.
    """
    if run.task.name != "relate":
        raise RunError(
            f"{run.path}: a run of the task {run.task.name} has no source and target vectors. Name a run of the task "
            "relate."
        )
    pipeline = load_pipeline(run.path / "resolved.toml")
    task, member = load_task("relate"), pipeline.member[0]
    dataset = attrs.evolve(read_dataset(pipeline, context), events=None)
    data = task.examples(dataset, pipeline)
    folder = run.path / "members" / member.name
    model = FittedMember.load(member, task, data.scheme, folder).model
    if not isinstance(model, MemberModel) or not isinstance(model.encoder, GraphEncoder):
        raise RunError(
            f"{run.path}: member {member.name} ({member.encoder.name}) does not read a graph, so its vectors do not "
            "change with edges. Name a run whose encoder does, such as blade.dual."
        )
    encoder, config = model.encoder, member.encoder.config
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    before = None if anew else _former(out, digest, type(encoder).two_sided(config))
    numbering = encoder.surroundings.nodes if before is None else before[0].nodes
    nothing = Examples.empty()
    fit = FitData(data.corpus, nothing, nothing, data.scheme, dataset, data.relation, nodes=numbering)
    around = type(encoder).surround(config, fit)
    if around.graph.relations != encoder.surroundings.graph.relations:
        raise DataError(
            f"{dataset.source}: holds the relations {_list(around.graph.relations)}, and {run.path} was trained on "
            f"{_list(encoder.surroundings.graph.relations)}. Bring the data back to those, or train again."
        )
    around = around.with_cold(data.corpus, config.cold)
    with evaluating(model):
        embeddings, computed = encoder.kept_vectors(around, before)
        table = _table(model, encoder, around, embeddings, data.corpus)
    found = _told(before, around, data.corpus, computed, embeddings.vectors.shape[1])
    _write(out, around, embeddings, table, {"run": str(run.path), "model": digest, **attrs.asdict(found)})
    return found


def read_vectors(folder: Path) -> pl.DataFrame:
    """Return the vectors that `refresh_vectors` wrote: product_id, title, source and target, a row a product.

    Raises:
        RunError: there are none.
    """
    try:
        return pl.read_parquet(folder / VECTORS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(
            f"{folder}: holds no vectors ({error}). Make them: prodmatch refresh RUN --out {folder}"
        ) from error


def _former(out: Path, digest: str, two_sided: bool) -> tuple[Surroundings, NodeEmbeddings] | None:
    """Return what a former refresh with the same model left, if one did.

    Raises:
        RunError: the folder holds something else.
    """
    if not out.exists() or not any(out.iterdir() if out.is_dir() else [out]):
        return None
    if not (out / NOTES).is_file():
        raise RunError(f"{out}: was not written by prodmatch refresh (no {NOTES}). Choose another --out.")
    if json.loads((out / NOTES).read_text(encoding="utf-8"))["model"] != digest:
        return None
    around = Surroundings.load(out / STATE, two_sided)
    return around, NodeEmbeddings.load(out / STATE, around.graph)


def _table(
    model: MemberModel,
    encoder: GraphEncoder,
    around: Surroundings,
    embeddings: NodeEmbeddings,
    corpus: Corpus,
) -> pl.DataFrame:
    """Return source and target vectors as products are compared by them."""
    node = around.nodes.find("product", corpus.products["product_id"])
    device = next(model.parameters()).device
    query, product = (
        encoder.finished(side, embeddings.vectors[torch.from_numpy(around.place(side, node))].to(device))
        for side in ("query", "product")
    )
    with torch.no_grad():
        source, target = (
            part.float().cpu().numpy() for part in model.head(Encoding(query=query, product=product))
        )
    return pl.DataFrame(
        {
            "product_id": corpus.products["product_id"].cast(pl.String),
            "title": corpus.product_texts(("title",)),
            "source": pl.Series(source, dtype=pl.Array(pl.Float32, source.shape[1])),
            "target": pl.Series(target, dtype=pl.Array(pl.Float32, target.shape[1])),
        }
    )


def _told(
    before: tuple[Surroundings, NodeEmbeddings] | None,
    around: Surroundings,
    corpus: Corpus,
    computed: tuple[int, ...],
    width: int,
) -> Refreshed:
    """Return what to tell of a refresh."""
    products = corpus.products.height
    if before is None:
        return Refreshed(products, products, 0, 0, around.places, computed, width, kept=False)
    then = before[0]
    moved = np.unique(around.node(np.flatnonzero(changed_edges(then.graph, around.graph))))
    return Refreshed(
        products,
        new=around.nodes.count - then.nodes.count,
        retold=len(np.unique(around.node(then.retold(around)))),
        moved=int((moved < then.nodes.count).sum()),
        places=around.places,
        computed=computed,
        width=width,
        kept=True,
    )


def _write(
    out: Path, around: Surroundings, embeddings: NodeEmbeddings, table: pl.DataFrame, notes: dict[str, object]
) -> None:
    """Write all of a folder beside it, and put it in its place."""
    draft = Draft(out)
    with saving(out):
        shutil.rmtree(draft.path, ignore_errors=True)
        (draft.path / STATE).mkdir(parents=True)
        around.save(draft.path / STATE)
        embeddings.save(draft.path / STATE)
        write_parquet(draft.path / VECTORS, table)
        write_json(draft.path / NOTES, notes)
        draft.finish()


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(none)"
