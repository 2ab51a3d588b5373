"""Scoring one pair at a time: labels of pairs that were seen, vectors of nodes that are known, texts of all others.

The paper's industrial section, as a class: what is asked often is answered from memory, what the graph knows is read
with vectors computed beforehand, and what it does not know is read as text.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Self

import attrs
import polars as pl
import torch

from prodmatch_core.errors import DataError
from prodmatch_core.pipeline import Pipeline
from prodmatch_core.training.model import MemberModel
from prodmatch_core.training.prediction import evaluating
from prodmatch_salam.fusion import FusionEncoder

FIELDS = ("query", "title", "locale", "query_id", "product_id", "description", "bullets", "brand", "color")
"What tells one pair from another, and what a pair may be asked about with."

Key = tuple[str | None, ...]


@attrs.frozen
class Scored:
    """What a pipeline says of one pair."""

    decided: str
    accepted: bool
    score: float
    probabilities: tuple[float, ...]
    "Of the labels, in the order of the label scheme."


@attrs.define(eq=False)
class PairScorer:
    """A finished run that scores pairs one by one and remembers what it said.

    scorer = PairScorer.load("runs/salam-shop")
    scorer.score("phone case", "Slim case for Vexo X10", locale="en", query_id="Q17", product_id="P4")
    """

    pipeline: Pipeline
    capacity: int
    "Pairs that are remembered; of more, those asked for longest ago are forgotten."
    seen: OrderedDict[Key, Scored] = attrs.field(factory=OrderedDict)

    @classmethod
    def load(cls, run: str | Path, capacity: int = 1_000_000) -> Self:
        """Read a run directory and compute the vectors of all nodes, of the shared model and of every locale's copy.

        Args:
            run: what `prodmatch run` wrote.
            capacity: pairs that are remembered, about 0.5 kB each.
        """
        pipeline = Pipeline.load(run)
        for member in pipeline.members:
            for model in (member.model, *member.regions.values()):
                if isinstance(model, MemberModel) and isinstance(model.encoder, FusionEncoder):
                    with torch.inference_mode(), evaluating(model, member.precision):
                        model.encoder.node_vectors()
        return cls(pipeline, capacity)

    def score(self, query: str, title: str, **fields: str) -> Scored:
        """Return what the pipeline says of a pair, from memory where it was asked before.

        Args:
            query: the shopper's words.
            title: the product's title.
            **fields: locale; query_id and product_id, by which the graph knows its nodes; description, bullets, brand
                and color.

        Raises:
            DataError: a field is none of these, or a text is empty.
        """
        key = (query, title, *(fields.get(name) for name in FIELDS[2:]))
        found = self.seen.get(key)
        if found is not None:
            self.seen.move_to_end(key)
            return found
        if unknown := sorted(set(fields) - set(FIELDS)):
            raise DataError(f"a pair has no {unknown[0]}; it may have {', '.join(FIELDS[2:])}.")
        (found,) = self.learn(
            pl.DataFrame({"query": [query], "title": [title], **{k: [v] for k, v in fields.items()}})
        )
        return found

    def learn(self, pairs: pl.DataFrame) -> list[Scored]:
        """Score many pairs at once, remember them, and return what was said, in order.

        Args:
            pairs: columns query and title, and those of FIELDS there are.
        """
        scheme = self.pipeline.scheme
        told = self.pipeline.predict(pairs)
        labels = [f"p_{label}" for label in scheme.labels]
        rows = told.select("decided", "accepted", "score", *labels).rows()
        found = [Scored(decided, accepted, score, tuple(rest)) for decided, accepted, score, *rest in rows]
        asked = pairs.select(
            pl.col(name).cast(pl.String) if name in pairs.columns else pl.lit(None, pl.String).alias(name)
            for name in FIELDS
        )
        for key, answer in zip(asked.rows(), found, strict=True):
            self.seen[key] = answer
            self.seen.move_to_end(key)
        while len(self.seen) > self.capacity:
            self.seen.popitem(last=False)
        return found
