"""The rule: what a query asks for, and which label and cause follow for each product.

**exact** all constraints met; **substitute** same need, a constraint broken or another type; **complement**
goes with the wanted product and is compatible; **irrelevant** the rest. Every label follows from the columns
of `truth["constraints"]`, `truth["attributes"]` and `truth["relations"]`; a test derives them again row by
row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from prodmatch_core.data.shop.catalogue import GENERATIONS, HIDEABLE, NONE, Catalogue
from prodmatch_core.data.shop.draws import Ints
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, World

EXACT, SUBSTITUTE, COMPLEMENT, IRRELEVANT = range(4)
KINDS = ("type", "brand_type", "model", "accessory", "need", "brand")
"What a query names: type and attributes, a brand's type, a model, an accessory of it, a need, a brand."

CAUSES = (
    "",
    "older_model",
    "sibling_model",
    "other_model",
    "other_brand",
    *(f"wrong_{name}" for name in ATTRIBUTES),
    "missing_feature",
    "other_type",
    "accessory",
    "fitted_device",
    "goes_together",
    "does_not_fit",
    "accessory_of_other_model",
    "accessory_of_other_size",
    "other_device",
    "look_alike",
    "same_department",
    "unrelated",
)
"Planted causes; the empty one is that of exact pairs."
_CAUSE = {name: number for number, name in enumerate(CAUSES)}


Known = Callable[[str, np.ndarray], np.ndarray]
"Keeps the broken constraints that a reader of the text can see, given the fact that shows them."
Decide = Callable[[np.ndarray, int, str], None]
"Sets label and cause where a mask holds; later decisions stand."


@attrs.frozen(eq=False)
class Wants:
    """Constraints of queries as columns; -1 is no constraint."""

    kind: npt.NDArray[np.int8]
    type: npt.NDArray[np.int16]
    "Wanted type; for a need the type the shopper thought of, for a brand alone the brand's main type."
    need: npt.NDArray[np.int16]
    "Wanted need, set only where any type that meets it will do."
    brand: npt.NDArray[np.int16]
    model: npt.NDArray[np.int32]
    values: npt.NDArray[np.int16]
    "(queries, attributes) wanted value."
    feature: npt.NDArray[np.int16]
    fits_model: npt.NDArray[np.int32]
    fits_type: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: npt.NDArray[np.integer]) -> Wants:
        """Return the given rows."""
        return Wants(*(getattr(self, field.name)[rows] for field in attrs.fields(Wants)))


def join(parts: list[Wants]) -> Wants:
    """Return all rows of all parts."""
    return Wants(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in attrs.fields(Wants)))


@functools.cache
def feature_bits(world: World) -> Ints:
    """Return (types, features): each feature's bit in `Catalogue.features`, -1 where it has none."""
    table = np.full((len(world.types), len(world.features)), NONE)
    for t, kind in enumerate(world.types):
        table[t, list(kind.features)] = np.arange(len(kind.features))
    return table


def label_pairs(
    world: World,
    catalogue: Catalogue,
    wants: Wants,
    products: npt.NDArray[np.integer],
    blind: bool = False,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Label each pair of a query and a product by the rule.

    Args:
        world: types and relations.
        catalogue: products.
        wants: (n) constraints, one row per pair.
        products: (n,) product numbers.
        blind: take a fact that the product's text hides as met; what a perfect reader of texts would do.

    Returns:
        (n,) int8 label, index into the ESCI labels, and (n,) int8 cause, index into CAUSES.
    """
    ptype = catalogue.type[products].astype(np.int64)
    wtype = wants.type.astype(np.int64)
    known = functools.partial(_known, catalogue.hidden[products], blind)
    cause = np.full(len(products), _CAUSE["unrelated"], dtype=np.int8)
    label = np.full(len(products), IRRELEVANT, dtype=np.int8)

    def decide(where: np.ndarray, to: int, why: str) -> None:
        label[where] = to
        cause[where] = _CAUSE[why]

    decide(world.department_of[ptype] == world.department_of[wtype], IRRELEVANT, "same_department")
    brand_only = wants.kind == KINDS.index("brand")
    decide(world.lookalikes[wtype, ptype] & ~brand_only, IRRELEVANT, "look_alike")
    _decide_complements(world, catalogue, wants, products, known, decide)
    decide(world.need_of[ptype] == world.need_of[wtype], SUBSTITUTE, "other_type")

    same = np.where(wants.need >= 0, world.need_of[ptype] == wants.need, ptype == wtype)
    same = np.where(brand_only, (ptype == wtype) | (catalogue.brand[products] == wants.brand), same)
    decide(same, EXACT, "")
    for why, broken in _broken(world, catalogue, wants, products, known):
        decide(same & broken & (label == EXACT), SUBSTITUTE, why)
    misfit = same & known("fits", ~_fit(catalogue, wants, products))
    decide(misfit, IRRELEVANT, "does_not_fit")
    return label, cause


def _known(hidden: np.ndarray, blind: bool, fact: str, broken: np.ndarray) -> np.ndarray:
    return broken & (hidden != HIDEABLE.index(fact)) if blind else broken


def _fit(catalogue: Catalogue, wants: Wants, products: np.ndarray) -> np.ndarray:
    """Return whether each product fits the model and the type of device the query names, if it names any."""
    fits = catalogue.fits[products]
    model = (wants.fits_model < 0) | (fits == wants.fits_model[:, None]).any(axis=1)
    fitted_type = np.where(fits[:, 0] >= 0, catalogue.models.type[fits[:, 0]], NONE)
    return model & ((wants.fits_type < 0) | (fitted_type == NONE) | (fitted_type == wants.fits_type))


def _broken(
    world: World, catalogue: Catalogue, wants: Wants, products: np.ndarray, known: Known
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each way a product of the wanted type may miss, the first that applies being the cause."""
    models = catalogue.models
    other_brand = (wants.brand >= 0) & (catalogue.brand[products] != wants.brand)
    asks_model = wants.model >= 0
    model = catalogue.model[products]
    other_model = asks_model & (model != wants.model)
    same_line = other_model & (model >= 0) & (models.line[model] == models.line[wants.model])
    older = same_line & (models.generation[model] == GENERATIONS.index("previous"))
    yield "other_brand", other_brand
    yield "older_model", older
    yield "sibling_model", same_line
    yield "other_model", other_model
    for name in ("size", "form", "material", "color", "count"):
        a = ATTRIBUTES.index(name)
        differs = (wants.values[:, a] >= 0) & (catalogue.values[products, a] != wants.values[:, a])
        yield f"wrong_{name}", known(name, differs)
    bit = feature_bits(world)[catalogue.type[products].astype(np.int64), wants.feature]
    has = (bit >= 0) & ((catalogue.features[products] >> np.maximum(bit, 0).astype(np.uint8)) & 1).astype(
        bool
    )
    yield "missing_feature", known("feature", (wants.feature >= 0) & ~has)


def _decide_complements(
    world: World, catalogue: Catalogue, wants: Wants, products: np.ndarray, known: Known, decide: Decide
) -> None:
    """Decide accessories of the wanted device, devices of the wanted accessory, and consumables that pair."""
    ptype = catalogue.type[products].astype(np.int64)
    wtype = wants.type.astype(np.int64)
    relation = world.fits[ptype, wtype]
    fits = catalogue.fits[products]
    fitted = np.where(fits[:, 0] >= 0, catalogue.models.type[fits[:, 0]], NONE)
    size = ATTRIBUTES.index("size")
    wanted_size, has_size = wants.values[:, size], catalogue.values[products, size]
    wrong_size = (relation == FITS.index("size")) & (wanted_size >= 0) & (has_size != wanted_size)
    of_model = (fits == wants.model[:, None]).any(axis=1)
    of_brand = catalogue.models.brand[fits[:, 0]] == wants.brand
    wrong_model = np.where(wants.model >= 0, ~of_model, ((wants.brand >= 0) & ~of_brand) | (fitted != wtype))
    wrong_model = (relation == FITS.index("model")) & wrong_model
    named_type = wants.kind != KINDS.index("brand")
    # a brand alone is complemented only by what fits its models
    relation = np.where(named_type | (relation == FITS.index("model")), relation, 0)
    decide(world.pairs[wtype, ptype] & named_type, COMPLEMENT, "goes_together")
    decide(relation > 0, COMPLEMENT, "accessory")
    decide((relation > 0) & known("size", wrong_size), IRRELEVANT, "accessory_of_other_size")
    decide((relation > 0) & known("fits", wrong_model), IRRELEVANT, "accessory_of_other_model")
    device = (world.fits[wtype, ptype] > 0) & named_type
    wrong_device = ((wants.fits_model >= 0) & (catalogue.model[products] != wants.fits_model)) | (
        (wants.fits_type >= 0) & (ptype != wants.fits_type)
    )
    wanted_size_differs = (world.fits[wtype, ptype] == FITS.index("size")) & (wanted_size >= 0)
    wrong_device = wrong_device | known("size", wanted_size_differs & (has_size != wanted_size))
    decide(device, COMPLEMENT, "fitted_device")
    decide(device & wrong_device, IRRELEVANT, "other_device")
