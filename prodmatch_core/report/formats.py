"""Figures as a reader should meet them: an en dash for what is undefined, a real minus, thousands apart."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

ABSENT = "–"
"Shown for a value that is undefined or was not recorded."

MEASURES: Mapping[str, str] = {
    "macro_f1": "Macro F1",
    "accuracy": "Accuracy",
    "weighted_f1": "Weighted F1",
    "micro_f1": "Micro F1",
    "kappa": "Kappa",
    "quadratic_kappa": "Quadratic kappa",
    "match_f1": "Match F1",
    "mismatch_f1": "Mismatch F1",
    "average_precision": "Average precision",
    "mismatch_average_precision": "Mismatch average precision",
    "roc_auc": "ROC AUC",
    "ndcg": "nDCG",
    "mrr": "MRR",
    "map": "MAP",
    "recall": "Recall",
    "hit_rate": "Hit rate",
    "map_at_r": "MAP@R",
    "nll": "Log loss",
    "brier": "Brier score",
    "ece": "ECE",
}
"Usual names of the core's measures in the order of tables; a plugin's come last, under their own."

# What neither HTML nor XML can carry: control characters, lone surrogates, non-characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Return `text` with characters that no HTML or XML file may hold replaced by U+FFFD."""
    return _UNPRINTABLE.sub("�", text)


def number(value: Any) -> float | None:
    """Return `value` as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def figure(value: Any, digits: int = 3) -> str:
    """Write a measure's value: `0.512`, `−0.031`, `12.4`, `1,204`, or an en dash."""
    known = number(value)
    if known is None:
        return ABSENT
    size = abs(known)
    text = f"{known:,.{digits if size < 10 else 1 if size < 1000 else 0}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """Write a difference with its sign: `+0.104`, `−0.010`."""
    text = figure(value, digits)
    return text if text == ABSENT or text.startswith("−") or not text.strip("0.,") else f"+{text}"


def decimals(*values: Any, least: int = 3, most: int = 6) -> int:
    """Return with how many decimals figures are written so that the greatest of them has three digits that tell."""
    size = max((abs(known) for value in values if (known := number(value)) is not None), default=0.0)
    return least if size <= 0 else min(max(least, 2 - math.floor(math.log10(size))), most)


def estimate_decimals(estimates: Iterable[Mapping[str, Any]]) -> int:
    """Return the decimals that suit all of some estimates with intervals, as a column of a table wants it."""
    return max(
        (decimals(*(one.get(key) for key in ("value", "low", "high"))) for one in estimates), default=3
    )


def span(estimate: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Write the interval of `{"low", "high"}`: `0.498–0.526`, `−0.010 to 0.020`, or nothing where unknown."""
    low, high = (number((estimate or {}).get(end)) for end in ("low", "high"))
    if low is None or high is None:
        return ""
    sign = " to " if low < 0 else "–"
    return f"{figure(low, digits)}{sign}{figure(high, digits)}"


def count(value: Any) -> str:
    """Write a count, whole or of weights: `1,204`, `17.5`."""
    known = number(value)
    if known is None:
        return ABSENT
    return f"{known:,.0f}" if known == round(known) else f"{known:,.1f}"


def percent(value: Any) -> str:
    """Write a share: `12.3%`; a share that rounds to nothing and is not nothing is `<0.1%`."""
    known = number(value)
    if known is None:
        return ABSENT
    return "<0.1%" if 0 < known < 0.0005 else f"{known:.1%}"


def probability(value: Any) -> str:
    """Write p of a test: `0.032`, `<0.001`."""
    known = number(value)
    if known is None:
        return ABSENT
    return "<0.001" if known < 0.001 else f"{known:.3f}"


def duration(value: Any) -> str:
    """Write seconds: `0.31 s`, `12.4 s`, `3 min 05 s`, `2 h 07 min`."""
    known = number(value)
    if known is None:
        return ABSENT
    if known < 60:
        return f"{known:.2f} s" if known < 1 else f"{known:.1f} s"
    minutes, seconds = divmod(round(known), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def moment(text: Any) -> str:
    """Write an ISO 8601 time for a person: `21 November 2026, 07:10 UTC`."""
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return str(text or ABSENT)
    zone = f" {when.tzname()}" if when.tzinfo else ""
    return f"{when.day} {when:%B %Y, %H:%M}{zone}"


def measure(name: str) -> str:
    """Return the usual name of a measure: `macro_f1` -> `Macro F1`, `ndcg@10` -> `nDCG@10`."""
    stem, sign, depth = name.partition("@")
    return f"{MEASURES.get(stem, stem if '.' in stem else stem.replace('_', ' '))}{sign}{depth}"


def in_order(names: Iterable[str], first: str) -> list[str]:
    """Return different measures in the order of tables: `first`, the core's, the others by name."""
    order = list(MEASURES)

    def place(name: str) -> tuple[bool, int, str]:
        stem = name.partition("@")[0]
        return name != first, order.index(stem) if stem in order else len(order), name

    return sorted(set(names), key=place)


def in_sentence(name: str) -> str:
    """Return the name of a measure inside a sentence: capitals only where they belong to the word."""
    text = measure(name)
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def plural(value: int, word: str) -> str:
    """Return `1 query`, `2 queries`, `1,204 pairs`."""
    if value == 1:
        return f"1 {word}"
    return f"{value:,} {word[:-1]}ies" if word.endswith("y") else f"{value:,} {word}s"


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (`members / ngram`, value) of every leaf of nested tables."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key} / ")
        else:
            yield f"{prefix}{key}", value
