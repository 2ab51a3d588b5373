"""The sentence at the head of the report: what the pipeline achieves, against what, and how surely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from prodmatch_core.report import formats

Standing = Literal["better", "worse", "open", "unknown"]

PHRASES: Mapping[Standing, str] = {
    "better": "clearly better than",
    "worse": "clearly worse than",
    "open": "not clearly different from",
    "unknown": "not compared with",
}


def standing(difference: Mapping[str, Any], direction: str = "higher", level: float = 0.95) -> Standing:
    """Say whether the pipeline is better than what it is compared with.

    A difference is clear when its interval leaves out zero and, where a test was made, its p-value is at most
    `1 - level`.

    Args:
        difference: `value`, `low`, `high` and `p` of pipeline minus other; any of them may be None.
        direction: `higher` or `lower`, whichever is better.
        level: coverage of the interval.
    """
    low, high, p = (formats.number(difference.get(key)) for key in ("low", "high", "p"))
    if low is None or high is None:
        return "unknown"
    if low <= 0 <= high or (p is not None and p > 1 - level + 1e-9):
        return "open"
    return "better" if (low > 0) == (direction == "higher") else "worse"


def verdict(metrics: Mapping[str, Any]) -> str:
    """Return one sentence on the pipeline's headline measure against every baseline, from metrics.json."""
    headline, level = metrics["headline"], metrics.get("level", 0.95)
    line = metrics["lines"][-1]
    estimate = line["measures"].get(headline) or {}
    subject, measure = f"“{metrics['name']}”", formats.in_sentence(headline)
    if formats.number(estimate.get("value")) is None:
        return f"{subject} has no {measure}: it is undefined on this test set."
    text = f"{subject} reaches {_article(measure)} {measure} of {formats.figure(estimate['value'])}"
    if interval := formats.span(estimate):
        text += f" ({level:.0%} interval {interval})"
    compared = _comparisons(metrics, headline, level)
    return f"{text}{': ' if compared else ''}{compared}."


def _comparisons(metrics: Mapping[str, Any], headline: str, level: float) -> str:
    baselines = [line["name"] for line in metrics["lines"] if line["kind"] == "baseline"]
    direction = metrics.get("directions", {}).get(headline, "higher")
    found: dict[Standing, list[str]] = {kind: [] for kind in PHRASES}
    for name in baselines:
        difference = difference_from(metrics, name, headline)
        by = formats.signed(difference.get("value"))
        interval = formats.span(difference)
        detail = f" ({by}, interval {interval})" if interval else ""
        article = "the " if name == "majority class" else ""
        found[standing(difference, direction, level)].append(f"{article}{name}{detail}")
    clauses = [f"{PHRASES[kind]} {_and(names)}" for kind, names in found.items() if names]
    if found["better"] and len(clauses) > 1:
        return f"{clauses[0]}, but {', and '.join(clauses[1:])}"
    return ", and ".join(clauses)


def difference_from(metrics: Mapping[str, Any], name: str, measure: str) -> Mapping[str, Any]:
    """Return the recorded difference of the pipeline from line `name` in `measure`; empty where none is."""
    for difference in metrics.get("differences") or ():
        if difference["against"] == name and difference["measure"] == measure:
            return difference
    return {}


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _article(word: str) -> str:
    # Letters whose names start with a vowel: an F1, an nDCG, an MRR; but a macro F1.
    spelt = word[:2].isupper() or word[1:2].isupper() or word[1:2].isdigit()
    vowels = "AEFHILMNORSX" if spelt else "AEIO"
    return "an" if word[:1].upper() in vowels else "a"
