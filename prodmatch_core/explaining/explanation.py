"""Explanations as plain values: of one pair, and of a run over a sample of its test pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from prodmatch_core.components.calibrator import Decisions, match_score
from prodmatch_core.explaining.members import Without, without_each
from prodmatch_core.explaining.occlusion import FIELDS, Occlusion, occlude
from prodmatch_core.explaining.trace import Step, Trace, Traced

METHOD = {
    "words": "occlusion: each word is taken out of its text and the pair predicted again "
    "(arXiv 1311.2901, section 4.2; arXiv 1612.08220)",
    "members": "each member's average opinion on the run's test pairs is put in place of its own",
    "effect": "probability of the decided label with, minus without",
}
"How the figures of an explanation are made."

Told = Callable[[int, int], None]
"Hears how many predictions are made, and of how many."


def explain_pair(
    traced: Traced, pair: pl.DataFrame, averages: Sequence[np.ndarray], told: Told = lambda done, total: None
) -> dict[str, Any]:
    """Return why one pair was decided so.

    Args:
        traced: the run's pipeline.
        pair: one row, as `Pipeline.predict` takes it.
        averages: what stands in for each member's opinion, (classes,) float64 each.
        told: hears of progress.
    """
    occlusion = _occlude(traced, pair, told)
    trace = occlusion.before
    return {
        "method": METHOD,
        "pair": {name: pair[name].item() for name in FIELDS if name in pair.columns and pair[name].item()},
        **_decision(traced, trace.final, 0),
        "steps": _steps(traced, trace),
        "members": [
            {
                "name": out.step.name,
                "part": out.step.part,
                "effect": out.effect[0],
                "decided_without": traced.pipeline.scheme.labels[out.labels[0]],
                "accepted_without": out.accepted[0],
                "changes": out.changes[0],
                "agrees": out.agrees[0],
            }
            for out in without_each(traced, trace, averages)
        ],
        **_contributions(traced, trace),
        "words": _words(traced, occlusion, 0),
        "words_left_out": occlusion.left_out.get(0, 0),
    }


def _contributions(traced: Traced, trace: Trace) -> dict[str, Any]:
    """Return what adds up to the aggregator's scores of the first pair, where it is additive."""
    found = traced.contributions(trace)
    if found is None:
        return {}
    added = [
        {"source": source, "values": _by_label(traced, values)}
        for source, values in zip(found.sources, found.values[0], strict=True)
    ]
    total = found.base[0] + found.values[0].sum(axis=0)
    return {
        "contributions": {
            "unit": found.unit,
            "base": _by_label(traced, found.base[0]),
            "sources": added,
            "total": _by_label(traced, total),
        }
    }


def explain_run(
    traced: Traced,
    sample: pl.DataFrame,
    mistakes: pl.DataFrame,
    averages: Sequence[np.ndarray],
    told: Told = lambda done, total: None,
) -> dict[str, Any]:
    """Return what carries a run's decisions over a sample of pairs, and what carried its surest mistakes.

    Args:
        traced: the run's pipeline.
        sample: pairs as `Pipeline.predict` takes them.
        mistakes: pairs likewise, with the column label, the true one.
        averages: what stands in for each member's opinion, (classes,) float64 each.
        told: hears of progress.
    """
    texts = [name for name in sample.columns if name in mistakes.columns]
    occlusion = _occlude(traced, pl.concat([sample.select(texts), mistakes.select(texts)]), told)
    wrong = []
    for number, row in enumerate(mistakes.iter_rows(named=True), start=sample.height):
        text = {name: row[name] for name in ("query_id", "product_id", *FIELDS) if row.get(name)}
        wrong.append(
            {
                **text,
                "label": row["label"],
                **_decision(traced, occlusion.before.final, number),
                "words": _words(traced, occlusion, number),
            }
        )
    return {
        "method": METHOD,
        "sample": {"pairs": sample.height, "words": int((occlusion.rows < sample.height).sum())},
        **_influence(traced, occlusion, sample.height),
        "members": _shares(without_each(traced, occlusion.before, averages), sample.height),
        "mistakes": wrong,
    }


def _occlude(traced: Traced, pairs: pl.DataFrame, told: Told) -> Occlusion:
    scheme = traced.pipeline.scheme
    return occlude(traced.follow, pairs, lambda found: match_score(found, scheme), told)


def _decision(traced: Traced, decisions: Decisions, row: int) -> dict[str, Any]:
    scheme = traced.pipeline.scheme
    return {
        "decided": scheme.labels[decisions.labels[row]],
        "accepted": decisions.accepted[row],
        "score": match_score(decisions.probabilities[row : row + 1], scheme)[0],
        "uncertainty": decisions.uncertainty[row],
        "probabilities": _by_label(traced, decisions.probabilities[row]),
    }


def _by_label(traced: Traced, probabilities: np.ndarray) -> dict[str, float]:
    return dict(zip(traced.pipeline.scheme.labels, probabilities, strict=True))


def _steps(traced: Traced, trace: Trace) -> list[dict[str, Any]]:
    """Return what each step said of the first pair; a calibrator also what it was given."""
    labels = traced.pipeline.scheme.labels
    steps = [
        {
            **_named(step),
            "probabilities": _by_label(traced, table[0]),
            "decided": labels[table[0].argmax()],
        }
        for step, table in zip(traced.member_steps, trace.members, strict=True)
    ]
    before: dict[str, Any] | None = None
    for step, decisions in zip(traced.stage_steps, trace.stages, strict=True):
        after = _decision(traced, decisions, 0)
        if step.kind != "member":  # a member without an aggregator has been told of
            steps.append({**_named(step), **({"before": before} if before else {}), **after})
        before = after
    return steps


def _named(step: Step) -> dict[str, str]:
    return {"kind": step.kind, "part": step.part, **({"name": step.name} if step.name else {})}


def _words(traced: Traced, occlusion: Occlusion, row: int) -> list[dict[str, Any]]:
    """Return the words of one pair, those that move the decision most first; equal ones in the order they stand."""
    labels = traced.pipeline.scheme.labels
    members = [step.name for step in traced.member_steps]
    effect, by_member, changes = occlusion.effect, occlusion.member_effect, occlusion.changes
    found = np.flatnonzero(occlusion.rows == row)
    found = found[np.argsort(-np.abs(effect[found]), kind="stable")]
    return [
        {
            "field": occlusion.variants[place].field,
            "word": occlusion.variants[place].word.form,
            "spans": occlusion.variants[place].word.spans,
            "effect": effect[place],
            "without": occlusion.probability[place],
            "decided_without": labels[occlusion.labels[place]],
            "accepted_without": occlusion.accepted[place],
            "changes": changes[place],
            "members": dict(zip(members, by_member[:, place], strict=True)),
        }
        for place in found.tolist()
    ]


def _influence(traced: Traced, occlusion: Occlusion, count: int) -> dict[str, Any]:
    """Return the words, and the fields, that move the decisions on the first `count` pairs, most first."""
    rows = occlusion.rows
    before = match_score(occlusion.before.final.probabilities, traced.pipeline.scheme)
    table = pl.DataFrame(
        {
            "row": rows,
            "field": [variant.field for variant in occlusion.variants],
            "word": [variant.word.form for variant in occlusion.variants],
            "effect": occlusion.effect,
            "match_effect": before[rows] - occlusion.score,
            "changes": occlusion.changes,
        },
        schema_overrides={"field": pl.String, "word": pl.String},
    ).filter(pl.col("row") < count)
    moved = pl.col("effect").abs()
    whole = float(table["effect"].abs().sum()) or 1.0
    words = table.group_by("field", "word").agg(
        pairs=pl.len(),
        moves=moved.mean(),
        effect=pl.col("effect").mean(),
        match_effect=pl.col("match_effect").mean(),
        changes=pl.col("changes").mean(),
        share=moved.sum() / whole,
    )
    fields = table.group_by("field").agg(words=pl.len(), moves=moved.mean(), share=moved.sum() / whole)
    return {
        "words": words.sort("share", "field", "word", descending=[True, False, False]).to_dicts(),
        "fields": fields.sort("share", "field", descending=[True, False]).to_dicts(),
    }


def _shares(members: Sequence[Without], count: int) -> list[dict[str, Any]]:
    """Return how much each member moves the decisions on the first `count` pairs."""
    moves = [float(np.abs(out.effect[:count]).mean()) if count else 0.0 for out in members]
    whole = sum(moves) or 1.0
    return [
        {
            "name": out.step.name,
            "part": out.step.part,
            "share": moved / whole,
            "moves": moved,
            "changes": out.changes[:count].mean(),
            "agrees": out.agrees[:count].mean(),
        }
        for out, moved in zip(members, moves, strict=True)
    ]
