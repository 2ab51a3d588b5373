"""The section of the report on an ensemble: who helps, where, at what cost, who agrees, and why one label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file

from prodmatch_core.components.aggregator import MemberPredictions, Pairs
from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.fields import PRODUCT_FIELDS
from prodmatch_core.predictions import stack
from prodmatch_core.records import Section
from prodmatch_core.report import formats
from prodmatch_core.rundir import Run
from prodmatch_ensemble import charts
from prodmatch_ensemble.aggregators import STATE, TreesAggregator


def sections(run: Run) -> Iterable[Section]:
    """Return the section, where the run's aggregator is one of this plugin's."""
    path = run.path / "aggregator" / STATE
    if not path.exists():
        return []
    state = json.loads(path.read_text(encoding="utf-8"))
    whole = state["whole"]
    figures = [
        _figure(
            charts.shapley_bars(whole["sources"], whole["by_class"], "ensemble-shapley"),
            "How far each member moves the scores of training pairs it has not seen, up or down, added over its "
            "columns and over the classes; in log-odds.",
        )
    ]
    selection = state["selection"]
    if selection:
        figures.append(
            _figure(
                charts.frontier_chart(
                    selection["tried"], formats.measure(selection["measure"]), "ensemble-frontier"
                ),
                "Every set of members that was tried, on held-out training queries. The line joins the sets that none "
                "is better and cheaper than; the large dot is what was kept. The same as a file: "
                "<code>aggregator/frontier.json</code>.",
            )
        )
    parts = [_told(state), f'<div class="pair">{"".join(figures)}</div>']
    parts += [_by_locale(whole), _costs(state), _agreement(run, whole["sources"][: whole["members"]])]
    parts.append(_why(run))
    note = "Shapley values say who moves the answer, not who is right; leaving a member out tells what it is worth."
    return [Section(title="The ensemble's members", html="\n".join(filter(None, parts)), note=note)]


def _told(state: Mapping[str, Any]) -> str:
    whole, count = state["whole"], state["whole"]["members"]
    total = np.sum(list(whole["by_class"].values()), axis=0)[:count]
    best = int(total.argmax())
    words = [
        f"<code>{escape(whole['sources'][best])}</code> has the greatest share of the members' Shapley values, "
        f"{total[best] / (total.sum() or 1.0):.0%}, of {formats.plural(count, 'member')}; the trees took "
        f"{state['rounds']:,} rounds."
    ]
    for name, title in (("families", "By family"), ("relations", "By relation of the graph")):
        if state[name]:
            shares = ", ".join(
                f"{escape(group)} {value / total.sum():.0%}" for group, value in state[name].items()
            )
            words.append(f"{title}: {shares}.")
    if state["selection"]:
        kept = ", ".join(map(escape, state["selection"]["kept"]))
        words.append(f"Kept: {kept}.")
    if state.get("cascade"):
        first = state["cascade"]
        words.append(
            f"A cascade asks {', '.join(map(escape, first['members']))} first; they answer {first['answered']:.0%} of "
            f"the pairs alone: {first['ms']:.3g} ms a pair in place of {first['ms_of_all']:.3g}, at a loss of "
            f"{max(first['lost'], 0):.4f} macro F1 on held-out training queries."
        )
    return f"<p>{' '.join(words)}</p>"


def _by_locale(whole: Mapping[str, Any]) -> str:
    locales = whole["by_locale"]
    if len(locales) < 2:
        return ""
    count, names = whole["members"], whole["sources"]
    rows = []
    for locale, values in sorted(locales.items()):
        members = np.array(values[:count])
        order = np.argsort(-members, kind="stable")
        ranked = ", ".join(
            f"{escape(names[place])} {members[place] / (members.sum() or 1):.0%}" for place in order
        )
        rows.append(f'<tr><th scope="row">{escape(locale)}</th><td>{ranked}</td></tr>')
    head = '<th scope="col">Locale</th><th scope="col">Members by share of Shapley values</th>'
    return _table("Ranking by locale", head, rows)


def _costs(state: Mapping[str, Any]) -> str:
    if not state["costs"]:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f'<td class="n">{formats.figure(cost[field])}</td>' for field in ("p50_ms", "p95_ms", "memory_mb")
        )
        + "</tr>"
        for name, cost in zip(state["members"], state["costs"], strict=True)
    ]
    head = '<th scope="col">Member</th>' + "".join(
        f'<th scope="col" class="n">{title}</th>' for title in ("ms a pair, median", "95th percentile", "MB")
    )
    return _table("Measured costs", head, rows)


def _agreement(run: Run, names: Sequence[str]) -> str:
    decided = [_said(run, name).argmax(axis=1) for name in names]
    rows = []
    for name, mine in zip(names, decided, strict=True):
        cells = []
        for theirs in decided:
            share = float((mine == theirs).mean())
            mix = round(100 * max(share - 0.5, 0) * 2 * 0.5)
            style = f"background: color-mix(in srgb, var(--accent) {mix}%, transparent)"
            cells.append(f'<td class="n" style="{style}">{share:.0%}</td>')
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    head = '<th scope="col"></th>' + "".join(
        f'<th scope="col" class="n">{escape(name)}</th>' for name in names
    )
    note = (
        "Share of test pairs on which two members decide for the same label. Members that agree add little."
    )
    return _table("Who agrees with whom", head, rows, note, "heat")


def _said(run: Run, name: str) -> np.ndarray:
    return load_file(run.path / "members" / name / "predictions.safetensors")["test"]


def _why(run: Run) -> str:
    """Return the waterfall of the surest mistake on test, or nothing where there is none."""
    if not run.mistakes:
        return ""
    pair = run.mistakes[0]
    test = run.decisions.filter(pl.col("split") == "test").with_row_index("_row")
    keys = ["query_id", "product_id"]
    found = test.join(pl.DataFrame([{key: pair[key] for key in keys}]), on=keys, how="semi")
    if not found.height:
        return ""
    pipeline = load_pipeline(run.path / "resolved.toml")
    assert pipeline.aggregator is not None
    part = pipeline.aggregator.part
    ensemble: TreesAggregator = part.spec.load().load(part.config, run.scheme, run.path / "aggregator")
    said = _pair(run, [member.name for member in pipeline.member], int(found["_row"][0]), pair)
    added = ensemble.contributions(said)
    place = run.scheme.index(found["decided"][0])
    order = np.argsort(-np.abs(added.values[0, :, place]), kind="stable")
    steps = [(added.sources[source], float(added.values[0, source, place])) for source in order]
    chart = charts.waterfall(run.scheme.labels[place], float(added.base[0, place]), steps, "ensemble-why")
    texts = f"{escape(str(pair['query']))} | {escape(str(pair['title']))}"
    return (
        '<h3 style="margin-top:1.8rem">Why this label: the surest mistake</h3>'
        + f"<p>{texts}<br>decided {escape(found['decided'][0])}, is {escape(str(pair['label']))}.</p>"
        + _figure(
            chart,
            "<code>prodmatch explain RUN --query-id ID --product-id ID</code> tells the same of any pair.",
        )
    )


def _pair(run: Run, names: Sequence[str], row: int, pair: Mapping[str, Any]) -> MemberPredictions:
    fields = ("query", "query_id", "product_id", "locale", *PRODUCT_FIELDS)
    frame = pl.DataFrame({name: [str(pair[name])] for name in fields if pair.get(name)})
    pairs = Pairs(*frame_examples(frame))
    tables = [_said(run, name)[row : row + 1] for name in names]
    return stack(names, tables, [np.full(1, np.nan)] * len(names), pairs, np.zeros(1, dtype=np.int64))


def _figure(chart: str, caption: str) -> str:
    return f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"


def _table(title: str, head: str, rows: Sequence[str], note: str = "", kind: str = "") -> str:
    return (
        f'<h3 style="margin-top:1.8rem">{title}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table'
        f"{f' class={kind}' if kind else ''}><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        + (f'<p class="footnote">{note}</p>' if note else "")
    )
