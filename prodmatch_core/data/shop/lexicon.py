"""`Lexicon`: one locale's words as columns, so that texts are looked up instead of built one by one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from prodmatch_core.data.shop.catalogue import Models
from prodmatch_core.data.shop.worldbook import Words, World

_WIDTH = 4
"Spellings kept per term; terms with fewer repeat theirs, the first most often."
_NOT = (("not {}", "no {}"), ("no {}", "sin {}"), ("{}タイプではありません", "{}なし"))
"How a property and a thing one has are denied, by locale."


class Lexicon:
    """The words of one locale; `*_typed` for what shoppers type, `spelled` for what sellers write."""

    def __init__(self, world: World, models: Models, locale: int) -> None:
        self.locale = locale
        self._titles = locale < 2
        self.types = self._table(t.words for t in world.types)
        self.foreign_types = _column([t.words[0 if locale else 1] for t in world.types])
        self.values = self._table(v.words for v in world.values)
        self.features = self._table(f.words for f in world.features)
        self.needs = self._table((n.words for n in world.needs), title=False)
        self.brands = self._table((b.words for b in world.brands), title=False)
        self.denied = pl.Series(
            [_deny(f.words[locale][0], locale, i in world.nouns) for i, f in enumerate(world.features)]
        )
        self.models = pl.Series(models.name)
        self.departments = self._table(d.words for d in world.departments)
        self.uses = self._uses(world)
        self.marketing = pl.Series(world.marketing[locale])
        self.tail = pl.Series(world.tail[locale])

    def _table(self, terms: Iterable[Words], title: bool = True) -> tuple[pl.Series, pl.Series]:
        words = [term[self.locale] for term in terms]
        plain = _column(words)
        titled = _column([tuple(_title(w) for w in ws) for ws in words]) if title and self._titles else plain
        return plain, titled

    def _uses(self, world: World) -> pl.Series:
        """Return (departments x 4) phrases for whom or what a department's goods are."""
        flat = []
        for department in world.departments:
            phrases = [w for use in department.uses for w in use[self.locale]]
            flat += [
                (_title(phrases[i % len(phrases)]) if self._titles else phrases[i % len(phrases)])
                for i in range(4)
            ]
        return pl.Series(flat)

    def values_typed(self, values: npt.NDArray[np.int64], rng: np.random.Generator) -> pl.Series:
        """Return how shoppers write attribute values, null for -1."""
        return _look_up(self.values[0], values, _favour_first(rng.random(len(values))))

    def features_typed(self, features: npt.NDArray[np.integer], rng: np.random.Generator) -> pl.Series:
        """Return how shoppers write features, null for -1."""
        return _look_up(self.features[0], features, _favour_first(rng.random(len(features))))

    def types_typed(self, types: npt.NDArray[np.integer], rng: np.random.Generator) -> pl.Series:
        """Return how shoppers write types, 4% in another language, null for -1."""
        native = _look_up(self.types[0], types, _favour_first(rng.random(len(types))))
        foreign = _look_up(self.foreign_types, types, np.zeros(len(types), dtype=np.int64))
        mixed = pl.Series(rng.random(len(types)) < (0.02, 0.06, 0.06)[self.locale])
        return pl.select(pl.when(pl.lit(mixed)).then(pl.lit(foreign)).otherwise(pl.lit(native))).to_series()

    def brands_typed(self, brands: npt.NDArray[np.integer], rng: np.random.Generator) -> pl.Series:
        """Return how shoppers write brands (in Japan also in kana), null for -1."""
        return _look_up(self.brands[0], brands, rng.integers(0, _WIDTH, len(brands)))

    def needs_typed(self, needs: npt.NDArray[np.integer], rng: np.random.Generator) -> pl.Series:
        """Return how shoppers word needs, null for -1."""
        return _look_up(self.needs[0], needs, rng.integers(0, _WIDTH, len(needs)))

    def model_names(self, models: npt.NDArray[np.integer]) -> pl.Series:
        """Return names of models, null for -1."""
        return pick(self.models, models)


def pick(words: pl.Series, places: npt.NDArray[np.integer]) -> pl.Series:
    """Return `words[places]`, null where a place is negative."""
    index = pl.Series(places.astype(np.int64))
    return words.gather(index.set(index < 0, None))


def spelled(
    table: tuple[pl.Series, pl.Series], terms: npt.NDArray[np.integer], variant: npt.NDArray[np.int64]
) -> pl.Series:
    """Return terms as sellers write them, in the given variant (0..3), null for -1."""
    return _look_up(table[1], terms, variant)


def _look_up(words: pl.Series, terms: npt.NDArray[np.integer], variant: npt.NDArray[np.int64]) -> pl.Series:
    return pick(words, np.where(terms < 0, -1, terms.astype(np.int64) * _WIDTH + variant))


def _favour_first(u: np.ndarray) -> npt.NDArray[np.int64]:
    return np.maximum((u * (_WIDTH + 2)).astype(np.int64) - 2, 0)


def _column(words: list[tuple[str, ...]]) -> pl.Series:
    return pl.Series([w[i % len(w)] if w else None for w in words for i in range(_WIDTH)], dtype=pl.String)


def _deny(word: str, locale: int, noun: bool) -> str:
    if locale == 1 and word.startswith("sin "):  # not without: with
        return "Con " + word[4:]
    text = _NOT[locale][noun].format(word)
    return text[:1].upper() + text[1:]


def _title(text: str) -> str:
    small = {
        "for",
        "and",
        "the",
        "of",
        "in",
        "to",
        "with",
        "on",
        "de",
        "para",
        "con",
        "sin",
        "y",
        "en",
        "a",
        "al",
        "del",
        "la",
        "el",
    }
    if any(c.isdigit() for c in text):  # units keep their case
        return (
            text[:1].upper() + text[1:]
            if text.startswith(("pack", "set", "size", "talla", "stage"))
            else text
        )
    words = text.split(" ")
    return " ".join(w if i and w in small else w[:1].upper() + w[1:] for i, w in enumerate(words))
