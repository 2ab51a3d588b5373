"""Side columns: what is known of a pair beside what members say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.aggregator import Pairs
from prodmatch_core.errors import DataError

DEGREES = "degrees.parquet"
LOCALES = "locales.json"


@attrs.frozen(eq=False)
class Side:
    """Columns by kind, with what was learnt for them.

    Attributes:
        kinds: out of `locale`, `lengths`, `degree`.
        locales: those of the training pairs.
        degrees: columns kind, id, degree: how often each node was engaged with; None without `degree`.
    """

    kinds: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    degrees: pl.DataFrame | None = None

    @classmethod
    def fit(cls, kinds: Sequence[str], pairs: Pairs | None) -> Side:
        """Learn which locales there are, and the degrees of all nodes.

        Raises:
            DataError: there are no pairs, or no engagements where `degree` is asked for.
        """
        if not kinds:
            return cls()
        if pairs is None:
            raise DataError("ensemble: side columns need the pairs; only predictions are known here")
        degrees = None
        if "degree" in kinds:
            links = pairs.dataset.engagements if pairs.dataset is not None else None
            if links is None:
                raise DataError(
                    "ensemble: side column degree needs engagements, which this data set does not give. Take degree "
                    "out of aggregator.side."
                )
            ends = [
                links.select(kind=f"{end}_kind", id=end, count="count") for end in ("src", "dst")
            ]  # a link counts at both of its ends
            degrees = pl.concat(ends).group_by("kind", "id").agg(degree=pl.col("count").sum())
            degrees = degrees.sort("kind", "id")
        locales = sorted(set(pairs.corpus.queries["locale"].to_list()))
        return cls(tuple(kinds), tuple(locales), degrees)

    def columns(self, pairs: Pairs | None, count: int) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Return kind -> column -> (count,) float64.

        Raises:
            DataError: side columns are read and there are no pairs.
        """
        if not self.kinds:
            return {}
        if pairs is None:
            raise DataError("ensemble: side columns need the pairs; only predictions are known here")
        makers = {"locale": self._locale, "lengths": self._lengths, "degree": self._degree}
        return {kind: makers[kind](pairs) for kind in self.kinds}

    def _locale(self, pairs: Pairs) -> dict[str, np.ndarray]:
        found = locales_of(pairs)
        return {locale: (found == locale).astype(np.float64) for locale in self.locales}

    @staticmethod
    def _lengths(pairs: Pairs) -> dict[str, np.ndarray]:
        def words(texts: Sequence[str]) -> np.ndarray:
            return np.array([len(text.split()) for text in texts], dtype=np.float64)

        def signs(texts: Sequence[str]) -> np.ndarray:
            return np.array([len(text) for text in texts], dtype=np.float64)

        query, product = pairs.examples.query, pairs.examples.product
        queries, titles = pairs.corpus.query_texts(), pairs.corpus.product_texts(("title",))
        return {
            "query words": words(queries)[query],
            "query characters": signs(queries)[query],
            "title words": words(titles)[product],
            "title characters": signs(titles)[product],
        }

    def _degree(self, pairs: Pairs) -> dict[str, np.ndarray]:
        assert self.degrees is not None
        found: dict[str, np.ndarray] = {}
        for kind, table, rows in (
            ("query", pairs.corpus.queries, pairs.examples.query),
            ("product", pairs.corpus.products, pairs.examples.product),
        ):
            known = self.degrees.filter(pl.col("kind") == kind)
            ids = table.select(id=f"{kind}_id")
            degree = ids.join(known, on="id", how="left", maintain_order="left")["degree"].fill_null(0)
            found[f"{kind} degree"] = np.log1p(degree.to_numpy().astype(np.float64))[rows]
        return found

    def save(self, folder: Path) -> None:
        """Write what was learnt."""
        state: dict[str, Any] = {"kinds": list(self.kinds), "locales": list(self.locales)}
        (folder / LOCALES).write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        if self.degrees is not None:
            self.degrees.write_parquet(folder / DEGREES)

    @classmethod
    def load(cls, folder: Path) -> Side:
        """Read what `save` wrote."""
        state = json.loads((folder / LOCALES).read_text(encoding="utf-8"))
        degrees = pl.read_parquet(folder / DEGREES) if "degree" in state["kinds"] else None
        return cls(tuple(state["kinds"]), tuple(state["locales"]), degrees)


def locales_of(pairs: Pairs) -> np.ndarray:
    """Return the locale of each pair's query, (n,) object."""
    return np.array(pairs.corpus.queries["locale"].to_list(), dtype=object)[pairs.examples.query]
