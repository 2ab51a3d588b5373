"""What the report says: a run's files turned into the plain tables and charts that the template lays out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from prodmatch_core.data import gains
from prodmatch_core.data.tables import SPLITS
from prodmatch_core.errors import ConfigError, RunError
from prodmatch_core.evaluation import curves, probability
from prodmatch_core.evaluation.evaluated import Evaluated
from prodmatch_core.evaluation.slices import MINIMUM_QUERIES
from prodmatch_core.report import charts, drawing, formats
from prodmatch_core.report.verdict import standing, verdict
from prodmatch_core.rundir import Run
from prodmatch_core.sections import STREAM, PipelineFile

STAGES = ("load", "members", "aggregate", "calibrate", "evaluate")
"Stages of a run in the order they happen; JSON files keep their keys by name."

CONTENTS = (
    ("result", "Result"),
    ("pipeline", "Pipeline"),
    ("classes", "Classes"),
    ("confusion", "Confusion"),
    ("match", "Precision and recall"),
    ("reliability", "Reliability"),
    ("slices", "Slices"),
    ("learning", "Learning"),
    ("mistakes", "Mistakes"),
    ("data", "Data"),
    ("provenance", "Provenance"),
)
"Sections in the order of the page: identifier and title."
OF_CLASSES = ("classes", "confusion", "match", "reliability")
"Sections that only a task with class probabilities has."

LANGUAGES: Mapping[str, str] = {"us": "en", "uk": "en", "gb": "en", "jp": "ja", "cn": "zh", "kr": "ko"}
"Locales that data sets write as a country; a browser picks the letter shapes of a text by its language."


def context(run: Run, pipeline: PipelineFile | ConfigError) -> dict[str, Any]:
    """Return everything the template needs, but the plugins' sections.

    Args:
        run: the finished run.
        pipeline: its resolved pipeline, or the ConfigError that reading it raised.

    Raises:
        RunError: a file of the run is missing, unreadable, or lacks what a report cannot do without.
    """
    metrics = run.metrics
    absent = [key for key in ("name", "headline", "lines") if not metrics.get(key)]
    if absent:
        raise RunError(
            f"{run.path / 'metrics.json'}: {', '.join(absent)} missing or empty, so there is nothing "
            "to report. Run the pipeline again."
        )
    classes = run.task.answer == "classes"
    return {
        "metrics": metrics,
        "task": run.task,
        "contents": [item for item in CONTENTS if classes or item[0] not in OF_CLASSES],
        "verdict": verdict(metrics),
        "facts": _facts(run),
        "headline": headline(metrics),
        "drawing": pipeline_drawing(run, pipeline),
        **(_of_classes(run, metrics) if classes else dict.fromkeys(OF_CLASSES)),
        "slices": slices(metrics),
        "learning": learning(run, metrics, pipeline),
        "mistakes": [_mistake(mistake) for mistake in run.mistakes],
        "data": data_card(run),
        "provenance": provenance(run),
        "positive": run.scheme.positive,
    }


def _of_classes(run: Run, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that only class probabilities have."""
    evaluated = run.evaluated()
    return {
        "classes": [
            _complete(row, "label", "precision", "recall", "f1", "support")
            for row in metrics.get("per_class") or ()
        ],
        "confusion": confusion(metrics, run.scheme.labels),
        "match": match_curve(metrics, evaluated),
        "reliability": reliability(metrics, evaluated),
    }


def _complete(table: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return `table` with None under every key it lacks, which the template shows as an en dash."""
    return {**dict.fromkeys(keys), **table}


def _facts(run: Run) -> list[str]:
    counts = run.metrics.get("counts") or {}
    facts = []
    if counts.get("test") is not None:
        of = (
            f" of {formats.count(counts['test_queries'])} {run.task.grouped}"
            if counts.get("test_queries") is not None
            else ""
        )
        facts.append(f"{formats.count(counts['test'])} test {run.task.unit}{of}")
    facts.append(f"data {run.data.get('name') or formats.ABSENT}")
    facts.append(f"seed {run.provenance.get('seed', formats.ABSENT)}")
    facts.append(formats.moment(run.provenance.get("created")))
    return facts


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline table, its dot plot and the differences from the pipeline."""
    name, directions = metrics["headline"], metrics.get("directions") or {}
    lines = metrics["lines"]
    names = formats.in_order((measure for line in lines for measure in line["measures"]), name)
    best = {measure: _best(lines, measure, directions.get(measure, "higher")) for measure in names}
    dots = []
    for line in lines:
        estimate = line["measures"].get(name) or {}
        value, low, high = (formats.number(estimate.get(key)) for key in ("value", "low", "high"))
        dots.append(
            charts.Dot(line["name"], value, low, high, strong=line is lines[-1], hollow=line is not lines[-1])
        )
    label = formats.measure(name)
    rows = differences(metrics)
    return {
        "measures": [
            {"label": formats.measure(measure), "direction": directions.get(measure, "higher")}
            for measure in names
        ],
        "lines": [
            {
                "name": line["name"],
                "kind": line["kind"],
                "cells": [_cell(line["measures"].get(measure), best[measure]) for measure in names],
            }
            for line in lines
        ],
        "chart": Markup(charts.dot_plot(dots, f"{label} of every line", label, "lines")),
        "differences": rows,
        # Where all are in one measure, its name stands in the heading and not in every row.
        "compared": formats.in_sentence(rows[0]["name"]) if len({row["name"] for row in rows}) == 1 else "",
    }


def _best(lines: Iterable[Mapping[str, Any]], measure: str, direction: str) -> str:
    values = [formats.number((line["measures"].get(measure) or {}).get("value")) for line in lines]
    known = [value for value in values if value is not None]
    return formats.figure((max if direction == "higher" else min)(known)) if known else ""


def _cell(estimate: Mapping[str, Any] | None, best: str) -> dict[str, Any]:
    shown = formats.figure((estimate or {}).get("value"))
    # Lines that show the same figure share the bold: what the eye cannot tell apart is not ranked.
    return {"text": shown, "span": formats.span(estimate), "best": shown == best}


def differences(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of differences, pipeline minus another line."""
    directions, level = metrics.get("directions") or {}, metrics.get("level", 0.95)
    return [
        {
            **_complete(difference, "value", "low", "high", "p"),
            "name": difference["measure"],
            "measure": formats.measure(difference["measure"]),
            "standing": standing(difference, directions.get(difference["measure"], "higher"), level),
        }
        for difference in metrics.get("differences") or ()
    ]


def pipeline_drawing(run: Run, pipeline: PipelineFile | ConfigError) -> dict[str, Any]:
    """Return the drawing in both directions and the text of the resolved file."""
    try:
        text = (run.path / "resolved.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"{run.path / 'resolved.toml'}: cannot be read: {error}. Run the pipeline again."
        ) from None
    if isinstance(pipeline, ConfigError):
        return {"problem": str(pipeline), "text": text}
    across = drawing.draw(pipeline, ident="pipeline-across")
    down = drawing.draw(pipeline, down=True, ident="pipeline-down")
    return {"problem": "", "text": text, "across": Markup(across), "down": Markup(down)}


def confusion(metrics: Mapping[str, Any], labels: tuple[str, ...]) -> dict[str, Any] | None:
    """Return counts and row shares of the confusion matrix."""
    matrix = metrics.get("confusion")
    if not matrix:
        return None
    rows: list[dict[str, Any]] = []
    for label, counts in zip(labels, matrix, strict=True):
        total = sum(counts)
        cells = [{"count": n, "share": n / total if total else None} for n in counts]
        rows.append({"label": label, "index": len(rows), "cells": cells, "total": total})
    return {"labels": labels, "rows": rows, "totals": [sum(column) for column in zip(*matrix, strict=True)]}


def _pipeline_value(metrics: Mapping[str, Any], measure: str, evaluated: Evaluated) -> float | None:
    """Return the pipeline's figure as the table has it, or what the curve's own rows give."""
    recorded = metrics["lines"][-1]["measures"].get(measure)
    if recorded is not None:
        return formats.number(recorded.get("value"))
    return formats.number(getattr(probability, measure)(evaluated)(evaluated.example_weights))


def match_curve(metrics: Mapping[str, Any], evaluated: Evaluated) -> dict[str, Any]:
    """Return the precision-recall chart of the match."""
    matches, decided = evaluated.matches, evaluated.decided_matches
    point = None
    if matches.any() and decided.any():
        hits = float((matches & decided).sum())
        point = (hits / float(matches.sum()), hits / float(decided.sum()))
    share = float(matches.mean()) if len(matches) else 0.0
    curve = curves.precision_recall(evaluated)
    return {
        "chart": Markup(charts.precision_recall_chart(curve, share, point, "match")),
        "average_precision": _pipeline_value(metrics, "average_precision", evaluated),
        "share": share,
        "point": point,
    }


def reliability(metrics: Mapping[str, Any], evaluated: Evaluated) -> dict[str, Any]:
    """Return the reliability chart and the figures behind it."""
    bins = curves.reliability(evaluated)
    error = _pipeline_value(metrics, "ece", evaluated)
    return {
        "chart": Markup(charts.reliability_chart(bins, error, "reliability")),
        "ece": error,
        "few": charts.FEW,
        "bins": [
            {
                "low": float(bins.edges[index]),
                "high": float(bins.edges[index + 1]),
                "count": int(bins.count[index]),
                "stated": float(bins.confidence[index]),
                "observed": float(bins.observed[index]),
            }
            for index in np.flatnonzero(bins.count)
        ],
    }


def slices(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the dot plot and the table of slices."""
    found = metrics.get("slices") or []
    if not found:
        return None
    name = metrics["headline"]
    measures = formats.in_order((measure for piece in found for measure in piece["measures"]), name)
    dots, rows = [], []
    for piece in found:
        estimate = piece["measures"].get(name) or {}
        value, low, high = (formats.number(estimate.get(key)) for key in ("value", "low", "high"))
        dots.append(charts.Dot(str(piece["name"]), value, low, high, group=piece["by"]))
        cells = [_cell(piece["measures"].get(measure), "") for measure in measures]
        few = (piece.get("queries") or 0) < MINIMUM_QUERIES
        rows.append({**_complete(piece, "queries", "examples"), "cells": cells, "few": few})
    whole = formats.number((metrics["lines"][-1]["measures"].get(name) or {}).get("value"))
    label = formats.measure(name)
    return {
        "chart": Markup(charts.dot_plot(dots, f"{label} by slice", label, "slices", whole)),
        "measures": [formats.measure(measure) for measure in measures],
        "rows": rows,
        "few": MINIMUM_QUERIES if any(row["few"] for row in rows) else 0,
        "counted": any(row["examples"] != row["queries"] for row in rows),
    }


def learning(run: Run, metrics: Mapping[str, Any], pipeline: PipelineFile | ConfigError) -> dict[str, Any]:
    """Return one chart per member that logged epochs, and the names of those that did not."""
    events: dict[str, list[Mapping[str, Any]]] = {}
    for event in run.log():
        if event.get("event") == "epoch":
            events.setdefault(str(event["member"]), []).append(event)
    names = [line["name"] for line in metrics["lines"] if line["kind"] == "member"]
    members = {} if isinstance(pipeline, ConfigError) else {member.name: member for member in pipeline.member}
    drawn, silent = [], []
    for number, name in enumerate(dict.fromkeys([*names, *events])):
        if name not in events:
            silent.append(name)
            continue
        chosen = members[name].training.measure if name in members else ""
        measure = chosen or metrics["headline"]
        known = dict.fromkeys(key for event in events[name] for key in event.get("valid") or ())
        if measure not in known and known:
            measure = next(iter(known))
        higher = (metrics.get("directions") or {}).get(measure, "higher") == "higher"
        epochs = [
            charts.Epoch(
                " ".join(str(event[name]) for name in ("phase", "locale") if name in event),
                formats.number(event.get("loss")),
                formats.number((event.get("valid") or {}).get(measure)),
            )
            for event in events[name]
            if event.get("phase") != STREAM.name  # there are hundreds, each of a few rows
        ]
        chart = charts.learning_chart(name, epochs, formats.measure(measure), higher, f"learning-{number}")
        seconds = [formats.number(event.get("seconds")) for event in events[name]]
        drawn.append(
            {
                "name": name,
                "chart": Markup(chart),
                "seconds": sum(s for s in seconds if s is not None),
                "steps": len(events[name]) - len(epochs),
            }
        )
    return {"drawn": drawn, "silent": silent}


def _mistake(mistake: Mapping[str, Any]) -> dict[str, Any]:
    locale = str(mistake.get("locale") or "")
    keys = (
        *("query_id", "query", "product_id", "title", "locale"),
        *("label", "decided", "probability", "cause"),
        *("score", "wanted", "wanted_id"),
    )
    return {
        **_complete(mistake, *keys),
        "lang": LANGUAGES.get(locale.lower(), locale.replace("_", "-").lower()),
    }


def data_card(run: Run) -> dict[str, Any]:
    """Return what `data.describe.describe` wrote, arranged for reading: splits in order, counts by label."""
    data = run.data
    splits: list[dict[str, Any]] = []
    for name in sorted(
        data.get("splits") or {}, key=lambda n: SPLITS.index(n) if n in SPLITS else len(SPLITS)
    ):
        split = data["splits"][name]
        found = split.get("labels") or {}
        shares = [(label, float(found[label])) for label in run.scheme.labels if label in found]
        bar = charts.share_bar(shares, f"labels-{len(splits)}", f"Label shares of {name}") if shares else ""
        cells = {
            label: {"count": round(share * (split.get("judgements") or 0)), "share": share}
            for label, share in shares
        }
        splits.append(
            {**_complete(split, "queries", "judgements"), "name": name, "bar": Markup(bar), "cells": cells}
        )
    lengths = data.get("lengths") or {}
    facts = [
        ("Characters per query", (lengths.get("queries.text") or {}).get("median")),
        ("Characters per title", (lengths.get("products.title") or {}).get("median")),
        ("Judgements per query", (data.get("judgements_per_query") or {}).get("median")),
    ]
    return {
        **_complete(data, "name", "source", "licence", "fingerprint", "notes"),
        "facts": facts,
        "splits": splits,
        "labels": [label for label in run.scheme.labels if any(label in split["cells"] for split in splits)],
        "tables": {name: table.get("rows") for name, table in (data.get("tables") or {}).items()},
        "locales": {name: locale.get("products") for name, locale in (data.get("locales") or {}).items()},
    }


def _stage(name: str) -> tuple[bool, int, str]:
    return name == "total", STAGES.index(name) if name in STAGES else len(STAGES), name


def provenance(run: Run) -> dict[str, Any]:
    """Return versions, machine, durations and warnings."""
    found = run.provenance
    seconds = run.metrics.get("seconds") or found.get("seconds") or {}
    if not isinstance(seconds, Mapping):
        seconds = {"total": seconds}
    return {
        **_complete(found, "created", "seed", "machine", "distributions", "tie_rule", "warnings"),
        "durations": list(formats.leaves(dict(sorted(seconds.items(), key=lambda item: _stage(item[0]))))),
        "gains": gains.text(found.get("gain_profile", "scheme"), run.scheme),
        "tie_share": run.metrics.get("tie_share"),
        "ties": run.metrics.get("ties"),
    }
