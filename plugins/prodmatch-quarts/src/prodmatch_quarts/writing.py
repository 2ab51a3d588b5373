"""What a generator leaves in the run directory: its queries beside the true ones, scores, figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

from prodmatch_core.components.negatives import Judge
from prodmatch_core.data.corpus import Examples
from prodmatch_core.training import seeds
from prodmatch_core.training.prediction import evaluating
from prodmatch_core.writing import write_json, write_parquet
from prodmatch_quarts import probes
from prodmatch_quarts.spelling import Spelling

if TYPE_CHECKING:
    from prodmatch_quarts.variational import VariationalGenerator

FIGURES, QUERIES, SCORES = "figures.json", "generated.parquet", "scores.parquet"
TOGETHER = 256
"Queries written at once."


def leave(generator: VariationalGenerator, folder: Path, judge: Judge) -> None:
    """Write the files of a generator; one that was never used says so."""
    if not bool(generator.started):
        why = (
            "its rate is 0"
            if not generator.config.rate
            else "training ended before its time, or it had no tuples"
        )
        write_json(folder / FIGURES, {"used": False, "why": why})
        return
    found = probes.probe(generator, judge, seeds.rng(generator.seed, "probe"))
    # Of the pretraining only the counts and the accuracy are not measured anew.
    write_json(folder / FIGURES, {"used": True, **generator.figures, **found.figures})
    kinds = [np.full(len(values), kind) for kind, values in found.scores.items()]
    scores = list(found.scores.values())
    table = pl.DataFrame(
        {
            "kind": np.concatenate(kinds) if kinds else np.empty(0, dtype=str),
            "p_mismatch": np.concatenate(scores) if scores else np.empty(0),
        },
        schema={"kind": pl.String, "p_mismatch": pl.Float64},
    )
    write_parquet(folder / SCORES, table)
    write_parquet(folder / QUERIES, written(generator, judge))


@torch.no_grad()
def written(generator: VariationalGenerator, judge: Judge) -> pl.DataFrame:
    """Return a generated query for training matches, beside the true one, and P(mismatch) of both.

    Columns: product_id, locale, title, query_id, query, generated, p_mismatch_query, p_mismatch_generated.
    """
    rng = seeds.rng(generator.seed, "written")
    data, lessons = generator.data, generator.lessons
    matches = probes.matches_of(generator, data.train, generator.config.written, rng)
    noise = probes.noise_of(generator, rng)
    queries = data.corpus.query_texts()
    spelling = Spelling.of(
        [queries[row] for row in np.unique(data.train.query)], generator.network.table.tokenizer
    )
    texts: list[str] = []
    true, made = [np.empty(0)], [np.empty(0)]
    with evaluating(lessons.encoder), evaluating(generator.network):
        for start in range(0, len(matches), TOGETHER):
            part: Examples = matches.take(slice(start, start + TOGETHER))
            encoding = lessons.read(part.query, part.product)
            states, found = generator.states(encoding, noise)
            true.append(probes.mismatch(judge, encoding, generator))
            made.append(probes.mismatch(judge, probes.put(encoding, states), generator))
            for ids, mask in zip(found.ids.tolist(), found.mask.tolist(), strict=True):
                texts.append(spelling.text([token for token, there in zip(ids, mask, strict=True) if there]))
    products, asked = data.corpus.products[matches.product], data.corpus.queries[matches.query]
    return pl.DataFrame(
        {
            "product_id": products["product_id"],
            "locale": products["locale"],
            "title": products["title"],
            "query_id": asked["query_id"],
            "query": asked["text"],
            "generated": pl.Series(texts, dtype=pl.String),
            "p_mismatch_query": np.concatenate(true),
            "p_mismatch_generated": np.concatenate(made),
        }
    )
