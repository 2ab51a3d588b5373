"""The report's sections: what attends to what, and what a generator wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
import torch

from prodmatch_core.config import load_pipeline
from prodmatch_core.data.corpus import frame_examples
from prodmatch_core.records import Section
from prodmatch_core.report import formats
from prodmatch_core.rundir import Run
from prodmatch_core.sections import Member
from prodmatch_core.tasks.base import load_task
from prodmatch_core.training.fitted import FittedMember
from prodmatch_core.training.model import MemberModel
from prodmatch_quarts.attention import AttentionEncoder
from prodmatch_quarts.drawing import NAMES, heat_map, spreads
from prodmatch_quarts.probes import DRAWS
from prodmatch_quarts.writing import FIGURES, QUERIES, SCORES

ENCODER, GENERATOR = "quarts.attention", "quarts.variational"
MAPS = 4
"Pairs whose attention is drawn."
SHOWN = 15
"Generated queries that are shown."


def sections(run: Run) -> Iterable[Section]:
    """Return the sections that the run's members have something for."""
    members = load_pipeline(run.path / "resolved.toml").member
    found = []
    for number, member in enumerate(members):
        of = f" of {member.name}" if len(members) > 1 else ""
        folder = run.path / "members" / member.name
        left = folder / "negatives"
        generated = member.negatives is not None and member.negatives.name == GENERATOR
        used = json.loads((left / FIGURES).read_text(encoding="utf-8")) if generated else {"used": False}
        if member.encoder.name == ENCODER:
            pairs = chosen_pairs(run, left if used["used"] else None)
            if pairs.height:
                found.append(attention(run, member, folder, pairs, of, number))
        if generated:
            found.append(generator(used, left, of, number))
    return found


# -- attention --------------------------------------------------------------------------------------------------


def chosen_pairs(run: Run, left: Path | None) -> pl.DataFrame:
    """Return the pairs that are drawn, columns query, title and what: the surest mistakes, and a generated query."""
    kept: list[dict[str, str]] = []
    if left is not None:
        table = pl.read_parquet(left / QUERIES).head(1)
        for row in table.iter_rows(named=True):
            kept.append(
                {"query": row["query"], "title": row["title"], "what": "a match of the training split"}
            )
            kept.append(
                {"query": row["generated"], "title": row["title"], "what": "generated for the same item"}
            )
    for row in run.mistakes:
        if len(kept) < MAPS and row["query"] and row["title"]:
            what = f"{row['label']}, taken for {row['decided']} with {row['probability']:.2f}"
            kept.append({"query": row["query"], "title": row["title"], "what": what})
    return pl.DataFrame(kept, schema={"query": pl.String, "title": pl.String, "what": pl.String}).filter(
        pl.col("query").str.strip_chars() != ""
    )


def attention(run: Run, member: Member, folder: Path, pairs: pl.DataFrame, of: str, number: int) -> Section:
    """Return the section of heat maps."""
    task = load_task(run.metrics["task"])
    model = FittedMember.load(member, task, run.scheme, folder).model
    assert isinstance(model, MemberModel) and isinstance(model.encoder, AttentionEncoder)
    encoder = model.encoder
    device = next(encoder.parameters()).device
    corpus, examples = frame_examples(pairs.select("query", "title"))
    batch = {
        name: tensor.to(device)
        for name, tensor in encoder.prepare(corpus).batch(examples.query, examples.product).items()
    }
    with torch.no_grad():
        weights = encoder.weights(batch).float().cpu().numpy()
    figures = []
    for row, what in enumerate(pairs["what"]):
        query, product = (words_of(encoder, batch, side, row) for side in ("query", "product"))
        chart = heat_map(
            weights[row, : len(query), : len(product)], query, product, f"quarts-attention-{number}-{row}"
        )
        caption = f"“{pairs['query'][row]}” and “{pairs['title'][row]}”: {what}."
        figures.append(
            f'<figure class="scroll" tabindex="0">{chart}<figcaption>{escape(formats.clean(caption))}'
            "</figcaption></figure>"
        )
    note = (
        "Rows are the query's tokens in reading order, columns the product's: the darker, the more a query token looks "
        "there. What a token attends to is no proof of why the decision fell as it did."
    )
    return Section(title=f"Attention{of}", html="\n".join(figures), note=note)


def words_of(encoder: AttentionEncoder, batch: Mapping[str, torch.Tensor], side: str, row: int) -> list[str]:
    """Return the tokens of one side of a row."""
    ids = batch[f"{side}_ids"][row][batch[f"{side}_mask"][row]].tolist()
    return [encoder.tokens.tokenizer.id_to_token(token) or "" for token in ids]


# -- generated queries ------------------------------------------------------------------------------------------


def generator(used: Mapping[str, Any], left: Path, of: str, number: int) -> Section:
    """Return the section of generated queries: alarms, figures, spreads, and the queries beside the true ones."""
    title = f"Generated queries{of}"
    if not used["used"]:
        return Section(title=title, html=f"<p>None: {escape(used['why'])}.</p>")
    table = pl.read_parquet(left / SCORES)
    scores = {kind: table.filter(pl.col("kind") == kind)["p_mismatch"].to_numpy() for kind in NAMES}
    chart = spreads(scores, f"quarts-spreads-{number}")
    html = [
        *(
            f'<p class="worse"><strong>Alarm.</strong> {escape(alarm)}</p>'
            for alarm in used.get("alarms", ())
        ),
        '<div class="charts">',
        f"<figure>{chart}<figcaption>What the fitted classifier says of validation matches, and of what stands in "
        "their queries' place. Hard negatives lie between matches and random queries.</figcaption></figure>",
        f"<div>{figures_table(used)}</div></div>",
        queries_table(various(pl.read_parquet(left / QUERIES))),
    ]
    note = (
        "The decoder's states, or its words reread, took the place of true queries while the classifier trained; here "
        "the generator as it was last is looked at beside the classifier of the best epoch. All its queries: "
        f"{escape(left.name)}/{QUERIES} in the member's folder."
    )
    return Section(title=title, html="\n".join(html), note=note)


ROWS = (
    ("items_with_both", "items with a matching and a mismatching query", 0),
    ("tuples_judged", "tuples of judgements", 0),
    ("tuples_near", "tuples of near queries", 0),
    ("token_accuracy", "tokens right, items held out", 3),
    ("kl", "KL of the latent, nats", 3),
    ("active_units", "units of the latent in use", 0),
    ("distinct", f"different queries in {DRAWS} draws", 1),
    ("overlap_generated", "written tokens that are in the true query", 3),
    ("overlap_random", "written tokens that are in a random query", 3),
    ("told_apart", "AUC of a linear probe: generated or read?", 3),
)
"Figures of the table: key, words, decimals."


def figures_table(used: Mapping[str, Any]) -> str:
    """Return counts and figures as a table."""
    body = [
        f'<tr><th scope="row">{words}</th><td class="n">{written(used[key], digits)}</td></tr>'
        for key, words, digits in ROWS
        if key in used
    ]
    return f"<table><caption>The generator</caption><tbody>{''.join(body)}</tbody></table>"


def written(value: Any, digits: int) -> str:
    """Write a count or a figure."""
    return formats.count(int(value)) if not digits else formats.figure(value, digits)


def various(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are shown: as many true queries as can be, in their order, then more of the same ones."""
    turn = pl.int_range(pl.len()).over("query")
    return table.sort(turn, maintain_order=True).head(SHOWN)


def queries_table(table: pl.DataFrame) -> str:
    """Return generated queries beside the true ones."""
    head = "".join(
        f'<th scope="col"{" class=n" if numeric else ""}>{name}</th>'
        for name, numeric in (
            ("Item", False),
            ("True query", False),
            ("P(mismatch)", True),
            ("Generated query", False),
            ("P(mismatch)", True),
        )
    )
    return (
        "<h3>Beside the true ones</h3>"
        '<div class="scroll" role="region" aria-label="Generated queries" tabindex="0">'
        f"<table><caption>Generated queries</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(_row(row) for row in table.iter_rows(named=True))}</tbody></table></div>"
    )


def _row(row: Mapping[str, Any]) -> str:
    texts = [escape(formats.clean(str(row[name] or ""))) for name in ("title", "query", "generated")]
    chances = [formats.figure(row[f"p_mismatch_{name}"], 2) for name in ("query", "generated")]
    return (
        f'<tr><th scope="row">{texts[0]}</th><td>{texts[1]}</td><td class="n">{chances[0]}</td>'
        f'<td>{texts[2]}</td><td class="n">{chances[1]}</td></tr>'
    )
