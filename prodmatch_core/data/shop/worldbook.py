"""`World`: the shop's own words and relations, read from the TOML files beside this module."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

import attrs
import numpy as np

from prodmatch_core.data.shop.draws import Floats, Ints
from prodmatch_core.data.shop.spelling import LOCALES, canonical, spell

ATTRIBUTES = ("color", "material", "size", "form", "count")
"Attributes a product may have, besides brand, model, features and what it fits."

FITS = ("none", "model", "size", "type")
"How an accessory fits: a named model, an equal size, or any product of the type."

Words = tuple[tuple[str, ...], ...]
"Alternatives in each locale: words[locale number][alternative]."


@attrs.frozen
class Term:
    """Something that has words: a colour, a quantity, a feature, a need. `key` names it in truth tables."""

    key: str
    words: Words


@attrs.frozen
class Brand:
    """An invented brand; `style` says how it names its models."""

    words: Words
    department: int
    style: int


@attrs.frozen
class ProductType:
    """One product type: what it is called, what it varies in, what it fits and what it is taken for."""

    key: str
    department: int
    words: Words
    need: int
    price: tuple[float, float]
    "Median in dollars and standard deviation of the logarithm."
    values: tuple[tuple[int, ...], ...]
    "Value numbers it may have, for each of ATTRIBUTES; empty where it has no such attribute."
    features: tuple[int, ...]
    device: bool
    consumable: bool
    weight: float
    fits_by: int
    fits_to: tuple[str, ...]
    pairs_with: tuple[str, ...]
    lookalike: tuple[str, ...]


@attrs.frozen
class Department:
    """One department: its words, what its goods are for, its delay mixture and the month it peaks in."""

    key: str
    words: Words
    uses: tuple[Words, ...]
    delay: tuple[float, float, float]
    "Shares of conversions that take minutes, about a day, and more than a week."
    season: int
    brands: tuple[int, ...]


@attrs.frozen(eq=False)
class World:
    """Everything that is the same in every shop, whatever its size and seed."""

    departments: tuple[Department, ...]
    types: tuple[ProductType, ...]
    brands: tuple[Brand, ...]
    values: tuple[Term, ...]
    features: tuple[Term, ...]
    nouns: frozenset[int]
    "Features that are things one has (`no GPS`), not properties (`not waterproof`)."
    needs: tuple[Term, ...]
    marketing: Words
    tail: Words
    type_of: dict[str, int]

    @functools.cached_property
    def need_of(self) -> Ints:
        """Return (types,) the need each type meets."""
        return np.array([t.need for t in self.types])

    @functools.cached_property
    def department_of(self) -> Ints:
        """Return (types,) the department of each type."""
        return np.array([t.department for t in self.types])

    @functools.cached_property
    def fits(self) -> Ints:
        """Return (types, types): how the first, an accessory, fits the second; 0 is not at all."""
        table = np.zeros((len(self.types), len(self.types)), dtype=np.int64)
        for a, accessory in enumerate(self.types):
            table[a, [self.type_of[key] for key in accessory.fits_to]] = accessory.fits_by
        return table

    @functools.cached_property
    def pairs(self) -> np.ndarray:
        """Return (types, types) bool, symmetric: consumables bought together."""
        return self._relation("pairs_with")

    @functools.cached_property
    def lookalikes(self) -> np.ndarray:
        """Return (types, types) bool, symmetric: different things with like words."""
        return self._relation("lookalike")

    def _relation(self, field: str) -> np.ndarray:
        table = np.zeros((len(self.types), len(self.types)), dtype=bool)
        for a, kind in enumerate(self.types):
            table[a, [self.type_of[key] for key in getattr(kind, field)]] = True
        return table | table.T

    @functools.cached_property
    def popularity(self) -> Floats:
        """Return (types,) shares of the catalogue, in proportion to the types' weights."""
        weights = np.array([t.weight for t in self.types]) ** 1.5
        return weights / weights.sum()


def _words(text: str) -> Words:
    parts = text.split("|")
    if len(parts) == 2:  # brands: Latin letters everywhere, kana in Japan as well
        parts = [parts[0], parts[0], f"{parts[0]}/{parts[1]}"]
    return tuple(tuple(part.split("/")) for part in parts)


class _Values:
    """Numbers for attribute values, so that equal values of different types are one value."""

    def __init__(self, shared: dict[str, dict[str, str]]) -> None:
        self.shared = shared
        self.terms: list[Term] = []
        self.numbers: dict[str, int] = {}

    def number(self, key: str, words: Words) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.terms)
            self.terms.append(Term(key, words))
        return self.numbers[key]

    def of(self, table: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        unit = table.get("size", {}).get("unit", "")
        named = {
            name: [self.number(f"{name}:{v}", _words(self.shared[name][v])) for v in table.get(name, [])]
            for name in ("color", "material")
        }
        sizes = [self._quantity("size", unit, v) for v in table.get("size", {}).get("values", [])]
        forms = [
            self.number(f"form:{text.split('|')[0].split('/')[0]}", _words(text))
            for text in table.get("form", [])
        ]
        counts = [self._quantity("count", "count", v) for v in table.get("count", [])]
        return tuple(map(tuple, (named["color"], named["material"], sizes, forms, counts)))

    def _quantity(self, attribute: str, unit: str, value: float | str) -> int:
        return self.number(
            f"{attribute}:{canonical(unit, value)}", tuple(tuple(w) for w in spell(unit, value))
        )


@functools.cache
def load_world() -> World:
    """Read the world from its files; the result is shared and must not be changed."""
    folder = resources.files("prodmatch_core.data.shop") / "world"
    shared = tomllib.loads((folder / "words.toml").read_text(encoding="utf-8"))
    files = sorted((folder / "departments").iterdir(), key=lambda file: file.name)
    tables = [
        tomllib.loads(file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".toml")
    ]
    values = _Values(shared)
    feature_words = {**shared["adjective"], **shared["noun"]}
    feature_of = {key: i for i, key in enumerate(feature_words)}
    needs: dict[str, int] = {}
    departments: list[Department] = []
    brands: list[Brand] = []
    types: list[ProductType] = []
    for number, table in enumerate(tables):
        first = len(brands)
        brands += [Brand(_words(text), number, (first + i) % 5) for i, text in enumerate(table["brands"])]
        uses = tuple(_words(text) for text in table["uses"])
        delay = tuple(table["delay"])
        departments.append(
            Department(
                table["department"],
                _words(table["words"]),
                uses,
                delay,
                table["season"],
                tuple(range(first, len(brands))),
            )
        )
        types += [_type(t, number, values, feature_of, needs) for t in table["type"]]
    need_words = shared["need"]
    return World(
        departments=tuple(departments),
        types=tuple(types),
        brands=tuple(brands),
        values=tuple(values.terms),
        features=tuple(Term(key, _words(text)) for key, text in feature_words.items()),
        nouns=frozenset(feature_of[key] for key in shared["noun"]),
        needs=tuple(
            Term(key, _words(need_words[key]) if key in need_words else ((), (), ())) for key in needs
        ),
        marketing=tuple(tuple(shared["marketing"][locale]) for locale in LOCALES),
        tail=tuple(tuple(shared["tail"][locale]) for locale in LOCALES),
        type_of={t.key: i for i, t in enumerate(types)},
    )


def _type(
    table: dict[str, Any], department: int, values: _Values, feature_of: dict[str, int], needs: dict[str, int]
) -> ProductType:
    fits = table.get("fits", {})
    return ProductType(
        key=table["key"],
        department=department,
        words=_words(table["name"]),
        need=needs.setdefault(table["need"], len(needs)),
        price=tuple(table["price"]),
        values=values.of(table),
        features=tuple(feature_of[key] for key in table.get("features", [])),
        device=table.get("device", False),
        consumable=table.get("consumable", False),
        weight=table.get("weight", 1),
        fits_by=FITS.index(fits.get("by", "none")),
        fits_to=tuple(fits.get("to", ())),
        pairs_with=tuple(table.get("pairs_with", ())),
        lookalike=tuple(table.get("lookalike", ())),
    )
