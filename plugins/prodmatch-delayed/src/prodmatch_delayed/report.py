"""The report's section on a course through time: figures by day, calibration, weights, late conversions and delays."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.data.describing.delay_laws import Times, fit_delay_laws
from prodmatch_core.records import Section
from prodmatch_core.report import formats
from prodmatch_core.report.data_charts import delay_chart
from prodmatch_core.rundir import Run
from prodmatch_core.sections import STREAM
from prodmatch_core.writing import write_parquet
from prodmatch_delayed import drift
from prodmatch_delayed.by_hour import Said, relative, said_by
from prodmatch_delayed.charts import Line, over_time, weight_bars
from prodmatch_delayed.notes import DELAYS, EDGES

MOST = 12
"Alarms that are listed; the rest is counted."
PLAIN = ("vanilla", "oracle", "fnc", "dfm")
"Methods that weigh every row alike."


@attrs.frozen(eq=False)
class Course:
    """What one member's loss noted: in training, and step by step after it."""

    member: str
    method: str
    trained: Mapping[str, Any] | None
    steps: Sequence[Mapping[str, Any] | None]


def sections(run: Run) -> list[Section]:
    """Return the section, where a member's loss noted something, and keep figures by hour in the run."""
    courses = [course for course in _courses(run) if course.trained is not None]
    if not courses:
        return []
    lines = said_by(run)
    write_parquet(run.path / "conversion_by_hour.parquet", pl.concat([line.by(13) for line in lines]))
    tree = tomllib.loads((run.path / "resolved.toml").read_text(encoding="utf-8"))
    steps = max(round(24 / tree["convert"]["step"]), 1)
    hour = run.predictions.filter(pl.col("split") == "valid")["hour"][0]
    start = datetime.fromisoformat(f"{hour}:00")
    html = [
        _by_day(lines),
        *(_weights(course, steps, start) for course in courses if course.method not in PLAIN),
        _delays(courses[0]),
    ]
    note = (
        "Every event was predicted before anything of its hour was learnt. A label counts from when it was known. "
        "conversion_by_hour.parquet has the figures by hour."
        if any(course.steps for course in courses)
        else "Labels count as they were known when training ended."
    )
    return [Section(title="Conversions that come late", html="\n".join(html), note=note)]


def _courses(run: Run) -> list[Course]:
    found: dict[str, dict[str, Any]] = {}
    for event in run.log():
        noted = next((n for n in event.get("noted", []) if "positive" in n), None)
        one = found.setdefault(event["member"], {"trained": None, "steps": [], "method": ""})
        if event["phase"] == STREAM.name:
            one["steps"].append(noted)
        elif noted is not None:
            one["trained"], one["method"] = noted, noted["method"]
    return [Course(name, one["method"], one["trained"], one["steps"]) for name, one in found.items()]


def _by_day(lines: Sequence[Said]) -> str:
    """Return figures of the whole test, and their course by day."""
    tables = [line.by(10) for line in lines]
    when = tables[0]["when"].to_list()
    place = relative(list(lines))
    heads = ["Method", "Log loss", "ROC AUC", "PR AUC", "Mean stated", "Share that converts"]
    body = []
    for line in lines:
        whole = line.by(0).row(0, named=True)
        cells = [line.method or formats.ABSENT, f"{whole['nll']:.4f}"]
        cells += [formats.figure(whole[name]) for name in ("roc_auc", "average_precision")]
        cells += [f"{whole['stated']:.4f}", f"{whole['converted']:.4f}"]
        cells += [f"{place[line.member]:.2f}"] if place else []
        body.append([line.member, *cells])
    heads += ["Vanilla 0, oracle 1"] if place else []
    told = (
        ("nll", "Log loss", "delayed-nll"),
        ("roc_auc", "ROC AUC", "delayed-auc"),
        ("average_precision", "PR AUC", "delayed-pr-auc"),
    )
    charts = [
        *(
            over_time(
                when,
                [Line(x.member, t[figure].to_list()) for x, t in zip(lines, tables, strict=True)],
                f"{title} by day",
                title,
                name,
            )
            for figure, title, name in told
        ),
        over_time(
            when,
            [
                *(Line(x.member, t["stated"].to_list()) for x, t in zip(lines, tables, strict=True)),
                Line("converted", tables[0]["converted"].to_list(), dashed=True),
            ],
            "Calibration by day",
            "Mean stated probability",
            "delayed-calibration",
        ),
    ]
    captions = (
        "Log loss of each day's events.",
        "How well each day's conversions are told from the rest.",
        "How pure the likeliest of each day's events are.",
        "What was stated on average, and what came true in the end.",
    )
    return _table("Test events", ["Member", *heads], body) + _figures(charts, captions)


def _weights(course: Course, steps: int, start: datetime) -> str:
    """Return a member's weights, late conversions and alarms."""
    trained = course.trained
    assert trained is not None
    noted = [n for n in course.steps if n] or [trained]
    counts = [
        (label, np.sum([n[label]["bins"] for n in noted], axis=0).tolist())
        for label in ("positive", "negative")
    ]
    found = drift.days(course.steps, steps) if course.steps else drift.days([trained], 1)
    title = f"Weights of {course.member} ({course.method})"
    charts = [weight_bars(EDGES, counts, title, f"delayed-weights-{course.member}")]
    captions = ["Rows by importance weight, cut at the largest allowed."]
    when = [(start + timedelta(days=i)).date().isoformat() for i in range(len(found))]
    if course.steps and not np.isnan(found[0].expected):
        late, expected = ([float(getattr(day, n)) for day in found] for n in ("late", "expected"))
        drawn = [Line("came", late), Line("expected", expected, dashed=True)]
        charts.append(
            over_time(when, drawn, "Late conversions by day", "Conversions", f"delayed-late-{course.member}")
        )
        captions.append(
            "Conversions that came after their event's first label, and what the weight model expected."
        )
    overall = drift.days(noted, len(noted))[0]
    body = [
        [label, f"{rows:,.0f}", formats.figure(mean), f"{size:.1%}"]
        for label, rows, mean, size in zip(
            ("converted", "not converted"), overall.rows, overall.mean, overall.size, strict=True
        )
    ]
    table = _table(title, ["Label", "Rows", "Mean weight", "Effective size"], body)
    raised = drift.alarms(found)
    told = [f"<li>{when[day]}: {escape(words)}.</li>" for day, words in raised[:MOST]]
    more = f"<li>and {len(raised) - MOST} more.</li>" if len(raised) > MOST else ""
    said = f"<ul>{''.join(told)}{more}</ul>" if raised else "<p>No alarm was raised.</p>"
    cut = f"<p>{overall.clipped:.2%} of the weights were cut.</p>"
    return table + cut + _figures(charts, captions) + f"<h4>Alarms of {escape(course.member)}</h4>{said}"


def _delays(course: Course) -> str:
    """Return the law of the delay estimated in training beside the delays seen after it."""
    trained = course.trained
    assert trained is not None
    seen = np.sum([n["delays"] for n in course.steps if n] or [trained["delays"]], axis=0)
    middle = np.array([DELAYS[0] / 2, *(np.sqrt(DELAYS[1:] * np.array(DELAYS[:-1]))), DELAYS[-1] * 2]) / 24
    learnt = np.array(trained["delays"])
    there = learnt > 0
    laws = fit_delay_laws(Times(middle[there], learnt[there], np.zeros(0), np.zeros(0)))
    rows = np.flatnonzero(seen)
    if not laws or len(rows) < 2:
        return ""
    days = np.array([*DELAYS, DELAYS[-1] * 4])[rows] / 24
    curve = np.cumsum(seen[rows]) / seen.sum()
    fitted = [(f"{law.name}, training", law.cumulative(days).tolist()) for law in laws[:2]]
    chart = delay_chart(np.stack([days, curve], axis=1).tolist(), fitted, "delayed-delays")
    after = "after training" if course.steps else "in training"
    return '<h3 style="margin-top:1.8rem">How long conversions take</h3>' + _figures(
        [chart],
        [
            f"Delays of conversions that became known {after}, and the two likeliest laws estimated in training."
        ],
    )


def _table(title: str, heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    head = "".join(
        f'<th scope="col"{" class=" + chr(34) + "n" + chr(34) if place else ""}>{escape(name)}</th>'
        for place, name in enumerate(heads)
    )
    rows = [
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td class="n">{escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in body
    ]
    return (
        f'<h3 style="margin-top:1.8rem">{escape(title)}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figures(charts: Sequence[str], captions: Sequence[str]) -> str:
    made = [
        f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"
        for chart, caption in zip(charts, captions, strict=True)
    ]
    return f'<div class="charts">{"".join(made)}</div>'
