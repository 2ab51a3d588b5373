"""Layouts: how a product's words make up a title, bullets and a description, in each language."""

from __future__ import annotations

import polars as pl

_LABELS = (
    {"color": "Color", "material": "Material", "size": "Size", "form": "Type", "count": "Quantity"},
    {"color": "Color", "material": "Material", "size": "Tamaño", "form": "Tipo", "count": "Cantidad"},
    {"color": "カラー", "material": "素材", "size": "サイズ", "form": "タイプ", "count": "数量"},
)
_FIT = (
    ("for {}", "Compatible with {}", "Fits {}", "(Not for {})", "Also in {}"),
    ("para {}", "Compatible con {}", "Válido para {}", "(No válido para {})", "También en {}"),
    ("{} 対応", "{} 専用", "{} 適合", "（{}には対応していません）", "【{}もあり】"),
)
_BULLET = (
    ("Feature: {}", "Please note: {}", "Compatible models: {}", "Other colors available: {}"),
    ("Característica: {}", "Atención: {}", "Modelos compatibles: {}", "Otros colores disponibles: {}"),
    ("特長：{}", "ご注意：{}", "対応機種：{}", "他のカラー：{}"),
)
_STORY = (
    (
        "Made to last: {kind} by {brand}. {uses}.",
        "Looking for something you can rely on? {kind} from {brand}, made with care. {uses}.",
        "{brand} presents: {kind}. Simple, solid and ready to use. {uses}.",
    ),
    (
        "{kind} de {brand}: calidad que dura, día tras día. {uses}.",
        "¿Busca calidad de confianza? {kind} de {brand}, con todo cuidado. {uses}.",
        "{brand} presenta: {kind}. Calidad sencilla y lista para usar. {uses}.",
    ),
    (
        "{brand}の{kind}です。{uses}。毎日安心してお使いいただけます。",
        "{brand}がお届けする{kind}。毎日の暮らしにおすすめです。{uses}。",
        "長く使える{kind}をお探しの方へ。{brand}が丁寧に作りました。{uses}。",
    ),
)


_TITLES = (
    (  # head | rest: slots joined by blanks | by commas
        (
            "brand model marketing material kind",
            "fit warn f0 form size f1 f2 color uses count f3 denied again also tail more",
        ),
        (
            "brand model size kind",
            "form fit warn color f2 material f0 f1 count denied uses f3 again also tail more",
        ),
        (
            "marketing kind",
            "brand model f1 size fit warn f0 material uses form f2 f3 color denied again also tail more",
        ),
        (
            "brand color kind model",
            "size count form f0 fit warn uses f2 f1 material f3 denied marketing again also tail more",
        ),
    ),
    (
        (
            "brand model kind marketing",
            "fit warn form size f0 color f1 material uses f2 count f3 denied again also tail more",
        ),
        (
            "kind brand model",
            "size form color fit warn material f1 f0 f2 uses f3 count denied marketing again also tail more",
        ),
        (
            "kind material brand model",
            "fit warn f0 size f2 form f1 count color uses f3 denied again also tail more",
        ),
        (
            "brand kind model color",
            "f1 form fit warn f0 size count f2 material uses f3 denied marketing again also tail more",
        ),
    ),
    (
        (
            "brand kind model",
            "fit warn size form f0 f1 material uses f2 color count f3 denied again also tail more",
        ),
        (
            "marketing brand model kind",
            "form f0 size fit warn color f2 f1 material uses f3 count denied again also tail more",
        ),
        (
            "kind brand model",
            "f1 material size color fit warn f0 form uses f2 f3 denied count marketing again also tail more",
        ),
        (
            "brand model kind marketing",
            "color fit warn f0 size f2 f1 form material uses f3 denied count again also tail more",
        ),
    ),
)
_SLOTS = {
    "uses": "uses_title",
    "denied": "denied_title",
    "again": "kind_again",
    "more": "tail_2",
    **{f"f{i}": f"feature_title_{i}" for i in range(4)},
}
"Slots of a title whose column has another name."


def title_expression(locale: int) -> pl.Expr:
    """Return the title, from the columns of words."""
    fitting = [pl.format(_FIT[locale][i], pl.col("fitted")) for i in (0, 1, 2, 0)]
    made = {
        "fit": _branches("template", fitting),
        "warn": pl.format(_FIT[locale][3], pl.col("not_for")),
        "also": pl.format(_FIT[locale][4], pl.col("also")),
    }

    def joined(slots: str, separator: str) -> pl.Expr:
        parts = [made[slot] if slot in made else pl.col(_SLOTS.get(slot, slot)) for slot in slots.split()]
        return pl.concat_str(*parts, separator=separator, ignore_nulls=True)

    comma = " " if locale == 2 else ", "
    options = [
        pl.concat_str(joined(head, " "), joined(rest, comma), separator=comma)
        for head, rest in _TITLES[locale]
    ]
    return _branches("template", options).str.strip_chars(", ")


def bullets_expression(locale: int) -> pl.Expr:
    """Return the bullets, one a line, from the columns of words: every fact that is not hidden."""
    colon = "：" if locale == 2 else ": "
    lines = [
        pl.format(f"{label}{colon}{{}}", pl.col(f"{name}_bullet")) for name, label in _LABELS[locale].items()
    ]
    feature, note, fitted, colors = _BULLET[locale]
    features = [pl.format(feature, pl.col(f"feature_{i}")) for i in range(4)]
    fit, denied = pl.format(fitted, pl.col("fitted")), pl.format(note, pl.col("denied"))
    other = pl.format(colors, pl.col("other_color"))
    orders = (
        [*lines, *features, fit, denied, other],
        [*features, fit, *lines, denied, other],
        [fit, lines[2], *features, denied, other, *lines[:2], *lines[3:]],
    )
    return _branches("story", [pl.concat_str(*order, separator="\n", ignore_nulls=True) for order in orders])


def description_expression(locale: int) -> pl.Expr:
    """Return the description, from the columns of words: a sentence or two and the main facts."""
    columns = {"{kind}": "kind_story", "{brand}": "brand", "{uses}": "uses"}

    def sentence(template: str) -> pl.Expr:
        slots = sorted(columns, key=template.index)
        for slot in slots:
            template = template.replace(slot, "{}")
        return pl.format(template, *(pl.col(columns[slot]) for slot in slots))

    main = (
        "form_bullet",
        "size_bullet",
        "material_bullet",
        "feature_0",
        "feature_1",
        "color_bullet",
        "fitted",
    )
    listed = pl.concat_str("model", *main, separator="、" if locale == 2 else ", ", ignore_nulls=True)
    story = _branches("story", [sentence(template) for template in _STORY[locale]])
    return pl.concat_str(story, listed, separator=" ", ignore_nulls=True).str.strip_chars(" ")


def _branches(column: str, options: list[pl.Expr]) -> pl.Expr:
    """Choose the option whose number stands in `column`; the last one serves all higher numbers."""
    whole = options[-1]
    for number, option in reversed(list(enumerate(options[:-1]))):
        whole = pl.when(pl.col(column) == number).then(option).otherwise(whole)
    return whole
