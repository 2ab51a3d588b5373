"""Public data of the four tasks beside trivial baselines, three seeds each: docs/explanation/evidence/tasks.md.

    PRODMATCH_DATA=DIR python benchmarks/evidence_tasks.py [--runs DIR] [--only NAME]

Each run is a directory under `--runs`; one that is finished is read, not made again, so a stopped benchmark goes on.
"""

from __future__ import annotations

import statistics

from evidence_match import ROOT, cell, runs_of

from prodmatch_core.rundir import Run

PAGE = ROOT / "docs/explanation/evidence/tasks.md"
MEASURES = {
    "amazon_google": ("match_f1", "average_precision", "roc_auc", "macro_f1"),
    "shopee": ("hit_rate@1", "hit_rate@10", "mrr@10", "map_at_r"),
    "citeseer": ("hit_rate@10", "hit_rate@5", "mrr@10"),
    "talkingdata": ("nll", "roc_auc", "average_precision"),
}
TITLES = {
    "amazon_google": "Amazon-Google products (match)",
    "shopee": "Shopee titles (embed, groups never seen)",
    "citeseer": "Citeseer citations (relate, hidden edges)",
    "talkingdata": "TalkingData clicks (convert, later events)",
}


def main() -> None:
    """Make the runs that are missing and write the page."""
    found = runs_of(list(MEASURES), __doc__ or "")
    if found.keys() == MEASURES.keys():
        PAGE.write_text(page(found), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


def page(found: dict[str, list[Run]]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Evidence: the four tasks on public data",
        "",
        "What the shipped pipelines of plain built-in parts achieve beside baselines that learn nothing or little.",
        "Figures are means over three seeds of the value on the test split; where the data name no split, each seed",
        "divides them anew. In brackets: the widest of the three 95% intervals, by bootstrap over what the task",
        "groups its test rows by. The second table says in how many seeds the paired interval of the difference is",
        "clear of 0, on the better side and on the worse.",
        "",
        "    PRODMATCH_DATA=DIR python benchmarks/evidence_tasks.py",
        "",
    ]
    for name, runs in found.items():
        lines += section(name, runs)
    return "\n".join(lines)


def section(name: str, runs: list[Run]) -> list[str]:
    """Return the section of one pipeline."""
    measures = [measure for measure in MEASURES[name] if measure in runs[0].metrics["lines"][0]["measures"]]
    counts = runs[0].metrics["counts"]
    lines = [
        f"## {TITLES[name]}",
        "",
        f"`pipelines/{name}.toml`: {counts['train']:,} training, {counts['valid']:,} validation and "
        f"{counts['test']:,} test examples at the first seed.",
        "",
        f"| | {' | '.join(measure.replace('_', ' ') for measure in measures)} |",
        f"|---|{'---|' * len(measures)}",
    ]
    for index, line in enumerate(runs[0].metrics["lines"]):
        figures = [[run.metrics["lines"][index]["measures"][measure] for run in runs] for measure in measures]
        lines.append(f"| {line['name']} | {' | '.join(map(cell, figures))} |")
    heads = ("pipeline against", "measure", "difference", "clearly better", "clearly worse")
    lines += ["", f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|"]
    directions = runs[0].metrics["directions"]
    for against in dict.fromkeys(gain["against"] for gain in runs[0].metrics["differences"]):
        gains = [gain for run in runs for gain in run.metrics["differences"] if gain["against"] == against]
        measure = gains[0]["measure"]
        above, below = sum(gain["low"] > 0 for gain in gains), sum(gain["high"] < 0 for gain in gains)
        better, worse = (above, below) if directions[measure] == "higher" else (below, above)
        mean = statistics.mean(gain["value"] for gain in gains)
        counts = " | ".join(f"{count} of {len(gains)}" for count in (better, worse))
        lines.append(f"| {against} | {measure.replace('_', ' ')} | {mean:+.4f} | {counts} |")
    seconds = statistics.mean(run.provenance["seconds"]["total"] for run in runs)
    cores = runs[0].provenance["machine"]["cores"]
    return [*lines, "", f"A run takes {seconds:.0f} seconds on {cores} cores.", ""]


if __name__ == "__main__":
    main()
