"""The page of a comparison: a forest plot, the tables, and what differs, as one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from prodmatch_core.comparison.comparing import seeds_text
from prodmatch_core.report import charts, formats, svg
from prodmatch_core.report.page import template
from prodmatch_core.writing import write_text

STANDINGS: Mapping[str, str] = {
    "better": "better",
    "worse": "worse",
    "open": "not clear",
    "same": "the same",
    "unknown": formats.ABSENT,
}
"What is said of an arm beside another."
NAMED = 3
"Clear differences that are named in a sentence; the rest is counted. So many arms are not named in the heading."
LETTERS = 18
"Longest name in a chart."


def write_compare_page(figures: Mapping[str, Any], path: Path) -> None:
    """Write the page of a comparison.

    Raises:
        RunError: the file cannot be written; nothing half-written is left.
    """
    write_text(path, render_compare_page(figures))


def render_compare_page(figures: Mapping[str, Any]) -> str:
    """Return the page of a comparison: what `comparing.compare` found, with `standing` of each difference.

    Args:
        figures: beside what `compare` returns, `notes`, lines a reader must know, and `failed`, arm -> reason.
    """
    return str(template("compare.html").render(**page_context(figures)))


def page_context(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything the template needs."""
    differences, names = figures["differences"], [arm["name"] for arm in figures["arms"]]
    bases = list(dict.fromkeys(one["against"] for one in differences))
    base = bases[0] if len(bases) == 1 else None
    measures = [
        {"name": name, "label": formats.measure(name), "direction": direction}
        for name, direction in figures["directions"].items()
    ]
    return {
        "figures": figures,
        "title": " and ".join(names) if len(names) < NAMED else f"{len(names)} arms compared",
        "verdict": verdict(figures),
        "facts": list(_facts(figures)),
        "base": base,
        "level": f"{100 * figures['level']:g}%",
        "risk": f"{100 * (1 - figures['level']):g}%",
        "headline": formats.measure(figures["headline"]),
        "one_group": formats.plural(1, figures["grouped"].removesuffix("s").replace("querie", "query"))[2:],
        "measures": measures,
        "charts": [
            Markup(_forest(measure, differences, base, number)) for number, measure in enumerate(measures)
        ]
        if differences
        else [],
        "rows": [_row(one, number, figures["grouped"]) for number, one in enumerate(differences)],
        "arms": list(_arms(figures)),
        "settings": [
            {"path": path, "cells": list(map(_setting, values))}
            for path, values in figures["settings"].items()
        ],
        "pairs": list(dict.fromkeys((one["arm"], one["against"]) for one in differences)),
        "slices": [
            {**part, "differences": [{**one, "digits": _digits(one)} for one in part["differences"]]}
            for part in (figures["slices"] if differences else [])
        ],
        "failed": figures["failed"],
        "notes": figures["notes"],
    }


def verdict(figures: Mapping[str, Any]) -> str:
    """Return in a sentence or two what the comparison shows in its leading measure."""
    name = formats.in_sentence(figures["headline"])
    found = [one for one in figures["differences"] if one["measure"] == figures["headline"]]
    if not found:
        return "There is one arm, and nothing to compare it with."
    clear = [
        f"{one['arm']} is {one['standing']} than {one['against']} by {formats.figure(abs(one['value']), _digits(one))}"
        for one in found
        if one["standing"] in ("better", "worse")
    ]
    rest = len(clear) - NAMED
    if rest > 0:
        clear = [*clear[:NAMED], f"{rest} more difference{'s are' if rest > 1 else ' is'} clear"]
    sentences = [f"In {name}, {'; '.join(clear)}."] if clear else []
    open_, same = (sum(one["standing"] == kind for one in found) for kind in ("open", "same"))
    if open_ == len(found):
        sentences.append(f"In {name}, no difference is clear on these {figures['grouped']}.")
    elif open_:
        sentences.append(f"{formats.plural(open_, 'comparison')} {'are' if open_ > 1 else 'is'} not clear.")
    if same:
        sentences.append(f"{formats.plural(same, 'comparison')} found no difference at all.")
    return (
        " ".join(sentences)
        or f"{formats.measure(figures['headline'])} has no value on these {figures['grouped']}."
    )


def _facts(figures: Mapping[str, Any]) -> Iterator[str]:
    arms, sets = figures["arms"], figures["test_sets"]
    yield f"task {figures['task']}"
    yield formats.plural(len(arms), "arm")
    yield formats.plural(sum(len(arm["runs"]) for arm in arms), "run")
    if len(sets) > 1:
        yield f"{len(sets)} test sets"
    sizes = dict.fromkeys((found["rows"], found["queries"]) for found in sets)
    if len(sizes) == 1:
        ((rows, queries),) = sizes
        yield f"{rows:,} test {figures['unit']} of {queries:,} {figures['grouped']}"


def _forest(
    measure: Mapping[str, str], differences: Sequence[Mapping[str, Any]], base: str | None, number: int
) -> str:
    """Return the differences in one measure with their intervals, around a line at none."""
    way = "right" if measure["direction"] == "higher" else "left"
    mine = [one for one in differences if one["measure"] == measure["name"]]
    digits = formats.decimals(*(one["value"] for one in mine))
    dots = [
        charts.Dot(
            _short(one["arm"]),
            formats.number(one["value"]),
            formats.number(one["low"]),
            formats.number(one["high"]),
            group="" if base is not None else f"from {_short(one['against'])}",
            hollow=one["standing"] not in ("better", "worse"),
        )
        for one in mine
    ]
    return charts.dot_plot(
        dots,
        f"Differences in {formats.in_sentence(measure['name'])}",
        f"{measure['label']} ({way} is better)",
        f"forest-{number}",
        reference=0.0,
        write=lambda value: formats.signed(value, digits),
    )


def _digits(estimate: Mapping[str, Any]) -> int:
    return formats.decimals(*(estimate.get(key) for key in ("value", "low", "high")))


def _short(name: str) -> str:
    """Return a name that fits a chart: arms' names tend to differ at their ends, so the middle is left out."""
    return name if svg.columns(name) <= LETTERS else f"{name[: LETTERS // 2 - 1]}…{name[-LETTERS // 2 :]}"


def _row(one: Mapping[str, Any], number: int, grouped: str) -> dict[str, Any]:
    counts = one["queries"]
    bar = ""
    if counts and sum(counts.values()):
        title = f"{one['arm']} beside {one['against']} in {formats.in_sentence(one['measure'])}"
        bar = charts.won_bar(
            counts["wins"], counts["ties"], counts["losses"], grouped, title, f"won-{number}"
        )
    return {
        **one,
        "digits": _digits(one),
        "label": formats.measure(one["measure"]),
        "said": STANDINGS[one["standing"]],
        "counts": counts,
        "bar": Markup(bar),
    }


def _arms(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    best = {}
    for name, direction in figures["directions"].items():
        values = [formats.number(arm["measures"][name]["value"]) for arm in figures["arms"]]
        known = [value for value in values if value is not None]
        best[name] = (max if direction == "higher" else min)(known) if known else None
    columns = {
        name: formats.estimate_decimals(arm["measures"][name] for arm in figures["arms"])
        for name in figures["directions"]
    }
    for arm in figures["arms"]:
        cells = []
        for name in figures["directions"]:
            figure = arm["measures"][name]
            value, digits = formats.number(figure["value"]), columns[name]
            cells.append(
                {
                    "text": formats.figure(value, digits),
                    "span": formats.span(figure, digits),
                    "spread": formats.figure(figure["spread"], digits)
                    if figure["spread"] is not None
                    else "",
                    "best": value is not None and value == best[name],
                }
            )
        runs = [
            {
                "seeds": seeds_text(run["seeds"]),
                "path": run["path"],
                "cells": [
                    formats.figure(run["measures"][name], columns[name]) for name in figures["directions"]
                ],
            }
            for run in arm["runs"]
        ]
        yield {"name": arm["name"], "cells": cells, "runs": runs}


def _setting(value: Any) -> str:
    if value is None:
        return formats.ABSENT
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
