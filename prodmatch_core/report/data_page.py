"""The page of a data set: its description as one HTML file that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from markupsafe import Markup

from prodmatch_core.data.describing.delay_laws import DelayLaw
from prodmatch_core.data.describing.spreads import QUANTILES
from prodmatch_core.data.describing.text import DEGREES, elapsed, parameters
from prodmatch_core.report import charts, data_charts, formats
from prodmatch_core.report.page import template
from prodmatch_core.writing import write_text

LOCALES_DRAWN = 12
"Locales with a bar; the rest is added up."


def write_data_page(description: Mapping[str, Any], path: Path) -> None:
    """Write the page of a thorough description.

    Raises:
        RunError: the file cannot be written; nothing half-written is left.
    """
    write_text(path, render_data_page(description))


def render_data_page(description: Mapping[str, Any]) -> str:
    """Return the page of a description made by `data.describe.describe(dataset, Thorough())`."""
    return str(template("data.html").render(**data_context(description)))


def data_context(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything the template needs; a part that the data set does not have is None or empty."""
    sections = {
        "labels": _labels(description),
        "lengths": _lengths(description),
        "locales": _locales(description),
        "near": _near(description),
        "groups": _groups(description),
        "graph": _graph(description),
        "conversions": _conversions(description),
    }
    return {
        "data": description,
        "summary": summary(description),
        "tables": _tables(description),
        "quantiles": list(QUANTILES),
        "references": description.get("reference_figures") or {},
        **sections,
    }


def summary(description: Mapping[str, Any]) -> str:
    """Return in a sentence or two what the data set has."""
    tables = {name: table["rows"] for name, table in description["tables"].items()}
    names = {
        "products": "product",
        "queries": "query",
        "judgements": "judgement",
        "engagements": "engagement",
    }
    parts = [formats.plural(tables[key], word) for key, word in names.items() if key in tables]
    if "groups" in description:
        parts.append(f"{formats.plural(description['groups']['items'], 'item')} in groups")
    if "events" in description:
        parts.append(formats.plural(description["events"]["events"], "event"))
    told = (
        f"{', '.join(parts[:-1])} and {parts[-1]}." if len(parts) > 1 else f"{''.join(parts) or 'No rows'}."
    )
    return told


def _tables(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "rows": table["rows"],
            "empty": [
                (column, count, count / max(table["rows"], 1))
                for column, count in table["empty"].items()
                if count
            ],
        }
        for name, table in description["tables"].items()
    ] + [
        {"name": f"truth.{name}", "rows": rows, "empty": []}
        for name, rows in description.get("truth", {}).items()
    ]


def _labels(description: Mapping[str, Any]) -> dict[str, Any] | None:
    if "splits" not in description:
        return None
    labels = list(description["labels"])
    splits = []
    for number, (name, split) in enumerate(description["splits"].items()):
        shares = [(label, float(split["labels"][label])) for label in labels]
        bar = (
            charts.share_bar(shares, f"labels-{number}", f"Label shares of {name}")
            if split["judgements"]
            else ""
        )
        splits.append({"name": name, **split, "bar": Markup(bar), "shares": shares})
    return {"labels": labels, "splits": splits, "leaks": description["leaks"]}


def _lengths(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []
    found = description.get("histograms", {})
    order = ["judgements_per_query", *(key for key in found if key != "judgements_per_query")]
    for key in order:
        if not found.get(key):
            continue
        table, _, column = key.partition(".")
        judged = key == "judgements_per_query"
        title = "Queries" if judged else table.capitalize()
        axis = "Judgements per query" if judged else f"Characters of the {column}"
        quantities = description["judgements_per_query"] if judged else description["lengths"][key]
        chart = data_charts.histogram_chart(found[key], title, axis, f"histogram-{len(drawn)}")
        drawn.append({"name": axis if judged else key, "chart": Markup(chart), "quantiles": quantities})
    return drawn


def _locales(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = description["locales"]
    if len(found) < 2:
        return []  # one bar says nothing
    drawn = []
    for key in ("queries", "products", "judgements"):
        rows = sorted(
            ((name, row.get(key, 0)) for name, row in found.items()), key=lambda row: (-row[1], row[0])
        )
        if not any(count for _, count in rows):
            continue
        if len(rows) > LOCALES_DRAWN:
            rest = sum(count for _, count in rows[LOCALES_DRAWN - 1 :])
            rows = [*rows[: LOCALES_DRAWN - 1], (f"{len(rows) - LOCALES_DRAWN + 1} others", rest)]
        chart = data_charts.count_bars(rows, f"{key.capitalize()} by locale", f"locales-{key}")
        drawn.append({"name": key.capitalize(), "chart": Markup(chart)})
    return drawn


def _near(description: Mapping[str, Any]) -> dict[str, Any] | None:
    found = description.get("near_duplicates") or {}
    kinds = [
        {"name": kind, **found[kind]} for kind in ("queries", "titles") if found.get(kind, {}).get("rows")
    ]
    if not kinds:
        return None
    leaks = [
        {"kind": kind["name"], "split": split, **leak}
        for kind in kinds
        for split, leak in kind["leaks"].items()
    ]
    return {"similarity": found["similarity"], "recall": found["recall"], "kinds": kinds, "leaks": leaks}


def _groups(description: Mapping[str, Any]) -> dict[str, Any] | None:
    found = description.get("group_sizes")
    if not found:
        return None
    chart = data_charts.survival_chart(
        [("groups", found["sizes"])], "Items per group", "Items per group", "groups"
    )
    return {**found, **description["groups"], "splits": found["splits"], "chart": Markup(chart)}


def _graph(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    relations = []
    for number, (name, found) in enumerate((description.get("graph") or {}).items()):
        drawn: list[dict[str, Any]] = []
        for one, other, axis in (
            ("out", "in", "Different neighbours"),
            ("out_count", "in_count", "Sum of counts"),
        ):
            if one in found:
                curves = [(f"from {found['from']}", found[one]), (f"into {found['to']}", found[other])]
                ident = f"graph-{number}-{one}"
                chart = data_charts.survival_chart(curves, f"{axis} of {name}", axis, ident)
                drawn.append({"title": axis, "chart": Markup(chart)})
        spreads = [(words, found[key]) for key, words in DEGREES.items() if key in found]
        relations.append({"name": name, **found, "drawn": drawn, "spreads": spreads})
    return relations


def _conversions(description: Mapping[str, Any]) -> dict[str, Any] | None:
    found = description.get("conversions")
    if not found:
        return None
    laws = [
        {
            **law,
            "parameters": parameters(law),
            "median": elapsed(law["median_days"]),
            "converting": f"{law['converting']:.2%}",
            "behind": law["aic"] - found["laws"][0]["aic"],
        }
        for law in found["laws"]
    ]
    drawn = None
    if len(found["curve"]) > 1:
        days = [day for day, _ in found["curve"]]
        names = {field.name for field in attrs.fields(DelayLaw)}
        fitted = []
        for law in found["laws"][:2]:
            made = DelayLaw(**{key: value for key, value in law.items() if key in names})
            # The curve counts conversions seen; of a law, what it says of those by the last of them.
            seen = made.cumulative(days)
            fitted.append((law["name"], (seen / max(float(seen[-1]), 1e-12)).tolist()))
        drawn = Markup(data_charts.delay_chart(found["curve"], fitted, "delays"))
    return {
        **found,
        **description["events"],
        "laws": laws,
        "rate": f"{found['rate']:.2%}",
        "delays": {name: elapsed(days) for name, days in found["delay_days"].items()},
        "chart": drawn,
        "course_chart": Markup(data_charts.course_chart(found["course"], "course")),
    }
