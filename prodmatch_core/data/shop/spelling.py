"""How quantities are written: one value, several spellings in each language ("1 L", "1000ml")."""

from __future__ import annotations

LOCALES = ("en", "es", "ja")
"The shop's markets, largest first; a locale's number is its place here."

_BEDS = {
    "single": ("single/twin", "individual/90 cm", "シングル/シングルサイズ"),
    "double": ("double/full size", "matrimonio/135 cm", "ダブル/ダブルサイズ"),
    "queen": ("queen/queen size", "queen/150 cm", "クイーン/クイーンサイズ"),
    "king": ("king/king size", "king/180 cm", "キング/キングサイズ"),
}
_WEAR = {"S": "small", "M": "medium", "L": "large", "XL": "extra large"}
_SHOES = {36: ("5.5", "23"), 38: ("7", "24"), 40: ("8.5", "25.5"), 42: ("9", "26.5"), 44: ("10.5", "28")}
_DIAPERS = {1: "新生児", 2: "S", 3: "M", 4: "L", 5: "ビッグ"}


def canonical(unit: str, value: float | str) -> str:
    """Return the key under which equal quantities meet: 1 liter and 1000 ml are both `ml:1000`."""
    if unit in ("liter", "kg"):
        return f"{'ml' if unit == 'liter' else 'gram'}:{round(float(value) * 1000)}"
    return f"{unit}:{value:g}" if isinstance(value, (int, float)) else f"{unit}:{value}"


def spell(unit: str, value: float | str) -> tuple[list[str], list[str], list[str]]:
    """Return the spellings of a quantity in English, Spanish and Japanese, the commonest first.

    Raises:
        KeyError: the unit is not known.
    """
    if isinstance(value, str):
        return _WORDS[unit](value)
    return _UNITS[unit](value)


def _n(value: float) -> str:
    return f"{round(value, 2):g}" if value < 1000 else f"{round(value)}"


def _es(value: float) -> str:
    return _n(value).replace(".", ",")


def _metric(symbol: str, word: str, kana: str, value: float) -> tuple[list[str], list[str], list[str]]:
    return (
        [f"{_n(value)}{symbol}", f"{_n(value)} {symbol}", f"{_n(value)} {word}"],
        [f"{_es(value)} {symbol}", f"{_es(value)}{symbol}"],
        [f"{_n(value)}{symbol}", f"{_n(value)}{kana}"],
    )


def _milliliters(value: float) -> tuple[list[str], list[str], list[str]]:
    liters = [f"{_n(value / 1000)} L", f"{_n(value / 1000)}L"] if value >= 250 else []
    ounces = [f"{round(value / 29.57)} oz"] if value <= 1000 else [f"{_n(round(value / 3785, 1))} gallon"]
    small = [f"{_n(value)}ml", f"{_n(value)} ml"]
    spanish = [f"{_n(value)} ml", *(s.replace(".", ",") for s in liters)]
    if value > 3000:
        return (
            liters + ounces,
            [s.replace(".", ",") for s in liters],
            [liters[1], liters[1][:-1] + "リットル"],
        )
    japanese = [f"{_n(value)}ml", *(liters[1:]), f"{_n(value)}ミリ"]
    if value >= 1000:
        return liters + small + ounces, [*spanish[1:], spanish[0]], [liters[1], f"{_n(value)}ml"]
    return [*small, *ounces, *liters[:1]], spanish, japanese


def _grams(value: float) -> tuple[list[str], list[str], list[str]]:
    kilos = _n(value / 1000)
    if value >= 1000:
        pounds = f"{_n(round(value / 453.6, 1))} lb"
        return (
            [f"{kilos}kg", f"{kilos} kg", pounds],
            [f"{_es(value / 1000)} kg", f"{_es(value / 1000)}kg"],
            [f"{kilos}kg", f"{kilos}キロ"],
        )
    return (
        [f"{_n(value)}g", f"{_n(value)} g", f"{_n(round(value / 28.35))} oz"],
        [f"{_n(value)} g", f"{_n(value)}g", f"{_n(value)} gramos"],
        [f"{_n(value)}g", f"{_n(value)}グラム"],
    )


def _gigabytes(value: float) -> tuple[list[str], list[str], list[str]]:
    if value >= 1000:
        text = f"{_n(value / 1000)}TB"
        return [text, f"{text[:-2]} TB"], [f"{text[:-2]} TB", text], [text, f"{text[:-2]}テラ"]
    return [f"{_n(value)}GB", f"{_n(value)} GB"], [f"{_n(value)} GB", f"{_n(value)}GB"], [f"{_n(value)}GB"]


def _count(value: float) -> tuple[list[str], list[str], list[str]]:
    n = _n(value)
    if value == 1:
        return ["1 pack", "single", "1 piece"], ["1 unidad", "1 ud"], ["1個", "単品"]
    if value >= 40:
        return [f"{n} count", f"{n} pcs", f"{n} ct"], [f"{n} unidades", f"{n} uds"], [f"{n}個入り", f"{n}個"]
    return (
        [f"{n} pack", f"pack of {n}", f"{n}-count", f"set of {n}"],
        [f"pack de {n}", f"{n} unidades", f"x{n}"],
        [f"{n}個セット", f"{n}個入り", f"{n}個"],
    )


_UNITS = {
    "inch": lambda v: (
        [f"{_n(v)} inch", f"{_n(v)}-inch", f'{_n(v)}"', f"{_n(v)}in"],
        [f"{_es(v)} pulgadas", f'{_es(v)}"'],
        [f"{_n(v)}インチ", f"{_n(v)}型"],
    ),
    "cm": lambda v: (
        [f"{_n(v)} cm", f"{_n(v)}cm", f"{round(v / 2.54)} inch"],
        [f"{_es(v)} cm", f"{_es(v)}cm"],
        [f"{_n(v)}cm", f"{_n(v)}センチ"],
    ),
    "mm": lambda v: _metric("mm", "millimeter", "ミリ", v),
    "point": lambda v: (
        [f"{_n(v)}mm", f"{_n(v)} mm", f"{_n(v)} point"],
        [f"{_es(v)} mm"],
        [f"{_n(v)}mm", f"{_n(v)}ミリ"],
    ),
    "watt": lambda v: _metric("W", "watt", "ワット", v),
    "volt": lambda v: _metric("V", "volt", "ボルト", v),
    "mah": lambda v: (
        [f"{_n(v)}mAh", f"{_n(v)} mAh", f"{v:,}mAh"],
        [f"{_n(v)} mAh", f"{_n(v)}mAh"],
        [f"{_n(v)}mAh"],
    ),
    "gb": _gigabytes,
    "ml": _milliliters,
    "liter": lambda v: _milliliters(v * 1000),
    "gram": _grams,
    "kg": lambda v: _grams(v * 1000),
    "meter": lambda v: (
        [f"{_n(v)}m", f"{_n(v)} m", f"{round(v * 3.281)} ft"],
        [f"{_es(v)} m", f"{_es(v)} metros"],
        [f"{_n(v)}m", f"{_n(v)}メートル"],
    ),
    "person": lambda v: (
        [f"{v} person", f"{v}-person", f"for {v} people" if v > 1 else "for one"],
        [f"{v} personas", f"para {v} personas"] if v > 1 else ["1 persona", "individual"],
        [f"{v}人用", f"{v}名用"],
    ),
    "shoe": lambda v: (
        [f"size {_SHOES[int(v)][0]}", f"EU {v}"],
        [f"talla {v}", f"{v} EU"],
        [f"{_SHOES[int(v)][1]}cm"],
    ),
    "diaper": lambda v: ([f"size {v}", f"stage {v}"], [f"talla {v}", f"T{v}"], [f"{_DIAPERS[int(v)]}サイズ"]),
    "count": _count,
}
_WORDS = {
    "bed": lambda v: (_BEDS[v][0].split("/"), _BEDS[v][1].split("/"), _BEDS[v][2].split("/")),
    "wear": lambda v: (
        [f"size {v}", _WEAR[v], v],
        [f"talla {v}", v],
        [f"{v}サイズ", v],
    ),
    "paper": lambda v: ([v, f"{v} size"], [v, f"tamaño {v}"], [f"{v}サイズ", v]),
}
