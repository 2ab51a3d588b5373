"""The columns that `baselines.lexical_gbdt` boosts on: what pairs share, by place of the product where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs
import numpy as np
import polars as pl
from safetensors.numpy import load_file

from prodmatch_baselines import pairing
from prodmatch_baselines.pairing import Brands, Side, Weights
from prodmatch_baselines.plugin import LexicalGBDTConfig
from prodmatch_core.data.corpus import Corpus, Examples
from prodmatch_core.data.lexical import FEATURE_NAMES, WordFrequencies, overlap_features
from prodmatch_core.writing import write_arrays, write_parquet

ARRAYS, TERMS, BRANDS = "words.safetensors", "terms.{}.parquet", "brands.parquet"


@attrs.frozen(eq=False)
class Place:
    """Some texts of the products, joined, and what a catalogue taught of their words."""

    fields: tuple[str, ...]
    frequencies: WordFrequencies
    weights: Weights


@attrs.frozen(eq=False)
class LexicalFeatures:
    """Makes the columns of pairs, whatever catalogue they are from, by the word weights of the one it was made of."""

    places: Mapping[str, Place]
    brands: Brands

    @classmethod
    def of(cls, config: LexicalGBDTConfig, corpus: Corpus) -> Self:
        """Learn word weights and brands from a catalogue."""
        found = {}
        for where, fields in places(config).items():
            texts = corpus.product_texts(fields)
            weights = Weights.of(Side.of(texts), len(texts))
            found[where] = Place(fields, WordFrequencies.of(texts), weights)
        return cls(found, Brands.of(_brands(corpus)))

    @property
    def names(self) -> list[str]:
        """Return the name of each column."""
        each = [f"{where}_{name}" for where in self.places for name in (*FEATURE_NAMES, *pairing.NAMES)]
        return [*each, *pairing.BRAND_NAMES]

    def columns(self, corpus: Corpus, examples: Examples) -> np.ndarray:
        """Return the columns of pairs, (n, features) float32."""
        queries, q, p = corpus.query_texts(), examples.query, examples.product
        left, right = Side.of(queries), None
        found = []
        for place in self.places.values():
            texts = corpus.product_texts(place.fields)
            right = Side.of(texts)
            found.append(overlap_features(queries, texts, q, p, place.frequencies))
            found.append(pairing.pair_features(left, right, place.weights, q, p))
        assert right is not None  # the last place is the widest
        found.append(self.brands.features(left, right, _brands(corpus), q, p))
        return np.hstack(found)

    def save(self, folder: Path) -> None:
        """Write word weights and brands: words.safetensors, terms.*.parquet, brands.parquet."""
        arrays: dict[str, np.ndarray] = {}
        for where, place in self.places.items():
            counted = place.frequencies
            arrays[f"{where}.word"], arrays[f"{where}.count"] = counted.word, counted.count
            arrays[f"{where}.texts"] = np.array([counted.texts])
            arrays[f"{where}.length"] = np.array([place.weights.length])
            write_parquet(folder / TERMS.format(where), place.weights.frequencies)
        write_arrays(folder / ARRAYS, arrays)
        write_parquet(folder / BRANDS, self.brands.words)

    @classmethod
    def load(cls, config: LexicalGBDTConfig, folder: Path) -> Self:
        """Read what `save` wrote."""
        saved = load_file(folder / ARRAYS)
        found = {}
        for where, fields in places(config).items():
            texts = int(saved[f"{where}.texts"][0])
            frequencies = WordFrequencies(saved[f"{where}.word"], saved[f"{where}.count"], texts)
            terms = pl.read_parquet(folder / TERMS.format(where))
            found[where] = Place(
                fields, frequencies, Weights(terms, texts, float(saved[f"{where}.length"][0]))
            )
        return cls(found, Brands(pl.read_parquet(folder / BRANDS)))


def places(config: LexicalGBDTConfig) -> dict[str, tuple[str, ...]]:
    """Return where the query's words are looked for: name -> product texts; `all` where there is more than a title."""
    more = {"all": config.fields} if config.fields != ("title",) else {}
    return {"title": ("title",), **more}


def _brands(corpus: Corpus) -> pl.Series | None:
    return corpus.products["brand"] if "brand" in corpus.products.columns else None
