"""Ranked neighbours: search with a member's vectors and without learning, measure, and write what was found."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from prodmatch_core.answers.work import Answer, Arrays, Work
from prodmatch_core.evaluation import assess
from prodmatch_core.evaluation.direction import OneWay, direction_auc
from prodmatch_core.evaluation.retrieved import Retrieved
from prodmatch_core.evaluation.search import Search, depth_of
from prodmatch_core.evaluation.slices import by_quartile
from prodmatch_core.evaluation.unlearnt import BASELINES
from prodmatch_core.training import seeds
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.writing import write_json, write_parquet


class NeighbourAnswer(Answer):
    """The answer of embed and relate: one member's vectors, searched by cosine."""

    def __init__(self, work: Work) -> None:
        """Prepare the search of the test split; edges of training and validation are known by then."""
        super().__init__(work)
        data = work.data
        examples = data.examples
        self.known = examples["train"].concat(examples["valid"])
        count, depth = data.corpus.products.height, depth_of(work.measures)
        self.search = Search.of(work.task.spec, examples["test"], self.known, count, depth)
        self.one_way: OneWay | None = None
        if work.task.spec.name == "relate":
            self.one_way = OneWay.of(examples["test"], self.known, self.search, count)

    def predictions(self, model: FittedMember) -> dict[str, np.ndarray]:
        """Return the vectors of test queries and of candidates, (n, width) float32 each.

        Where the candidates are a split's items, also those of the validation split, which thresholds are chosen on.
        Where edges are directed, also those of the ends of one-way edges, asked from.
        """
        names, reads = ["queries", "candidates"], list(self.search.reads)
        if self.search.labels is not None:
            names.append("valid")
            reads.append(("product", self.work.data.examples["valid"].product))
        if self.one_way is not None:
            names.append("turned")
            reads.append(("query", self.one_way.target))
        found = model.vectors(self.work.data.corpus, reads)
        return dict(zip(names, found, strict=True))

    def conclude(self, members: Sequence[Arrays]) -> dict[str, Any]:
        """Search and measure; write the nearest neighbours of every test query, and the surest mistakes."""
        work, spec = self.work, self.work.task.spec
        final = self.search.run(members[0]["queries"], members[0]["candidates"])
        lines = [
            assess.RetrievedLine(name, "baseline", self.search.rank(scorer))
            for name, scorer in BASELINES[spec.name](self.search, work.data.corpus, self.known)
        ]
        lines.append(assess.RetrievedLine("pipeline", "pipeline", final))
        table, scores = self._neighbours(final, members[0])
        write_parquet(work.path / "neighbours.parquet", table)
        if self.search.labels is not None:
            write_parquet(work.path / "items.parquet", self._items())
        write_json(work.path / "mistakes.json", self._mistakes(final, scores))
        figures = assess.assess_retrieved(
            lines,
            slices=self._slices(),
            measures=work.measures,
            headline=spec.headline,
            evaluation=work.pipeline.evaluation,
            seed=work.seed,
        )
        return figures if self.one_way is None else {**figures, "direction": self._direction(members[0])}

    def _direction(self, arrays: Arrays) -> dict[str, Any]:
        """Return how surely the model tells one-way edges from the same edges turned round: all, and slice by slice."""
        assert self.one_way is not None
        edges, options = self.one_way, self.work.pipeline.evaluation
        queries, candidates, turned = (_unit(arrays[name]) for name in ("queries", "candidates", "turned"))
        source = self.search.reads[0][1][edges.query]
        there = (queries[edges.query] * candidates[edges.target]).sum(axis=1)
        back = (turned * candidates[source]).sum(axis=1)
        count = len(self.search.groups)
        rng = seeds.rng(self.work.seed, "direction")
        drawn = [
            np.bincount(rng.integers(count, size=count), minlength=count)[edges.query]
            for _ in range(options.replicates if len(there) else 0)
        ]

        def figure(kept: np.ndarray) -> dict[str, Any]:
            found = [direction_auc(there[kept], back[kept], weights[kept]) for weights in drawn if kept.any()]
            tail = (1 - options.level) / 2
            low, high = np.nanquantile(found, [tail, 1 - tail]) if found else (np.nan, np.nan)
            value = direction_auc(there[kept], back[kept])
            return {"auc": value, "low": float(low), "high": float(high), "edges": int(kept.sum())}

        parts = [(by, name, mask[edges.query]) for by, name, mask in self._slices()]
        return {
            **figure(np.ones(len(there), dtype=bool)),
            "slices": [{"by": by, "name": name, **figure(kept)} for by, name, kept in parts if kept.any()],
        }

    def _items(self) -> pl.DataFrame:
        """Return what the rows of the vectors of `valid` and then of the candidates are."""
        data = self.work.data
        titles = pl.Series("title", data.corpus.product_texts(("title",)), dtype=pl.String)
        return pl.concat(
            data.rows[split]
            .select("item_id", "group", "split")
            .with_columns(titles.gather(data.examples[split].product))
            for split in ("valid", "test")
        )

    def _ids(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the identifiers of queries, of candidates, and the group of each query, as objects."""
        spec, rows = self.work.task.spec, self.work.data.rows["test"]
        products = self.work.data.corpus.products["product_id"].to_numpy()
        asked = rows[self.search.examples]
        candidates = products[self.search.reads[1][1]]
        return asked[spec.keys[0]].to_numpy(), candidates, asked[spec.group].to_numpy()

    def _neighbours(self, found: Retrieved, arrays: Arrays) -> tuple[pl.DataFrame, np.ndarray]:
        """Return one row a query and neighbour kept, and the cosine of every query's nearest."""
        queries, candidates, groups = self._ids()
        depth, nearest = found.depth, found.nearest
        left, right = _unit(arrays["queries"]), _unit(arrays["candidates"])
        cosine = np.stack([(left * right[np.maximum(column, 0)]).sum(axis=1) for column in nearest.T], axis=1)
        n = len(queries)
        there = nearest.ravel() >= 0
        table = pl.DataFrame(
            {
                "query": np.repeat(queries, depth).astype(str),
                "group": np.repeat(groups, depth).astype(str),
                "rank": np.tile(np.arange(1, depth + 1), n),
                "neighbour": candidates[np.maximum(nearest.ravel(), 0)].astype(str),
                "score": cosine.ravel().astype(np.float64),
                "right": found.hits.ravel(),
                "relevant": np.repeat(found.relevant, depth),
            }
        )
        return table.filter(pl.Series(there)), cosine[:, 0]

    def _mistakes(self, found: Retrieved, scores: np.ndarray) -> list[dict[str, Any]]:
        """Return the nearest wrong first neighbours with their texts, surest first, one a group."""
        corpus = self.work.data.corpus
        queries, candidates, groups = self._ids()
        titles = np.array(corpus.product_texts(("title",)), dtype=object)
        side, rows = self.search.reads[0]
        asked = (
            titles[rows]
            if side == "product"
            else np.array(corpus.query_texts(("title",)), dtype=object)[rows]
        )
        offered = titles[self.search.reads[1][1]]
        wrong = np.flatnonzero(~found.hits[:, 0] & (found.nearest[:, 0] >= 0))
        order = wrong[np.argsort(-scores[wrong], kind="stable")]
        first = dict(zip(*_first(self.search), strict=True))
        result: list[dict[str, Any]] = []
        seen: set[Any] = set()
        for row in order:
            if len(result) == self.work.pipeline.evaluation.mistakes:
                break
            if groups[row] in seen:
                continue
            seen.add(groups[row])
            nearest = int(found.nearest[row, 0])
            result.append(
                {
                    "query_id": str(queries[row]),
                    "query": asked[row],
                    "product_id": str(candidates[nearest]),
                    "title": offered[nearest],
                    "score": float(scores[row]),
                    "wanted_id": str(candidates[first[row]]),
                    "wanted": offered[first[row]],
                }
            )
        return result

    def _slices(self) -> list[tuple[str, str, np.ndarray]]:
        """Return parts of the test queries: by size of the group, or by how many edges of a product are known."""
        if self.work.task.spec.name == "embed":
            sizes = np.bincount(self.search.wanted.query, minlength=len(self.search.groups)) + 1
            cuts, by = (2, 3, 5), "group of"
            names = ("2 items", "3 or 4 items", "5 items or more")
        else:
            sources = self.search.reads[0][1]
            sizes = np.bincount(self.known.query, minlength=self.work.data.corpus.products.height)[sources]
            return by_quartile("known edges", sizes)
        bounds = (*cuts, np.inf)
        masks = [(sizes >= low) & (sizes < high) for low, high in itertools.pairwise(bounds)]
        return [(by, name, mask) for name, mask in zip(names, masks, strict=True) if mask.any()]


def _first(search: Search) -> tuple[np.ndarray, np.ndarray]:
    query, index = np.unique(search.wanted.query, return_index=True)
    return query, search.wanted.candidate[index]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
