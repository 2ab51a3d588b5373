"""The section of the report on score and uncertainty."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import attrs
import numpy as np
import polars as pl

from prodmatch_core.components.calibrator import positive_classes
from prodmatch_core.evaluation.probability import confidence_bins
from prodmatch_core.records import Section
from prodmatch_core.report import formats
from prodmatch_core.rundir import Run
from prodmatch_uncertainty import charts
from prodmatch_uncertainty.boundary import Boundary
from prodmatch_uncertainty.calibrators import Fitted
from prodmatch_uncertainty.grid import level_edges, levels_of
from prodmatch_uncertainty.methods import METHODS, Settings
from prodmatch_uncertainty.sample import Goal, Outcome, Sample, outcome

PRECISIONS = (0.7, 0.8, 0.9, 0.95)
LEVELS = 5
"Levels that are drawn and told apart where no boundary has its own, or more than a page can show."
MOST_LEVELS = 10
NAMES = {
    "threshold": "one threshold",
    "isotonic": "isotonic, one threshold",
    "rectangle": "rectangle",
    "lagrangian": "Lagrangian",
    "mist": "MIST",
    "dp": "dynamic programme",
}
"The methods in the order of the table, and what they are called there."


@attrs.frozen(eq=False)
class Chosen:
    """The boundary that a run decides with: its part's configuration and what was fitted for the match."""

    config: Mapping[str, Any]
    fitted: Fitted


def sections(run: Run) -> Iterable[Section]:
    """Return the section, where the run's predictions have an uncertainty."""
    if run.task.answer != "classes":
        return []
    held, test = (sample_of(run, split) for split in ("valid", "test"))
    if not len(held) or not len(test):
        return []
    chosen = chosen_of(run)
    edges = level_edges(held.uncertainty, LEVELS)
    curves = charts.positivity_curves(test, edges)
    parts = [_told(chosen, held, test)] if chosen else []
    figures = [
        _figure(
            charts.positivity_chart(curves, "uncertainty-positivity"),
            "Where the lines part, the score alone does not say how likely a match is, and a threshold a level can "
            "gain; where they lie on each other, it cannot.",
        )
    ]
    if chosen and len(chosen.fitted.boundary.thresholds) <= 4 * MOST_LEVELS:
        figures.append(
            _figure(
                charts.plane_chart(test, chosen.fitted.boundary, chosen.fitted.review, "uncertainty-plane"),
                "Test pairs: the darker a cell, the more of it match; pale ones with a dotted edge have few pairs. "
                "What is right of the line is accepted"
                + (", what is between the lines is left to a person." if chosen.fitted.review else "."),
            )
        )
    parts.append(f'<div class="pair">{"".join(figures)}</div>')
    settings = _settings(chosen)
    parts.append(_recalls(held, test, settings))
    parts.append(_reliability(test, edges))
    note = (
        "What is gained by looking at uncertainty beside the score. Hold-out is the validation split, which chose "
        "every boundary; only the test split says what it is worth."
    )
    return [Section(title="Score and uncertainty", html="\n".join(parts), note=note)]


def sample_of(run: Run, split: str) -> Sample:
    """Return the labelled rows of a split that have an uncertainty, as the run decided on them."""
    positive = [run.scheme.labels[number] for number in positive_classes(run.scheme)]
    rows = run.decisions.filter(
        (pl.col("split") == split)
        & pl.col("label").is_not_null()
        & pl.col("uncertainty").is_not_nan()
        & (pl.col("weight") > 0)
    )
    return Sample(
        rows["score"].to_numpy().astype(np.float64),
        rows["uncertainty"].to_numpy().astype(np.float64),
        rows["label"].is_in(positive).to_numpy(),
        rows["weight"].to_numpy().astype(np.float64),
    )


def chosen_of(run: Run) -> Chosen | None:
    """Return the last boundary for matches among the run's calibrators, or None."""
    tree = tomllib.loads((run.path / "resolved.toml").read_text(encoding="utf-8"))
    for number, section in reversed(list(enumerate(tree.get("calibrator", [])))):
        if section["use"].partition(".")[0] == "uncertainty":
            state = json.loads((run.path / "calibrator" / str(number) / "state.json").read_text())
            if "match" in state["fitted"] and not section["per_class"]:
                return Chosen(section, Fitted.restored(state["fitted"]["match"]))
    return None


def _settings(chosen: Chosen | None) -> Settings:
    names = attrs.fields_dict(Settings)
    return (
        Settings(**{name: chosen.config[name] for name in names if name in chosen.config})
        if chosen
        else Settings()
    )


def _told(chosen: Chosen, held: Sample, test: Sample) -> str:
    """Return in words what was asked, whether it is reached, and what came of it on both splits."""
    config, figures = chosen.config, chosen.fitted.figures
    asked = "precision" if config["objective"] == "recall" else "recall"
    goal = f"{asked} of at least {config['target']:g}"
    if config["confidence"]:
        goal += f" with a probability of {config['confidence']:g}"
    if not figures["reachable"]:
        return (
            f"<p><strong>Out of reach:</strong> no boundary of <code>{escape(config['use'])}</code> has a {goal} on "
            f"the hold-out; the best in reach is {formats.figure(figures['best'])}. Nothing is accepted.</p>"
        )
    words = []
    for name, sample in (("hold-out", held), ("test", test)):
        did = _did(sample, chosen.fitted.boundary)
        words.append(
            f"precision {formats.figure(did.precision)} and recall {formats.figure(did.recall)} on {name}"
        )
    said = f"<p><code>{escape(config['use'])}</code> asks for a {goal}: {'; '.join(words)}."
    if figures["bound"] is not None:
        said += f" No boundary on its levels and bins has more than {formats.figure(figures['bound'])} on the hold-out."
    if chosen.fitted.review is not None:
        both, alone = (_did(test, b) for b in (chosen.fitted.review, chosen.fitted.boundary))
        share = (both.rows - alone.rows) / test.weights.sum()
        found = (both.positives - alone.positives) / both.total if both.total else 0.0
        said += (
            f" A person sees {share:.1%} of the test pairs (budget {config['review']:.1%}) and finds {found:.1%} of "
            "the matches there; the rest is rejected."
        )
    return said + "</p>"


def _did(sample: Sample, boundary: Boundary) -> Outcome:
    return outcome(sample, boundary.accepts(sample.score, sample.uncertainty))


def _recalls(held: Sample, test: Sample, settings: Settings) -> str:
    """Return the table of recall at each precision, for every method, on hold-out and test."""
    head = '<th scope="col">Method</th>' + "".join(
        f'<th scope="col" class="n">≥ {precision:g}<small>hold-out</small></th>'
        '<th scope="col" class="n">test<small>its precision</small></th>'
        for precision in PRECISIONS
    )
    body = []
    for name, title in NAMES.items():
        cells = []
        for precision in PRECISIONS:
            goal = Goal("recall", precision)
            boundary = METHODS[name].best(held, settings, goal)
            on_held, on_test = _did(held, boundary), _did(test, boundary)
            if not goal.met(on_held):
                cells.append(_cell("out of reach") + _cell(formats.ABSENT))
                continue
            small = formats.figure(on_test.precision)
            missed = ' class="worse"' if on_test.precision < precision else ""
            cells.append(
                _cell(formats.figure(on_held.recall))
                + f'<td class="n">{formats.figure(on_test.recall)}<small><span{missed}>{small}</span></small></td>'
            )
        body.append(f'<tr><th scope="row">{title}</th>{"".join(cells)}</tr>')
    note = (
        "Most recall whose precision on the hold-out is at least what stands above. Under each test recall stands the "
        "precision on test, in red where it falls short: more recall at less precision is no gain."
    )
    return _table("Recall at a precision, by method", head, body, note)


def _cell(content: str) -> str:
    return f'<td class="n">{content}</td>'


def _reliability(test: Sample, edges: np.ndarray) -> str:
    """Return the table of what is said and what comes true, level by level."""
    level = levels_of(test.uncertainty, edges)
    body = []
    for number in range(len(edges) + 1):
        rows = test.take(level == number)
        if not len(rows):
            continue
        said, true = (
            float(np.average(values, weights=rows.weights))
            for values in (rows.score, rows.positive.astype(float))
        )
        cells = (
            formats.figure(said),
            formats.figure(true),
            formats.signed(true - said),
            formats.figure(_ece(rows)),
        )
        body.append(
            f'<tr><th scope="row">{charts.level_name(number, len(edges) + 1)}</th>'
            f"{_cell(formats.count(len(rows)))}{''.join(map(_cell, cells))}</tr>"
        )
    head = '<th scope="col">Uncertainty</th>' + "".join(
        f'<th scope="col" class="n">{name}</th>'
        for name in ("Test pairs", "Mean score", "Share that matches", "Difference", "Calibration error")
    )
    note = (
        "Levels of equally many hold-out pairs. The calibration error is the gap between score and share, averaged "
        "over bins of the score."
    )
    return _table("Reliability by level of uncertainty", head, body, note)


def _ece(rows: Sample) -> float:
    bins = confidence_bins(rows.score, rows.positive)
    gaps = np.bincount(bins.bin, rows.weights * (bins.correct - bins.stated))
    return float(np.abs(gaps).sum() / rows.weights.sum())


def _figure(chart: str, caption: str) -> str:
    return f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"


def _table(title: str, head: str, body: Sequence[str], note: str) -> str:
    return (
        f'<h3 style="margin-top:1.8rem">{title}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><caption>{title}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<p class="footnote">{note}</p>'
    )
