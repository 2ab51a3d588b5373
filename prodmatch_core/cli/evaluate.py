"""`prodmatch evaluate RUN QRELS`: ranking measures of a run file of any system, with intervals and a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from prodmatch_core.cli import registry_of
from prodmatch_core.cli.options import as_json, draws_seed, level, print_json, replicates
from prodmatch_core.cli.tables import print_table
from prodmatch_core.data.gains import PROFILES
from prodmatch_core.records import MeasureSpec
from prodmatch_core.registry import Registry

MEASURES = ("ndcg", "ndcg@10", "mrr", "map", "precision@10", "recall@10", "hit_rate@10")
"Measures shown where none are asked for."


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("qrels", metavar="QRELS", type=click.Path(path_type=Path))
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help=f"Ranking measure, with any number after @. May be given several times. [{', '.join(MEASURES)}]",
)
@click.option(
    "--profile",
    metavar="NAME",
    type=click.Choice(list(PROFILES)),
    default="linear",
    show_default=True,
    help=f"What a grade is worth in nDCG: {', '.join(PROFILES)}. linear: the grade itself.",
)
@click.option(
    "--relevant",
    "relevant_from",
    metavar="GRADE",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Least grade that counts as relevant, or as a match.",
)
@click.option(
    "--ties",
    metavar="RULE",
    type=click.Choice(["expected", "trec"]),
    default="expected",
    show_default=True,
    help="Equal scores: expected, the mean over all their orders; trec, trec_eval's order by product id.",
)
@click.option(
    "--against", metavar="RUN", type=click.Path(path_type=Path), help="Another run to compare with, by query."
)
@replicates
@level
@draws_seed
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the values per query, as CSV or Parquet.",
)
@as_json
@click.pass_context
def evaluate(
    ctx: click.Context,
    run: Path,
    qrels: Path,
    measures: tuple[str, ...],
    profile: str,
    relevant_from: int,
    ties: str,
    against: Path | None,
    replicates: int,
    level: float,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure a ranking file of any system against judgements.

    RUN holds `query Q0 product rank score tag` a line; QRELS holds `query 0 product grade` a line, or is the JSON
    judgement list of a search workbench, its queries' white space written as _. Both may be gzipped TREC files. Values
    are means over the queries of QRELS, with percentile bootstrap intervals by query. --against adds the paired
    difference, its interval and the p-value of a randomisation test.
    """
    specs = _measures(measures or MEASURES, registry_of(ctx))
    # Names are checked above in milliseconds; files of millions of lines are read only for what can be computed.
    from prodmatch_core.evaluation import judged
    from prodmatch_core.evaluation.judgement_lists import read_judgements
    from prodmatch_core.evaluation.trec import read_run

    _check_out(out)
    judging = judged.Judging(profile, relevant_from, ties)
    judgements = judged.Judgements.of(read_judgements(qrels), judging)
    first = judgements.rank(read_run(run))
    second = None if against is None else judgements.rank(read_run(against))
    figures, columns = judged.figures(
        specs, first, second, judging, seed=seed, replicates=replicates, level=level
    )
    if out is not None:
        _write(judged.per_query(judgements, first, columns), out)
    if as_json:
        print_json({"run": str(run), "qrels": str(qrels), "other": against and str(against), **figures})
        return
    _print(figures, against is not None)
    if out is not None:
        click.echo(f"per query: {out}")


def _measures(names: tuple[str, ...], registry: Registry) -> list[MeasureSpec]:
    """Return the measures of that name.

    Raises:
        ConfigError: a name is unknown, or the measure reads more than a ranking; all of them at once.
    """
    from prodmatch_core.errors import ConfigError, Problem

    found, problems = [], []
    for name in dict.fromkeys(names):
        try:
            spec = registry.measure(name)
        except ConfigError as error:
            problems.append(Problem("--measure", str(error)))
            continue
        if spec.reads != "ranking":
            known = [
                other.name for other in registry.specs("measure") if getattr(other, "reads", "") == "ranking"
            ]
            text = f"{name} reads class predictions, which a run file has not; it can be {', '.join(known)}"
            problems.append(Problem("--measure", text))
        found.append(spec)
    if problems:
        raise ConfigError(problems)
    return found


def _check_out(out: Path | None) -> None:
    from prodmatch_core.errors import ConfigError

    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"--out {out}: end its name in .csv or .parquet")


def _write(table: Any, out: Path) -> None:
    from prodmatch_core.writing import write_parquet, write_text

    if out.suffix.lower() == ".parquet":
        write_parquet(out, table)
    else:
        write_text(out, table.write_csv())


def _print(figures: Mapping[str, Any], compared: bool) -> None:
    headers = ["measure", "value", "interval"]
    if compared:
        headers += ["against", "difference", "interval", "p", "better", "worse"]
    print_table(headers, list(_rows(figures, compared)), right=range(1, len(headers)))
    click.echo()
    for line in notes(figures):
        click.echo(line)


def _rows(figures: Mapping[str, Any], compared: bool) -> Iterator[list[str]]:
    for name, estimate in figures["measures"].items():
        row = [name, _number(estimate["value"]), _span(estimate)]
        if compared:
            difference = figures["differences"][name]
            p = difference["p"]
            row += [
                _number(figures["against"]["measures"][name]["value"]),
                _number(difference["value"], "+"),
                _span(difference, "+"),
                "-" if p != p else f"{p:.4f}",
                str(difference["better"]),
                str(difference["worse"]),
            ]
        yield row


def notes(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader must know of the figures: gains, what is relevant, ties, and what was not found."""
    profile = figures["profile"]
    yield f"gains: {profile} ({PROFILES[profile]}); relevant from grade {figures['relevant_from']}"
    yield f"intervals: {figures['level']:.0%}, {figures['replicates']} resamples of the queries, seed {figures['seed']}"
    runs = {"": figures} | ({"other run: ": figures["against"]} if "against" in figures else {})
    for title, run in runs.items():
        ties, counts = run["ties"], run["counts"]
        where = (
            f"{ties['rows']} of {counts['rows']} rows, in {ties['queries']} of {counts['queries']} queries"
        )
        yield f"{title}ties: {where}; the rule decides values of {ties['decided_by_rule']}"
    yield f"tie rule: {figures['tie_rule']['name']}: {figures['tie_rule']['means']}"
    for title, run in runs.items():
        counts = run["counts"]
        for key, text in (
            (
                "queries_without_relevant",
                "queries have no relevant product and count as 0 (nDCG: by their gains)",
            ),
            ("queries_not_in_run", "judged queries are not in the run and count as 0"),
            ("rows_of_other_queries", "rows are of queries without judgements and are left out"),
            ("rows_not_judged", "rows were not judged and count as not relevant"),
        ):
            if counts[key] and not (title and key == "queries_without_relevant"):
                yield f"{title}{counts[key]} {text}"


def _number(value: float, sign: str = "") -> str:
    return "-" if value != value else f"{value:{sign}.4f}"


def _span(estimate: Mapping[str, float], sign: str = "") -> str:
    low, high = estimate["low"], estimate["high"]
    return "-" if low != low or high != high else f"[{low:{sign}.4f}, {high:{sign}.4f}]"
