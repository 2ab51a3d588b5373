"""Truth tables: what the shop's maker knows, in words, so that every label can be derived again from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from prodmatch_core.data.dataset import ESCI
from prodmatch_core.data.shop.behaviour import PAGE, STEPS
from prodmatch_core.data.shop.catalogue import GENERATIONS, HIDEABLE, NONE, Catalogue
from prodmatch_core.data.shop.conversions import product_names, query_ids
from prodmatch_core.data.shop.draws import Floats, Ints
from prodmatch_core.data.shop.labels import CAUSES, KINDS, feature_bits
from prodmatch_core.data.shop.lexicon import pick
from prodmatch_core.data.shop.queries import Queries
from prodmatch_core.data.shop.worldbook import ATTRIBUTES, FITS, World

RELEVANCE = (1.0, 0.5, 0.3, 0.0)
"True relevance of each label to a shopper."


def judgement_columns(
    label: npt.NDArray[np.int8], cause: npt.NDArray[np.int8], read: npt.NDArray[np.int8], chance: Floats
) -> dict[str, pl.Series | Floats]:
    """Return the columns of `judgements`.

    True label, relevance, planted cause, the label a perfect reader of the texts would give, and the chance
    that the recorded label is wrong.
    """
    return {
        "true_label": pl.Series(ESCI.labels).gather(label),
        "relevance": np.array(RELEVANCE)[label],
        "cause": pl.Series(CAUSES).gather(cause),
        "read_label": pl.Series(ESCI.labels).gather(read),
        "noise": chance,
    }


def constraint_table(world: World, catalogue: Catalogue, queries: Queries) -> pl.DataFrame:
    """Return what each query asks for, in keys; null is no constraint."""
    wants = queries.wants
    value_keys = _value_keys(world)
    models = _model_keys(world, catalogue)
    return pl.DataFrame(
        {
            "query_id": query_ids(np.arange(len(queries))),
            "kind": pl.Series(KINDS).gather(wants.kind),
            "type": pick(_type_keys(world), wants.type),
            "need": pick(pl.Series([n.key for n in world.needs]), wants.need),
            "brand": pick(_brand_keys(world), wants.brand),
            "model": pick(models, wants.model),
            **{name: pick(value_keys, wants.values[:, a]) for a, name in enumerate(ATTRIBUTES)},
            "feature": pick(pl.Series([f.key for f in world.features]), wants.feature),
            "fits_model": pick(models, wants.fits_model),
            "fits_type": pick(_type_keys(world), wants.fits_type),
            "cold": queries.cold,
        }
    )


def attribute_table(world: World, catalogue: Catalogue, rows: Ints) -> pl.DataFrame:
    """Return products' true attributes, in keys; `hidden` is the fact their texts leave out."""
    value_keys = _value_keys(world)
    models = _model_keys(world, catalogue)
    fits = catalogue.fits[rows]
    bits = feature_bits(world)
    t = catalogue.type[rows].astype(np.int64)
    slots = np.array([[*k.features, NONE, NONE, NONE, NONE][:4] for k in world.types])[t]
    names = pl.Series([f.key for f in world.features])
    has = [
        pick(
            names,
            np.where(_has(catalogue, rows, bits[t, slots[:, i]]) & (slots[:, i] >= 0), slots[:, i], NONE),
        )
        for i in range(4)
    ]
    frame = pl.DataFrame(
        {
            "product_id": product_names(rows),
            "type": pick(_type_keys(world), t),
            "brand": pick(_brand_keys(world), catalogue.brand[rows]),
            "model": pick(models, catalogue.model[rows]),
            **{name: pick(value_keys, catalogue.values[rows, a]) for a, name in enumerate(ATTRIBUTES)},
            "fits_0": pick(models, fits[:, 0]),
            "fits_1": pick(models, fits[:, 1]),
            "hidden": pick(pl.Series(HIDEABLE), catalogue.hidden[rows]),
            "popularity": catalogue.popularity[rows].astype(np.float64),
            "cold": catalogue.cold[rows],
        }
    )
    features = pl.DataFrame({f"f{i}": s for i, s in enumerate(has)}).select(
        features=pl.concat_list(pl.all()).list.drop_nulls()
    )
    fitted = frame.select(fits=pl.concat_list("fits_0", "fits_1").list.drop_nulls())
    return frame.drop("fits_0", "fits_1").with_columns(features["features"], fitted["fits"])


def _has(catalogue: Catalogue, rows: Ints, bit: Ints) -> np.ndarray:
    return (catalogue.features[rows] >> np.maximum(bit, 0).astype(np.uint8)) & 1 == 1


def relation_table(world: World) -> pl.DataFrame:
    """Return relations of types: `fits_model/_size/_type`, `pairs`, `look_alike`, `need`, `department`."""
    rows: list[tuple[str, str, str]] = []
    keys = [t.key for t in world.types]
    for a, d in np.argwhere(world.fits > 0).tolist():
        rows.append((f"fits_{FITS[world.fits[a, d]]}", keys[a], keys[d]))
    for name, table in (("pairs", world.pairs), ("look_alike", world.lookalikes)):
        rows += [(name, keys[a], keys[b]) for a, b in np.argwhere(table).tolist()]
    rows += [("need", t.key, world.needs[t.need].key) for t in world.types]
    rows += [("department", t.key, world.departments[t.department].key) for t in world.types]
    return pl.DataFrame(rows, schema=["relation", "src", "dst"], orient="row")


def model_table(world: World, catalogue: Catalogue) -> pl.DataFrame:
    """Return the named models: key, type, brand, line number and generation."""
    models = catalogue.models
    return pl.DataFrame(
        {
            "model": _model_keys(world, catalogue),
            "type": pick(_type_keys(world), models.type),
            "brand": pick(_brand_keys(world), models.brand),
            "line": models.line,
            "generation": pl.Series(GENERATIONS).gather(models.generation),
        }
    )


def delay_law_table(world: World) -> pl.DataFrame:
    """Return each department's mixture of delays: shares of minutes, a day, weeks."""
    rows = [(d.key, *d.delay) for d in world.departments]
    return pl.DataFrame(
        rows, schema=["department", "weight_minutes", "weight_day", "weight_weeks"], orient="row"
    )


def position_table(positions: Ints) -> pl.DataFrame:
    """Return how often each position was shown, clicked, added, bought, and held an exact match."""
    columns = {f"{name}s": positions[:, i] for i, name in enumerate(STEPS)}
    return pl.DataFrame({"position": np.arange(1, PAGE + 1), **columns, "exact": positions[:, -1]})


def _type_keys(world: World) -> pl.Series:
    return pl.Series([t.key for t in world.types])


def _brand_keys(world: World) -> pl.Series:
    return pl.Series([b.words[0][0] for b in world.brands])


def _value_keys(world: World) -> pl.Series:
    return pl.Series([v.key.split(":", 1)[1] for v in world.values])


def _model_keys(world: World, catalogue: Catalogue) -> pl.Series:
    return _brand_keys(world).gather(catalogue.models.brand) + " " + pl.Series(catalogue.models.name)
