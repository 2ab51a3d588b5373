"""What a query and a product have in common beyond words: rank weights, quantities, models and brands."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np
import polars as pl

from prodmatch_baselines.reading import folded, models, quantities, words

NAMES = (
    "bm25",
    "bm25_share",
    "tfidf_cosine",
    "quantities",
    "quantities_agree",
    "quantities_conflict",
    "quantity_gap",
    "models",
    "models_found",
    "models_conflict",
)
"Columns of `Place.features`, in order."
BRAND_NAMES = ("brand_asked", "brand_other")
"Columns of `Brands.features`, in order."
K1, B = 1.2, 0.75
"Saturation of a word's count and weight of a text's length (Robertson and Zaragoza 2009, section 3.4)."
NEAR = 0.03
"Quantities whose logarithms differ by less are the same: 17 oz is 500 ml."
FAR = 3.0
"Largest distance of logarithms that is told apart."
TOGETHER = 100_000
"Pairs whose words are held at once."


@attrs.frozen(eq=False)
class Side:
    """What is in the texts of one side."""

    words: pl.DataFrame
    models: pl.DataFrame
    quantities: pl.DataFrame

    @classmethod
    def of(cls, texts: list[str]) -> Self:
        """Read texts."""
        read = folded(texts)
        return cls(words(read), models(read), quantities(read))


@attrs.frozen(eq=False)
class Weights:
    """How rare words are and how long texts are in a catalogue."""

    frequencies: pl.DataFrame
    "Columns word and texts, in how many it stands."
    texts: int
    length: float
    "Mean words of a text."

    @classmethod
    def of(cls, side: Side, texts: int) -> Self:
        """Count the words of a catalogue of `texts` texts."""
        counted = side.words.group_by("word").agg(texts=pl.len()).sort("word")
        return cls(counted, texts, float(side.words["count"].sum()) / max(texts, 1))

    def weighed(self, found: pl.DataFrame) -> pl.DataFrame:
        """Return a table of words with their `idf`; a word of no text weighs most."""
        share = (self.texts - pl.col("texts") + 0.5) / (pl.col("texts") + 0.5)
        joined = found.join(self.frequencies, on="word", how="left").with_columns(
            pl.col("texts").fill_null(0)
        )
        return joined.select(pl.exclude("texts"), idf=(1 + share).log())


def pair_features(left: Side, right: Side, weights: Weights, q: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return what the pairs (q, p) of rows of both sides have in common, (n, len(NAMES)) float32.

    Shares are -1 where the query has none of the kind.
    """
    parts = [
        _part(left, right, weights, q[start : start + TOGETHER], p[start : start + TOGETHER])
        for start in range(0, len(q), TOGETHER)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(NAMES)), dtype=np.float32)


def _part(left: Side, right: Side, weights: Weights, q: np.ndarray, p: np.ndarray) -> np.ndarray:
    pairs = pl.DataFrame(
        {"pair": np.arange(len(q), dtype=np.uint32), "q": q.astype(np.uint32), "p": p.astype(np.uint32)}
    )
    columns = pairs.select("pair")
    for found in (
        _ranked(left, right, weights, pairs),
        _measured(left, right, pairs),
        _modelled(left, right, pairs),
    ):
        columns = columns.join(found, on="pair", how="left", maintain_order="left")
    none = {"quantities_agree": -1.0, "quantity_gap": -1.0, "models_found": -1.0}
    filled = columns.select(pl.col(name).cast(pl.Float32).fill_null(none.get(name, 0.0)) for name in NAMES)
    return filled.to_numpy()


def _ranked(left: Side, right: Side, weights: Weights, pairs: pl.DataFrame) -> pl.DataFrame:
    weight = (1 + pl.col("count").log()) * pl.col("idf")
    asked = weights.weighed(left.words).with_columns(weight=weight)
    offered = weights.weighed(right.words).with_columns(weight=weight)
    sizes = [
        side.group_by("text").agg(
            pl.col("count").sum().alias("length"), (pl.col("weight") ** 2).sum().sqrt().alias("norm")
        )
        for side in (asked, offered)
    ]
    asked = asked.join(sizes[0].select("text", norm_q="norm"), on="text")
    offered = offered.join(sizes[1].select("text", norm_p="norm", length="length"), on="text")
    both = pairs.join(asked.rename({"text": "q", "weight": "weight_q"}).drop("count"), on="q").join(
        offered.select("word", "norm_p", "length", p="text", times="count", weight_p="weight"),
        on=["p", "word"],
        how="left",
    )
    saturated = (
        pl.col("times") * (K1 + 1) / (pl.col("times") + K1 * (1 - B + B * pl.col("length") / weights.length))
    )
    cosine = pl.col("weight_q") * pl.col("weight_p") / (pl.col("norm_q") * pl.col("norm_p"))
    score = (pl.col("idf") * saturated).fill_null(0.0).sum()
    return both.group_by("pair").agg(
        bm25=score,
        bm25_share=score / (pl.col("idf").sum() * (K1 + 1)),
        tfidf_cosine=cosine.fill_null(0.0).sum(),
    )


def _measured(left: Side, right: Side, pairs: pl.DataFrame) -> pl.DataFrame:
    asked = pairs.join(left.quantities.rename({"text": "q", "value": "wanted"}), on="q")
    both = asked.join(right.quantities.rename({"text": "p"}), on=["p", "dimension"], how="left")
    gap = (pl.col("value").log() - pl.col("wanted").log()).abs()
    each = both.group_by("pair", "wanted", "dimension").agg(gap=gap.min())
    agrees = (pl.col("gap") < NEAR).fill_null(False)
    # An ounce weighs or fills: what agrees in one of its dimensions is no conflict in the other.
    return each.group_by("pair").agg(
        quantities=pl.len(),
        quantities_agree=agrees.mean(),
        quantities_conflict=(~agrees & pl.col("gap").is_not_null()).sum(),
        quantity_gap=pl.col("gap").max().clip(upper_bound=FAR),
    )


def _modelled(left: Side, right: Side, pairs: pl.DataFrame) -> pl.DataFrame:
    asked = pairs.join(left.models.rename({"text": "q"}), on="q")
    there = right.models.rename({"text": "p"}).with_columns(there=pl.lit(True))
    any_ = right.models.select(p="text").unique().with_columns(other=pl.lit(True))
    both = asked.join(there, on=["p", "model"], how="left").join(any_, on="p", how="left")
    found = pl.col("there").fill_null(False)
    return both.group_by("pair").agg(
        models=pl.len(),
        models_found=found.mean(),
        models_conflict=(~found.any() & pl.col("other").fill_null(False).any()),
    )


@attrs.frozen(eq=False)
class Brands:
    """The brands of a catalogue, so that a query's words can be told to name one."""

    words: pl.DataFrame
    "Columns brand, word, and parts, how many words the brand has."

    @classmethod
    def of(cls, brands: pl.Series | None) -> Self:
        """Read the brand field of a catalogue; None: it has none."""
        named = [] if brands is None else brands.drop_nulls().str.to_lowercase().unique().sort().to_list()
        found = words(folded(named)).rename({"text": "row"})
        names = pl.DataFrame(
            {"row": np.arange(len(named), dtype=np.uint32), "brand": pl.Series(named, dtype=pl.String)}
        )
        parts = pl.len().over("brand").cast(pl.UInt32).alias("parts")
        return cls(names.join(found, on="row").select("brand", "word", parts).sort("brand", "word"))

    def features(
        self, left: Side, right: Side, brands: pl.Series | None, q: np.ndarray, p: np.ndarray
    ) -> np.ndarray:
        """Return whether the query names the product's brand, and another one, (n, 2) float32; -1: no brand is known.

        Another brand that the product's texts name, such as that of a device it fits, does not count.

        Args:
            left: the queries.
            right: the products' texts.
            brands: the products' brand field, if there is one.
            q: (n,) rows of `left`.
            p: (n,) rows of `right`.
        """
        if brands is None or not self.words.height or not len(q):
            return np.full((len(q), len(BRAND_NAMES)), -1.0, dtype=np.float32)
        asked = self._named(left).rename({"text": "q"})
        offered = self._named(right).rename({"text": "p"}).with_columns(there=pl.lit(True))
        pairs = pl.DataFrame(
            {"pair": np.arange(len(q), dtype=np.uint32), "q": q.astype(np.uint32), "p": p.astype(np.uint32)}
        )
        own = brands.str.to_lowercase().gather(p)
        both = pairs.with_columns(own=own).join(asked, on="q").join(offered, on=["p", "brand"], how="left")
        its = (pl.col("brand") == pl.col("own")).fill_null(False)
        found = both.group_by("pair").agg(
            brand_asked=its.any(), brand_other=(~its & pl.col("there").is_null()).any()
        )
        table = pairs.select("pair", own=own).join(found, on="pair", how="left", maintain_order="left")
        filled = table.select(
            pl.when(pl.col("own").is_null())
            .then(-1.0)
            .otherwise(pl.col("brand_asked").cast(pl.Float32).fill_null(0.0))
            .cast(pl.Float32)
            .alias("brand_asked"),
            pl.col("brand_other").cast(pl.Float32).fill_null(0.0),
        )
        return filled.to_numpy()

    def _named(self, side: Side) -> pl.DataFrame:
        """Return the brands all of whose words stand in a text: columns text and brand."""
        met = side.words.select("text", "word").join(self.words, on="word")
        whole = met.group_by("text", "brand").agg(met=pl.len(), parts=pl.col("parts").first())
        return whole.filter(pl.col("met") == pl.col("parts")).select("text", "brand")
