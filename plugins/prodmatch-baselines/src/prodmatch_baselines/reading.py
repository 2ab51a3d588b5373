"""Texts as long tables of what is in them: words, quantities, model names. Everything runs inside Polars."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_DENSE = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_WORD = rf"[{_DENSE}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_DENSE}]]+"
"Runs of letters and digits; of scripts without spaces, single characters."
_MODEL = r"[a-z0-9]+(?:[-./][a-z0-9]+)*"
_MEASURED = r"^[\d./-]+(?:x[\d./-]+)*$"
"Numbers and sizes such as 2x4, which are no models."

UNITS: dict[str, dict[float, tuple[str, ...]]] = {
    "length": {  # millimetres
        1.0: ("mm", "ミリ"),
        10.0: ("cm", "センチ", "centimeter", "centimeters"),
        1000.0: ("m", "meter", "meters", "metre", "metres", "metro", "metros", "メートル"),
        25.4: ("in", "inch", "inches", "pulgada", "pulgadas", '"', "”", "″", "インチ"),
        304.8: ("ft", "foot", "feet", "'", "’", "′"),
        914.4: ("yd", "yard", "yards"),
    },
    "area": {92903.04: ("sq. ft", "sq.ft", "sq ft", "square feet", "square foot"), 1e6: ("sq m", "m²", "m2")},
    "mass": {  # grams
        1.0: ("g", "gram", "grams", "gramos", "グラム"),
        1000.0: ("kg", "kilo", "kilos", "キロ"),
        453.592: ("lb", "lbs", "pound", "pounds"),
        28.3495: ("oz", "ounce", "ounces"),
    },
    "volume": {  # millilitres
        1.0: ("ml", "cc"),
        1000.0: ("l", "liter", "liters", "litre", "litres", "litro", "litros", "リットル"),
        29.5735: ("fl oz", "fl. oz", "oz", "ounce", "ounces"),
        473.176: ("pt", "pint", "pints"),
        946.353: ("qt", "quart", "quarts"),
        3785.41: ("gal", "gallon", "gallons"),
    },
    "power": {1.0: ("w", "watt", "watts", "ワット"), 1000.0: ("kw",), 745.7: ("hp", "horsepower")},
    "voltage": {1.0: ("v", "volt", "volts")},
    "current": {1.0: ("amp", "amps"), 0.001: ("ma",)},
    "charge": {1.0: ("mah",), 1000.0: ("ah",)},
    "storage": {1.0: ("mb",), 1000.0: ("gb",), 1e6: ("tb",)},
    "light": {1.0: ("lumen", "lumens", "lm")},
    "pressure": {1.0: ("psi",)},
    "flow": {1.0: ("gpm",)},
    "air": {1.0: ("cfm",)},
    "heat": {1.0: ("btu",)},
    "angle": {1.0: ("degree", "degrees", "°")},
    "count": {
        1.0: (
            "pack",
            "pk",
            "pc",
            "pcs",
            "piece",
            "pieces",
            "count",
            "ct",
            "pieza",
            "piezas",
            "個",
            "枚",
            "本",
        )
    },
}
"Dimension -> factor -> how it is written. An ounce weighs or fills."
_SPELLED = sorted((word for found in UNITS.values() for words in found.values() for word in words), key=len)[
    ::-1
]
_WORDS = "|".join(word.replace(".", r"\.") for word in _SPELLED if word[-1].isascii() and word[-1].isalnum())
_SIGNS = "|".join(word for word in _SPELLED if not (word[-1].isascii() and word[-1].isalnum()))
_NUMBER = r"(?:(\d[\d,]*(?:\.\d+)?)[\s-]+)?(\d+)/(\d+)|(\d[\d,]*(?:\.\d+)?|\.\d+)"
_QUANTITY = rf"(?:{_NUMBER})[\s-]?(?:((?:{_WORDS})\b)|({_SIGNS}))"
"Whole and fraction (2-1/2, 2 1/2, 1/2) or decimal, then a unit."


def folded(texts: Sequence[str]) -> pl.DataFrame:
    """Return the texts in one form of writing: columns text (uint32, its number) and folded."""
    read = pl.DataFrame({"folded": pl.Series(texts, dtype=pl.String)})
    return read.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("text"),
        pl.col("folded").str.normalize("NFKC").str.to_lowercase(),
    )


def _found(texts: pl.DataFrame, pattern: str, name: str) -> pl.DataFrame:
    found = texts.select("text", pl.col("folded").str.extract_all(pattern).alias(name))
    return found.explode(name, empty_as_null=False) if texts.height else found.explode(name)


def words(texts: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct words of folded texts: columns text, word and count.

    The plural's s is cut off, so that `sheds` meets `shed`.
    """
    found = _found(texts, _WORD, "word").drop_nulls("word")
    plural = pl.col("word").str.contains(r"^\p{L}{3,}[^s]s$")
    single = pl.when(plural).then(pl.col("word").str.head(-1)).otherwise("word")
    return found.with_columns(single.alias("word")).group_by("text", "word").agg(count=pl.len())


def models(texts: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct tokens of folded texts that mix letters and digits and are no quantity: text and model.

    `DCD-771` and `dcd771` are one.
    """
    found = _found(texts, _MODEL, "model").drop_nulls("model")
    token = pl.col("model")
    mixed = token.str.contains("[a-z]") & token.str.contains(r"\d") & (token.str.len_chars() > 2)
    plain = token.str.contains(_MEASURED) | token.str.contains(f"^{_QUANTITY}$")
    return found.filter(mixed & ~plain).select("text", token.str.replace_all("[-./]", "")).unique()


def quantities(texts: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct quantities of folded texts: columns text, dimension, value in the dimension's own unit."""
    found = _found(texts, _QUANTITY, "quantity").drop_nulls("quantity")
    parts = found.select("text", pl.col("quantity").str.extract_groups(_QUANTITY)).unnest("quantity")
    whole, top, bottom, decimal, word, sign = (parts.columns[place] for place in range(1, 7))
    fraction = _number(top) / _number(bottom)
    value = pl.coalesce(_number(decimal), fraction + _number(whole).fill_null(0.0), fraction)
    read = parts.select("text", number=value, unit=pl.coalesce(word, sign))
    return (
        read.filter(pl.col("number").is_finite() & (pl.col("number") > 0))
        .join(_units(), on="unit")
        .select("text", "dimension", value=pl.col("number") * pl.col("factor"))
        .unique()
    )


def _number(name: str) -> pl.Expr:
    """Read `1,000` as a thousand and `2,5` as two and a half."""
    thousands = pl.col(name).str.replace_all(r",(\d{3})", "${1}")
    return thousands.str.replace_all(",", ".").cast(pl.Float64, strict=False)


def _units() -> pl.DataFrame:
    rows = [
        (word, dimension, factor)
        for dimension, found in UNITS.items()
        for factor, spelled in found.items()
        for word in spelled
    ]
    return pl.DataFrame(
        rows, schema={"unit": pl.String, "dimension": pl.String, "factor": pl.Float64}, orient="row"
    )
